package integration

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/test/harness"
)

func withDeletion(d v1alpha1.DeletionPolicy) func(*v1alpha1.MTASTSPolicy) {
	return func(p *v1alpha1.MTASTSPolicy) { p.Spec.DeletionPolicy = d }
}

// chapter is a part of a story with a name of its own. After one that failed the story ends.
func (s *story) chapter(name string, tell func()) {
	s.t.Helper()
	outer, t := s.WithT, s.t
	ok := t.Run(name, func(t *testing.T) {
		s.t, s.WithT = t, impatient(t)
		tell()
	})
	s.t, s.WithT = t, outer
	if !ok {
		t.FailNow()
	}
}

// pruned deletes a policy as Argo CD does, and returns once it is gone.
func (s *story) pruned(p *v1alpha1.MTASTSPolicy) {
	s.t.Helper()
	s.Expect(s.api.Delete(s.ctx, p, client.PropagationPolicy(metav1.DeletePropagationForeground))).To(Succeed())
	s.gone(p)
}

// gone waits until objects are gone.
func (s *story) gone(objects ...client.Object) {
	s.t.Helper()
	for _, o := range objects {
		s.Eventually(func() bool {
			return apierrors.IsNotFound(s.api.Get(s.ctx, client.ObjectKeyFromObject(o), o))
		}).Should(BeTrue(), "%T %s is still there", o, o.GetName())
	}
}

// uids are the domain's children, as "kind: uid".
func (s *story) uids() map[string]types.UID {
	s.t.Helper()
	out := map[string]types.UID{}
	for _, c := range s.domainChildren() {
		s.Expect(s.api.Get(s.ctx, client.ObjectKeyFromObject(c.object), c.object)).To(Succeed(), c.kind)
		out[c.kind] = c.object.GetUID()
	}
	return out
}

// state waits until the publication shows a state.
func (s *story) state(want v1alpha1.State) *v1alpha1.MTASTSPublication {
	s.t.Helper()
	var pub *v1alpha1.MTASTSPublication
	s.Eventually(func() v1alpha1.State {
		if pub = s.publication(); pub == nil {
			return "no publication"
		}
		return pub.Status.State
	}).Should(Equal(want))
	return pub
}

// hosts are the policy hosts in the namespace's first shard; nil if there is none.
func (s *story) hosts() []string {
	var shard corev1.ConfigMap
	err := s.api.Get(s.ctx, client.ObjectKey{Namespace: s.namespace, Name: "mta-sts-policies"}, &shard)
	if apierrors.IsNotFound(err) {
		return nil
	}
	s.Expect(err).NotTo(HaveOccurred())
	return slices.DeleteFunc(slices.Sorted(maps.Keys(shard.Data)), func(k string) bool { return strings.HasPrefix(k, "_") })
}

// served is the entry of the story's domain in the shard: id, newline, body.
func (s *story) served() string {
	var shard corev1.ConfigMap
	s.Expect(s.api.Get(s.ctx, client.ObjectKey{Namespace: s.namespace, Name: "mta-sts-policies"}, &shard)).To(Succeed())
	return shard.Data["mta-sts."+s.domain]
}

// everythingGone waits until nothing of the domain and of the server is left.
func (s *story) everythingGone() {
	s.t.Helper()
	s.Eventually(s.publication).Should(BeNil())
	for _, c := range append(s.domainChildren(), s.serverChildren()...) {
		s.gone(c.object)
	}
	s.Eventually(s.txt).Should(BeEmpty())
	s.Eventually(func() []string { return s.DNS.Records("mta-sts."+s.domain, "A") }).Should(BeEmpty())
	s.Eventually(func() []corev1.Pod {
		pods, err := s.Pods(s.ctx, s.namespace)
		s.Expect(err).NotTo(HaveOccurred())
		return pods
	}).Should(BeEmpty())
}

func TestAnEnforcedPolicyThatWasDeletedRetires(t *testing.T) {
	s := setScene(t)
	s.timings.RemovePatience = time.Second
	s.startOperator()
	p := s.policy()
	s.create(p)
	first := s.inForce(p)
	children := s.uids()

	s.pruned(p)

	s.chapter("nothing happens within the grace", func() {
		pub := s.publication()
		s.Eventually(func() *metav1.Time { pub = s.publication(); return pub.Spec.PolicyGoneAt }).ShouldNot(BeNil())
		s.Expect(pub.Spec.Current.ID).To(Equal(first))
		s.Expect(pub.Spec.Retirement).To(BeNil())
	})
	s.chapter("then it announces mode none", func() {
		s.Eventually(s.body).Should(Equal("version: STSv1\nmode: none\nmx: mx1." + s.domain + "\nmax_age: 86400\n"))
		s.Eventually(func() string { return s.publication().Spec.InForceID }).Should(laterThan(first))
		s.Expect(s.txt()).To(Equal(announces(s.publication().Spec.InForceID)))
	})
	s.chapter("the children survive, and everybody is told until when", func() {
		var pub *v1alpha1.MTASTSPublication
		s.Eventually(func() *metav1.Time { pub = s.state(v1alpha1.StateRetiring); return pub.Status.Until }).ShouldNot(BeNil())
		s.Expect(s.uids()).To(Equal(children))
		s.Expect(pub.Spec.Ledger).To(HaveLen(1))
		s.Expect(pub.Spec.Ledger[0].ID).To(Equal(first))
		lifetime := 7*24*time.Hour + 300*time.Second + s.timings.LedgerSlack
		s.Expect(pub.Status.Until.Time).To(BeTemporally("~", time.Now().Add(lifetime), time.Minute))
		s.Expect(pub.Status.Conditions).To(ConsistOf(And(
			HaveField("Type", v1alpha1.ConditionReconciling), HaveField("Reason", v1alpha1.ReasonRetiring),
			HaveField("Message", ContainSubstring("until "+pub.Status.Until.UTC().Format(time.RFC3339))))))
	})
	s.chapter("and when no sender can hold it any more, everything goes, the id first", func() {
		s.rest()
		s.spoil(s.publication(), func(o client.Object) {
			o.(*v1alpha1.MTASTSPublication).Spec.Ledger[0].CachedUntil = new(metav1.NewTime(time.Now().Add(-time.Minute)))
		})
		s.everythingGone()
		s.Expect(s.removedAt("_mta-sts."+s.domain, "TXT")).To(BeTemporally("<", s.removedAt("mta-sts."+s.domain, "A")))
	})
}

// removedAt is when a record set went away.
func (s *story) removedAt(name, rtype string) time.Time {
	s.t.Helper()
	for _, c := range slices.Backward(s.DNS.History(name)) {
		if c.Type == rtype && len(c.After) == 0 {
			return c.Time
		}
	}
	s.t.Fatalf("%s %s was never removed", name, rtype)
	return time.Time{}
}

func TestATestingPolicyThatWasDeletedLeavesNothingBehind(t *testing.T) {
	s := setScene(t)
	s.timings.RemovePatience = time.Second
	s.startOperator()
	other := s.policy(withName("other"), withMode(v1alpha1.ModeTesting))
	other.Spec.Domain = "other." + s.domain
	p := s.policy(withMode(v1alpha1.ModeTesting))
	s.create(p, other)
	s.inForce(p)
	s.inForce(other)
	s.Expect(s.hosts()).To(HaveLen(2))

	s.pruned(p)

	s.Eventually(s.publication).Should(BeNil())
	s.Eventually(s.hosts).Should(Equal([]string{"mta-sts." + other.Spec.Domain}))
	s.Eventually(func() []string { return s.DNS.Records("mta-sts."+s.domain, "A") }).Should(BeEmpty())
	s.Expect(s.removedAt("_mta-sts."+s.domain, "TXT")).To(BeTemporally("<", s.removedAt("mta-sts."+s.domain, "A")))
	for _, c := range s.DNS.History("_mta-sts." + s.domain) {
		s.Expect(len(c.After)).To(BeNumerically("<=", 1))
	}
	for _, c := range s.domainChildren() {
		s.gone(c.object)
	}
	s.inForce(other)

	// With the last publication the server goes too.
	s.domain = other.Spec.Domain
	s.pruned(other)
	s.everythingGone()
}

func TestWithDeletionPolicyImmediateNothingIsWaitedFor(t *testing.T) {
	s := tell(t)
	p := s.policy(withDeletion(v1alpha1.DeletionImmediate))
	s.create(p)
	id := s.inForce(p)

	s.pruned(p)

	s.everythingGone()
	var announced []string
	for _, c := range s.DNS.History("_mta-sts." + s.domain) {
		announced = append(announced, c.After...)
	}
	s.Expect(announced).To(Equal(announces(id)), "mode none was announced")
}

func TestWithDeletionPolicyOrphanEverythingStays(t *testing.T) {
	s := tell(t)
	p := s.policy(withDeletion(v1alpha1.DeletionOrphan))
	s.create(p)
	id := s.inForce(p)
	children := s.uids()

	s.pruned(p)

	s.state(v1alpha1.StateOrphaned)
	s.Expect(s.why()).To(And(HavePrefix("Ready/"+v1alpha1.ReasonOrphaned),
		ContainSubstring("everything stays"), ContainSubstring("kubectl -n "+s.namespace+" delete mtastspublication "+s.domain)))
	s.rest()
	s.stays()
	s.Consistently(func(g Gomega) {
		g.Expect(s.txt()).To(Equal(announces(id)))
		g.Expect(s.body()).To(ContainSubstring("mode: enforce"))
		g.Expect(s.uids()).To(Equal(children))
	}).Should(Succeed())
	s.Expect(s.api.Delete(s.ctx, s.publication())).To(Succeed())
	s.everythingGone()
}

func TestARenamedPolicyKeepsItsPublication(t *testing.T) {
	s := tell(t)
	p := s.policy()
	s.create(p)
	id, uid := s.inForce(p), s.publication().UID
	before, children := s.served(), s.uids()

	s.pruned(p)
	renamed := s.policy(withName("renamed"))
	s.create(renamed)

	s.Expect(s.inForce(renamed)).To(Equal(id))
	pub := s.publication()
	s.Expect(pub.UID).To(Equal(uid))
	s.Expect(pub.Spec.PolicyRef.Name).To(Equal("renamed"))
	s.Expect(pub.Spec.PolicyGoneAt).To(BeNil())
	s.Expect(pub.Spec.Ledger).To(BeEmpty())
	// The grace would be over by now.
	s.Consistently(s.publication).WithTimeout(s.timings.RetireGrace).Should(HaveField("Spec.Current.ID", id))
	s.Expect(s.served()).To(Equal(before))
	s.Expect(s.uids()).To(Equal(children))
	s.Expect(s.DNS.History("_mta-sts."+s.domain)).To(HaveLen(1), "the TXT record was touched")
}

func TestAPolicyThatComesBackWhileItRetiresIsInForceAgain(t *testing.T) {
	s := tell(t)
	p := s.policy()
	s.create(p)
	first := s.inForce(p)
	s.pruned(p)
	s.state(v1alpha1.StateRetiring)
	s.Eventually(func() v1alpha1.Mode { return s.publication().Spec.Current.Mode }).Should(Equal(v1alpha1.ModeNone))
	none := s.publication().Spec.Current.ID

	again := s.policy(withName("again"))
	s.create(again)

	third := s.inForce(again)
	s.Expect([]string{first, none, third}).To(Satisfy(func(ids []string) bool { return slices.IsSorted(ids) && ids[0] != ids[1] && ids[1] != ids[2] }))
	s.Eventually(s.body).Should(ContainSubstring("mode: enforce"))
	pub := s.publication()
	s.Expect(pub.Spec.Retirement).To(BeNil())
	s.Expect(pub.Spec.Ledger).To(HaveLen(1))
	s.Expect(pub.Spec.Ledger[0].ID).To(Equal(first), "senders may still hold it")
}

func TestAPublicationDeletedByHandBeginsAnewWithWhatTheWorldShows(t *testing.T) {
	s := tell(t)
	p := s.policy()
	s.create(p)
	first, uid := s.inForce(p), s.publication().UID
	// external-dns takes its time: senders see the record, and so does the operator.
	s.ExternalDNS.SetMode(harness.Off)

	s.Expect(s.api.Delete(s.ctx, s.publication())).To(Succeed())

	s.Eventually(func() *v1alpha1.MTASTSPublication { return s.publication() }).
		Should(And(Not(BeNil()), HaveField("UID", Not(Equal(uid))), HaveField("Spec.Current", Not(BeNil()))))
	s.ExternalDNS.SetMode(harness.Sync)
	s.Eventually(func() string { return s.publication().Spec.InForceID }).Should(laterThan(first))
	id := s.inForce(p)
	pub := s.publication()
	s.Expect(pub.Spec.FoundIDs).To(ContainElement(first))
	s.Expect(pub.Spec.Ledger).To(ConsistOf(And(HaveField("ID", first), HaveField("Origin", v1alpha1.OriginFound))))
	s.Eventually(s.txt).Should(Equal(announces(id)))
	s.Eventually(func(g Gomega) {
		for _, c := range s.domainChildren() {
			g.Expect(s.api.Get(s.ctx, client.ObjectKeyFromObject(c.object), c.object)).To(Succeed())
			g.Expect(c.object.GetOwnerReferences()).To(ConsistOf(HaveField("UID", pub.UID)), c.kind)
		}
	}).Should(Succeed())
}

func TestPublicationAndPolicyDeletedTogetherTakeEverythingAlong(t *testing.T) {
	s := tell(t)
	other := s.policy(withName("other"), withMode(v1alpha1.ModeTesting))
	other.Spec.Domain = "other." + s.domain
	p := s.policy()
	s.create(p, other)
	s.inForce(p)
	s.inForce(other)

	s.Expect(s.api.Delete(s.ctx, p)).To(Succeed())
	s.Expect(s.api.Delete(s.ctx, s.publication())).To(Succeed())

	for _, c := range s.domainChildren() {
		s.gone(c.object)
	}
	s.Eventually(s.hosts).Should(Equal([]string{"mta-sts." + other.Spec.Domain}))
	s.Eventually(s.txt).Should(BeEmpty())
	s.Consistently(s.publication).Should(BeNil())
	s.inForce(other)
}

func TestAnOldCopyOfAPublicationIsRestoredWithAFreshID(t *testing.T) {
	s := tell(t)
	p := s.policy()
	s.create(p)
	first := s.inForce(p)
	backup := s.publication()
	s.edit(p, withMaxAge(86400))
	second := s.inForce(p)
	s.stopOperator()

	// The garbage collector takes the owners away; the backup brings neither status nor UID.
	deleted := s.publication()
	s.Expect(s.api.Delete(s.ctx, deleted, client.PropagationPolicy(metav1.DeletePropagationOrphan))).To(Succeed())
	s.gone(deleted)
	for _, c := range s.domainChildren() {
		s.Eventually(func() string { return s.owner(c.object) }).Should(BeEmpty(), c.kind)
	}
	children := s.uids()
	s.create(&v1alpha1.MTASTSPublication{
		ObjectMeta: metav1.ObjectMeta{Namespace: backup.Namespace, Name: backup.Name, Labels: backup.Labels},
		Spec:       backup.Spec,
	})
	s.startOperator()

	s.Eventually(func() string { return s.publication().Spec.InForceID }).Should(laterThan(second))
	s.inForce(p)
	pub := s.publication()
	s.Expect(pub.Spec.UID).To(Equal(string(pub.UID)))
	s.Expect(pub.Spec.Ledger).To(ConsistOf(HaveField("ID", first), HaveField("ID", second), HaveField("Origin", v1alpha1.OriginUnknown)))
	s.Expect(s.uids()).To(Equal(children), "children were made anew")
	for _, c := range s.domainChildren() {
		s.Expect(s.owner(c.object)).To(Equal("MTASTSPublication/"+string(pub.UID)), c.kind)
	}
	s.Expect(s.txt()).To(Equal(announces(pub.Spec.InForceID)))
	s.neverBack()
}

// neverBack makes sure that DNS never went from an id to a smaller one.
func (s *story) neverBack() {
	s.t.Helper()
	last := ""
	for _, c := range s.DNS.History("_mta-sts." + s.domain) {
		for _, record := range c.After {
			s.Expect(record > last).To(BeTrue(), "%q came after %q", record, last)
			last = record
		}
	}
}

func TestAStatusWipedByHandIsRebuilt(t *testing.T) {
	s := tell(t)
	p := s.policy()
	s.create(p)
	s.inForce(p)
	s.rest()
	s.inForce(p)
	policyBefore, pubBefore := timeless(p.Status.Conditions), s.publication().Status
	statusBefore := p.Status

	wipe := client.RawPatch(types.MergePatchType, []byte(`{"status":null}`))
	pub := s.publication()
	s.Expect(s.api.Status().Patch(s.ctx, p, wipe)).To(Succeed())
	s.Expect(s.api.Status().Patch(s.ctx, pub, wipe)).To(Succeed())
	s.Expect(p.Status.Policy).To(BeNil())
	s.touch(s.ingress(), "domain", 1)

	s.Eventually(func() map[string]metav1.Condition {
		s.Expect(s.api.Get(s.ctx, client.ObjectKeyFromObject(p), p)).To(Succeed())
		return timeless(p.Status.Conditions)
	}).Should(Equal(policyBefore))
	s.Expect(p.Status.Policy).To(Equal(statusBefore.Policy))
	s.Expect(p.Status.Records).To(Equal(statusBefore.Records))
	s.Expect(p.Status.MX).To(Equal(statusBefore.MX))
	s.Eventually(func() v1alpha1.MTASTSPublicationStatus { return s.publication().Status }).Should(Equal(pubBefore))
}

// timeless are conditions by type without their times.
func timeless(conditions []metav1.Condition) map[string]metav1.Condition {
	out := map[string]metav1.Condition{}
	for _, c := range conditions {
		c.LastTransitionTime = metav1.Time{}
		out[c.Type] = c
	}
	return out
}

func TestNonsenseWrittenIntoAPublicationNeverTurnsAnIDBack(t *testing.T) {
	const old, future = "20200101000000deadbeef", "20991231235959deadbeef"
	edits := map[string]func(*v1alpha1.MTASTSPublicationSpec){
		"an old current id":     func(s *v1alpha1.MTASTSPublicationSpec) { s.Current.ID = old },
		"a future current id":   func(s *v1alpha1.MTASTSPublicationSpec) { s.Current.ID = future },
		"another body":          func(s *v1alpha1.MTASTSPublicationSpec) { s.Current.Body = "nonsense" },
		"another mode":          func(s *v1alpha1.MTASTSPublicationSpec) { s.Current.Mode = v1alpha1.ModeTesting },
		"an old announced id":   func(s *v1alpha1.MTASTSPublicationSpec) { s.AnnouncedID = old },
		"no announced id":       func(s *v1alpha1.MTASTSPublicationSpec) { s.AnnouncedID = "" },
		"an old last id":        func(s *v1alpha1.MTASTSPublicationSpec) { s.LastID = old },
		"no current instance":   func(s *v1alpha1.MTASTSPublicationSpec) { s.Current = nil },
		"nothing but a domain":  func(s *v1alpha1.MTASTSPublicationSpec) { *s = v1alpha1.MTASTSPublicationSpec{Domain: s.Domain} },
		"another id in force":   func(s *v1alpha1.MTASTSPublicationSpec) { s.InForceID = old },
		"another policy's name": func(s *v1alpha1.MTASTSPublicationSpec) { s.PolicyRef = &v1alpha1.PolicyReference{Name: "other"} },
	}
	s := tell(t)
	p := s.policy()
	s.create(p)
	id := s.inForce(p)
	body := s.body()
	for _, name := range slices.Sorted(maps.Keys(edits)) {
		s.chapter(name, func() {
			s.rest()
			s.spoil(s.publication(), func(o client.Object) { edits[name](&o.(*v1alpha1.MTASTSPublication).Spec) })
			s.Eventually(func(g Gomega) {
				spec := s.publication().Spec
				g.Expect(spec.Current).NotTo(BeNil())
				g.Expect(spec.Current.ID).To(notBefore(id))
				g.Expect(spec.InForceID).To(Equal(spec.Current.ID))
				g.Expect(spec.AnnouncedID).To(Equal(spec.Current.ID))
				g.Expect(spec.PolicyRef).To(HaveField("Name", p.Name))
				g.Expect(s.txt()).To(Equal(announces(spec.Current.ID)))
				g.Expect(s.served()).To(Equal(spec.Current.ID + "\n" + body))
				g.Expect(s.body()).To(Equal(body))
			}).Should(Succeed())
			s.neverBack()
			id = s.inForce(p)
		})
	}
}

// laterThan and notBefore compare ids, which sort as strings.
func laterThan(id string) OmegaMatcher {
	return Satisfy(func(other string) bool { return other > id })
}

func notBefore(id string) OmegaMatcher {
	return Satisfy(func(other string) bool { return other >= id })
}
