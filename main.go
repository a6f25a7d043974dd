// Command mta-sts-operator publishes MTA-STS (RFC 8461) and TLS-RPT (RFC 8460) for mail domains.
package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/validation"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	"sigs.k8s.io/controller-runtime/pkg/metrics/filters"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/mta-sts-operator/mta-sts-operator/controllers"
	"github.com/mta-sts-operator/mta-sts-operator/internal/cgroup"
	"github.com/mta-sts-operator/mta-sts-operator/internal/config"
	"github.com/mta-sts-operator/mta-sts-operator/internal/sender"
)

// version is set by the linker.
var version = "dev"

// heapPercent is how much of its memory limit the manager's heap may take: nearly all that there is.
const heapPercent = 90

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	cmd := commandOf(os.Args[0])
	err := cmd.ExecuteContext(ctx)
	stop()
	if err != nil {
		os.Exit(exit(cmd, err, os.Stderr))
	}
}

// rootCommand runs the controllers when no other command is named. Tests give it a world of their own.
func rootCommand(world sender.Config) *cobra.Command {
	manager := managerCommand()
	root := &cobra.Command{
		Use:           "mta-sts-operator",
		Short:         "Publish MTA-STS and TLS-RPT for mail domains",
		Version:       version,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.NoArgs,
		RunE:          manager.RunE,
	}
	root.Flags().AddFlagSet(manager.Flags())
	root.AddCommand(manager, serveCommand(), checkCommand(world), renderCommand(), importCommand(world))
	return root
}

// managerFlags are the flags of the manager; everything about policies is in the configuration file.
type managerFlags struct {
	config, metricsAddress, probeAddress, logLevel string
	leaderElection, insecureMetrics                bool
	watchNamespaces                                []string
}

func managerCommand() *cobra.Command {
	var f managerFlags
	cmd := &cobra.Command{
		Use:   "manager",
		Short: "Run the controllers (the default)",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return runManager(cmd.Context(), f) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.config, "config", "/config/config.yaml", "the operator's configuration file")
	flags.StringVar(&f.metricsAddress, "metrics-listen", ":8443", "address of the metrics endpoint; 0 switches it off")
	flags.BoolVar(&f.insecureMetrics, "metrics-insecure", false, "serve metrics in clear text and to everybody")
	flags.StringVar(&f.probeAddress, "probes-listen", ":8081", "address of /healthz and /readyz")
	flags.BoolVar(&f.leaderElection, "leader-elect", true, "work only as the elected leader, so that several replicas may run")
	flags.StringVar(&f.logLevel, "log-level", "info", "debug, info, warn or error")
	flags.StringSliceVar(&f.watchNamespaces, "watch-namespaces", nil,
		"see and serve policies of these namespaces only, and do with a Role in each (default all, with a ClusterRole)")
	return cmd
}

func runManager(ctx context.Context, f managerFlags) error {
	logger, err := newLogger(f.logLevel)
	if err != nil {
		return err
	}
	ctrl.SetLogger(logr.FromSlogHandler(logger.Handler()))
	cgroup.KeepWithinLimit(heapPercent)
	if err := checkNamespaces(f.watchNamespaces); err != nil {
		return err
	}
	cfg, err := config.Load(f.config)
	if err != nil {
		return err
	}
	world, err := newSender(cfg.Looks)
	if err != nil {
		return err
	}
	restConfig, err := ctrl.GetConfig()
	if err != nil {
		return fmt.Errorf("finding the cluster: %w", err)
	}
	if err := awaitAPIServer(ctx, restConfig, f.probeAddress, ctrl.Log); err != nil {
		return fmt.Errorf("waiting for the API server: %w", err)
	}
	mgr, err := ctrl.NewManager(restConfig, managerOptions(f))
	if err != nil {
		return fmt.Errorf("making the manager: %w", err)
	}
	if err := errors.Join(mgr.AddHealthzCheck("ping", healthz.Ping), mgr.AddReadyzCheck("ping", healthz.Ping)); err != nil {
		return fmt.Errorf("adding health checks: %w", err)
	}
	options := controllers.Options{
		Version: version, Config: cfg, World: world, OperatorNamespace: os.Getenv("POD_NAMESPACE"), Namespaces: f.watchNamespaces,
		Metrics: metrics.Registry,
	}
	if err := controllers.Setup(mgr, options); err != nil {
		return err
	}
	logger.Info("starting", "version", version)
	if err := mgr.Start(ctx); err != nil {
		return fmt.Errorf("running the manager: %w", err)
	}
	return nil
}

// checkNamespaces refuses above all an empty name: to a cache it would mean every namespace.
func checkNamespaces(names []string) error {
	for _, name := range names {
		if len(validation.IsDNS1123Label(name)) > 0 {
			return fmt.Errorf("--watch-namespaces: %q is no namespace: write names with commas between", name)
		}
	}
	return nil
}

func managerOptions(f managerFlags) ctrl.Options {
	o := controllers.ManagerOptions(f.watchNamespaces...)
	o.NewCache = newPatientCache
	o.HealthProbeBindAddress = f.probeAddress
	o.LeaderElection = f.leaderElection
	o.LeaderElectionID = "mta-sts-operator"
	// Safe because the process ends right after the manager does.
	o.LeaderElectionReleaseOnCancel = true
	o.Metrics = metricsserver.Options{BindAddress: f.metricsAddress}
	if !f.insecureMetrics {
		o.Metrics.SecureServing = true
		o.Metrics.FilterProvider = filters.WithAuthenticationAndAuthorization
		o.Metrics.TLSOpts = []func(*tls.Config){func(c *tls.Config) { c.NextProtos = []string{"http/1.1"} }}
	}
	return o
}

// newSender sees the world as the configuration wants it looked at.
func newSender(looks config.Looks) (*sender.Sender, error) {
	cfg := sender.Config{Resolvers: looks.Resolvers, AllowPrivate: looks.AllowPrivateAddresses, Deny: looks.Denied()}
	if looks.ExtraRootsFile != "" {
		var err error
		if cfg.Roots, err = rootsWith(looks.ExtraRootsFile); err != nil {
			return nil, fmt.Errorf("reading looks.extraRootsFile: %w", err)
		}
	}
	world, err := sender.New(cfg)
	if err != nil {
		return nil, fmt.Errorf("preparing to look at policies: %w", err)
	}
	return world, nil
}

func newLogger(level string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("--log-level %q: write debug, info, warn or error", level)
	}
	return slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: l})), nil
}
