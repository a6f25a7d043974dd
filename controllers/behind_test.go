package controllers

import (
	"context"
	"errors"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	externaldnsv1alpha1 "sigs.k8s.io/external-dns/apis/v1alpha1"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/controllers/internal/resources"
)

// behind is a client that writes to the API server and reads from a cache that stands still.
type behind struct {
	client.Client

	cache  client.Reader
	writes int
}

func (b *behind) Get(ctx context.Context, key client.ObjectKey, into client.Object, opts ...client.GetOption) error {
	return b.cache.Get(ctx, key, into, opts...)
}

func (b *behind) Create(ctx context.Context, o client.Object, opts ...client.CreateOption) error {
	b.writes++
	return b.Client.Create(ctx, o, opts...)
}

func (b *behind) Update(ctx context.Context, o client.Object, opts ...client.UpdateOption) error {
	b.writes++
	return b.Client.Update(ctx, o, opts...)
}

func (b *behind) Apply(ctx context.Context, ac runtime.ApplyConfiguration, opts ...client.ApplyOption) error {
	b.writes++
	return b.Client.Apply(ctx, ac, append(opts, client.FieldOwner(FieldOwner))...)
}

func TestTheAnchorIsKnownBeforeTheCacheShowsIt(t *testing.T) {
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{
		Namespace: "mail", Name: resources.ServerName, UID: "anchor", Labels: resources.ServerLabels(),
	}}
	live := fake.NewClientBuilder().WithScheme(NewScheme()).WithObjects(account).Build()
	b := &behind{Client: live, cache: fake.NewClientBuilder().WithScheme(NewScheme()).Build()}
	r := &serverReconciler{client: b, live: live, children: children{client: b, live: live}}
	for range 3 {
		server, err := r.anchor(t.Context(), "mail", &serverState{})
		if err != nil || server.Anchor != "anchor" {
			t.Errorf("the anchor is %q: %v", server.Anchor, err)
		}
	}
	if b.writes != 1 { // which completes what the test made
		t.Errorf("%d writes", b.writes)
	}
}

func TestWhatIsMadeAnewBelongsToTheAnchorThatIsThere(t *testing.T) {
	account := func(uid types.UID, version string) *corev1.ServiceAccount {
		return &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{
			Namespace: "mail", Name: resources.ServerName, UID: uid, ResourceVersion: version, Labels: resources.ServerLabels(),
		}}
	}
	live := fake.NewClientBuilder().WithScheme(NewScheme()).WithObjects(account("anchor", "9")).Build()
	cache := fake.NewClientBuilder().WithScheme(NewScheme()).WithObjects(account("gone", "5")).Build()
	b := &behind{Client: live, cache: cache}
	r := &serverReconciler{client: b, live: live, children: children{client: b, live: live}}
	state := &serverState{}
	for _, when := range []string{"before the Deployment is made anew", "after that"} {
		server, err := r.anchor(t.Context(), "mail", state)
		if err != nil || server.Anchor != "anchor" {
			t.Errorf("%s the anchor is %q: %v", when, server.Anchor, err)
		}
		deployment := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "mail", Name: resources.ServerName}}
		if err := cache.Create(t.Context(), deployment); client.IgnoreAlreadyExists(err) != nil {
			t.Fatal(err)
		}
	}
}

func TestAnEndpointIsKnownBeforeTheCacheShowsIt(t *testing.T) {
	live := fake.NewClientBuilder().WithScheme(NewScheme()).WithStatusSubresource(&externaldnsv1alpha1.DNSEndpoint{}).Build()
	b := &behind{Client: live, cache: fake.NewClientBuilder().WithScheme(NewScheme()).Build()}
	r := &domainReconciler{client: b, live: live, children: children{client: b, live: live}}
	s := &scope{domain: testDomain, memory: newMemories().of(testDomain), stands: true}
	d := resources.Domain{Name: testDomain, Namespace: "mail"}
	key := client.ObjectKey{Namespace: "mail", Name: resources.TXTEndpointName(testDomain)}
	known := func() *externaldnsv1alpha1.DNSEndpoint {
		t.Helper()
		e, err := r.newestEndpoint(t.Context(), s, key)
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	writes := func(id string, want int) {
		t.Helper()
		before := b.writes
		for range 3 { // as in one pass after the other
			if err := r.writeEndpoint(t.Context(), s, d.TXTEndpoint(id), known()); err != nil && !errors.Is(err, errStaleCache) {
				t.Fatal(err)
			}
		}
		if got, _ := resources.TXTEndpointID(known()); got != id || b.writes-before != want {
			t.Errorf("id %q is known after %d writes; want %q after %d", got, b.writes-before, id, want)
		}
	}
	writes("20260101000000aaaaaaaa", 1)
	b.cache = fake.NewClientBuilder().WithScheme(NewScheme()).WithObjects(known()).Build()
	writes("20260101000001bbbbbbbb", 1)
	seen := known().DeepCopy()
	seen.Status.ObservedGeneration = 7
	if err := live.Status().Update(t.Context(), seen); err != nil {
		t.Fatal(err)
	}
	writes("20260101000002cccccccc", 2) // the first meets a conflict

	if err := live.Delete(t.Context(), known()); err != nil {
		t.Fatal(err)
	}
	b.cache = fake.NewClientBuilder().WithScheme(NewScheme()).Build()
	if e := known(); e != nil {
		t.Errorf("known although it was deleted: %v", e)
	}
}

// The garbage collector would take them, and every deletion wake the pass that makes them again.
func TestNoChildIsMadeForAPublicationThatIsGone(t *testing.T) {
	live := fake.NewClientBuilder().WithScheme(NewScheme()).Build()
	b := &behind{Client: live, cache: live}
	r := &domainReconciler{client: b, live: live, children: children{client: b, live: live}, bounds: localClock}
	r.Clock = clocktesting.NewFakeClock(testNow)
	s := inForceScope()
	s.settings.Exposure, s.ways = v1alpha1.ExposureIngress, ways{ingressName: "mta-sts.example.com"}
	d := resources.NewDomain(s.publication, s.settings)
	if err := r.ensureIngress(t.Context(), s, d); !stale(err) {
		t.Errorf("Ingress: %v", err)
	}
	if err := r.writeEndpoint(t.Context(), s, d.TXTEndpoint(s.publication.Spec.AnnouncedID), nil); !stale(err) {
		t.Errorf("DNSEndpoint: %v", err)
	}
	if b.writes != 0 {
		t.Errorf("%d writes", b.writes)
	}
	s.publication.ResourceVersion = ""
	if err := live.Create(t.Context(), s.publication); err != nil {
		t.Fatal(err)
	}
	if err := r.ensureIngress(t.Context(), s, d); err != nil || b.writes != 1 {
		t.Errorf("with the publication: %v, %d writes", err, b.writes)
	}
}
