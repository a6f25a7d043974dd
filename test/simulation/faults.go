package simulation

import (
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/mta-sts-operator/mta-sts-operator/internal/sender"
)

// lasting is how long a fault lasts: seconds, hours, or days.
func (s *sim) lasting() time.Duration {
	return pick(s, 30*time.Second, 5*time.Minute, time.Hour, 8*time.Hour, 2*day)
}

// faults lets something go wrong every few hours.
func (s *sim) faults() {
	s.after(s.about(5*time.Hour), func() {
		if s.begun() {
			s.faults()
			s.goWrong()
		}
	})
}

func (s *sim) goWrong() {
	d := s.domains[s.rnd.IntN(len(s.domains))]
	switch what := s.rnd.IntN(100); {
	case what < 18:
		s.podFault()
	case what < 28:
		s.dnsFault()
	case what < 34:
		s.urlFault(d)
	case what < 44:
		s.mxChange(d)
	case what < 47:
		s.restore(d)
	case what < 56:
		s.deleteChild(d)
	case what < 62:
		s.editByHand(d)
	default:
		s.operatorFault()
	}
}

func (s *sim) podFault() {
	if len(s.pods) == 0 {
		return
	}
	p := s.pods[s.rnd.IntN(len(s.pods))]
	o := s.object(p)
	if p.lost || p.silent || !p.running || o == nil || !o.DeletionTimestamp.IsZero() {
		return
	}
	d := s.lasting()
	switch s.rnd.IntN(4) {
	case 0, 1:
		s.lose(p, d)
	case 2:
		s.tell("%s does not answer the operator for %s", p.name, d)
		p.silent = true
		s.after(d, func() { p.silent = false })
	default:
		s.tell("%s is drained", p.name)
		_ = s.store.delete(o, client.DeleteOptions{}, person) // it exists
	}
}

func (s *sim) dnsFault() {
	d := s.lasting()
	switch s.rnd.IntN(3) {
	case 0:
		s.tell("external-dns stands still for %s", d)
		s.stopped = true
		s.after(d, func() { s.stopped = false; s.externalDNS(0) })
	case 1:
		i := s.rnd.IntN(2)
		s.tell("name server %d stands still for %s", i, d)
		s.stuck[i] = true
		s.after(d, func() { s.stuck[i] = false; s.transfer() })
	default:
		s.tell("the operator cannot resolve for %s", d)
		s.unresolvable = true
		s.after(d, func() { s.unresolvable = false })
	}
}

func (s *sim) urlFault(d *domain) {
	lasts := s.lasting()
	if d.fault != "" {
		return
	}
	d.fault, d.faultSince = pick(s, sender.Broken, sender.NoAnswer), s.now
	s.tell("the policy URL of %s is %s for %s", d.name, d.fault, lasts)
	s.after(lasts, func() { d.fault, d.faultSince = "", s.now })
}

// operatorFault is a restart, a second leader, or an API server that is slow, unreliable or behind.
func (s *sim) operatorFault() {
	if len(s.leaders) == 0 {
		return
	}
	l := s.leaders[len(s.leaders)-1]
	d := pick(s, 30*time.Second, 5*time.Minute, time.Hour, 6*time.Hour)
	if s.chance(2) { // it matters most while something is on its way
		on := s.domains[s.rnd.IntN(len(s.domains))]
		s.after(s.within(pick(s, 10*time.Second, 5*time.Minute)), func() { s.edit(on) })
	}
	switch s.rnd.IntN(7) {
	case 0:
		l.end("restart")
		s.after(s.within(5*time.Minute), s.recover)
	case 1, 2:
		l.crashAfter = 1 + s.rnd.IntN(12)
		s.tell("%s will crash after %d writes", l.name, l.crashAfter)
	case 3:
		s.depose(l)
	case 4:
		s.tell("the API server fails now and then for %s", d)
		s.unreliableUntil = s.now.Add(d)
	case 5:
		s.tell("passes take long for %s", d)
		s.slowUntil = s.now.Add(d)
	default:
		k := kinds[s.rnd.IntN(len(kinds))].Kind
		s.tell("%s sees no change of any %s for %s", l.name, k, d)
		l.cache.frozen[k] = s.now.Add(d)
	}
}

// depose starts another leader; the old one goes on for a while with what it knows.
func (s *sim) depose(old *leader) {
	d := pick(s, time.Second, 20*time.Second, 3*time.Minute, 30*time.Minute)
	skew := pick(s, 0, 0, time.Minute, -time.Minute)
	next := s.lead(skew)
	s.tell("%s leads, its clock %s ahead; %s goes on for %s", next.name, skew, old.name, d)
	for _, k := range kinds {
		if s.chance(2) {
			old.cache.frozen[k.Kind] = s.now.Add(d)
		}
	}
	s.after(d, func() {
		old.end("deposed")
		s.recover()
	})
}
