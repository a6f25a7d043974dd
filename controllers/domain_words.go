package controllers

import (
	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/controllers/internal/publication"
)

// Admins tell by annotations on a publication what no program can know. They are heeded in one order, each in
// the pass that finds it: a transfer first, and alone (handOver); then that the cluster's data was restored;
// then the end of a gap, by its id; last the release of a retirement. What was heeded is removed in the same
// patch that records it, and what means nothing is removed with a Warning. A backup taken before that brings
// the word back, and by then it is void.

// observeWords reads them. That the data was restored is said of all domains at once: each waits for a turn,
// as looks at rest do.
func (r *domainReconciler) observeWords(s *scope) {
	annotations := s.publication.Annotations
	s.observation.Words = publication.Words{DiscardGap: annotations[v1alpha1.DiscardGapAnnotation]}
	restored := annotations[v1alpha1.RestoredAnnotation]
	if restored == "" {
		return
	}
	now := r.Clock.Now()
	if !r.takeTurn(s.memory, now) {
		s.turnIn = s.memory.turn.Sub(now)
		return
	}
	s.observation.Words.Restored = restored
}
