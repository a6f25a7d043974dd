package controllers

import (
	"reflect"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	toolscache "k8s.io/client-go/tools/cache"
)

func TestTheCacheHoldsAnObjectWithoutWhatNobodyReads(t *testing.T) {
	meta := func(managed []metav1.ManagedFieldsEntry, annotations map[string]string) *corev1.ConfigMap {
		return &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{
				Namespace: "mail", Name: "a", Labels: map[string]string{"l": "v"}, Annotations: annotations, ManagedFields: managed,
				OwnerReferences: []metav1.OwnerReference{{APIVersion: "v1", Kind: "ServiceAccount", Name: "s", UID: "1", Controller: new(true)}},
			},
			Data: map[string]string{"mta-sts.example.com": "x"},
		}
	}
	managed := []metav1.ManagedFieldsEntry{{Manager: "kubectl"}}
	for _, c := range []struct{ before, after map[string]string }{
		{nil, nil},
		{map[string]string{"a": "b"}, map[string]string{"a": "b"}},
		{map[string]string{corev1.LastAppliedConfigAnnotation: "{}"}, nil},
		{map[string]string{corev1.LastAppliedConfigAnnotation: "{}", "a": "b"}, map[string]string{"a": "b"}},
	} {
		got, err := newSlimmer().slim(meta(managed, c.before))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(any(meta(nil, c.after)), got); diff != "" {
			t.Errorf("with annotations %v:\n%s", c.before, diff)
		}
	}
}

func TestWhatIsNoObjectGoesThroughTheCacheAsItIs(t *testing.T) {
	gone := toolscache.DeletedFinalStateUnknown{Key: "mail/a"}
	if got, err := newSlimmer().slim(gone); err != nil || got != gone {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestObjectsOfADomainHoldOneSetOfLabels(t *testing.T) {
	s := newSlimmer()
	labels := func(domain string) map[string]string {
		o, err := s.slim(&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "a", "domain": domain}}})
		if err != nil {
			t.Fatal(err)
		}
		return o.(*corev1.ConfigMap).Labels
	}
	same := func(a, b map[string]string) bool { return reflect.ValueOf(a).Pointer() == reflect.ValueOf(b).Pointer() }
	first := labels("example.com")
	if !same(first, labels("example.com")) {
		t.Error("the same labels are held twice")
	}
	if other := labels("example.net"); same(first, other) || other["domain"] != "example.net" {
		t.Errorf("another domain has the labels %v", other)
	}
	for n := range mostSets {
		labels(strconv.Itoa(n))
	}
	if !same(first, labels("example.com")) {
		t.Error("forgotten too soon")
	}
	for n := range 2 * mostSets {
		labels(strconv.Itoa(mostSets + n))
	}
	if len(s.recent)+len(s.older) > 2*mostSets {
		t.Errorf("%d sets are known, and none is ever forgotten", len(s.recent)+len(s.older))
	}
}
