// Package integration tells stories of the operator on a real kube-apiserver, etcd and garbage
// collector, with the cluster's other parts played by the harness.
package integration

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	cmv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	"github.com/go-logr/logr"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	externaldnsv1alpha1 "sigs.k8s.io/external-dns/apis/v1alpha1"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/controllers"
	"github.com/mta-sts-operator/mta-sts-operator/internal/config"
	"github.com/mta-sts-operator/mta-sts-operator/test/controlplane"
	"github.com/mta-sts-operator/mta-sts-operator/test/harness"
	"github.com/mta-sts-operator/mta-sts-operator/test/operator"
)

// patience is how long anything may take on a machine that has other things to do.
const patience = 45 * time.Second

// plane is the control plane of all stories; asOperator connects with nothing but the rights of the
// operator's generated role.
var (
	plane      *controlplane.ControlPlane
	asOperator *rest.Config
	auditLog   string
)

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard())
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	dir, err := os.MkdirTemp("", "mta-sts-integration-")
	if err != nil {
		return 0, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	auditLog = filepath.Join(dir, "audit.log")
	thirdParty, err := controlplane.ThirdPartyCRDs()
	if err != nil {
		return 0, err
	}
	plane, err = controlplane.Start(controlplane.Options{AuditLog: auditLog, CRDs: append(controlplane.OurCRDs(), thirdParty...)})
	if err != nil {
		return 0, err
	}
	defer func() { _ = plane.Stop() }()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := plane.StartControllerManager(ctx); err != nil {
		return 0, err
	}
	if err := bindOperator(ctx); err != nil {
		return 0, err
	}
	return m.Run(), nil
}

// story is one test's cluster: a namespace of its own and a world around one operator.
type story struct {
	*WithT
	*harness.World

	t         *testing.T
	ctx       context.Context
	api       client.Client
	namespace string
	domain    string
	link      *operator.Link
	clock     *operator.Clock
	op        *operator.Operator
	timings   controllers.Timings
	// operatorNamespace is where operators that start from now on keep what outlives them; empty means nowhere.
	operatorNamespace string
	// settings are the configuration of operators that start from now on; nil means operator.Settings().
	settings *config.Operator
}

// tell begins a story: the domain is the test's own, the operator runs.
func tell(t *testing.T) *story {
	t.Helper()
	s := setScene(t)
	s.startOperator()
	return s
}

// setScene begins a story without an operator.
func setScene(t *testing.T) *story {
	t.Helper()
	api, err := client.New(plane.Config, client.Options{Scheme: controllers.NewScheme()})
	if err != nil {
		t.Fatal(err)
	}
	s := &story{WithT: impatient(t), t: t, ctx: t.Context(), api: api, clock: &operator.Clock{}, timings: operator.Timings()}
	s.namespace = s.newNamespace("mail-")
	s.domain = s.namespace + ".example"
	s.World, err = harness.Start(context.WithoutCancel(s.ctx), plane.Config, harness.Options{Logger: s.logger("harness", slog.LevelError)})
	s.Expect(err).NotTo(HaveOccurred())
	s.DNS.SetMX(s.domain, "mx1."+s.domain)
	t.Cleanup(s.end)
	return s
}

// impatient looks often, and gives up late.
func impatient(t *testing.T) *WithT {
	g := NewWithT(t)
	g.SetDefaultEventuallyTimeout(patience)
	g.SetDefaultEventuallyPollingInterval(20 * time.Millisecond)
	g.SetDefaultConsistentlyDuration(time.Second)
	g.SetDefaultConsistentlyPollingInterval(20 * time.Millisecond)
	return g
}

func (s *story) newNamespace(prefix string) string {
	s.t.Helper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: prefix}}
	s.Expect(s.api.Create(s.ctx, ns)).To(Succeed())
	return ns.Name
}

func (s *story) logger(component string, level slog.Level) *slog.Logger {
	return slog.New(slog.NewTextHandler(s.t.Output(), &slog.HandlerOptions{Level: level})).With("component", component)
}

func (s *story) startOperator() {
	s.t.Helper()
	s.link = &operator.Link{}
	s.op = s.anotherOperator(s.link)
}

// anotherOperator starts an operator beside the story's own.
func (s *story) anotherOperator(link *operator.Link) *operator.Operator {
	s.t.Helper()
	op, err := operator.Start(context.WithoutCancel(s.ctx), operator.Options{
		Config: asOperator, World: s.World, Clock: s.clock, Link: link, Timings: s.timings, Settings: s.settings,
		OperatorNamespace: s.operatorNamespace, Logger: s.logger("operator", slog.LevelInfo),
	})
	s.Expect(err).NotTo(HaveOccurred())
	return op
}

func (s *story) stopOperator() {
	if s.op != nil {
		if err := s.op.Stop(); err != nil {
			s.t.Logf("the operator ended with: %v", err)
		}
		s.op = nil
	}
}

// end leaves nothing behind for the next story.
func (s *story) end() {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.ctx), patience)
	defer cancel()
	s.stopOperator()
	var namespaces corev1.NamespaceList
	if err := s.api.List(ctx, &namespaces); err != nil {
		s.t.Error(err)
	}
	for i := range namespaces.Items {
		if ns := &namespaces.Items[i]; strings.HasPrefix(ns.Name, "mail-") || strings.HasPrefix(ns.Name, "other-") {
			s.empty(ctx, ns.Name)
			if err := s.api.Delete(ctx, ns); err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
				s.t.Error(err)
			}
		}
	}
	s.eventuallyGone(ctx)
	if err := s.Stop(); err != nil {
		s.t.Errorf("stopping the world: %v", err)
	}
}

// empty deletes what would keep the next story's world busy. The namespace controller comes only five
// seconds after a namespace was deleted, and without kubelets nobody ends a pod.
func (s *story) empty(ctx context.Context, namespace string) {
	for _, kind := range []client.Object{
		&v1alpha1.MTASTSPolicy{}, &v1alpha1.MTASTSPublication{}, &networkingv1.Ingress{}, &cmv1.Certificate{},
		&externaldnsv1alpha1.DNSEndpoint{}, &appsv1.Deployment{}, &appsv1.ReplicaSet{}, &corev1.Pod{},
	} {
		err := s.api.DeleteAllOf(ctx, kind, client.InNamespace(namespace), client.GracePeriodSeconds(0),
			client.PropagationPolicy(metav1.DeletePropagationBackground))
		if err != nil {
			s.t.Errorf("emptying %s: %v", namespace, err)
		}
	}
}

// eventuallyGone waits until no policy and no publication is left.
func (s *story) eventuallyGone(ctx context.Context) {
	for ctx.Err() == nil {
		var policies v1alpha1.MTASTSPolicyList
		var publications v1alpha1.MTASTSPublicationList
		if s.api.List(ctx, &policies) == nil && s.api.List(ctx, &publications) == nil && len(policies.Items)+len(publications.Items) == 0 {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	s.t.Error("policies or publications are left over")
}
