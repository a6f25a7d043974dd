package controllers

import (
	"fmt"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
)

func TestManyPoliciesThatDisappearAtOnceAreTakenForAnAccident(t *testing.T) {
	gone := metav1.NewTime(testNow)
	for name, tt := range map[string]struct {
		all, gone, retiring, released, orphaned int
		want                                    bool
	}{
		"one of one":                           {all: 1, gone: 1},
		"nine of nine are too few":             {all: 9, gone: 9},
		"ten of ten":                           {all: 10, gone: 10, want: true},
		"ten of fifty are a fifth, no more":    {all: 50, gone: 10},
		"eleven of fifty":                      {all: 50, gone: 11, want: true},
		"those that retire already":            {all: 20, gone: 15, retiring: 10},
		"those that somebody let go":           {all: 20, gone: 15, released: 10},
		"those that stay as they are for ever": {all: 20, gone: 15, orphaned: 10},
		"a hundred of a thousand are too few":  {all: 1000, gone: 100},
	} {
		t.Run(name, func(t *testing.T) {
			b := fake.NewClientBuilder().WithScheme(NewScheme())
			for i := range tt.all {
				pub := testPublication("mail", "p")
				pub.Name = fmt.Sprintf("d%d.example", i)
				if i < tt.gone {
					pub.Spec.PolicyGoneAt = &gone
				}
				if i < tt.retiring {
					pub.Spec.Retirement = &v1alpha1.Retirement{StartedAt: gone}
				}
				if i < tt.released {
					pub.Annotations = map[string]string{v1alpha1.ReleaseAnnotation: "true"}
				}
				if i < tt.orphaned {
					pub.Spec.DeletionPolicy = v1alpha1.DeletionOrphan
				}
				b.WithObjects(&pub)
			}
			d := &disappearances{every: time.Minute}
			if got, err := d.enMasse(t.Context(), b.Build(), testNow); err != nil || got != tt.want {
				t.Errorf("enMasse() = %v, %v; want %v", got, err, tt.want)
			}
		})
	}
}

func TestDisappearancesAreCountedAnewAfterAWhile(t *testing.T) {
	d := &disappearances{every: time.Minute, at: testNow, held: true}
	empty := fake.NewClientBuilder().WithScheme(NewScheme()).Build()
	if held, err := d.enMasse(t.Context(), empty, testNow.Add(59*time.Second)); err != nil || !held {
		t.Errorf("within the minute: %v, %v", held, err)
	}
	if held, err := d.enMasse(t.Context(), empty, testNow.Add(time.Minute)); err != nil || held {
		t.Errorf("after it: %v, %v", held, err)
	}
}

// The command that lets retirements go names every publication there is.
func TestAWordAboutOneDisappearanceDoesNotCountForTheNext(t *testing.T) {
	for name, tt := range map[string]struct {
		policy bool
		want   string
	}{
		"with a policy it is forgotten": {true, ""},
		"without one it counts":         {false, "true"},
	} {
		s := inForceScope()
		s.publication.Annotations = map[string]string{v1alpha1.ReleaseAnnotation: "true"}
		b := fake.NewClientBuilder().WithScheme(NewScheme()).WithObjects(s.publication).Build()
		if err := b.Get(t.Context(), client.ObjectKeyFromObject(s.publication), s.publication); err != nil {
			t.Fatal(err)
		}
		s.memory.wrote = map[types.UID]client.Object{}
		s.decision.Spec = &s.publication.Spec
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
