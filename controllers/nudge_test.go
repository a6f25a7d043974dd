package controllers

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
)

// The shard was written by an operator that is gone: the next one has no memory of it, and the pods
// wait for somebody to tell their kubelets all the same.
func TestAPodIsNudgedByTheOperatorAfterTheOneThatWrote(t *testing.T) {
	pods := []corev1.Pod{
		{ObjectMeta: metav1.ObjectMeta{Namespace: "mail", Name: "behind"}},
		{ObjectMeta: metav1.ObjectMeta{Namespace: "mail", Name: "in-step"}},
	}
	clock := clocktesting.NewFakeClock(testNow)
	c := fake.NewClientBuilder().WithObjects(&pods[0], &pods[1]).Build()
	r := &serverReconciler{Options: Options{Clock: clock}.withDefaults(), client: c}
	state, behind := new(serverState), map[string]bool{"behind": true}

	nudges := func(name string) string {
		t.Helper()
		if _, err := r.nudge(t.Context(), state, pods, behind); err != nil {
			t.Fatal(err)
		}
		var pod corev1.Pod
		if err := c.Get(t.Context(), client.ObjectKey{Namespace: "mail", Name: name}, &pod); err != nil {
			t.Fatal(err)
		}
		return pod.Annotations[nudgeAnnotation]
	}
	if got := nudges("behind"); got != "" {
		t.Errorf("nudged at once with %q: kubelets may not have seen the write yet", got)
	}
	last := ""
	for _, wait := range []time.Duration{time.Second, 3 * time.Second, 9 * time.Second, 27 * time.Second, 81 * time.Second} {
		clock.Step(wait - time.Millisecond)
		if got := nudges("behind"); got != last {
			t.Errorf("nudged with %q before %s were over", got, wait)
		}
		clock.Step(time.Millisecond)
		got := nudges("behind")
		if got == last {
			t.Errorf("not nudged when %s were over", wait)
		}
		last = got
	}
	clock.Step(time.Hour)
	if got := nudges("behind"); got != last {
		t.Errorf("nudged for ever, with %q", got)
	}
	if got := nudges("in-step"); got != "" {
		t.Errorf("a pod that is not behind was nudged with %q", got)
	}
}
