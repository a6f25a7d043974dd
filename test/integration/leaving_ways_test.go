package integration

import (
	"net/http"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	networkingv1 "k8s.io/api/networking/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	externaldnsv1alpha1 "sigs.k8s.io/external-dns/apis/v1alpha1"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/internal/policyserver"
	"github.com/mta-sts-operator/mta-sts-operator/test/harness"
)

func withClass(name string) func(*v1alpha1.MTASTSPolicy) {
	return func(p *v1alpha1.MTASTSPolicy) { p.Spec.Exposure.Ingress.ClassName = name }
}

// ingresses are the names of the Ingresses of the story's domain.
func (s *story) ingresses() []string {
	var list networkingv1.IngressList
	s.Expect(s.api.List(s.ctx, &list, client.InNamespace(s.namespace), client.MatchingLabels{v1alpha1.ManagedByLabel: v1alpha1.ManagedBy})).To(Succeed())
	var out []string
	for i := range list.Items {
		out = append(out, list.Items[i].Name)
	}
	return out
}

// classes are those of the Ingresses of the story's domain.
func (s *story) classes() []string {
	var list networkingv1.IngressList
	s.Expect(s.api.List(s.ctx, &list, client.InNamespace(s.namespace), client.MatchingLabels{v1alpha1.ManagedByLabel: v1alpha1.ManagedBy})).To(Succeed())
	var out []string
	for i := range list.Items {
		out = append(out, *list.Items[i].Spec.IngressClassName)
	}
	return out
}

// ingressNames are those of the first Ingress, and of the one that takes its place.
func (s *story) ingressNames() []string { return []string{s.host(), s.host() + "-2"} }

// pastTheTTL lets so much time pass that resolvers have forgotten where the policy host was.
func (s *story) pastTheTTL() { s.clock.Step(6 * time.Minute) }

// answered expects that every look of a sender was answered with a policy.
func (s *story) answered(looks map[string]int, bodies ...string) {
	s.t.Helper()
	s.Expect(looks).NotTo(BeEmpty())
	for got, times := range looks {
		s.Expect(bodies).To(ContainElement(got), "%d looks", times)
	}
}

func TestLeavingAnIngressClassKeepsThePolicyURL(t *testing.T) {
	s := tell(t)
	watchOrder(s)
	names := s.ingressNames()
	p := s.policy(withClass("old"))
	s.create(p)
	s.inForce(p)
	first := s.body()
	looks := s.keepFetching()

	s.chapter("the new class has no controller: the former way stays, and that is said", func() {
		s.Ingress.Leave("new")
		s.edit(p, withClass("new"))
		s.Eventually(s.ingresses).Should(ConsistOf(names[0], names[1]))
		s.Eventually(s.condition(p, v1alpha1.ConditionExposed)).Should(And(
			HavePrefix("True/"+v1alpha1.ReasonWayChanging), ContainSubstring("Ingress controller for the class of")))
		s.Consistently(s.ingresses).Should(ConsistOf(names[0], names[1]))
		s.Expect(s.DNS.Records(s.host(), "A")).To(ConsistOf(harness.PodAddress))
	})
	var beside *harness.Ingress
	s.chapter("the new class has an address where nothing answers yet", func() {
		var err error
		beside, err = s.StartIngress(s.ctx, "new", "127.0.0.2")
		s.Expect(err).NotTo(HaveOccurred())
		beside.ServeRaw(s.host(), http.NotFoundHandler())
		s.Eventually(s.condition(p, v1alpha1.ConditionExposed)).Should(ContainSubstring("status 404"))
		s.Consistently(func() []string { return s.DNS.Records(s.host(), "A") }).Should(ConsistOf(harness.PodAddress))
	})
	s.chapter("an edit in the middle comes into force", func() {
		s.edit(p, withMaxAge(86400))
		s.inForce(p)
	})
	second := s.body()
	s.chapter("it answers: DNS leads there, and the former one stays for as long as resolvers remember", func() {
		beside.ServeRaw(s.host(), nil)
		s.Eventually(func() []string { return s.DNS.Records(s.host(), "A") }).Should(ConsistOf("127.0.0.2"))
		s.Eventually(s.condition(p, v1alpha1.ConditionExposed)).Should(ContainSubstring("resolvers may remember the former address"))
		s.Expect(s.ingresses()).To(ConsistOf(names[0], names[1]))
	})
	s.chapter("another operator takes over, and waits anew", func() {
		before := s.condition(p, v1alpha1.ConditionExposed)()
		s.stopOperator()
		s.clock.Step(2 * time.Second)
		s.startOperator()
		s.Eventually(s.condition(p, v1alpha1.ConditionExposed)).Should(And(
			ContainSubstring("resolvers may remember the former address"), Not(Equal(before))))
		s.pastTheTTL()
		s.Eventually(s.ingresses).Should(ConsistOf(names[1]))
		s.Eventually(s.condition(p, v1alpha1.ConditionExposed)).Should(HavePrefix("True/" + v1alpha1.ReasonAddressAssigned))
		s.Eventually(func(g Gomega) {
			var o networkingv1.Ingress
			g.Expect(s.api.Get(s.ctx, client.ObjectKey{Namespace: s.namespace, Name: names[1]}, &o)).To(Succeed())
			g.Expect(o.Spec.Rules[0].HTTP.Paths).To(HaveLen(1), "the path that only it routed is gone")
		}).Should(Succeed())
	})
	s.answered(looks(), first, second)
}

func TestLeavingTheIngressForARouteOfOnesOwnKeepsThePolicyURL(t *testing.T) {
	s := tell(t)
	name := s.ingressNames()[0]
	p := s.policy()
	s.create(p)
	s.inForce(p)
	body := s.body()
	looks := s.keepFetching()

	s.chapter("nothing of one's own answers: the Ingress stays, and that is said", func() {
		s.edit(p, func(p *v1alpha1.MTASTSPolicy) {
			p.Spec.Exposure.Type = v1alpha1.ExposureNone
			p.Spec.DNS.Targets = []string{harness.PodAddress}
		})
		s.Eventually(s.condition(p, v1alpha1.ConditionExposed)).Should(And(
			HavePrefix("True/"+v1alpha1.ReasonWayChanging), ContainSubstring("your own route"),
			ContainSubstring("kubectl -n "+s.namespace+" delete ingress "+name)))
		s.Consistently(s.ingresses).Should(ConsistOf(name))
	})
	s.chapter("one's own route answers at the same address, told by a path that only it routes", func() {
		mine := s.route("mine")
		paths := &mine.Spec.Rules[0].HTTP.Paths
		prefix := (*paths)[0]
		prefix.Path = policyserver.WayPath("external") // as a route for the whole host would
		*paths = append(*paths, prefix)
		s.create(s.tlsSecret("mine"), mine)
		s.Eventually(s.condition(p, v1alpha1.ConditionExposed)).Should(ContainSubstring("resolvers may remember the former address"))
		s.pastTheTTL()
		s.Eventually(s.ingresses).Should(BeEmpty())
		s.Eventually(s.condition(p, v1alpha1.ConditionExposed)).Should(HavePrefix("True/" + v1alpha1.ReasonTargetsConfigured))
	})
	s.answered(looks(), body)
}

func TestWhatWasNeverAnnouncedChangesItsWayAtOnce(t *testing.T) {
	s := tell(t)
	p := s.policy(withClass("old"), func(p *v1alpha1.MTASTSPolicy) { p.Spec.Certificate.IssuerRef.Name = "nobody" })
	s.Ingress.Leave("old")
	s.create(p)
	names := s.ingressNames()
	s.Eventually(s.ingresses).Should(ConsistOf(names[0]))
	s.edit(p, withClass("new"))
	s.Eventually(s.classes).Should(ConsistOf("new"))
}

func TestLeavingExternalDNSKeepsTheRecords(t *testing.T) {
	s := tell(t)
	p := s.policy()
	s.create(p)
	id := s.inForce(p)
	names := []string{"mta-sts." + s.domain, "mta-sts-id." + s.domain, "smtp-tls." + s.domain}

	s.edit(p, func(p *v1alpha1.MTASTSPolicy) { p.Spec.DNS.Provider = v1alpha1.DNSManual })
	s.Eventually(s.condition(p, v1alpha1.ConditionDNSPublished)).Should(And(HavePrefix("True/"),
		ContainSubstring("delete dnsendpoint "+names[0]+" "+names[1]+" "+names[2])))
	s.Consistently(s.txt).Should(Equal(announces(id)))

	// Until a person takes them over, they are kept in step.
	s.edit(p, withMaxAge(86400))
	second := s.inForce(p)
	s.Expect(s.txt()).To(Equal(announces(second)))

	s.chapter("a person takes them over", func() {
		s.ExternalDNS.SetMode(harness.UpsertOnly)
		for _, name := range names {
			s.Expect(s.api.Delete(s.ctx, s.endpoint(name))).To(Succeed())
		}
		s.Eventually(s.condition(p, v1alpha1.ConditionDNSPublished)).Should(And(HavePrefix("True/"), Not(ContainSubstring("dnsendpoint"))))
		s.Consistently(func(g Gomega) {
			var left externaldnsv1alpha1.DNSEndpointList
			g.Expect(s.api.List(s.ctx, &left, client.InNamespace(s.namespace))).To(Succeed())
			g.Expect(left.Items).To(BeEmpty())
			g.Expect(s.txt()).To(Equal(announces(second)))
		}).Should(Succeed())
	})
}
