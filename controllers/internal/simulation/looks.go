package simulation

import (
	"slices"
	"time"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/controllers/internal/publication"
)

// satisfy finds out what the decision needs.
func (s *sim) satisfy(need publication.Need, o *publication.Observation) {
	switch need {
	case publication.NeedWorld:
		s.lookWorld()
	case publication.NeedMX:
		s.lookMX()
	case publication.NeedPublic:
		s.lookPublic()
	case publication.NeedDNS:
		s.lookDNS()
	case publication.NeedConfirmation:
		s.confirm(o)
	case publication.NeedTrustedTime:
		o.Trusted, o.Latest = s.bounds()
	case publication.NeedNothing:
	}
	o.World, o.MX, o.Public, o.DNS = s.world, s.liveMX(), s.public, s.dns
}

// lookAtRest is the periodic look; what differs is looked at again soon.
func (s *sim) lookAtRest(o *publication.Observation) {
	s.lookDNS()
	s.lookPublic()
	s.lookMX()
	o.MX, o.Public, o.DNS = s.liveMX(), s.public, s.dns
	interval := s.tm.LookInterval*4/5 + s.within(s.tm.LookInterval*2/5)
	if s.dns.Tries > 0 || s.public.Tries > 0 {
		interval /= 18
	}
	if s.chance(8) {
		interval += s.within(20 * time.Minute) // others come first
	}
	s.rest = s.clock().Add(interval)
}

// bounds are the earlier and the later of the operator's clock and the API server's.
func (s *sim) bounds() (earlier, later time.Time) {
	return s.now.Add(min(s.skew, s.apiSkew)), s.now.Add(max(s.skew, s.apiSkew))
}

// confirm asks every pod once more, right before the announcement.
func (s *sim) confirm(o *publication.Observation) {
	s.ask()
	o.ConfirmTried = true
	o.Trusted, o.Latest = s.bounds()
	current := s.spec.Current
	o.Servers = s.servers(current, false)
	if o.Servers.All() {
		o.Confirmed = current.ID
	}
}

func (s *sim) lookWorld() {
	var before publication.Tried
	if s.world != nil {
		before = s.world.DNS.Tried
	}
	w := &publication.World{DNS: s.askDNS()}
	seen := s.look()
	if len(seen) > 0 {
		w.Policy = &seen[0]
	}
	w.Follow(s.world, s.clock())
	switch {
	case len(seen) > 0:
	case len(w.DNS.IDs) > 0 && before.Tries+1 < s.tm.WorldTries:
		w.DNS.Answer = publication.Unknown // worth another try
	}
	w.DNS.Tried = before.Next(s.clock(), w.DNS.Answer != publication.Unknown)
	s.world = w
}

// look is what the policy URL answers: each address, and so each pod, is asked.
func (s *sim) look() []publication.Seen {
	if s.blind {
		return nil
	}
	if s.foreign != nil {
		return []publication.Seen{*s.foreign}
	}
	var out []publication.Seen
	for _, p := range s.serving() {
		if s.fault == "" && p.holds != nil {
			out = append(out, publication.Seen{ID: p.holds.ID, Policy: publication.PolicyOf(*p.holds)})
		}
	}
	return out
}

func (s *sim) lookMX() {
	var before publication.Tried
	if s.mxSeen != nil {
		before = s.mxSeen.Tried
	}
	mx := &publication.MX{Answer: publication.Found, Hosts: slices.Clone(s.mx), Null: s.nullMX}
	if s.mxBroken {
		mx.Answer, mx.Hosts, mx.Message = publication.Unknown, nil, "timeout"
	}
	mx.Tried = before.Next(s.clock(), !s.mxBroken)
	s.mxSeen = mx
}

// liveMX is what was looked up, and which of the hosts nobody has had the time to ask for STARTTLS.
func (s *sim) liveMX() *publication.MX {
	if s.mxSeen == nil || s.crowdedSince.IsZero() || s.claim == nil {
		s.mxAskedFor = time.Time{}
		return s.mxSeen
	}
	if s.mxAskedFor.IsZero() {
		s.mxAskedFor = s.clock()
	}
	mx := *s.mxSeen
	mx.Unasked, mx.UnaskedSince = mx.Hosts, s.mxAskedFor
	return &mx
}

func (s *sim) lookDNS() {
	dns := s.askDNS()
	s.row = s.row.add(dns, s.now)
	dns.Follow(s.dns, s.spec, s.clock())
	s.dns = &dns
	s.sawBack()
}

// sawBack is when the operator has seen that DNS went back to an older id. What it has forgotten by
// then it cannot remember.
func (s *sim) sawBack() {
	if s.back == nil || s.back.seen || s.dns == nil || !slices.Contains(s.dns.IDs, s.backTo) {
		return
	}
	for _, c := range s.senders {
		known := func(e v1alpha1.LedgerEntry) bool { return standsFor(e, c.refuses) }
		if c.from == s.back && !slices.ContainsFunc(s.spec.Ledger, known) {
			c.from = &episode{}
		}
	}
	s.back.seen = true
}

func (s *sim) lookPublic() {
	current := s.spec.Current
	look := &publication.Public{For: current.ID, Outcome: publication.Pass}
	seen := s.look()
	if len(seen) == 0 {
		look.Outcome, look.Message = publication.NoAnswer, "the policy URL does not answer"
		if s.fault != "" {
			look.Outcome = s.fault
		}
	}
	for _, other := range seen {
		if other.ID != current.ID {
			look.Outcome, look.Seen, look.Message = publication.WrongBody, &other, "the policy URL serves another policy"
		}
	}
	if s.foreign != nil && !s.blind && s.spec.AnnouncedID != "" && s.last.State != v1alpha1.StateRemoving {
		s.foreignStory.seen = true
	}
	look.Follow(s.public, s.clock())
	s.public = look
}
