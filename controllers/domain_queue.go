package controllers

import (
	"context"
	"slices"
	"sync"

	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/controllers/internal/fair"
)

// passLimits bound the passes over domains at one time (I11). A pass may wait for the network for most of a
// minute: those of one namespace, or of domains at rest, must not keep the others from a worker, nor a
// namespace's own silent domains its edits, nor these its way out of enforce.
func passLimits(workers int) fair.Limits {
	part := func(of32 int) int { return max(workers*of32/32, 1) }
	return fair.Limits{
		All: workers, Newcomers: workers / 4,
		Levels: [fair.Levels]fair.Share{
			fair.Rest:    {Weight: 1, Most: part(8), Owner: part(4)},
			fair.First:   {Weight: 2, Most: part(24), Owner: part(6)},
			fair.Edit:    {Weight: 4, Most: part(30), Owner: part(7)},
			fair.Leaving: {Weight: 8, Most: workers, Owner: part(8)},
		},
	}
}

// domainQueue hands domains to the workers in the order that package fair decides, namespaces in turn. The
// queue inside knows what is due when, and hands nothing out that is being worked on.
type domainQueue struct {
	priorityqueue.PriorityQueue[domainKey]

	standing func(domain string) standing

	mu   sync.Mutex
	some *sync.Cond
	line *fair.Queue[domainKey]
	// wanted are the namespaces that wait for what the queue inside has not handed out yet, with the greatest
	// priority of each; "" is the domain's own.
	wanted map[domainKey]map[string]int
	closed bool
}

func newDomainQueue(
	inside priorityqueue.PriorityQueue[domainKey], limits fair.Limits, standing func(string) standing,
) *domainQueue {
	q := &domainQueue{
		PriorityQueue: inside, standing: standing, line: fair.New[domainKey](limits), wanted: map[domainKey]map[string]int{},
	}
	q.some = sync.NewCond(&q.mu)
	go q.fill()
	return q
}

// priorityOf is a level as the queue inside knows it; what is ahead comes before the rest of the line.
func priorityOf(at fair.Level, ahead bool) int {
	if ahead {
		return 2*int(at) + 1
	}
	return 2 * int(at)
}

// levelOf is the opposite; what is below all levels are the passes after a start, over what has not changed.
func levelOf(priority int) (at fair.Level, ahead bool) {
	if priority < 0 {
		return fair.Rest, false
	}
	return min(fair.Level(priority/2), fair.Leaving), priority%2 == 1
}

// due makes a domain due for a namespace.
func (q *domainQueue) due(key domainKey, namespace string, at fair.Level, ahead bool) {
	q.add(priorityqueue.AddOpts{Priority: new(priorityOf(at, ahead))}, key, namespace)
}

// Add implements [workqueue.TypedInterface].
func (q *domainQueue) Add(key domainKey) { q.AddWithOpts(priorityqueue.AddOpts{}, key) }

// AddWithOpts implements [priorityqueue.PriorityQueue]. What has no priority has that of its domain.
func (q *domainQueue) AddWithOpts(o priorityqueue.AddOpts, keys ...domainKey) {
	for _, key := range keys {
		each := o
		if each.Priority == nil {
			each.Priority = new(priorityOf(q.standing(key.Domain).level, false))
		}
		q.add(each, key, "")
	}
}

func (q *domainQueue) add(o priorityqueue.AddOpts, key domainKey, namespace string) {
	q.mu.Lock()
	if o.After == 0 && !o.RateLimited && q.line.Waits(key) {
		q.join(key, namespace, *o.Priority) // the pass that it waits for sees what has happened
		q.some.Signal()
		q.mu.Unlock()
		return
	}
	if q.wanted[key] == nil {
		q.wanted[key] = map[string]int{}
	}
	if had, ok := q.wanted[key][namespace]; !ok || had < *o.Priority {
		q.wanted[key][namespace] = *o.Priority
	}
	q.mu.Unlock()
	q.PriorityQueue.AddWithOpts(o, key)
}

func (q *domainQueue) join(key domainKey, namespace string, priority int) {
	if namespace == "" {
		namespace = q.standing(key.Domain).namespace
	}
	at, ahead := levelOf(priority)
	q.line.Join(key, "", namespace, at, ahead)
}

// fill moves what is due into the line.
func (q *domainQueue) fill() {
	for {
		key, priority, shutdown := q.PriorityQueue.GetWithPriority()
		q.mu.Lock()
		if shutdown {
			q.closed = true
			q.some.Broadcast()
			q.mu.Unlock()
			return
		}
		if len(q.wanted[key]) == 0 {
			q.join(key, "", priority)
		}
		for namespace, priority := range q.wanted[key] {
			q.join(key, namespace, priority)
		}
		delete(q.wanted, key)
		q.some.Signal()
		q.mu.Unlock()
	}
}

// GetWithPriority implements [priorityqueue.PriorityQueue].
func (q *domainQueue) GetWithPriority() (key domainKey, priority int, shutdown bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for !q.closed {
		if start, ok := q.line.Next(); ok {
			q.some.Signal() // there may be another one, for a worker that sleeps
			return start.Key, priorityOf(start.Level, false), false
		}
		q.some.Wait()
	}
	return domainKey{}, 0, true
}

// Get implements [workqueue.TypedInterface].
func (q *domainQueue) Get() (key domainKey, shutdown bool) {
	key, _, shutdown = q.GetWithPriority()
	return key, shutdown
}

// Done implements [workqueue.TypedInterface].
func (q *domainQueue) Done(key domainKey) {
	q.mu.Lock()
	q.line.Done(key)
	q.some.Signal()
	q.mu.Unlock()
	q.PriorityQueue.Done(key)
}

// waiting is how many passes wait for a worker at a level.
func (q *domainQueue) waiting(at fair.Level) int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.line.Len(at)
}

// domainAdder is the queue as event handlers see it.
type domainAdder = workqueue.TypedRateLimitingInterface[domainKey]

// domainEvents makes the domain of whatever changed due, in the line of the namespace in which it changed.
type domainEvents struct {
	of       func(ctx context.Context, o client.Object) []domainKey
	standing func(domain string) standing
}

var _ handler.TypedEventHandler[client.Object, domainKey] = domainEvents{}

// Create implements [handler.TypedEventHandler].
func (e domainEvents) Create(ctx context.Context, created event.TypedCreateEvent[client.Object], q domainAdder) {
	e.due(ctx, created.Object, created.IsInInitialList, false, q)
}

// Update implements [handler.TypedEventHandler].
func (e domainEvents) Update(ctx context.Context, change event.TypedUpdateEvent[client.Object], q domainAdder) {
	same := change.ObjectOld.GetResourceVersion() == change.ObjectNew.GetResourceVersion()
	edited := change.ObjectOld.GetGeneration() != change.ObjectNew.GetGeneration()
	if !slices.Equal(e.of(ctx, change.ObjectOld), e.of(ctx, change.ObjectNew)) {
		e.due(ctx, change.ObjectOld, same, false, q)
	}
	e.due(ctx, change.ObjectNew, same, edited, q)
}

// Delete implements [handler.TypedEventHandler].
func (e domainEvents) Delete(ctx context.Context, deleted event.TypedDeleteEvent[client.Object], q domainAdder) {
	e.due(ctx, deleted.Object, false, false, q)
}

// Generic implements [handler.TypedEventHandler].
func (e domainEvents) Generic(ctx context.Context, about event.TypedGenericEvent[client.Object], q domainAdder) {
	e.due(ctx, about.Object, false, false, q)
}

// due makes the domain of an object due. An edited policy comes before what is on its way already: edits that
// come together are recorded together then, and share the writes of shards.
func (e domainEvents) due(ctx context.Context, o client.Object, unchanged, edited bool, queue domainAdder) {
	q, ok := queue.(*domainQueue)
	policy, isPolicy := o.(*v1alpha1.MTASTSPolicy)
	for _, key := range e.of(ctx, o) {
		switch {
		case !ok:
			queue.Add(key)
		case unchanged:
			q.due(key, o.GetNamespace(), fair.Rest, false)
		case isPolicy:
			q.due(key, o.GetNamespace(), e.standing(key.Domain).of(policy), edited)
		default:
			q.due(key, o.GetNamespace(), e.standing(key.Domain).in(o.GetNamespace()), false)
		}
	}
}
