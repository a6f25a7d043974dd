package controllers

import (
	"context"
	"time"

	apimeta "k8s.io/apimachinery/pkg/api/meta"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
)

// atRest says whether the domain waits for nothing but time or its owner.
func (r *domainReconciler) atRest(s *scope) bool {
	switch s.decision.State {
	case v1alpha1.StateInForce, v1alpha1.StateHeld, v1alpha1.StateRetiring, v1alpha1.StateOrphaned:
		return s.publication != nil && s.publication.Spec.Current != nil
	default:
		return false
	}
}

// restLook is how long it is until the domain at rest is to be looked at again.
func (r *domainReconciler) restLook(s *scope) time.Duration {
	now := r.Clock.Now()
	wait := s.memory.restDue(s.publication.Spec.InForceID, s.well(), now, r.Timings).Sub(now)
	if s.changesWays() {
		wait = min(wait, s.memory.way.at.Add(r.Timings.PollMost).Sub(now))
	}
	return wait
}

// well says whether the status shows that the domain is in force and nothing is wrong with it.
func (s *scope) well() bool {
	return s.winner == nil || (s.winner.Status.State == v1alpha1.StateInForce &&
		apimeta.IsStatusConditionTrue(s.winner.Status.Conditions, v1alpha1.ConditionReady))
}

// restLooksPerSecond bounds the looks at domains at rest, whose number knows no bound: DNS and mail servers
// of others answer them.
const restLooksPerSecond = 10

// lookAtRest makes the periodic looks at what is in force, if the domain gets its turn.
func (r *domainReconciler) lookAtRest(ctx context.Context, s *scope) error {
	if !r.takeTurn(s.memory, r.Clock.Now()) {
		return nil
	}
	r.lookDNS(ctx, s)
	r.lookPublic(ctx, s)
	r.lookWays(ctx, s)
	r.lookMX(ctx, s)
	s.memory.rested(r.Clock.Now(), r.Timings)
	return context.Cause(ctx)
}

// takeTurn says whether it is the domain's turn to be looked at; if not, it is due again when it will be.
// A turn is reserved once and kept: who had to come back and ask again would do so every second, and
// with him everybody else in the line.
func (r *domainReconciler) takeTurn(m *memory, now time.Time) bool {
	if m.turn.IsZero() {
		m.turn = now.Add(r.restLooks.ReserveN(now, 1).DelayFrom(now))
	}
	if m.turn.After(now) {
		m.lookAt = m.turn
		return false
	}
	m.turn = time.Time{}
	return true
}
