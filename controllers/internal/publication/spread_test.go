package publication

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
)

func stamped(t time.Time) *metav1.Time { return new(metav1.NewTime(t)) }

// serving is a world whose instance is recorded and served by every pod, but not announced yet
// because the policy URL fails.
func serving(t *testing.T, visible bool, fault Outcome) *world {
	t.Helper()
	w := newWorld(t)
	if visible {
		w.inForce(trial(mx1, mx2))
	}
	w.setFault(fault)
	w.want(trial(mx1))
	w.when("served", time.Minute, func() bool {
		return w.spec != nil && w.spec.Current != nil && w.pods[1].id() == w.spec.Current.ID && PolicyOf(*w.spec.Current).Equal(trial(mx1))
	})
	return w
}

func (w *world) setFault(fault Outcome) {
	w.fault, w.foreign = fault, nil
	if fault == WrongBody {
		w.foreign = &Seen{Policy: trial(mx3)}
	}
}

func TestTheServedGuardNamesWhatItWaitsFor(t *testing.T) {
	for _, tc := range []struct {
		name   string
		break1 func(w *world)
		reason string
		says   string
	}{
		{"a pod that lags", func(w *world) { w.pods[1].due = time.Time{} }, v1alpha1.ReasonReplicaLagging, "pod pod-b on node node-b serves nothing"},
		{"no pod at all", func(w *world) { w.pods = nil }, v1alpha1.ReasonNoReadyReplica, "no pod"},
		{"no pod that is ready", func(w *world) { w.pods[0].ready, w.pods[1].ready = false, false }, v1alpha1.ReasonNoReadyReplica, "no pod"},
		{"an unreachable pod on a lost node", func(w *world) { w.pods[1].silent, w.pods[1].ready = true, false }, v1alpha1.ReasonReplicaUnreachable, "pod pod-b on node node-b does not answer and may still be running"},
		{"a ready pod that does not answer", func(w *world) { w.pods[1].silent, w.pods[1].silentSince = true, w.now }, v1alpha1.ReasonProbeBlocked, "NetworkPolicies"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			w.want(trial(mx1))
			w.pass()
			tc.break1(w)
			w.advance(5 * time.Minute)
			w.wantState(v1alpha1.StateServing, tc.reason)
			if !strings.Contains(w.last.Message, tc.says) {
				t.Errorf("message %q does not say %q", w.last.Message, tc.says)
			}
			if w.txt != "" || w.spec.AnnouncedID != "" || w.looks[NeedPublic] != 0 {
				t.Errorf("TXT %q, announced %q, %d public looks before every pod serves", w.txt, w.spec.AnnouncedID, w.looks[NeedPublic])
			}
		})
	}
}

func TestPodsThatWereNotAskedYetProveNothing(t *testing.T) {
	s := Servers{Ready: 2}
	if s.All() {
		t.Error("unasked pods count as serving")
	}
	if reason, message := Lag(s, "x"); reason != v1alpha1.ReasonNotAskedYet || !strings.Contains(message, "not been asked") {
		t.Errorf("%s: %s", reason, message)
	}
	reason, message := Lag(Servers{Known: true, Ready: 2, Behind: []Behind{{Pod: "p", Node: "n", Problem: v1alpha1.ReasonWrongBytes}, {Pod: "q"}, {Pod: "r"}}}, "x")
	if reason != v1alpha1.ReasonWrongBytes || !strings.Contains(message, "other bytes than id x") || !strings.HasSuffix(message, "(and 2 more)") {
		t.Errorf("%s: %s", reason, message)
	}
}

func TestAPodOnItsWayOutThatIsNotReadyDoesNotCount(t *testing.T) {
	w := newWorld(t)
	w.pods[1].silent, w.pods[1].ready, w.pods[1].terminating = true, false, true
	w.inForce(trial(mx1))
}

func TestBlockedProbesStallAfterTenMinutes(t *testing.T) {
	w := newWorld(t)
	w.want(trial(mx1))
	w.pass()
	w.pods[1].silent, w.pods[1].silentSince = true, w.now
	w.advance(9 * time.Minute)
	if w.last.Stalled {
		t.Error("stalled too early")
	}
	w.advance(2 * time.Minute)
	if !w.last.Stalled {
		t.Error("not stalled after ten minutes")
	}
	w.pods[1].silent = false
	w.until(v1alpha1.StateInForce, 2*time.Minute)
}

func TestThePublicLookDecidesByWhetherAnIDIsVisible(t *testing.T) {
	for _, tc := range []struct {
		name    string
		visible bool
		fault   Outcome
		reason  string
		// goes says whether the id goes ahead after the delay.
		goes bool
	}{
		{"a first id waits while the URL serves another policy", false, WrongBody, v1alpha1.ReasonWrongBody, false},
		{"a first id waits while the URL is broken", false, Broken, v1alpha1.ReasonBrokenAnswer, false},
		{"a first id waits while the URL does not answer", false, NoAnswer, v1alpha1.ReasonNoAnswer, false},
		{"a later id waits while the URL serves another policy", true, WrongBody, v1alpha1.ReasonWrongBody, false},
		{"a later id waits ten minutes while the URL is broken", true, Broken, v1alpha1.ReasonBrokenAnswer, true},
		{"a later id waits ten minutes while the URL does not answer", true, NoAnswer, v1alpha1.ReasonNoAnswer, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := serving(t, tc.visible, tc.fault)
			before := w.txt
			w.advance(9*time.Minute + 30*time.Second)
			w.wantState(v1alpha1.StateServing, tc.reason)
			if w.txt != before || w.spec.AnnouncedID == w.spec.Current.ID {
				t.Fatal("announced before the delay was over")
			}
			if strings.Contains(w.last.Message, "DNS") {
				t.Errorf("%q, but DNS answers whenever it is asked", w.last.Message)
			}
			w.advance(3 * time.Minute)
			if gone := w.txt == w.spec.Current.ID; gone != tc.goes {
				t.Fatalf("after the delay announced is %t, want %t", gone, tc.goes)
			}
			want := 0
			if tc.goes {
				want = 1
				w.until(v1alpha1.StateInForce, time.Minute)
			}
			if got := w.told(v1alpha1.ReasonAnnouncedUnverified); got != want {
				t.Errorf("%d events %s, want %d", got, v1alpha1.ReasonAnnouncedUnverified, want)
			}
			if !tc.goes {
				w.advance(day)
				if w.txt != before || !w.last.Stalled && tc.fault != NoAnswer {
					t.Errorf("a day later: TXT %q, stalled %t", w.txt, w.last.Stalled)
				}
				w.setFault("")
				within := 3 * time.Minute
				if !tc.visible {
					within += DefaultTimings().LookInterval // of a day, a quarter would be more
				}
				w.until(v1alpha1.StateInForce, within)
			}
		})
	}
}

func TestSilenceThatMayBeTheOperatorsAloneHoldsALaterID(t *testing.T) {
	for _, tc := range []struct {
		name  string
		world func(w *world)
		says  string
		end   func(w *world)
	}{
		{
			"where another policy was served before",
			func(w *world) { w.setFault(WrongBody); w.advance(time.Hour); w.setFault(NoAnswer) },
			"when it last answered it served another policy",
			func(w *world) { w.advance(day) },
		},
		{
			"where it began to be served before the id was minted",
			func(w *world) {
				w.setFault(WrongBody)
				w.advance(time.Hour)
				w.want(trial(mx2))
				w.setFault(NoAnswer)
				w.advance(time.Minute)
			},
			"when it last answered it served another policy",
			func(w *world) { w.setFault(Broken) },
		},
		{
			"while DNS does not answer either",
			func(w *world) { w.dnsBroken = true },
			"DNS does not answer the operator either",
			func(w *world) { w.dnsBroken = false },
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := serving(t, true, NoAnswer)
			tc.world(w)
			before := w.txt
			w.advance(20 * time.Hour)
			if w.txt != before || !strings.Contains(w.last.Message, tc.says) {
				t.Errorf("TXT %s after %s, %q", w.txt, before, w.last.Message)
			}
			tc.end(w)
			w.advance(15 * time.Minute)
			if w.txt != w.spec.Current.ID || w.told(v1alpha1.ReasonAnnouncedUnverified) != 1 {
				t.Errorf("TXT %s, want %s to go ahead", w.txt, w.spec.Current.ID)
			}
		})
	}
}

func TestAnAnswerThatEverySenderRejectsCountsWithoutDNS(t *testing.T) {
	w := serving(t, true, Broken)
	w.dnsBroken = true
	w.advance(15 * time.Minute)
	if w.txt != w.spec.Current.ID {
		t.Errorf("TXT %s, want %s: nobody can form a wrong pair", w.txt, w.spec.Current.ID)
	}
}

func TestAnOldLookDoesNotLetAnIDGoAheadUnverified(t *testing.T) {
	w := serving(t, true, Broken)
	w.advance(time.Minute)
	o := w.observe()
	o.Public = new(*o.Public)
	o.Public.At = w.now.Add(-time.Hour)
	o.Public.Since = w.now.Add(-2 * time.Hour)
	if d := Decide(w.spec, o, w.now, w.tm); d.Need != NeedPublic {
		t.Errorf("needs %q, want another public look first", d.Need)
	}
}

func TestAnIDThatGoesAheadUnverifiedIsToldOnlyOnceItDoes(t *testing.T) {
	w := serving(t, true, Broken)
	w.advance(time.Minute)
	o := w.observe()
	o.Public = new(*o.Public)
	o.Public.At, o.Public.Since, o.ConfirmTried = w.now, w.now.Add(-time.Hour), true
	d := Decide(w.spec, o, w.now, w.tm)
	if d.Need != NeedNothing || len(d.Events) != 0 || d.Spec.AnnouncedID == d.Spec.Current.ID {
		t.Errorf("without confirmation: need %q, events %v", d.Need, d.Events)
	}
	o.Confirmed = w.spec.Current.ID
	if d = Decide(w.spec, o, w.now, w.tm); len(d.Events) != 2 || !d.Events[0].Warning {
		t.Errorf("with confirmation: events %v, want a warning and the announcement", d.Events)
	}
}

func TestDNSIsAskedAgainWhileACertificateIsMissing(t *testing.T) {
	w := serving(t, true, Broken)
	o := w.observe()
	o.Prepared, o.PreparedIn = "waiting for the policy host's certificate", 0
	o.DNS = &DNS{Tried: Tried{At: w.now}, Answer: Absent}
	d := Decide(w.spec, o, w.now, w.tm)
	if d.Message != o.Prepared || d.After == 0 || d.After > w.tm.UnverifiedDelay {
		t.Errorf("%q, again after %s: nobody but DNS tells when the older id is back", d.Message, d.After)
	}
}

func TestNotReachableFromTheClusterStallsAtOnce(t *testing.T) {
	w := serving(t, false, NoAnswer)
	w.advance(time.Second)
	o := w.observe()
	o.Public = new(*o.Public)
	o.Public.At, o.Public.Since, o.Public.Reason = w.now, w.now, v1alpha1.ReasonNotReachableFromCluster
	d := Decide(w.spec, o, w.now, w.tm)
	if !d.Stalled || d.Reason != v1alpha1.ReasonNotReachableFromCluster {
		t.Errorf("stalled %t, reason %s", d.Stalled, d.Reason)
	}
}

func TestNoPublicLookIsMadeBeforeTheHostIsPrepared(t *testing.T) {
	w := newWorld(t)
	w.prepared = "waiting for the policy host's certificate"
	w.want(trial(mx1))
	w.advance(time.Hour)
	w.wantState(v1alpha1.StateServing, v1alpha1.ReasonServing)
	if w.looks[NeedPublic] != 0 || w.last.Message != w.prepared {
		t.Errorf("%d looks, message %q", w.looks[NeedPublic], w.last.Message)
	}
	w.prepared = ""
	w.until(v1alpha1.StateInForce, 3*time.Minute)
	// Once an id is visible a certificate that is renewed, or gone, holds nothing back.
	w.prepared = "waiting for the policy host's certificate"
	w.inForce(trial(mx2))
}

func TestConfirmationIsAskedForOncePerPass(t *testing.T) {
	w := serving(t, false, NoAnswer)
	w.setFault("")
	w.advance(time.Second)
	o := w.observe()
	o.Public = &Public{For: w.spec.Current.ID, Outcome: Pass, Tried: Tried{At: w.now}}
	if d := Decide(w.spec, o, w.now, w.tm); d.Need != NeedConfirmation {
		t.Fatalf("needs %q, want a confirmation", d.Need)
	}
	o.ConfirmTried = true
	d := Decide(w.spec, o, w.now, w.tm)
	if d.Need != NeedNothing || d.After != w.tm.PollFirst || d.TXT == TXTPublish || d.Spec.AnnouncedID != "" {
		t.Errorf("unconfirmed: need %q, after %s, TXT %s, announced %q", d.Need, d.After, d.TXT, d.Spec.AnnouncedID)
	}
	o.Confirmed = "20260101000000deadbeef"
	if d = Decide(w.spec, o, w.now, w.tm); d.Spec.AnnouncedID != "" {
		t.Error("the confirmation of another id counted")
	}
	o.Confirmed = w.spec.Current.ID
	if d = Decide(w.spec, o, w.now, w.tm); d.Spec.AnnouncedID != w.spec.Current.ID || d.TXT != TXTPublish || d.State != v1alpha1.StateAnnouncing {
		t.Errorf("confirmed: announced %q, TXT %s, state %s", d.Spec.AnnouncedID, d.TXT, d.State)
	}
}

func TestAnInstanceIsNotAnnouncedByWhatWasSeenOfTheOneBefore(t *testing.T) {
	w := newWorld(t)
	w.inForce(trial(mx1))
	w.want(trial(mx2))
	d := Decide(w.spec, w.observe(), w.clock(), w.tm)
	if d.Need != NeedNothing || d.State != v1alpha1.StateServing || d.Spec.AnnouncedID == d.Spec.Current.ID {
		t.Errorf("in the pass that mints: need %q, state %s, announced %s", d.Need, d.State, d.Spec.AnnouncedID)
	}
	if d.TXT != TXTPublish || d.Spec.AnnouncedID != w.txt {
		t.Errorf("TXT action %s: the older id stays meanwhile", d.TXT)
	}
}

func TestOnlyDNSThatAnswersExactlyTheIDPutsItInForce(t *testing.T) {
	for _, tc := range []struct {
		name    string
		records func(id string) []string
		force   bool
	}{
		{"exactly one record with the id", func(id string) []string { return []string{record(id)} }, true},
		{"no record", func(string) []string { return nil }, false},
		{"an older id", func(string) []string { return []string{record("20260101000000deadbeef")} }, false},
		{"the id beside an older one", func(id string) []string { return []string{record(id), record("20260101000000deadbeef")} }, false},
		{"the id twice", func(id string) []string { return []string{record(id), record(id)} }, false},
		{"the id beside a stranger's text", func(id string) []string { return []string{record(id), "v=spf1 -all"} }, false},
		{"only a stranger's text", func(string) []string { return []string{"v=spf1 -all"} }, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			w.dnsStuck = true
			w.want(trial(mx1))
			w.until(v1alpha1.StateAnnouncing, 5*time.Minute)
			w.records = tc.records(w.txt)
			w.advance(2 * time.Minute)
			if got := w.last.State == v1alpha1.StateInForce; got != tc.force {
				t.Errorf("state %s", w.last.State)
			}
			w.records = []string{record(w.txt)}
			w.until(v1alpha1.StateInForce, 2*time.Minute)
		})
	}
}

func TestDNSAnswersFromBeforeTheAnnouncementDoNotCount(t *testing.T) {
	w := newWorld(t)
	w.dnsStuck = true
	w.want(trial(mx1))
	w.until(v1alpha1.StateAnnouncing, 5*time.Minute)
	o := w.observe()
	o.DNS = &DNS{Tried: Tried{At: w.spec.AnnouncedAt.Add(-time.Second)}, Answer: Found, Records: []string{record(w.txt)}, IDs: []string{w.txt}}
	if d := Decide(w.spec, o, w.now, w.tm); d.Spec.InForceID != "" {
		t.Error("an older look put the id in force")
	}
}

func TestACrashBetweenTheRecordAndDNSIsResumed(t *testing.T) {
	for _, tc := range []struct {
		name  string
		first bool
	}{{"of the first id, whose object is missing", true}, {"of a later id, whose object is older", false}} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			before := ""
			if !tc.first {
				before = w.inForce(trial(mx1, mx2))
			}
			w.want(trial(mx1))
			// Meanwhile a pod comes back with nothing: DNS must not hear of the id before it serves it.
			var lost *v1alpha1.Instance
			w.onSpec = func(_, after *v1alpha1.MTASTSPublicationSpec) {
				if after.AnnouncedID != before && lost == nil {
					w.crash, lost, w.pods[1].instance = true, w.pods[1].instance, nil
				}
			}
			w.when("announced in the record", time.Minute, func() bool { return lost != nil })
			w.looks[NeedConfirmation] = 0
			w.advance(time.Minute)
			w.wantState(v1alpha1.StateServing, v1alpha1.ReasonReplicaLagging)
			if w.txt != before || w.spec.AnnouncedID == before {
				t.Fatalf("TXT %q, announced %q: the record was written although a pod does not serve the instance", w.txt, w.spec.AnnouncedID)
			}
			w.pods[1].instance = lost
			w.wake = w.now
			w.until(v1alpha1.StateInForce, 2*time.Minute)
			if w.looks[NeedConfirmation] == 0 {
				t.Error("the pods were not asked again")
			}
		})
	}
}

func TestATXTObjectEditedByHandIsPutRight(t *testing.T) {
	for _, edit := range []string{"abc", "20200101000000deadbeef", "?"} {
		t.Run(edit, func(t *testing.T) {
			w := newWorld(t)
			id := w.inForce(trial(mx1))
			w.looks[NeedConfirmation] = 0
			w.setTXT(edit)
			w.pass()
			if w.txt != id || w.looks[NeedConfirmation] != 1 {
				t.Errorf("TXT %q after %d confirmations, want %s after one", w.txt, w.looks[NeedConfirmation], id)
			}
			w.advance(time.Hour)
			w.wantState(v1alpha1.StateInForce, "")
		})
	}
}

func TestATXTObjectDeletedByHandComesBackAtOnce(t *testing.T) {
	w := newWorld(t)
	id := w.inForce(trial(mx1))
	w.pods[0].silent = true // even while nobody can be asked: a dark record protects nobody (I2)
	w.setTXT("")
	w.pass()
	if w.txt != id {
		t.Errorf("TXT %q, want %s", w.txt, id)
	}
}

func TestTheOlderIDStaysWhileANewerInstanceSpreads(t *testing.T) {
	w := newWorld(t)
	id := w.inForce(trial(mx1, mx2))
	w.pods[0].silent = true
	w.want(trial(mx1))
	w.pass()
	w.setTXT("")
	w.pass()
	if w.txt != id {
		t.Errorf("TXT %q, want the older id %s to be put back", w.txt, id)
	}
	w.setTXT("abc")
	w.pass()
	if w.last.TXT != TXTLeave {
		t.Errorf("TXT action %s on an object with a stranger's id while nothing can be confirmed", w.last.TXT)
	}
}

func TestANewerEditOvertakesAnIDThatDNSNeverSaw(t *testing.T) {
	for _, first := range []bool{true, false} {
		w := newWorld(t)
		a := ""
		if !first {
			a = w.inForce(enforce(mx1, mx2))
		}
		w.want(enforce(mx1, mx2, mx3))
		w.onSpec = func(_, after *v1alpha1.MTASTSPublicationSpec) {
			w.crash = after.AnnouncedID != "" && after.AnnouncedID == after.Current.ID
		}
		w.when("crashed", time.Minute, func() bool { return w.spec != nil && w.spec.AnnouncedID != a })
		w.onSpec = nil
		b := w.spec.AnnouncedID
		w.want(enforce(mx1, mx2, "mx4.example.com"))
		seen := []string{}
		w.onTXT = func(_, id string) { seen = append(seen, id) }
		w.until(v1alpha1.StateInForce, 5*time.Minute)
		if len(seen) != 1 || seen[0] != w.spec.Current.ID {
			t.Errorf("TXT became %v: the overtaken id %s must not go to DNS any more", seen, b)
		}
		if w.entry(b) == nil {
			t.Errorf("first %t: the overtaken instance is not in the ledger, although its id may have been visible", first)
		}
	}
}

func TestMinimalFactsOfTheHelpers(t *testing.T) {
	if ReasonFor(&Public{Outcome: Pass}) != v1alpha1.ReasonReachable {
		t.Error("a look that passes is not Reachable")
	}
	var none *DNS
	if none.Exactly("x") || (&DNS{Answer: Found, Records: []string{record("")}, IDs: []string{""}}).Exactly("") {
		t.Error("no answer, or no id, is exactly nothing")
	}
	tm := DefaultTimings()
	for tries, want := range map[int]time.Duration{0: 2 * time.Second, 1: 4 * time.Second, 4: 32 * time.Second, 5: time.Minute, 50: time.Minute} {
		if got := tm.pollAfter(tries); got != want {
			t.Errorf("after %d tries wait %s, want %s", tries, got, want)
		}
	}
}

func TestAnIDThatDNSLostIsAnnouncedLikeAFirstOne(t *testing.T) {
	w := newWorld(t)
	id := w.inForce(trial(mx1, mx2))
	w.records, w.dnsStuck = nil, true
	w.advance(2 * time.Hour)
	w.setFault(Broken)
	w.want(trial(mx1))
	w.advance(day)
	w.wantState(v1alpha1.StateServing, v1alpha1.ReasonBrokenAnswer)
	if w.txt != id {
		t.Errorf("TXT %s: nobody sees an id, so nothing is gained by one in front of a broken host", w.txt)
	}
}
