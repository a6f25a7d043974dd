package controllers

import (
	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/controllers/internal/publication"
)

// Admins tell by annotations on a publication what no program can know. They are heeded in one order: that the
// cluster's data was restored first, so that what it means goes along with a transfer; then a transfer, in a pass
// of its own (handOver); then the end of a gap, by its id; last the release of a retirement. What was heeded is
// removed in the same patch that records it, and what means nothing is removed with a Warning. A backup taken
// before that brings the word back, and by then it is void.

// observeWords reads them. That the data was restored is said of all domains at once: each waits for a turn, as
// looks at rest do, and nothing ends or begins by what the data tells meanwhile (I5). Leaving enforce does not wait (I8).
func (r *domainReconciler) observeWords(s *scope) {
	annotations := s.publication.Annotations
	s.observation.Words = publication.Words{DiscardGap: annotations[v1alpha1.DiscardGapAnnotation]}
	restored := annotations[v1alpha1.RestoredAnnotation]
	if restored == "" {
		return
	}
	now := r.Clock.Now()
	if !s.leavesEnforce() && !r.takeTurn(s.memory, now) {
		s.turnIn = s.memory.turn.Sub(now)
		return
	}
	s.observation.Words.Restored = restored
}

// handsOver says whether the domain goes to its heir in this pass: not before it was heeded what a restore has lost.
func (s *scope) handsOver() bool {
	return s.heir != nil && s.publication.DeletionTimestamp.IsZero() && s.observation.Words.Restored == ""
}

// leavesEnforce says whether the policy asks for less than the enforce policy that is served.
func (s *scope) leavesEnforce() bool {
	current := s.publication.Spec.Current
	return s.winner != nil && current != nil && current.Mode == v1alpha1.ModeEnforce && s.winner.Spec.Mode != v1alpha1.ModeEnforce
}
