package simulation

import (
	"slices"
	"time"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/controllers/internal/publication"
)

// mailing is where the domain's mail goes, and who decides it.
type mailing struct {
	mx        []string
	nullMX    bool
	mxBroken  bool
	mxChanged time.Time
	// crowdedSince is since when the operator has been too busy to ask the MX hosts; zero while it is not.
	crowdedSince time.Time
	// vouched are the live MX hosts that were pointed at only once the operator had called them safe.
	vouched map[string]bool
	// plan is where a careful admin wants the mail to go as soon as that is safe.
	plan []string
}

// mxChange moves the domain's mail, or hides where it goes.
func (s *sim) mxChange() {
	hosts := hosts[:1+s.rnd.IntN(4)]
	switch s.rnd.IntN(7) {
	case 6:
		s.crowd(pick(s, time.Minute, 10*time.Minute, time.Hour, 5*time.Hour))
	case 0, 1:
		d := s.lasting()
		s.mxChanged = s.now
		s.tell("the MX records cannot be looked up for %s", d)
		s.mxBroken = true
		s.after(d, func() { s.mxBroken, s.mxChanged = false, s.now })
	case 2:
		s.tell("a reckless admin points MX at %v", hosts)
		s.plan = nil
		s.point(hosts, s.chance(8))
	default:
		s.tell("a careful admin wants MX at %v", hosts)
		s.plan = hosts
		s.follow()
	}
}

// crowd keeps the operator so busy with the MX hosts of others that nobody asks those of the domain.
func (s *sim) crowd(d time.Duration) {
	if !s.crowdedSince.IsZero() {
		return
	}
	s.tell("the operator is busy asking the MX hosts of others for %s", d)
	s.crowdedSince = s.now
	s.after(d, func() {
		s.crowdedSince = time.Time{}
		s.wakeIn(0)
	})
}

// begins says whether a policy is the first to make senders refuse anything.
func begins(before *v1alpha1.MTASTSPublicationSpec, mode v1alpha1.Mode) bool {
	return mode == v1alpha1.ModeEnforce && (before == nil || before.Current == nil || before.Current.Mode != v1alpha1.ModeEnforce)
}

// point changes the MX records. Vouched for stays only what was.
func (s *sim) point(hosts []string, null bool) {
	s.mx, s.nullMX, s.mxChanged = slices.Clone(hosts), null, s.now
	for host := range s.vouched {
		if !slices.Contains(hosts, host) {
			delete(s.vouched, host)
		}
	}
}

// administer lets the admin come back to the plan every few hours.
func (s *sim) administer() {
	s.after(s.about(6*time.Hour), func() {
		if s.now.Before(birth.Add(length)) {
			s.administer()
			s.follow()
			if s.chance(8) {
				s.saysTheWord()
			}
		}
	})
}

// follow lets the careful admin do what the operator calls safe now, and come back for the rest.
func (s *sim) follow() {
	if s.plan == nil || s.spec == nil || s.spec.Current == nil || !s.restored.IsZero() {
		return
	}
	var now []string
	for _, host := range s.plan {
		safe := s.safe(host)
		if safe && !slices.Contains(s.mx, host) {
			s.vouched[host] = true
			s.tell("the operator calls %s safe", host)
		}
		if safe || slices.Contains(s.mx, host) {
			now = append(now, host)
		}
	}
	if len(now) == len(s.plan) {
		s.plan = nil
	} else {
		for _, host := range s.mx { // what there is stays until the move is done
			if !slices.Contains(now, host) {
				now = append(now, host)
			}
		}
	}
	if !slices.Equal(now, s.mx) || s.nullMX {
		s.tell("MX %v", now)
		s.point(now, false)
	}
}

// safe says whether the operator calls it safe to send mail to the host.
func (s *sim) safe(host string) bool {
	d := s.safeAfter(host)
	return !d.open && !d.after.After(s.now)
}

// unvouch is for hosts that were called safe before somebody overrode it.
func (s *sim) unvouch(hosts []string) {
	for _, host := range hosts {
		delete(s.vouched, host)
	}
}

// checkVouched makes sure that whoever waits for the operator's word loses no mail (I5, I8).
func (s *sim) checkVouched(c *sender) {
	if c.from != nil || !c.enforces(s.now) {
		return
	}
	for _, host := range c.refuses {
		if s.vouched[host] {
			s.fail("%s refuses mail to %s, which became an MX host only after it had been called safe: id %s (%v) until %s (I5, I8)", c.name, host, c.id, c.policy.MX, c.until)
		}
	}
}

// overridden says whether nobody could have held the change that the operator has just minted.
func (s *sim) overridden() bool {
	recent := s.now.Sub(s.mxChanged) <= s.tm.MXFresh // looked up a moment ago is good enough
	return recent || s.mxBroken || s.claim == nil || s.claim.Preflight != v1alpha1.PreflightRequire
}

// checkHarm makes sure that a new instance endangers no live MX host that the one before did not, and
// that none that endangers any lives longer than the one before (I8).
func (s *sim) checkHarm(before *v1alpha1.MTASTSPublicationSpec, i v1alpha1.Instance) {
	var already []string
	var maxAge int32
	if before != nil && before.Current != nil {
		if before.Current.Body == i.Body {
			return
		}
		already, maxAge = publication.Refused(publication.PolicyOf(*before.Current), s.mx), before.Current.MaxAgeSeconds
	}
	refused := publication.Refused(publication.PolicyOf(i), s.mx)
	if s.overridden() {
		s.unvouch(refused)
		return
	}
	if !s.crowdedSince.IsZero() && begins(before, i.Mode) {
		s.fail("id %s enforces although the MX hosts have been waiting since %s to be asked (I8)", i.ID, s.crowdedSince)
	}
	for _, host := range refused {
		if !slices.Contains(already, host) {
			s.fail("id %s makes senders refuse the live MX host %s (I8)", i.ID, host)
		}
	}
	if len(refused) > 0 && i.MaxAgeSeconds > maxAge {
		s.fail("id %s makes senders refuse the live MX hosts %v for longer (I8)", i.ID, refused)
	}
	if s.nullMX && i.Mode == v1alpha1.ModeEnforce {
		s.fail("id %s enforces for a domain that receives no mail (I8)", i.ID)
	}
}

// checkHold makes sure that nothing is held without a cause (I8).
func (s *sim) checkHold(d publication.Decision) {
	mx := s.mxSeen
	switch {
	case d.State != v1alpha1.StateHeld || mx == nil:
	case d.Reason == v1alpha1.ReasonChangesTooFrequent || d.Reason == v1alpha1.ReasonForeignPublisher: // it waits its turn
	case d.Reason == v1alpha1.ReasonMXCheckDelayed && !s.crowdedSince.IsZero() && begins(d.Spec, v1alpha1.Mode(s.claim.Wanted.Mode)):
	case d.Reason == v1alpha1.ReasonMXLookupPending && !s.crowdedSince.IsZero() && s.clock().Sub(s.mxAskedFor) <= s.tm.MXPatience:
	case mx.Answer == publication.Unknown:
		if s.clock().Sub(mx.Since) > s.tm.MXPatience {
			s.fail("a change is held since %s because the MX records cannot be looked up (I8)", mx.Since)
		}
	case !mx.Null && d.Spec.Current != nil:
		current := publication.PolicyOf(*d.Spec.Current)
		already, refused := publication.Refused(current, mx.Hosts), publication.Refused(s.claim.Wanted, mx.Hosts)
		worse := slices.ContainsFunc(refused, func(host string) bool { return !slices.Contains(already, host) })
		longer := len(refused) > 0 && s.claim.Wanted.MaxAgeSeconds > current.MaxAgeSeconds
		if !worse && !longer {
			s.fail("a change is held although it makes nothing worse: %s (I8)", d.Message)
		}
	}
}
