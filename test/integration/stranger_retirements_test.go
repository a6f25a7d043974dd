package integration

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
)

// fleet creates policies named p0, p1, … for subdomains of the story's, each in its own way.
func (s *story) fleet(as client.Client, namespace string, n int, edits ...func(*v1alpha1.MTASTSPolicy)) []*v1alpha1.MTASTSPolicy {
	s.t.Helper()
	var out []*v1alpha1.MTASTSPolicy
	for i := range n {
		p := s.policy(append([]func(*v1alpha1.MTASTSPolicy){inNamespace(namespace), withName(fmt.Sprintf("p%d", i))}, edits...)...)
		p.Spec.Domain = fmt.Sprintf("d%d.%s.%s", i, namespace, s.domain)
		if strings.HasSuffix(p.Spec.MX[0], "invalid") {
			p.Spec.Domain = fmt.Sprintf("d%d.%s.invalid", i, namespace)
		}
		s.Expect(as.Create(s.ctx, p)).To(Succeed())
		out = append(out, p)
	}
	return out
}

// throwaway is a policy of a domain that nobody has: it is never announced.
func throwaway(p *v1alpha1.MTASTSPolicy) {
	p.Spec.Mode, p.Spec.MX, p.Spec.TLSReporting = v1alpha1.ModeTesting, []string{"mx.invalid"}, nil
	p.Spec.DNS.Provider, p.Spec.Exposure.Type, p.Spec.Certificate.Source = v1alpha1.DNSManual, v1alpha1.ExposureNone, v1alpha1.CertificateNone
}

// publications are those of a namespace.
func (s *story) publications(namespace string) []v1alpha1.MTASTSPublication {
	var list v1alpha1.MTASTSPublicationList
	s.Expect(s.api.List(s.ctx, &list, client.InNamespace(namespace))).To(Succeed())
	return list.Items
}

// deleted deletes all policies of a namespace at once.
func (s *story) deleted(as client.Client, namespace string) {
	s.t.Helper()
	s.Expect(as.DeleteAllOf(s.ctx, &v1alpha1.MTASTSPolicy{}, client.InNamespace(namespace))).To(Succeed())
}

func beHeld() OmegaMatcher {
	return And(HaveField("Spec.Retirement", BeNil()), HaveField("Status.Conditions", ConsistOf(And(
		HaveField("Type", v1alpha1.ConditionStalled), HaveField("Reason", v1alpha1.ReasonRetirementHeld)))))
}

func TestStrangerThrowsPoliciesAwayAndHoldsNobodysRetirement(t *testing.T) {
	s := tell(t)
	p := s.policy()
	s.create(p)
	s.inForce(p)
	evil := s.newNamespace("other-")
	stranger := s.tenant(evil)
	s.fleet(stranger, evil, 12, throwaway)
	s.Eventually(func() int { return len(s.publications(evil)) }).Should(Equal(12))

	s.deleted(stranger, evil)
	s.Expect(s.tenant(s.namespace).Delete(s.ctx, p)).To(Succeed())

	s.Eventually(s.publication).Should(HaveField("Spec.Retirement", Not(BeNil())))
	s.Eventually(s.publication).Should(HaveField("Spec.Current.Mode", v1alpha1.ModeNone))
	s.Eventually(func() int { return len(s.publications(evil)) }).Should(BeZero(), "what was never announced needs no word")
}

func TestStrangerWithIdlePoliciesHidesNoAccidentOfOthers(t *testing.T) {
	s := setScene(t)
	s.timings.RetireGrace = 3 * time.Second
	s.startOperator()
	idle := s.newNamespace("other-")
	stranger := s.tenant(idle)
	s.fleet(stranger, idle, 50, throwaway)
	owner := s.tenant(s.namespace)
	policies := s.fleet(owner, s.namespace, 12, withMode(v1alpha1.ModeTesting))
	for _, p := range policies {
		s.inForce(p)
	}

	s.deleted(owner, s.namespace)

	s.chapter("it is taken for an accident", func() {
		s.Eventually(func() []v1alpha1.MTASTSPublication { return s.publications(s.namespace) }).Should(And(HaveLen(12), HaveEach(beHeld())))
	})
	command := regexp.MustCompile(`kubectl (-n \S+ annotate --overwrite mtastspublication --all \S+=)(\S+?)(?:\.? |$|;)`)
	message := s.publications(s.namespace)[0].Status.Conditions[0].Message
	match := command.FindStringSubmatch(message + " ")
	s.Expect(match).NotTo(BeNil(), message)
	say := func(time string) {
		out, err := plane.Kubectl(s.ctx, strings.Fields(match[1]+time)...)
		s.Expect(err).NotTo(HaveOccurred(), out)
	}
	s.chapter("a word that is about another time is taken off, and told", func() {
		say("2020-01-01T00:00:00Z")
		s.Eventually(func() []v1alpha1.MTASTSPublication { return s.publications(s.namespace) }).Should(
			HaveEach(And(beHeld(), HaveField("Annotations", Not(HaveKey(v1alpha1.ReleaseAnnotation))))))
		s.Eventually(s.told).Should(ContainElement(And(HavePrefix(corev1.EventTypeWarning+" "+v1alpha1.ReasonRetirementHeld), ContainSubstring("does not count"))))
	})
	s.chapter("a policy that comes back is followed, and the others stay held", func() {
		back := s.fleet(owner, s.namespace, 3, withMode(v1alpha1.ModeTesting))
		for _, p := range back {
			s.inForce(p)
		}
		others := func(p v1alpha1.MTASTSPublication) bool { return p.Spec.PolicyGoneAt == nil }
		s.Consistently(func() []v1alpha1.MTASTSPublication {
			return slices.DeleteFunc(s.publications(s.namespace), others)
		}).Should(And(HaveLen(9), HaveEach(beHeld())))
	})
	s.chapter("the word of the message lets all go", func() {
		say(match[2])
		s.Eventually(func() int { return len(s.publications(s.namespace)) }).Should(Equal(3))
	})
}
