package harness_test

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	cmv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	cmmeta "github.com/cert-manager/cert-manager/pkg/apis/meta/v1"
	"github.com/go-logr/logr"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/discovery"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	edns "sigs.k8s.io/external-dns/apis/v1alpha1"
	"sigs.k8s.io/external-dns/endpoint"

	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
	"github.com/mta-sts-operator/mta-sts-operator/internal/policyserver"
	"github.com/mta-sts-operator/mta-sts-operator/test/controlplane"
	"github.com/mta-sts-operator/mta-sts-operator/test/harness"
)

const (
	domain = "example.com"
	host   = "mta-sts." + domain
	// patience is how long anything may take; a machine that compiles at the
	// same time is slow.
	patience = 30 * time.Second
	// replicas is how many pods the Deployment has.
	replicas = 2
	bodyA    = "version: STSv1\r\nmode: testing\r\nmx: a.example.com\r\nmax_age: 86400\r\n"
	bodyB    = "version: STSv1\r\nmode: testing\r\nmx: b.example.com\r\nmax_age: 86400\r\n"
)

// plane is the control plane that all tests share, started by the first.
var plane = struct {
	*controlplane.ControlPlane

	dir   string
	err   error
	start sync.Once
}{}

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard())
	code := m.Run()
	if plane.ControlPlane != nil {
		if err := plane.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	if plane.dir != "" {
		_ = os.RemoveAll(plane.dir)
	}
	os.Exit(code)
}

func auditLog() string { return filepath.Join(plane.dir, "audit.log") }

// startPlane starts the control plane, without the CRDs of others: see
// installCRDs.
func startPlane(t *testing.T) {
	t.Helper()
	plane.start.Do(func() {
		if plane.dir, plane.err = os.MkdirTemp("", "harness-test-"); plane.err == nil { //nolint:usetesting // outlives the test
			plane.ControlPlane, plane.err = controlplane.Start(controlplane.Options{AuditLog: auditLog()})
		}
	})
	if plane.err != nil {
		t.Fatal(plane.err)
	}
}

func installCRDs(t *testing.T) {
	t.Helper()
	files, err := controlplane.ThirdPartyCRDs()
	if err != nil {
		t.Fatal(err)
	}
	if err := controlplane.InstallCRDs(plane.Config, files...); err != nil {
		t.Fatal(err)
	}
}

// uninstallCRDs removes what an earlier test has installed and waits until the API
// does not serve it any more.
func uninstallCRDs(t *testing.T) {
	t.Helper()
	files, err := controlplane.ThirdPartyCRDs()
	if err != nil {
		t.Fatal(err)
	}
	if err := envtest.UninstallCRDs(plane.Config, envtest.CRDInstallOptions{Paths: files}); err != nil {
		t.Fatal(err)
	}
	groups, err := discovery.NewDiscoveryClientForConfig(plane.Config)
	if err != nil {
		t.Fatal(err)
	}
	NewWithT(t).Eventually(func() (string, error) {
		list, err := groups.ServerGroups()
		return list.String(), err
	}, patience).ShouldNot(Or(ContainSubstring(cmv1.SchemeGroupVersion.Group), ContainSubstring(edns.GroupVersion.Group)))
}

// fixture is a namespace with what the operator would have made in it, and a
// world around it.
type fixture struct {
	*harness.World
	*WithT

	t         *testing.T
	api       client.Client
	namespace string
}

// newFixture makes a namespace with CRDs, a running world and every object of
// one policy but the ConfigMap.
func newFixture(t *testing.T, o harness.Options) *fixture {
	t.Helper()
	startPlane(t)
	installCRDs(t)
	f := newBareFixture(t, o)
	f.create(f.deployment(), f.service(), f.ingress(), f.certificate(), f.hostEndpoint())
	return f
}

// newBareFixture makes a namespace and a running world.
func newBareFixture(t *testing.T, o harness.Options) *fixture {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, cmv1.AddToScheme, edns.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	api, err := client.New(plane.Config, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	o.Logger = slog.New(slog.NewTextHandler(t.Output(), nil))
	world, err := harness.Start(t.Context(), plane.Config, o)
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{World: world, WithT: NewWithT(t), t: t, api: api}
	f.SetDefaultEventuallyTimeout(patience)
	f.SetDefaultEventuallyPollingInterval(10 * time.Millisecond)
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "mail-"}}
	f.create(namespace)
	f.namespace = namespace.Name
	t.Cleanup(f.tearDown)
	return f
}

// tearDown removes what would disturb the next world: there is no garbage
// collector.
func (f *fixture) tearDown() {
	// The test's context is done by now.
	ctx, everything := f.t.Context(), client.InNamespace(f.namespace)
	if ctx.Err() != nil {
		ctx = contextWithoutCancel(f.t)
	}
	for _, kind := range []client.Object{
		&appsv1.Deployment{}, &appsv1.ReplicaSet{}, &networkingv1.Ingress{}, &edns.DNSEndpoint{}, &cmv1.Certificate{},
	} {
		if err := f.api.DeleteAllOf(ctx, kind, everything); err != nil {
			f.t.Errorf("cleaning up: %v", err)
		}
	}
	if err := f.api.DeleteAllOf(ctx, &corev1.Pod{}, everything, client.GracePeriodSeconds(0)); err != nil {
		f.t.Errorf("cleaning up: %v", err)
	}
	if err := f.Stop(); err != nil {
		f.t.Errorf("stopping the world: %v", err)
	}
}

func (f *fixture) create(objects ...client.Object) {
	f.t.Helper()
	for _, object := range objects {
		f.Expect(f.api.Create(f.t.Context(), object)).To(Succeed())
	}
}

func (f *fixture) meta(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: f.namespace, Name: name}
}

var serverLabels = map[string]string{"app.kubernetes.io/name": "mta-sts", "app.kubernetes.io/component": "server"}

func (f *fixture) deployment() *appsv1.Deployment {
	source := func(name string) corev1.VolumeProjection {
		return corev1.VolumeProjection{ConfigMap: &corev1.ConfigMapProjection{
			LocalObjectReference: corev1.LocalObjectReference{Name: name}, Optional: new(true),
		}}
	}
	return &appsv1.Deployment{
		ObjectMeta: f.meta(harness.ServerName),
		Spec: appsv1.DeploymentSpec{
			Replicas: new(int32(replicas)),
			Selector: &metav1.LabelSelector{MatchLabels: serverLabels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: serverLabels},
				Spec: corev1.PodSpec{
					Containers: []corev1.Container{{
						Name: "server", Image: "example/mta-sts-operator:v1",
						Ports: []corev1.ContainerPort{
							{Name: "http", ContainerPort: 8080}, {Name: "metrics", ContainerPort: 8081},
						},
						VolumeMounts: []corev1.VolumeMount{{Name: "policies", MountPath: "/policies"}},
					}},
					Volumes: []corev1.Volume{{Name: "policies", VolumeSource: corev1.VolumeSource{
						Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
							source("mta-sts-policies"), source("mta-sts-policies-1"),
						}},
					}}},
				},
			},
		},
	}
}

func (f *fixture) service() *corev1.Service {
	return &corev1.Service{ObjectMeta: f.meta(harness.ServerName), Spec: corev1.ServiceSpec{
		Selector: serverLabels,
		Ports:    []corev1.ServicePort{{Name: "http", Port: 80, TargetPort: intstr.FromString("http")}},
	}}
}

func (f *fixture) ingress() *networkingv1.Ingress {
	return &networkingv1.Ingress{ObjectMeta: f.meta(host), Spec: networkingv1.IngressSpec{
		TLS: []networkingv1.IngressTLS{{Hosts: []string{host}, SecretName: "tls"}},
		Rules: []networkingv1.IngressRule{{Host: host, IngressRuleValue: networkingv1.IngressRuleValue{
			HTTP: &networkingv1.HTTPIngressRuleValue{Paths: []networkingv1.HTTPIngressPath{{
				Path: mtasts.PolicyPath, PathType: new(networkingv1.PathTypeExact),
				Backend: networkingv1.IngressBackend{Service: &networkingv1.IngressServiceBackend{
					Name: harness.ServerName, Port: networkingv1.ServiceBackendPort{Name: "http"},
				}},
			}}},
		}}},
	}}
}

func (f *fixture) certificate() *cmv1.Certificate {
	return &cmv1.Certificate{ObjectMeta: f.meta(host), Spec: cmv1.CertificateSpec{
		DNSNames: []string{host}, SecretName: "tls",
		IssuerRef: cmmeta.IssuerReference{Name: "internal"},
	}}
}

func (f *fixture) hostEndpoint() *edns.DNSEndpoint {
	return &edns.DNSEndpoint{ObjectMeta: f.meta("host"), Spec: edns.DNSEndpointSpec{Endpoints: []*endpoint.Endpoint{
		{DNSName: host, RecordType: "A", RecordTTL: 60, Targets: []string{harness.PodAddress}},
	}}}
}

func (f *fixture) txtEndpoint(id mtasts.ID) *edns.DNSEndpoint {
	return &edns.DNSEndpoint{ObjectMeta: f.meta("id"), Spec: edns.DNSEndpointSpec{Endpoints: []*endpoint.Endpoint{
		{DNSName: mtasts.RecordName(domain), RecordType: "TXT", RecordTTL: 60, Targets: []string{
			fmt.Sprintf(`"v=STSv1; id=%s;"`, id),
		}},
	}}}
}

// publish writes the shard with an instance of the policy and returns its id,
// which is greater than those before.
func (f *fixture) publish(n int, body string) mtasts.ID {
	f.t.Helper()
	id, _ := mtasts.MintID(time.Date(2026, 11, 22, 12, 0, n, 0, time.UTC), "", body)
	shard := &corev1.ConfigMap{ObjectMeta: f.meta("mta-sts-policies"), Data: map[string]string{
		policyserver.MarkerKey(0): policyserver.MarkerValue,
		host:                      policyserver.EncodeEntry(id, body),
	}}
	err := f.api.Update(f.t.Context(), shard)
	if err != nil && client.IgnoreNotFound(err) == nil {
		err = f.api.Create(f.t.Context(), shard)
	}
	f.Expect(err).NotTo(HaveOccurred())
	return id
}

// pods returns the pods that are not being deleted.
func (f *fixture) pods() []corev1.Pod {
	f.t.Helper()
	all, err := f.Pods(f.t.Context(), f.namespace)
	f.Expect(err).NotTo(HaveOccurred())
	var pods []corev1.Pod
	for _, pod := range all {
		if pod.DeletionTimestamp == nil {
			pods = append(pods, pod)
		}
	}
	return pods
}

// readyPods waits until the Deployment has its ready pods and no other.
func (f *fixture) readyPods() []corev1.Pod {
	f.t.Helper()
	f.Eventually(func() []bool {
		pods := f.pods()
		ready := make([]bool, 0, len(pods))
		for _, pod := range pods {
			ready = append(ready, isReady(&pod))
		}
		return ready
	}).Should(And(HaveLen(replicas), HaveEach(true)))
	return f.pods()
}

func isReady(pod *corev1.Pod) bool {
	return condition(pod, corev1.PodReady).Status == corev1.ConditionTrue
}

func condition(pod *corev1.Pod, conditionType corev1.PodConditionType) corev1.PodCondition {
	for _, c := range pod.Status.Conditions {
		if c.Type == conditionType {
			return c
		}
	}
	return corev1.PodCondition{}
}

// served returns the id that a pod serves for the host, or why it serves none.
func (f *fixture) served(pod *corev1.Pod) func() string {
	return func() string {
		response, err := f.AskPod(f.t.Context(), pod, host)
		if err != nil {
			return err.Error()
		}
		return response.Header.Get(policyserver.HeaderID)
	}
}

func key(pod *corev1.Pod) types.NamespacedName { return client.ObjectKeyFromObject(pod) }

// fetched returns the body that a strict sender gets, or why it gets none.
func (f *fixture) fetched() string {
	response, err := f.Fetch(f.t.Context(), host)
	if err != nil {
		return err.Error()
	}
	return response.Body
}

// writes counts the changes a user has asked for.
func writes(t *testing.T, user string) int {
	t.Helper()
	events, err := controlplane.ReadAudit(auditLog())
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, event := range events {
		if event.User.Username == user && event.Writes() {
			n++
		}
	}
	return n
}

func joined(values []string) string { return strings.Join(values, "|") }
