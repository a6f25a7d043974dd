package chart_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/controllers"
	"github.com/mta-sts-operator/mta-sts-operator/test/controlplane"
	"github.com/mta-sts-operator/mta-sts-operator/test/harness"
	"github.com/mta-sts-operator/mta-sts-operator/test/operator"
)

// controlPlanePatience is how long anything may take on a machine that has other things to do.
const controlPlanePatience = 45 * time.Second

// cluster is a real API server, empty at first.
type cluster struct {
	*controlplane.ControlPlane
	api client.Client
}

// One cluster tells the whole story, in this order: a start costs several seconds.
func TestOnACluster(t *testing.T) {
	plane, err := controlplane.Start(controlplane.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := plane.Stop(); err != nil {
			t.Error(err)
		}
	})
	scheme := controllers.NewScheme()
	if err := apiextensionsv1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	api, err := client.New(plane.Config, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	c := &cluster{plane, api}
	helm3.kubeconfig, helm4.kubeconfig = plane.Kubeconfig(), plane.Kubeconfig()
	// As the strictest cluster: what does not fit is not admitted, and what would not fit is warned about.
	for _, name := range []string{system, "mail", "customer-one", "sales", "monitoring"} {
		c.create(t, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{
			"pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/warn": "restricted",
		}}})
	}

	t.Run("the API server takes every rendering without a warning", c.takesEveryRendering)
	t.Run("the API server takes the kustomization with its component", c.takesTheComponent)
	t.Run("the notes name what is missing", c.notes)
	t.Run("a release of Helm 3 lives", func(t *testing.T) { c.lifeOfARelease(t, helm3, helm3) })
	t.Run("a release of Helm 4 lives", func(t *testing.T) { c.lifeOfARelease(t, helm4, helm4) })
	t.Run("a release of Helm 3 lives on with Helm 4", func(t *testing.T) { c.lifeOfARelease(t, helm3, helm4) })
	t.Run("with the rights of its namespaces the operator publishes there and nowhere else", c.publishes)
}

func (c *cluster) create(t *testing.T, o client.Object) {
	t.Helper()
	if err := c.api.Create(t.Context(), o); err != nil {
		t.Fatal(err)
	}
}

// takesEveryRendering is stricter than any schema: unknown fields, repeated keys, Pod Security and what
// only admission knows are faults.
func (c *cluster) takesEveryRendering(t *testing.T) {
	for _, values := range valueFiles(t) {
		var manifests strings.Builder
		for _, object := range parse(t, helm4.template(t, "-f", values)) {
			if object.GroupVersionKind().Group != "monitoring.coreos.com" { // not installed here
				manifests.WriteString("---\n" + asYAML(t, object.Object))
			}
		}
		file := filepath.Join(t.TempDir(), "manifests.yaml")
		if err := os.WriteFile(file, []byte(manifests.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := c.Kubectl(t.Context(), "apply", "--server-side", "--dry-run=server", "--validate=strict", "--warnings-as-errors", "-f", file)
		if err != nil {
			t.Errorf("%s: %v", values, err)
		}
	}
}

// notes goes from a bare cluster to one that has everything.
func (c *cluster) notes(t *testing.T) {
	notes := func(args ...string) string {
		t.Helper()
		var last string
		for _, h := range []helm{helm3, helm4} {
			out, err := h.run(t.Context(), append([]string{"install", release, chart, "--namespace", system, "--dry-run=server"}, args...)...)
			if err != nil {
				t.Fatal(err)
			}
			_, text, _ := strings.Cut(out, "NOTES:\n")
			if last != "" && text != last {
				t.Errorf("Helm 3:\n%s\nHelm 4:\n%s", last, text)
			}
			last = text
		}
		return last
	}
	says := func(text string, wanted ...string) {
		t.Helper()
		for _, want := range wanted {
			if !strings.Contains(text, want) {
				t.Errorf("no %q in:\n%s", want, text)
			}
		}
	}
	const missing = "MISSING in this cluster"
	says(notes(), missing, "cert-manager: its Certificate", "external-dns: its DNSEndpoint", "there is no IngressClass", "config.issuer.name is empty", "kubectl apply -n mail -f -")
	says(notes("--set", "config.ingress.className=traefik"), "IngressClass traefik (config.ingress.className) does not exist")

	thirdParty, err := controlplane.ThirdPartyCRDs()
	if err != nil {
		t.Fatal(err)
	}
	if err := controlplane.InstallCRDs(c.Config, thirdParty...); err != nil {
		t.Fatal(err)
	}
	class := &networkingv1.IngressClass{ObjectMeta: metav1.ObjectMeta{Name: "traefik"}, Spec: networkingv1.IngressClassSpec{Controller: "example.com/ingress"}}
	c.create(t, class)
	says(notes(), missing, "a default IngressClass: set config.ingress.className to one of traefik", "not found in a namespace of that name")
	class.Annotations = map[string]string{"ingressclass.kubernetes.io/is-default-class": "true"}
	if err := c.api.Update(t.Context(), class); err != nil {
		t.Fatal(err)
	}
	dns := c.externalDNS(t, "--source=ingress")
	says(notes(), missing, "runs without --source=crd")
	c.runWith(t, dns, "--source=ingress", "--source=crd")
	says(notes(), missing, "runs without --managed-record-types=TXT")
	c.runWith(t, dns, "--source=crd", "--managed-record-types=A", "--managed-record-types=TXT")
	const everybody = "config.domains is empty"
	says(notes("--set", "config.issuer.name=letsencrypt"), everybody)
	const whose = "config.domains[0].namespaces={mail},config.domains[0].allow={example.com}"
	if text := notes("--set", "config.issuer.name=letsencrypt", "--set", whose); strings.Contains(text, missing) || strings.Contains(text, "To check") {
		t.Errorf("nothing is missing, and yet:\n%s", text)
	}
	says(notes("--set", "watchNamespaces={sales}"), "the mail domains of sales", "Metrics are served in clear text", "kubectl apply -n sales -f -")
}

func (c *cluster) externalDNS(t *testing.T, args ...string) *appsv1.Deployment {
	t.Helper()
	c.create(t, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "external-dns"}})
	labels := map[string]string{"app": "external-dns"}
	d := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: "external-dns", Name: "external-dns"},
		Spec: appsv1.DeploymentSpec{
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "external-dns", Image: "external-dns", Args: args}}},
			},
		},
	}
	c.create(t, d)
	return d
}

func (c *cluster) runWith(t *testing.T, d *appsv1.Deployment, args ...string) {
	t.Helper()
	d.Spec.Template.Spec.Containers[0].Args = args
	if err := c.api.Update(t.Context(), d); err != nil {
		t.Fatal(err)
	}
}

// lifeOfARelease installs with one Helm and does the rest with another.
func (c *cluster) lifeOfARelease(t *testing.T, first, then helm) {
	do := func(h helm, args ...string) {
		t.Helper()
		if _, err := h.run(t.Context(), append(args, "--namespace", system)...); err != nil {
			t.Fatal(err)
		}
	}
	running := func() (ttl int32, replicas int32, checksum string) {
		t.Helper()
		installed := objects{}
		for key, kind := range map[string]string{"ConfigMap " + release: "v1", "Deployment " + release: "apps/v1"} {
			object := &unstructured.Unstructured{}
			object.SetAPIVersion(kind)
			object.SetKind(strings.Fields(key)[0])
			if err := c.api.Get(t.Context(), client.ObjectKey{Namespace: system, Name: release}, object); err != nil {
				t.Fatal(err)
			}
			installed[key] = object
		}
		d := deployment(t, installed)
		return configuration(t, installed).DNS.TTLSeconds, *d.Spec.Replicas, d.Spec.Template.Annotations["checksum/config"]
	}

	do(first, "install", release, chart)
	ttl, replicas, installed := running()
	if ttl != 300 || replicas != 2 {
		t.Errorf("installed: TTL %d, %d replicas", ttl, replicas)
	}
	policy := &v1alpha1.MTASTSPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "mail", Name: "kept"}}
	policy.Spec = v1alpha1.MTASTSPolicySpec{Domain: "example.com", MX: []string{"mx.example.com"}, Mode: v1alpha1.ModeTesting, MaxAgeSeconds: 86400}
	NewWithT(t).Eventually(func() error { return c.api.Create(t.Context(), policy) }, "20s").Should(Succeed()) // the kind is new

	do(then, "upgrade", release, chart, "--set", "config.dns.ttlSeconds=120,replicaCount=3")
	ttl, replicas, upgraded := running()
	if ttl != 120 || replicas != 3 || upgraded == installed {
		t.Errorf("upgraded: TTL %d, %d replicas, checksum %s", ttl, replicas, upgraded)
	}
	_, err := then.run(t.Context(), "upgrade", release, chart, "--namespace", system, "--set", "replica=3")
	if err == nil || !strings.Contains(err.Error(), "replica") {
		t.Errorf("a typo: %v", err)
	}
	if out, err := then.run(t.Context(), "status", release, "--namespace", system); err != nil || !strings.Contains(out, "REVISION: 2\n") {
		t.Errorf("after a typo: %v\n%s", err, out)
	}

	do(then, "rollback", release, "1")
	if ttl, replicas, back := running(); ttl != 300 || replicas != 2 || back != installed {
		t.Errorf("rolled back: TTL %d, %d replicas, checksum %s", ttl, replicas, back)
	}

	do(then, "uninstall", release)
	c.onlyCRDsAreLeft(t)
	do(then, "install", release, chart) // over the CRDs that were kept
	do(then, "uninstall", release)
	if err := c.api.Delete(t.Context(), policy); err != nil {
		t.Errorf("the policy did not outlive the release: %v", err)
	}
	c.removeCRDs(t)
}

// onlyCRDsAreLeft looks for anything else that bears the release's label.
func (c *cluster) onlyCRDsAreLeft(t *testing.T) {
	t.Helper()
	out, err := c.Kubectl(t.Context(), "get", "-A", "-l", "app.kubernetes.io/instance="+release, "-o", "name",
		"crd,clusterroles,clusterrolebindings,roles,rolebindings,deployments,configmaps,services,serviceaccounts,networkpolicies,poddisruptionbudgets,"+
			"validatingadmissionpolicies,validatingadmissionpolicybindings")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"customresourcedefinition.apiextensions.k8s.io/mtastspolicies.mtasts.dev",
		"customresourcedefinition.apiextensions.k8s.io/mtastspublications.mtasts.dev",
	}
	if got := strings.Fields(out); !slices.Equal(got, want) {
		t.Errorf("left: %q", got)
	}
}

// removeCRDs makes the cluster as if there had never been a release.
func (c *cluster) removeCRDs(t *testing.T) {
	t.Helper()
	for _, name := range []string{"mtastspolicies.mtasts.dev", "mtastspublications.mtasts.dev"} {
		crd := &apiextensionsv1.CustomResourceDefinition{ObjectMeta: metav1.ObjectMeta{Name: name}}
		if err := c.api.Delete(t.Context(), crd); err != nil {
			t.Fatal(err)
		}
		NewWithT(t).Eventually(func() bool {
			return apierrors.IsNotFound(c.api.Get(t.Context(), client.ObjectKeyFromObject(crd), crd))
		}, "30s").Should(BeTrue())
	}
}

// publishes runs the operator as the ServiceAccount of a release that watches two namespaces.
func (c *cluster) publishes(t *testing.T) {
	g := NewWithT(t)
	g.SetDefaultEventuallyTimeout(controlPlanePatience)
	_, err := helm4.run(t.Context(), "install", release, chart, "--namespace", system, "--set", "watchNamespaces={mail,sales},config.server.image="+operator.Settings().Server.Image)
	g.Expect(err).NotTo(HaveOccurred())
	asOperator, err := c.UserConfig(fmt.Sprintf("system:serviceaccount:%s:%s", system, release), "system:serviceaccounts")
	g.Expect(err).NotTo(HaveOccurred())
	user, err := client.New(asOperator, client.Options{Scheme: c.api.Scheme(), Mapper: c.api.RESTMapper()})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(apierrors.IsForbidden(user.List(t.Context(), &v1alpha1.MTASTSPolicyList{}))).To(BeTrue(), "it may see all namespaces")
	c.fences(t, user)

	world, err := harness.Start(context.WithoutCancel(t.Context()), c.Config, harness.Options{})
	g.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() {
		if err := world.Stop(); err != nil {
			t.Errorf("stopping the world: %v", err)
		}
	})
	op, err := operator.Start(context.WithoutCancel(t.Context()), operator.Options{Config: asOperator, World: world, Namespaces: []string{"mail", "sales"}})
	g.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() {
		if err := op.Stop(); err != nil {
			t.Errorf("the operator ended with: %v", err)
		}
	})

	example := c.example(t)
	policies := map[string]*v1alpha1.MTASTSPolicy{}
	for _, namespace := range []string{"customer-one", "mail", "sales"} {
		policy := example.DeepCopy()
		policy.Namespace, policy.Spec.Domain = namespace, namespace+".example"
		policy.Spec.MX = []string{"mx." + policy.Spec.Domain}
		world.DNS.SetMX(policy.Spec.Domain, policy.Spec.MX[0])
		c.create(t, policy)
		policies[namespace] = policy
	}
	for _, namespace := range []string{"mail", "sales"} {
		g.Eventually(func() (v1alpha1.State, error) {
			err := c.api.Get(t.Context(), client.ObjectKeyFromObject(policies[namespace]), policies[namespace])
			return policies[namespace].Status.State, err
		}).Should(Equal(v1alpha1.StateInForce), namespace)
	}
	elsewhere := policies["customer-one"]
	g.Expect(c.api.Get(t.Context(), client.ObjectKeyFromObject(elsewhere), elsewhere)).To(Succeed())
	g.Expect(elsewhere.Status.Conditions).To(BeEmpty())
}

// example is the policy that Artifact Hub shows.
func (c *cluster) example(t *testing.T) *v1alpha1.MTASTSPolicy {
	t.Helper()
	var meta struct{ Annotations map[string]string }
	if err := yaml.Unmarshal([]byte(readFile(t, chart, "Chart.yaml")), &meta); err != nil {
		t.Fatal(err)
	}
	var examples []v1alpha1.MTASTSPolicy
	if err := yaml.UnmarshalStrict([]byte(meta.Annotations["artifacthub.io/crdsExamples"]), &examples); err != nil {
		t.Fatal(err)
	}
	return &examples[0]
}
