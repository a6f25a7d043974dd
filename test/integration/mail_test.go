package integration

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/test/harness"
)

// mailHosts starts mail servers and makes them the domain's MX hosts.
func (s *story) mailHosts(hosts ...string) {
	s.t.Helper()
	for _, host := range hosts {
		if err := s.Mail.Add(s.ctx, host); err != nil {
			s.t.Skipf("this machine has no second loopback address: %v", err)
		}
	}
	s.DNS.SetMX(s.domain, hosts...)
}

// starttls is "<state>/<reason>" of an MX host in the status.
func (s *story) starttls(p *v1alpha1.MTASTSPolicy, host string) func() string {
	return func() string {
		s.readiness(p)
		for _, h := range p.Status.MX {
			if h.Host == host && h.STARTTLS != nil {
				return string(h.STARTTLS.State) + "/" + h.STARTTLS.Reason
			}
		}
		return "absent"
	}
}

func TestEnforceIsHeldWhileNoMXHostOffersWhatItDemands(t *testing.T) {
	s := setScene(t)
	mx1, mx2 := "mx1."+s.domain, "mx2."+s.domain
	s.mailHosts(mx1, mx2)
	s.Mail.Break(mx1, harness.MailNoSTARTTLS)
	s.Mail.Break(mx2, harness.MailExpired)
	s.startOperator()
	p := s.policy(withMode(v1alpha1.ModeTesting), withMX(mx1, mx2))
	s.create(p)
	id := s.inForce(p)
	s.Eventually(s.starttls(p, mx1)).Should(Equal("Fails/NoSTARTTLS"))
	s.Eventually(s.starttls(p, mx2)).Should(Equal("Fails/CertificateExpired"))
	s.Eventually(s.condition(p, v1alpha1.ConditionMXAligned)).Should(And(
		HavePrefix("True/"+v1alpha1.ReasonNotEnforced), ContainSubstring(mx1), ContainSubstring(mx2)))

	s.edit(p, withMode(v1alpha1.ModeEnforce))
	s.refused(p, v1alpha1.ReasonSTARTTLSFailing, And(ContainSubstring(mx1), ContainSubstring(mx2), ContainSubstring("STARTTLS"), ContainSubstring("expired")))
	s.Consistently(func() string { return s.publication().Spec.Current.ID }).Should(Equal(id))

	// Senders go on to the next host: one that works is enough.
	s.Mail.Break(mx2, harness.MailSound)
	s.Expect(s.inForce(p) > id).To(BeTrue())
	s.Eventually(s.condition(p, v1alpha1.ConditionMXAligned)).Should(And(
		HavePrefix("False/"+v1alpha1.ReasonSTARTTLSFailing), ContainSubstring(mx1), Not(ContainSubstring(mx2))))
	s.Expect(s.condition(p, v1alpha1.ConditionReady)()).To(HavePrefix("True/"))
	s.Eventually(s.eventReasons).Should(ContainElement(v1alpha1.ReasonSTARTTLSFailing))

	s.Mail.Break(mx1, harness.MailSound)
	s.Eventually(s.condition(p, v1alpha1.ConditionMXAligned)).Should(HavePrefix("True/" + v1alpha1.ReasonCovered))
	for _, h := range p.Status.MX {
		s.Expect(h.STARTTLS.Addresses).To(ConsistOf(And(HaveField("TLSVersion", "TLS 1.3"), HaveField("CertificateNotAfter", Not(BeNil())))))
	}
}

func TestAnMXHostOfManyDomainsIsAskedOnce(t *testing.T) {
	s := setScene(t)
	mx := "mx." + s.domain
	s.mailHosts(mx)
	other := "other-" + s.domain
	s.DNS.SetMX(other, mx)
	s.startOperator()
	p := s.policy(withMX(mx))
	q := s.policy(withMX(mx), func(p *v1alpha1.MTASTSPolicy) { p.Name, p.Spec.Domain = "other", other })
	s.create(p, q)
	s.inForce(p)
	s.inForce(q)
	s.Eventually(s.starttls(p, mx)).Should(Equal("Works/"))
	s.Eventually(s.starttls(q, mx)).Should(Equal("Works/"))
	s.Expect(s.Mail.Sessions(mx)).To(Equal(1))

	s.clock.Step(2 * time.Hour) // both look at rest again
	s.Consistently(func() int { return s.Mail.Sessions(mx) }).Should(Equal(1))
}

func TestAMailServerThatNeverSpeaksHoldsEnforceForAWhileOnly(t *testing.T) {
	s := setScene(t)
	mx := "mx1." + s.domain
	s.mailHosts(mx)
	s.Mail.Break(mx, harness.MailSilent)
	s.startOperator()
	p := s.policy(withMX(mx))
	s.create(p)
	s.inForce(p)
	s.Eventually(s.body).Should(ContainSubstring("mode: enforce"))
}
