package simulation

import (
	"slices"
	"time"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/controllers/internal/publication"
	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
)

const (
	// patience is what is granted beyond every cache before somebody counts as stuck.
	patience = 10 * time.Minute
	// announceWithin is how long an id may take to DNS once every pod serves it.
	announceWithin = 35 * time.Minute
	// immediately is how long a removal may take that waits for nobody.
	immediately = time.Hour
)

// checks are what the promises are checked by.
type checks struct {
	minted   map[string]v1alpha1.Instance
	greatest mtasts.ID
	// calmSince is since when everything has been right, ripeSince since when nothing but patience
	// was in the way of an announcement.
	calmSince, ripeSince time.Time
	ttlMost              time.Duration
	// hour is when writesBefore were counted.
	hour         time.Time
	writesBefore int
	// led is since when the operator leads, mintedAt and overtookAt are the last times it minted, and minted above
	// somebody else's id.
	led                  time.Time
	mintedAt, overtookAt []time.Time
	// healed is when a fresh id was minted last for what had been seen wrong.
	healed time.Time
	// dates are what was said about the MX hosts by datesOf.
	dates   map[string]date
	datesOf *v1alpha1.MTASTSPublicationSpec
}

// date is when a host becomes safe; the zero time is at once.
type date struct {
	after time.Time
	open  bool
}

// safeAfter is what the operator says about the host.
func (s *sim) safeAfter(host string) date {
	if s.datesOf != s.spec {
		s.dates, s.datesOf = map[string]date{}, s.spec
	}
	d, known := s.dates[host]
	if !known {
		after, open, _ := publication.SafeAfter(s.spec, host)
		d.open = open
		if after != nil {
			d.after = after.Time
		}
		s.dates[host] = d
	}
	return d
}

// checkAlways sees the world after every event.
func (s *sim) checkAlways() {
	s.ttlMost = max(s.ttlMost, s.ttl)
	if s.now.After(s.restored) {
		s.restored = time.Time{}
	}
	s.noteEmpty()
	s.checkWish()
	if !s.calm() {
		s.calmSince = time.Time{}
	} else if s.calmSince.IsZero() {
		s.calmSince = s.now
	}
	switch {
	case !s.ripe():
		s.ripeSince = time.Time{}
	case s.ripeSince.IsZero():
		s.ripeSince = s.now
	case s.now.Sub(s.ripeSince) > s.announceWithin():
		s.fail("id %s has been served everywhere since %s and is still not announced: %s", s.spec.Current.ID, s.ripeSince, s.last.Message)
	}
}

// announceWithin is longer where nobody has ever seen an id: what was in the way is looked at less and less often.
func (s *sim) announceWithin() time.Duration {
	if s.spec.AnnouncedID == "" && len(s.spec.FoundIDs) == 0 {
		return announceWithin + s.tm.LookInterval
	}
	return announceWithin
}

// calm says whether every sender that fetches gets the current instance under its own id.
func (s *sim) calm() bool {
	if s.spec == nil || s.spec.Current == nil || s.foreign != nil || s.fault != "" || s.spec.Contamination != nil || !s.exactly(s.spec.Current.ID) {
		return false
	}
	ready := s.serving()
	return len(ready) > 0 && !slices.ContainsFunc(ready, func(p *pod) bool { return p.id() != s.spec.Current.ID })
}

// ripe says whether the current instance should go to DNS soon.
func (s *sim) ripe() bool {
	if s.now.Before(s.returns) {
		return false // no operator runs that could announce it
	}
	if s.claim == nil || s.spec == nil || s.spec.Current == nil || s.spec.AnnouncedID == s.spec.Current.ID || s.foreign != nil || len(s.serving()) == 0 {
		return false
	}
	if (s.fault != "" || s.blind) && (len(s.nameservers[0]) == 0 || s.unresolvable || !slices.Equal(s.nameservers[0], s.nameservers[1]) || s.spec.AnnouncedID == "") {
		return false // the first id needs a policy URL in order
	}
	if look := s.public; look != nil && look.Outcome == publication.NoAnswer && s.clock().Sub(look.AnotherAt) < s.tm.AnotherPatience {
		return false // what it served last may be served to others still
	}
	return !slices.ContainsFunc(s.pods, func(p *pod) bool {
		return p.counted() && (p.silent || p.id() != s.spec.Current.ID)
	})
}

// checkRefusals makes sure that no sender may refuse a host after the date from which it is called
// safe (I5): it need not be able to ask DNS by then.
func (s *sim) checkRefusals(c *sender) {
	if s.spec == nil || !s.restored.IsZero() || !c.enforces(s.now) || (c.from != nil && !c.from.seen) {
		return
	}
	for _, host := range c.refuses {
		d := s.safeAfter(host)
		if d.open || !d.after.Before(c.until) || s.excused(c, host) {
			continue
		}
		s.fail("%s refuses mail to %s until %s by id %s (%v), but that was called safe after %s (I5)", c.name, host, c.until, c.id, c.policy.MX, d.after)
	}
}

// checkFresh makes sure that a sender that has just delivered is not stuck with what is no longer served.
func (s *sim) checkFresh(c *sender) {
	if s.calmSince.IsZero() || !c.held || !s.now.Before(c.until) || c.body == s.spec.Current.Body || (c.from != nil && !c.from.seen) {
		return
	}
	limit := s.ttlMost + patience
	switch c.habit {
	case daily:
		limit += day
	case refetches:
		limit += refresh
	case renews, revives, keeps:
	}
	if s.now.Sub(s.calmSince) > limit {
		s.fail("%s is stuck with id %s (%s %v) although id %s has been right since %s (I1, I10)", c.name, c.id, c.policy.Mode, c.policy.MX, s.spec.Current.ID, s.calmSince)
	}
}

// checkDecision makes sure that nobody is kept in enforce.
func (s *sim) checkDecision(d publication.Decision) {
	s.checkHold(d)
	if s.claim == nil || s.claim.Wanted.Mode == mtasts.ModeEnforce || d.Spec == nil {
		return
	}
	current := d.Spec.Current
	if d.Need != publication.NeedNothing || d.Reason == v1alpha1.ReasonObserving {
		return
	}
	waits := d.Reason == v1alpha1.ReasonChangesTooFrequent || d.Reason == v1alpha1.ReasonForeignPublisher // between two that do not enforce
	if (d.State == v1alpha1.StateHeld && !waits) || (current != nil && current.Mode == v1alpha1.ModeEnforce) {
		s.fail("leaving enforce is blocked: %s %s (I8)", d.Reason, d.Message)
	}
}

// checkBegun makes sure that a claim which nothing entitles begins only where no id of ours shows that somebody's
// memory is missing (I7).
func (s *sim) checkBegun() {
	if s.claim.Title != publication.Untitled {
		return
	}

	for _, id := range slices.Concat(s.nameservers[0], s.nameservers[1]) {
		if mtasts.ID(id).Plausible(s.clock()) {
			s.fail("a claim begins by itself although DNS shows id %s, which no publication knows (I7)", id)
		}
	}
}

// dark says whether no id is visible, as far as the operator has looked: its look may be an old one.
func (s *sim) dark() bool {
	looked := s.dns == nil || s.dns.Answer == publication.Absent
	return s.txt == "" && looked && !s.unresolvable && len(s.nameservers[0])+len(s.nameservers[1]) == 0
}
