package integration

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	cmv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/internal/config"
	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
	"github.com/mta-sts-operator/mta-sts-operator/test/harness"
	"github.com/mta-sts-operator/mta-sts-operator/test/operator"
)

// obey does what the refusal of a policy tells somebody with rights in the cluster to do.
func (s *story) obey(p *v1alpha1.MTASTSPolicy) {
	s.t.Helper()
	var manifest string
	s.Eventually(func() bool {
		_, after, _ := strings.Cut(s.condition(p, v1alpha1.ConditionStalled)(), "echo '")
		var found bool
		manifest, _, found = strings.Cut(after, "' | kubectl create -f -")
		return found
	}).Should(BeTrue(), "no command is printed")
	word := &v1alpha1.MTASTSPublication{}
	s.Expect(json.Unmarshal([]byte(manifest), word)).To(Succeed(), manifest)
	s.Expect(word.Namespace).To(Equal(p.Namespace))
	s.Expect(s.tenant(p.Namespace).Create(s.ctx, word.DeepCopy())).NotTo(Succeed(), "a tenant may say it")
	s.create(word)
}

// allowAll has a rule allow the story's domain: a certificate is ordered then before DNS points the host here.
func (s *story) allowAll() {
	s.settings = new(operator.Settings())
	s.settings.Domains = []config.DomainRule{{Namespaces: []string{"mail-*"}, Allow: []string{"*.example"}}}
}

// keepMemory gives operators that start from now on a namespace of their own, with the rights of the chart.
func (s *story) keepMemory() {
	s.t.Helper()
	s.operatorNamespace = s.newNamespace("other-operator-")
	text, err := os.ReadFile(filepath.Join("..", "..", "config", "rbac", "memory.yaml"))
	s.Expect(err).NotTo(HaveOccurred())
	manifest, _, _ := strings.Cut(string(text), "\n---\n")
	role := &rbacv1.Role{}
	s.Expect(yaml.UnmarshalStrict([]byte(manifest), role)).To(Succeed())
	role.Namespace = s.operatorNamespace
	s.create(role, &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: role.Namespace, Name: role.Name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: role.Name},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: "operator"}},
	})
}

// remembered is what the operators' memory says about a namespace.
func (s *story) remembered(namespace string) string {
	var saved corev1.ConfigMap
	if err := s.api.Get(s.ctx, client.ObjectKey{Namespace: s.operatorNamespace, Name: "mta-sts-operator-removed"}, &saved); err != nil {
		return ""
	}
	return saved.Data[namespace]
}

// stranger claims the story's domain from another namespace, as its tenant.
func (s *story) stranger(edits ...func(*v1alpha1.MTASTSPolicy)) *v1alpha1.MTASTSPolicy {
	s.t.Helper()
	other := s.newNamespace("other-")
	p := s.policy(append([]func(*v1alpha1.MTASTSPolicy){inNamespace(other), withName("evil"), func(p *v1alpha1.MTASTSPolicy) {
		p.Spec.MX, p.Spec.Preflight = []string{"mx.evil.example"}, v1alpha1.PreflightAdvise
	}}, edits...)...)
	s.Expect(s.tenant(other).Create(s.ctx, p)).To(Succeed())
	return p
}

func (s *story) staysRefused(p *v1alpha1.MTASTSPolicy, message string) {
	s.t.Helper()
	s.refused(p, v1alpha1.ReasonDomainConflict, ContainSubstring(message))
	s.Consistently(func(g Gomega) {
		s.nothingIn(g, p.Namespace)
		g.Expect(s.condition(p, v1alpha1.ConditionReady)()).To(ContainSubstring(message))
	}).WithTimeout(s.timings.ProofPeriod + time.Second).Should(Succeed())
}

func TestStrangerStaysRefusedWhenTheVictimsNamespaceIsDeleted(t *testing.T) {
	s := setScene(t)
	s.keepMemory()
	s.startOperator()
	p := s.policy()
	s.create(p)
	id := s.inForce(p)
	evil := s.stranger()
	s.refused(evil, v1alpha1.ReasonDomainConflict, ContainSubstring("published from namespace "+s.namespace))
	s.ExternalDNS.SetMode(harness.Off)

	s.chapter("while DNS still shows the id", func() {
		s.empty(s.ctx, s.namespace)
		s.Expect(s.api.Delete(s.ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: s.namespace}})).To(Succeed())
		s.Eventually(s.publication).Should(BeNil())
		s.staysRefused(evil, "last published from namespace "+s.namespace)
		s.Expect(s.txt()).To(Equal(announces(id)))
	})
	s.chapter("under the next leader", func() {
		s.Eventually(func() string { return s.remembered(s.namespace) }).Should(HavePrefix(s.domain + " "))
		s.stopOperator()
		s.startOperator()
		s.staysRefused(evil, "last published from namespace "+s.namespace)
	})
	s.chapter("when DNS has forgotten it", func() {
		s.ExternalDNS.SetMode(harness.Sync)
		s.Eventually(s.txt).Should(BeEmpty())
		s.staysRefused(evil, "last published from namespace "+s.namespace)
	})
	s.chapter("until somebody with rights in the cluster says otherwise", func() {
		s.DNS.SetMX(s.domain, "mx.evil.example")
		s.obey(evil)
		s.inForce(evil)
		s.Eventually(func() string { return s.remembered(s.namespace) }).Should(BeEmpty())
	})
}

func TestStrangerWaitsWhereTheMemoryOfAnIDIsMissing(t *testing.T) {
	s := setScene(t)
	minted, ok := mtasts.MintID(time.Now().Add(-time.Hour), "", "another life")
	s.Expect(ok).To(BeTrue())
	id := string(minted)
	s.DNS.SetTXT(mtasts.RecordName(s.domain), announces(id)...)
	evil := s.stranger()
	s.startOperator()

	s.Eventually(s.condition(evil, v1alpha1.ConditionStalled)).Should(And(HavePrefix("True/Observing"), ContainSubstring(id), ContainSubstring("kubectl create -f -")))
	s.Expect(evil.Status.State).To(Equal(v1alpha1.StatePending))
	s.nothingIn(s, evil.Namespace)

	s.chapter("and is one of two when the victim's policy is back", func() {
		p := s.policy()
		s.create(p)
		for _, p := range []*v1alpha1.MTASTSPolicy{p, evil} {
			s.refused(p, v1alpha1.ReasonDomainConflict, ContainSubstring("claimed from namespaces"))
		}
	})
	s.chapter("and none when the publication is", func() {
		old := &v1alpha1.MTASTSPublication{
			ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: s.domain},
			Spec:       v1alpha1.MTASTSPublicationSpec{Domain: s.domain, UID: "before", LastID: id, AnnouncedID: id, InForceID: id},
		}
		s.create(old)
		p := s.policy()
		s.Eventually(s.condition(p, v1alpha1.ConditionReconciling)).Should(HavePrefix("True/"))
		s.DNS.SetTXT(mtasts.RecordName(s.domain)) // the external-dns of this world does not own it
		s.Expect(s.inForce(p) > id).To(BeTrue())
		s.refused(evil, v1alpha1.ReasonDomainConflict, ContainSubstring("published from namespace "+s.namespace))
		s.nothingIn(s, evil.Namespace)
	})
}

func TestStrangerBeginsOnceDNSHasForgottenWhatNobodyRemembers(t *testing.T) {
	s := setScene(t)
	minted, ok := mtasts.MintID(time.Now().Add(-time.Hour), "", "another life")
	s.Expect(ok).To(BeTrue())
	id := string(minted)
	s.DNS.SetTXT(mtasts.RecordName(s.domain), announces(id)...)
	s.startOperator()
	p := s.policy()
	s.create(p)
	s.Eventually(s.condition(p, v1alpha1.ConditionReconciling)).Should(ContainSubstring(id))
	s.nothingIn(s, s.namespace)

	s.DNS.SetTXT(mtasts.RecordName(s.domain))

	s.Expect(s.inForce(p) > id).To(BeTrue())
	s.Expect(s.ledgerIDs()).To(ContainElement(id), "senders may hold what it stood for")
}

func TestRestoreOfPoliciesBeforePublicationsKeepsTheLedger(t *testing.T) {
	s := tell(t)
	p := s.policy()
	s.create(p)
	first := s.inForce(p)
	s.edit(p, withMaxAge(86400))
	id := s.inForce(p)
	copied := s.publication()
	// Everything is lost but DNS, while the operator is down; then it runs while a backup tool restores.
	s.ExternalDNS.SetMode(harness.Off)
	s.stopOperator()
	s.empty(s.ctx, s.namespace)
	s.Eventually(s.publication).Should(BeNil())
	s.startOperator()
	restored := s.policy(withMaxAge(86400))
	s.create(restored)
	s.Eventually(s.condition(restored, v1alpha1.ConditionReconciling)).Should(ContainSubstring(id))
	s.Expect(s.publication()).To(BeNil())

	copied.ResourceVersion, copied.UID = "", ""
	s.create(copied)
	s.ExternalDNS.SetMode(harness.Sync)

	s.Expect(s.inForce(restored) > id).To(BeTrue())
	s.Expect(s.ledgerIDs()).To(ContainElement(first))
}

func TestStrangerGetsNothingWhenTheOwnerBeginsAnew(t *testing.T) {
	s := tell(t)
	p := s.policy()
	s.create(p)
	id := s.inForce(p)
	evil := s.stranger()
	s.refused(evil, v1alpha1.ReasonDomainConflict, ContainSubstring("published from namespace"))
	s.pruned(p)
	renamed := s.policy(withName("renamed"))
	s.create(renamed)
	s.Expect(s.inForce(renamed)).To(Equal(id))

	pub := s.publication()
	s.Expect(s.api.Delete(s.ctx, pub)).To(Succeed())
	s.Eventually(func() types.UID {
		if again := s.publication(); again != nil {
			return again.UID
		}
		return pub.UID
	}).ShouldNot(Equal(pub.UID))

	s.Expect(s.publication().Namespace).To(Equal(s.namespace))
	s.Eventually(func() string { return s.inForce(renamed) }).Should(laterThan(id))
	s.refused(evil, v1alpha1.ReasonDomainConflict, ContainSubstring("published from namespace "+s.namespace))
	s.nothingIn(s, evil.Namespace)
}

func TestLeavingEnforceIsNotHinderedByParkedClaims(t *testing.T) {
	s := tell(t)
	p := s.policy()
	s.create(p)
	first := s.inForce(p)
	for range 3 {
		s.refused(s.stranger(), v1alpha1.ReasonDomainConflict, ContainSubstring("published from namespace "+s.namespace))
	}
	s.edit(p, withMode(v1alpha1.ModeTesting))
	s.Expect(s.inForce(p) > first).To(BeTrue())
	s.Expect(s.body()).To(ContainSubstring("mode: testing"))

	s.chapter("nor when the publication is lost and only DNS knows of it", func() {
		s.stopOperator()
		s.Expect(s.api.Delete(s.ctx, s.publication())).To(Succeed())
		s.Eventually(s.publication).Should(BeNil())
		s.startOperator()
		s.refused(p, v1alpha1.ReasonDomainConflict, ContainSubstring("claimed from namespaces"))
		s.obey(p)
		s.edit(p, withMode(v1alpha1.ModeNone))
		s.inForce(p)
		s.Expect(s.body()).To(ContainSubstring("mode: none"))
	})
}

func TestStrangerWithNothingToShowYieldsToWhomDNSPointsAt(t *testing.T) {
	s := tell(t)
	evil := s.stranger(func(p *v1alpha1.MTASTSPolicy) {
		p.Spec.DNS.Provider = v1alpha1.DNSManual
		p.Spec.Exposure.Type, p.Spec.Certificate.Source = v1alpha1.ExposureNone, v1alpha1.CertificateNone
		p.Spec.DNS.Targets = []string{"192.0.2.66"}
	})
	s.Eventually(s.publication).Should(HaveField("Namespace", evil.Namespace))
	address := s.ingressAddress()
	p := s.policy(func(p *v1alpha1.MTASTSPolicy) {
		p.Spec.DNS.Provider, p.Spec.DNS.Targets = v1alpha1.DNSManual, []string{address}
	})
	s.create(p)
	s.refused(p, v1alpha1.ReasonDomainConflict, ContainSubstring("if DNS answers "+address+" for "+s.host()))

	s.DNS.SetA(s.host(), address)

	s.Eventually(s.publication).Should(HaveField("Namespace", s.namespace))
	s.refused(evil, v1alpha1.ReasonDomainConflict, ContainSubstring("published from namespace "+s.namespace))
	s.Eventually(s.condition(p, v1alpha1.ConditionDNSPublished)).Should(ContainSubstring("publish the TXT record"))
	s.Eventually(func(g Gomega) { s.nothingIn(g, evil.Namespace) }).Should(Succeed())
	s.DNS.SetTXT(mtasts.RecordName(s.domain), announces(s.publication().Spec.AnnouncedID)...)
	s.inForce(p)
}

// ingressAddress is where the harness' Ingress controller answers.
func (s *story) ingressAddress() string {
	s.t.Helper()
	probe := s.policy(withName("probe"), func(p *v1alpha1.MTASTSPolicy) { p.Spec.Domain = "probe." + s.domain })
	s.create(probe)
	var address []string
	s.Eventually(func() []string {
		address = s.DNS.Records("mta-sts.probe."+s.domain, "A")
		return address
	}).ShouldNot(BeEmpty())
	return address[0]
}

func (s *story) certificates(namespace string) int {
	var list cmv1.CertificateList
	s.Expect(s.api.List(s.ctx, &list, client.InNamespace(namespace))).To(Succeed())
	return len(list.Items)
}

func TestStrangersBareClaimOrdersNoCertificate(t *testing.T) {
	s := tell(t)
	address := s.ingressAddress()
	evil := s.stranger(func(p *v1alpha1.MTASTSPolicy) { p.Spec.DNS.Provider = v1alpha1.DNSManual })
	s.Eventually(s.condition(evil, v1alpha1.ConditionCertificateReady)).Should(And(
		HavePrefix("False/Issuing"), ContainSubstring("ordered once DNS answers "+address+" for "+s.host()+": publish that record now")))
	s.DNS.SetA(s.host(), "192.0.2.66")
	s.Eventually(s.condition(evil, v1alpha1.ConditionCertificateReady)).Should(ContainSubstring("DNS answers 192.0.2.66"))
	s.Consistently(func() int { return s.certificates(evil.Namespace) }).Should(BeZero())

	s.chapter("until DNS points the host here", func() {
		s.DNS.SetA(s.host(), address)
		s.Eventually(s.condition(evil, v1alpha1.ConditionCertificateReady)).Should(HavePrefix("True/Issued"))
	})
	s.chapter("or a rule allows it", func() {
		s.ExternalDNS.SetMode(harness.Off)
		s.settings = new(operator.Settings())
		s.settings.Domains = []config.DomainRule{{Namespaces: []string{"mail-*"}, Allow: []string{"{namespace}.example", "*.{namespace}.example"}}}
		s.stopOperator()
		s.startOperator()
		allowed := s.policy(func(p *v1alpha1.MTASTSPolicy) { p.Spec.Domain = "allowed." + s.domain })
		s.create(allowed)
		s.Eventually(func() int { return s.certificates(s.namespace) }).Should(Equal(2), "beside the probe's")
	})
}

// TestStrangersClaimIsNotMissedByACacheThatStandsStill: an operator that is limited to some namespaces has a cache
// for each.
func TestStrangersClaimIsNotMissedByACacheThatStandsStill(t *testing.T) {
	s := setScene(t)
	other := s.newNamespace("other-")
	link := &operator.Link{}
	op, err := operator.Start(s.ctx, operator.Options{
		Config: asOperator, World: s.World, Link: link, Timings: s.timings, Namespaces: []string{s.namespace, other},
	})
	s.Expect(err).NotTo(HaveOccurred())
	defer func() { s.Expect(op.Stop()).To(Succeed()) }()
	for _, namespace := range []string{s.namespace, other} {
		known := s.policy(inNamespace(namespace), withName("known"), func(p *v1alpha1.MTASTSPolicy) { p.Spec.Domain = namespace + "." + s.domain })
		s.create(known)
		s.inForce(known)
	}
	link.Freeze("namespaces/" + other + "/mtastspolicies")
	unseen := s.policy(inNamespace(other))
	s.create(unseen)
	p := s.policy()
	s.create(p)
	s.Consistently(s.publication).Should(BeNil())

	link.Thaw()

	for _, p := range []*v1alpha1.MTASTSPolicy{p, unseen} {
		s.refused(p, v1alpha1.ReasonDomainConflict, ContainSubstring("claimed from namespaces"))
	}
}

func TestRestoreOfAWordHandsNothingOver(t *testing.T) {
	s := tell(t)
	p := s.policy()
	s.create(p)
	s.inForce(p)
	s.spoil(s.publication(), func(o client.Object) {
		o.SetAnnotations(map[string]string{v1alpha1.TransferToAnnotation: "other-typo"})
	})
	copied := s.publication()
	evil := s.stranger()
	copied.Annotations[v1alpha1.TransferToAnnotation] = evil.Namespace // whoever registers the name
	s.ExternalDNS.SetMode(harness.Off)
	s.stopOperator()
	s.Expect(s.api.Delete(s.ctx, s.publication())).To(Succeed())
	s.Eventually(s.publication).Should(BeNil())
	copied.ResourceVersion, copied.UID = "", ""
	s.create(copied)
	s.ExternalDNS.SetMode(harness.Sync)
	s.startOperator()

	s.Eventually(func() map[string]string { return s.publication().Annotations }).ShouldNot(HaveKey(v1alpha1.TransferToAnnotation))
	s.inForce(p)
	s.refused(evil, v1alpha1.ReasonDomainConflict, ContainSubstring("published from namespace "+s.namespace))
	s.Expect(s.publication().Namespace).To(Equal(s.namespace))
}
