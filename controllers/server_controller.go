package controllers

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
)

// namespaceKey is the namespace a pass of the server controller is about.
type namespaceKey struct{ Namespace string }

// String is for logs.
func (k namespaceKey) String() string { return k.Namespace }

// serverReconciler keeps one policy server per namespace with publications, its shards in step with
// them, and asks its pods what they serve.
type serverReconciler struct {
	Options

	client    client.Client
	live      client.Reader
	children  children
	instances *instances
	patience  *patience[namespaceKey]
	// bounds are the earlier and the later of a local time and the API server's.
	bounds func(now time.Time) (earlier, later time.Time)

	recorder events.EventRecorder
	// pages is held while a page of a list of shards is read: one at a time, for all namespaces.
	pages sync.Mutex

	// changedHosts are those of all namespaces that are not written yet.
	changedHosts atomic.Int64

	mu         sync.Mutex
	namespaces map[string]*serverState
	// rests are the times after a pass in which events make no other one.
	rests map[string]rest
}

// laterClock is the later one of the local clock and the API server's: by it ids are judged.
func (r *serverReconciler) laterClock() time.Time {
	_, later := r.bounds(r.Clock.Now())
	return later
}

// rest is the time after a pass over a namespace.
type rest struct {
	since time.Time
	wait  time.Duration
}

// perPublication is how long a namespace rests for each publication that a pass has gone through. A pass takes
// a tenth of that: where there are thousands, events that keep coming may not keep a core busy.
const perPublication = 100 * time.Microsecond

// soon is when an event should make a pass: a moment later, because others come with it.
func (r *serverReconciler) soon(namespace string) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	last := r.rests[namespace]
	return max(r.Timings.Coalesce, left(last.since, last.wait, r.Clock.Now()))
}

// rest notes the end of a pass.
func (r *serverReconciler) rest(namespace string, publications int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if publications == 0 {
		delete(r.rests, namespace)
		return
	}
	r.rests[namespace] = rest{r.Clock.Now(), time.Duration(publications) * perPublication}
}

// serverState is what the controller remembers of one namespace between passes. Only its worker
// touches it.
type serverState struct {
	// anchor is the ServiceAccount as the API server had it when it was asked last; nil if there was none.
	anchor *corev1.ServiceAccount
	// shards are the newest known versions of the namespace's shards; nil before the first live list.
	shards map[int]*corev1.ConfigMap
	// needed is how many shards the hosts of publications need; foreign is set once it was told that others are there.
	needed  int
	foreign bool
	// listedAt is when all shards were listed last, in so many pages; listFailed is why that failed.
	listedAt    time.Time
	listedPages int
	listFailed  error
	// broughtBackAt is when shards that had been deleted were written again.
	broughtBackAt time.Time
	// doubtful is set while nobody knows what became of a write.
	doubtful bool
	// homes is the shard of every host, for the time when a shard is deleted by hand.
	homes map[string]int
	// dirty says that shards differ from what they should hold.
	dirty bool
	gathering
	// nudges counts the pods' annotations since the last write; the last one was at nudgedAt.
	nudges   int
	nudgedAt time.Time
	// changedAt is when the pods' answers changed last.
	changedAt time.Time
}

func (r *serverReconciler) state(namespace string) *serverState {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.namespaces[namespace] == nil {
		r.namespaces[namespace] = &serverState{homes: map[string]int{}}
	}
	return r.namespaces[namespace]
}

// What bears the server's name is read, changed and deleted by that name alone; only a creation has no name yet.
//
// +kubebuilder:rbac:groups="",resources=configmaps,verbs=get;list;watch;create;update
// +kubebuilder:rbac:groups="",resources=services,verbs=create
// +kubebuilder:rbac:groups="",resources=services,resourceNames=mta-sts-server,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups="",resources=serviceaccounts,verbs=create
// +kubebuilder:rbac:groups="",resources=serviceaccounts,resourceNames=mta-sts-server,verbs=get;list;watch;patch;delete
// +kubebuilder:rbac:groups="",resources=pods,verbs=list;watch;patch
// +kubebuilder:rbac:groups=apps,resources=deployments,verbs=create
// +kubebuilder:rbac:groups=apps,resources=deployments,resourceNames=mta-sts-server,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups=policy,resources=poddisruptionbudgets,verbs=create
// +kubebuilder:rbac:groups=policy,resources=poddisruptionbudgets,resourceNames=mta-sts-server,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups=networking.k8s.io,resources=networkpolicies,verbs=create
// +kubebuilder:rbac:groups=networking.k8s.io,resources=networkpolicies,resourceNames=mta-sts-server,verbs=get;list;watch;patch

// Reconcile makes one pass over a namespace.
func (r *serverReconciler) Reconcile(ctx context.Context, key namespaceKey) (reconcile.Result, error) {
	var publications v1alpha1.MTASTSPublicationList
	// They are read only: copies of thousands would be what a pass costs most.
	if err := r.client.List(ctx, &publications, client.InNamespace(key.Namespace), client.UnsafeDisableDeepCopy); err != nil {
		return reconcile.Result{}, fmt.Errorf("listing publications in %s: %w", key.Namespace, err)
	}
	defer func() { r.rest(key.Namespace, len(publications.Items)) }()
	var after time.Duration
	var err error
	if len(publications.Items) == 0 {
		err = r.dismantle(ctx, key.Namespace)
	} else {
		after, err = r.serve(ctx, key.Namespace, r.state(key.Namespace), publications.Items)
	}
	obstacle := ""
	if err != nil && !untold(err) && ctx.Err() == nil {
		obstacle = err.Error()
	}
	if _, ok := errors.AsType[*nameTakenError](err); ok {
		err, after = nil, r.Timings.AskRest
	}
	r.instances.obstructed(ctx, key.Namespace, obstacle, publications.Items)
	if again, wait := r.patience.tryAgain(key, err); again {
		return reconcile.Result{RequeueAfter: wait}, nil
	}
	if err != nil {
		return reconcile.Result{}, fmt.Errorf("serving namespace %s: %w", key.Namespace, err)
	}
	return reconcile.Result{RequeueAfter: after}, nil
}

// serve keeps the server running with the right shards, and asks its pods.
func (r *serverReconciler) serve(ctx context.Context, namespace string, state *serverState, publications []v1alpha1.MTASTSPublication) (time.Duration, error) {
	server, err := r.anchor(ctx, namespace, state)
	if err != nil {
		return 0, err
	}
	if server.Anchor == "" {
		return 0, errStaleCache
	}
	wait, failed := r.renderShards(ctx, server, state, publications)
	if state.shards == nil {
		return 0, failed
	}
	server.Shards = max(state.needed, server.Shards) // fewer than the pods mount would be a rollout for nothing
	failed = errors.Join(failed, r.ensureServer(ctx, server))
	// Pods are asked whatever else went wrong: domains must not go on believing old answers.
	next, err := r.askPods(ctx, namespace, state, publications)
	if wait > 0 {
		next = min(next, wait)
	}
	return next, errors.Join(failed, err)
}

// forget drops what is remembered of a namespace without a server.
func (r *serverReconciler) forget(namespace string) {
	r.instances.forget(namespace)
	r.instances.ask.keep(namespace, nil)
	r.mu.Lock()
	defer r.mu.Unlock()
	if state := r.namespaces[namespace]; state != nil {
		state.done(&r.changedHosts)
		delete(r.namespaces, namespace)
	}
}
