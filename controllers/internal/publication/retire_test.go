package publication

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
)

func TestAnEnforcePolicyDrainsBeforeAnythingGoes(t *testing.T) {
	w := newWorld(t)
	id := w.inForce(enforce(mx1, mx2))
	w.deletePolicy()
	w.advance(9 * time.Minute)
	w.wantState(v1alpha1.StateInForce, "")
	if w.spec.Current.ID != id {
		t.Fatal("retired within the grace")
	}
	w.until(v1alpha1.StateRetiring, 5*time.Minute)
	none := w.spec.Current
	if none.Mode != v1alpha1.ModeNone || none.MaxAgeSeconds != 86400 || !PolicyOf(*none).Equal(policy(mtasts.ModeNone, 86400, mx1, mx2)) || none.ID == id {
		t.Errorf("current %+v, want none with the mx kept, a day and a new id", none)
	}
	w.when("closed", 10*time.Minute, func() bool { return w.entry(id).CachedUntil != nil })
	until := w.entry(id).CachedUntil.Time
	if w.txt != none.ID || !w.last.Until.Equal(until) || !strings.Contains(w.last.Message, until.Format(time.RFC3339)) {
		t.Errorf("TXT %s, until %s (%s), want %s", w.txt, w.last.Until, w.last.Message, until)
	}
	w.advance(until.Sub(w.now) - 10*time.Second)
	w.wantState(v1alpha1.StateRetiring, v1alpha1.ReasonRetiring)
	if w.txt != none.ID {
		t.Fatal("the record went before senders' caches did")
	}
	w.advance(2 * time.Minute)
	w.wantState(v1alpha1.StateRemoving, v1alpha1.ReasonRetiring)
	if w.txt != "" || w.shard == nil || w.removed != 0 {
		t.Fatalf("TXT %q, shard %v, removed %d: the record goes first, alone", w.txt, w.shard, w.removed)
	}
	w.advance(10 * time.Minute)
	if w.spec != nil || w.removed != 1 || w.told(v1alpha1.ReasonRemoved) != 1 || w.told(v1alpha1.ReasonRetiring) != 1 {
		t.Errorf("spec %v, removed %d, told %d and %d times", w.spec, w.removed, w.told(v1alpha1.ReasonRemoved), w.told(v1alpha1.ReasonRetiring))
	}
	w.stayQuiet(day)
}

func TestADrainSaysThatItWaitsWhileNothingIsDated(t *testing.T) {
	w := newWorld(t)
	id := w.inForce(enforce(mx1, mx2))
	w.dnsStuck = true
	w.deletePolicy()
	w.advance(9 * day)
	w.wantState(v1alpha1.StateRetiring, v1alpha1.ReasonAnnouncing)
	if !w.last.Until.IsZero() || w.entry(id).CachedUntil != nil {
		t.Errorf("until %s, entry %+v: DNS never answered the new id", w.last.Until, w.entry(id))
	}
}

func TestTheRecordGoesOnlyAfterItsAbsenceAndATTL(t *testing.T) {
	w := newWorld(t)
	w.ttl = 3600
	w.inForce(trial(mx1))
	w.deletePolicy()
	w.dnsLag = 2 * time.Hour
	w.until(v1alpha1.StateRemoving, 15*time.Minute)
	if bound := w.spec.Retirement.RemovingSince.Add(day); !w.last.Until.Equal(bound) || !strings.Contains(w.last.Message, bound.UTC().Format(time.RFC3339)) {
		t.Errorf("until %s (%s), want %s at the latest", w.last.Until, w.last.Message, bound)
	}
	w.when("absent", 3*time.Hour, func() bool { return w.spec.Retirement.AbsentSince != nil })
	if gone := w.spec.Retirement.AbsentSince.Add(time.Hour); !w.last.Until.Equal(gone) || !strings.Contains(w.last.Message, gone.UTC().Format(time.RFC3339)) {
		t.Errorf("until %s (%s), want %s: a TTL after it was gone", w.last.Until, w.last.Message, gone)
	}
	if len(w.records) != 0 {
		t.Fatal("taken for absent although DNS answers it")
	}
	w.advance(58 * time.Minute)
	if w.removed != 0 {
		t.Fatal("removed although resolvers may still answer the id")
	}
	w.advance(5 * time.Minute)
	if w.removed != 1 {
		t.Errorf("not removed: %s", w.last.Message)
	}
}

func TestARecordThatDoesNotGoDelaysTheRestForADayOnly(t *testing.T) {
	for name, prepare := range map[string]func(w *world){
		"DNS goes on answering it":    func(w *world) { w.dnsStuck = true },
		"DNS gives no answer":         func(w *world) { w.dnsBroken = true },
		"its TTL is longer than that": func(w *world) { w.ttl = 14 * 86400; w.wake = w.now; w.pass() },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.inForce(trial(mx1))
			prepare(w)
			w.deletePolicy()
			w.until(v1alpha1.StateRemoving, 15*time.Minute)
			since := w.spec.Retirement.RemovingSince.Time
			w.advance(since.Add(day).Sub(w.now) - time.Minute)
			if w.removed != 0 {
				t.Fatal("removed within the day")
			}
			w.advance(3 * time.Minute)
			if w.removed != 1 {
				t.Errorf("not removed after a day: %s", w.last.Message)
			}
		})
	}
}

func TestAnyIDOfOursInDNSDelaysTheRest(t *testing.T) {
	w := newWorld(t)
	older := w.inForce(trial(mx1))
	w.dnsStuck = true
	w.want(trial(mx1, mx2))
	w.until(v1alpha1.StateAnnouncing, 5*time.Minute)
	w.deletePolicy()
	w.until(v1alpha1.StateRemoving, 15*time.Minute)
	w.advance(time.Hour)
	if got := w.records; !slices.Equal(got, []string{record(older)}) || w.spec == nil || w.spec.Retirement.AbsentSince != nil {
		t.Fatalf("DNS answers %q, and yet %s: %s", got, w.last.State, w.last.Message)
	}
	w.records, w.wake = []string{record("somebody-elses")}, w.now
	w.advance(10 * time.Minute)
	if w.removed != 1 {
		t.Errorf("not removed although DNS answers only what is not ours: %s", w.last.Message)
	}
}

func TestADrainIsLookedAtAgainWhenItsPodsHaveLaggedForLong(t *testing.T) {
	now := time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)
	spec := recorded(new(disabled(mx1)))
	spec.Ledger = []v1alpha1.LedgerEntry{{ID: "20250101000000deadbeef", MaxAgeSeconds: week}}
	spec.AnnouncedID, spec.PolicyGoneAt = "20250101000000deadbeef", stamped(now.Add(-time.Hour))
	spec.Retirement = &v1alpha1.Retirement{StartedAt: *stamped(now)}
	o := Observation{UID: "uid-1", TXTObject: spec.AnnouncedID, Servers: Servers{
		Known: true, Ready: 1, Since: now.Add(-9 * time.Minute), Behind: []Behind{{Pod: "p", Problem: v1alpha1.ReasonReplicaLagging}},
	}}
	if d := Decide(spec, o, now, DefaultTimings()); d.Need != NeedNothing || d.After == 0 || d.After > time.Minute {
		t.Errorf("need %q, again in %s: in a minute the pods have lagged for ten", d.Need, d.After)
	}
}

func TestWhatNobodyCanBeHurtByRetiresAtOnce(t *testing.T) {
	for _, tc := range []struct {
		name    string
		prepare func(w *world)
		// visible says whether a record has to leave DNS first.
		visible bool
	}{
		{"a testing policy", func(w *world) { w.inForce(trial(mx1)) }, true},
		{"a policy of mode none", func(w *world) { w.inForce(disabled(mx1)) }, true},
		{"a policy of mode none that DNS does not answer yet", func(w *world) {
			w.inForce(trial(mx1))
			w.dnsStuck = true
			w.want(disabled(mx1))
			w.until(v1alpha1.StateAnnouncing, 5*time.Minute)
			w.dnsStuck = false
		}, true},
		{"an enforce policy that was never announced", func(w *world) {
			w.pods[1].silent = true
			w.want(enforce(mx1, mx2))
			w.advance(time.Minute)
		}, false},
		{"a policy of mode none that was never announced", func(w *world) {
			w.pods[1].silent = true
			w.want(disabled(mx1))
			w.advance(time.Minute)
		}, false},
		{"an enforce policy that could be announced only now", func(w *world) {
			w.prepared = "waiting for the certificate"
			w.want(enforce(mx1, mx2))
			w.advance(time.Minute)
			w.onTick = func() {
				if w.spec != nil && w.spec.PolicyGoneAt != nil && !w.now.Before(w.spec.PolicyGoneAt.Add(w.tm.RetireGrace)) {
					w.prepared = ""
				}
			}
		}, false},
		{"a first policy that was held", func(w *world) { w.want(enforce(mx1)); w.advance(time.Minute) }, false},
		{"a held first policy with deletionPolicy Orphan", func(w *world) {
			w.want(enforce(mx1))
			w.claim.DeletionPolicy = v1alpha1.DeletionOrphan
			w.advance(time.Minute)
		}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			tc.prepare(w)
			var seen []string
			w.onTXT = func(_, id string) { seen = append(seen, id) }
			w.deletePolicy()
			w.advance(8 * time.Minute)
			if w.removed != 0 {
				t.Fatal("removed within the grace")
			}
			w.advance(20 * time.Minute)
			if w.removed != 1 {
				t.Errorf("still %s: %s", w.last.State, w.last.Message)
			}
			if tc.visible != (len(seen) == 1 && seen[0] == "") || (!tc.visible && len(seen) != 0) {
				t.Errorf("TXT became %q", seen)
			}
		})
	}
}

func TestATestingPolicyWithALiveLedgerPublishesNoneFirst(t *testing.T) {
	w := newWorld(t)
	w.inForce(enforce(mx1, mx2))
	w.inForce(trial(mx1, mx2))
	w.deletePolicy()
	w.until(v1alpha1.StateRetiring, 15*time.Minute)
	if w.spec.Current.Mode != v1alpha1.ModeNone {
		t.Errorf("mode %s: senders hold enforce for a week, and none may reach them sooner", w.spec.Current.Mode)
	}
	w.advance(6 * day)
	if w.removed != 0 {
		t.Error("removed while senders hold the enforce policy")
	}
	w.advance(2 * day)
	if w.removed != 1 {
		t.Error("not removed")
	}
}

func TestAContaminatedDrainHealsAndEnds(t *testing.T) {
	w := newWorld(t)
	a := w.inForce(enforce(mx1, mx2))
	old := w.spec.Current.DeepCopy()
	w.deletePolicy()
	w.until(v1alpha1.StateRetiring, 15*time.Minute)
	w.when("closed", 10*time.Minute, func() bool { return w.entry(a).CachedUntil != nil })
	none := w.spec.Current.ID
	w.advance(3 * day)
	w.pods[1].instance, w.wake = old, w.now
	w.advance(time.Minute)
	if w.entry(a).CachedUntil != nil {
		t.Fatal("the instance that was served again is not open")
	}
	w.pods[1].instance, w.wake = w.shard, w.now
	w.advance(10 * time.Minute)
	if w.spec.Current.ID == none || w.spec.Current.Mode != v1alpha1.ModeNone {
		t.Errorf("current %+v: a fresh id is needed to end renewals of the old body", w.spec.Current)
	}
	w.advance(6 * day)
	if w.removed != 0 {
		t.Error("removed while senders hold what was served again")
	}
	w.advance(2 * day)
	if w.removed != 1 {
		t.Errorf("the drain never ends: %s %s", w.last.State, w.last.Message)
	}
}

func TestABrokenPolicyHostDoesNotLockADrain(t *testing.T) {
	w := newWorld(t)
	w.inForce(enforce(mx1, mx2))
	w.fault = Broken
	w.deletePolicy()
	w.advance(30 * time.Minute)
	if w.txt != w.spec.Current.ID || w.told(v1alpha1.ReasonAnnouncedUnverified) != 1 {
		t.Errorf("TXT %s, current %s", w.txt, w.spec.Current.ID)
	}
	w.advance(8 * day)
	if w.removed != 1 {
		t.Errorf("not removed: %s %s", w.last.State, w.last.Message)
	}
}

func TestAPolicyThatAppearsCancelsARetirement(t *testing.T) {
	for _, tc := range []struct {
		name  string
		state v1alpha1.State
		first mtasts.Policy
	}{
		{"while it drains", v1alpha1.StateRetiring, enforce(mx1, mx2)},
		{"while it is removed", v1alpha1.StateRemoving, trial(mx1, mx2)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			id := w.inForce(tc.first)
			w.deletePolicy()
			w.until(tc.state, 15*time.Minute)
			w.claim = &Claim{Name: "again", UID: "policy-9", Preflight: v1alpha1.PreflightRequire}
			w.inForce(enforce(mx1, mx2, mx3))
			if w.spec.Retirement != nil || w.spec.PolicyGoneAt != nil || w.removed != 0 || w.txt != w.spec.Current.ID {
				t.Errorf("retirement %+v, removed %d, TXT %s", w.spec.Retirement, w.removed, w.txt)
			}
			if tc.first.Mode == mtasts.ModeEnforce && w.entry(id) == nil {
				t.Error("the ledger was not kept")
			}
			w.advance(time.Minute)
			w.stayQuiet(5 * day)
		})
	}
}

func TestOrphanLeavesEverything(t *testing.T) {
	w := newWorld(t)
	id := w.inForce(enforce(mx1, mx2))
	w.claim.DeletionPolicy = v1alpha1.DeletionOrphan
	w.wake = w.now
	w.advance(time.Minute)
	w.deletePolicy()
	w.advance(time.Hour)
	w.wantState(v1alpha1.StateOrphaned, "")
	w.stayQuiet(400 * day)
	if w.spec.Current.ID != id || w.txt != id {
		t.Errorf("current %s, TXT %s", w.spec.Current.ID, w.txt)
	}
	// Not even a contamination makes it act.
	w.foreign = &Seen{Policy: trial(mx3)}
	w.advance(day)
	w.foreign = nil
	w.advance(day)
	if w.spec.Current.ID != id {
		t.Error("an orphan got a fresh id")
	}
}

func TestImmediateRemovesEverythingOnceTheGraceIsOver(t *testing.T) {
	w := newWorld(t)
	w.inForce(enforce(mx1, mx2))
	w.claim.DeletionPolicy = v1alpha1.DeletionImmediate
	w.wake = w.now
	w.advance(time.Minute)
	w.deletePolicy()
	w.advance(9 * time.Minute)
	if w.removed != 0 {
		t.Fatal("a rename would have taken the domain down")
	}
	w.advance(2 * time.Minute)
	if w.removed != 1 || w.txt != "" {
		t.Errorf("removed %d, TXT %q", w.removed, w.txt)
	}
}

func TestAMassDisappearanceHoldsRetirements(t *testing.T) {
	for _, how := range []v1alpha1.DeletionPolicy{v1alpha1.DeletionDrain, v1alpha1.DeletionImmediate} {
		w := newWorld(t)
		id := w.inForce(enforce(mx1, mx2))
		w.claim.DeletionPolicy = how
		w.wake = w.now
		w.advance(time.Minute)
		w.retirementHeld = true
		w.deletePolicy()
		w.advance(30 * day)
		if w.removed != 0 || w.spec.Current.ID != id || !w.last.Stalled || !strings.Contains(w.last.Message, v1alpha1.ReleaseAnnotation) {
			t.Errorf("%s: removed %d, current %s, stalled %t, message %q", how, w.removed, w.spec.Current.ID, w.last.Stalled, w.last.Message)
		}
		w.retirementHeld = false
		w.advance(10 * day)
		if w.removed != 1 {
			t.Errorf("%s: not removed once released", how)
		}
	}
}

func TestARetirementThatHasBegunIsNotTurnedBack(t *testing.T) {
	w := newWorld(t)
	w.inForce(trial(mx1))
	w.deletePolicy()
	w.until(v1alpha1.StateRemoving, 15*time.Minute)
	w.retirementHeld = true
	w.onTXT = func(_, id string) { t.Errorf("the record came back with %q", id) }
	w.advance(30 * time.Minute)
	if w.removed != 1 {
		t.Errorf("%s: %s", w.last.State, w.last.Message)
	}
}

func TestAClockThatRunsAheadTakesNoRecordAway(t *testing.T) {
	w := newWorld(t)
	id := w.inForce(trial(mx1))
	w.deletePolicy()
	w.advance(time.Minute)
	w.restart(30 * day)
	w.advance(8 * time.Minute)
	w.wantState(v1alpha1.StateRetiring, v1alpha1.ReasonRetiring)
	if w.txt != id {
		t.Fatal("the record was removed within the grace")
	}
	w.until(v1alpha1.StateRemoving, 5*time.Minute)
}

func TestAGraceThatBeganInTheFutureBeginsNow(t *testing.T) {
	w := newWorld(t)
	w.inForce(trial(mx1))
	w.skew = 30 * day
	w.deletePolicy()
	w.pass()
	w.restart(0)
	w.advance(30 * time.Minute)
	if w.removed != 1 {
		t.Errorf("%s: gone since %v", w.last.State, w.spec.PolicyGoneAt)
	}
}

func TestAClockThatRunsAheadRemovesNothingWithinTheGrace(t *testing.T) {
	for name, skews := range map[string][2]time.Duration{
		"stepped after the policy was missed":   {0, 30 * day},
		"ahead already when it was missed":      {30 * day, 30 * day},
		"ahead, and further ahead after that":   {day, 30 * day},
		"with the API server's clock all along": {0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.inForce(enforce(mx1, mx2))
			w.claim.DeletionPolicy = v1alpha1.DeletionImmediate
			w.pass()
			w.restart(skews[0])
			w.deletePolicy()
			w.advance(time.Minute)
			w.restart(skews[1])
			w.advance(8 * time.Minute)
			if w.removed != 0 {
				t.Fatal("removed within the grace")
			}
			w.advance(15 * time.Minute)
			if w.removed != 1 {
				t.Errorf("not removed: %s %s", w.last.State, w.last.Message)
			}
		})
	}
}
