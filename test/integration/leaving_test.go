package integration

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
	externaldnsv1alpha1 "sigs.k8s.io/external-dns/apis/v1alpha1"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/controllers"
	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
	"github.com/mta-sts-operator/mta-sts-operator/test/harness"
)

// left takes the domain's records out of DNS, as somebody does who leaves without a word.
func (s *story) left() {
	s.ExternalDNS.SetMode(harness.Off)
	s.DNS.Remove(mtasts.RecordName(s.domain))
	s.DNS.Remove("mta-sts." + s.domain)
}

// darkUntil waits until the retirement is shown to go on without DNS, and returns the date of its only entry.
func (s *story) darkUntil(id string) time.Time {
	s.t.Helper()
	s.Eventually(s.why).Should(And(HavePrefix("Reconciling/"+v1alpha1.ReasonRetiring+": DNS answers no id of this domain since "),
		ContainSubstring("senders may hold an older policy until ")))
	pub := s.publication()
	s.Expect(pub.Spec.Ledger).To(ConsistOf(And(HaveField("ID", id), HaveField("CachedUntil", Not(BeNil())))))
	until := pub.Spec.Ledger[0].CachedUntil.Time
	s.Expect(pub.Status.Until.Time).To(BeTemporally("==", until))
	s.Expect(pub.Spec.Current.Mode).To(Equal(v1alpha1.ModeNone))
	return until
}

// idObject is the DNSEndpoint of the id, nil if there is none.
func (s *story) idObject() *externaldnsv1alpha1.DNSEndpoint {
	e := &externaldnsv1alpha1.DNSEndpoint{}
	err := s.api.Get(s.ctx, client.ObjectKey{Namespace: s.namespace, Name: "mta-sts-id." + s.domain}, e)
	if apierrors.IsNotFound(err) {
		return nil
	}
	s.Expect(err).NotTo(HaveOccurred())
	return e
}

// heldFor is how long senders may hold what was in force when DNS was proven to have left it.
func heldFor(p *v1alpha1.MTASTSPolicy) time.Duration {
	t := controllers.DefaultTimings()
	return time.Duration(p.Spec.MaxAgeSeconds)*time.Second + 300*time.Second + t.LedgerSlack + t.OldServers
}

func TestLeavingWithTheRecordsBeforeThePolicyEndsInTime(t *testing.T) {
	s := setScene(t)
	s.timings.RemovePatience = time.Second
	s.startOperator()
	p := s.policy()
	s.create(p)
	id := s.inForce(p)

	s.left()
	s.pruned(p)

	s.chapter("the retirement goes on although mode none never comes to DNS", func() {
		until := s.darkUntil(id)
		s.Expect(time.Until(until)).To(BeNumerically("~", heldFor(p), time.Minute))
		s.Expect(s.idObject()).To(BeNil(), "whoever brings the alias back brings the old id back with it")
		s.rest()
		s.stays()
	})
	s.chapter("a restart changes nothing of that", s.outlastsARestart)
	s.chapter("another publisher's id changes nothing either", func() {
		s.DNS.SetTXT(mtasts.RecordName(s.domain), mtasts.Record{ID: "theirs"}.String())
		s.stays()
		s.DNS.Remove(mtasts.RecordName(s.domain))
	})
	s.chapter("external-dns that is back ends up without an id", func() {
		s.ExternalDNS.SetMode(harness.Sync) // what it read before it was off it still carries out
		s.Eventually(s.txt).Should(BeEmpty())
		s.rest()
		s.Expect(s.txt()).To(BeEmpty())
		s.Expect(s.idObject()).To(BeNil())
	})
	s.chapter("and it ends", func() {
		s.darkUntil(id)
		s.expires()
		s.everythingGone()
		s.Expect(s.told()).NotTo(ContainElement(HavePrefix(corev1.EventTypeWarning)))
	})
}

func TestLeavingWithRecordsByHandEndsInTime(t *testing.T) {
	s := setScene(t)
	s.timings.RemovePatience = time.Second
	s.startOperator()
	p := s.policy(func(p *v1alpha1.MTASTSPolicy) { p.Spec.DNS.Provider = v1alpha1.DNSManual })
	s.create(p)
	name := mtasts.RecordName(s.domain)
	s.DNS.SetA("mta-sts."+s.domain, harness.PodAddress)
	s.Eventually(s.record(p, name, "TXT")).Should(HaveField("Value", HavePrefix("v=STSv1; id=")))
	s.DNS.SetTXT(name, s.record(p, name, "TXT")().Value)
	id := s.inForce(p)

	s.left()
	s.pruned(p)

	until := s.darkUntil(id)
	s.Expect(time.Until(until)).To(BeNumerically("~", heldFor(p), time.Minute))
	s.rest()
	s.stays()
	s.expires()
	s.everythingGone()
}

func TestLeavingAndAnOldRecordThatComesBackOpensTheLedgerAgain(t *testing.T) {
	s := tell(t)
	p := s.policy()
	s.create(p)
	id := s.inForce(p)
	s.left()
	s.pruned(p)
	first := s.darkUntil(id)

	s.chapter("senders may prolong what they hold", func() {
		s.DNS.SetTXT(mtasts.RecordName(s.domain), announces(id)...)
		s.Eventually(s.publication).Should(And(
			HaveField("Spec.Ledger", ConsistOf(And(HaveField("ID", id), HaveField("CachedUntil", BeNil())))),
			HaveField("Spec.Retirement.AbsentSince", BeNil())))
		s.Expect(s.idObject()).To(Or(BeNil(), HaveField("Spec.Endpoints", Not(ContainElement(HaveField("Targets", ContainElement(ContainSubstring(id))))))))
	})
	s.chapter("until it is gone for good", func() {
		s.DNS.Remove(mtasts.RecordName(s.domain))
		s.Expect(s.darkUntil(id)).To(BeTemporally(">", first))
	})
}

func TestLeavingWithoutALastWordOfDNSIsNoProof(t *testing.T) {
	s := tell(t)
	p := s.policy()
	s.create(p)
	id := s.inForce(p)
	s.left()
	s.DNS.SetFault(mtasts.RecordName(s.domain), harness.ServFail)
	s.pruned(p)
	s.state(v1alpha1.StateRetiring)

	s.Consistently(s.publication).WithTimeout(3 * s.timings.ProofPeriod).Should(
		HaveField("Spec.Ledger", HaveEach(HaveField("CachedUntil", BeNil()))))
	s.Expect(s.idObject()).NotTo(BeNil())

	s.DNS.SetFault(mtasts.RecordName(s.domain), harness.NoFault)
	s.darkUntil(id)
}
