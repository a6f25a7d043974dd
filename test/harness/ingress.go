package harness

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Ingress plays an Ingress controller with one address for all Ingresses of its
// class, or for all that no other one claims: it turns them into routes and reports the address. The listener in front of it
// asks Certificate and Route for every connection and request.
type Ingress struct {
	client  client.Client
	address string
	// class is the one it claims; "" is whatever is not in claimed.
	class string

	mu      sync.Mutex
	claimed map[string]bool
	routes  routes
	turn    int // of the round robin
	pairs   map[types.NamespacedName]pair
	raw     map[string]http.Handler
	certs   map[string]*tls.Certificate
	down    bool
	onState func(down bool)
}

// routes are what the Ingresses ask for.
type routes struct {
	certificates map[string]*tls.Certificate
	backends     map[string]map[string][]string // by host and exact path
}

// pair is the key pair of one version of a Secret; nil if it holds none.
type pair struct {
	version     string
	certificate *tls.Certificate
}

// NewIngress returns an Ingress controller that reports this address.
func NewIngress(c client.Client, address string) *Ingress {
	return &Ingress{
		client: c, address: address, pairs: map[types.NamespacedName]pair{},
		raw: map[string]http.Handler{}, certs: map[string]*tls.Certificate{},
	}
}

// takes says whether an Ingress is this controller's.
func (g *Ingress) takes(object *networkingv1.Ingress) bool {
	class := ""
	if object.Spec.IngressClassName != nil {
		class = *object.Spec.IngressClassName
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return class == g.class || (g.class == "" && !g.claimed[class])
}

// Leave makes the controller of all other classes leave one to another controller, or to nobody.
func (g *Ingress) Leave(class string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.claimed == nil {
		g.claimed = map[string]bool{}
	}
	g.claimed[class] = true
}

// ServeRaw answers every request for a host with handler, whatever the Ingresses
// say; nil ends it. The certificate stays what it is.
func (g *Ingress) ServeRaw(host string, handler http.Handler) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.raw, host)
	if handler != nil {
		g.raw[host] = handler
	}
}

// ServeCertificate presents this certificate for a host, whatever its Secret
// says; nil ends it.
func (g *Ingress) ServeCertificate(host string, certificate *tls.Certificate) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.certs, host)
	if certificate != nil {
		g.certs[host] = certificate
	}
}

// Down makes the listener turn every connection away, and cuts those it has.
func (g *Ingress) Down(down bool) {
	g.mu.Lock()
	g.down = down
	notify := g.onState
	g.mu.Unlock()
	if notify != nil {
		notify(down)
	}
}

// Certificate returns the certificate for a name in a TLS handshake. Unknown
// names are an error, which aborts the handshake.
func (g *Ingress) Certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	name := strings.ToLower(hello.ServerName)
	if certificate := g.certs[name]; certificate != nil {
		return certificate, nil
	}
	if certificate := g.routes.certificates[name]; certificate != nil {
		return certificate, nil
	}
	return nil, fmt.Errorf("no certificate for %q", name)
}

// Route returns what answers a request: a raw handler, or the host:port of a
// ready pod, or neither with the status code to answer instead.
func (g *Ingress) Route(host, path string) (raw http.Handler, backend string, code int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	host = strings.ToLower(host)
	if handler := g.raw[host]; handler != nil {
		return handler, "", 0
	}
	backends, known := g.routes.backends[host][path]
	switch {
	case !known:
		return nil, "", http.StatusNotFound
	case len(backends) == 0:
		return nil, "", http.StatusServiceUnavailable
	}
	g.turn++
	return nil, backends[g.turn%len(backends)], 0
}

// Step reads Ingresses, Services, pods and Secrets and reports the address.
func (g *Ingress) Step(ctx context.Context) error {
	var list networkingv1.IngressList
	if err := g.client.List(ctx, &list); err != nil {
		return fmt.Errorf("listing Ingresses: %w", err)
	}
	slices.SortFunc(list.Items, byKey)
	next := routes{certificates: map[string]*tls.Certificate{}, backends: map[string]map[string][]string{}}
	var errs []error
	for i := range list.Items {
		object := &list.Items[i]
		if object.DeletionTimestamp != nil || !g.takes(object) {
			continue
		}
		err := errors.Join(g.addCertificates(ctx, next, object), g.addBackends(ctx, next, object), g.report(ctx, object))
		if err != nil {
			errs = append(errs, fmt.Errorf("ingress %s/%s: %w", object.Namespace, object.Name, err))
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.routes = next
	return errors.Join(errs...)
}

func (g *Ingress) report(ctx context.Context, object *networkingv1.Ingress) error {
	next := object.DeepCopy()
	next.Status.LoadBalancer.Ingress = []networkingv1.IngressLoadBalancerIngress{{IP: g.address}}
	if equality.Semantic.DeepEqual(object.Status, next.Status) {
		return nil
	}
	if err := g.client.Status().Patch(ctx, next, client.MergeFrom(object)); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("writing its status: %w", err)
	}
	return nil
}

func (g *Ingress) addCertificates(ctx context.Context, to routes, object *networkingv1.Ingress) error {
	for _, entry := range object.Spec.TLS {
		key := types.NamespacedName{Namespace: object.Namespace, Name: entry.SecretName}
		var secret corev1.Secret
		if err := g.client.Get(ctx, key, &secret); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("reading Secret %s: %w", key.Name, err)
		}
		certificate := g.pairOf(&secret)
		if certificate == nil {
			continue // not there yet: the handshake is aborted
		}
		for _, host := range entry.Hosts {
			to.certificates[host] = certificate
		}
	}
	return nil
}

func (g *Ingress) pairOf(secret *corev1.Secret) *tls.Certificate {
	key := types.NamespacedName{Namespace: secret.Namespace, Name: secret.Name}
	if known := g.pairs[key]; known.version != "" && known.version == secret.ResourceVersion {
		return known.certificate
	}
	next := pair{version: secret.ResourceVersion}
	if certificate, err := tls.X509KeyPair(secret.Data[corev1.TLSCertKey], secret.Data[corev1.TLSPrivateKeyKey]); err == nil {
		next.certificate = &certificate
	}
	g.pairs[key] = next
	return next.certificate
}

// addBackends adds the rules with an exact path; there are no others around MTA-STS.
func (g *Ingress) addBackends(ctx context.Context, to routes, object *networkingv1.Ingress) error {
	for _, rule := range object.Spec.Rules {
		if rule.HTTP == nil {
			continue
		}
		for _, path := range rule.HTTP.Paths {
			exact := path.PathType != nil && *path.PathType == networkingv1.PathTypeExact
			if !exact || path.Backend.Service == nil {
				continue
			}
			addresses, err := g.endpoints(ctx, object.Namespace, path.Backend.Service)
			if err != nil {
				return err
			}
			if to.backends[rule.Host] == nil {
				to.backends[rule.Host] = map[string][]string{}
			}
			to.backends[rule.Host][path.Path] = addresses
		}
	}
	return nil
}
