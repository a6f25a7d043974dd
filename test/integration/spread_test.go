package integration

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
)

func withMX(hosts ...string) func(*v1alpha1.MTASTSPolicy) {
	return func(p *v1alpha1.MTASTSPolicy) { p.Spec.MX = hosts }
}

// readyPods waits until both server pods are ready and no other is there.
func (s *story) readyPods() []*corev1.Pod {
	s.t.Helper()
	var out []*corev1.Pod
	s.Eventually(func(g Gomega) {
		pods, err := s.Pods(s.ctx, s.namespace)
		g.Expect(err).NotTo(HaveOccurred())
		out = nil
		for i := range pods {
			g.Expect(pods[i].DeletionTimestamp).To(BeNil())
			g.Expect(isReady(&pods[i])).To(BeTrue())
			out = append(out, &pods[i])
		}
		g.Expect(out).To(HaveLen(2))
	}).Should(Succeed())
	return out
}

// serves is the id that a pod serves, or why it serves none.
func (s *story) serves(pod *corev1.Pod) func() string {
	return func() string {
		a := s.askOne(s.ctx, pod, s.domain)
		return a.id + a.fault
	}
}

// newer waits until a pod serves a greater id, and returns that.
func (s *story) newer(pod *corev1.Pod, than string) string {
	s.t.Helper()
	var id mtasts.ID
	s.Eventually(func() int {
		id = mtasts.ID(s.serves(pod)())
		return id.Compare(mtasts.ID(than))
	}).Should(Equal(1))
	return string(id)
}

// unchanged makes sure that DNS goes on to answer an id for a while.
func (s *story) unchanged(id string) {
	s.t.Helper()
	s.Consistently(s.txt, 400*time.Millisecond).Should(Equal(announces(id)))
}

func (s *story) host() string { return mtasts.PolicyHost(s.domain) }

// TestAnIDWaitsForTheLastPod lets kubelets be late, each pod in turn being the last.
func TestAnIDWaitsForTheLastPod(t *testing.T) {
	s := tell(t)
	watchOrder(s)
	p := s.policy()
	s.create(p)
	id := s.inForce(p)
	pods := s.readyPods()
	maxAge := int32(86400)

	for _, last := range pods {
		for _, pod := range pods {
			s.Expect(s.Kubelet.PauseMounts(client.ObjectKeyFromObject(pod))).To(Succeed())
		}
		maxAge++
		s.edit(p, withMaxAge(maxAge))
		s.Eventually(s.condition(p, v1alpha1.ConditionPolicyServed)).Should(HavePrefix("False/ReplicaLagging: pod " + pods[0].Name))
		s.unchanged(id)
		for _, pod := range pods {
			if pod != last {
				s.Expect(s.Kubelet.ResumeMounts(client.ObjectKeyFromObject(pod))).To(Succeed())
				s.newer(pod, id)
			}
		}
		lags := And(ContainSubstring("/ReplicaLagging: pod "+last.Name+" on node "+last.Spec.NodeName+" serves id "+id), Not(ContainSubstring("more")))
		s.Eventually(s.condition(p, v1alpha1.ConditionPolicyServed)).Should(lags)
		s.Eventually(s.condition(p, v1alpha1.ConditionReconciling)).Should(lags)
		s.unchanged(id)
		s.Expect(s.Kubelet.ResumeMounts(client.ObjectKeyFromObject(last))).To(Succeed())
		id = s.inForce(p)
		s.Expect(s.txt()).To(Equal(announces(id)))
		s.Expect(s.condition(p, v1alpha1.ConditionReconciling)()).To(Equal("absent"))
	}
}

// TestAnIDWaitsForAReadingThatIsAppliedLate is about a kubelet that has read the new shard long ago
// and has not put it in place yet.
func TestAnIDWaitsForAReadingThatIsAppliedLate(t *testing.T) {
	s := tell(t)
	watchOrder(s)
	p := s.policy()
	s.create(p)
	id := s.inForce(p)
	pods := s.readyPods()

	for i, late := range pods {
		// Held from before the edit on: the pod gets what it has, then what is new.
		release, err := s.Kubelet.HoldApply(s.ctx, client.ObjectKeyFromObject(late))
		s.Expect(err).NotTo(HaveOccurred())
		s.edit(p, withMaxAge(86400+int32(i)))
		s.newer(pods[1-i], id)
		s.Eventually(s.condition(p, v1alpha1.ConditionPolicyServed)).Should(HavePrefix("False/ReplicaLagging: pod " + late.Name + " on node " + late.Spec.NodeName))
		s.unchanged(id)
		release()
		id = s.inForce(p)
	}
}

func TestTheSamePolicyAgainGetsAnIDOfItsOwn(t *testing.T) {
	s := tell(t)
	watchOrder(s)
	p := s.policy()
	s.create(p)
	a := s.inForce(p)
	body := s.body()
	s.edit(p, withMaxAge(86400))
	b := s.inForce(p)
	s.edit(p, withMaxAge(604800))
	again := s.inForce(p)

	s.Expect(mtasts.ID(a).Compare(mtasts.ID(b))).To(Equal(-1))
	s.Expect(mtasts.ID(b).Compare(mtasts.ID(again))).To(Equal(-1))
	s.Expect(s.body()).To(Equal(body))
	s.Expect(s.txt()).To(Equal(announces(again)))
}

// TestBytesAreNoProof changes A to B and back to A while one kubelet sits on its reading of B. Its pod
// has the bytes of A throughout, under the old id, and B is still to come to it.
func TestBytesAreNoProof(t *testing.T) {
	s := tell(t)
	watchOrder(s)
	p := s.policy()
	s.create(p)
	first := s.inForce(p)
	body := s.body()
	pods := s.readyPods()
	late, other := pods[0], pods[1]
	key := client.ObjectKeyFromObject(late)

	s.Expect(s.Kubelet.PauseMounts(key)).To(Succeed())
	s.edit(p, withMaxAge(86400))
	second := s.newer(other, first)
	release, err := s.Kubelet.HoldApply(s.ctx, key)
	s.Expect(err).NotTo(HaveOccurred())
	s.Expect(s.Kubelet.ResumeMounts(key)).To(Succeed())
	s.edit(p, withMaxAge(604800))
	third := s.newer(other, second)

	s.Expect(s.askOne(s.ctx, late, s.domain)).To(Equal(answer{pod: late.Name, id: first, body: body}))
	s.Expect(s.askOne(s.ctx, other, s.domain)).To(Equal(answer{pod: other.Name, id: third, body: body}))
	s.unchanged(first)
	s.Expect(s.Kubelet.ApplyHeld(key)).To(Succeed())
	s.Eventually(s.serves(late)).Should(Equal(second))
	s.unchanged(first)
	release()
	s.Expect(s.inForce(p)).To(Equal(third))
}

// entry is what a ledger entry says, but for the date.
type entry struct {
	ID   string
	MX   string
	Open bool
}

func (s *story) ledger() []entry {
	out := []entry{}
	for _, e := range s.publication().Spec.Ledger {
		out = append(out, entry{e.ID, strings.Join(e.MX, " "), e.CachedUntil == nil})
	}
	return out
}

// TestAPolicyThatWasServedButNeverAnnouncedIsInTheLedger: senders that asked the one quick pod hold it
// under the old id.
func TestAPolicyThatWasServedButNeverAnnouncedIsInTheLedger(t *testing.T) {
	s := tell(t)
	watchOrder(s)
	mx1, mx2, mx3 := "mx1."+s.domain, "mx2."+s.domain, "mx3."+s.domain
	p := s.policy()
	s.create(p)
	first := s.inForce(p)
	s.Expect(s.ledger()).To(BeEmpty())
	pods := s.readyPods()
	key := client.ObjectKeyFromObject(pods[0])
	s.Expect(s.Kubelet.PauseMounts(key)).To(Succeed())

	s.edit(p, withMX(mx1, mx2))
	second := s.newer(pods[1], first)
	s.edit(p, withMX(mx1, mx3))
	third := s.newer(pods[1], second)
	s.unchanged(first)
	if diff := cmp.Diff([]entry{{first, mx1, true}, {second, mx1 + " " + mx2, true}}, s.ledger()); diff != "" {
		t.Errorf("ledger while the change is on its way (-want +got):\n%s", diff)
	}

	s.Expect(s.Kubelet.ResumeMounts(key)).To(Succeed())
	s.Expect(s.inForce(p)).To(Equal(third))
	s.Eventually(s.ledger).Should(Equal([]entry{{first, mx1, false}, {second, mx1 + " " + mx2, false}}))
	for _, e := range s.publication().Spec.Ledger {
		s.Expect(e.CachedUntil.Time).To(BeTemporally(">", time.Now().Add(604800*time.Second)))
	}
}

// TestWhatNobodyCouldFetchIsNotInTheLedger: before the first TXT there is no sender.
func TestWhatNobodyCouldFetchIsNotInTheLedger(t *testing.T) {
	s := tell(t)
	watchOrder(s)
	s.Ingress.Down(true)
	p := s.policy()
	s.create(p)
	s.Eventually(s.condition(p, v1alpha1.ConditionPolicyServed)).Should(HavePrefix("True/"))
	s.edit(p, withMX("mx1."+s.domain, "mx2."+s.domain))
	s.Eventually(func() []string { return s.publication().Spec.Current.MX }).Should(HaveLen(2))
	s.Ingress.Down(false)
	s.inForce(p)
	s.Expect(s.ledger()).To(BeEmpty())
}

func TestAPodOnALostNodeHoldsAnIDUntilItReturns(t *testing.T) {
	s := tell(t)
	watchOrder(s)
	p := s.policy()
	s.create(p)
	id := s.inForce(p)
	pods := s.readyPods()
	s.loseAndEdit(p, pods[1], id)

	s.Expect(s.Kubelet.ReturnNode(s.ctx, pods[1].Spec.NodeName)).To(Succeed())
	s.Expect(s.inForce(p)).NotTo(Equal(id))
}

func TestAPodOnALostNodeHoldsAnIDUntilItIsEvicted(t *testing.T) {
	s := tell(t)
	watchOrder(s)
	p := s.policy()
	s.create(p)
	id := s.inForce(p)
	pods := s.readyPods()
	s.loseAndEdit(p, pods[1], id)

	s.Expect(s.Kubelet.EvictPods(s.ctx, pods[1].Spec.NodeName)).To(Succeed())
	second := s.inForce(p)
	s.Expect(second).NotTo(Equal(id))
	s.Expect(s.Kubelet.ReturnNode(s.ctx, pods[1].Spec.NodeName)).To(Succeed())
	s.readyPods()
	s.unchanged(second)
}

// loseAndEdit loses a pod's node, edits the policy, and waits until that is said to be held by the pod.
func (s *story) loseAndEdit(p *v1alpha1.MTASTSPolicy, pod *corev1.Pod, id string) {
	s.t.Helper()
	s.Expect(s.Kubelet.LoseNode(s.ctx, pod.Spec.NodeName)).To(Succeed())
	s.edit(p, withMaxAge(86400))
	held := HavePrefix("False/ReplicaUnreachable: pod " + pod.Name + " on node " + pod.Spec.NodeName + " does not answer")
	s.Eventually(s.condition(p, v1alpha1.ConditionPolicyServed)).Should(held)
	s.Eventually(func() string { // Stalled once it has lasted
		return s.condition(p, v1alpha1.ConditionReconciling)() + s.condition(p, v1alpha1.ConditionStalled)()
	}).Should(ContainSubstring(pod.Spec.NodeName))
	s.unchanged(id)
}

func TestWithoutAReadyPodNothingIsAnnounced(t *testing.T) {
	s := setScene(t)
	watchOrder(s)
	nodes := []string{"node-a", "node-b", "node-c"}
	each := func(do func(context.Context, string) error) {
		t.Helper()
		for _, node := range nodes {
			s.Expect(do(s.ctx, node)).To(Succeed())
		}
	}
	each(s.Kubelet.LoseNode)
	s.startOperator()
	p := s.policy()
	s.create(p)
	s.Eventually(s.condition(p, v1alpha1.ConditionPolicyServed)).Should(HavePrefix("False/NoReadyReplica"))
	s.Consistently(s.txt, 400*time.Millisecond).Should(BeEmpty())
	each(s.Kubelet.ReturnNode)
	id := s.inForce(p)

	each(s.Kubelet.LoseNode)
	each(s.Kubelet.EvictPods)
	s.edit(p, withMaxAge(86400))
	s.Eventually(s.condition(p, v1alpha1.ConditionPolicyServed)).Should(HavePrefix("False/NoReadyReplica"))
	s.unchanged(id)
	each(s.Kubelet.ReturnNode)
	s.Expect(s.inForce(p)).NotTo(Equal(id))
}
