package integration

import (
	"context"
	"slices"
	"strconv"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/controllers"
	"github.com/mta-sts-operator/mta-sts-operator/test/harness"
)

// gap is the ledger's entry for what nobody knows; nil if there is none.
func (s *story) gap() *v1alpha1.LedgerEntry {
	ledger := s.publication().Spec.Ledger
	if i := slices.IndexFunc(ledger, func(e v1alpha1.LedgerEntry) bool { return e.Origin == v1alpha1.OriginUnknown }); i >= 0 {
		return &ledger[i]
	}
	return nil
}

// annotate says a word on the publication.
func (s *story) annotate(key, value string) {
	s.t.Helper()
	s.spoil(s.publication(), func(o client.Object) {
		annotations := o.GetAnnotations()
		if annotations == nil {
			annotations = map[string]string{}
		}
		annotations[key] = value
		o.SetAnnotations(annotations)
	})
}

// heeded waits until no word stands on the publication any more.
func (s *story) heeded() {
	s.t.Helper()
	s.Eventually(func() map[string]string { return s.publication().Annotations }).ShouldNot(Or(
		HaveKey(v1alpha1.RestoredAnnotation), HaveKey(v1alpha1.DiscardGapAnnotation), HaveKey(v1alpha1.ReleaseAnnotation)))
}

// planned is what the status says of a host that is no MX host yet.
func (s *story) planned(p *v1alpha1.MTASTSPolicy, host string) func() *metav1.Time {
	return func() *metav1.Time {
		s.Expect(s.api.Get(s.ctx, client.ObjectKeyFromObject(p), p)).To(Succeed())
		for _, h := range p.Status.MX {
			if h.Host == host {
				return h.SafeAfter
			}
		}
		return &metav1.Time{}
	}
}

// aged brings enforce into force, and keeps the publication as it is then; since then enforce for a year is
// announced, and testing.
func (s *story) aged(p *v1alpha1.MTASTSPolicy) (backup *v1alpha1.MTASTSPublication, last string) {
	s.t.Helper()
	s.create(p)
	s.inForce(p)
	backup = s.publication()
	s.edit(p, withMaxAge(31557599))
	s.inForce(p)
	s.edit(p, withMode(v1alpha1.ModeTesting), func(p *v1alpha1.MTASTSPolicy) { p.Spec.MX = append(p.Spec.MX, "mx2."+s.domain) })
	return backup, s.inForce(p)
}

// putBack creates the publication of a backup in place of the one that there is.
func (s *story) putBack(backup *v1alpha1.MTASTSPublication) {
	s.t.Helper()
	deleted := s.publication()
	s.Expect(s.api.Delete(s.ctx, deleted, client.PropagationPolicy(metav1.DeletePropagationOrphan))).To(Succeed())
	s.gone(deleted)
	s.create(&v1alpha1.MTASTSPublication{
		ObjectMeta: metav1.ObjectMeta{Namespace: backup.Namespace, Name: backup.Name, Labels: backup.Labels, Annotations: backup.Annotations},
		Spec:       backup.Spec,
	})
}

func TestRestoreOfAPublicationCountsWhatNobodyKnowsForAYear(t *testing.T) {
	for name, restore := range map[string]func(s *story, backup *v1alpha1.MTASTSPublication){
		"in place": func(s *story, backup *v1alpha1.MTASTSPublication) {
			s.spoil(s.publication(), func(o client.Object) { o.(*v1alpha1.MTASTSPublication).Spec = backup.Spec })
		},
		"with the UID of before": func(s *story, backup *v1alpha1.MTASTSPublication) { s.putBack(backup) },
		"without a UID": func(s *story, backup *v1alpha1.MTASTSPublication) {
			backup.Spec.UID = ""
			s.putBack(backup)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := tell(t)
			s.timings.LookInterval = time.Second
			p := s.policy()
			backup, last := s.aged(p)
			s.stopOperator()
			restore(s, backup)
			s.startOperator()

			s.Eventually(func() string { return s.publication().Spec.InForceID }).Should(laterThan(last))
			s.inForce(p)
			gap := s.gap()
			s.Expect(gap).NotTo(BeNil())
			s.Expect(gap.AfterID).To(Equal(backup.Spec.LastID))
			s.Expect(gap.ID > last).To(BeTrue(), "%s up to %s does not reach %s", gap.AfterID, gap.ID, last)
			s.Expect(gap.LiveMX).To(Equal([]string{"mx1." + s.domain}))
			s.Eventually(s.planned(p, "mx2."+s.domain)).Should(HaveField("Time", BeTemporally(">", time.Now().Add(360*24*time.Hour))))
			s.Eventually(s.condition(p, v1alpha1.ConditionMXAligned)).Should(And(HavePrefix("True/"), ContainSubstring(
				"kubectl -n "+s.namespace+" annotate --overwrite mtastspublication "+s.domain+" mtasts.dev/discard-gap="+gap.ID)))
			s.neverBack()

			s.annotate(v1alpha1.DiscardGapAnnotation, gap.ID)
			s.heeded()
			s.Expect(s.gap()).To(BeNil())
			s.Eventually(s.eventReasons).Should(ContainElement(v1alpha1.ReasonGapDiscarded))
			s.Eventually(s.planned(p, "mx2."+s.domain)).Should(HaveField("Time", BeTemporally("<", time.Now().Add(30*24*time.Hour))))
		})
	}
}

func TestRestoreIsHeededWhenSomebodySaysIt(t *testing.T) {
	s := tell(t)
	watchOrder(s)
	p := s.policy()
	s.create(p)
	first := s.inForce(p)
	said := time.Now().UTC().Truncate(time.Second)
	s.annotate(v1alpha1.ReleaseAnnotation, "true")
	s.annotate(v1alpha1.RestoredAnnotation, said.Format(time.RFC3339))
	second := s.isInForce(p, above(first))
	s.heeded()
	gap := s.gap()
	s.Expect(gap).To(HaveField("AfterID", first))
	s.Expect(s.publication().Spec.RestoreTime.Time).To(BeTemporally("==", said))

	for _, void := range []string{said.Format(time.RFC3339), time.Now().Add(time.Hour).UTC().Format(time.RFC3339), "2999-12-31T00:00:00Z", "now"} {
		s.annotate(v1alpha1.RestoredAnnotation, void)
		s.heeded()
		s.Expect(s.publication().Spec.LastID).To(Equal(second), void)
	}
	s.Eventually(s.eventReasons).Should(ContainElements(v1alpha1.ReasonRestored, v1alpha1.ReasonAnnotationRejected))

	s.annotate(v1alpha1.DiscardGapAnnotation, first)
	s.heeded()
	s.Expect(s.gap()).NotTo(BeNil(), "it has another id")
	s.annotate(v1alpha1.DiscardGapAnnotation, gap.ID+"/604800")
	s.heeded()
	s.Expect(s.gap()).To(HaveField("MaxAgeSeconds", int32(604800)))
}

// TestRestoreBringsNoWordBack: the backup was taken after a word had been said, and before it was heeded.
func TestRestoreBringsNoWordBack(t *testing.T) {
	s := tell(t)
	p := s.policy()
	s.create(p)
	s.inForce(p)
	s.stopOperator()
	s.annotate(v1alpha1.RestoredAnnotation, time.Now().UTC().Format(time.RFC3339))
	s.startOperator()
	s.heeded()
	second := s.inForce(p)
	s.stopOperator()
	s.annotate(v1alpha1.DiscardGapAnnotation, s.gap().ID)
	backup := s.publication()
	s.startOperator()
	s.heeded()
	s.Expect(s.gap()).To(BeNil())
	s.stopOperator()
	s.putBack(backup)
	s.startOperator()
	s.isInForce(p, above(second))
	s.heeded()
	s.Expect(s.gap()).To(HaveField("AfterID", backup.Spec.Ledger[len(backup.Spec.Ledger)-1].AfterID))
}

func TestRestoreIsSuspectedAfterAnOutage(t *testing.T) {
	for name, tt := range map[string]struct {
		lived bool
		gap   bool
	}{"and no pod lived through it": {false, true}, "and a pod that lived through it proves otherwise": {true, false}} {
		t.Run(name, func(t *testing.T) {
			s := setScene(t)
			s.operatorNamespace = s.newNamespace("other-")
			s.startOperator()
			p := s.policy()
			s.create(p)
			first := s.inForce(p)
			heartbeat := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: s.operatorNamespace, Name: controllers.HeartbeatName}}
			s.Eventually(func() error { return s.api.Get(s.ctx, client.ObjectKeyFromObject(heartbeat), heartbeat) }).Should(Succeed())
			if tt.lived { // the pods began before the heartbeat of now
				time.Sleep(time.Until(s.readyPods()[0].Status.ContainerStatuses[0].State.Running.StartedAt.Add(2 * time.Second)))
			}
			s.stopOperator()
			s.spoil(heartbeat, func(o client.Object) {
				if since := time.Now(); !tt.lived {
					o.(*corev1.ConfigMap).Data = map[string]string{"time": since.Add(-time.Hour).UTC().Format(time.RFC3339)}
				}
			})
			s.timings.HeartbeatOld, s.timings.Heartbeat = 50*time.Millisecond, time.Hour
			s.startOperator()
			s.Eventually(func() string {
				s.Expect(s.api.Get(s.ctx, client.ObjectKeyFromObject(heartbeat), heartbeat)).To(Succeed())
				return heartbeat.Data["outage-until"]
			}).ShouldNot(BeEmpty())
			s.rest()
			s.unchanged(first) // a heartbeat makes no id
			s.Expect(s.gap()).To(BeNil())

			s.edit(p, withMaxAge(86400))
			s.isInForce(p, above(first))
			if tt.gap {
				s.Expect(s.gap()).To(HaveField("AfterID", first))
			} else {
				s.Expect(s.gap()).To(BeNil())
			}
		})
	}
}

// lastRevision is that of a write that is made now.
func (s *story) lastRevision() int {
	s.t.Helper()
	written := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, GenerateName: "revision-"}}
	s.create(written)
	revision, err := strconv.Atoi(written.ResourceVersion)
	s.Expect(err).NotTo(HaveOccurred())
	return revision
}

// beyond writes until whoever watched before a restore sees what comes after it: etcdutl's --bump-revision does the
// same.
func (s *story) beyond(revision int) {
	s.t.Helper()
	for last := s.lastRevision(); last <= revision; last = s.lastRevision() {
		continue
	}
}

// TestRestoreOfEtcdThatExternalDNSFollowsFirst: the UIDs, the shard and the record's object come back together, and
// DNS answers the old id before the operator is there. The pods have lived through it.
func TestRestoreOfEtcdThatExternalDNSFollowsFirst(t *testing.T) {
	s := tell(t)
	p := s.policy()
	s.create(p)
	first := s.inForce(p)
	s.stopOperator()
	snapshot, err := plane.Snapshot()
	s.Expect(err).NotTo(HaveOccurred())
	s.startOperator()
	s.edit(p, withMaxAge(31557599))
	second := s.inForce(p)
	uid, last := s.publication().UID, s.lastRevision()
	s.stopOperator()

	s.ExternalDNS.SetMode(harness.Off) // its cache knows nothing of the restore: another one begins
	s.Expect(plane.Restore(snapshot)).To(Succeed())
	another := harness.NewExternalDNS(s.api, s.DNS, clock.RealClock{}, 0)
	s.Eventually(func() []string {
		s.Expect(another.Step(s.ctx)).To(Succeed())
		return s.txt()
	}).Should(Equal(announces(first)))
	s.beyond(last)
	s.Expect(s.publication()).To(And(HaveField("UID", uid), HaveField("Spec.LastID", first)))
	s.startOperator()
	s.annotate(v1alpha1.RestoredAnnotation, time.Now().UTC().Format(time.RFC3339))
	s.heeded()
	s.Eventually(s.target).ShouldNot(Equal([]string{`"` + announces(first)[0] + `"`}))
	go wait.UntilWithContext(s.ctx, func(ctx context.Context) { _ = another.Step(ctx) }, 50*time.Millisecond) // it tries again
	s.isInForce(p, above(second))
	gap := s.gap()
	s.Expect(gap).To(HaveField("AfterID", first))
	s.Expect(gap.ID > second).To(BeTrue(), "%s does not reach %s", gap.ID, second)
}
