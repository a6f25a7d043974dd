package controllers

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/controllers/internal/publication"
	"github.com/mta-sts-operator/mta-sts-operator/internal/config"
)

func TestWhatAPublicationLeavesBehindLastsAsLongAsSendersHoldIt(t *testing.T) {
	tm := publication.DefaultTimings()
	hours := func(h int) *metav1.Time { return new(metav1.NewTime(testNow.Add(time.Duration(h) * time.Hour))) }
	const week = 7 * 24 * time.Hour
	for name, tt := range map[string]struct {
		edit func(*v1alpha1.MTASTSPublicationSpec)
		want time.Duration
	}{
		"what is announced": {func(*v1alpha1.MTASTSPublicationSpec) {}, week + 300*time.Second + time.Hour},
		"an open entry that lives longer": {
			func(s *v1alpha1.MTASTSPublicationSpec) {
				s.Ledger = []v1alpha1.LedgerEntry{{ID: "a", MaxAgeSeconds: 30 * 86400}}
			}, 30*24*time.Hour + 300*time.Second + time.Hour,
		},
		"a dated entry that lives longer": {
			func(s *v1alpha1.MTASTSPublicationSpec) {
				s.Ledger = []v1alpha1.LedgerEntry{{ID: "a", MaxAgeSeconds: 30 * 86400, CachedUntil: hours(300)}}
			}, 300 * time.Hour,
		},
		"a dated entry that is over before": {
			func(s *v1alpha1.MTASTSPublicationSpec) {
				s.Ledger = []v1alpha1.LedgerEntry{{ID: "a", MaxAgeSeconds: 30 * 86400, CachedUntil: hours(3)}}
			}, week + 300*time.Second + time.Hour,
		},
		"a date that a hand has written": {
			func(s *v1alpha1.MTASTSPublicationSpec) {
				s.Ledger = []v1alpha1.LedgerEntry{{ID: "a", CachedUntil: hours(24 * 365 * 60)}}
			}, mostTenure,
		},
		"a retirement that DNS has forgotten": {
			func(s *v1alpha1.MTASTSPublicationSpec) {
				s.Retirement = &v1alpha1.Retirement{AbsentSince: hours(-1)}
			}, tm.MemoryPatience,
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := announced("a", "p")
			p.Spec.Current, p.Spec.TTLMaxSeconds = &v1alpha1.Instance{MaxAgeSeconds: 604800}, 300
			tt.edit(&p.Spec)
			last := tenureOf(&p, tm).ended(testNow)
			if got := last.until.Sub(testNow); got != tt.want || last.namespace != "a" {
				t.Errorf("%s for %s, want %s", last.namespace, got, tt.want)
			}
		})
	}
}

func TestWhoAnnouncedNothingWasNobody(t *testing.T) {
	pub := testPublication("evil", "p")
	pub.Spec.LastID = "20260301120000aaaaaaaa"
	pub.Spec.Current = &v1alpha1.Instance{ID: pub.Spec.LastID, MaxAgeSeconds: 604800}
	pub.Spec.Ledger = []v1alpha1.LedgerEntry{{ID: "a", MaxAgeSeconds: 604800}}
	api := fake.NewClientBuilder().WithScheme(NewScheme()).WithObjects(&pub).
		WithIndex(&v1alpha1.MTASTSPolicy{}, domainIndex, func(o client.Object) []string { return []string{o.(*v1alpha1.MTASTSPolicy).Spec.Domain} }).
		WithIndex(&v1alpha1.MTASTSPublication{}, domainIndex, func(o client.Object) []string {
			return []string{o.(*v1alpha1.MTASTSPublication).Spec.Domain}
		}).Build()
	r := &domainReconciler{client: api, live: api, memories: newMemories(), mxHosts: newMXHosts(publication.DefaultTimings())}
	r.formers, r.Clock, r.Timings = &formersStore{formers: newFormers()}, clocktesting.NewFakeClock(testNow), publication.DefaultTimings()
	r.Config = config.Default()
	squatter, owner := testPolicy("evil", "p", 0), testPolicy("mail", "p", 90)
	for _, p := range []*v1alpha1.MTASTSPolicy{&squatter, &owner} {
		if err := api.Create(t.Context(), p); err != nil {
			t.Fatal(err)
		}
	}
	for announced, want := range map[string]string{"": "", pub.Spec.LastID: "evil"} {
		seen := pub.DeepCopy()
		seen.Spec.AnnouncedID = announced
		if err := client.IgnoreNotFound(api.Delete(t.Context(), seen)); err != nil {
			t.Fatal(err)
		}
		seen.ResourceVersion = ""
		if err := api.Create(t.Context(), seen); err != nil {
			t.Fatal(err)
		}
		if c, err := r.claimsOf(t.Context(), testDomain); err != nil || c.publication == nil {
			t.Fatalf("got %v, %v", c.publication, err)
		}
		if err := api.Delete(t.Context(), seen); err != nil {
			t.Fatal(err)
		}
		c, err := r.claimsOf(t.Context(), testDomain)
		if err != nil {
			t.Fatal(err)
		}
		winner := ""
		if c.winner != nil {
			winner = c.winner.Namespace
		}
		if winner != want {
			t.Errorf("after a publication that announced %q went, %q begins anew by %q", announced, winner, c.title)
		}
		for p, why := range c.refused {
			if announced == "" && strings.Contains(why.message, "last published from") {
				t.Errorf("%s is told: %s", p.Namespace, why.message)
			}
		}
		r.formers.clear(testDomain)
	}
}

func TestFormersEndWithTheirTimeOrWithAPublication(t *testing.T) {
	f := newFormers()
	f.note("one.example", former{"a", testNow.Add(time.Hour)})
	f.note("two.example", former{"a", testNow.Add(time.Hour)})
	f.note("two.example", former{"b", testNow.Add(2 * time.Hour)})
	f.clear("one.example")
	if f.of("one.example", testNow) != nil {
		t.Error("it outlives the next publication")
	}
	if last := f.of("two.example", testNow.Add(time.Hour)); last == nil || last.namespace != "b" {
		t.Errorf("got %v", last)
	}
	if f.of("two.example", testNow.Add(2*time.Hour)) != nil {
		t.Error("it outlives its time")
	}
	if len(f.data(testNow.Add(3*time.Hour))) != 0 || len(f.byDomain) != 0 || len(f.bytes) != 0 || f.total != 0 {
		t.Errorf("something is left: %v, %v, %d", f.byDomain, f.bytes, f.total)
	}
}

func TestNoNamespacePushesOutWhatAnotherHasStored(t *testing.T) {
	f := newFormers()
	f.note("victim.example", former{"victim", testNow.Add(time.Minute)})
	longest := strings.Repeat(strings.Repeat("a", 60)+".", 3) + "example"
	for i := range 6000 {
		f.note(fmt.Sprintf("x%d.%s", i, longest), former{fmt.Sprintf("evil-%d", i%3), testNow.Add(time.Duration(i+60) * time.Second)})
	}
	if f.of("victim.example", testNow) == nil {
		t.Error("the victim's is gone")
	}
	bytes := 0
	for namespace, lines := range f.data(testNow) {
		bytes += len(namespace) + len(lines)
	}
	if bytes > mostFormers || f.total > mostFormers || bytes < mostFormers/2 {
		t.Errorf("%d bytes are saved, %d counted", bytes, f.total)
	}
	if f.of("x5999."+longest, testNow) == nil || f.of("x0."+longest, testNow) != nil {
		t.Error("not what ends first was dropped")
	}
}

func TestFormersOutliveALeader(t *testing.T) {
	api := fake.NewClientBuilder().WithScheme(NewScheme()).Build()
	store := func(namespace string) *formersStore {
		return &formersStore{formers: newFormers(), client: api, live: api, clock: clocktesting.NewFakeClock(testNow), namespace: namespace}
	}
	first := store("mta-sts-system")
	if err := first.save(t.Context()); err != nil {
		t.Fatal(err)
	}
	first.note("one.example", former{"a", testNow.Add(time.Hour)})
	first.note("two.example", former{"b", testNow.Add(2 * time.Hour)})
	first.note("over.example", former{"b", testNow})
	for range 2 {
		if err := first.save(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	second := store("mta-sts-system")
	second.note("two.example", former{"c", testNow.Add(time.Minute)}) // seen before it had read
	for range 2 {
		if err := second.load(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	got := map[string]string{}
	for domain := range second.byDomain {
		got[domain] = second.of(domain, testNow).namespace
	}
	if diff := cmp.Diff(map[string]string{"one.example": "a", "two.example": "c"}, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	nowhere := store("")
	if err := nowhere.load(t.Context()); err != nil || len(nowhere.byDomain) != 0 {
		t.Errorf("%v, %v", err, nowhere.byDomain)
	}
}

func TestWhatMakesNoSenseAmongFormersIsPassedOver(t *testing.T) {
	f := newFormers()
	year := testNow.AddDate(1, 0, 0).Format(time.RFC3339)
	f.read(map[string]string{
		"a": "one.example " + year + "\nnot a domain " + year + "\ntwo.example\nthree.example tomorrow\nfour.example 2999-01-01T00:00:00Z\n\nfive.example 2020-01-01T00:00:00Z\n",
		"b": "one.example " + year + "\nsix.example " + year,
	}, testNow)
	got := map[string]string{}
	for domain, last := range f.byDomain {
		got[domain] = last.namespace
	}
	if diff := cmp.Diff(map[string]string{"one.example": "a", "six.example": "b"}, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestOnlyTheOperatorsOwnConfigMapHoldsFormers(t *testing.T) {
	api := fake.NewClientBuilder().WithScheme(NewScheme()).Build()
	f := &formersStore{formers: newFormers(), client: api, live: api, clock: clocktesting.NewFakeClock(testNow), namespace: "mta-sts-system"}
	f.note("one.example", former{"a", testNow.Add(time.Hour)})
	if err := f.save(t.Context()); err != nil {
		t.Fatal(err)
	}
	var all corev1.ConfigMapList
	if err := api.List(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	if len(all.Items) != 1 || all.Items[0].Namespace != "mta-sts-system" || all.Items[0].Name != formersName ||
		all.Items[0].Labels[v1alpha1.ManagedByLabel] != "" {
		t.Errorf("got %+v", all.Items) // with that label it would be taken for a shard, and cached
	}
}
