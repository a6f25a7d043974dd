package harness

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	cmv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	cmmeta "github.com/cert-manager/cert-manager/pkg/apis/meta/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	edns "sigs.k8s.io/external-dns/apis/v1alpha1"
)

// fleetWorkers is how many objects a fleet works on at once.
const fleetWorkers = 16

// fleet plays cert-manager, the Ingress controller and external-dns for thousands of policies: it works
// on what changed, at once and without faults, so that the world costs per change and not per policy.
type fleet struct {
	api       *api
	dns       *DNS
	authority *Authority
	ingress   *Ingress // finds the pods behind a Service
	queue     workqueue.TypedInterface[fleetKey]
	wait      sync.WaitGroup

	mu           sync.Mutex
	certificates map[string]*tls.Certificate
	routes       map[string]fleetRoute
	records      map[types.NamespacedName][]recordKey // what each DNSEndpoint put into DNS
	turn         int
}

// fleetKey names an object of one of the four kinds that a fleet works on.
type fleetKey struct {
	kind string
	types.NamespacedName
}

// fleetRoute is where requests for a host go.
type fleetRoute struct {
	namespace, path string
	backend         *networkingv1.IngressServiceBackend
}

// StartFleet starts a world like Start, for as many policies as the API server bears: what there is one of
// per policy is handled when it changes. Its models have no faults; World.ExternalDNS, World.CA and
// World.Ingress are nil. The CRDs of cert-manager and external-dns must be there.
func StartFleet(ctx context.Context, cfg *rest.Config, o Options) (*World, error) {
	return build(ctx, cfg, o, (*World).startFleet)
}

func (w *World) startFleet(ctx context.Context, g *ground, o Options) (err error) {
	if w.authority, err = NewAuthority(g.clock); err != nil {
		return err
	}
	f := &fleet{
		api: g.api, dns: w.DNS, authority: w.authority, ingress: NewIngress(g.api.cached, PodAddress),
		queue:        workqueue.NewTyped[fleetKey](),
		certificates: map[string]*tls.Certificate{}, routes: map[string]fleetRoute{}, records: map[types.NamespacedName][]recordKey{},
	}
	if err := w.listen(ctx, f, o.Logger); err != nil {
		return err
	}
	if err := f.run(ctx, o); err != nil {
		return err
	}
	w.stop = append(w.stop, f.close)
	w.driver = newDriver(ctx, o, []*driven{
		{name: "workload", step: g.workload().Step},
		{name: "kubelet", step: w.Kubelet.Step},
	})
	w.stop = append(w.stop, w.driver.close)
	return nil
}

// run watches the four kinds and works on what changes.
func (f *fleet) run(ctx context.Context, o Options) error {
	for kind, object := range map[string]client.Object{
		"Ingress": &networkingv1.Ingress{}, "Secret": &corev1.Secret{}, "Certificate": &cmv1.Certificate{}, "DNSEndpoint": &edns.DNSEndpoint{},
	} {
		if err := f.watch(ctx, kind, object); err != nil {
			return fmt.Errorf("watching %s: %w", kind, err)
		}
	}
	for range fleetWorkers {
		f.wait.Go(func() {
			for {
				key, ended := f.queue.Get()
				if ended {
					return
				}
				if err := f.work(ctx, key); err != nil && ctx.Err() == nil {
					o.Logger.Warn("a fleet's object failed and is tried again", "kind", key.kind, "key", key.NamespacedName, "error", err)
					time.AfterFunc(time.Second, func() { f.queue.Add(key) })
				}
				f.queue.Done(key)
			}
		})
	}
	return nil
}

func (f *fleet) watch(ctx context.Context, kind string, object client.Object) error {
	informer, err := f.api.cache.GetInformer(ctx, object)
	if err != nil {
		return err
	}
	add := func(object any) {
		if key, err := toolscache.DeletionHandlingObjectToName(object); err == nil {
			f.queue.Add(fleetKey{kind, types.NamespacedName{Namespace: key.Namespace, Name: key.Name}})
		}
	}
	_, err = informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc: add, UpdateFunc: func(_, now any) { add(now) }, DeleteFunc: add,
	})
	return err
}

func (f *fleet) close() error {
	f.queue.ShutDown()
	f.wait.Wait()
	return nil
}

func (f *fleet) work(ctx context.Context, key fleetKey) error {
	var err error
	switch key.kind {
	case "Ingress":
		err = with(ctx, f, key.NamespacedName, &networkingv1.Ingress{}, f.route, nil)
	case "Secret":
		err = with(ctx, f, key.NamespacedName, &corev1.Secret{}, f.load, nil)
	case "Certificate":
		err = with(ctx, f, key.NamespacedName, &cmv1.Certificate{}, f.issue, nil)
	case "DNSEndpoint":
		err = with(ctx, f, key.NamespacedName, &edns.DNSEndpoint{}, f.publish, f.withdraw)
	}
	return client.IgnoreNotFound(err)
}

// with calls do with an object as the cache has it, or gone if there is none.
func with[T client.Object](ctx context.Context, f *fleet, key types.NamespacedName, object T, do func(context.Context, T) error, gone func(types.NamespacedName)) error {
	err := f.api.cached.Get(ctx, key, object)
	if err == nil {
		return do(ctx, object)
	}
	if gone != nil && client.IgnoreNotFound(err) == nil {
		gone(key)
	}
	return err
}

// issue gives a Certificate its Secret, and says so.
func (f *fleet) issue(ctx context.Context, certificate *cmv1.Certificate) error {
	if len(certificate.Status.Conditions) > 0 {
		return nil
	}
	ca := CA{Authority: f.authority, client: f.api.cached, lifetime: defaultLifetime}
	if err := ca.writeSecret(ctx, certificate); err != nil {
		return err
	}
	next := certificate.DeepCopy()
	now := metav1.Now()
	next.Status.NotAfter = new(metav1.NewTime(now.Add(defaultLifetime)))
	next.Status.Conditions = []cmv1.CertificateCondition{{
		Type: cmv1.CertificateConditionReady, Status: cmmeta.ConditionTrue, Reason: "Ready", LastTransitionTime: &now,
		Message: "Certificate is up to date and has not expired", ObservedGeneration: certificate.Generation,
	}}
	if err := f.api.live.Status().Patch(ctx, next, client.MergeFrom(certificate)); err != nil {
		return fmt.Errorf("writing its status: %w", err)
	}
	return nil
}

// load makes handshakes for the names of a Secret succeed.
func (f *fleet) load(_ context.Context, secret *corev1.Secret) error {
	pair, err := tls.X509KeyPair(secret.Data[corev1.TLSCertKey], secret.Data[corev1.TLSPrivateKeyKey])
	if err != nil {
		return fmt.Errorf("reading its key pair: %w", err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for name := range strings.SplitSeq(secret.Annotations[cmv1.AltNamesAnnotationKey], ",") {
		f.certificates[name] = &pair
	}
	return nil
}

// route makes requests for the hosts of an Ingress succeed, and reports its address.
func (f *fleet) route(ctx context.Context, object *networkingv1.Ingress) error {
	f.mu.Lock()
	for _, rule := range object.Spec.Rules {
		for _, path := range rule.HTTP.Paths {
			f.routes[rule.Host] = fleetRoute{namespace: object.Namespace, path: path.Path, backend: path.Backend.Service}
		}
	}
	f.mu.Unlock()
	if len(object.Status.LoadBalancer.Ingress) > 0 {
		return nil
	}
	return f.ingress.report(ctx, object)
}

// publish carries a DNSEndpoint into DNS.
func (f *fleet) publish(ctx context.Context, object *edns.DNSEndpoint) error {
	f.withdraw(client.ObjectKeyFromObject(object))
	var keys []recordKey
	for _, set := range mergeEndpoints([]edns.DNSEndpoint{*object}) {
		rrs, err := plan{provider: Quoted}.render(set)
		if err != nil {
			return err
		}
		f.dns.replace(set.name, set.rtype, rrs)
		keys = append(keys, set.recordKey)
	}
	f.mu.Lock()
	f.records[client.ObjectKeyFromObject(object)] = keys
	f.mu.Unlock()
	external := ExternalDNS{client: f.api.cached}
	return external.markSeen(ctx, object)
}

// withdraw takes what a DNSEndpoint put into DNS out again.
func (f *fleet) withdraw(key types.NamespacedName) {
	f.mu.Lock()
	keys := f.records[key]
	delete(f.records, key)
	f.mu.Unlock()
	for _, k := range keys {
		f.dns.replace(k.name, k.rtype, nil)
	}
}

// Certificate is Ingress.Certificate.
func (f *fleet) Certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if certificate := f.certificates[strings.ToLower(hello.ServerName)]; certificate != nil {
		return certificate, nil
	}
	return nil, fmt.Errorf("no certificate for %q", hello.ServerName)
}

// Route is Ingress.Route.
func (f *fleet) Route(host, path string) (raw http.Handler, backend string, code int) {
	f.mu.Lock()
	route, known := f.routes[strings.ToLower(host)]
	f.turn++
	turn := f.turn
	f.mu.Unlock()
	if !known || route.path != path {
		return nil, "", http.StatusNotFound
	}
	addresses, err := f.ingress.endpoints(context.Background(), route.namespace, route.backend)
	if err != nil || len(addresses) == 0 {
		return nil, "", http.StatusServiceUnavailable
	}
	return nil, addresses[turn%len(addresses)], 0
}
