package publication

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
)

const year = unknownMaxAge * time.Second

// aged brings enforce A into force, keeps a copy, and goes on to enforce B for a year and to testing C.
func aged(t *testing.T) (w *world, copied *v1alpha1.MTASTSPublicationSpec, b string) {
	t.Helper()
	w = newWorld(t)
	w.inForce(enforce(mx1, mx2))
	copied = w.spec.DeepCopy()
	w.advance(day)
	b = w.inForce(policy(mtasts.ModeEnforce, mtasts.MaxMaxAgeSeconds, mx1, mx2))
	w.advance(day)
	w.inForce(trial(mx1, mx2))
	w.advance(day)
	return w, copied, b
}

// rewind puts everything back to the copy before the operator looks again: the shard, the record, what DNS
// answers, and pods that begin anew.
func (w *world) rewind(copied *v1alpha1.MTASTSPublicationSpec) {
	w.spec = copied.DeepCopy()
	w.shard, w.txt, w.dnsDue = copied.Current, copied.AnnouncedID, time.Time{}
	w.records = []string{record(w.txt)}
	for _, p := range w.pods {
		p.instance, p.next, p.due, p.began = w.shard, nil, time.Time{}, w.now
	}
	w.restart(w.skew)
}

// wantUnsafe makes sure that a host may not become an MX host before all that may be unknown has ended.
func (w *world) wantUnsafe(host string, until time.Time) {
	w.t.Helper()
	after, open, _ := SafeAfter(w.spec, host)
	if !open && (after == nil || after.Time.Before(until)) {
		w.t.Errorf("%s is called safe after %v, want not before %s\nledger %s", host, after, until, cmp.Diff(nil, w.spec.Ledger))
	}
}

func (w *world) wantSafe(host string) {
	w.t.Helper()
	if after, open, id := SafeAfter(w.spec, host); open || after != nil {
		w.t.Errorf("%s is safe only after %v, because of %s", host, after, id)
	}
}

func TestWhatARestoreLostStandsForAYearAsOneEntry(t *testing.T) {
	for name, restore := range map[string]func(w *world, copied *v1alpha1.MTASTSPublicationSpec){
		"with another UID": func(w *world, copied *v1alpha1.MTASTSPublicationSpec) { w.restore(copied) },
		"without a UID": func(w *world, copied *v1alpha1.MTASTSPublicationSpec) {
			copied.UID = ""
			w.restore(copied)
		},
		"in place": func(w *world, copied *v1alpha1.MTASTSPublicationSpec) {
			w.spec = copied.DeepCopy()
			w.restart(0)
		},
		"into an empty cluster": func(w *world, copied *v1alpha1.MTASTSPublicationSpec) {
			w.lose()
			w.records = nil
			w.restore(copied)
		},
		"with everything else, which external-dns followed first": func(w *world, copied *v1alpha1.MTASTSPublicationSpec) {
			w.rewind(copied)
			w.newUID()
		},
		"with the cluster's data, as somebody says": func(w *world, copied *v1alpha1.MTASTSPublicationSpec) {
			w.rewind(copied)
			w.words.Restored = shown(w.now)
		},
	} {
		t.Run(name, func(t *testing.T) {
			w, copied, b := aged(t)
			began := w.now
			restore(w, copied)
			w.want(trial(mx1, mx2))
			w.pass()
			gap := Gap(w.spec)
			if gap == nil || gap.AfterID != copied.LastID || !w.covers(b) || mtasts.ID(gap.ID).Compare(mtasts.ID(w.spec.Current.ID)) >= 0 {
				t.Fatalf("gap %+v after %s, current %s", gap, copied.LastID, w.spec.Current.ID)
			}
			if w.told(v1alpha1.ReasonMinted) == 0 || !slices.ContainsFunc(w.events, func(e Event) bool {
				return e.Warning && strings.Contains(e.Message, "kubectl -n mail annotate --overwrite mtastspublication example.com mtasts.dev/discard-gap="+gap.ID)
			}) {
				t.Errorf("nobody was told how to end it: %+v", w.events)
			}
			w.wantUnsafe(mx3, began.Add(year))
			w.wantSafe(mx1)
			w.until(v1alpha1.StateInForce, 10*time.Minute)
			w.advance(time.Hour)
			w.wantUnsafe(mx3, began.Add(year))
			w.advance(300 * day)
			w.wantUnsafe(mx3, began.Add(year))
			w.advance(80 * day)
			if Gap(w.spec) != nil {
				t.Errorf("a year and two weeks later there is still %+v", w.spec.Ledger)
			}
		})
	}
}

// covers says whether an entry stands for the id.
func (w *world) covers(id string) bool {
	p := &pass{Decision: Decision{Spec: w.spec}}
	return w.entry(id) != nil || p.inGap(id)
}

func TestARetirementWaitsForWhatARestoreLost(t *testing.T) {
	w, copied, _ := aged(t)
	w.restore(copied)
	w.want(trial(mx1, mx2))
	w.pass()
	w.until(v1alpha1.StateInForce, 10*time.Minute)
	w.deletePolicy()
	w.advance(300 * day)
	w.wantState(v1alpha1.StateRetiring, v1alpha1.ReasonRetiring)
	w.advance(80 * day)
	if w.removed != 1 {
		t.Errorf("%s a year later: %s", w.last.State, w.last.Message)
	}
}

func TestTheGapStaysOneAndLetsNoKnownFactGo(t *testing.T) {
	w := newWorld(t)
	w.mx = []string{mx1}
	w.inForce(enforce(mx1))
	var ids []string
	w.onSpec = func(_, after *v1alpha1.MTASTSPublicationSpec) {
		if !slices.Contains(ids, after.Current.ID) {
			ids = append(ids, after.Current.ID)
		}
	}
	w.mx = []string{mx1, mx2}
	for i := range 40 {
		w.restore(w.spec)
		if i%3 == 0 {
			w.setTXT(mtasts.ID(w.spec.LastID).Time().Add(time.Hour).Format("20060102150405") + "deadbeef")
		}
		w.pass()
		w.inForce(policy(mtasts.ModeEnforce, int64(86400+i), mx1, mx2))
		gaps := 0
		for _, e := range w.spec.Ledger {
			if e.Origin == v1alpha1.OriginUnknown {
				gaps++
			}
		}
		if gaps != 1 || len(w.spec.Ledger) > maxLedger+1 {
			t.Fatalf("%d gaps among %d entries", gaps, len(w.spec.Ledger))
		}
	}
	w.words.DiscardGap = Gap(w.spec).ID
	w.pass()
	if Gap(w.spec) != nil || len(w.spec.Ledger) != maxLedger {
		t.Fatalf("after the word: %s", cmp.Diff(nil, w.spec.Ledger))
	}
	// The first policy refused mx2, and that is known still: only its id may have gone by the overflow.
	w.wantUnsafe(mx2, w.now.Add(week*time.Second))
	for _, id := range ids[len(ids)-maxLedger : len(ids)-1] { // the first of the sixteen is several, the last is current
		if w.entry(id) == nil {
			t.Errorf("%s is not in the ledger any more", id)
		}
	}
}

func TestAnIDInTheGapThatIsSeenAgainOpensIt(t *testing.T) {
	w, copied, b := aged(t)
	lost := &v1alpha1.Instance{ID: b, Mode: v1alpha1.ModeEnforce, MX: []string{mx1}, MaxAgeSeconds: week}
	w.restore(copied)
	w.inForce(trial(mx1, mx2))
	w.advance(time.Hour)
	if gap := Gap(w.spec); gap == nil || gap.CachedUntil == nil {
		t.Fatalf("gap %+v, want it dated", gap)
	}
	w.pods[1].instance = lost
	w.pass()
	if gap := Gap(w.spec); gap == nil || gap.CachedUntil != nil {
		t.Errorf("gap %+v, want it open: pod-b serves %s", gap, b)
	}
}

func TestATransferIsNoRestore(t *testing.T) {
	for name, tt := range map[string]struct {
		later time.Duration
		gap   bool
	}{
		"the copy that a transfer makes":       {time.Minute, false},
		"a backup of that copy, restored late": {2 * day, true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			a := w.inForce(trial(mx1))
			spec := w.spec.DeepCopy()
			spec.UID, spec.InForceID, spec.PolicyRef = "", "", nil
			spec.TransferredFrom = &v1alpha1.Transfer{Namespace: "old", Time: *stamped(w.now)}
			w.advance(tt.later)
			w.lose()
			w.restore(spec)
			w.pass()
			w.inForce(trial(mx1))
			if gap := Gap(w.spec) != nil; gap != tt.gap || (w.told(v1alpha1.ReasonRestored) == 1) != tt.gap {
				t.Errorf("gap %t, told %d times that it was restored", gap, w.told(v1alpha1.ReasonRestored))
			}
			if w.spec.TransferredFrom != nil || w.spec.Current.ID == a {
				t.Errorf("transferred from %+v, id %s after %s", w.spec.TransferredFrom, w.spec.Current.ID, a)
			}
			if !tt.gap && !slices.ContainsFunc(w.events, func(e Event) bool {
				return !e.Warning && e.Reason == v1alpha1.ReasonAdopted && strings.Contains(e.Message, "namespace old")
			}) {
				t.Errorf("nobody was told where it came from: %+v", w.events)
			}
		})
	}
}

func TestAGapIsEnteredByWhoeverProvesIt(t *testing.T) {
	for name, tt := range map[string]struct {
		show func(w *world, id string)
		gap  bool
	}{
		"the record's object": {func(w *world, id string) { w.txt = id }, true},
		"a shard": {func(w *world, id string) {
			w.shard = &v1alpha1.Instance{ID: id, Mode: v1alpha1.ModeTesting, MX: []string{mx1}, MaxAgeSeconds: week}
		}, true},
		"DNS, into which anybody may have put it": {func(w *world, id string) { w.records = []string{record(id)} }, false},
		"DNS, and the policy host serves it": {func(w *world, id string) {
			w.records, w.foreign = []string{record(id)}, &Seen{ID: id, Policy: trial(mx1)}
		}, true},
		"DNS, and the policy host serves another": {func(w *world, id string) {
			w.records, w.foreign = []string{record(id)}, &Seen{ID: "abc", Policy: trial(mx1)}
		}, false},
		"DNS, while nobody knows of the last hours": {func(w *world, id string) { w.records, w.outage = []string{record(id)}, &Outage{w.now.Add(-day), w.now} }, true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			a := w.inForce(trial(mx1))
			w.advance(time.Hour)
			id := w.now.Add(-time.Minute).Format("20060102150405") + "deadbeef"
			tt.show(w, id)
			w.lookDNS()
			w.pass()
			if gap := Gap(w.spec); (gap != nil) != tt.gap || (gap != nil && gap.AfterID != a) {
				t.Errorf("gap %+v", gap)
			}
			if mtasts.ID(w.spec.Current.ID).Compare(mtasts.ID(id)) <= 0 {
				t.Errorf("current %s, not above %s", w.spec.Current.ID, id)
			}
		})
	}
}

func TestAdoptionFromAnotherPublisherIsNoGap(t *testing.T) {
	for name, id := range map[string]string{"of another form": "20160831085700Z", "of our form": "20260101000000deadbeef"} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.records, w.foreign = []string{record(id)}, &Seen{ID: id, Policy: enforce(mx1)}
			w.want(enforce(mx1, mx2))
			w.pass()
			if Gap(w.spec) != nil || w.entry(id) == nil {
				t.Errorf("ledger %s", cmp.Diff(nil, w.spec.Ledger))
			}
		})
	}
}

// A publication made by hand for a domain whose own was lost: what DNS and the policy host show is ours.
func TestAnEmptyPublicationForADomainOfOursHasAGap(t *testing.T) {
	w := newWorld(t)
	id := "20260101000000deadbeef"
	w.records, w.foreign = []string{record(id)}, &Seen{ID: id, Policy: enforce(mx1)}
	w.restore(&v1alpha1.MTASTSPublicationSpec{Domain: domain})
	w.want(enforce(mx1, mx2))
	w.pass()
	if gap := Gap(w.spec); gap == nil || gap.AfterID != "" || w.entry(id) == nil {
		t.Errorf("ledger %s", cmp.Diff(nil, w.spec.Ledger))
	}
}

func TestAfterAnOutageWhatIsAboutToBeWrittenIsLookedAt(t *testing.T) {
	for name, tt := range map[string]struct {
		podAge time.Duration // before the outage
		wanted mtasts.Policy
		gap    bool
		looks  int
	}{
		"pods that lived through it prove that nothing is missing":     {time.Hour, enforce(mx1, mx2, mx3), false, 1},
		"pods that began just before it may have begun after the copy": {30 * time.Second, enforce(mx1, mx2, mx3), true, 1},
		"pods that began after it prove nothing":                       {-time.Hour, enforce(mx1, mx2, mx3), true, 1},
		"leaving enforce waits for no look":                            {-time.Hour, trial(mx1), true, 0},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.inForce(enforce(mx1, mx2))
			w.advance(7 * day)
			out := Outage{Since: w.now.Add(-3 * day), Until: w.now}
			for _, p := range w.pods {
				p.began = out.Since.Add(-tt.podAge)
			}
			w.restart(0)
			w.outage = &out
			looks := w.looks[NeedWorld]
			w.stayQuiet(day) // at rest nothing is minted, and nothing entered
			w.want(tt.wanted)
			w.pass()
			if gap := Gap(w.spec) != nil; gap != tt.gap || w.looks[NeedWorld]-looks != tt.looks {
				t.Errorf("gap %t, want %t; %d looks, want %d", gap, tt.gap, w.looks[NeedWorld]-looks, tt.looks)
			}
			w.until(v1alpha1.StateInForce, 5*time.Minute)
			id := ""
			if gap := Gap(w.spec); gap != nil {
				id = gap.ID
			}
			w.inForce(enforce(mx1, mx2)) // it was dealt with
			if gap := Gap(w.spec); w.looks[NeedWorld]-looks != tt.looks || (gap != nil && gap.ID != id) {
				t.Errorf("the same outage counts twice: %+v, %d looks", gap, w.looks[NeedWorld]-looks)
			}
		})
	}
}

func TestAfterAnOutageASilentDNSHoldsAnEditForItsPatienceOnly(t *testing.T) {
	w := newWorld(t)
	a := w.inForce(enforce(mx1, mx2))
	w.advance(day)
	w.restart(0)
	w.outage = &Outage{Since: w.now.Add(-36 * time.Hour), Until: w.now}
	w.dnsBroken = true
	w.want(enforce(mx1, mx2, mx3))
	w.pass()
	w.wantState(v1alpha1.StateServing, v1alpha1.ReasonObserving)
	if w.spec.Current.ID != a || w.txt != a {
		t.Errorf("current %s, TXT %s", w.spec.Current.ID, w.txt)
	}
	w.advance(w.tm.WorldPatience + time.Minute)
	if w.spec.Current.ID == a || Gap(w.spec) == nil {
		t.Errorf("current %s, ledger %s", w.spec.Current.ID, cmp.Diff(nil, w.spec.Ledger))
	}
}

func TestAWitnessIsForTheSameUIDOnly(t *testing.T) {
	for name, restore := range map[string]func(w *world){
		"the cluster's data, in place": func(w *world) { w.words.Restored = shown(w.now) },
		"a copy":                       func(w *world) { w.restore(w.spec) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			a := w.inForce(enforce(mx1, mx2))
			w.advance(day)
			w.outage = &Outage{Since: w.now.Add(-time.Hour), Until: w.now}
			restore(w)
			w.advance(time.Minute)
			if gap, copied := Gap(w.spec) != nil, name == "a copy"; gap != copied || w.spec.Current.ID == a {
				t.Errorf("gap %t, current %s", gap, w.spec.Current.ID)
			}
		})
	}
}

func TestALiveHostThatGoesAndComesBackIsNew(t *testing.T) {
	w, copied, _ := aged(t)
	w.restore(copied)
	w.inForce(trial(mx1, mx2))
	w.wantSafe(mx2)
	w.mx = []string{mx1}
	w.advance(2 * time.Hour)
	w.wantUnsafe(mx2, w.now.Add(300*day))
	w.mx = []string{mx1, mx2}
	w.advance(2 * time.Hour)
	w.wantUnsafe(mx2, w.now.Add(300*day))
	w.wantSafe(mx1)
}

func TestAGapThatIsEnteredWhileMXCannotBeLookedUpIsFilledWithinMoments(t *testing.T) {
	for name, tt := range map[string]struct {
		broken time.Duration
		safe   bool
	}{"for a minute": {time.Minute, true}, "for ten": {10 * time.Minute, false}} {
		t.Run(name, func(t *testing.T) {
			w, copied, _ := aged(t)
			w.mxBroken = true
			w.restore(copied)
			w.pass()
			w.wantUnsafe(mx1, w.now.Add(300*day))
			w.advance(tt.broken)
			w.mxBroken = false
			w.advance(2 * time.Hour)
			if tt.safe {
				w.wantSafe(mx1)
			} else {
				w.wantUnsafe(mx1, w.now.Add(300*day))
			}
			w.wantUnsafe(mx3, w.now.Add(300*day))
		})
	}
}

func TestWhatLooksLikeAPatternInDNSIsNoLiveHost(t *testing.T) {
	w, copied, _ := aged(t)
	w.mx = []string{"*.example.com", mx1, strings.Repeat("x", 300) + ".example.com"}
	for i := range 200 {
		w.mx = append(w.mx, fmt.Sprintf("mx%d.example.net", i))
	}
	w.restore(copied)
	w.pass()
	if gap := Gap(w.spec); len(gap.LiveMX) != 100 || gap.LiveMX[0] != mx1 {
		t.Errorf("%d live hosts, the first %s", len(gap.LiveMX), gap.LiveMX[0])
	}
	w.wantUnsafe(mx3, w.now.Add(300*day))
}

// The data is from when nothing was held any more; since then the policy had come back.
func TestAfterAnOutageARetirementThatWasAllButOverBeginsToWaitAgain(t *testing.T) {
	for name, state := range map[string]v1alpha1.State{"before its record goes": v1alpha1.StateRetiring, "while its record goes": v1alpha1.StateRemoving} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.inForce(enforce(mx1, mx2))
			w.deletePolicy()
			w.advance(7 * day)
			w.dnsStuck = state == v1alpha1.StateRemoving
			if w.dnsStuck {
				w.until(state, 2*day)
			}
			for _, p := range w.pods {
				p.began = w.now
			}
			w.restart(0)
			w.outage = &Outage{Since: w.now.Add(-time.Hour), Until: w.now}
			w.dnsStuck = false
			w.advance(30 * day)
			if w.removed != 0 || Gap(w.spec) == nil || w.txt == "" {
				t.Fatalf("removed %d times, %s: %s", w.removed, w.last.State, w.last.Message)
			}
			w.wantState(v1alpha1.StateRetiring, v1alpha1.ReasonRetiring)
			w.advance(340 * day)
			if w.removed != 1 {
				t.Errorf("%s: %s", w.last.State, w.last.Message)
			}
		})
	}
}

// Where a clock has run ahead for weeks, neither the last id nor the time of its announcement tells that both are from
// before an outage.
func TestAnOutageIsSeenThoughIDsRunAheadOfTheClock(t *testing.T) {
	w := newWorld(t)
	w.inForce(enforce(mx1, mx2))
	w.restart(40 * day)
	w.inForce(enforce(mx1, mx2, mx3))
	w.restart(0)
	w.outage = &Outage{Since: w.now.Add(-2 * time.Hour), Until: w.now}
	w.pass()
	w.advance(time.Minute)
	for _, p := range w.pods {
		p.began = w.now // none has lived through it
	}
	w.inForce(enforce(mx1, mx2))
	if Gap(w.spec) == nil {
		t.Errorf("nothing stands for what may be lost: %+v", w.spec.Ledger)
	}
}
