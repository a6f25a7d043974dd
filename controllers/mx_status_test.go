package controllers

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/controllers/internal/publication"
	"github.com/mta-sts-operator/mta-sts-operator/internal/sender"
)

// sawFailing notes that the live host failed so often, for so long.
func (s *scope) sawFailing(tries int, since time.Duration) {
	s.mail = map[string]mxSeen{"mx1.example.com": {
		Tried: failing(tries, since), fails: true,
		starttls: starttlsOf(probeOf("mx1.example.com", sender.Broken, sender.NoSTARTTLS), false),
	}}
}

// cached enters a policy into the ledger that covers nothing; zero means that it is still open.
func (s *scope) cached(until time.Duration) {
	e := v1alpha1.LedgerEntry{ID: "20260101000000aaaaaaaa", MX: []string{"old.example.com"}, MaxAgeSeconds: 604800}
	if until != 0 {
		e.CachedUntil = new(metav1.NewTime(testNow.Add(until)))
	}
	s.publication.Spec.Ledger = []v1alpha1.LedgerEntry{e}
}

func TestMXAlignedSaysWhoRefusesALiveHost(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*scope)
		want   string // status/reason
	}{
		"all is well": {func(*scope) {}, "True/Covered"},
		"a host that no pattern covers": {func(s *scope) {
			s.observation.MX.Hosts = []string{"mx9.example.com"}
		}, "False/UncoveredMX"},
		"the first look at a host fails": {func(s *scope) {
			s.winner.Status.Conditions = nil
			s.sawFailing(1, 0)
		}, "False/STARTTLSFailing"},
		"a host that worked fails once":                       {func(s *scope) { s.sawFailing(1, 0) }, "True/Covered"},
		"a host that worked fails three times in ten minutes": {func(s *scope) { s.sawFailing(3, 10*time.Minute) }, "False/STARTTLSFailing"},
		"after a restart nothing is known of a host that failed": {func(s *scope) {
			s.sawFailing(3, 10*time.Minute)
			s.winner.Status = s.testStatus()
			s.mail = nil
		}, "False/STARTTLSFailing"},
		"in mode testing nothing is refused": {func(s *scope) {
			s.publication.Spec.Current.Mode = v1alpha1.ModeTesting
			s.sawFailing(3, 10*time.Minute)
		}, "True/NotEnforced"},
		"in mode testing one failure is enough for a warning": {func(s *scope) {
			s.publication.Spec.Current.Mode = v1alpha1.ModeTesting
			s.winner.Status = s.testStatus()
			s.sawFailing(1, 0)
		}, "True/NotEnforced"},
		"a cached policy refuses a host that fails although the mode is testing": {func(s *scope) {
			s.publication.Spec.Current.Mode = v1alpha1.ModeTesting
			s.cached(24 * time.Hour)
			s.sawFailing(1, 0)
		}, "False/CachedPoliciesRefuse"},
		"a cached policy refuses the host for another day":    {func(s *scope) { s.cached(24 * time.Hour) }, "False/CachedPoliciesRefuse"},
		"a cached policy refused the host until a minute ago": {func(s *scope) { s.cached(-time.Minute) }, "True/Covered"},
		"a policy that may still be fetched refuses the host": {func(s *scope) { s.cached(0) }, "False/CachedPoliciesRefuse"},
		"a cached policy refuses the host although the mode is testing": {func(s *scope) {
			s.publication.Spec.Current.Mode = v1alpha1.ModeTesting
			s.cached(24 * time.Hour)
		}, "False/CachedPoliciesRefuse"},
	} {
		t.Run(name, func(t *testing.T) {
			s := inForceScope()
			s.winner.Status = s.testStatus()
			tt.change(s)
			got := apimeta.FindStatusCondition(s.testStatus().Conditions, v1alpha1.ConditionMXAligned)
			if is := string(got.Status) + "/" + got.Reason; is != tt.want {
				t.Errorf("MXAligned is %s (%s), want %s", is, got.Message, tt.want)
			}
		})
	}
}

func TestStatusShowsWhatAnMXHostDidUntilItIsAskedAgain(t *testing.T) {
	s := inForceScope()
	s.sawFailing(1, 0)
	want := []v1alpha1.MXHost{{Host: "mx1.example.com", State: v1alpha1.MXCovered, STARTTLS: &v1alpha1.STARTTLS{
		State: v1alpha1.STARTTLSFails, Reason: "NoSTARTTLS", Message: "mx1.example.com says NoSTARTTLS",
		Addresses: []v1alpha1.MXAddress{{Address: "192.0.2.1", State: v1alpha1.STARTTLSFails, Reason: "NoSTARTTLS"}},
	}}}
	s.winner.Status = s.testStatus()
	if diff := cmp.Diff(want, s.winner.Status.MX); diff != "" {
		t.Error(diff)
	}
	s.mail = map[string]mxSeen{"mx1.example.com": {asking: testNow}}
	if diff := cmp.Diff(want, s.testStatus().MX); diff != "" {
		t.Errorf("while it is being asked: %s", diff)
	}
	s.mail = map[string]mxSeen{"mx1.example.com": {
		Tried: publication.Tried{At: testNow}, starttls: starttlsOf(probeOf("mx1.example.com", sender.Pass, ""), false),
	}}
	if got := s.testStatus().MX[0].STARTTLS; got.State != v1alpha1.STARTTLSWorks || got.Message != "" {
		t.Errorf("once it works: %+v", got)
	}
}

func TestHostsThatTheStatusCannotHoldAreJudgedAllTheSame(t *testing.T) {
	s := inForceScope()
	s.publication.Spec.Current.MX = []string{"*.example.com"}
	s.observation.MX.Hosts = nil
	for i := range 200 {
		s.observation.MX.Hosts = append(s.observation.MX.Hosts, fmt.Sprintf("mx%03d.example.com", i))
	}
	odd := strings.Repeat(`\001`, 100) + ".example.org"
	s.observation.MX.Hosts = append(s.observation.MX.Hosts, odd)
	slices.Sort(s.observation.MX.Hosts)
	status := s.testStatus()
	got := apimeta.FindStatusCondition(status.Conditions, v1alpha1.ConditionMXAligned)
	if got.Reason != v1alpha1.ReasonUncoveredMX || !strings.Contains(got.Message, odd) {
		t.Errorf("MXAligned is %s: %s", got.Reason, got.Message)
	}
	if n := len(status.MX); n != 100 || slices.ContainsFunc(status.MX, func(h v1alpha1.MXHost) bool { return len(h.Host) > 253 }) {
		t.Errorf("%d hosts are shown, %q first", n, status.MX[0].Host)
	}
}

func TestAHostThatThePolicyNamesIsDatedBeforeItIsLive(t *testing.T) {
	s := inForceScope()
	s.publication.Spec.Current.MX = []string{"*.mail.example.net", "mx1.example.com", "mx2.example.com"}
	s.publication.Spec.Ledger = []v1alpha1.LedgerEntry{{
		ID: "20260101000000aaaaaaaa", MX: []string{"mx1.example.com"}, MaxAgeSeconds: 604800,
		CachedUntil: new(metav1.NewTime(testNow.Add(time.Hour))),
	}}
	want := []v1alpha1.MXHost{
		{Host: "mx1.example.com", State: v1alpha1.MXCovered},
		{Host: "mx2.example.com", State: v1alpha1.MXPrepared, SafeAfter: s.publication.Spec.Ledger[0].CachedUntil, Message: "do not point an MX record at this host before " +
			testNow.Add(time.Hour).UTC().Format(time.RFC3339) + ": policy 20260101000000aaaaaaaa, cached by senders, refuses it"},
	}
	status := s.testStatus()
	if diff := cmp.Diff(want, status.MX); diff != "" {
		t.Error(diff)
	}
	if !apimeta.IsStatusConditionTrue(status.Conditions, v1alpha1.ConditionMXAligned) {
		t.Error("a host without an MX record is refused by nobody")
	}
}
