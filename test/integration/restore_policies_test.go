package integration

import (
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
)

func TestRestoreOfPublicationsLongBeforeTheirPoliciesRetiresNothing(t *testing.T) {
	s := tell(t)
	p := s.policy()
	s.create(p)
	first := s.inForce(p)
	s.stopOperator()
	backup := s.publication()
	// The backup holds a word about an accident of long ago.
	word := time.Now().UTC().Add(-time.Minute).Format(time.RFC3339)
	s.Expect(s.api.Delete(s.ctx, p)).To(Succeed())
	s.Expect(s.api.Delete(s.ctx, s.publication(), client.PropagationPolicy(metav1.DeletePropagationOrphan))).To(Succeed())
	s.gone(backup.DeepCopy())
	s.create(&v1alpha1.MTASTSPublication{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: backup.Namespace, Name: backup.Name, Labels: backup.Labels,
			Annotations: map[string]string{v1alpha1.ReleaseAnnotation: word},
		},
		Spec: backup.Spec,
	})
	s.startOperator()

	s.chapter("it stays in force, however late the policies come", func() {
		s.Eventually(s.why).Should(And(HavePrefix("Stalled/"+v1alpha1.ReasonRetirementHeld), ContainSubstring("no policy for its domain was seen here"),
			ContainSubstring("kubectl -n "+s.namespace+" annotate --overwrite mtastspublication "+s.domain+" "+v1alpha1.ReleaseAnnotation+"=")))
		s.Expect(s.publication().Annotations).NotTo(HaveKey(v1alpha1.ReleaseAnnotation), "it is about another disappearance")
		s.clock.Step(2 * time.Hour)
		s.Eventually(func() string { return strings.Join(s.txt(), "") }).Should(ContainSubstring(s.publication().Spec.Current.ID))
		s.rest()
		pub := s.publication()
		s.Expect(pub.Spec.Retirement).To(BeNil())
		s.Expect(pub.Spec.Current).To(And(HaveField("Mode", v1alpha1.ModeEnforce), HaveField("ID", laterThan(first))))
		s.Expect(s.body()).To(ContainSubstring("mode: enforce"))
		s.stays()
	})
	s.chapter("a policy that comes is followed", func() {
		id := s.publication().Spec.Current.ID
		late := s.policy()
		s.create(late)
		s.Expect(s.inForce(late)).To(Equal(id))
		s.Eventually(s.why).Should(BeEmpty())
		s.pruned(late)
		s.Eventually(s.publication).Should(HaveField("Spec.Retirement", Not(BeNil())), "now it is known to have been deleted")
	})
}

func TestRestoreOfAPublicationThatIsToGoTakesOneWord(t *testing.T) {
	s := tell(t)
	p := s.policy()
	s.create(p)
	s.inForce(p)
	s.stopOperator()
	backup := s.publication()
	s.Expect(s.api.Delete(s.ctx, p)).To(Succeed())
	s.Expect(s.api.Delete(s.ctx, s.publication(), client.PropagationPolicy(metav1.DeletePropagationOrphan))).To(Succeed())
	s.gone(backup.DeepCopy())
	s.create(&v1alpha1.MTASTSPublication{
		ObjectMeta: metav1.ObjectMeta{Namespace: backup.Namespace, Name: backup.Name, Labels: backup.Labels}, Spec: backup.Spec,
	})
	s.startOperator()
	s.Eventually(s.why).Should(HavePrefix("Stalled/" + v1alpha1.ReasonRetirementHeld))

	_, command, _ := strings.Cut(s.why(), "kubectl ")
	command, _, _ = strings.Cut(command, "Z")
	out, err := plane.Kubectl(s.ctx, strings.Fields(command+"Z")...)
	s.Expect(err).NotTo(HaveOccurred(), out)

	s.Eventually(s.publication).Should(HaveField("Spec.Retirement", Not(BeNil())))
	s.Eventually(s.publication).Should(HaveField("Annotations", Not(HaveKey(v1alpha1.ReleaseAnnotation))))
	s.Eventually(s.publication).Should(HaveField("Spec.Current.Mode", v1alpha1.ModeNone))
}
