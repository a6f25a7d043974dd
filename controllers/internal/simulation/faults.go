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
	case what < 30:
		s.podFault()
	case what < 45:
		s.dnsFault()
	case what < 55:
		s.urlFault()
	case what < 70:
		s.mxChange()
	case what < 80:
		s.tell("the next write is followed by a crash")
		s.crash = true
	case what < 88:
		skew := pick(s, 0, 0, time.Minute, day, 40*day)
		s.tell("a new leader, whose clock is %s ahead", skew)
		s.restart(skew)
	case what < 92:
		s.ttl = pick(s, time.Minute, time.Hour, 4*time.Hour)
		s.tell("the TTL is %s", s.ttl)
		s.wakeIn(0)
	case what < 96:
		s.edited()
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
		known := i.Mode != v1alpha1.ModeEnforce || slices.ContainsFunc(s.spec.Ledger, func(e v1alpha1.LedgerEntry) bool { return e.ID == id })
		if known && mtasts.ID(id).Compare(mtasts.ID(s.shard.ID)) < 0 {
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
	switch s.rnd.IntN(3) {
	case 0:
		s.tell("external-dns stands still for %s", d)
		s.txtStuck = true
		s.after(d, func() { s.txtStuck = false; s.publishTXT() })
	case 1:
		i := s.rnd.IntN(2)
		s.tell("name server %d stands still for %s", i, d)
		s.stuck[i] = true
		s.after(d, func() { s.stuck[i] = false; s.transfer() })
	default:
		if s.spec == nil {
			return
		}
		s.tell("the operator cannot resolve for %s", d)
		s.unresolvable = true
		s.after(d, func() { s.unresolvable = false })
	}
}

// urlFault breaks the policy URL, or lets somebody else answer there for long enough to be seen.
func (s *sim) urlFault() {
	if s.foreign != nil || s.fault != "" {
		return
	}
	d := s.lasting()
	if s.chance(3) && s.last.State == v1alpha1.StateInForce {
		p := s.randomPolicy()
		s.foreign, s.foreignStory = &publication.Seen{Policy: p}, &episode{}
		s.tell("somebody else answers at the policy URL for %s: %s %v", d, p.Mode, p.MX)
		s.after(d, s.hostMoves)
		return
	}
	s.fault = pick(s, publication.Broken, publication.NoAnswer)
	s.tell("the policy URL is %s for %s", s.fault, d)
	s.after(d, func() { s.fault = "" })
}

// mxChange moves the domain's mail, or hides where it goes.
func (s *sim) mxChange() {
	s.mxChanged = s.now
	if s.chance(3) {
		d := s.lasting()
		s.tell("the MX records cannot be looked up for %s", d)
		s.mxBroken = true
		s.after(d, func() { s.mxBroken, s.mxChanged = false, s.now })
		return
	}
	s.mx, s.nullMX = hosts[:1+s.rnd.IntN(4)], s.chance(8)
	s.tell("MX %v, null %t", s.mx, s.nullMX)
}

// edited is somebody's hand at the TXT object.
func (s *sim) edited() {
	if s.spec == nil || s.txt == "" || s.last.State == v1alpha1.StateRemoving {
		return
	}
	s.txt = ""
	if last := mtasts.ID(s.spec.LastID).Time(); s.chance(2) && !last.IsZero() {
		s.txt = last.Add(time.Hour).Format("20060102150405") + "deadbeef"
	}
	s.tell("the TXT object is edited by hand: %q", s.txt)
	s.publishTXT()
	s.wakeIn(0)
}
