package integration

import (
	"net/http"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
	"github.com/mta-sts-operator/mta-sts-operator/internal/policyserver"
)

// endOfTime is the last second that an id can tell: nothing can be minted above it.
var endOfTime = time.Date(2999, time.December, 31, 23, 59, 59, 0, time.UTC)

// planted is the shard value of an enforce policy of a stranger's under an id from then.
func (s *story) planted(then time.Time) (id, value string) {
	body := mtasts.Policy{Mode: mtasts.ModeEnforce, MX: []string{"mx." + s.domain}, MaxAgeSeconds: 31557600}.String()
	minted := mint(then, body)
	return string(minted), policyserver.EncodeEntry(minted, body)
}

// plant writes a value into the story's shard as a tenant.
func (s *story) plant(tenant client.Client, value string) {
	s.t.Helper()
	s.Eventually(func() error {
		var shard corev1.ConfigMap
		if err := tenant.Get(s.ctx, client.ObjectKey{Namespace: s.namespace, Name: "mta-sts-policies"}, &shard); err != nil {
			return err
		}
		shard.Data[s.host()] = value
		return tenant.Update(s.ctx, &shard)
	}).Should(Succeed())
}

// mounts waits until a pod has a value in its volume.
func (s *story) mounts(pod *corev1.Pod, value string) {
	s.t.Helper()
	s.Eventually(func() (string, error) {
		files, err := s.Kubelet.Mounted(client.ObjectKeyFromObject(pod))
		return files[s.host()], err
	}).Should(Equal(value))
}

// plausible is an id that a clock of ours can have told.
func plausible() func(string) bool {
	return func(id string) bool { return mtasts.ID(id).Plausible(time.Now()) }
}

// TestStrangerPlantsIDsOfTheEndOfTime: nothing can be minted above them, and yet the owner goes on. A pod that
// somebody keeps on such an id proves nothing of ours: it is named, and everything goes on once it is deleted.
func TestStrangerPlantsIDsOfTheEndOfTime(t *testing.T) {
	s := tell(t)
	tenant := s.tenant(s.namespace)
	p := s.policy()
	s.create(p)
	id := s.inForce(p)
	pods := s.readyPods()
	forged, value := s.planted(endOfTime)

	held, release := s.link.Hold(is(http.MethodPut, "/configmaps/"))
	s.plant(tenant, value)
	for _, pod := range pods {
		s.Expect(s.Kubelet.ResumeMounts(client.ObjectKeyFromObject(pod))).To(Succeed()) // reads it now
		s.mounts(pod, value)
		s.Expect(s.serves(pod)()).To(Equal(id), "what was planted is ignored where something else is known")
	}
	s.Eventually(held).Should(BeClosed())
	s.Expect(s.ledgerIDs()).To(ContainElement(forged), "it is on record before it is replaced")
	liar := pods[0]
	s.Expect(s.Kubelet.PauseMounts(client.ObjectKeyFromObject(liar))).To(Succeed())
	s.Expect(s.Kubelet.CrashServer(client.ObjectKeyFromObject(liar))).To(Succeed())
	s.Eventually(s.serves(liar)).Should(Equal(forged), "a new process knows nothing else")
	release()
	s.editTXT(announces(forged)...)

	s.Eventually(s.value).ShouldNot(Equal(value))
	s.Eventually(s.eventReasons).Should(ContainElement(v1alpha1.ReasonRecordCorrected))
	s.edit(p, withMode(v1alpha1.ModeTesting))
	s.Eventually(s.condition(p, v1alpha1.ConditionStalled)).Should(And(
		HavePrefix("True/WrongBytes: pod "+liar.Name), ContainSubstring(forged)))
	s.Eventually(s.condition(p, v1alpha1.ConditionPolicyServed)).Should(HavePrefix("False/WrongBytes: pod " + liar.Name))
	s.Expect(s.publication().Spec.Current.Mode).To(Equal(v1alpha1.ModeTesting))
	s.Expect(tenant.Delete(s.ctx, liar.DeepCopy())).To(Succeed())

	s.isInForce(p, plausible())
	s.Expect(p.Status.Policy.Mode).To(Equal(v1alpha1.ModeTesting))
	s.Expect(plausible()(s.publication().Spec.LastID)).To(BeTrue(), s.publication().Spec.LastID)
}

// TestStrangerPlantsAnIDAndWhatWasPlantedDoesNotComeBack: not from a server's memory, nor from a shard.
func TestStrangerPlantsAnIDAndWhatWasPlantedDoesNotComeBack(t *testing.T) {
	s := tell(t)
	tenant := s.tenant(s.namespace)
	p := s.policy()
	s.create(p)
	s.inForce(p)
	for _, ahead := range []time.Duration{48 * time.Hour, 300 * 24 * time.Hour, 100 * 366 * 24 * time.Hour} {
		_, value := s.planted(time.Now().Add(ahead))
		held, release := s.link.Hold(is(http.MethodPut, "/configmaps/"))
		s.plant(tenant, value)
		for _, pod := range s.readyPods() {
			s.Expect(s.Kubelet.ResumeMounts(client.ObjectKeyFromObject(pod))).To(Succeed())
			s.mounts(pod, value)
			s.Expect(s.Kubelet.CrashServer(client.ObjectKeyFromObject(pod))).To(Succeed())
		}
		s.Eventually(held).Should(BeClosed())
		s.Expect(s.api.Delete(s.ctx, s.publication())).To(Succeed())
		release()

		id := s.isInForce(p, plausible())
		s.edit(p, withMaxAge(86400+int32(ahead.Hours())))
		s.isInForce(p, func(next string) bool { return plausible()(next) && above(id)(next) })
	}
}

// TestStrangerHandsOverAPoisonedPublication: the heir gets ids of today, dates that come true, and edits in force.
func TestStrangerHandsOverAPoisonedPublication(t *testing.T) {
	s := tell(t)
	tenant := s.tenant(s.namespace)
	old := s.policy()
	s.create(old)
	s.inForce(old)
	heir := s.policy(inNamespace(s.newNamespace("other-")), withName("heir"))
	s.create(heir)
	s.Eventually(s.condition(heir, v1alpha1.ConditionReady)).Should(HavePrefix("False/DomainConflict"))

	poison := func(o client.Object) {
		spec := &o.(*v1alpha1.MTASTSPublication).Spec
		spec.LastID = string(mint(endOfTime, "whatever"))
		spec.Current.ID = string(mint(endOfTime.Add(-time.Second), spec.Current.Body))
		spec.Ledger = append(spec.Ledger, v1alpha1.LedgerEntry{
			ID: "20260101000000deadbeef", MX: []string{"mx9." + s.domain}, MaxAgeSeconds: 604800, Origin: v1alpha1.OriginSeen,
			CachedUntil: new(metav1.NewTime(time.Date(2163, time.January, 1, 0, 0, 0, 0, time.UTC))),
		})
		o.SetAnnotations(map[string]string{v1alpha1.TransferToAnnotation: heir.Namespace})
	}
	pub := s.publication()
	poison(pub)
	s.Expect(apierrors.IsForbidden(tenant.Update(s.ctx, pub.DeepCopy()))).To(BeTrue(), "who may edit may not touch publications")
	tooLong := s.publication()
	tooLong.Spec.TTLMaxSeconds = 2147483647
	s.Expect(apierrors.IsInvalid(s.api.Update(s.ctx, tooLong))).To(BeTrue())
	s.spoil(s.publication(), poison)

	first := s.isInheritedBy(heir)
	s.edit(heir, withMaxAge(86400))
	s.Eventually(func() string { return s.inForce(heir) }).ShouldNot(Equal(first))
	s.Expect(plausible()(heir.Status.Policy.ID)).To(BeTrue(), heir.Status.Policy.ID)
	s.edit(heir, withMode(v1alpha1.ModeTesting))
	s.inForce(heir)
	s.Expect(heir.Status.Policy.Mode).To(Equal(v1alpha1.ModeTesting))
	year := time.Now().AddDate(1, 1, 0)
	for _, e := range s.publication().Spec.Ledger {
		s.Expect(e.CachedUntil.IsZero() || e.CachedUntil.Time.Before(year)).To(BeTrue(), "%+v", e)
	}
	s.Expect(s.ledgerMX()).To(ContainElement("mx9."+s.domain), "what senders may hold stays")
}

// isInheritedBy waits until the heir publishes the domain under an id of today.
func (s *story) isInheritedBy(heir *v1alpha1.MTASTSPolicy) string {
	s.t.Helper()
	id := s.inForce(heir)
	s.Expect(plausible()(id)).To(BeTrue(), id)
	moved := s.publication()
	s.Expect(moved.Namespace).To(Equal(heir.Namespace))
	s.Expect(moved.Spec.LastID).To(Equal(id))
	s.Expect(s.txt()).To(Equal(announces(id)))
	return id
}

// TestStrangerToolsAtWarOverAPolicy: two GitOps tools turn a policy over and over. It goes on to reach DNS, the
// policy that stays is the last one, and leaving enforce does not wait.
func TestStrangerToolsAtWarOverAPolicy(t *testing.T) {
	s := setScene(t)
	s.timings.MintInterval = 3 * time.Second
	s.startOperator()
	p := s.policy()
	s.create(p)
	s.inForce(p)
	began := time.Now()
	seen := map[string]bool{}
	for i := 0; time.Since(began) < 5*time.Second; i++ {
		s.edit(p, withMaxAge(86400+int32(i%2)))
		seen[s.publication().Spec.LastID] = true
	}
	s.Expect(len(seen)).To(BeNumerically("<=", 1+s.timings.MintBurst+2), "ids: %v", seen)
	s.edit(p, withMaxAge(90000))
	s.Eventually(s.condition(p, v1alpha1.ConditionReconciling)).Should(HavePrefix("True/ChangesTooFrequent: "))
	s.edit(p, withMode(v1alpha1.ModeTesting))
	asked := time.Now()
	s.Eventually(func() v1alpha1.Mode { return s.publication().Spec.Current.Mode }).Should(Equal(v1alpha1.ModeTesting))
	s.Expect(time.Since(asked)).To(BeNumerically("<", s.timings.MintInterval), "leaving enforce waits for its turn")
	s.edit(p, withMode(v1alpha1.ModeEnforce), withMaxAge(90001))

	id := s.isInForce(p, plausible())
	s.Expect(p.Status.Policy.MaxAgeSeconds).To(Equal(int32(90001)))
	s.Expect(mtasts.ID(id).Time()).To(BeTemporally("<=", time.Now()), "ids run ahead of the clock")
	s.Expect(s.condition(p, v1alpha1.ConditionReconciling)()).To(Equal("absent"))
}

// TestStrangerOperatorPublishesTheSameDomain: whatever the operator puts into the record, somebody puts a greater
// id there. It gives way to being told, not to minting for ever, and takes the record back when the other is gone.
func TestStrangerOperatorPublishesTheSameDomain(t *testing.T) {
	s := setScene(t)
	s.timings.OvertakeInterval = 6 * time.Second
	s.startOperator()
	p := s.policy()
	s.create(p)
	first := s.inForce(p)
	ids := map[string]bool{first: true}
	greater := ""
	s.Eventually(func(g Gomega) {
		spec := s.publication().Spec
		ids[spec.Current.ID] = true
		if spec.Current.ID != "" && spec.Current.ID > greater {
			greater = string(mint(mtasts.ID(spec.Current.ID).Time().Add(time.Second), "another's"))
			s.editTXT(announces(greater)...)
		}
		g.Expect(s.condition(p, v1alpha1.ConditionStalled)()).To(And(
			HavePrefix("True/ForeignPublisher: another operator publishes this domain"), ContainSubstring(greater)))
	}).Should(Succeed())
	s.Expect(len(ids)).To(BeNumerically("<=", 4), "%v", ids)
	s.isInForce(p, above(greater))
}
