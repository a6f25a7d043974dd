package integration

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/test/harness"
)

// heldEdit is a policy that is in force as testing and held as enforce, because mx2 is not covered.
func (s *story) heldEdit() (p *v1alpha1.MTASTSPolicy, id string) {
	s.t.Helper()
	p = s.policy(withMode(v1alpha1.ModeTesting))
	s.create(p)
	id = s.inForce(p)
	s.DNS.SetMX(s.domain, "mx1."+s.domain, "mx2."+s.domain)
	s.edit(p, withMode(v1alpha1.ModeEnforce))
	s.refused(p, v1alpha1.ReasonUncoveredMX, And(ContainSubstring("mx2."+s.domain), Not(ContainSubstring("mx1."+s.domain))))
	s.Expect(p.Status.State).To(Equal(v1alpha1.StateHeld))
	return p, id
}

func TestAnEditThatWouldLoseMailIsHeldUntilTheSpecIsRight(t *testing.T) {
	s := tell(t)
	p, id := s.heldEdit()

	s.Consistently(func(g Gomega) {
		g.Expect(s.publication().Spec.Current.ID).To(Equal(id))
		g.Expect(s.txt()).To(Equal(announces(id)))
		g.Expect(s.body()).To(ContainSubstring("mode: testing"))
	}).Should(Succeed())
	s.Expect(p.Status.Policy).To(And(HaveField("ID", id), HaveField("Mode", v1alpha1.ModeTesting)))

	s.edit(p, withMX("mx1."+s.domain, "mx2."+s.domain))
	s.Expect(s.inForce(p) > id).To(BeTrue())
	s.Eventually(s.body).Should(ContainSubstring("mode: enforce"))
	s.Expect(s.condition(p, v1alpha1.ConditionStalled)()).To(Equal("absent"))
	s.Expect(s.condition(p, v1alpha1.ConditionMXAligned)()).To(HavePrefix("True/" + v1alpha1.ReasonCovered))
}

func TestAnEditThatWouldLoseMailIsHeldUntilDNSIsRight(t *testing.T) {
	s := tell(t)
	p, id := s.heldEdit()

	s.DNS.SetMX(s.domain, "mx1."+s.domain)
	// Resolvers may still give the old answer: it counts for as long as its TTL.
	s.Consistently(func() string { return s.publication().Spec.Current.ID }).Should(Equal(id))
	s.clock.Step(5 * time.Minute)

	s.Expect(s.inForce(p) > id).To(BeTrue())
	s.Eventually(s.body).Should(ContainSubstring("mode: enforce"))
}

func TestAFirstEnforceThatWouldLoseMailIsNotPublished(t *testing.T) {
	for name, tc := range map[string]struct{ mx, reason string }{
		"an uncovered host": {"mx9.example.net", v1alpha1.ReasonUncoveredMX},
		"no mail at all":    {".", v1alpha1.ReasonNullMX},
	} {
		t.Run(name, func(t *testing.T) {
			s := setScene(t)
			s.DNS.SetMX(s.domain, tc.mx)
			s.startOperator()
			p := s.policy()
			s.create(p)

			s.refused(p, tc.reason, ContainSubstring("enforce"))
			s.Expect(s.publication().Spec.Current).To(BeNil())
			s.Expect(s.txt()).To(BeEmpty())

			s.edit(p, withMode(v1alpha1.ModeTesting))
			s.inForce(p)
			s.Eventually(s.body).Should(ContainSubstring("mode: testing"))
		})
	}
}

func TestWithPreflightAdviseAnEditIsPublishedAndTheDangerTold(t *testing.T) {
	s := tell(t)
	p, id := s.heldEdit()

	s.edit(p, func(p *v1alpha1.MTASTSPolicy) { p.Spec.Preflight = v1alpha1.PreflightAdvise })

	s.Expect(s.inForce(p) > id).To(BeTrue())
	s.Eventually(s.body).Should(ContainSubstring("mode: enforce"))
	s.Eventually(s.condition(p, v1alpha1.ConditionMXAligned)).Should(And(
		HavePrefix("False/"+v1alpha1.ReasonUncoveredMX), ContainSubstring("mx2."+s.domain)))
	s.Expect(s.condition(p, v1alpha1.ConditionReady)()).To(HavePrefix("True/"))
}

func TestMXRecordsThatCannotBeLookedUpHoldAnEditForAWhileOnly(t *testing.T) {
	s := tell(t)
	p := s.policy(withMode(v1alpha1.ModeTesting))
	s.create(p)
	id := s.inForce(p)
	s.rest()
	s.DNS.SetFault(s.domain, harness.ServFail)

	s.edit(p, withMode(v1alpha1.ModeEnforce))

	s.Eventually(s.condition(p, v1alpha1.ConditionReconciling)).WithPolling(5 * time.Millisecond).Should(HavePrefix("True/" + v1alpha1.ReasonMXLookupPending))
	s.Expect(p.Status.State).To(Equal(v1alpha1.StateHeld))
	s.Expect(s.inForce(p) > id).To(BeTrue())
	s.Eventually(s.body).Should(ContainSubstring("mode: enforce"))
	s.Eventually(func() (string, error) {
		return plane.Kubectl(s.ctx, "-n", s.namespace, "get", "events.events.k8s.io", "-o", "jsonpath={.items[*].reason}")
	}).Should(ContainSubstring(v1alpha1.ReasonLookupFailed))
}
