package controllers

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/controllers/internal/resources"
)

// domainIndex finds policies and publications by their domain; it is the path of a selectable field,
// so that the same selector works at the API server.
const domainIndex = "spec.domain"

// Setup adds the controllers to a manager made with ManagerOptions. Beside the manager's client they use
// one of their own that reads live, and learns the API server's time from its answers.
func Setup(mgr ctrl.Manager, o Options) error {
	o = o.withDefaults()
	if err := index(mgr); err != nil {
		return err
	}
	if o.Metrics != nil {
		if err := o.Metrics.Register(newPolicyMetrics(mgr.GetCache(), mgr.Elected())); err != nil {
			return fmt.Errorf("registering metrics: %w", err)
		}
		o.World = timed(o.World, o.Metrics)
	}
	clocked := &apiDate{}
	live, err := liveReader(mgr, clocked)
	if err != nil {
		return err
	}
	kinds := &optionalKinds{mapper: mgr.GetRESTMapper(), every: o.Timings.CRDPoll, watched: map[schema.GroupVersionKind]bool{}, looked: make(chan struct{})}
	domains, servers, mxHosts := reconcilers(Parts{
		Client: mgr.GetClient(), Live: live, Recorder: mgr.GetEventRecorder(v1alpha1.ManagedBy), Bounds: clocked.bounds,
	}, o, kinds)
	if o.OperatorNamespace != "" {
		if err := mgr.Add(domains.formers); err != nil {
			return fmt.Errorf("adding the memory of removed publications: %w", err)
		}
	}
	if domains.heartbeat != nil {
		if err := mgr.Add(domains.heartbeat); err != nil {
			return fmt.Errorf("setting up the heartbeat: %w", err)
		}
	}
	if err := setupServers(mgr, servers); err != nil {
		return fmt.Errorf("setting up the server controller: %w", err)
	}
	if err := setupDomains(mgr, domains); err != nil {
		return fmt.Errorf("setting up the domain controller: %w", err)
	}
	if err := mgr.Add(mxHosts); err != nil {
		return fmt.Errorf("adding what asks MX hosts: %w", err)
	}
	return nil
}

func index(mgr ctrl.Manager) error {
	byDomain := func(o client.Object) []string {
		switch o := o.(type) {
		case *v1alpha1.MTASTSPolicy:
			return []string{o.Spec.Domain}
		case *v1alpha1.MTASTSPublication:
			return []string{o.Spec.Domain}
		}
		return nil
	}
	for _, o := range []client.Object{&v1alpha1.MTASTSPolicy{}, &v1alpha1.MTASTSPublication{}} {
		if err := mgr.GetFieldIndexer().IndexField(context.Background(), o, domainIndex, byDomain); err != nil {
			return fmt.Errorf("indexing %T by domain: %w", o, err)
		}
	}
	return nil
}

// liveReader reads from the API server and notes its time.
func liveReader(mgr ctrl.Manager, clocked *apiDate) (client.Reader, error) {
	cfg := *mgr.GetConfig()
	cfg.Wrap(clocked.Wrap)
	live, err := client.New(&cfg, client.Options{Scheme: mgr.GetScheme(), Mapper: mgr.GetRESTMapper()})
	if err != nil {
		return nil, fmt.Errorf("making the live client: %w", err)
	}
	return live, nil
}

// setupDomains watches what a domain depends on. Status writes of its own kinds wake nobody.
func setupDomains(mgr ctrl.Manager, r *domainReconciler) error {
	byDomain := domainEvents{domainOf, r.memories.standing}
	ofChild := domainEvents{r.domainOfChild, r.memories.standing}
	changed := builder.WithPredicates(predicate.Or(predicate.GenerationChangedPredicate{}, predicate.AnnotationChangedPredicate{}))
	built, err := builder.TypedControllerManagedBy[domainKey](mgr).
		Named("domain").
		Watches(&v1alpha1.MTASTSPolicy{}, byDomain, changed).
		Watches(&v1alpha1.MTASTSPublication{}, byDomain, changed).
		Watches(&networkingv1.Ingress{}, ofChild).
		WatchesRawSource(source.TypedChannel(r.instances.wake, handler.TypedFuncs[domainKey, domainKey]{
			GenericFunc: func(_ context.Context, e event.TypedGenericEvent[domainKey], q workqueue.TypedRateLimitingInterface[domainKey]) {
				q.Add(e.Object)
			},
		})).
		WithOptions(controller.TypedOptions[domainKey]{
			MaxConcurrentReconciles: r.Workers, ReconciliationTimeout: reconcileTimeout, NewQueue: r.newQueue,
		}).
		Build(r)
	if err != nil {
		return err
	}
	r.kinds.watch = func(ctx context.Context, o client.Object) error {
		// The cache is filled first, so that what is not in it is not there.
		if _, err := mgr.GetCache().GetInformer(ctx, o); err != nil {
			return err
		}
		return built.Watch(source.TypedKind(mgr.GetCache(), o, ofChild))
	}
	r.kinds.appeared = r.wakeAll
	return mgr.Add(r.kinds)
}

// newQueue makes the queue of domains.
func (r *domainReconciler) newQueue(name string, limiter workqueue.TypedRateLimiter[domainKey]) workqueue.TypedRateLimitingInterface[domainKey] {
	inside := priorityqueue.New(name, func(o *priorityqueue.Opts[domainKey]) { o.RateLimiter = limiter })
	q := newDomainQueue(inside, passLimits(r.Workers), r.memories.standing)
	if r.Metrics != nil {
		r.Metrics.MustRegister(q)
	}
	return q
}

// domainOf is the domain of one of the operator's kinds.
func domainOf(_ context.Context, o client.Object) []domainKey {
	switch o := o.(type) {
	case *v1alpha1.MTASTSPolicy:
		return []domainKey{{o.Spec.Domain}}
	case *v1alpha1.MTASTSPublication:
		return []domainKey{{o.Spec.Domain}}
	}
	return nil
}

// domainOfChild is the domain that an object names as a child of it. Everybody may make such objects, so only one
// with the name of a child, beside the publication, wakes anybody (I11).
func (r *domainReconciler) domainOfChild(ctx context.Context, o client.Object) []domainKey {
	domain := o.GetAnnotations()[v1alpha1.DomainAnnotation]
	if !resources.IsChildName(o.GetName(), domain) {
		return nil
	}
	publication, err := get(ctx, r.client, o.GetNamespace(), domain, &v1alpha1.MTASTSPublication{})
	if err != nil || publication == nil {
		return nil
	}
	return []domainKey{{domain}}
}

// wakeAll makes every domain look again, as when cert-manager has just been installed.
func (r *domainReconciler) wakeAll(ctx context.Context) error {
	var policies v1alpha1.MTASTSPolicyList
	if err := r.client.List(ctx, &policies); err != nil {
		return fmt.Errorf("listing policies: %w", err)
	}
	for i := range policies.Items {
		r.instances.wakeUp(ctx, policies.Items[i].Spec.Domain)
	}
	return nil
}

// setupServers watches publications, the server's objects and its pods. A pass goes through all publications
// of the namespace, and what wakes it comes in bursts: one is made for all that comes within a moment.
func setupServers(mgr ctrl.Manager, r *serverReconciler) error {
	soon := func(o client.Object, q workqueue.TypedRateLimitingInterface[namespaceKey]) {
		q.AddAfter(namespaceKey{o.GetNamespace()}, r.soon(o.GetNamespace()))
	}
	byNamespace := handler.TypedFuncs[client.Object, namespaceKey]{
		CreateFunc: func(_ context.Context, e event.CreateEvent, q workqueue.TypedRateLimitingInterface[namespaceKey]) {
			soon(e.Object, q)
		},
		UpdateFunc: func(_ context.Context, e event.UpdateEvent, q workqueue.TypedRateLimitingInterface[namespaceKey]) {
			soon(e.ObjectNew, q)
		},
		DeleteFunc: func(_ context.Context, e event.DeleteEvent, q workqueue.TypedRateLimitingInterface[namespaceKey]) {
			soon(e.Object, q)
		},
	}
	changed := builder.WithPredicates(predicate.GenerationChangedPredicate{})
	return builder.TypedControllerManagedBy[namespaceKey](mgr).
		Named("server").
		Watches(&v1alpha1.MTASTSPublication{}, byNamespace, changed).
		WatchesMetadata(&corev1.ConfigMap{}, byNamespace). // whatever is in them, only those of ours are read
		Watches(&corev1.ServiceAccount{}, byNamespace).
		Watches(&appsv1.Deployment{}, byNamespace, changed).
		Watches(&corev1.Service{}, byNamespace).
		Watches(&policyv1.PodDisruptionBudget{}, byNamespace, changed).
		Watches(&networkingv1.NetworkPolicy{}, byNamespace, changed).
		Watches(&corev1.Pod{}, byNamespace).
		WithOptions(controller.TypedOptions[namespaceKey]{MaxConcurrentReconciles: 8, ReconciliationTimeout: reconcileTimeout}).
		Complete(r)
}

var _ reconcile.TypedReconciler[domainKey] = &domainReconciler{}
