package simulation

import (
	"slices"
	"time"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/controllers/internal/publication"
	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
)

// faults lets something go wrong every half a day or so.
func (s *sim) faults() {
	s.after(s.about(12*time.Hour), func() {
		if !s.now.Before(birth.Add(length)) {
			return
		}
		s.faults()
		s.goWrong()
	})
}

// lasting is how long a fault lasts: seconds, hours, or three days and more.
func (s *sim) lasting() time.Duration {
	return pick(s, 30*time.Second, 5*time.Minute, time.Hour, 8*time.Hour, 3*day, 9*day)
}

func (s *sim) goWrong() {
	switch what := s.rnd.IntN(100); {
	case what < 3:
		s.forge()
	case what < 28:
		s.podFault()
	case what < 45:
		s.dnsFault()
	case what < 55:
		s.urlFault()
	case what < 69:
		s.mxChange()
	case what < 71:
		s.pipeline(20)
	case what < 77:
		s.tell("the next write is followed by a crash")
		s.crash = true
	case what < 85:
		s.clockFault()
	case what < 89:
		s.lifeFault()
	case what < 92:
		s.ttl = pick(s, time.Minute, 4*time.Hour)
		s.tell("the TTL is %s", s.ttl)
		s.wakeIn(0)
		s.after(s.within(20*time.Minute), func() {
			if s.claim != nil {
				s.want(s.nextPolicy())
			}
		})
	case what < 93:
		s.edited()
	case what < 95:
		s.forsake()
	case what < 96:
		s.war(s.nextPolicy(), s.nextPolicy(), s.now.Add(s.within(3*time.Minute)))
	default:
		s.retirementHeld = !s.retirementHeld
		s.tell("retirements held %t", s.retirementHeld)
		s.wakeIn(0)
	}
}

// podFault makes a pod silent, loses its node, replaces it, or takes its traffic away.
func (s *sim) podFault() {
	p := s.pods[s.rnd.IntN(len(s.pods))]
	if p.lost || p.silent || p.terminating || !p.ready {
		return
	}
	d := s.lasting()
	switch s.rnd.IntN(5) {
	case 0:
		s.tell("%s does not answer the operator for %s", p.name, d)
		p.silent, p.silentSince = true, s.clock()
	case 1:
		s.tell("the node of %s is lost for %s", p.name, d)
		p.silent, p.lost, p.silentSince, p.ready = true, true, s.clock(), false
		if d > 5*time.Minute && s.chance(2) {
			s.after(5*time.Minute+s.within(time.Minute), func() {
				s.tell("%s is evicted", p.name)
				s.restartPod(p, s.shard)
			})
			return
		}
	case 2:
		s.tell("%s terminates for %s", p.name, d)
		p.terminating, p.ready = true, s.chance(2)
		s.heard()
		s.after(d, func() { s.restartPod(p, s.shard) })
		return
	case 3:
		s.tell("%s is replaced", p.name)
		s.restartPod(p, s.shard)
		return
	default:
		s.unluckyStart()
		return
	}
	s.heard()
	s.after(d, func() {
		s.tell("%s is back with %s", p.name, p.id())
		p.silent, p.lost, p.ready = false, false, true
		if old := s.longAgo(); old != nil && s.chance(2) {
			s.restartPod(p, old)
			return
		}
		s.after(s.within(3*time.Minute), func() { s.sync(p, time.Minute) })
		s.heard()
	})
}

// unluckyStart replaces a pod by one whose kubelet finds an old shard in its cache.
func (s *sim) unluckyStart() {
	p := s.pods[s.rnd.IntN(len(s.pods))]
	if p.lost || p.silent || p.terminating || !p.ready || !s.now.Before(birth.Add(length)) {
		return
	}
	if old := s.longAgo(); old != nil {
		s.restartPod(p, old)
	}
}

// longAgo is an instance that a kubelet may still find in its cache. Of one that the ledger has
// forgotten a pod tells only the id, so nobody could know what it refuses: those are left out.
func (s *sim) longAgo() *v1alpha1.Instance {
	if s.spec == nil || s.shard == nil || s.last.State == v1alpha1.StateRemoving {
		return nil
	}
	var old []string
	for id, i := range s.minted {
		if knows(s.spec, i) && mtasts.ID(id).Compare(mtasts.ID(s.shard.ID)) < 0 {
			old = append(old, id)
		}
	}
	if len(old) == 0 {
		return nil
	}
	slices.Sort(old)
	return new(s.minted[old[s.rnd.IntN(len(old))]])
}

// dnsFault stops external-dns, one name server, or the operator's resolver.
func (s *sim) dnsFault() {
	d := s.lasting()
	switch s.rnd.IntN(5) {
	case 0:
		s.tell("external-dns stands still for %s", d)
		s.txtStuck = true
		s.after(d, func() { s.txtStuck = false; s.publishTXT() })
	case 1:
		s.goBack(s.longAgo())
	case 2:
		i := s.rnd.IntN(2)
		s.tell("name server %d stands still for %s", i, d)
		s.stuck[i] = true
		s.after(d, func() { s.stuck[i] = false; s.transfer() })
	case 3:
		s.tell("only resolvers answer the operator for %s", d)
		s.secondhand = true
		s.after(d, func() { s.secondhand = false })
	default:
		if s.spec == nil {
			return
		}
		s.tell("the operator cannot resolve for %s", d)
		s.unresolvable = true
		s.after(d, func() { s.unresolvable = false })
	}
}

// goBack shows an older id of ours in DNS, as when a zone is restored from a backup.
func (s *sim) goBack(old *v1alpha1.Instance) {
	if old == nil || s.dropped || s.spec == nil || !s.now.Before(birth.Add(length)) || s.last.State == v1alpha1.StateRemoving || !knows(s.spec, *old) || s.spec.InForceID == "" || s.back != nil || mtasts.ID(old.ID).Compare(mtasts.ID(s.spec.InForceID)) >= 0 {
		return
	}
	d := pick(s, time.Hour, 5*time.Hour, 20*time.Hour)
	s.tell("the zone goes back to id %s for %s", old.ID, d)
	s.back, s.backTo, s.txtStuck = &episode{}, old.ID, true
	s.zone = []string{old.ID}
	s.transfer()
	s.after(d, func() {
		s.txtStuck = false
		s.publishTXT()
		s.after(day, func() { s.back = nil }) // the name servers follow in their own time
	})
}

// urlFault breaks the policy URL, or lets somebody else answer there for long enough to be seen.
func (s *sim) urlFault() {
	if s.foreign != nil || s.fault != "" {
		return
	}
	d := s.lasting()
	if s.chance(3) && s.last.State == v1alpha1.StateInForce {
		p := s.randomPolicy()
		s.foreign, s.foreignStory, s.foreignSince = &publication.Seen{Policy: p}, &episode{}, s.now
		s.tell("somebody else answers at the policy URL for %s: %s %v", d, p.Mode, p.MX)
		s.after(d, s.hostMoves)
		return
	}
	if s.chance(3) && s.spec != nil {
		s.tell("the operator cannot reach the policy URL for %s", d)
		s.blind = true
		s.after(d, func() { s.blind = false })
		return
	}
	s.fault, s.certificate = pick(s, publication.Broken, publication.NoAnswer), s.chance(3)
	if s.certificate {
		s.fault = publication.Broken
	}
	s.tell("the policy URL is %s for %s, for want of a certificate: %t", s.fault, d, s.certificate)
	s.after(d, func() { s.fault, s.certificate = "", false; s.wakeIn(0) })
}

// edited is somebody's hand at the TXT object.
func (s *sim) edited() {
	if s.spec == nil || s.txt == "" || s.last.State == v1alpha1.StateRemoving {
		return
	}
	id := ""
	if s.chance(3) {
		id = "29991231235959deadbeef"
	} else if last := mtasts.ID(s.spec.LastID).Time(); s.chance(2) && !last.IsZero() {
		id = last.Add(time.Hour).Format("20060102150405") + "deadbeef"
	}
	s.former[id] = id != ""
	s.tell("the TXT object is edited by hand: %q", id)
	s.replaceTXT(id)
	s.wakeIn(0)
}
