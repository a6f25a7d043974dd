package integration

import (
	"fmt"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/test/harness"
)

// of makes a policy one of another domain, in another namespace.
func of(namespace, name, domain string, mx ...string) func(*v1alpha1.MTASTSPolicy) {
	return func(p *v1alpha1.MTASTSPolicy) {
		p.Namespace, p.Name, p.Spec.Domain, p.Spec.MX = namespace, name, domain, mx
	}
}

// silentMail has so many MX hosts of a domain take connections and never say a word.
func (s *story) silentMail(domain string, hosts int) (mx []string) {
	s.t.Helper()
	for i := range hosts {
		host := fmt.Sprintf("tar%d.%s", i, domain)
		if err := s.Mail.Add(s.ctx, host); err != nil {
			s.t.Skipf("this machine has no second loopback address: %v", err)
		}
		s.Mail.Break(host, harness.MailSilent)
		mx = append(mx, host)
	}
	s.DNS.SetMX(domain, mx...)
	return mx
}

func (s *story) silentSessions(mx []string) (n int) {
	for _, host := range mx {
		n += s.Mail.Sessions(host)
	}
	return n
}

// weakMailBesideATarPit is an MX host without STARTTLS, while sessions with a stranger's silent ones keep the operator.
func (s *story) weakMailBesideATarPit() (mx string) {
	s.t.Helper()
	evil := s.newNamespace("other-")
	tar := s.silentMail(evil+".example", 20)
	mx = "mx1." + s.domain
	s.Expect(s.Mail.Add(s.ctx, mx)).To(Succeed())
	s.Mail.Break(mx, harness.MailNoSTARTTLS)
	s.startOperator()
	s.Expect(s.tenant(evil).Create(s.ctx, s.policy(of(evil, "p", evil+".example", tar...)))).To(Succeed())
	s.Eventually(func() int { return s.silentSessions(tar) }).Should(BeNumerically(">=", 2))
	return mx
}

func TestStrangersSilentMXHostsDoNotLetEnforceInUnasked(t *testing.T) {
	s := setScene(t)
	mx := s.weakMailBesideATarPit()

	p := s.policy(withMX(mx))
	s.create(p)
	s.refused(p, v1alpha1.ReasonSTARTTLSFailing, And(ContainSubstring(mx), ContainSubstring("STARTTLS")))
	s.Consistently(func() *v1alpha1.Instance { return s.publication().Spec.Current }, 3*s.timings.MXPatience).Should(BeNil())

	s.Mail.Break(mx, harness.MailSound)
	s.inForce(p)
}

func TestStrangersSilentMXHostsDoNotLetAnEditThroughUnasked(t *testing.T) {
	s := setScene(t)
	mx := s.weakMailBesideATarPit()

	p := s.policy(withMX(mx), withMode(v1alpha1.ModeTesting))
	s.create(p)
	id := s.inForce(p)
	s.edit(p, withMode(v1alpha1.ModeEnforce))
	s.refused(p, v1alpha1.ReasonSTARTTLSFailing, ContainSubstring(mx))
	s.Consistently(func() string { return s.publication().Spec.Current.ID }, 3*s.timings.MXPatience).Should(Equal(id))
}

// Of its own namespace's silent hosts nobody protects a domain: but it does not enforce what nobody has asked.
func TestSilentMXHostsOfItsOwnNamespaceHoldEnforceAndSaySo(t *testing.T) {
	s := setScene(t)
	s.timings.UnaskedPatience = 3 * time.Second
	other := "tar." + s.domain
	tar := s.silentMail(other, 20)
	mx := "mx1." + s.domain
	s.Expect(s.Mail.Add(s.ctx, mx)).To(Succeed())
	s.startOperator()
	s.create(s.policy(of(s.namespace, "tar", other, tar...)))
	s.Eventually(func() int { return s.silentSessions(tar) }).Should(BeNumerically(">=", 6))

	p := s.policy(withMX(mx))
	s.create(p)
	s.Eventually(s.condition(p, v1alpha1.ConditionReconciling)).Should(HavePrefix("True/" + v1alpha1.ReasonMXCheckDelayed))
	s.refused(p, v1alpha1.ReasonMXCheckDelayed, And(ContainSubstring(mx), ContainSubstring("preflight: Advise")))
	s.Expect(s.publication().Spec.Current).To(BeNil())

	s.edit(p, func(p *v1alpha1.MTASTSPolicy) { p.Spec.Preflight = v1alpha1.PreflightAdvise })
	s.inForce(p)
}

// silentPolicies are policies of a namespace whose domains' name servers do not answer.
const silentPolicies = 120

// silentDomains are created in a namespace by its tenant. They want enforce, or testing, as told.
func (s *story) silentDomains(as client.Client, namespace string, mode v1alpha1.Mode) {
	s.t.Helper()
	for i := range silentPolicies {
		domain := fmt.Sprintf("d%d.%s.example", i, namespace)
		for _, name := range []string{domain, "_mta-sts." + domain, "mta-sts." + domain, "_smtp._tls." + domain} {
			s.DNS.SetFault(name, harness.Drop)
		}
		p := s.policy(of(namespace, fmt.Sprintf("p%d", i), domain, "mx."+domain), withMode(mode))
		s.Expect(as.Create(s.ctx, p)).To(Succeed())
	}
}

// timed is how long an edit takes until it is in force.
func (s *story) timed(p *v1alpha1.MTASTSPolicy, edits ...func(*v1alpha1.MTASTSPolicy)) time.Duration {
	s.t.Helper()
	s.edit(p, edits...)
	began := time.Now()
	s.Eventually(func() bool {
		return s.readiness(p) == "InForce" && p.Status.ObservedGeneration == p.Generation
	}).WithTimeout(2 * patience).Should(BeTrue())
	return time.Since(began).Round(time.Millisecond)
}

func TestStrangersSilentDNSDelaysNobodysEdit(t *testing.T) {
	s := tell(t)
	p := s.policy(withMode(v1alpha1.ModeTesting))
	s.create(p)
	s.inForce(p)
	alone := max(s.timed(p, withMaxAge(100001)), s.timed(p, withMaxAge(100002)))
	evil := s.newNamespace("other-")
	s.silentDomains(s.tenant(evil), evil, v1alpha1.ModeTesting)
	s.Eventually(func() int { return len(s.DNS.Queries("_mta-sts.d0." + evil + ".example")) }).Should(BeNumerically(">", 0))

	for i := range 3 {
		beside := s.timed(p, withMaxAge(int32(100003+i)))
		t.Logf("an edit takes %s alone, and %s beside %d policies whose DNS is silent", alone, beside, silentPolicies)
		s.Expect(beside).To(BeNumerically("<", 2*alone+time.Second))
	}
	// A first publication of another namespace takes its turn as well.
	q := s.policy(of(s.namespace, "second", "second."+s.domain, "mx1."+s.domain), withMode(v1alpha1.ModeTesting))
	began := time.Now()
	s.create(q)
	s.inForce(q)
	t.Logf("a first publication beside them takes %s", time.Since(began).Round(time.Millisecond))
	s.Expect(time.Since(began)).To(BeNumerically("<", 4*alone+2*time.Second))
}

// One's own flood keeps one's own edits waiting a little, and one's way out of enforce hardly at all.
func TestSilentDNSOfItsOwnNamespaceDoesNotKeepADomainInEnforce(t *testing.T) {
	s := tell(t)
	p := s.policy()
	s.create(p)
	s.inForce(p)
	s.silentDomains(s.api, s.namespace, v1alpha1.ModeTesting)
	s.Eventually(func() int { return len(s.DNS.Queries("_mta-sts.d0." + s.namespace + ".example")) }).Should(BeNumerically(">", 0))

	left := s.timed(p, withMode(v1alpha1.ModeTesting))
	t.Logf("leaving enforce beside %d policies of its own namespace whose DNS is silent takes %s", silentPolicies, left)
	s.Expect(left).To(BeNumerically("<", 5*time.Second))
}
