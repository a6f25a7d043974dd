package controllers

import (
	"time"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
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

// newsPerSecond bounds the news of changes that are on their way, newsBurst is how many may be told at once.
// When thousands are, telling of each would hold up all of them. What cannot go on by itself is always told.
const (
	newsPerSecond = 10
	newsBurst     = 50
)

// silence is how long the news of the winner's change have to wait; 0 if they may be told now, or are none.
func (r *domainReconciler) silence(s *scope, status v1alpha1.MTASTSPolicyStatus, now time.Time) time.Duration {
	p := &s.memory.progress
	wait := p.wait(s.winner.Generation, now, r.Timings.TellAfter)
	if wait == 0 && !apiequality.Semantic.DeepEqual(s.winner.Status, status) && !r.news.AllowN(now, 1) {
		p.told(now, r.Timings.PollMost)
		wait = p.wait(s.winner.Generation, now, r.Timings.TellAfter)
	}
	return wait
}

// wait is how long the news of a change of this generation have to wait; 0 says that they may be told now.
func (p *progress) wait(generation int64, now time.Time, first time.Duration) time.Duration {
	if p.since.IsZero() || p.generation != generation {
		*p = progress{generation: generation, since: now, next: first}
	}
	return left(p.since, p.next, now)
}

// told notes that the news have been told, or left out; the next ones wait for most at most.
func (p *progress) told(now time.Time, most time.Duration) {
	age := now.Sub(p.since)
	p.next = age + min(age, most)
}

// underway says whether a status tells of nothing but a change that goes on by itself.
func underway(status v1alpha1.MTASTSPolicyStatus) bool {
	return apimeta.IsStatusConditionTrue(status.Conditions, v1alpha1.ConditionReconciling)
}
