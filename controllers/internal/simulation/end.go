package simulation

import (
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/controllers/internal/publication"
	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
)

// end makes sure that without faults everything comes to its end, and that nothing is written there.
func (s *sim) end() {
	s.until(s.now.Add(12 * day)) // what has begun ends by itself
	s.calmDown()
	keep := s.chance(2)
	policy := mtasts.Policy{Mode: mtasts.ModeEnforce, MX: slices.Clone(s.mx), MaxAgeSeconds: 2 * 86400}
	if s.claim == nil || keep {
		s.want(policy)
	}
	s.claim.DeletionPolicy = v1alpha1.DeletionDrain
	s.until(s.now.Add(6 * time.Hour))
	if s.err != nil {
		return
	}
	if keep {
		s.comesToRest(policy)
		return
	}
	theirs := func(e v1alpha1.LedgerEntry) bool { return e.ID == foreignID }
	if s.chance(3) || (s.spec != nil && slices.ContainsFunc(s.spec.Ledger, theirs)) {
		s.forever = true
		s.drop()
	}
	s.tell("the policy is deleted for good")
	s.claim = nil
	s.wakeIn(0)
	s.comesToNothing()
}

// calmDown ends all faults.
func (s *sim) calmDown() {
	s.tell("all faults end")
	s.retirementHeld, s.nullMX, s.crash, s.plan, s.mxChanged, s.apiSkew = false, false, false, nil, s.now, 0
	s.restart(0)
	if s.dropped {
		s.takeBack()
	}
	s.publishTXT()
	s.until(s.now.Add(3 * time.Hour))
	if s.spec != nil && s.spec.Contamination != nil && s.last.State != v1alpha1.StateOrphaned {
		s.fail("what was seen wrong with id %s is not healed (I10)", s.spec.Contamination.ID)
	}
}

// removeByHand takes away the record of a publication that has gone, which external-dns has left, as its message says.
func (s *sim) removeByHand() {
	s.tell("an admin removes the TXT record")
	s.upsertOnly = false
	s.publishTXT()
	s.until(s.now.Add(3 * day))
}

// comesToRest waits until the policy is in force and the ledger empty.
func (s *sim) comesToRest(policy mtasts.Policy) {
	if s.last.Reason == v1alpha1.ReasonObserving && s.upsertOnly {
		s.removeByHand()
	}
	if s.last.State != v1alpha1.StateInForce || !publication.PolicyOf(*s.spec.Current).Equal(policy) || !s.exactly(s.spec.Current.ID) || s.txt != s.spec.Current.ID {
		s.fail("without faults it ends in %s (%s: %s), TXT %s, DNS %v", s.last.State, s.last.Reason, s.last.Message, s.txt, s.nameservers)
		return
	}
	if slices.ContainsFunc(s.spec.Ledger, func(e v1alpha1.LedgerEntry) bool { return e.CachedUntil == nil }) {
		s.fail("entries of the ledger stay open without a cause: %v", s.spec.Ledger)
		return
	}
	s.until(s.now.Add(3 * day)) // somebody may yet say how long a gap lasts
	s.spoken = publication.Words{}
	for end := s.now.Add(60 * day); s.err == nil && s.endsSoon() && s.now.Before(end); {
		s.until(s.now.Add(12 * time.Hour))
	}
	if s.err != nil || s.endsSoon() {
		return
	}
	writes := s.Writes
	s.until(s.now.Add(3 * day))
	if s.Writes != writes {
		s.fail("%d writes at rest (I9)", s.Writes-writes)
	}
}

// endsSoon says whether an entry of the ledger ends within days. What nobody knows, or somebody else published, is
// kept for a year.
func (s *sim) endsSoon() bool {
	return slices.ContainsFunc(s.spec.Ledger, func(e v1alpha1.LedgerEntry) bool { return e.CachedUntil.Before(&metav1.Time{Time: s.now.Add(5 * day)}) })
}

// comesToNothing waits until the retired domain is gone, and then the senders' caches with it.
func (s *sim) comesToNothing() {
	for end := s.now.Add(500 * day); s.err == nil && s.spec != nil; {
		s.until(s.now.Add(12 * time.Hour))
		if s.now.After(end) {
			s.fail("never removed: %s (%s: %s)", s.last.State, s.last.Reason, s.last.Message)
		}
	}
	s.until(s.now.Add(3 * day))
	for _, c := range s.senders {
		if s.err == nil && c.enforces(s.now) && (c.from == nil || c.from.seen) {
			s.fail("%s still enforces id %s after everything is gone (I6)", c.name, c.id)
		}
	}
	writes := s.Writes
	s.until(s.now.Add(2 * day))
	if s.err == nil && s.Writes != writes {
		s.fail("%d writes after everything is gone (I9)", s.Writes-writes)
	}
}
