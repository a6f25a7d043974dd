package simulation

import "time"

// clocks are those of the operator and of the API server, next to the true one.
type clocks struct {
	skew, apiSkew time.Duration
	// behind is set once a clock was behind: what it wrote comes true too early.
	behind bool
	// stepped is when the operator's clock last jumped.
	stepped time.Time
}

// clockFault makes another instance the leader, whose clock may be wrong, or sets the clock under
// the one that there is. The API server's may be ahead, but not both behind at once: nobody could tell.
func (s *sim) clockFault() {
	skew := pick(s, 0, 0, time.Minute, day, 40*day, -time.Minute, -50*time.Minute, -3*day)
	s.apiSkew = 0
	if skew <= 0 {
		s.apiSkew = pick(s, 0, 0, day)
	}
	s.behind = s.behind || skew < 0
	if s.chance(2) {
		s.tell("a new leader, whose clock is %s ahead, the API server's %s", skew, s.apiSkew)
		s.restart(skew)
		return
	}
	s.tell("the clock is %s ahead now, the API server's %s", skew, s.apiSkew)
	s.setClock(skew)
	s.wakeIn(0)
}

// setClock steps the clock. What the operator has in memory goes by a clock that does not step.
func (s *sim) setClock(skew time.Duration) {
	if skew == s.skew {
		return
	}
	step := func(at *time.Time) {
		if !at.IsZero() {
			*at = at.Add(skew - s.skew)
		}
	}
	step(&s.rest)
	if s.world != nil {
		step(&s.world.DNS.At)
		step(&s.world.DNS.Since)
	}
	if s.dns != nil {
		step(&s.dns.At)
		step(&s.dns.Since)
		step(&s.dns.Gone.At)
		step(&s.dns.Gone.Since)
	}
	if s.mxSeen != nil {
		step(&s.mxSeen.At)
		step(&s.mxSeen.Since)
	}
	if s.public != nil {
		step(&s.public.At)
		step(&s.public.Since)
	}
	s.skew, s.stepped = skew, s.now
}

// lifeFault is what people do to the publication as an object.
func (s *sim) lifeFault() {
	switch s.rnd.IntN(5) {
	case 0, 1:
		s.restore()
	case 2:
		if s.chance(4) {
			s.powerOff()
			return
		}
		s.restoreStore()
	case 3:
		s.handOver()
	default:
		if s.chance(3) {
			s.deleteByHand()
		}
	}
}
