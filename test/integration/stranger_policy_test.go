package integration

import (
	"strings"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
)

// TestStrangerWritesAsMuchIntoAPolicyAsHeCan: what the operator copies from it is bounded by the schema, and of the rest
// of the object's metadata it holds nothing.
func TestStrangerWritesAsMuchIntoAPolicyAsHeCan(t *testing.T) {
	s := tell(t)
	victim := s.policy()
	s.create(victim)
	s.inForce(victim)
	namespace := s.newNamespace("other-")
	tenant := s.tenant(namespace)
	large := func(change func(*v1alpha1.MTASTSPolicy)) *v1alpha1.MTASTSPolicy {
		p := s.policy()
		p.Namespace, p.Spec.Domain = namespace, namespace+".example"
		p.Spec.MX = []string{"mx1." + p.Spec.Domain}
		s.DNS.SetMX(p.Spec.Domain, p.Spec.MX...)
		change(p)
		return p
	}
	annotations := map[string]string{"example.com/a": strings.Repeat("a", 600<<10)}
	for field, change := range map[string]func(*v1alpha1.MTASTSPolicy){
		"spec.exposure.ingress.annotations": func(p *v1alpha1.MTASTSPolicy) { p.Spec.Exposure.Ingress.Annotations = annotations },
		"spec.certificate.annotations":      func(p *v1alpha1.MTASTSPolicy) { p.Spec.Certificate.Annotations = annotations },
	} {
		s.Expect(tenant.Create(s.ctx, large(change))).To(MatchError(And(
			ContainSubstring(field), ContainSubstring("4096 characters"), ContainSubstring("ConfigMap"))))
	}
	his := large(func(p *v1alpha1.MTASTSPolicy) {
		p.Annotations = map[string]string{"example.com/a": strings.Repeat("a", 200<<10)}
		p.Spec.Exposure.Ingress.Annotations = map[string]string{
			"example.com/a": strings.Repeat("a", 4000), "example.com/b": strings.Repeat("b", 4000),
		}
	})
	s.Expect(tenant.Create(s.ctx, his)).To(Succeed())
	s.inForce(his)
	s.rest()
	since := s.mark()
	s.edit(victim, withMaxAge(86400))
	s.inForce(victim)
	s.rest()
	s.Expect(s.cost(since).by).NotTo(HaveKey("patch ingresses"), "annotations beyond what is cached are seen all the same")
}
