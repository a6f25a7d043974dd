package controllers

import (
	"context"
	"net/http"
	"slices"
	"time"

	"golang.org/x/time/rate"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// Parts are what the controllers work with beside their Options. Setup takes them from a manager.
type Parts struct {
	// Client reads from a cache, with the index spec.domain of both kinds, and writes.
	Client client.Client
	// Live reads from the API server.
	Live client.Reader
	// Recorder takes events.
	Recorder events.EventRecorder
	// Bounds are the earlier and the later of a local time and the API server's.
	Bounds func(now time.Time) (earlier, later time.Time)
	// Pods carries requests to the server pods; nil dials them.
	Pods http.RoundTripper
}

// reconcilers puts the controllers together; they share what pods and MX hosts answered.
func reconcilers(p Parts, o Options, kinds *optionalKinds) (*domainReconciler, *serverReconciler, *mxHostAsker) {
	shared := newInstances(newAsker(o.Clock, p.Pods))
	written := children{client: p.Client, live: p.Live}
	domains := &domainReconciler{
		Options: o, client: p.Client, live: p.Live, children: written, instances: shared, kinds: kinds,
		recorder: p.Recorder, memories: newMemories(), patience: newPatience[domainKey](), bounds: p.Bounds,
		disappeared: &disappearances{every: o.Timings.RetireGrace / 60},
		restLooks:   rate.NewLimiter(restLooksPerSecond, 2*restLooksPerSecond),
		news:        rate.NewLimiter(newsPerSecond, newsBurst),
		mxHosts:     newMXHosts(o.Timings),
		formers: &formersStore{
			formers: newFormers(), client: p.Client, live: p.Live, clock: o.Clock, namespace: o.OperatorNamespace,
		},
	}
	if o.OperatorNamespace != "" {
		domains.heartbeat = &heartbeat{client: p.Client, live: p.Live, options: o}
	}
	servers := &serverReconciler{
		Options: o, client: p.Client, live: p.Live, children: written, instances: shared, bounds: p.Bounds,
		patience: newPatience[namespaceKey](), namespaces: map[string]*serverState{}, rests: map[string]rest{},
		recorder: p.Recorder,
	}
	mail := &mxHostAsker{Options: o, hosts: domains.mxHosts, wake: shared.wakeUp}
	return domains, servers, mail
}

// Passes are the controllers as functions, without a manager, its watches and its queues: who calls
// them decides when a pass is made. All kinds count as installed.
type Passes struct {
	domains *domainReconciler
	servers *serverReconciler
	mxHosts *mxHostAsker
}

// NewPasses makes the controllers of one operator, which remembers nothing yet.
func NewPasses(p Parts, o Options) *Passes {
	o = o.withDefaults()
	kinds := &optionalKinds{
		watched: map[schema.GroupVersionKind]bool{certificates: true, dnsEndpoints: true}, looked: make(chan struct{}),
	}
	close(kinds.looked)
	domains, servers, mxHosts := reconcilers(p, o, kinds)
	mxHosts.hosts.atRest.SetLimit(rate.Inf)
	return &Passes{domains: domains, servers: servers, mxHosts: mxHosts}
}

// Domain makes one pass over a domain.
func (p *Passes) Domain(ctx context.Context, domain string) (reconcile.Result, error) {
	return p.domains.Reconcile(ctx, domainKey{domain})
}

// Namespace makes one pass over the policy server of a namespace.
func (p *Passes) Namespace(ctx context.Context, namespace string) (reconcile.Result, error) {
	return p.servers.Reconcile(ctx, namespaceKey{namespace})
}

// MXHosts asks the MX hosts that a pass wants to be asked.
func (p *Passes) MXHosts(ctx context.Context) {
	for {
		q, ok, _ := p.mxHosts.hosts.next(p.mxHosts.Clock.Now())
		if !ok {
			return
		}
		p.mxHosts.ask(ctx, q)
	}
}

// Woken takes the domains that a pass wants to be looked at again, sorted.
func (p *Passes) Woken() []string {
	var out []string
	for {
		select {
		case e := <-p.domains.instances.wake:
			out = append(out, e.Object.Domain)
		default:
			slices.Sort(out)
			return slices.Compact(out)
		}
	}
}
