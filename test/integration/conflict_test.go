package integration

import (
	"testing"
	"time"

	cmv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	externaldnsv1alpha1 "sigs.k8s.io/external-dns/apis/v1alpha1"
	"sigs.k8s.io/external-dns/endpoint"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/internal/config"
	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
	"github.com/mta-sts-operator/mta-sts-operator/test/operator"
)

// younger waits until whatever is created next has a later creation time than the object.
func (s *story) younger(than client.Object) {
	s.t.Helper()
	s.Eventually(func() int64 { return time.Now().Unix() }).Should(BeNumerically(">", than.GetCreationTimestamp().Unix()))
}

// refused waits until a policy says that it is not followed, and why.
func (s *story) refused(p *v1alpha1.MTASTSPolicy, reason string, message OmegaMatcher) {
	s.t.Helper()
	s.Eventually(s.condition(p, v1alpha1.ConditionReady)).Should(And(HavePrefix("False/"+reason+": "), message))
	s.Expect(s.condition(p, v1alpha1.ConditionStalled)()).To(HavePrefix("True/" + reason + ": "))
	s.Expect(p.Status.ObservedGeneration).To(Equal(p.Generation))
}

// nothingIn expects that the operator has made nothing in a namespace.
func (s *story) nothingIn(g Gomega, namespace string) {
	s.t.Helper()
	for _, list := range []client.ObjectList{
		&v1alpha1.MTASTSPublicationList{}, &networkingv1.IngressList{}, &cmv1.CertificateList{}, &externaldnsv1alpha1.DNSEndpointList{},
		&appsv1.DeploymentList{}, &corev1.ServiceList{}, &networkingv1.NetworkPolicyList{},
	} {
		g.Expect(s.api.List(s.ctx, list, client.InNamespace(namespace))).To(Succeed())
		g.Expect(apimeta.LenList(list)).To(BeZero(), "%T", list)
	}
}

func TestOfTwoPoliciesInANamespaceTheOlderWins(t *testing.T) {
	s := setScene(t)
	older := s.policy(withName("z-older"))
	s.create(older)
	s.younger(older)
	newer := s.policy(withName("a-newer"), withMaxAge(86400))
	s.create(newer)
	s.startOperator()

	id := s.inForce(older)
	s.refused(newer, v1alpha1.ReasonDomainConflict, And(
		ContainSubstring("MTASTSPolicy "+s.namespace+"/z-older already publishes "+s.domain),
		ContainSubstring("takes over at once, with mode enforce and mx mx1."+s.domain)))
	s.Expect(newer.Status.State).To(Equal(v1alpha1.StateConflict))
	s.Expect(newer.Status.Policy).To(BeNil())

	// The loser takes over when the winner goes, with all that was promised.
	s.pruned(older)
	second := s.inForce(newer)
	s.Expect(second > id).To(BeTrue())
	pub := s.publication()
	s.Expect(pub.Spec.PolicyRef.Name).To(Equal("a-newer"))
	s.Expect(pub.Spec.Ledger).To(ConsistOf(HaveField("ID", id)))
	s.Expect(apimeta.FindStatusCondition(newer.Status.Conditions, v1alpha1.ConditionStalled)).To(BeNil())
	s.Eventually(s.body).Should(ContainSubstring("max_age: 86400"))
}

func TestOfTwoNamespacesNeitherPublishesUntilThatIsDecided(t *testing.T) {
	s := setScene(t)
	other := s.newNamespace("other-")
	older := s.policy(inNamespace(other))
	s.create(older)
	s.younger(older)
	newer := s.policy()
	s.create(newer)
	s.startOperator()

	for _, p := range []*v1alpha1.MTASTSPolicy{older, newer} {
		s.refused(p, v1alpha1.ReasonDomainConflict, And(ContainSubstring("claimed from namespaces "+s.namespace+", "+other), ContainSubstring("kubectl create -f -")))
	}
	s.nothingIn(s, s.namespace)
	s.nothingIn(s, other)

	s.chapter("the word of somebody with rights in the cluster decides", func() {
		s.obey(newer)
		s.inForce(newer)
		s.refused(older, v1alpha1.ReasonDomainConflict, ContainSubstring("published from namespace "+s.namespace))
		s.nothingIn(s, other)
	})
}

func TestAClaimThatIsTakenBackLeavesTheOtherTheDomain(t *testing.T) {
	s := tell(t)
	other := s.newNamespace("other-")
	first, second := s.policy(), s.policy(inNamespace(other))
	s.stopOperator()
	s.create(first, second)
	s.startOperator()
	s.refused(second, v1alpha1.ReasonDomainConflict, ContainSubstring("claimed from namespaces"))

	s.pruned(first)

	s.inForce(second)
}

func TestTheNamespaceThatPublishesADomainKeepsIt(t *testing.T) {
	s := tell(t)
	p := s.policy()
	s.create(p)
	id := s.inForce(p)
	other := s.newNamespace("other-")
	stranger := s.policy(inNamespace(other))
	s.create(stranger)
	command := "kubectl -n " + s.namespace + " annotate --overwrite mtastspublication " + s.domain + " mtasts.dev/transfer-to=" + other
	s.refused(stranger, v1alpha1.ReasonDomainConflict, ContainSubstring(command))

	// Whatever the age: the policy of the incumbent namespace is created anew.
	s.younger(stranger)
	s.pruned(p)
	again := s.policy(withName("again"))
	s.create(again)

	s.Expect(s.inForce(again)).To(Equal(id))
	s.refused(stranger, v1alpha1.ReasonDomainConflict, ContainSubstring(command))
	s.nothingIn(s, other)
	// Without a policy of its own it does not hand the domain over either.
	s.pruned(again)
	s.state(v1alpha1.StateRetiring)
	s.refused(stranger, v1alpha1.ReasonDomainConflict, ContainSubstring(command))
	s.nothingIn(s, other)
}

func TestANamespacePublishesOnlyDomainsThatItMayClaim(t *testing.T) {
	s := setScene(t)
	allow := func(domain string) {
		s.settings = new(operator.Settings())
		s.settings.Domains = []config.DomainRule{{Namespaces: []string{"mail-*"}, Allow: []string{domain}}}
		s.stopOperator()
		s.startOperator()
	}
	p := s.policy()
	s.create(p)

	allow("elsewhere.example")
	message := ContainSubstring("does not let namespace " + s.namespace + " publish " + s.domain)
	s.refused(p, v1alpha1.ReasonDomainNotAllowed, message)
	s.nothingIn(s, s.namespace)

	allow("*.example")
	id := s.inForce(p)

	// What was published stays when the rule changes; no edit is followed.
	allow("elsewhere.example")
	s.edit(p, withMaxAge(86400))
	s.refused(p, v1alpha1.ReasonDomainNotAllowed, message)
	s.Expect(s.publication().Spec.Current.ID).To(Equal(id))
	s.Expect(s.txt()).To(Equal(announces(id)))
	s.Expect(s.body()).To(ContainSubstring("max_age: 604800"))
	s.Expect(p.Status.Policy.ID).To(Equal(id))
}

func TestARecordOfAStrangerIsReportedAndNotOverwritten(t *testing.T) {
	s := setScene(t)
	name, foreign := "_mta-sts."+s.domain, "v=STSv1; id=stranger1;"
	s.DNS.SetTXT(name, foreign)
	s.startOperator()
	p := s.policy()
	s.create(p)

	s.Eventually(s.condition(p, v1alpha1.ConditionDNSPublished)).Should(And(
		HavePrefix("False/"+v1alpha1.ReasonForeignPublisher), ContainSubstring("stranger1"), ContainSubstring("remove that record")))
	s.Expect(p.Status.State).To(Equal(v1alpha1.StateAnnouncing))
	s.Expect(s.txt()).To(Equal([]string{foreign}))
	s.Expect(s.DNS.History(name)).To(HaveLen(1))
	// Nobody knows what the stranger published: senders may hold anything for a year.
	s.Expect(s.publication().Spec.Ledger).To(ConsistOf(And(
		HaveField("ID", "stranger1"), HaveField("Origin", v1alpha1.OriginFound), HaveField("MaxAgeSeconds", BeEquivalentTo(31557600)))))

	s.DNS.SetTXT(name)

	s.Expect(s.txt()).NotTo(Equal([]string{foreign}))
	id := s.inForce(p)
	s.Eventually(s.txt).Should(Equal(announces(id)))
}

func TestAnObjectOfTheSameNameThatIsNotOursStaysWhatItIs(t *testing.T) {
	for name, foreign := range map[string]func(*story) client.Object{
		"Ingress": func(s *story) client.Object {
			i := s.ingress()
			i.Spec.DefaultBackend = &networkingv1.IngressBackend{Service: &networkingv1.IngressServiceBackend{
				Name: "somebody", Port: networkingv1.ServiceBackendPort{Number: 80},
			}}
			return i
		},
		"DNSEndpoint": func(s *story) client.Object {
			e := &externaldnsv1alpha1.DNSEndpoint{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "mta-sts." + s.domain}}
			e.Spec.Endpoints = []*endpoint.Endpoint{{DNSName: "somebody." + s.domain, RecordType: "A", Targets: []string{"192.0.2.1"}}}
			return e
		},
		"ServiceAccount": func(s *story) client.Object {
			return &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "mta-sts-server"}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := setScene(t)
			object := foreign(s)
			s.create(object)
			generation := object.GetGeneration()
			s.startOperator()
			p := s.policy()
			s.create(p)

			s.Eventually(s.condition(p, v1alpha1.ConditionReady)).Should(And(
				HavePrefix("False/"), ContainSubstring(name+" "+object.GetName()), ContainSubstring("delete or rename it")))
			s.Expect(s.condition(p, v1alpha1.ConditionStalled)()).To(HavePrefix("True/"))
			s.Expect(s.api.Get(s.ctx, client.ObjectKeyFromObject(object), object)).To(Succeed())
			s.Expect(object.GetGeneration()).To(Equal(generation))
			s.Expect(object.GetLabels()).To(BeEmpty())
			s.Expect(s.txt()).To(BeEmpty())

			s.Expect(s.api.Delete(s.ctx, object)).To(Succeed())
			s.inForce(p)
		})
	}
}

// TestAPublicationThatTheCacheDoesNotShowStaysTheOnlyOne: the cache of an operator stopped before another
// one brought the domain into force, from another namespace.
func TestAPublicationThatTheCacheDoesNotShowStaysTheOnlyOne(t *testing.T) {
	s := setScene(t)
	s.startOperator()
	other := s.newNamespace("other-")
	ready := s.policy(inNamespace(other), withName("ready"), func(p *v1alpha1.MTASTSPolicy) { p.Spec.Domain = "ready." + s.domain })
	s.create(ready)
	s.inForce(ready)
	address := s.DNS.Records("mta-sts.ready."+s.domain, "A")
	s.link.Freeze("mtastspublications")
	second := s.anotherOperator(nil)
	defer func() { s.Expect(second.Stop()).To(Succeed()) }()
	older := s.policy(inNamespace(other), withDeletion(v1alpha1.DeletionOrphan), func(p *v1alpha1.MTASTSPolicy) {
		p.Spec.DNS.Provider = v1alpha1.DNSManual
	})
	s.create(older)
	s.DNS.SetA(s.host(), address...)
	s.Eventually(s.condition(older, v1alpha1.ConditionDNSPublished)).Should(ContainSubstring("publish the TXT record"))
	id := s.publication().Spec.AnnouncedID
	s.DNS.SetTXT(mtasts.RecordName(s.domain), announces(id)...)
	s.inForce(older)
	s.pruned(older)
	s.state(v1alpha1.StateOrphaned)
	s.younger(s.publication())
	// Neither DNS nor the policy host speaks for it any more.
	s.DNS.Remove(s.host())
	s.DNS.Remove(mtasts.RecordName(s.domain))

	newer := s.policy()
	s.create(newer)
	twin := &v1alpha1.MTASTSPublication{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: s.domain}}
	s.Eventually(func() error { return s.api.Get(s.ctx, client.ObjectKeyFromObject(twin), twin) }).Should(Succeed())
	s.Consistently(func(g Gomega) {
		var ingresses networkingv1.IngressList
		g.Expect(s.api.List(s.ctx, &ingresses, client.InNamespace(s.namespace))).To(Succeed())
		g.Expect(ingresses.Items).To(BeEmpty())
	}, 700*time.Millisecond).Should(Succeed())

	s.link.Thaw()
	s.gone(twin)
	s.refused(newer, v1alpha1.ReasonDomainConflict, ContainSubstring("published from namespace "+other))
	s.Expect(s.publication().Spec.AnnouncedID).To(Equal(id))
	s.Eventually(func(g Gomega) { s.nothingIn(g, s.namespace) }).Should(Succeed())
}
