package controllers

import (
	"time"

	apimeta "k8s.io/apimachinery/pkg/api/meta"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
)

// progress spaces out what people are told while a change is on its way. Each word costs a write, and of
// what passes within a moment its end says enough: they are told when the change has taken TellAfter, and
// from then on each time it has become twice as old, once a minute at the least.
type progress struct {
	generation int64
	since      time.Time // when the change was first seen on its way; zero at rest
	next       time.Duration
}

// wait is how long the news of a change of this generation have to wait; 0 says that they may be told now.
func (p *progress) wait(generation int64, now time.Time, first time.Duration) time.Duration {
	if p.since.IsZero() || p.generation != generation {
		*p = progress{generation: generation, since: now, next: first}
	}
	return left(p.since, p.next, now)
}

// told notes that the news have been told; the next ones wait for most at most.
func (p *progress) told(now time.Time, most time.Duration) {
	age := now.Sub(p.since)
	p.next = age + min(age, most)
}

// underway says whether a status tells of nothing but a change that goes on by itself.
func underway(status v1alpha1.MTASTSPolicyStatus) bool {
	return apimeta.IsStatusConditionTrue(status.Conditions, v1alpha1.ConditionReconciling)
}
