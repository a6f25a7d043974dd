package integration

import (
	"fmt"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
)

// childOf is an Ingress with our label that names a domain, as anybody may write one.
func childOf(namespace, name, domain string) *networkingv1.Ingress {
	return &networkingv1.Ingress{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, Name: name,
			Labels:      map[string]string{v1alpha1.ManagedByLabel: v1alpha1.ManagedBy},
			Annotations: map[string]string{v1alpha1.DomainAnnotation: domain},
		},
		Spec: networkingv1.IngressSpec{DefaultBackend: &networkingv1.IngressBackend{
			Service: &networkingv1.IngressServiceBackend{Name: "x", Port: networkingv1.ServiceBackendPort{Number: 80}},
		}},
	}
}

// TestStrangerNamesDomainsInAnnotations: whatever an annotation says, nobody is woken by it, and so nothing remembered.
func TestStrangerNamesDomainsInAnnotations(t *testing.T) {
	s := tell(t)
	victim := s.policy()
	s.create(victim)
	s.inForce(victim)
	namespace := s.newNamespace("other-")
	tenant := s.tenant(namespace)
	long := childOf(namespace, "long", "")
	s.Expect(tenant.Create(s.ctx, long)).To(Succeed())
	s.rest()
	before := s.passes("domain")

	for k := range 20 {
		unknown := fmt.Sprintf("d%d.%s", k, s.domain)
		s.Expect(tenant.Create(s.ctx, childOf(namespace, "mta-sts."+unknown, unknown))).To(Succeed())
		changed := long.DeepCopy()
		changed.Annotations[v1alpha1.DomainAnnotation] = fmt.Sprintf("%d.%s", k, strings.Repeat("d", 200<<10))
		s.Expect(tenant.Patch(s.ctx, changed, client.MergeFrom(long))).To(Succeed())
		long = changed
	}
	theirs := childOf(namespace, "mta-sts."+s.domain, s.domain) // the victim's, from where it is not published
	s.Expect(tenant.Create(s.ctx, theirs)).To(Succeed())
	s.rest()
	s.Expect(s.passes("domain")-before).To(BeNumerically("<", 10), "of 41 changes")

	s.edit(victim, withMaxAge(86400))
	s.inForce(victim)
}

// TestStrangerFillsAChildWithAnnotations: the operator goes on seeing what it has set, and at rest writes nothing.
func TestStrangerFillsAChildWithAnnotations(t *testing.T) {
	s := tell(t)
	p := s.policy()
	p.Spec.Exposure.Ingress.Annotations = map[string]string{"example.com/timeout": "30s"}
	s.create(p)
	s.inForce(p)
	tenant := s.tenant(s.namespace)
	change := func(key, value string) {
		t.Helper()
		ingress := s.ingress()
		s.Expect(tenant.Get(s.ctx, client.ObjectKeyFromObject(ingress), ingress)).To(Succeed())
		changed := ingress.DeepCopy()
		changed.Annotations[key] = value
		s.Expect(tenant.Patch(s.ctx, changed, client.MergeFrom(ingress))).To(Succeed())
	}
	change("example.com/other", strings.Repeat("o", 200<<10))
	s.rest()
	since := s.mark()
	change("example.com/other", strings.Repeat("p", 200<<10))
	s.rest()
	s.Expect(s.cost(since).writes).To(BeZero(), s.cost(since).String())

	change("example.com/timeout", "31s")
	s.Eventually(func(g Gomega) {
		ingress := s.ingress()
		g.Expect(s.api.Get(s.ctx, client.ObjectKeyFromObject(ingress), ingress)).To(Succeed())
		g.Expect(ingress.Annotations).To(HaveKeyWithValue("example.com/timeout", "30s"))
		g.Expect(ingress.Annotations["example.com/other"]).To(HaveLen(200 << 10))
	}).Should(Succeed())
}
