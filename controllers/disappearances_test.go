package controllers

import (
	"cmp"
	"fmt"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
)

// lost is what one namespace of a fleet has: publications in all, and what befell some of them.
type lost struct {
	all, gone, retiring, released, orphaned, unannounced int
	// idle are some more that were never announced.
	idle int
	// word is what was said for those that were released.
	word string
}

func (l lost) publications(namespace string) []client.Object {
	var out []client.Object
	for i := range l.all + l.idle {
		pub := testPublication(namespace, "p")
		pub.Name = fmt.Sprintf("d%d.%s.example", i, namespace)
		pub.Spec.AnnouncedID = "20260101000000deadbeef"
		if i < l.gone {
			pub.Spec.PolicyGoneAt = new(metav1.NewTime(testNow.Add(time.Duration(i-l.gone) * time.Second)))
		}
		if i < l.retiring {
			pub.Spec.Retirement = &v1alpha1.Retirement{StartedAt: metav1.NewTime(testNow)}
		}
		if i < l.released {
			pub.Annotations = map[string]string{v1alpha1.ReleaseAnnotation: cmp.Or(l.word, testNow.Format(time.RFC3339))}
		}
		if i < l.orphaned {
			pub.Spec.DeletionPolicy = v1alpha1.DeletionOrphan
		}
		if i < l.unannounced || i >= l.all {
			pub.Spec.AnnouncedID = ""
		}
		out = append(out, &pub)
	}
	return out
}

// many are namespaces of the same kind.
func many(n int, l lost) map[string]lost {
	out := map[string]lost{}
	for i := range n {
		out[fmt.Sprintf("other-%d", i)] = l
	}
	return out
}

// mixed are namespaces of one policy each, some of which lost it.
func mixed(kept, gone int) map[string]lost {
	out := many(kept+gone, lost{all: 1})
	for i := range gone {
		out[fmt.Sprintf("other-%d", i)] = lost{all: 1, gone: 1}
	}
	return out
}

// beside adds one namespace to others.
func beside(l lost, others map[string]lost) map[string]lost {
	others["one-more"] = l
	return others
}

func TestManyPoliciesThatDisappearAtOnceAreTakenForAnAccident(t *testing.T) {
	for name, tt := range map[string]struct {
		mail   lost
		others map[string]lost
		want   bool
	}{
		"one of one":                                       {mail: lost{all: 1, gone: 1}},
		"nine of nine are too few":                         {mail: lost{all: 9, gone: 9}},
		"ten of ten":                                       {mail: lost{all: 10, gone: 10}, want: true},
		"ten of fifty are a fifth, no more":                {mail: lost{all: 50, gone: 10}},
		"eleven of fifty":                                  {mail: lost{all: 50, gone: 11}, want: true},
		"those that retire already":                        {mail: lost{all: 20, gone: 15, retiring: 10}},
		"those that retire do not hide others":             {mail: lost{all: 112, gone: 112, retiring: 100}, want: true},
		"those that somebody let go":                       {mail: lost{all: 20, gone: 15, released: 10}},
		"a word of another time lets none go":              {mail: lost{all: 20, gone: 15, released: 10, word: "2020-01-01T00:00:00Z"}, want: true},
		"a word that names no time":                        {mail: lost{all: 20, gone: 15, released: 10, word: "true"}, want: true},
		"those that stay as they are for ever":             {mail: lost{all: 20, gone: 15, orphaned: 10}},
		"those that were never announced":                  {mail: lost{all: 20, gone: 15, unannounced: 15}},
		"a hundred of a thousand are too few":              {mail: lost{all: 1000, gone: 100}},
		"another's sixty hide no accident":                 {mail: lost{all: 12, gone: 12}, others: map[string]lost{"idle": {all: 60}}, want: true},
		"those that were never announced hide no accident": {mail: lost{all: 12, gone: 12, idle: 60}, want: true},
		"another's accident":                               {mail: lost{all: 3, gone: 1}, others: map[string]lost{"evil": {all: 12, gone: 12}}},
		"another's accident however large":                 {mail: lost{all: 1, gone: 1}, others: map[string]lost{"evil": {all: 500, gone: 500}}},
		"another's accident and two who leave":             {mail: lost{all: 1, gone: 1}, others: map[string]lost{"evil": {all: 500, gone: 500}, "leaves": {all: 1, gone: 1}, "too": {all: 3, gone: 3}}},
		"another's accident where all but one stay":        {mail: lost{all: 5, gone: 1}, others: map[string]lost{"evil": {all: 12, gone: 12}, "a": {all: 5}, "b": {all: 5}}},
		"every namespace at once":                          {mail: lost{all: 2, gone: 2}, others: many(10, lost{all: 2, gone: 2}), want: true},
		"every namespace at once beside one large one":     {mail: lost{all: 2, gone: 2}, others: beside(lost{all: 500}, many(20, lost{all: 2, gone: 2})), want: true},
		"a third of the namespaces, a policy each":         {mail: lost{all: 1, gone: 1}, others: mixed(24, 12), want: true},
		"a namespace that lost nothing is not held":        {mail: lost{all: 2}, others: many(20, lost{all: 2, gone: 2})},
		"a fifth of the namespaces, and no more":           {mail: lost{all: 1, gone: 1}, others: mixed(60, 12)},
		"some of each namespace, no more than a fifth":     {mail: lost{all: 10, gone: 2}, others: many(20, lost{all: 10, gone: 2})},
		"three small namespaces that lost nine in all":     {mail: lost{all: 3, gone: 3}, others: many(2, lost{all: 3, gone: 3})},
		"three namespaces, ten without the largest":        {mail: lost{all: 5, gone: 5}, others: many(2, lost{all: 5, gone: 5}), want: true},
		"two namespaces are not several without either":    {mail: lost{all: 9, gone: 9}, others: many(1, lost{all: 9, gone: 9})},
	} {
		t.Run(name, func(t *testing.T) {
			b := fake.NewClientBuilder().WithScheme(NewScheme()).WithObjects(tt.mail.publications("mail")...)
			for namespace, l := range tt.others {
				b.WithObjects(l.publications(namespace)...)
			}
			d := &disappearances{every: time.Minute}
			held, err := d.held(t.Context(), b.Build(), "mail", testNow)
			if err != nil || (held != nil) != tt.want {
				t.Fatalf("held() = %v, %v; want %v", held, err, tt.want)
			}
			if held != nil && !held.Newest.Equal(testNow.Add(-time.Second)) {
				t.Errorf("the newest is of %s", held.Newest)
			}
			for namespace := range d.places {
				if l := tt.others[namespace]; namespace != "mail" && l.gone == 0 {
					t.Errorf("namespace %s is remembered although it lost nothing", namespace)
				}
			}
		})
	}
}

func TestDisappearancesAreCountedAnewAfterAWhile(t *testing.T) {
	d := &disappearances{every: time.Minute, at: testNow, places: map[string]*place{"mail": {all: 10, gone: 10}}}
	empty := fake.NewClientBuilder().WithScheme(NewScheme()).Build()
	if held, err := d.held(t.Context(), empty, "mail", testNow.Add(59*time.Second)); err != nil || held == nil {
		t.Errorf("within the minute: %v, %v", held, err)
	}
	if held, err := d.held(t.Context(), empty, "mail", testNow.Add(time.Minute)); err != nil || held != nil || len(d.places) != 0 {
		t.Errorf("after it: %v, %v, %v", held, err, d.places)
	}
}

func TestWhatWasHeldStaysHeldWhenOthersAreLetGo(t *testing.T) {
	pub := testPublication("mail", "p")
	if wasHeld(&pub) {
		t.Error("held without a condition")
	}
	pub.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionStalled, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonRetirementHeld}}
	if !wasHeld(&pub) {
		t.Error("not held although the status says so")
	}
	pub.Status.Conditions[0].Reason = v1alpha1.ReasonDiffers
	if wasHeld(&pub) {
		t.Error("another stall holds it")
	}
}

// The command that lets retirements go names every publication there is.
func TestAWordAboutOneDisappearanceDoesNotCountForTheNext(t *testing.T) {
	for name, tt := range map[string]struct {
		policy, spent bool
		want          string
	}{
		"with a policy it is forgotten":               {true, false, ""},
		"without one it stays until it counts":        {false, false, "true"},
		"once it has counted, or never, it goes also": {false, true, ""},
	} {
		s := inForceScope()
		s.publication.Annotations = map[string]string{v1alpha1.ReleaseAnnotation: "true"}
		b := fake.NewClientBuilder().WithScheme(NewScheme()).WithObjects(s.publication).Build()
		if err := b.Get(t.Context(), client.ObjectKeyFromObject(s.publication), s.publication); err != nil {
			t.Fatal(err)
		}
		s.memory.wrote = map[types.UID]client.Object{}
		s.decision.Spec, s.decision.WordSpent = &s.publication.Spec, tt.spent
		if !tt.policy {
			s.winner = nil
		}
		if err := (&domainReconciler{client: b}).record(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		var kept v1alpha1.MTASTSPublication
		if err := b.Get(t.Context(), client.ObjectKeyFromObject(s.publication), &kept); err != nil {
			t.Fatal(err)
		}
		if got := kept.Annotations[v1alpha1.ReleaseAnnotation]; got != tt.want {
			t.Errorf("%s: the annotation is %q", name, got)
		}
	}
}
