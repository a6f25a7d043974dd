package integration

import (
	"testing"

	. "github.com/onsi/gomega"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/internal/config"
	"github.com/mta-sts-operator/mta-sts-operator/test/operator"
)

// behindNAT points the policy host at an address that does not answer from here, as a public address
// behind hairpin NAT does not; the Ingress' own address does.
func behindNAT(p *v1alpha1.MTASTSPolicy) { p.Spec.DNS.Targets = []string{"127.0.0.9"} }

func TestAHostThatOnlyItsIngressAddressReachesIsDiagnosed(t *testing.T) {
	s := tell(t)
	p := s.policy(behindNAT)
	s.create(p)

	s.Eventually(s.condition(p, v1alpha1.ConditionStalled)).Should(And(
		HavePrefix("True/"+v1alpha1.ReasonNotReachableFromCluster),
		ContainSubstring("127.0.0.9"), ContainSubstring("Ingress address 127.0.0.1"), ContainSubstring("looks.reachability: Cluster")))
	s.Expect(s.txt()).To(BeEmpty(), "nothing is announced that nobody was seen to reach")
	s.Expect(s.condition(p, v1alpha1.ConditionPolicyReachable)()).To(HavePrefix("False/" + v1alpha1.ReasonNotReachableFromCluster))
}

func TestWithReachabilityClusterTheIngressAddressIsAsked(t *testing.T) {
	s := setScene(t)
	s.settings = new(operator.Settings())
	s.settings.Looks.Reachability = config.ReachabilityCluster
	s.startOperator()
	p := s.policy(behindNAT)
	s.create(p)

	id := s.inForce(p)
	s.Expect(s.txt()).To(Equal(announces(id)))
	s.Expect(s.DNS.Records("mta-sts."+s.domain, "A")).To(Equal([]string{"127.0.0.9"}))
}
