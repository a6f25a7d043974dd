package controllers

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/controllers/internal/publication"
)

const newestHandbook = "https://github.com/mta-sts-operator/mta-sts-operator/blob/main/docs/troubleshooting.md"

// condition is one as "Type=Status Reason: message".
func condition(t *testing.T, text string) metav1.Condition {
	t.Helper()
	head, message, ok := strings.Cut(text, ": ")
	kind, reason, ok2 := strings.Cut(head, " ")
	kind, status, ok3 := strings.Cut(kind, "=")
	if !ok || !ok2 || !ok3 {
		t.Fatalf("%q is no condition", text)
	}
	return metav1.Condition{Type: kind, Status: metav1.ConditionStatus(status), Reason: reason, Message: message}
}

func TestAMessageRefersToTheHandbookWhereSomebodyHasToAct(t *testing.T) {
	for name, conditions := range map[string][]string{
		"in force":                                     {"Ready=True InForce: x", "PolicyServed=True Served: x", "MXAligned=True NotEnforced: x", "CertificateReady=True NotManaged: x"},
		"on its way for the first time":                {"Ready=Unknown Serving: x", "PolicyServed=False NoReadyReplica: x", "CertificateReady=False Issuing: x", "DNSPublished=False NotYet: x", "PolicyReachable=Unknown NotLookedYet: x", "Reconciling=True Serving: x"},
		"a pod that is behind an edit":                 {"PolicyServed=False ReplicaLagging: x", "Reconciling=True ReplicaLagging: x"},
		"a pod that stays behind":                      {"Ready=False Broken: x #broken", "PolicyServed=False ReplicaLagging: x #replicalagging"},
		"a host that has just got its certificate":     {"PolicyReachable=False BrokenAnswer: x", "Reconciling=True BrokenAnswer: x"},
		"a host that stays broken":                     {"PolicyReachable=False BrokenAnswer: x #brokenanswer", "Ready=False BrokenAnswer: x #brokenanswer", "Stalled=True BrokenAnswer: x #brokenanswer"},
		"no issuer keeps the policy from being served": {"CertificateReady=False NoIssuer: x #noissuer", "Reconciling=True Serving: x"},
		"the API server refuses an object":             {"Ready=True InForce: x", "Reconciling=True ApplyFailed: x #applyfailed"},
		"in force, and a live MX host is refused":      {"Ready=True InForce: x", "MXAligned=False UncoveredMX: x #uncoveredmx"},
		"held":                               {"Ready=False UncoveredMX: x #uncoveredmx", "Stalled=True UncoveredMX: x #uncoveredmx", "DNSPublished=True Published: x"},
		"retiring":                           {"Reconciling=True Retiring: x"},
		"orphaned":                           {"Ready=True Orphaned: x"},
		"a stall refers whatever its reason": {"Stalled=True Observing: x #observing"},
	} {
		t.Run(name, func(t *testing.T) {
			var in, want []metav1.Condition
			for _, text := range conditions {
				text, anchor, ok := strings.Cut(text, " #")
				c := condition(t, text)
				in = append(in, c)
				if ok {
					c.Message += "; see " + newestHandbook + "#" + anchor
				}
				want = append(want, c)
			}
			if diff := cmp.Diff(want, handbookOf("dev").refer(in)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestAReleaseRefersToItsOwnHandbook(t *testing.T) {
	tag := handbook(strings.Replace(newestHandbook, "main", "v1.2.3", 1))
	for version, want := range map[string]handbook{
		"v1.2.3": tag, "": newestHandbook, "dev": newestHandbook, "v1.2.3-4-gabcdef0": newestHandbook, "v1.2.3-dirty": newestHandbook,
	} {
		if got := handbookOf(version); got != want {
			t.Errorf("version %q refers to %s", version, got)
		}
	}
}

// What was not observed keeps its message: with one reference, to what the operator is now (I9).
func TestAMessageThatIsKeptRefersOnce(t *testing.T) {
	for name, message := range map[string]string{
		"a sentence":              "remove that record",
		"one with its full stop":  "the CA said no.",
		"one that fills a status": strings.Repeat("ä", maxMessage),
		"nothing":                 "",
	} {
		t.Run(name, func(t *testing.T) {
			before := []metav1.Condition{{Type: v1alpha1.ConditionStalled, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonForeignPublisher, Message: message}}
			once := handbookOf("dev").refer(before)
			if before[0].Message != message {
				t.Error("what was given was changed")
			}
			if got := once[0].Message; len(got) > maxMessage || !strings.HasSuffix(got, "; see "+newestHandbook+"#foreignpublisher") {
				t.Errorf("%d bytes that end with %q", len(got), got[max(0, len(got)-150):])
			}
			if diff := cmp.Diff(once, handbookOf("dev").refer(once)); diff != "" {
				t.Errorf("(-once +twice):\n%s", diff)
			}
			upgraded := handbookOf("v1.2.3").refer(once)
			if got := upgraded[0].Message; strings.Count(got, "; see ") != 1 || !strings.Contains(got, "/v1.2.3/") {
				t.Errorf("after an upgrade: %s", got[max(0, len(got)-300):])
			}
		})
	}
}

// The sum of a condition that was kept has a reference of its own, and an event has none.
func TestBrokenRefersToItsOwnSection(t *testing.T) {
	s := inForceScope()
	s.observation.DNS = &publication.DNS{Tried: failing(3, 1e12), Answer: publication.Found}
	s.winner.Status = s.testStatus()
	s.winner.Status.Conditions = handbookOf("dev").refer(s.winner.Status.Conditions)
	s.observation.DNS = nil
	after := s.winner.DeepCopy()
	after.Status = s.testStatus()
	after.Status.Conditions = handbookOf("dev").refer(after.Status.Conditions)
	if diff := cmp.Diff(s.winner.Status, after.Status); diff != "" {
		t.Errorf("a pass that saw nothing new changes the status:\n%s", diff)
	}
	ready := apimeta.FindStatusCondition(after.Status.Conditions, v1alpha1.ConditionReady)
	if ready.Reason != v1alpha1.ReasonBroken || strings.Count(ready.Message, newestHandbook) != 1 || !strings.HasSuffix(ready.Message, "#broken") {
		t.Errorf("Ready is %s: %s", ready.Reason, ready.Message)
	}
	recorder := events.NewFakeRecorder(1)
	(&domainReconciler{recorder: recorder}).tellTurns(&v1alpha1.MTASTSPolicy{}, after)
	if told := <-recorder.Events; !strings.Contains(told, "DNS answers no policy id") || strings.Contains(told, "https://") {
		t.Errorf("event %q", told)
	}
}
