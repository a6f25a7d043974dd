package simulation

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
)

func testStore() *store { return newStore(func() time.Time { return birth }) }

func testPolicy() *v1alpha1.MTASTSPolicy {
	return &v1alpha1.MTASTSPolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: "alpha", Name: "p"},
		Spec:       v1alpha1.MTASTSPolicySpec{Domain: "example.com"},
		Status:     v1alpha1.MTASTSPolicyStatus{State: v1alpha1.StateInForce},
	}
}

func must[T client.Object](t *testing.T) func(o client.Object, err error) T {
	return func(o client.Object, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return o.(T)
	}
}

func TestTheStoreCountsVersionsAndGenerations(t *testing.T) {
	st, policy := testStore(), must[*v1alpha1.MTASTSPolicy](t)
	first := policy(st.create(testPolicy(), "me"))
	if first.Status.State != "" || first.Generation != 1 || first.UID == "" {
		t.Errorf("created %+v", first)
	}
	if _, err := st.create(testPolicy(), "me"); !apierrors.IsAlreadyExists(err) {
		t.Errorf("created twice: %v", err)
	}
	if same := policy(st.update(first, "me")); same.ResourceVersion != first.ResourceVersion {
		t.Error("an update that changes nothing is a new version")
	}
	shown := first.DeepCopy()
	shown.Status.State, shown.Spec.Mode = v1alpha1.StateHeld, v1alpha1.ModeEnforce
	second := policy(st.patch(shown, encode(shown), true, "me"))
	if second.Status.State != v1alpha1.StateHeld || second.Spec.Mode != "" || second.Generation != 1 {
		t.Errorf("a status patch made %+v", second)
	}
	edited := second.DeepCopy()
	edited.Spec.Mode, edited.Status.State = v1alpha1.ModeEnforce, ""
	third := policy(st.update(edited, "me"))
	if third.Status.State != v1alpha1.StateHeld || third.Spec.Mode != v1alpha1.ModeEnforce || third.Generation != 2 {
		t.Errorf("an update made %+v", third)
	}
	if _, err := st.update(edited, "me"); !apierrors.IsConflict(err) {
		t.Errorf("a stale update: %v", err)
	}
	lock := fields{"metadata": fields{"resourceVersion": first.ResourceVersion}}
	if _, err := st.patch(third, lock, false, "me"); !apierrors.IsConflict(err) {
		t.Errorf("a stale patch: %v", err)
	}
}

func TestApplyKeepsWhatOthersSetAndTakesAwayWhatIsNoLongerWanted(t *testing.T) {
	st := testStore()
	ingress := func(annotations fields) fields {
		return fields{
			"apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
			"metadata": fields{"namespace": "alpha", "name": "i", "annotations": annotations},
		}
	}
	st.apply(ingress(fields{"ours": "1", "dropped": "1"}), "me")
	other := st.list("Ingress")[0].DeepCopyObject().(*networkingv1.Ingress)
	other.Annotations["theirs"] = "1"
	must[*networkingv1.Ingress](t)(st.update(other, "them"))
	st.apply(ingress(fields{"ours": "2"}), "me")
	want := map[string]string{"ours": "2", "theirs": "1"}
	if diff := cmp.Diff(want, st.list("Ingress")[0].GetAnnotations()); diff != "" {
		t.Error(diff)
	}
}

func TestTheGarbageCollectorTakesChildrenBeforeOrAfterTheirOwner(t *testing.T) {
	for name, tt := range map[string]struct {
		propagation metav1.DeletionPropagation
		blocks      bool
		// left is what is there after each round.
		left []int
	}{
		"in the background":                      {metav1.DeletePropagationBackground, false, []int{1, 0}},
		"in the foreground":                      {metav1.DeletePropagationForeground, false, []int{2, 0}},
		"in the foreground, with a blocking one": {metav1.DeletePropagationForeground, true, []int{2, 1, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			st := testStore()
			owner := must[*v1alpha1.MTASTSPolicy](t)(st.create(testPolicy(), "me"))
			child := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "alpha", Name: "c", OwnerReferences: []metav1.OwnerReference{
				{UID: owner.UID, BlockOwnerDeletion: new(tt.blocks)},
			}}}
			must[*corev1.ConfigMap](t)(st.create(child, "me"))
			if st.collect() {
				t.Fatal("collected what is owned")
			}
			if err := st.delete(owner, client.DeleteOptions{PropagationPolicy: &tt.propagation}, "me"); err != nil {
				t.Fatal(err)
			}
			for round, want := range tt.left {
				if got := len(st.everything()); got != want {
					t.Errorf("%d objects before round %d, want %d", got, round, want)
				}
				st.collect()
			}
		})
	}
}

func TestACacheLagsByKindAndHoldsOnlyOurs(t *testing.T) {
	st := testStore()
	c := newCache(st, 0)
	labelled := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "alpha", Name: "ours", Labels: map[string]string{v1alpha1.ManagedByLabel: v1alpha1.ManagedBy}}}
	ours := must[*corev1.ConfigMap](t)(st.create(labelled, "me"))
	must[*corev1.ConfigMap](t)(st.create(&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "alpha", Name: "theirs"}}, "them"))
	must[*v1alpha1.MTASTSPolicy](t)(st.create(testPolicy(), "them"))
	if len(c.list("ConfigMap")) != 0 {
		t.Error("the cache knows before it is told")
	}
	told := 0
	c.advance(st, "ConfigMap", 2, func(client.Object, client.Object) { told++ })
	if len(c.list("ConfigMap")) != 1 || told != 1 || len(c.list("MTASTSPolicy")) != 0 {
		t.Errorf("the cache holds %v, %v; told %d times", c.list("ConfigMap"), c.list("MTASTSPolicy"), told)
	}
	unlabelled := ours.DeepCopy()
	unlabelled.Labels = nil
	must[*corev1.ConfigMap](t)(st.update(unlabelled, "them"))
	c.advance(st, "ConfigMap", 3, nil)
	if c.get("ConfigMap", types.NamespacedName{Namespace: "alpha", Name: "ours"}) != nil {
		t.Error("the cache holds what lost its label")
	}
	if again := newCache(st, time.Second); len(again.list("MTASTSPolicy")) != 0 {
		t.Error("a cache that is behind knows what has just been written")
	}
}
