package controllers

import (
	"fmt"
	"strings"
	"testing"
	"time"

	cmv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	cmmetav1 "github.com/cert-manager/cert-manager/pkg/apis/meta/v1"
	"github.com/google/go-cmp/cmp"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/controllers/internal/publication"
	"github.com/mta-sts-operator/mta-sts-operator/controllers/internal/resources"
	"github.com/mta-sts-operator/mta-sts-operator/internal/config"
	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
)

// inForceScope is a domain in force, with every observation in order.
func inForceScope() *scope {
	policy := testPolicy("mail", "p", 60)
	pub := testPublication("mail", "p")
	body := wantedPolicy(&policy).String()
	id, _ := mtasts.MintID(testNow.Add(-time.Hour), "", body)
	pub.Spec.Current = &v1alpha1.Instance{ID: string(id), Mode: v1alpha1.ModeEnforce, MX: policy.Spec.MX, MaxAgeSeconds: 604800, Body: body}
	pub.Spec.LastID, pub.Spec.AnnouncedID, pub.Spec.InForceID = string(id), string(id), string(id)
	pub.Spec.AnnouncedAt = new(metav1.NewTime(testNow.Add(-time.Hour)))
	looked := publication.Tried{At: testNow}
	s := &scope{
		domain: testDomain,
		claims: claims{publication: &pub, winner: &policy},
		memory: &memory{domain: testDomain, mxSeen: map[string]time.Time{}},
		certificate: &cmv1.Certificate{Status: cmv1.CertificateStatus{
			Conditions: []cmv1.CertificateCondition{{Type: cmv1.CertificateConditionReady, Status: cmmetav1.ConditionTrue}},
			NotAfter:   new(metav1.NewTime(testNow.Add(60 * 24 * time.Hour))),
		}},
		observation: publication.Observation{
			Servers: publication.Servers{Known: true, Ready: 2},
			Public:  &publication.Public{Tried: looked, For: string(id), Outcome: publication.Pass},
			DNS:     &publication.DNS{Tried: looked, Answer: publication.Found, Records: []string{mtasts.Record{ID: string(id)}.String()}, IDs: []string{string(id)}},
			MX:      &publication.MX{Tried: looked, Answer: publication.Found, Hosts: []string{"mx1.example.com"}},
		},
		decision: publication.Decision{State: v1alpha1.StateInForce, Spec: &pub.Spec},
	}
	cfg := config.Default()
	cfg.Issuer.Name = "ca"
	cfg.DNS.Targets = []string{"192.0.2.1"}
	s.settings = resources.Effective(s.delivery(), cfg)
	return s
}

func allKinds() *optionalKinds {
	return &optionalKinds{watched: map[schema.GroupVersionKind]bool{certificates: true, dnsEndpoints: true}}
}

func (s *scope) testStatus() v1alpha1.MTASTSPolicyStatus {
	return s.status(allKinds(), metav1.NewTime(testNow), publication.DefaultTimings())
}

// failing is a look that has failed so often, for so long.
func failing(tries int, since time.Duration) publication.Tried {
	return publication.Tried{At: testNow, Tries: tries, Since: testNow.Add(-since)}
}

// summary is "Ready/Reconciling/Stalled", with - for a condition that is absent.
func summary(status v1alpha1.MTASTSPolicyStatus) string {
	var out []string
	for _, kind := range []string{v1alpha1.ConditionReady, v1alpha1.ConditionReconciling, v1alpha1.ConditionStalled} {
		if c := apimeta.FindStatusCondition(status.Conditions, kind); c != nil {
			out = append(out, string(c.Status))
		} else {
			out = append(out, "-")
		}
	}
	return strings.Join(out, "/")
}

func TestReadyReconcilingAndStalledSayWhereADomainStands(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*scope)
		want   string
	}{
		"in force": {func(*scope) {}, "True/-/-"},
		"an edit on its way keeps what was Ready": {func(s *scope) {
			s.winner.Status = s.testStatus()
			s.decision.State, s.decision.Reason = v1alpha1.StateServing, v1alpha1.ReasonReplicaLagging
		}, "True/True/-"},
		"a first publication on its way": {func(s *scope) {
			s.publication.Spec.InForceID = ""
			s.decision.State = v1alpha1.StateAnnouncing
		}, "Unknown/True/-"},
		"held": {func(s *scope) {
			s.decision.State, s.decision.Reason, s.decision.Stalled = v1alpha1.StateHeld, v1alpha1.ReasonUncoveredMX, true
		}, "False/-/True"},
		"held while the MX lookup is pending": {func(s *scope) {
			s.decision.State, s.decision.Reason = v1alpha1.StateHeld, v1alpha1.ReasonMXLookupPending
		}, "Unknown/True/-"},
		"a live MX host that senders refuse is an alarm, but what was wanted is in force": {func(s *scope) {
			s.observation.MX.Hosts = []string{"mx9.example.com"}
		}, "True/-/-"},
		"one failed look proves nothing": {func(s *scope) {
			s.winner.Status = s.testStatus()
			s.observation.Public.Outcome, s.observation.Public.Tried = publication.Broken, failing(1, 0)
			s.observation.DNS.IDs, s.observation.DNS.Records, s.observation.DNS.Tried = nil, nil, failing(1, 0)
		}, "True/-/-"},
		"three failed looks in two minutes prove nothing": {func(s *scope) {
			s.winner.Status = s.testStatus()
			s.observation.Public.Outcome, s.observation.Public.Tried = publication.Broken, failing(3, 2*time.Minute)
		}, "True/-/-"},
		"a URL that was broken three times in ten minutes is broken": {func(s *scope) {
			s.winner.Status = s.testStatus()
			s.observation.Public.Outcome, s.observation.Public.Tried = publication.Broken, failing(3, 10*time.Minute)
		}, "False/-/-"},
		"a URL that does not answer is no proof, however often": {func(s *scope) {
			s.winner.Status = s.testStatus()
			s.observation.Public.Outcome, s.observation.Public.Tried = publication.NoAnswer, failing(30, time.Hour)
		}, "True/-/-"},
		"DNS without the id for ten minutes is broken": {func(s *scope) {
			s.winner.Status = s.testStatus()
			*s.observation.DNS = publication.DNS{Answer: publication.Absent, Tried: failing(3, 10*time.Minute)}
		}, "False/-/-"},
		"DNS that cannot be asked proves nothing": {func(s *scope) {
			s.winner.Status = s.testStatus()
			*s.observation.DNS = publication.DNS{Answer: publication.Unknown, Tried: failing(30, time.Hour)}
		}, "True/-/-"},
		"a name that is taken stalls": {func(s *scope) { s.taken = "Ingress x exists" }, "False/-/True"},
		"a claim that may no longer be followed stalls": {func(s *scope) {
			s.frozen = &refusal{v1alpha1.ReasonDomainNotAllowed, "no"}
		}, "False/-/True"},
	} {
		t.Run(name, func(t *testing.T) {
			s := inForceScope()
			tt.change(s)
			status := s.testStatus()
			if got := summary(status); got != tt.want {
				t.Errorf("Ready Reconciling Stalled = %s, want %s\n%v", got, tt.want, status.Conditions)
			}
		})
	}
}

func TestWhatWasNotObservedKeepsWhatWasSaid(t *testing.T) {
	s := inForceScope()
	s.winner.Status = s.testStatus()
	before := s.winner.Status
	// As after a restart: nothing has been seen yet.
	s.observation = publication.Observation{}
	if diff := cmp.Diff(before, s.testStatus()); diff != "" {
		t.Errorf("status after a restart (-before +after):\n%s", diff)
	}
}

func TestHostsThatCannotBeLookedUpAreJudgedByThePolicyOfToday(t *testing.T) {
	s := inForceScope()
	s.winner.Status = s.testStatus()
	current := s.publication.Spec.Current
	s.publication.Spec.Ledger = []v1alpha1.LedgerEntry{{ID: "older", MX: current.MX, MaxAgeSeconds: 86400}}
	current.MX = []string{"mx2.example.com"}
	for name, mx := range map[string]*publication.MX{
		"the lookup failed":        {Tried: failing(1, 0), Answer: publication.Unknown},
		"nobody has looked up yet": nil,
	} {
		s.observation.MX = mx
		status := s.testStatus()
		want := []v1alpha1.MXHost{
			{Host: "mx1.example.com", State: v1alpha1.MXUncovered, Message: "no pattern of spec.mx covers this host"},
			{Host: "mx2.example.com", State: v1alpha1.MXPrepared, Message: "do not point an MX record at this host yet: policy older, which senders may still fetch, refuses it"},
		}
		if diff := cmp.Diff(want, status.MX); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if c := apimeta.FindStatusCondition(status.Conditions, v1alpha1.ConditionMXAligned); c.Reason != v1alpha1.ReasonUncoveredMX {
			t.Errorf("%s: MXAligned says %s: %s", name, c.Reason, c.Message)
		}
	}
}

func TestReadyIsForTheGenerationThatWasProven(t *testing.T) {
	s := inForceScope()
	s.winner.Status = s.testStatus()
	s.winner.Generation = 2
	s.decision.State = v1alpha1.StateServing
	status := s.testStatus()
	ready := apimeta.FindStatusCondition(status.Conditions, v1alpha1.ConditionReady)
	if status.ObservedGeneration != 2 || ready.ObservedGeneration != 1 {
		t.Errorf("status is of generation %d and Ready of %d, want 2 and 1", status.ObservedGeneration, ready.ObservedGeneration)
	}
}

func TestDNSThatPartsFromWhatWasPublishedIsExplained(t *testing.T) {
	const older = "20260101000000aaaaaaaa"
	spec := inForceScope().publication.Spec
	spec.FoundIDs = []string{"found1"}
	for name, tt := range map[string]struct {
		dns    publication.DNS
		reason string
		hint   string
	}{
		"nothing there": {publication.DNS{Answer: publication.Absent}, v1alpha1.ReasonMissing, "do this"},
		"nothing, says a resolver": {
			publication.DNS{Answer: publication.Absent, Secondhand: true}, v1alpha1.ReasonMissing, "set looks.resolvers",
		},
		"an unrelated text": {publication.DNS{Answer: publication.Found, Records: []string{"x"}}, v1alpha1.ReasonMissing, "do this"},
		"an older id of ours": {
			publication.DNS{Answer: publication.Found, Records: []string{"r"}, IDs: []string{older}},
			v1alpha1.ReasonDiffers, "do this",
		},
		"two records": {
			publication.DNS{Answer: publication.Found, Records: []string{"r", "s"}, IDs: []string{older, spec.AnnouncedID}},
			v1alpha1.ReasonSeveralRecords, "remove all but the one with id " + spec.AnnouncedID,
		},
		"an id that was there before": {
			publication.DNS{Answer: publication.Found, Records: []string{"r"}, IDs: []string{"found1"}},
			v1alpha1.ReasonForeignPublisher, "remove that record",
		},
		"an id from nowhere": {
			publication.DNS{Answer: publication.Found, Records: []string{"r"}, IDs: []string{"20990101000000aaaaaaaa"}},
			v1alpha1.ReasonForeignPublisher, "never minted",
		},
		"no answer": {publication.DNS{Answer: publication.Unknown, Message: "SERVFAIL"}, v1alpha1.ReasonLookupFailed, "SERVFAIL"},
	} {
		t.Run(name, func(t *testing.T) {
			reason, message := parted(spec, &tt.dns, "do this")
			if reason != tt.reason || !strings.Contains(message, tt.hint) {
				t.Errorf("parted() = %s, %q; want %s with %q", reason, message, tt.reason, tt.hint)
			}
		})
	}
}

func TestRecordsAreNotYetThereBeforeItIsSafe(t *testing.T) {
	s := inForceScope()
	s.publication.Spec.AnnouncedID, s.publication.Spec.InForceID = "", ""
	s.settings.Provider = v1alpha1.DNSManual
	s.decision.State = v1alpha1.StateServing
	s.observation.DNS = nil
	records := s.testStatus().Records
	last := records[len(records)-1]
	if want := (v1alpha1.Record{Name: "_mta-sts.example.com", Type: "TXT", TTLSeconds: 300, State: v1alpha1.RecordNotYet}); last != want {
		t.Errorf("the id's record is %+v, want %+v", last, want)
	}
}

func TestAPodThatServesSomethingElseIsNamed(t *testing.T) {
	host := mtasts.PolicyHost(testDomain)
	const want, older, newer, farFuture = "20260301000000aaaaaaaa", "20260201000000bbbbbbbb", "20260301010000cccccccc", "29991231235959cccccccc"
	reports := func(changes ...func([]report)) []report {
		r := []report{
			{pod: "b", node: "n2", ready: true, hosts: map[string]mtasts.ID{host: want}},
			{pod: "a", node: "n1", ready: true, hosts: map[string]mtasts.ID{host: want}},
		}
		for _, change := range changes {
			change(r)
		}
		return r
	}
	for name, tt := range map[string]struct {
		reports []report
		all     bool
		behind  string
		older   int
	}{
		"all serve it": {reports: reports(), all: true},
		"one serves a greater id, which nobody here has published": {
			reports: reports(func(r []report) { r[0].hosts[host] = newer }), behind: "b WrongBytes", older: 1,
		},
		"one serves an id of the far future": {
			reports: reports(func(r []report) { r[0].hosts[host] = farFuture }), behind: "b WrongBytes", older: 1,
		},
		"no pod at all":   {},
		"no pod is ready": {reports: reports(func(r []report) { r[0].ready, r[1].ready = false, false })},
		"one lags, ready": {
			reports: reports(func(r []report) { r[0].hosts[host] = older }), behind: "b ReplicaLagging", older: 1,
		},
		"one lags, not ready, so that senders did not see it": {
			reports: reports(func(r []report) { r[0].hosts[host], r[0].ready = older, false }), behind: "b ReplicaLagging",
		},
		"one does not know the host": {reports: reports(func(r []report) { r[0].hosts = nil }), behind: "b ReplicaLagging"},
		"one is lost":                {reports: reports(func(r []report) { r[1].failed, r[1].ready = true, false }), behind: "a ReplicaUnreachable"},
		"one is shut off":            {reports: reports(func(r []report) { r[1].failed = true }), behind: "a ProbeBlocked"},
	} {
		t.Run(name, func(t *testing.T) {
			s := servedBy(tt.reports, testDomain, want, true)
			behind := ""
			for _, b := range s.Behind {
				behind += fmt.Sprintf("%s %s", b.Pod, b.Problem)
			}
			if s.All() != tt.all || behind != tt.behind || len(s.Older) != tt.older {
				t.Errorf("servedBy() = all %v, behind %q, %d older; want %v, %q, %d", s.All(), behind, len(s.Older), tt.all, tt.behind, tt.older)
			}
		})
	}
}
