package integration

import (
	"testing"

	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
	externaldnsv1alpha1 "sigs.k8s.io/external-dns/apis/v1alpha1"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
)

func TestADomainIsHandedOverToTheNamespaceThatTheAnnotationNames(t *testing.T) {
	s := tell(t)
	old := s.policy()
	s.create(old)
	first := s.inForce(old)

	heir := s.policy(inNamespace(s.newNamespace("other-")), withName("heir"))
	s.create(heir)
	s.Eventually(s.condition(heir, v1alpha1.ConditionReady)).Should(HavePrefix("False/DomainConflict"))

	s.spoil(s.publication(), func(o client.Object) {
		o.SetAnnotations(map[string]string{v1alpha1.TransferToAnnotation: heir.Namespace})
	})

	second := s.inForce(heir)
	s.Expect(second > first).To(BeTrue(), "id %s follows %s", second, first)
	s.Expect(s.txt()).To(Equal(announces(second)))
	moved := s.publication()
	s.Expect(moved.Namespace).To(Equal(heir.Namespace))
	s.Expect(s.eventReasonsIn(heir.Namespace)).NotTo(ContainElement(v1alpha1.ReasonRestored))
	s.Expect(s.notesIn(heir.Namespace)).To(ContainElement(ContainSubstring("handed over from namespace " + s.namespace)))
	s.Expect(moved.Spec.TransferredFrom).To(BeNil(), "it was followed")
	s.Expect(moved.Spec.Ledger).To(ConsistOf(HaveField("ID", first)), "senders may hold what was published before")
	s.Eventually(s.condition(old, v1alpha1.ConditionReady)).Should(HavePrefix("False/DomainConflict"))
	err := s.api.Get(s.ctx, client.ObjectKey{Namespace: s.namespace, Name: "mta-sts-id." + s.domain}, &externaldnsv1alpha1.DNSEndpoint{})
	s.Expect(apierrors.IsNotFound(err)).To(BeTrue(), "%v", err)
}
