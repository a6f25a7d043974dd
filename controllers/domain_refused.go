package controllers

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
)

// Anybody may claim a domain, as often as they like, and whoever is refused is told in a pass that belongs to the
// owner. Each word costs a write: one pass says twenty, which is a fraction of a second, and the next one goes on
// a second later (I11).
const (
	mostRefusedTold = 20
	refusedAgain    = time.Second
)

// refusedNews is a policy that is not followed, and the status that it does not have yet.
type refusedNews struct {
	policy *v1alpha1.MTASTSPolicy
	status v1alpha1.MTASTSPolicyStatus
}

// reportRefused tells some of those who are refused, and has another pass tell the rest. What goes wrong with them
// is not the owner's business: it neither fails the pass nor has it made again at once.
func (r *domainReconciler) reportRefused(ctx context.Context, s *scope) {
	line := r.refusedNews(s)
	if len(line) == 0 {
		s.memory.refusedFailed = 0
		return
	}
	first, failed := s.memory.refusedFailed%len(line), 0
	line = slices.Concat(line[first:], line[:first])
	now := line[:min(len(line), mostRefusedTold)]
	for _, news := range now {
		if _, err := r.reportPolicy(ctx, s.memory, news.policy, news.status); err != nil {
			s.memory.drop(news.policy)
			failed++
			log.FromContext(ctx).V(1).Info("a policy that is not followed was not told", "problem", err.Error())
		}
	}
	s.memory.refusedFailed = first + failed
	switch {
	case failed == len(now):
		s.again(r.Timings.PollMost)
	case failed > 0 || len(now) < len(line):
		s.again(refusedAgain)
	}
}

// refusedNews are the policies that have not been told yet why they are not followed: namespaces in turn, so that
// one with thousands of claims keeps no other from hearing, and the oldest of each first.
func (r *domainReconciler) refusedNews(s *scope) []refusedNews {
	var out []refusedNews
	place, before := map[*v1alpha1.MTASTSPolicy]int{}, map[string]int{}
	for _, policy := range slices.SortedFunc(maps.Keys(s.refused), func(a, b *v1alpha1.MTASTSPolicy) int { return byAge(a, b) }) {
		status := r.withReferences(refusedStatus(policy, s.refused[policy], s.now(r)))
		if apiequality.Semantic.DeepEqual(policy.Status, status) {
			continue
		}
		place[policy] = before[policy.Namespace]
		before[policy.Namespace]++
		out = append(out, refusedNews{policy, status})
	}
	slices.SortStableFunc(out, func(a, b refusedNews) int { return cmp.Compare(place[a.policy], place[b.policy]) })
	return out
}
