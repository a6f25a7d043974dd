package controllers

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/controllers/internal/resources"
	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
	"github.com/mta-sts-operator/mta-sts-operator/internal/policyserver"
)

// shardWorld is a namespace in which somebody writes ConfigMaps beside the operator.
type shardWorld struct {
	t     *testing.T
	api   client.Client
	r     *serverReconciler
	state *serverState
	told  *events.FakeRecorder
	clock *clocktesting.FakeClock
	// server is what the operator knows of the namespace's server; Shards is what its pods mount.
	server       resources.Server
	publications []v1alpha1.MTASTSPublication
	reads        map[string]int
}

func newShardWorld(t *testing.T, domains ...string) *shardWorld {
	t.Helper()
	w := &shardWorld{t: t, reads: map[string]int{}, told: events.NewFakeRecorder(100), clock: clocktesting.NewFakeClock(testNow)}
	for _, domain := range domains {
		pub := publicationOf(domain, 2, testNow)
		pub.Namespace, pub.Name, pub.Spec.LastID = "mail", domain, pub.Spec.Current.ID
		w.publications = append(w.publications, pub)
	}
	build := fake.NewClientBuilder().WithScheme(NewScheme())
	for i := range w.publications {
		build.WithObjects(&w.publications[i])
	}
	w.api = build.WithInterceptorFuncs(interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
			w.reads[fmt.Sprintf("get %T", o)]++
			return c.Get(ctx, key, o, opts...)
		},
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
			w.reads[fmt.Sprintf("list %T", list)]++
			return c.List(ctx, list, opts...)
		},
	}).Build()
	w.server = resources.Server{Namespace: "mail", Anchor: "anchor"}
	w.restart()
	return w
}

func (w *shardWorld) restart() {
	w.state = &serverState{homes: map[string]int{}}
	w.r = &serverReconciler{
		Options: Options{Clock: w.clock}.withDefaults(), client: w.api, live: w.api, recorder: w.told,
		instances: newInstances(newAsker(w.clock, nil)), bounds: localClock,
	}
}

// pass is what the controller does about shards until it writes nothing more for now.
func (w *shardWorld) pass() error {
	w.t.Helper()
	for range 10 {
		wait, err := w.r.renderShards(w.t.Context(), w.server, w.state, w.publications)
		w.server.Shards = resources.DeclaredShards(max(w.state.needed, w.server.Shards))
		if err != nil && !stale(err) {
			return err
		}
		if err == nil && wait == 0 {
			return nil
		}
		w.clock.Step(wait)
	}
	w.t.Fatal("the operator does not come to rest")
	return nil
}

func (w *shardWorld) settle() {
	w.t.Helper()
	if err := w.pass(); err != nil {
		w.t.Fatal(err)
	}
}

// plant makes a ConfigMap as somebody who may write in the namespace does.
func (w *shardWorld) plant(name string, data map[string]string, owner bool) {
	w.t.Helper()
	cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "mail", Name: name, Labels: resources.ServerLabels()}, Data: data}
	if owner {
		cm.OwnerReferences = w.server.Shard(0, nil).OwnerReferences
	}
	if err := w.api.Create(w.t.Context(), cm); err != nil {
		w.t.Fatal(err)
	}
}

func (w *shardWorld) shard(n int) map[string]string {
	w.t.Helper()
	var cm corev1.ConfigMap
	if err := w.api.Get(w.t.Context(), client.ObjectKey{Namespace: "mail", Name: resources.ShardName(n)}, &cm); err != nil {
		w.t.Fatal(err)
	}
	return cm.Data
}

// edit changes a shard by hand.
func (w *shardWorld) edit(n int, change func(data map[string]string)) {
	w.t.Helper()
	var cm corev1.ConfigMap
	if err := w.api.Get(w.t.Context(), client.ObjectKey{Namespace: "mail", Name: resources.ShardName(n)}, &cm); err != nil {
		w.t.Fatal(err)
	}
	change(cm.Data)
	if err := w.api.Update(w.t.Context(), &cm); err != nil {
		w.t.Fatal(err)
	}
}

// kept is how many bytes of shards the operator remembers.
func (w *shardWorld) kept() (bytes int) {
	for _, shard := range w.state.shards {
		if shard != nil {
			bytes += metaBytes(shard.Data) + metaBytes(shard.Labels) + metaBytes(shard.Annotations)
		}
	}
	for host := range w.state.homes {
		bytes += len(host)
	}
	return bytes
}

// entries are what shard n must hold.
func (w *shardWorld) entries(n int, of ...v1alpha1.MTASTSPublication) map[string]string {
	out := map[string]string{policyserver.MarkerKey(n): policyserver.MarkerValue}
	for _, pub := range of {
		out[mtasts.PolicyHost(pub.Spec.Domain)] = policyserver.EncodeEntry(mtasts.ID(pub.Spec.Current.ID), pub.Spec.Current.Body)
	}
	return out
}

// junk is a ConfigMap's worth of hosts nobody publishes.
func junk(host func(k int) string) map[string]string {
	out := map[string]string{}
	for size, k := 0, 0; size < 900<<10; k++ {
		key := host(k)
		out[key] = "x"
		size += len(key) + 1
	}
	return out
}

// strangeHost is a host of a domain that could be published, and is not.
func strangeHost(k int) string {
	return fmt.Sprintf("mta-sts.x%d.%s%s", k, strings.Repeat("label.", 30), "example")
}

func TestNumbersInTheNamesOfConfigMapsAreNotBelieved(t *testing.T) {
	for _, when := range []string{"there before the operator", "made while it runs"} {
		t.Run(when, func(t *testing.T) {
			w := newShardWorld(t, "d.example")
			if when == "made while it runs" {
				w.settle()
			}
			for _, number := range []string{"2", "17", "511", "512", "3000", "20000000", "4611686018427387905", "99999999999999999999", "007", "+3", "one"} {
				w.plant("mta-sts-policies-"+number, map[string]string{"mta-sts.d.example": "x"}, true)
			}
			w.settle()
			if got := slices.Sorted(maps.Keys(w.state.shards)); !slices.Equal(got, []int{0}) || w.state.needed != 1 {
				t.Errorf("shards %v count, and %d are needed", got, w.state.needed)
			}
			if got := resources.DeclaredShards(w.server.Shards); got != 2 {
				t.Errorf("the pods mount %d shards", got)
			}
			if got, want := w.shard(0), w.entries(0, w.publications...); !maps.Equal(got, want) {
				t.Errorf("the shard holds %v", got)
			}
		})
	}
}

func TestTheNextShardMadeByAStrangerGrowsNothing(t *testing.T) {
	for _, tt := range []struct {
		name string
		host func(k int) string
	}{
		{"keys that are no hosts", func(k int) string { return fmt.Sprintf("x%0200d", k) }},
		{"hosts of no domain", func(k int) string { return fmt.Sprintf("mta-sts.-%0200d-.", k) }},
		{"hosts of domains that nobody publishes", strangeHost},
		{"markers of other shards", func(k int) string { return fmt.Sprintf("_shard-%0200d", k+2) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newShardWorld(t, "d.example")
			w.plant("mta-sts-policies-1", junk(tt.host), false)
			w.plant("mta-sts-policies-2", junk(tt.host), false)
			clear(w.reads)
			w.settle()
			for what, n := range w.reads {
				if n > 2*mostQuestions {
					t.Errorf("%s: %d times", what, n)
				}
			}
			if got := w.shard(1); len(got) > 1 {
				t.Errorf("of the next shard, which pods mount, %d keys are left", len(got))
			}
			if w.state.needed != 1 || len(w.state.shards) > 2 {
				t.Errorf("%d shards are needed, and %d count", w.state.needed, len(w.state.shards))
			}
			if bytes := w.kept(); bytes > 4<<10 {
				t.Errorf("%d bytes are remembered for one policy", bytes)
			}
			again := maps.Clone(w.reads)
			w.settle()
			if got := w.reads["get *v1alpha1.MTASTSPublication"]; got != again["get *v1alpha1.MTASTSPublication"] {
				t.Errorf("at rest the API server is asked for %d hosts", got)
			}
		})
	}
}

func TestWhatIsWrittenIntoAShardIsBounded(t *testing.T) {
	w := newShardWorld(t, "d.example", "e.example")
	w.settle()
	w.edit(0, func(data map[string]string) {
		maps.Copy(data, junk(strangeHost))
		data["mta-sts.d.example"] = strings.Repeat("y", 90<<10)
	})
	clear(w.reads)
	w.settle()
	if got, want := w.shard(0), w.entries(0, w.publications...); !maps.Equal(got, want) {
		t.Errorf("the shard holds %d entries, want %d", len(got), len(want))
	}
	if n := w.reads["get *v1alpha1.MTASTSPublication"]; n > mostQuestions {
		t.Errorf("the API server was asked for %d hosts one by one", n)
	}
	if bytes := w.kept(); bytes > 4<<10 {
		t.Errorf("%d bytes are remembered for two policies", bytes)
	}
}

func TestCopiesOfPoliciesInManyShardsAreBounded(t *testing.T) {
	var domains []string
	for k := range 60 {
		domains = append(domains, fmt.Sprintf("d%d.example", k))
	}
	w := newShardWorld(t, domains...)
	w.settle()
	w.server.Shards = resources.MostShards // somebody edits the Deployment, too
	copied := map[string]string{}
	for _, domain := range domains {
		copied[mtasts.PolicyHost(domain)] = strings.Repeat("z", 15<<10)
	}
	for n := 1; n <= 4; n++ {
		w.plant(resources.ShardName(n), copied, true)
	}
	if err := w.pass(); err == nil || !strings.Contains(err.Error(), "more than its policies can need") {
		t.Errorf("nothing is said: %v", err)
	}
	if bytes, most := w.kept(), slackBytes+len(domains)*(mostEntryBytes+64); bytes > most {
		t.Errorf("%d bytes are remembered, more than %d", bytes, most)
	}
}

func TestALongListIsNotMadeAgainAtOnce(t *testing.T) {
	w := newShardWorld(t, "d.example")
	w.settle()
	const lists = "list *v1.ConfigMapList"
	before := w.reads[lists]
	w.state.listedPages = mostPages // as of a namespace full of ConfigMaps with our labels
	for range 20 {
		w.state.shards = nil // as after a conflict
		if _, err := w.r.renderShards(t.Context(), w.server, w.state, w.publications); !stale(err) {
			t.Fatalf("the pass ended with %v", err)
		}
	}
	if n := w.reads[lists] - before; n > 0 {
		t.Errorf("%d lists within a moment", n)
	}
	w.clock.Step(mostPages * perPage)
	w.settle()
	if n := w.reads[lists] - before; n != 1 {
		t.Errorf("%d lists after the rest", n)
	}
}

func TestTooManyConfigMapsWithOurLabelsAreSaid(t *testing.T) {
	w := newShardWorld(t, "d.example")
	paged := interceptor.NewClient(w.api.(client.WithWatch), interceptor.Funcs{
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
			err := c.List(ctx, list, opts...)
			list.SetContinue("and more")
			return err
		},
	})
	w.r.live = paged
	for range 3 { // each time for the same reason, though it is not listed again
		err := w.pass()
		if err == nil || !strings.Contains(err.Error(), "more ConfigMaps with the labels of the policy server than it can need") {
			t.Fatalf("said %v", err)
		}
	}
	if n := w.reads["list *v1.ConfigMapList"]; n != mostPages {
		t.Errorf("%d pages were read", n)
	}
}

func TestManyConfigMapsThatClaimToBeShardsAreToldOnce(t *testing.T) {
	w := newShardWorld(t, "d.example")
	w.settle()
	for round := range 3 {
		for k := range 50 {
			w.plant(fmt.Sprintf("mta-sts-policies-%d", 1000*(round+1)+k), nil, true)
		}
		w.settle()
	}
	w.restart()
	w.told = events.NewFakeRecorder(100)
	w.r.recorder = w.told
	w.settle()
	w.settle()
	if n := len(w.told.Events); n != 1 {
		t.Fatalf("%d events", n)
	}
	if said := <-w.told.Events; !strings.Contains(said, v1alpha1.ReasonForeignConfigMap) || !strings.Contains(said, "mta-sts-policies-") {
		t.Errorf("said %q", said)
	}
}

func TestShardsThatSomebodyDeletesAgainAndAgainAreBroughtBackInTime(t *testing.T) {
	w := newShardWorld(t, "d.example")
	w.settle()
	remove := func() {
		t.Helper()
		cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "mail", Name: resources.ShardName(0)}}
		if err := w.api.Delete(t.Context(), cm); err != nil {
			t.Fatal(err)
		}
	}
	remove()
	w.settle() // the first time at once
	const lists = "list *v1alpha1.MTASTSPublicationList"
	before := w.reads[lists]
	began := w.clock.Now()
	for range 20 {
		remove()
		w.settle()
	}
	if took := w.clock.Since(began); took < 19*w.r.Timings.CoalesceMost {
		t.Errorf("20 times within %v", took)
	}
	if n := w.reads[lists] - before; n > 20 {
		t.Errorf("the publications were listed %d times", n)
	}
	if got, want := w.shard(0), w.entries(0, w.publications...); !maps.Equal(got, want) {
		t.Errorf("the shard holds %v", got)
	}
}

func TestANewLeaderFindsShardsBeyondAGap(t *testing.T) {
	w := newShardWorld(t, "a.example", "b.example")
	w.plant(resources.ShardName(0), w.entries(0, w.publications[0]), true)
	w.plant(resources.ShardName(3), w.entries(3, w.publications[1]), true)
	w.server.Shards = 4
	w.settle()
	if got, want := w.shard(0), w.entries(0, w.publications[0]); !maps.Equal(got, want) {
		t.Errorf("the first shard holds %v", got)
	}
	if got, want := w.shard(3), w.entries(3, w.publications[1]); !maps.Equal(got, want) {
		t.Errorf("the shard beyond the gap holds %v", got)
	}
	if w.state.needed != 4 {
		t.Errorf("%d shards are needed", w.state.needed)
	}
}

func TestANamespaceWithMorePoliciesThanShardsSaysSo(t *testing.T) {
	p := planFrom(nil)
	for n := range resources.MostShards {
		for k := range maxShardHosts {
			p.put(n, fmt.Sprintf("mta-sts.d%d-%d.example", n, k), "x")
		}
	}
	if n, ok := p.firstWithRoom(1); ok {
		t.Errorf("there is room in shard %d", n)
	}
	p.homeless = 3
	if err := p.full("mail"); err == nil || !strings.HasPrefix(err.Error(), "3 policies of namespace mail ") {
		t.Errorf("said %v", err)
	}
}
