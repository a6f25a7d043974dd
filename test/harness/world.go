package harness

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"strconv"
	"time"

	cmv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	edns "sigs.k8s.io/external-dns/apis/v1alpha1"

	"github.com/mta-sts-operator/mta-sts-operator/internal/policyserver"
)

// Options say how fast the world is. All zero values are usable: everything takes
// some tens of milliseconds then.
type Options struct {
	// Config is what the harness itself connects with, if it shall be somebody
	// else than the caller, for example a user that an audit log tells from the
	// operator. It needs cluster-admin.
	Config *rest.Config
	// Logger receives the failures of models, each once. Nil discards them.
	Logger *slog.Logger
	// StepPeriod is the time between two steps: 25 ms if 0.
	StepPeriod time.Duration
	// Kubelet is how fast kubelets are: 100 ms, 25 ms and 50 ms where 0.
	Kubelet KubeletTiming
	// ExternalDNSLag is the time until external-dns applies what it has read,
	// CertificateDelay the one from asking to a certificate: 25 ms if 0.
	ExternalDNSLag   time.Duration
	CertificateDelay time.Duration
	// RescanInterval and DrainDelay are those of the policy servers: 1 s and
	// 100 ms if 0.
	RescanInterval time.Duration
	DrainDelay     time.Duration
}

func (o Options) withDefaults() Options {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	o.StepPeriod = cmp.Or(o.StepPeriod, 25*time.Millisecond)
	o.Kubelet.SyncPeriod = cmp.Or(o.Kubelet.SyncPeriod, 100*time.Millisecond)
	o.Kubelet.ApplyLag = cmp.Or(o.Kubelet.ApplyLag, 25*time.Millisecond)
	o.Kubelet.ProbePeriod = cmp.Or(o.Kubelet.ProbePeriod, 50*time.Millisecond)
	o.ExternalDNSLag = cmp.Or(o.ExternalDNSLag, 25*time.Millisecond)
	o.CertificateDelay = cmp.Or(o.CertificateDelay, 25*time.Millisecond)
	o.RescanInterval = cmp.Or(o.RescanInterval, time.Second)
	o.DrainDelay = cmp.Or(o.DrainDelay, 100*time.Millisecond)
	return o
}

// World is everything around the operator, running on loopback.
type World struct {
	// The models, whose methods change how the world behaves. All are safe for
	// use while the world runs.
	DNS         *DNS
	ExternalDNS *ExternalDNS
	CA          *CA
	Ingress     *Ingress
	Kubelet     *Kubelet
	Mail        *MailHosts

	options   Options
	api       *api
	live      client.Client
	authority *Authority
	dns       *dnsListener
	https     *httpsListener
	driver    *driver
	stop      []func() error // in the order of starting
}

// Start starts a world around the API server of cfg. CRDs of cert-manager and
// external-dns may be missing and appear later; until then their models rest. The
// world ends with Stop, or, but for its temporary files, with ctx.
func Start(ctx context.Context, cfg *rest.Config, o Options) (*World, error) {
	return build(ctx, cfg, o, (*World).start)
}

// ground is what every world stands on.
type ground struct {
	api     *api
	clock   clock.RealClock
	nodes   *Nodes
	runtime *loopbackRuntime
}

// build lays the ground and starts what stands on it.
func build(ctx context.Context, cfg *rest.Config, o Options, start func(*World, context.Context, *ground, Options) error) (*World, error) {
	o = o.withDefaults()
	if o.Config != nil {
		cfg = o.Config
	}
	w := &World{}
	ctx, cancel := context.WithCancel(ctx)
	w.stop = append(w.stop, func() error { cancel(); return nil })
	g, err := w.layGround(ctx, cfg, o)
	if err == nil {
		err = start(w, ctx, g, o)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("starting the harness: %w", err), w.Stop())
	}
	return w, nil
}

// layGround connects to the API server and prepares for pods.
func (w *World) layGround(ctx context.Context, cfg *rest.Config, o Options) (*ground, error) {
	api, err := connect(ctx, cfg, o.Logger)
	if err != nil {
		return nil, err
	}
	w.options, w.api, w.live = o, api, api.live
	w.stop = append(w.stop, api.close)
	dir, err := os.MkdirTemp(memory(), "mta-sts-harness-")
	if err != nil {
		return nil, fmt.Errorf("making a directory for volumes: %w", err)
	}
	w.stop = append(w.stop, func() error { return os.RemoveAll(dir) })
	runtime := newLoopbackRuntime(ctx, dir, policyserver.Options{
		RescanInterval: o.RescanInterval, DrainDelay: o.DrainDelay, Logger: o.Logger.With("component", "policyserver"),
	})
	w.stop = append(w.stop, func() error { runtime.close(); return nil })
	g := &ground{api: api, nodes: NewNodes(), runtime: runtime}
	w.DNS = NewDNS(g.clock)
	w.Kubelet = NewKubelet(api.cached, api.live, g.clock, g.nodes, runtime, o.Kubelet)
	return g, nil
}

// workload plays the cluster's own controllers of pods.
func (g *ground) workload() *Workload {
	return NewWorkload(g.api.cached, g.api.live, g.clock, g.nodes, g.runtime)
}

func (w *World) start(ctx context.Context, g *ground, o Options) (err error) {
	w.ExternalDNS = NewExternalDNS(g.api.cached, w.DNS, g.clock, o.ExternalDNSLag)
	w.Ingress = NewIngress(g.api.cached, PodAddress)
	if w.CA, err = NewCA(g.api.cached, g.clock, o.CertificateDelay); err != nil {
		return err
	}
	w.authority = w.CA.Authority
	if err := w.listen(ctx, w.Ingress, o.Logger); err != nil {
		return err
	}
	w.Ingress.onState = w.https.gate.setRefuse
	w.driver = newDriver(ctx, o, []*driven{
		{name: "workload", step: g.workload().Step},
		{name: "kubelet", step: w.Kubelet.Step},
		{name: "ca", step: w.CA.Step, api: g.api, kind: &cmv1.Certificate{}},
		{name: "ingress", step: w.Ingress.Step},
		{name: "external-dns", step: w.ExternalDNS.Step, api: g.api, kind: &edns.DNSEndpoint{}},
	})
	w.stop = append(w.stop, w.driver.close)
	return nil
}

func (w *World) listen(ctx context.Context, routes front, logger *slog.Logger) (err error) {
	if w.dns, err = serveDNS(ctx, w.DNS); err != nil {
		return err
	}
	w.stop = append(w.stop, w.dns.close)
	if w.https, err = serveHTTPS(ctx, routes, logger); err != nil {
		return err
	}
	w.stop = append(w.stop, w.https.close)
	if w.Mail, err = newMailHosts(ctx, w.DNS, w.authority); err != nil {
		return err
	}
	w.stop = append(w.stop, w.Mail.close)
	return nil
}

// StartIngress starts an Ingress controller of a class beside the one that is there, at a loopback address of
// its own and the same port. It ends with the world.
func (w *World) StartIngress(ctx context.Context, class, address string) (*Ingress, error) {
	port, err := openGateAt(ctx, net.JoinHostPort(address, strconv.Itoa(int(w.HTTPSPort()))))
	if err != nil {
		return nil, err
	}
	w.Ingress.Leave(class)
	beside := NewIngress(w.api.cached, address)
	beside.class = class
	listener := serveHTTPSAt(port, beside, w.options.Logger)
	beside.onState = listener.gate.setRefuse
	driver := newDriver(ctx, w.options, []*driven{{name: "ingress " + class, step: beside.Step}})
	w.stop = append(w.stop, listener.close, driver.close)
	return beside, nil
}

// Stop ends all processes and closes all ports. Objects stay in the API. It
// waits until everything has ended.
func (w *World) Stop() error {
	var errs []error
	for _, stop := range slices.Backward(w.stop) {
		errs = append(errs, stop())
	}
	w.stop = nil
	return errors.Join(errs...)
}

// Resolver returns the host:port of DNS, which is resolver and authoritative
// server in one.
func (w *World) Resolver() string { return w.dns.address.String() }

// DNSPort returns the port of Resolver.
func (w *World) DNSPort() uint16 {
	return uint16(w.dns.address.Port) //nolint:gosec // a port
}

// HTTPSPort returns the port at which every policy host is reached.
func (w *World) HTTPSPort() uint16 { return w.https.gate.port() }

// SMTPPort returns the port of every mail server.
func (w *World) SMTPPort() uint16 { return w.Mail.port }

// Roots returns what senders trust.
func (w *World) Roots() *x509.CertPool { return w.authority.Pool() }

// RootsPEM returns the same as a file.
func (w *World) RootsPEM() []byte { return w.authority.PEM() }

// Pods returns the server pods of a namespace, terminating ones included, by name.
func (w *World) Pods(ctx context.Context, namespace string) ([]corev1.Pod, error) {
	var list corev1.PodList
	if err := w.live.List(ctx, &list, client.InNamespace(namespace)); err != nil {
		return nil, fmt.Errorf("listing pods: %w", err)
	}
	list.Items = slices.DeleteFunc(list.Items, func(pod corev1.Pod) bool {
		return metav1.GetControllerOf(&pod) == nil || namedPort(&pod, MetricsPort) == 0
	})
	return list.Items, nil
}
