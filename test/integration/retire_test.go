package integration

import (
	"slices"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
	"github.com/mta-sts-operator/mta-sts-operator/test/harness"
)

// why is the publication's only condition as "Type/Reason: message"; "" if it has none.
func (s *story) why() string {
	pub := s.publication()
	if pub == nil {
		return "no publication"
	}
	if len(pub.Status.Conditions) == 0 {
		return ""
	}
	s.Expect(pub.Status.Conditions).To(HaveLen(1))
	c := pub.Status.Conditions[0]
	return c.Type + "/" + c.Reason + ": " + c.Message
}

// told are the events about the publication, as "Type Reason note", oldest first.
func (s *story) told() []string {
	s.t.Helper()
	var list eventsv1.EventList
	s.Expect(s.api.List(s.ctx, &list, client.InNamespace(s.namespace))).To(Succeed())
	slices.SortFunc(list.Items, func(a, b eventsv1.Event) int { return a.EventTime.Compare(b.EventTime.Time) })
	var out []string
	for _, e := range list.Items {
		if e.Regarding.Kind == "MTASTSPublication" {
			out = append(out, e.Type+" "+e.Reason+" "+e.Note)
		}
	}
	return out
}

// stays makes sure that the operator looks, but writes nothing, and that the status is what it was.
func (s *story) stays() {
	s.t.Helper()
	before, writes := s.publication(), len(s.link.Writes())
	s.Consistently(func(g Gomega) {
		g.Expect(s.link.Writes()).To(HaveLen(writes))
		g.Expect(s.publication().ResourceVersion).To(Equal(before.ResourceVersion))
	}).Should(Succeed())
}

// table is the publication as kubectl lists it.
func (s *story) table() string {
	s.t.Helper()
	out, err := plane.Kubectl(s.ctx, "-n", s.namespace, "get", "mtastspub", s.domain)
	s.Expect(err).NotTo(HaveOccurred())
	return out
}

// expires makes every date in the ledger one that is over.
func (s *story) expires() {
	s.t.Helper()
	s.spoil(s.publication(), func(o client.Object) {
		ledger := o.(*v1alpha1.MTASTSPublication).Spec.Ledger
		for i := range ledger {
			ledger[i].CachedUntil = new(metav1.NewTime(time.Now().Add(-time.Minute)))
		}
	})
}

func TestARetirementWithoutExternalDNSSaysSoAndGoesOnWhenItIsBack(t *testing.T) {
	s := setScene(t)
	s.timings.RemovePatience = time.Second
	s.startOperator()
	p := s.policy()
	s.create(p)
	first := s.inForce(p)
	s.edit(p, withMaxAge(86400))
	second := s.inForce(p)
	s.ExternalDNS.SetMode(harness.Off)

	s.pruned(p)

	s.chapter("it says what is the matter, and the ways out", func() {
		s.Eventually(s.why).Should(And(
			HavePrefix("Stalled/"+v1alpha1.ReasonDiffers), ContainSubstring("still answers id "+second),
			ContainSubstring("has not read DNSEndpoint "+s.namespace+"/mta-sts-id."+s.domain), ContainSubstring("--source=crd"),
			ContainSubstring("kubectl -n "+s.namespace+" delete mtastspublication "+s.domain)))
		s.Expect(s.state(v1alpha1.StateRetiring).Status.Until).To(BeNil(), "nobody knows until when")
		s.Expect(s.table()).To(MatchRegexp(`NAME +DOMAIN +POLICY +STATE +UNTIL +REASON\n%s +%[1]s +policy +Retiring +Differs`, s.domain))
		s.Eventually(s.told).Should(ContainElement(HavePrefix(corev1.EventTypeWarning + " " + v1alpha1.ReasonDiffers + " the retirement cannot go on: ")))
		s.stays()
	})
	s.chapter("a restart changes nothing of that", s.outlastsARestart)
	s.chapter("with external-dns it goes on", func() {
		s.ExternalDNS.SetMode(harness.Sync)
		s.Eventually(s.why).Should(And(HavePrefix("Reconciling/"+v1alpha1.ReasonRetiring), ContainSubstring("mode none is published"), ContainSubstring("until ")))
		pub := s.publication()
		s.Expect(pub.Spec.Ledger).To(ConsistOf(HaveField("ID", first), HaveField("ID", second)))
		s.Expect(pub.Status.Until.Time).To(BeTemporally("~", pub.Spec.Ledger[0].CachedUntil.Time, time.Second))
		s.Expect(s.why()).To(ContainSubstring(pub.Status.Until.UTC().Format(time.RFC3339)))
		s.Expect(s.table()).To(MatchRegexp(`Retiring +` + pub.Status.Until.UTC().Format(time.RFC3339) + ` +Retiring`))
		s.Eventually(s.told).Should(ContainElement(HaveSuffix("the retirement goes on")))
		s.rest()
		s.stays()
	})
	s.chapter("and ends", func() {
		s.expires()
		s.everythingGone()
		stalls := func(note string) bool { return strings.Contains(note, "cannot go on") }
		s.Expect(slices.DeleteFunc(s.told(), func(note string) bool { return !stalls(note) })).To(HaveLen(1), "it stalled once")
	})
}

func TestARecordThatExternalDNSMayNotRemoveIsNamedWhileItIsWaitedFor(t *testing.T) {
	s := setScene(t)
	s.timings.RemovePatience = 24 * time.Hour
	s.startOperator()
	p := s.policy(withMode(v1alpha1.ModeTesting))
	s.create(p)
	id := s.inForce(p)
	s.ExternalDNS.SetMode(harness.UpsertOnly)

	s.pruned(p)

	s.Eventually(s.why).Should(And(
		HavePrefix("Stalled/"+v1alpha1.ReasonStillAnswered), ContainSubstring("still answers id "+id), ContainSubstring("--policy=sync")))
	pub := s.state(v1alpha1.StateRemoving)
	bound := pub.Spec.Retirement.RemovingSince.Add(24 * time.Hour)
	s.Expect(pub.Status.Until.Time).To(BeTemporally("==", bound))
	s.Expect(s.why()).To(ContainSubstring("At " + bound.UTC().Format(time.RFC3339) + " everything else is removed"))
	s.Expect(s.table()).To(ContainSubstring(v1alpha1.ReasonStillAnswered))
	s.stays()

	s.chapter("it goes on when the record is gone", func() {
		s.ExternalDNS.SetMode(harness.Sync)
		s.Eventually(s.why).Should(And(HavePrefix("Reconciling/"+v1alpha1.ReasonRetiring), ContainSubstring("until resolvers have dropped the id")))
		pub := s.publication()
		s.Expect(pub.Status.Until.Time).To(BeTemporally("==", pub.Spec.Retirement.AbsentSince.Add(300*time.Second)))
		s.clock.Step(6 * time.Minute)
		if pub := s.publication(); pub != nil { // a look that was due anyway may have ended it already
			patch := client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"annotations":{"example.com/touched":"1"}}}`))
			s.Expect(client.IgnoreNotFound(s.api.Patch(s.ctx, pub, patch))).To(Succeed())
		}
		s.everythingGone()
	})
}

func TestARecordThatNobodyRemovesDelaysTheRestForADay(t *testing.T) {
	s := setScene(t)
	s.timings.RemovePatience = 24 * time.Hour
	s.startOperator()
	p := s.policy(withMode(v1alpha1.ModeTesting))
	s.create(p)
	s.inForce(p)
	s.ExternalDNS.SetMode(harness.UpsertOnly)
	s.pruned(p)
	s.Eventually(s.why).Should(HavePrefix("Stalled/" + v1alpha1.ReasonStillAnswered))

	s.clock.Step(24 * time.Hour)

	s.Eventually(s.publication).Should(BeNil())
	s.Eventually(s.told).Should(ContainElement(And(HavePrefix(corev1.EventTypeWarning), ContainSubstring("remove the TXT record by hand"))))
	s.Expect(s.txt()).To(HaveLen(1))
}

func TestWithRecordsByHandARetirementSaysWhatToPublish(t *testing.T) {
	s := tell(t)
	p := s.policy(func(p *v1alpha1.MTASTSPolicy) { p.Spec.DNS.Provider = v1alpha1.DNSManual })
	s.create(p)
	name := mtasts.RecordName(s.domain)
	s.DNS.SetA("mta-sts."+s.domain, harness.PodAddress)
	s.Eventually(s.record(p, name, "TXT")).Should(HaveField("Value", HavePrefix("v=STSv1; id=")))
	s.DNS.SetTXT(name, s.record(p, name, "TXT")().Value)
	s.inForce(p)

	s.pruned(p)

	s.Eventually(s.why).Should(HavePrefix("Stalled/" + v1alpha1.ReasonDiffers))
	record := mtasts.Record{ID: s.publication().Spec.Current.ID}.String()
	s.Expect(s.why()).To(ContainSubstring(`publish TXT "` + record + `" at ` + name))
	s.DNS.SetTXT(name, record)
	s.Eventually(s.why).Should(HavePrefix("Reconciling/" + v1alpha1.ReasonRetiring + ": mode none is published"))
}

func TestAPolicyThatComesBackEndsAStall(t *testing.T) {
	s := tell(t)
	p := s.policy()
	s.create(p)
	first := s.inForce(p)
	s.ExternalDNS.SetMode(harness.CreateOnlyTXT)
	s.pruned(p)
	s.Eventually(s.why).Should(And(HavePrefix("Stalled/"+v1alpha1.ReasonDiffers), ContainSubstring("has read DNSEndpoint"), ContainSubstring("v0.22")))

	s.ExternalDNS.SetMode(harness.Sync)
	again := s.policy(withName("again"))
	s.create(again)

	s.Expect(s.inForce(again)).To(laterThan(first))
	s.Eventually(s.why).Should(BeEmpty())
}

func TestARetirementGoesOnWhereItWasWhenTheOperatorIsBack(t *testing.T) {
	s := setScene(t)
	s.timings.RemovePatience = time.Second
	s.timings.RetireGrace = 10 * time.Second
	s.startOperator()
	p := s.policy()
	s.create(p)
	first := s.inForce(p)

	s.chapter("away during the grace, which goes on", func() {
		s.pruned(p)
		s.Eventually(s.why).Should(And(HavePrefix("Reconciling/"+v1alpha1.ReasonRetiring), ContainSubstring("deletionPolicy Drain is carried out from")))
		s.stopOperator()
		s.Expect(s.txt()).To(Equal(announces(first)))
		s.clock.Step(time.Minute)
		s.startOperator()
		s.Eventually(s.why).Should(ContainSubstring("mode none is published"))
	})
	s.chapter("away while senders' caches run out", func() {
		s.rest()
		s.stopOperator()
		s.expires()
		s.Expect(s.txt()).To(HaveLen(1))
		s.startOperator()
		s.everythingGone()
	})
}

func TestAPodOnALostNodeStallsARetirementUntilItIsEvicted(t *testing.T) {
	s := tell(t)
	p := s.policy()
	s.create(p)
	id := s.inForce(p)
	lost := s.readyPods()[1]
	s.Expect(s.Kubelet.LoseNode(s.ctx, lost.Spec.NodeName)).To(Succeed())

	s.pruned(p)

	s.Eventually(s.why).Should(And(
		HavePrefix("Stalled/"+v1alpha1.ReasonReplicaUnreachable+": pod "+lost.Name+" on node "+lost.Spec.NodeName),
		ContainSubstring("kubectl -n "+s.namespace+" delete pod "+lost.Name+" --force"), ContainSubstring("enforcing policy "+id)))
	s.Expect(s.txt()).To(Equal(announces(id)))
	s.Expect(s.Kubelet.EvictPods(s.ctx, lost.Spec.NodeName)).To(Succeed())
	s.Eventually(s.why).Should(HavePrefix("Reconciling/" + v1alpha1.ReasonRetiring + ": mode none is published"))
	s.Expect(s.Kubelet.ReturnNode(s.ctx, lost.Spec.NodeName)).To(Succeed())
}

// outlastsARestart expects another operator to find a retirement as the one before left it.
func (s *story) outlastsARestart() {
	s.t.Helper()
	before := s.publication().Status
	s.stopOperator()
	s.startOperator()
	s.rest()
	s.Expect(s.publication().Status).To(Equal(before))
	s.stays()
}
