package controllers

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/controllers/internal/fair"
	"github.com/mta-sts-operator/mta-sts-operator/controllers/internal/publication"
)

// queueOf is a queue of domains that stand as told.
func queueOf(t *testing.T, workers int, stands map[string]standing) *domainQueue {
	t.Helper()
	inside := priorityqueue.New[domainKey](t.Name())
	q := newDomainQueue(inside, passLimits(workers), func(domain string) standing { return stands[domain] })
	t.Cleanup(func() {
		if !q.ShuttingDown() {
			q.ShutDown()
		}
	})
	return q
}

// waitFor waits until so many passes wait for a worker.
func (q *domainQueue) waitFor(t *testing.T, at fair.Level, n int) {
	t.Helper()
	for range 1000 {
		if q.waiting(at) == n {
			return
		}
		time.Sleep(5 * time.Millisecond) // until what is due is in the line
	}
	t.Fatalf("%d wait at level %d, want %d", q.waiting(at), at, n)
}

// handsOut is what the queue hands out, next to next, as long as somebody is there to take it.
func (q *domainQueue) handsOut(t *testing.T, n int) (out []string) {
	t.Helper()
	for range n {
		key, _, shutdown := q.GetWithPriority()
		if shutdown {
			t.Fatal("the queue is closed")
		}
		out = append(out, key.Domain)
	}
	return out
}

func policyOf(namespace, domain string, generation int64, mode v1alpha1.Mode) *v1alpha1.MTASTSPolicy {
	return &v1alpha1.MTASTSPolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Generation: generation, ResourceVersion: fmt.Sprint(generation)},
		Spec:       v1alpha1.MTASTSPolicySpec{Domain: domain, Mode: mode},
	}
}

func TestANamespaceOfSilentDomainsLeavesWorkersToTheOthers(t *testing.T) {
	q := queueOf(t, 64, map[string]standing{"victim.example": {namespace: "mail", level: fair.Edit}})
	for i := range 400 {
		q.due(domainKey{fmt.Sprintf("d%d.example", i)}, "evil", fair.First, false)
	}
	q.waitFor(t, fair.First, 400)
	q.handsOut(t, 12) // which never end
	q.due(domainKey{"victim.example"}, "mail", fair.Edit, true)
	q.due(domainKey{"own.example"}, "evil", fair.Leaving, true)
	got := q.handsOut(t, 2)
	if got[0] != "own.example" && got[1] != "own.example" || got[0] != "victim.example" && got[1] != "victim.example" {
		t.Errorf("%v come next", got)
	}
	if q.waiting(fair.First) != 388 {
		t.Errorf("%d wait", q.waiting(fair.First))
	}
}

func TestPassesThatWaitAreCounted(t *testing.T) {
	q := queueOf(t, 64, nil)
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(q)
	q.due(domainKey{"a.example"}, "mail", fair.Edit, false)
	q.waitFor(t, fair.Edit, 1)
	const want = `# HELP mtasts_passes_waiting Passes over domains that wait for a worker, by how urgent they are.
# TYPE mtasts_passes_waiting gauge
mtasts_passes_waiting{priority="edit"} 1
mtasts_passes_waiting{priority="first"} 0
mtasts_passes_waiting{priority="leaving"} 0
mtasts_passes_waiting{priority="rest"} 0
`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
}

func TestAnEditEndsWaitingLongerAndLonger(t *testing.T) {
	tried := publication.Tried{At: testNow, Tries: 20, Since: testNow.Add(-time.Hour)}
	for name, announced := range map[string]bool{"of what nobody has seen": false, "of what senders see": true} {
		t.Run(name, func(t *testing.T) {
			s := inForceScope()
			if !announced {
				s.publication.Spec.AnnouncedID = ""
			}
			m := &memory{}
			m.follow(s.claims)
			m.world, m.public = &publication.World{DNS: publication.DNS{Tried: tried}}, &publication.Public{Tried: tried}
			m.objected = testNow
			m.follow(s.claims)
			if m.world.DNS.Tried != tried || m.public.Tried != tried || m.objected.IsZero() {
				t.Error("without an edit it begins anew")
			}
			s.winner.Generation++
			m.follow(s.claims)
			if anew := m.public.At.IsZero(); anew == announced || !m.objected.IsZero() {
				t.Errorf("begins anew: %t", anew)
			}
		})
	}
}

func TestLooksAtRestLeaveWorkersToAllElse(t *testing.T) {
	q := queueOf(t, 64, nil)
	for i := range 1000 {
		q.due(domainKey{fmt.Sprintf("d%d.example", i)}, fmt.Sprintf("n%d", i%100), fair.Rest, false)
	}
	q.waitFor(t, fair.Rest, 1000)
	q.handsOut(t, 16)
	q.due(domainKey{"first.example"}, "n1", fair.First, false)
	if got := q.handsOut(t, 1); got[0] != "first.example" {
		t.Errorf("%v comes next", got)
	}
}

func TestADomainIsWorkedOnByOneWorkerAndNotForgotten(t *testing.T) {
	q := queueOf(t, 64, nil)
	key := domainKey{"a.example"}
	q.due(key, "mail", fair.First, false)
	q.handsOut(t, 1)
	q.due(key, "mail", fair.Edit, false) // while it is worked on
	q.due(domainKey{"b.example"}, "other", fair.First, false)
	if got := q.handsOut(t, 1); got[0] != "b.example" {
		t.Errorf("%v is handed out twice", got)
	}
	q.Done(key)
	if got, priority, _ := q.GetWithPriority(); got != key || priority != priorityOf(fair.Edit, false) {
		t.Errorf("%v with priority %d comes next", got, priority)
	}
}

func TestWhatHappensWhileADomainWaitsIsOnePass(t *testing.T) {
	q := queueOf(t, 64, map[string]standing{"a.example": {namespace: "mail", level: fair.Edit}})
	key := domainKey{"a.example"}
	q.due(key, "mail", fair.First, false)
	q.waitFor(t, fair.First, 1)
	q.due(key, "mail", fair.Leaving, true)
	q.Add(key)
	if got, priority, _ := q.GetWithPriority(); got != key || priority != priorityOf(fair.Leaving, false) {
		t.Errorf("%v with priority %d comes next", got, priority)
	}
	q.Done(key)
	q.due(domainKey{"b.example"}, "mail", fair.Rest, false)
	if got := q.handsOut(t, 1); got[0] != "b.example" {
		t.Errorf("another pass over %v", got)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.wanted) != 0 {
		t.Errorf("%v is remembered", q.wanted)
	}
}

func TestManyWorkersEmptyTheQueue(t *testing.T) {
	q := queueOf(t, 8, nil)
	var mu sync.Mutex
	passes := map[string]int{}
	var workers sync.WaitGroup
	for range 8 {
		workers.Go(func() {
			for {
				key, _, shutdown := q.GetWithPriority()
				if shutdown {
					return
				}
				mu.Lock()
				passes[key.Domain]++
				mu.Unlock()
				q.Done(key)
			}
		})
	}
	for i := range 500 {
		for at := range fair.Levels {
			q.due(domainKey{fmt.Sprintf("d%d.example", i)}, fmt.Sprintf("n%d", i%7), fair.Level(at), i%2 == 0)
		}
		q.AddAfter(domainKey{fmt.Sprintf("d%d.example", i)}, time.Duration(i%5)*time.Millisecond)
	}
	for range 1000 {
		mu.Lock()
		n := len(passes)
		mu.Unlock()
		if n == 500 {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	q.ShutDown()
	workers.Wait()
	if len(passes) != 500 {
		t.Errorf("passes over %d of 500 domains", len(passes))
	}
}

func TestWhatHappensIsAsUrgentAsWhatSendersSee(t *testing.T) {
	announced := standing{namespace: "mail", level: fair.Edit}
	enforced := standing{namespace: "mail", level: fair.Edit, enforces: true}
	const enforce, trial = v1alpha1.ModeEnforce, v1alpha1.ModeTesting
	p := func(namespace string, generation int64, mode v1alpha1.Mode) *v1alpha1.MTASTSPolicy {
		return policyOf(namespace, "a.example", generation, mode)
	}
	for name, tt := range map[string]struct {
		stands   standing
		old, new client.Object
		want     int
	}{
		"an edit of what senders see":           {announced, p("mail", 1, trial), p("mail", 2, enforce), priorityOf(fair.Edit, true)},
		"an annotation of it":                   {announced, p("mail", 1, trial), annotated(p("mail", 1, trial)), priorityOf(fair.Edit, false)},
		"leaving enforce":                       {enforced, p("mail", 1, enforce), p("mail", 2, trial), priorityOf(fair.Leaving, true)},
		"an edit that goes on enforcing":        {enforced, p("mail", 1, enforce), p("mail", 2, enforce), priorityOf(fair.Edit, true)},
		"an edit of what nobody has seen":       {standing{namespace: "mail", level: fair.First}, p("mail", 1, enforce), p("mail", 2, trial), priorityOf(fair.First, true)},
		"of a domain of which nothing is known": {standing{}, p("mail", 1, enforce), p("mail", 2, trial), priorityOf(fair.First, true)},
		"a claim to somebody else's domain":     {enforced, p("evil", 1, enforce), p("evil", 2, trial), priorityOf(fair.First, true)},
		"an Ingress of it":                      {announced, ingressOf("mail", "1"), ingressOf("mail", "2"), priorityOf(fair.Edit, false)},
		"an Ingress elsewhere":                  {announced, ingressOf("evil", "1"), ingressOf("evil", "2"), priorityOf(fair.First, false)},
		"nothing, told again":                   {announced, p("mail", 2, trial), p("mail", 2, trial), priorityOf(fair.Rest, false)},
	} {
		t.Run(name, func(t *testing.T) {
			stands := map[string]standing{"a.example": tt.stands}
			q := queueOf(t, 64, stands)
			// A pass that is under way keeps what happens in view.
			q.due(domainKey{"a.example"}, "mail", fair.Rest, false)
			q.handsOut(t, 1)
			change := event.TypedUpdateEvent[client.Object]{ObjectOld: tt.old, ObjectNew: tt.new}
			domainEvents{ofEither, q.standing}.Update(t.Context(), change, q)
			q.mu.Lock()
			defer q.mu.Unlock()
			if got := q.wanted[domainKey{"a.example"}]; len(got) != 1 || got[tt.new.GetNamespace()] != tt.want {
				t.Errorf("wanted %v, want %d", got, tt.want)
			}
		})
	}
}

// ofEither is the domain of a policy, or of what it has made.
func ofEither(ctx context.Context, o client.Object) []domainKey {
	if domain := o.GetAnnotations()[v1alpha1.DomainAnnotation]; domain != "" {
		return []domainKey{{domain}}
	}
	return domainOf(ctx, o)
}

func annotated(p *v1alpha1.MTASTSPolicy) *v1alpha1.MTASTSPolicy {
	p.Annotations, p.ResourceVersion = map[string]string{"a": "b"}, "next"
	return p
}

func ingressOf(namespace, version string) *networkingv1.Ingress {
	return &networkingv1.Ingress{ObjectMeta: metav1.ObjectMeta{
		Namespace: namespace, ResourceVersion: version, Annotations: map[string]string{v1alpha1.DomainAnnotation: "a.example"},
	}}
}

func TestWhatWasThereAtTheStartIsLookedAtLast(t *testing.T) {
	q := queueOf(t, 64, nil)
	events := domainEvents{domainOf, q.standing}
	for _, domain := range []string{"old.example", "new.example"} {
		events.Create(t.Context(), event.TypedCreateEvent[client.Object]{
			Object: policyOf("mail", domain, 1, v1alpha1.ModeTesting), IsInInitialList: domain == "old.example",
		}, q)
	}
	q.waitFor(t, fair.Rest, 1)
	q.waitFor(t, fair.First, 1)
}

func TestADomainStandsWhereSendersSeeIt(t *testing.T) {
	edit := func(change func(*scope)) *scope {
		s := inForceScope()
		change(s)
		return s
	}
	for name, tt := range map[string]struct {
		s    *scope
		want standing
	}{
		"in force": {inForceScope(), standing{"mail", fair.Edit, true}},
		"never announced": {edit(func(s *scope) {
			s.publication.Spec.AnnouncedID, s.publication.Spec.InForceID = "", ""
		}), standing{"mail", fair.First, false}},
		"no publication": {edit(func(s *scope) { s.publication = nil }), standing{"mail", fair.First, false}},
		"nobody's":       {&scope{}, standing{"", fair.First, false}},
		"leaving enforce, not recorded yet": {edit(func(s *scope) {
			s.winner.Spec.Mode = v1alpha1.ModeTesting
		}), standing{"mail", fair.Leaving, true}},
		"leaving enforce, on its way": {edit(func(s *scope) {
			s.winner.Spec.Mode, s.publication.Spec.Current.Mode = v1alpha1.ModeTesting, v1alpha1.ModeTesting
			s.publication.Spec.Current.ID = "next"
			s.publication.Spec.Ledger = []v1alpha1.LedgerEntry{{ID: s.publication.Spec.InForceID}}
		}), standing{"mail", fair.Leaving, true}},
		"left enforce": {edit(func(s *scope) {
			s.winner.Spec.Mode, s.publication.Spec.Current.Mode = v1alpha1.ModeTesting, v1alpha1.ModeTesting
			s.publication.Spec.Ledger = []v1alpha1.LedgerEntry{{ID: "x", CachedUntil: new(metav1.Now())}}
		}), standing{"mail", fair.Edit, false}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := tt.s.standing(); got != tt.want {
				t.Errorf("stands %+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestAnEditKeepsItsPriorityUntilItIsInForce(t *testing.T) {
	r := &domainReconciler{}
	for _, tt := range []struct {
		state   v1alpha1.State
		stalled bool
		want    fair.Level
	}{
		{v1alpha1.StateServing, false, fair.Edit},
		{v1alpha1.StateServing, true, fair.Edit},
		{v1alpha1.StateAnnouncing, false, fair.Edit},
		{v1alpha1.StateHeld, false, fair.Edit}, // its MX hosts are being asked
		{v1alpha1.StateHeld, true, fair.Rest},
		{v1alpha1.StateInForce, false, fair.Rest},
	} {
		s := inForceScope()
		s.decision.State, s.decision.Stalled = tt.state, tt.stalled
		if got := r.level(s); got != tt.want {
			t.Errorf("%s, stalled %t: level %d, want %d", tt.state, tt.stalled, got, tt.want)
		}
	}
}
