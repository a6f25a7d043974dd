package simulation

import (
	"slices"
	"strings"
	"time"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/controllers/internal/publication"
	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
)

// oldServers is for how long resolvers go on asking the servers of before a zone moved.
const oldServers = 48 * time.Hour

// leaving is what the owner of the zone does without asking: the records are gone, or come back weeks later.
type leaving struct {
	// dropped is set while the zone does not have our records; whoever is asked instead may have another's.
	dropped bool
	another []string
	// emptySince is since when no name server answers an id of ours.
	emptySince time.Time
	// givenUp is the id whose object was taken away because DNS had left us.
	givenUp string
	// forever is set when the records do not come back.
	forever bool
}

// drop takes our records out of DNS. Half the time the whole zone moves to other servers: then resolvers that know
// the old ones go on asking those, which answer what they answered last.
func (s *sim) drop() {
	if s.dropped || s.back != nil || s.spec == nil || s.spec.InForceID == "" {
		return
	}
	moves, d := s.chance(2), pick(s, 5*time.Hour, 4*day, 9*day, 30*day)
	if moves {
		d = max(d, 4*day) // nobody goes back while resolvers ask the servers of before
		last := s.nameservers[s.rnd.IntN(2)]
		for _, c := range s.senders {
			for i := range c.resolvers {
				c.resolvers[i].old, c.resolvers[i].oldAnswer = s.now.Add(s.within(oldServers)), last
			}
		}
	}
	s.another = pick(s, nil, nil, []string{"20270101theirs"}, []string{foreignID})
	if slices.Contains(s.spec.FoundIDs, foreignID) && s.chance(2) {
		s.another = []string{foreignID} // back to where they came from
	}
	s.tell("the zone drops our records for %s, moves: %t, answers %v", d, moves, s.another)
	s.dropped = true
	s.nameservers[0], s.nameservers[1] = s.another, s.another
	s.after(d, func() {
		if s.dropped && !s.forever {
			s.takeBack()
		}
	})
}

// anothers says whether an id is of whom DNS was left to: what senders hold by it is not ours to end, whoever answers
// at the URL.
func (s *sim) anothers(id string) bool {
	_, ours := mtasts.ParseID(id)
	return !ours && (s.dropped || (s.spec != nil && s.spec.Retirement != nil && s.spec.Retirement.AbsentSince != nil))
}

// takeBack has the zone point to our records again, whatever they say by now.
func (s *sim) takeBack() {
	s.tell("the zone has our records again: %v", s.zone)
	s.dropped, s.another = false, nil
	s.transfer()
}

// forsake drops the records first and deletes the policy later.
func (s *sim) forsake() {
	if s.claim == nil || s.claim.DeletionPolicy != v1alpha1.DeletionDrain {
		return
	}
	s.drop()
	s.after(s.within(pick(s, 20*time.Minute, 2*day)), func() {
		if s.claim != nil && s.claim.DeletionPolicy == v1alpha1.DeletionDrain && s.dropped {
			s.tell("the policy is deleted after its records")
			s.claim = nil
			s.wakeIn(0)
		}
	})
}

// noteEmpty notes since when no name server answers an id of ours.
func (s *sim) noteEmpty() {
	ours := func(id string) bool { _, ok := mtasts.ParseID(id); return ok }
	switch seen := slices.ContainsFunc(slices.Concat(s.nameservers[0], s.nameservers[1]), ours); {
	case seen:
		s.emptySince = time.Time{}
	case s.emptySince.IsZero():
		s.emptySince = s.now
	}
}

// row is what the operator has seen of DNS since anything else than an answer without an id of ours.
type row struct {
	looks int
	since time.Time
}

// add is the row after one more look.
func (r row) add(dns publication.DNS, now time.Time) row {
	ours := func(id string) bool { _, ok := mtasts.ParseID(id); return ok }
	switch {
	case dns.Answer == publication.Unknown, dns.Secondhand, slices.ContainsFunc(dns.IDs, ours):
		return row{}
	case r.looks == 0:
		r.since = now
	}
	r.looks++
	return r
}

// unanswered says whether no name server has answered an id of ours for as long as proof takes.
func (s *sim) unanswered() bool {
	return !s.emptySince.IsZero() && s.now.Sub(s.emptySince) >= s.tm.ProofPeriod
}

// checkDark makes sure that DNS is taken to have left us only when it has (I5, I6).
func (s *sim) checkDark(before, after *v1alpha1.MTASTSPublicationSpec) {
	dark := func(r *v1alpha1.Retirement) bool { return r != nil && r.AbsentSince != nil && r.RemovingSince == nil }
	if before == nil || dark(before.Retirement) || !dark(after.Retirement) {
		return
	}
	s.Dark++
	if before.InForceID != after.Current.ID {
		s.givenUp = before.InForceID
	}
	switch r := s.row; {
	case !s.unanswered():
		s.fail("DNS is taken to have left us although it answers %v since %s (I5)", s.nameservers, s.emptySince)
	case r.looks < s.tm.ProofLooks || (s.now.Sub(r.since) < s.tm.ProofPeriod && s.stepped.Before(r.since)):
		s.fail("DNS is taken to have left us after %d looks since %s (I5)", r.looks, r.since)
	}
}

// saysTheWord is an admin who means it: after a while the command of the message is run, as it stands there.
func (s *sim) saysTheWord() {
	if s.last.Reason != v1alpha1.ReasonRetirementHeld || s.word != "" || s.spec == nil || s.spec.PolicyGoneAt == nil {
		return
	}
	_, s.word, _ = strings.Cut(s.last.Message, v1alpha1.ReleaseAnnotation+"=")
	s.said = true
	s.words = append(s.words, s.word)
	s.tell("an admin says the word: %s", s.word)
	s.wakeIn(0)
}
