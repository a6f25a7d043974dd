package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/mta-sts-operator/mta-sts-operator/controllers"
	"github.com/mta-sts-operator/mta-sts-operator/internal/sender"
	"github.com/mta-sts-operator/mta-sts-operator/test/controlplane"
	"github.com/mta-sts-operator/mta-sts-operator/test/harness"
	"github.com/mta-sts-operator/mta-sts-operator/test/operator"
)

// namespace is where the demo's policy lives.
const namespace = "mail"

// stage is everything that runs.
type stage struct {
	assets string // where etcd, kube-apiserver and kubectl are
	dir    string // for the demo's own files
	roots  string // the PEM file that senders here trust

	plane    *controlplane.ControlPlane
	world    *harness.World
	operator *operator.Operator
	api      client.Client
	sender   *sender.Sender
	logs     *tail // of the operator, and of models that fail
}

// raise starts everything. The stage is to be struck even if that fails half-way.
func raise(ctx context.Context, out *printer) (*stage, error) {
	s := &stage{logs: &tail{}}
	out.begin("Starting a cluster on this machine")
	for _, step := range []func(context.Context, *printer) error{
		s.prepare, s.startPlane, s.startWorld, s.startOperator,
	} {
		if err := step(ctx, out); err != nil {
			return s, err
		}
		if err := context.Cause(ctx); err != nil {
			return s, fmt.Errorf("starting: %w", context.Canceled)
		}
	}
	return s, nil
}

func (s *stage) prepare(ctx context.Context, _ *printer) (err error) {
	if err := toRoot(); err != nil {
		return err
	}
	if s.assets, err = findAssets(ctx); err != nil {
		return err
	}
	s.dir, err = os.MkdirTemp("", "mta-sts-demo-")
	return err
}

func (s *stage) startPlane(ctx context.Context, out *printer) error {
	out.tell(cyan, "control plane", "etcd and kube-apiserver, the real ones")
	thirdParty, err := controlplane.ThirdPartyCRDs()
	if err != nil {
		return withHint(err, "Run `go mod download` in the checkout: the CRDs of others come from Go modules.")
	}
	output := &tail{}
	s.plane, err = controlplane.Start(controlplane.Options{CRDs: append(controlplane.OurCRDs(), thirdParty...), Output: output})
	if err != nil {
		return withHint(err, output.last(10)+"\n\nThe programs are those in "+s.assets+". If they are broken, delete that folder\n"+
			"and run the demo again, or set KUBEBUILDER_ASSETS to others.")
	}
	if s.api, err = client.New(s.plane.Config, client.Options{Scheme: controllers.NewScheme()}); err != nil {
		return err
	}
	out.tell(cyan, "", "CRDs of this operator, of cert-manager and of external-dns")
	return s.api.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}})
}

func (s *stage) startWorld(ctx context.Context, out *printer) (err error) {
	s.world, err = harness.Start(ctx, s.plane.Config, harness.Options{
		Logger:           slog.New(slog.NewTextHandler(s.logs, &slog.HandlerOptions{Level: slog.LevelWarn})),
		CertificateDelay: time.Second,
		ExternalDNSLag:   800 * time.Millisecond,
		// Between two readings a kubelet looks at a volume only when it is nudged, as real ones do.
		Kubelet: harness.KubeletTiming{SyncPeriod: 20 * time.Second, ApplyLag: slowest, ProbePeriod: 200 * time.Millisecond},
	})
	if err != nil {
		return withHint(err, "The demo needs free ports and UDP on 127.0.0.1.")
	}
	s.sender, err = sender.New(sender.Config{
		Resolvers: []string{s.world.Resolver()}, Roots: s.world.Roots(), AllowPrivate: true,
		DNSPort: s.world.DNSPort(), HTTPSPort: s.world.HTTPSPort(),
	})
	if err != nil {
		return err
	}
	s.roots = filepath.Join(s.dir, "ca.pem")
	if err := os.WriteFile(s.roots, s.world.CA.PEM(), 0o600); err != nil {
		return fmt.Errorf("writing the CA's certificate: %w", err)
	}
	out.tell(cyan, "world", "played: kubelets, cert-manager, Ingress controller, external-dns")
	out.tell(cyan, "", fmt.Sprintf("listening: DNS on 127.0.0.1:%d, HTTPS on 127.0.0.1:%d", s.world.DNSPort(), s.world.HTTPSPort()))
	return nil
}

func (s *stage) startOperator(ctx context.Context, out *printer) (err error) {
	s.operator, err = operator.Start(ctx, operator.Options{
		Config: s.plane.Config, World: s.world, Timings: timings(),
		Logger: slog.New(slog.NewTextHandler(s.logs, nil)),
	})
	if err != nil {
		return err
	}
	out.tell(cyan, "operator", "the real one, with waits of seconds instead of minutes")
	return nil
}

// timings are waits that can be seen and do not bore.
func timings() controllers.Timings {
	t := operator.Timings()
	t.HostDelay = 500 * time.Millisecond
	t.AskPending = 100 * time.Millisecond
	t.NudgeAfter = 200 * time.Millisecond
	t.NudgeAgain = time.Second
	t.PollFirst = 200 * time.Millisecond
	t.RetireGrace = 10 * time.Second
	t.UnverifiedDelay = 10 * time.Second
	t.ProofPeriod = 10 * time.Second
	t.BlockedPatience = 10 * time.Second
	t.HealInterval = 10 * time.Second
	t.LookInterval = 10 * time.Second
	return t
}

// strike stops whatever was started, in the opposite order.
func (s *stage) strike() error {
	var faults []error
	if s.operator != nil {
		faults = append(faults, s.operator.Stop())
	}
	if s.world != nil {
		faults = append(faults, s.world.Stop())
	}
	if s.plane != nil {
		faults = append(faults, s.plane.Stop())
	}
	if s.dir != "" {
		faults = append(faults, os.RemoveAll(s.dir))
	}
	return errors.Join(faults...)
}
