package publication

import (
	"strings"
	"testing"
	"time"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
)

func TestAFewIDsAtOnceAndThenOneAMinute(t *testing.T) {
	now, tm := time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC), DefaultTimings()
	var m Mints
	for i := range tm.MintBurst {
		if next := m.Pace(now, tm).Next; !next.IsZero() {
			t.Fatalf("number %d waits until %s", i+1, next)
		}
		m.Note(now, false, tm)
	}
	for range 3 {
		next := m.Pace(now, tm).Next
		if want := now.Add(tm.MintInterval); !next.Equal(want) {
			t.Fatalf("the next one at %s, want %s", next, want)
		}
		now = next
		if p := m.Pace(now, tm); p != (Pace{}) {
			t.Fatalf("a minute later: %+v", p)
		}
		m.Note(now, false, tm)
	}
	for range 100 { // as by leaving enforce, which does not wait
		m.Note(now, false, tm)
	}
	if next, want := m.Pace(now, tm).Next, now.Add(tm.MintInterval); next.After(want) {
		t.Errorf("what did not wait makes the next one wait until %s, want %s", next, want)
	}
	now = now.Add(-day)
	if next, want := m.Pace(now, tm).Next, now.Add(tm.MintInterval); !next.Equal(want) {
		t.Errorf("once the clock is set back the next one waits until %s, want %s", next, want)
	}
	if p := m.Pace(now.Add(tm.MintInterval), tm); p != (Pace{}) {
		t.Errorf("a minute later: %+v", p)
	}
}

func TestAClockThatIsSetBackDelaysNoEdit(t *testing.T) {
	w := newWorld(t)
	w.inForce(enforce(mx1, mx2))
	w.advance(time.Hour)
	w.skew = -2 * day // under the operator that there is
	began := w.now
	w.inForce(enforce(mx1, mx2, mx3))
	if took := w.now.Sub(began); took > 2*time.Minute {
		t.Errorf("it took %s", took)
	}
}

func TestThreeIDsAnHourExceedSomebodyElses(t *testing.T) {
	start, tm := time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC), DefaultTimings()
	var m Mints
	for i := range 3 {
		now := start.Add(time.Duration(i) * 10 * time.Minute)
		if p := m.Pace(now, tm); !p.Overtake.IsZero() {
			t.Fatalf("number %d waits until %s", i+1, p.Overtake)
		}
		m.Note(now, true, tm)
	}
	now := start.Add(30 * time.Minute)
	m.Note(now, false, tm)
	if got := m.Pace(now, tm).Overtake; !got.Equal(start.Add(time.Hour)) {
		t.Errorf("the fourth at %s", got)
	}
	m.Note(start.Add(time.Hour), true, tm)
	if got := m.Pace(start.Add(time.Hour), tm).Overtake; !got.Equal(start.Add(70 * time.Minute)) {
		t.Errorf("the fifth at %s", got)
	}
	now = start.Add(time.Hour - day)
	if got := m.Pace(now, tm).Overtake; !got.Equal(now.Add(10 * time.Minute)) {
		t.Errorf("once the clock is set back it waits until %s", got)
	}
}

// flip lets two tools set the two policies in turn, every half second.
func (w *world) flip(one, other mtasts.Policy, during time.Duration) {
	w.t.Helper()
	for end := w.now.Add(during); w.now.Before(end); one, other = other, one {
		w.want(one)
		w.advance(500 * time.Millisecond)
	}
}

// aheadOfClock is how far the last id is ahead.
func (w *world) aheadOfClock() time.Duration { return mtasts.ID(w.spec.LastID).Time().Sub(w.now) }

func TestTwoToolsAtWarReachDNSAndTheLastWishWins(t *testing.T) {
	for name, other := range map[string]mtasts.Policy{
		"both enforce": enforce(mx1, mx2, mx3), "one tests": trial(mx1, mx2), "one ends it": disabled(mx1, mx2),
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			one := enforce(mx1, mx2)
			w.inForce(one)
			w.advance(10 * time.Minute)
			before, announced := w.minted, w.told(v1alpha1.ReasonAnnounced)
			w.flip(other, one, 10*time.Minute)
			// Beside the burst and one a minute only what left enforce, each after having entered it.
			if n := w.minted - before; n > 2*(5+10)+1 {
				t.Errorf("%d ids in ten minutes", n)
			}
			if ahead := w.aheadOfClock(); ahead > 10*time.Second {
				t.Errorf("the last id is %s ahead of the clock", ahead)
			}
			if n := w.told(v1alpha1.ReasonAnnounced) - announced; n < 5 {
				t.Errorf("DNS got %d ids in ten minutes", n)
			}
			w.inForce(one)
			if w.spec.Current.MaxAgeSeconds != week || w.minted-before > 2*(5+10)+3 {
				t.Errorf("%d ids, the last for %+v", w.minted-before, w.spec.Current)
			}
			w.advance(time.Minute)
			w.stayQuiet(time.Hour)
		})
	}
}

func TestWhatWaitsForItsTurnSaysSoAndUntilWhen(t *testing.T) {
	w := newWorld(t)
	w.inForce(enforce(mx1, mx2))
	w.advance(10 * time.Minute)
	w.flip(enforce(mx1, mx2, mx3), enforce(mx1, mx2), 10*time.Second)
	w.wantState(v1alpha1.StateHeld, v1alpha1.ReasonChangesTooFrequent)
	next := w.mints.Pace(w.now, w.tm).Next
	if w.last.Stalled || !strings.Contains(w.last.Message, "until "+next.Format(time.RFC3339)) {
		t.Errorf("stalled %t: %s", w.last.Stalled, w.last.Message)
	}
	want := enforce("*.example.com")
	w.want(want)
	w.pass()
	w.advance(next.Sub(w.now))
	if !PolicyOf(*w.spec.Current).Equal(want) {
		t.Errorf("current %+v at %s, want the last wish", w.spec.Current, w.now)
	}
}

func TestLeavingEnforceNeverWaitsForItsTurn(t *testing.T) {
	for name, wanted := range map[string]mtasts.Policy{"testing": trial(mx1, mx2), "none": disabled(mx1, mx2)} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.inForce(enforce(mx1, mx2))
			w.advance(10 * time.Minute)
			w.flip(enforce(mx1, mx2, mx3), enforce(mx1, mx2), 10*time.Second)
			w.want(wanted)
			w.pass()
			if !PolicyOf(*w.spec.Current).Equal(wanted) {
				t.Fatalf("current %+v: %s %s", w.spec.Current, w.last.Reason, w.last.Message)
			}
			w.until(v1alpha1.StateInForce, 3*time.Minute)
		})
	}
}

func TestARetirementNeverWaitsForItsTurn(t *testing.T) {
	w := newWorld(t)
	w.inForce(enforce(mx1, mx2))
	w.deletePolicy()
	w.advance(9*time.Minute + 59*time.Second)
	for range 5 {
		w.mints.Note(w.now, false, w.tm)
	}
	w.advance(2 * time.Second)
	if w.spec.Current.Mode != v1alpha1.ModeNone {
		t.Errorf("current %+v: %s", w.spec.Current, w.last.Message)
	}
}

func TestALastIDFromTomorrowDelaysNoEdit(t *testing.T) {
	w := newWorld(t)
	w.inForce(enforce(mx1, mx2))
	w.advance(time.Hour)
	w.setTXT(w.now.Add(23*time.Hour).Format("20060102150405") + "deadbeef")
	w.pass()
	w.until(v1alpha1.StateInForce, 3*time.Minute)
	if ahead := w.aheadOfClock(); ahead < 22*time.Hour {
		t.Fatalf("the last id is %s ahead", ahead)
	}
	for i := range 3 {
		began := w.now
		w.inForce(enforce(mx1, mx2, []string{mx3, "a.example.com", "b.example.com"}[i]))
		if took := w.now.Sub(began); took > 2*time.Minute {
			t.Errorf("edit %d took %s", i+1, took)
		}
	}
}

// rival is another operator, which mints above what it finds in the TXT object.
func (w *world) rival(during time.Duration) {
	w.t.Helper()
	ours := ""
	for end := w.now.Add(during); w.now.Before(end); w.advance(5 * time.Second) {
		if c := w.spec.Current; c.ID != ours && w.txt == c.ID {
			ours = c.ID
			w.setTXT(mtasts.ID(ours).Time().Add(time.Second).Format("20060102150405") + "deadbeef")
			w.wake = w.now
		}
	}
}

func TestTwoOperatorsOfOneDomainDoNotMintForEver(t *testing.T) {
	w := newWorld(t)
	w.inForce(enforce(mx1, mx2))
	w.rival(55 * time.Minute)
	if w.minted > 4 {
		t.Errorf("%d ids of ours within an hour", w.minted)
	}
	w.wantState(v1alpha1.StateHeld, v1alpha1.ReasonForeignPublisher)
	if !w.last.Stalled || !strings.Contains(w.last.Message, "another operator publishes this domain") || !strings.Contains(w.last.Message, w.txt) {
		t.Errorf("stalled %t: %s", w.last.Stalled, w.last.Message)
	}
	before := w.minted
	w.rival(12 * time.Hour)
	if n := w.minted - before; n > 4*12 {
		t.Errorf("%d ids of ours within twelve hours", n)
	}
	w.want(trial(mx1, mx2))
	w.pass()
	if w.spec.Current.Mode != v1alpha1.ModeTesting {
		t.Errorf("current %+v: %s", w.spec.Current, w.last.Message)
	}
	w.until(v1alpha1.StateInForce, 3*time.Minute)
}

func TestAnEditIsPublishedAlthoughAnotherOperatorIsAtWork(t *testing.T) {
	w := newWorld(t)
	w.inForce(enforce(mx1, mx2))
	w.rival(30 * time.Minute)
	w.want(enforce(mx1, mx2, mx3))
	w.pass()
	if !PolicyOf(*w.spec.Current).Covers(mx3) {
		t.Errorf("current %+v: %s", w.spec.Current, w.last.Message)
	}
}

func TestACopyNeverWaitsForItsTurn(t *testing.T) {
	w := newWorld(t)
	a := w.inForce(trial(mx1))
	copied := w.spec.DeepCopy()
	w.restore(copied)
	for range 5 {
		w.mints.Note(w.now, false, w.tm)
	}
	w.pass()
	if w.spec.UID != w.uid || w.spec.Current.ID == a {
		t.Errorf("uid %q of %q, current %s: that it is a copy is noticed only once", w.spec.UID, w.uid, w.spec.Current.ID)
	}
}
