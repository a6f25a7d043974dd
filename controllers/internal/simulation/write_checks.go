package simulation

import (
	"slices"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/controllers/internal/publication"
	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
)

// checkWrite sees every write of the publication.
func (s *sim) checkWrite(before, after *v1alpha1.MTASTSPublicationSpec) {
	if i := after.Current; i != nil {
		known, seen := s.minted[i.ID]
		switch {
		case seen && cmp.Diff(known, *i) != "":
			s.fail("id %s names two instances (I3):\n%s", i.ID, cmp.Diff(known, *i))
		case seen && !mtasts.ID(i.ID).Plausible(s.now): // given up, and met again in a copy: it is the same instance
		case seen && (before == nil || before.Current == nil || before.Current.ID != i.ID):
			s.fail("id %s is used again (I3)", i.ID)
		case !seen && mtasts.ID(i.ID).Compare(s.greatest) <= 0 && !s.greatest.GivesWay(mtasts.ID(i.ID), s.laterClock()):
			s.fail("minted %s after %s (I3)", i.ID, s.greatest)
		case !seen:
			s.minted[i.ID], s.greatest = *i.DeepCopy(), mtasts.ID(i.ID)
			s.tell("operator: minted %s: %s %v %d", i.ID, i.Mode, i.MX, i.MaxAgeSeconds)
			s.checkPace()
			s.checkCause(before, after, *i)
			s.checkHarm(before, *i)
		}
	}
	s.checkRestored(before, after)
	if before == nil {
		s.checkBegun()
	}
	if announced := before == nil || before.AnnouncedID != after.AnnouncedID; announced && s.dark() && (s.foreign != nil || s.fault != "" || s.blind) && after.AnnouncedID != "" {
		s.fail("the first id goes to DNS although the policy URL is %q (I2)", s.fault)
	}
	s.checkRetirement(before, after)
	s.checkDark(before, after)
	for _, c := range s.senders {
		s.checkLost(c, before, after)
	}
}

// checkCause makes sure that a fresh id for the same policy has a cause (I3).
func (s *sim) checkCause(before, after *v1alpha1.MTASTSPublicationSpec, i v1alpha1.Instance) {
	grown := before != nil && publication.Gap(after) != nil &&
		(publication.Gap(before) == nil || publication.Gap(before).ID != publication.Gap(after).ID)
	if grown {
		return // what an outage may have lost is exceeded
	}
	if before != nil && before.Current != nil && before.Current.Body == i.Body && !s.fresh && before.Contamination == nil && !s.exceeded {
		s.fail("id %s takes the place of %s, which means the same (I3)", i.ID, before.Current.ID)
	}
	if before != nil && before.Current != nil && before.Current.Body == i.Body && !s.fresh && s.rivalled && before.Contamination == nil {
		s.overtookAt = s.often(append(s.overtookAt, s.now), time.Hour, 3, "somebody else's id is exceeded")
	}
	s.fresh = false
}

// checkPace makes sure that ids do not run ahead of the clock, whoever edits the policy how often. A minute may
// see the burst, and one that leaves enforce after each that entered it.
func (s *sim) checkPace() {
	s.mintedAt = s.often(append(s.mintedAt, s.now), time.Minute, 2*(s.tm.MintBurst+1), "an id is minted")
}

// often keeps the times within the last period, which are at most so many. A new leader, or a clock that was
// stepped, begins anew.
func (s *sim) often(times []time.Time, period time.Duration, most int, what string) []time.Time {
	times = slices.DeleteFunc(times, func(t time.Time) bool {
		return s.now.Sub(t) >= period || !t.After(s.led) || t.Before(s.stepped)
	})
	if len(times) > most {
		s.fail("%s %d times within %s", what, len(times), period)
	}
	return times
}

// checkHealed makes sure that a pod that flaps does not make ids flap (I10).
func (s *sim) checkHealed() {
	if since := s.now.Sub(s.healed); s.stepped.Before(s.healed) && since < s.tm.HealInterval {
		s.fail("healed again after %s (I10)", since)
	}
	s.healed = s.now
}

// checkRecorded makes sure that nothing is served that no publication ever had (I4).
func (s *sim) checkRecorded(p *pod, i *v1alpha1.Instance) {
	if _, recorded := s.minted[i.ID]; !recorded && !s.forgeries[i.ID] {
		s.fail("%s serves id %s, which was never recorded (I4)", p.name, i.ID)
	}
}

// checkLost makes sure that what a sender holds does not drop out of the ledger.
func (s *sim) checkLost(c *sender, before, after *v1alpha1.MTASTSPublicationSpec) {
	if before == nil || s.err != nil {
		return
	}
	spec := s.spec
	s.spec = after
	s.checkRefusals(c)
	s.spec = spec
}

// checkTXT sees every write of the TXT object by the operator.
func (s *sim) checkTXT(id string) {
	if id == "" {
		if s.wish == v1alpha1.DeletionOrphan {
			s.fail("the TXT record of what was to stay is removed (I6)")
		}
		s.checkGrace("the TXT record is removed")
		if !s.unanswered() { // else nobody has it to miss
			s.checkNeeded("the TXT record is removed")
		}
		return
	}
	if id == s.givenUp {
		s.fail("id %s is in its object again, although it was given up (I6)", id)
	}
	if had := mtasts.ID(s.txt); mtasts.ID(id).Compare(had) < 0 && !had.GivesWay(mtasts.ID(id), s.laterClock()) {
		s.fail("TXT %s goes over the greater %s (I3)", id, s.txt)
	}
	if id == s.spec.InForceID {
		return // what was in force is put back at any time: a dark record protects nobody
	}
	resumed := s.rewound == s.spec.LastID // a crash between the record and DNS, however long ago that was
	if s.foreign != nil && !s.blind && !resumed && s.now.Sub(s.foreignSince) > time.Hour {
		s.fail("id %s goes to DNS while the policy URL serves somebody else's policy since %s (I1)", id, s.foreignSince)
	}
	for _, p := range s.pods {
		if p.counted() && p.id() != id {
			s.fail("id %s goes to DNS while %s serves %q (I1)", id, p.name, p.id())
		}
	}
}
