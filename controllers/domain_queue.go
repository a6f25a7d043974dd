package controllers

import (
	"context"

	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
)

// Priorities of a domain in the queue. Below both are the passes after a start, over what has not changed.
const (
	priorityUnderway = 0
	priorityEdited   = 1
)

// domainHandler makes the domain of whatever changed due.
type domainHandler = handler.TypedEventHandler[client.Object, domainKey]

// editsFirst makes an edited policy due before what is on its way already: edits that come together are
// recorded together then, and share the writes of shards.
type editsFirst struct{ domainHandler }

// Update implements [handler.TypedEventHandler].
func (e editsFirst) Update(ctx context.Context, change event.TypedUpdateEvent[client.Object], queue workqueue.TypedRateLimitingInterface[domainKey]) {
	if ordered, ok := queue.(priorityqueue.PriorityQueue[domainKey]); ok && change.ObjectOld.GetGeneration() != change.ObjectNew.GetGeneration() {
		ordered.AddWithOpts(priorityqueue.AddOpts{Priority: new(priorityEdited)}, domainOf(ctx, change.ObjectNew)...)
	}
	e.domainHandler.Update(ctx, change, queue)
}
