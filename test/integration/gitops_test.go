package integration

import (
	"maps"
	"os"
	"path/filepath"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
)

// inGit is a manifest of a policy for the story's domain: the fields that somebody wrote down, and what
// GitOps tools add to them.
func (s *story) inGit(spec map[string]any) *unstructured.Unstructured {
	u := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": v1alpha1.GroupVersion.String(), "kind": "MTASTSPolicy",
		"spec": map[string]any{"domain": s.domain, "mx": []any{"mx2." + s.domain, "mx1." + s.domain}},
	}}
	u.SetNamespace(s.namespace)
	u.SetName("policy")
	u.SetLabels(map[string]string{
		"app.kubernetes.io/instance":            "policies",
		"kustomize.toolkit.fluxcd.io/name":      "policies",
		"kustomize.toolkit.fluxcd.io/namespace": "flux-system",
	})
	u.SetAnnotations(map[string]string{"argocd.argoproj.io/tracking-id": "policies:mtasts.dev/MTASTSPolicy:mail/policy"})
	maps.Copy(u.Object["spec"].(map[string]any), spec)
	return u
}

// write puts a manifest into a file, as it lies in Git.
func (s *story) write(u *unstructured.Unstructured) string {
	s.t.Helper()
	text, err := yaml.Marshal(u.Object)
	s.Expect(err).NotTo(HaveOccurred())
	path := filepath.Join(s.t.TempDir(), "policy.yaml")
	s.Expect(os.WriteFile(path, text, 0o600)).To(Succeed())
	return path
}

func TestAtRestAPolicyDiffersFromGitInNothing(t *testing.T) {
	manifests := map[string]map[string]any{
		"with what is required": {},
		"with more": {
			"mode": "enforce", "maxAgeSeconds": int64(604800), "preflight": "Require",
			"tlsReporting": map[string]any{"rua": []any{"mailto:z@example.com", "mailto:a@example.com"}},
			"dns":          map[string]any{"targets": []any{"127.0.0.1"}},
			"certificate":  map[string]any{"source": "Issuer", "issuerRef": map[string]any{"name": "harness", "kind": "ClusterIssuer"}},
		},
	}
	for name, spec := range manifests {
		for tool, args := range differences {
			t.Run(name+" "+tool, func(t *testing.T) {
				s := tell(t)
				u := s.inGit(spec)
				p := s.policy()
				s.apply(u, args...)
				id := s.inForce(p)
				s.Eventually(s.condition(p, v1alpha1.ConditionMXAligned)).Should(HavePrefix("True/"))
				s.rest()
				s.inForce(p)
				s.differsInNothing(u)
				s.apply(u, args...)
				again := s.policy()
				s.Expect(s.api.Get(s.ctx, client.ObjectKeyFromObject(again), again)).To(Succeed())
				s.Expect(gocmp.Diff(p, again)).To(BeEmpty(), "applying the same again wrote something")

				// The hosts in another order are the same policy to senders.
				s.Expect(unstructured.SetNestedStringSlice(u.Object, []string{"mx1." + s.domain, "mx2." + s.domain}, "spec", "mx")).To(Succeed())
				s.apply(u, args...)
				s.Expect(s.inForce(p)).To(Equal(id))
				s.rest()
				s.differsInNothing(u)
			})
		}
	}
}

// differences are the ways to look for differences between Git and a cluster.
var differences = map[string][]string{
	"client-side": {}, "server-side": {"--server-side", "--field-manager=argocd-controller", "--force-conflicts"},
}

// apply brings a manifest into the cluster.
func (s *story) apply(u *unstructured.Unstructured, args ...string) {
	s.t.Helper()
	_, err := plane.Kubectl(s.ctx, append([]string{"apply", "-f", s.write(u)}, args...)...)
	s.Expect(err).NotTo(HaveOccurred())
}

// differsInNothing compares a manifest with the cluster in every way.
func (s *story) differsInNothing(u *unstructured.Unstructured) {
	s.t.Helper()
	path := s.write(u)
	for kind, args := range differences {
		out, err := plane.Kubectl(s.ctx, append([]string{"diff", "-f", path}, args...)...)
		s.Expect(err).NotTo(HaveOccurred(), "%s diff: %s", kind, out)
	}
	s.sameWhenAppliedAgain(u)
}

// sameWhenAppliedAgain compares the object with what the API server would make of it if the manifest was
// applied by yet another manager, which is how Argo CD looks for differences on the server's side.
func (s *story) sameWhenAppliedAgain(manifest *unstructured.Unstructured) {
	s.t.Helper()
	live := manifest.DeepCopy()
	s.Expect(s.api.Get(s.ctx, client.ObjectKeyFromObject(live), live)).To(Succeed())
	predicted := manifest.DeepCopy()
	s.Expect(s.api.Apply(s.ctx, client.ApplyConfigurationFromUnstructured(predicted),
		client.DryRunAll, client.ForceOwnership, client.FieldOwner("somebody-else"))).To(Succeed())
	for _, u := range []*unstructured.Unstructured{live, predicted} {
		u.SetManagedFields(nil)
	}
	s.Expect(predicted.Object).To(Equal(live.Object))
}

// TestARenameThatCreatesBeforeItDeletes is a rename as Flux carries it out. Argo CD deletes first:
// TestARenamedPolicyKeepsItsPublication.
func TestARenameThatCreatesBeforeItDeletes(t *testing.T) {
	s := tell(t)
	p := s.policy()
	s.create(p)
	id, uid := s.inForce(p), s.publication().UID
	children := s.uids()

	renamed := s.policy(withName("renamed"))
	s.create(renamed)
	s.refused(renamed, v1alpha1.ReasonDomainConflict, ContainSubstring("MTASTSPolicy "+s.namespace+"/policy already publishes"))
	s.pruned(p)

	s.Expect(s.inForce(renamed)).To(Equal(id))
	pub := s.publication()
	s.Expect(pub.UID).To(Equal(uid))
	s.Expect(pub.Spec.PolicyRef.Name).To(Equal("renamed"))
	s.Expect(pub.Spec.Ledger).To(BeEmpty())
	s.Expect(s.uids()).To(Equal(children))
	s.Expect(s.DNS.History("_mta-sts."+s.domain)).To(HaveLen(1), "the TXT record was touched")
}

func TestPoliciesDeletedWhileThereIsNoOperatorRetireWhenItIsBack(t *testing.T) {
	s := tell(t)
	p := s.policy(withMode(v1alpha1.ModeTesting))
	s.create(p)
	id := s.inForce(p)
	children := s.uids()

	s.stopOperator()
	s.pruned(p)

	// Nothing depends on the operator for going on.
	s.Consistently(func(g Gomega) {
		g.Expect(s.txt()).To(Equal(announces(id)))
		g.Expect(s.body()).To(ContainSubstring("mode: testing"))
	}).Should(Succeed())
	s.Expect(s.uids()).To(Equal(children))
	s.startOperator()
	s.Eventually(s.explains).Should(ContainSubstring("deletionPolicy Drain"))
	s.everythingGone()
}

// explains is the message of the publication's only condition; "" if it has none.
func (s *story) explains() string {
	if pub := s.publication(); pub != nil && len(pub.Status.Conditions) == 1 {
		return pub.Status.Conditions[0].Message
	}
	return ""
}

func TestANamespaceGoesWithEverythingInItAndHoldsNobodyUp(t *testing.T) {
	for name, before := range map[string]func(*story){
		"while the operator runs":    func(*story) {},
		"when the operator has gone": func(s *story) { s.stopOperator() },
	} {
		t.Run(name, func(t *testing.T) {
			s := tell(t)
			p := s.policy()
			s.create(p)
			first := s.inForce(p)
			before(s)

			s.goneWithEverything()
			s.Eventually(s.txt).Should(BeEmpty())
			s.Expect(s.publication()).To(BeNil())

			// Nothing is left that keeps the domain from being published elsewhere, but that its last owner was seen
			// to go: for as long as senders may hold its policy, somebody has to say so.
			seen := s.op != nil
			if !seen {
				s.startOperator()
			}
			last := s.namespace
			s.namespace = s.newNamespace("mail-")
			again := s.policy()
			s.create(again)
			if seen {
				s.refused(again, v1alpha1.ReasonDomainConflict, ContainSubstring("last published from namespace "+last))
				s.obey(again)
			}
			s.Expect(s.inForce(again)).To(laterThan(first))
		})
	}
}

// goneWithEverything deletes the story's namespace and returns once it is gone. Its pods are ended here:
// there is no kubelet that would.
func (s *story) goneWithEverything() {
	s.t.Helper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: s.namespace}}
	s.Expect(s.api.Delete(s.ctx, ns, client.PropagationPolicy(metav1.DeletePropagationForeground))).To(Succeed())
	s.Eventually(func() bool {
		err := s.api.DeleteAllOf(s.ctx, &corev1.Pod{}, client.InNamespace(s.namespace), client.GracePeriodSeconds(0))
		s.Expect(client.IgnoreNotFound(err)).To(Succeed())
		err = s.api.Get(s.ctx, client.ObjectKeyFromObject(ns), ns)
		return apierrors.IsNotFound(err)
	}).Should(BeTrue(), "the namespace is still there")
}

// TestTheHealthChecksArePatchedIntoArgoCD tries the component in config/argocd/health on Argo CD's
// ConfigMap as it is installed, without and with a namespace of its own.
func TestTheHealthChecksArePatchedIntoArgoCD(t *testing.T) {
	health, err := filepath.Abs(filepath.Join("..", "..", "config", "argocd", "health"))
	if err != nil {
		t.Fatal(err)
	}
	for _, namespace := range []string{"", ", namespace: argocd"} {
		g, dir := NewWithT(t), t.TempDir()
		component, err := filepath.Rel(dir, health)
		g.Expect(err).NotTo(HaveOccurred())
		for name, text := range map[string]string{
			"cm.yaml":            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: argocd-cm" + namespace + "}\ndata: {url: https://argocd.example.com}\n",
			"kustomization.yaml": "resources: [cm.yaml]\ncomponents: [" + component + "]\n",
		} {
			g.Expect(os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600)).To(Succeed())
		}
		out, err := plane.Kubectl(t.Context(), "kustomize", dir)
		g.Expect(err).NotTo(HaveOccurred())
		var cm corev1.ConfigMap
		g.Expect(yaml.UnmarshalStrict([]byte(out), &cm)).To(Succeed())
		g.Expect(cm.Data).To(And(HaveLen(3), HaveKey("url"),
			HaveKey("resource.customizations.health.mtasts.dev_MTASTSPolicy"), HaveKey("resource.customizations.health.mtasts.dev_MTASTSPublication")))
	}
}
