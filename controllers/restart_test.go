package controllers

import (
	"testing"
	"time"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/controllers/internal/publication"
)

func TestAStatusThatTheLastOperatorDidNotLiveToWriteIsCorrected(t *testing.T) {
	s := inForceScope()
	current := s.publication.Spec.InForceID
	s.publication.Spec.InForceID = "" // the id is on its way
	s.observation.DNS = nil
	s.decision.State = v1alpha1.StateAnnouncing
	s.winner.Status = s.testStatus()
	s.publication.Spec.InForceID = current // written down just before the operator ended
	s.decision.State = v1alpha1.StateInForce
	status := s.testStatus()
	if s.well() {
		t.Error("a status that is behind counts as well")
	}
	s.winner.Status = status
	if !s.well() {
		t.Errorf("not Ready although DNS was seen to answer: %+v", status.Conditions)
	}
}

func TestADomainThatIsNotWellIsLookedAtSoonAfterARestart(t *testing.T) {
	timings := publication.DefaultTimings()
	m := &memory{domain: "far.into.the.interval.example"}
	if well := m.restDue("id", true, testNow, timings); well.Sub(testNow) <= timings.PollMost {
		t.Fatalf("the domain is due after %v even if it is well: the test proves nothing", well.Sub(testNow))
	}
	m = &memory{domain: m.domain}
	if due := m.restDue("id", false, testNow, timings); due.Sub(testNow) > time.Minute {
		t.Errorf("due after %v", due.Sub(testNow))
	}
}
