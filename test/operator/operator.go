// Package operator runs the operator inside the calling process, against a real API server and a
// harness world, as tests and the demo need it: with short waiting times, a clock that can be set, and
// a connection to the API server that can be cut after any write, slowed, or made to lag.
package operator

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	crconfig "sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/mta-sts-operator/mta-sts-operator/controllers"
	"github.com/mta-sts-operator/mta-sts-operator/internal/config"
	"github.com/mta-sts-operator/mta-sts-operator/internal/sender"
)

// Surroundings are where the operator finds DNS, policy hosts and mail servers; a harness.World is some.
type Surroundings interface {
	Resolver() string
	DNSPort() uint16
	HTTPSPort() uint16
	SMTPPort() uint16
	Roots() *x509.CertPool
}

// Options say how the operator runs.
type Options struct {
	// Config is whom it connects as.
	Config *rest.Config
	// World is what it looks at.
	World Surroundings
	// Namespaces it is limited to; empty means all.
	Namespaces []string
	// OperatorNamespace is where it keeps what has to outlive it, its heartbeat among that; empty means nowhere.
	OperatorNamespace string
	// Settings is its configuration; nil means Settings().
	Settings *config.Operator
	// Timings; the zero value means Timings().
	Timings controllers.Timings
	// Clock; nil means the real one.
	Clock clock.Clock
	// Link is its connection to the API server; nil means a sound one.
	Link *Link
	// Logger; nil discards.
	Logger *slog.Logger
}

// Operator is a running operator.
type Operator struct {
	cancel context.CancelFunc
	done   chan struct{}
	err    error
}

// Settings is the configuration of tests: the harness' CA issues, the Ingress answers on loopback.
func Settings() config.Operator {
	c := config.Default()
	c.Server.Image = "mta-sts-operator:test"
	c.Issuer = config.Issuer{Name: "harness", Kind: "ClusterIssuer"}
	c.Looks.AllowPrivateAddresses = true
	return c
}

// Timings are the production times with every wait cut to what a test can bear.
func Timings() controllers.Timings {
	t := controllers.DefaultTimings()
	t.RetireGrace = 2 * time.Second
	t.UnverifiedDelay = 2 * time.Second
	t.MXPatience = time.Second
	t.MXFresh = 300 * time.Millisecond
	t.STARTTLSRetry = time.Second
	t.STARTTLSPause = 20 * time.Millisecond
	t.WorldPatience = time.Second
	t.MemoryPatience = 3 * time.Second
	t.Heartbeat = 200 * time.Millisecond
	t.HeartbeatOld = 5 * time.Second
	t.WitnessMargin = 0
	t.HealInterval = time.Second
	t.WayLinger = time.Second
	t.HostDelay = 200 * time.Millisecond
	t.ProofPeriod = 600 * time.Millisecond
	t.PollFirst = 50 * time.Millisecond
	t.PollMost = 500 * time.Millisecond
	t.RemovePatience = 10 * time.Second
	t.BlockedPatience = 3 * time.Second
	t.AskPending = 50 * time.Millisecond
	t.AskRest = 500 * time.Millisecond
	t.NudgeAfter = 50 * time.Millisecond
	t.NudgeAgain = 200 * time.Millisecond
	t.Coalesce = 10 * time.Millisecond
	t.CoalesceQuiet = 20 * time.Millisecond
	t.CoalesceMost = 50 * time.Millisecond
	t.MintInterval = 100 * time.Millisecond
	t.OvertakeInterval = 2 * time.Second
	t.TellAfter = 50 * time.Millisecond
	t.CRDPoll = 200 * time.Millisecond
	return t
}

// Start starts an operator and returns at once; it ends with ctx or Stop.
func Start(ctx context.Context, o Options) (*Operator, error) {
	if o.Settings == nil {
		o.Settings = new(Settings())
	}
	if o.Timings == (controllers.Timings{}) {
		o.Timings = Timings()
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	world, err := sender.New(sender.Config{
		Resolvers: []string{o.World.Resolver()}, Roots: o.World.Roots(), AllowPrivate: true,
		DNSPort: o.World.DNSPort(), HTTPSPort: o.World.HTTPSPort(), SMTPPort: o.World.SMTPPort(), Timeout: 5 * time.Second,
	})
	if err != nil {
		return nil, fmt.Errorf("making the sender: %w", err)
	}
	cfg := rest.CopyConfig(o.Config)
	cfg.QPS, cfg.Burst = -1, 0
	if o.Link != nil {
		cfg.Wrap(o.Link.Wrap)
	}
	options := controllers.ManagerOptions(o.Namespaces...)
	options.Logger = logr.FromSlogHandler(o.Logger.Handler())
	options.Metrics = server.Options{BindAddress: "0"}
	options.HealthProbeBindAddress = "0"
	options.Controller = crconfig.Controller{SkipNameValidation: new(true)}
	options.GracefulShutdownTimeout = new(5 * time.Second)
	mgr, err := ctrl.NewManager(cfg, options)
	if err != nil {
		return nil, fmt.Errorf("making the manager: %w", err)
	}
	err = controllers.Setup(mgr, controllers.Options{
		Config: *o.Settings, Timings: o.Timings, World: world, Clock: o.Clock, Namespaces: o.Namespaces,
		OperatorNamespace: o.OperatorNamespace,
	})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	op := &Operator{cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(op.done)
		op.err = mgr.Start(ctx)
	}()
	return op, nil
}

// Stop ends the operator and returns what it ended with.
func (o *Operator) Stop() error {
	o.cancel()
	<-o.done
	if errors.Is(o.err, context.Canceled) {
		return nil
	}
	return o.err
}

// Passes is how often a controller of this process was run, by all operators there were.
func Passes(controller string) (int, error) {
	families, err := metrics.Registry.Gather()
	if err != nil {
		return 0, fmt.Errorf("reading metrics: %w", err)
	}
	total := 0.0
	for _, family := range families {
		if family.GetName() != "controller_runtime_reconcile_total" {
			continue
		}
		for _, m := range family.GetMetric() {
			for _, label := range m.GetLabel() {
				if label.GetName() == "controller" && label.GetValue() == controller {
					total += m.GetCounter().GetValue()
				}
			}
		}
	}
	return int(total), nil
}
