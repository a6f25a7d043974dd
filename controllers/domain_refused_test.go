package controllers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/events"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/controllers/internal/fair"
	"github.com/mta-sts-operator/mta-sts-operator/controllers/internal/publication"
)

// claimed is a domain in force that others claim as well. The status of a policy in fails cannot be written, nor can
// any of a namespace in it.
type claimed struct {
	*domainReconciler
	claims []v1alpha1.MTASTSPolicy
	memory *memory
	told   []string // in the order of the writes
	fails  map[string]error
}

// claimedBy is the domain with so many claims of each namespace, the first one's being the oldest.
func claimedBy(t *testing.T, n int, namespaces ...string) *claimed {
	t.Helper()
	c := &claimed{memory: newMemory(testDomain), fails: map[string]error{}}
	owner := inForceScope()
	objects := []client.Object{owner.winner, owner.publication}
	for k, namespace := range namespaces {
		for i := range n {
			p := testPolicy(namespace, fmt.Sprintf("p%04d", i), (len(namespaces)-k)*100_000-i)
			objects = append(objects, &p)
			c.claims = append(c.claims, p)
		}
	}
	api := fake.NewClientBuilder().WithScheme(NewScheme()).WithObjects(objects...).
		WithStatusSubresource(&v1alpha1.MTASTSPolicy{}, &v1alpha1.MTASTSPublication{}).
		WithInterceptorFuncs(interceptor.Funcs{SubResourcePatch: func(
			ctx context.Context, w client.Client, _ string, o client.Object, p client.Patch, opts ...client.SubResourcePatchOption,
		) error {
			name := o.GetNamespace() + "/" + o.GetName()
			c.told = append(c.told, name)
			if err := cmp.Or(c.fails[o.GetNamespace()], c.fails[name]); err != nil {
				return err
			}
			return w.Status().Patch(ctx, o, p, opts...)
		}}).Build()
	c.domainReconciler = &domainReconciler{
		client: api, live: api, children: children{client: api, live: api}, kinds: allKinds(), recorder: &events.FakeRecorder{},
	}
	c.Clock, c.Timings = clocktesting.NewFakeClock(testNow), publication.DefaultTimings()
	return c
}

// pass reports what a pass would that reads everything anew, and says which policies it wrote to.
func (c *claimed) pass(t *testing.T) (s *scope, told []string, err error) {
	t.Helper()
	s = inForceScope()
	s.memory, s.refused = c.memory, map[*v1alpha1.MTASTSPolicy]refusal{}
	if err := c.client.Get(t.Context(), client.ObjectKeyFromObject(s.winner), s.winner); err != nil {
		t.Fatal(err)
	}
	for i := range c.claims {
		p := &v1alpha1.MTASTSPolicy{}
		if err := c.client.Get(t.Context(), client.ObjectKeyFromObject(&c.claims[i]), p); err != nil {
			t.Fatal(err)
		}
		s.refused[p] = elsewhere(p, s.publication, grounds{})
	}
	c.told = nil
	err = c.report(t.Context(), s)
	return s, c.told, err
}

// untold is how many claims have not been told why they are not followed.
func (c *claimed) untold(t *testing.T) (n int) {
	t.Helper()
	for i := range c.claims {
		var p v1alpha1.MTASTSPolicy
		if err := c.client.Get(t.Context(), client.ObjectKeyFromObject(&c.claims[i]), &p); err != nil {
			t.Fatal(err)
		}
		if ready := apimeta.FindStatusCondition(p.Status.Conditions, v1alpha1.ConditionReady); ready == nil || ready.Reason != v1alpha1.ReasonDomainConflict {
			n++
		}
	}
	return n
}

func TestAStrangersClaimsDoNotKeepTheOwnersStatus(t *testing.T) {
	policies := schema.GroupResource{Group: "mtasts.dev", Resource: "mtastspolicies"}
	for name, fails := range map[string]error{
		"thousands of them":               nil,
		"each of which meets a conflict":  apierrors.NewConflict(policies, "p", errors.New("edited")),
		"each of which is refused":        apierrors.NewForbidden(policies, "p", errors.New("no")),
		"each of which has a stale cache": errStaleCache,
	} {
		t.Run(name, func(t *testing.T) {
			c := claimedBy(t, 2000, "evil")
			c.fails["evil"] = fails
			s, told, err := c.pass(t)
			if err != nil {
				t.Errorf("the owner's pass fails: %v", err)
			}
			if len(told) == 0 || told[0] != "mail/p" {
				t.Errorf("the owner is not told first, but %q", told[:min(len(told), 1)])
			}
			if len(told) > 1+mostRefusedTold {
				t.Errorf("%d statuses are written in the owner's pass", len(told))
			}
			if s.wakeIn <= 0 || s.wakeIn > c.Timings.PollMost {
				t.Errorf("the others are told in %s", s.wakeIn)
			}
			if at := c.level(s); at != fair.Rest {
				t.Errorf("the others are told at level %d", at)
			}
			if fails == nil && s.wakeIn != refusedAgain {
				t.Errorf("the next ones wait %s", s.wakeIn)
			}
		})
	}
}

func TestEverybodyWhoIsRefusedIsToldInTheEnd(t *testing.T) {
	for name, tt := range map[string]struct {
		fails         string
		first, passes int
	}{
		"all can be told":                       {"", 0, 2*50/mostRefusedTold + 1},
		"those who came first can never be":     {"evil", 50, 20},
		"more than a pass tells can never be":   {"evil", mostRefusedTold + 5, 20},
		"those who came last can never be told": {"good", 50, 20},
		"one can never be told":                 {"good", 1, 20},
	} {
		t.Run(name, func(t *testing.T) {
			c := claimedBy(t, 50, "evil", "good")
			for i := range tt.first {
				c.fails[fmt.Sprintf("%s/p%04d", tt.fails, i)] = errors.New("refused")
			}
			var s *scope
			for range tt.passes {
				s, _, _ = c.pass(t)
			}
			if got := c.untold(t); got != tt.first {
				t.Errorf("%d have not been told, want %d", got, tt.first)
			}
			if done := tt.first == 0; done != (s.wakeIn == 0) {
				t.Errorf("another pass is made in %s", s.wakeIn)
			}
			if tt.first > 0 && s.wakeIn < time.Minute {
				t.Errorf("those who cannot be told have a pass made every %s", s.wakeIn)
			}
		})
	}
}

func TestAWordThatDidNotComeThroughIsTriedAgainSoonIfOthersDid(t *testing.T) {
	c := claimedBy(t, 2, "good")
	c.fails["good/p0000"] = errors.New("refused")
	if s, _, _ := c.pass(t); s.wakeIn != refusedAgain {
		t.Errorf("another pass is made in %s", s.wakeIn)
	}
}

func TestOneNamespacesClaimsKeepNoOtherFromHearingWhyItIsRefused(t *testing.T) {
	c := claimedBy(t, 200, "evil", "good")
	_, told, err := c.pass(t)
	if err != nil {
		t.Fatal(err)
	}
	heard := map[string]int{}
	for _, name := range told {
		heard[name[:4]]++
	}
	if heard["evil"] != mostRefusedTold/2 || heard["good"] != mostRefusedTold/2 {
		t.Errorf("heard by namespace: %v", heard)
	}
}

func TestWhoIsRefusedIsToldAlthoughTheOwnersStatusCannotBeWritten(t *testing.T) {
	c := claimedBy(t, 1, "good")
	c.fails["mail"] = errors.New("refused")
	if _, _, err := c.pass(t); err == nil {
		t.Error("the owner's pass does not fail")
	}
	if n := c.untold(t); n > 0 {
		t.Errorf("%d have not been told", n)
	}
}

func TestAWriteThatMetAConflictIsNotTakenForTheNewestVersion(t *testing.T) {
	c := claimedBy(t, 1, "evil")
	c.fails["evil"] = apierrors.NewConflict(schema.GroupResource{}, "p", errors.New("restored"))
	c.memory.keep(&c.claims[0])
	if _, _, err := c.pass(t); err != nil {
		t.Fatal(err)
	}
	if _, ok := c.memory.wrote[c.claims[0].UID]; ok {
		t.Error("what the operator wrote before the conflict is believed")
	}
}
