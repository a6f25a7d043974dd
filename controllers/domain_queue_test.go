package controllers

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
)

func TestAnEditComesBeforeWhatIsOnItsWay(t *testing.T) {
	queue := priorityqueue.New[domainKey](t.Name())
	t.Cleanup(queue.ShutDown)
	h := editsFirst{handler.TypedEnqueueRequestsFromMapFunc(domainOf)}
	change := func(domain string, generation int64) event.TypedUpdateEvent[client.Object] {
		policy := func(generation int64, version string) *v1alpha1.MTASTSPolicy {
			return &v1alpha1.MTASTSPolicy{
				ObjectMeta: metav1.ObjectMeta{Generation: generation, ResourceVersion: version},
				Spec:       v1alpha1.MTASTSPolicySpec{Domain: domain},
			}
		}
		return event.TypedUpdateEvent[client.Object]{ObjectOld: policy(1, "1"), ObjectNew: policy(generation, "2")}
	}
	h.Update(t.Context(), change("underway.example", 1), queue)
	h.Update(t.Context(), change("edited.example", 2), queue)
	for _, want := range []struct {
		domain   string
		priority int
	}{{"edited.example", priorityEdited}, {"underway.example", priorityUnderway}} {
		key, priority, _ := queue.GetWithPriority()
		if key.Domain != want.domain || priority != want.priority {
			t.Errorf("%s with priority %d is next, want %s with %d", key, priority, want.domain, want.priority)
		}
		queue.Done(key)
	}
}
