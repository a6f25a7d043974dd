package publication

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
)

func TestNothingIsEnteredBeforeAnyIDWasVisible(t *testing.T) {
	w := newWorld(t)
	w.pods[1].silent = true
	for _, p := range []mtasts.Policy{enforce(mx1, mx2), enforce("*.example.com"), enforce(mx1, mx2, mx3)} {
		w.want(p)
		w.advance(time.Minute)
	}
	if w.told(v1alpha1.ReasonMinted) != 3 || len(w.spec.Ledger) != 0 {
		t.Errorf("%d mints, ledger %+v: nobody can have fetched any of them", w.told(v1alpha1.ReasonMinted), w.spec.Ledger)
	}
}

func TestASupersededEnforceInstanceIsOpenUntilPodsAndDNSHaveLeftIt(t *testing.T) {
	w := newWorld(t)
	w.inForce(trial(mx1, mx2))
	a := w.inForce(enforce(mx1, mx2))
	if len(w.spec.Ledger) != 0 {
		t.Fatalf("a testing policy was entered: %+v", w.spec.Ledger)
	}
	w.dnsStuck = true
	w.want(enforce(mx1, mx2, mx3))
	w.pass()
	if e := w.entry(a); e == nil || e.CachedUntil != nil || e.Origin != v1alpha1.OriginSuperseded || !slices.Equal(e.MX, []string{mx1, mx2}) || e.MaxAgeSeconds != week {
		t.Fatalf("entry %+v in the write that supersedes it", e)
	}
	b := w.spec.Current.ID
	w.advance(3 * day)
	if e := w.entry(a); e.CachedUntil != nil {
		t.Fatal("closed although DNS still answers its id")
	}
	// B was superseded without DNS ever answering its id: senders fetched it under A's.
	w.want(enforce("*.example.com"))
	w.advance(time.Minute)
	w.dnsStuck = false
	w.until(v1alpha1.StateInForce, 5*time.Minute)
	closed := w.entry(a).CachedUntil
	if closed == nil || w.entry(b) == nil || w.entry(b).CachedUntil == nil || !closed.Equal(w.entry(b).CachedUntil) {
		t.Fatalf("ledger %+v, want both entries closed together", w.spec.Ledger)
	}
	earliest := w.spec.AnnouncedAt.Add(300*time.Second + week*time.Second + time.Hour)
	if closed.Time.Before(earliest) || closed.After(w.now.Add(300*time.Second+week*time.Second+time.Hour+time.Second)) {
		t.Errorf("closed until %s; now %s + ttlMax + max_age + 1h is %s", closed, w.now, earliest)
	}
}

func TestTheDateIsNowPlusTTLMaxPlusMaxAgePlusAnHour(t *testing.T) {
	now := time.Date(2026, time.March, 1, 12, 0, 0, 1, time.UTC)
	spec := recorded(new(trial(mx1)))
	spec.TTLMaxSeconds = 900
	spec.Ledger = []v1alpha1.LedgerEntry{{ID: "20250101000000deadbeef", MX: []string{mx1}, MaxAgeSeconds: 86400}, {ID: "20250102000000deadbeef", MaxAgeSeconds: 172800}}
	id := spec.Current.ID
	o := Observation{
		UID: "uid-1", Claim: &Claim{Wanted: trial(mx1)}, TXTObject: id, Servers: Servers{Known: true, Ready: 1},
		DNS: &DNS{Tried: Tried{At: now}, Answer: Found, Records: []string{record(id)}, IDs: []string{id}, TTL: time.Minute},
	}
	if d := Decide(spec, o, now.Add(-day), DefaultTimings()); d.Need != NeedTrustedTime {
		t.Fatalf("need %q: no date may be told by the local clock alone", d.Need)
	}
	o.Trusted, o.Latest = now.Add(-day), now
	d := Decide(spec, o, now.Add(-day), DefaultTimings())
	for i, maxAge := range []time.Duration{day, 2 * day} {
		want := time.Date(2026, time.March, 1, 13, 15, 1, 0, time.UTC).Add(maxAge)
		if got := d.Spec.Ledger[i].CachedUntil; got == nil || !got.Time.Equal(want) {
			t.Errorf("entry %d is cached until %v, want %s", i, got, want)
		}
	}
	for name, spoil := range map[string]func(o *Observation){
		"a pod lags":                 func(o *Observation) { o.Servers.Behind = []Behind{{Pod: "p"}} },
		"the pods were not asked":    func(o *Observation) { o.Servers.Known = false },
		"DNS was not asked":          func(o *Observation) { o.DNS = nil },
		"DNS gave no answer":         func(o *Observation) { o.DNS = &DNS{Answer: Unknown} },
		"DNS answers another id":     func(o *Observation) { o.DNS = &DNS{Answer: Found, Records: []string{"x"}, IDs: []string{"abc"}} },
		"DNS answers two records":    func(o *Observation) { o.DNS = &DNS{Answer: Found, Records: []string{"x", "y"}, IDs: []string{id}} },
		"an older instance was seen": func(o *Observation) { o.Servers.Older = []string{"20240101000000deadbeef"} },
	} {
		o := o
		o.DNS = new(*o.DNS)
		spoil(&o)
		if d := Decide(spec, o, now, DefaultTimings()); d.Spec.Ledger[0].CachedUntil != nil {
			t.Errorf("closed although %s", name)
		}
	}
}

func TestAnEntryIsDroppedOnlyWhenBothClocksAreBeyondIt(t *testing.T) {
	w := newWorld(t)
	a := w.inForce(enforce(mx1, mx2))
	w.inForce(trial(mx1, mx2))
	w.advance(time.Minute)
	until := w.entry(a).CachedUntil.Time
	w.restart(30 * day)
	w.advance(until.Sub(w.now) - time.Minute)
	if w.entry(a) == nil {
		t.Fatal("dropped by a clock that runs ahead")
	}
	if w.looks[NeedTrustedTime] == 0 {
		t.Error("the API server's clock was not asked")
	}
	w.advance(5 * time.Minute)
	if w.entry(a) != nil {
		t.Error("not dropped although both clocks are beyond the date")
	}
	w.stayQuiet(day)
}

func TestAClockThatIsBehindDatesNothingTooEarly(t *testing.T) {
	w := newWorld(t)
	a := w.inForce(enforce(mx1, mx2))
	w.restart(-30 * day)
	from := w.now
	w.inForce(trial(mx1, mx2))
	w.advance(time.Minute)
	lifetime := 300*time.Second + week*time.Second + w.tm.LedgerSlack
	if e := w.entry(a); e == nil || e.CachedUntil == nil || e.CachedUntil.Before(new(metav1.NewTime(from.Add(lifetime)))) {
		t.Errorf("entry %+v: senders may hold it until %s", e, from.Add(lifetime))
	}
}

func TestADateThatAClockWroteWhichRanAheadIsTakenBack(t *testing.T) {
	w := newWorld(t)
	a := w.inForce(enforce(mx1, mx2))
	w.restart(300 * day)
	w.inForce(trial(mx1, mx2))
	w.advance(time.Minute)
	lifetime := 300*time.Second + week*time.Second + w.tm.LedgerSlack
	if e := w.entry(a); e == nil || e.CachedUntil == nil || e.CachedUntil.Sub(w.now) < 299*day {
		t.Fatalf("entry %+v: the test proves nothing", e)
	}
	w.restart(0)
	from := w.now
	w.advance(time.Minute)
	if e := w.entry(a); e == nil || e.CachedUntil.Before(new(metav1.NewTime(from.Add(lifetime)))) || e.CachedUntil.Sub(w.now) > lifetime+time.Minute {
		t.Errorf("entry %+v: senders may hold it until %s", e, from.Add(lifetime))
	}
	w.stayQuiet(day)
	w.restart(-30 * day) // by this one the date is too late
	w.advance(time.Hour)
	if e := w.entry(a); e == nil || e.CachedUntil.Before(new(metav1.NewTime(from.Add(lifetime)))) {
		t.Errorf("entry %+v was dated anew by a clock that is behind", e)
	}
}

func TestAnEntryIsKeptToItsLastSecond(t *testing.T) {
	until := time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)
	spec := recorded(new(trial(mx1)))
	spec.Ledger = []v1alpha1.LedgerEntry{{ID: "x", MaxAgeSeconds: week, CachedUntil: stamped(until)}}
	o := Observation{UID: "uid-1", Claim: &Claim{Wanted: trial(mx1)}, TXTObject: spec.Current.ID}
	for _, tc := range []struct {
		name         string
		now, trusted time.Duration
		kept         bool
		need         Need
	}{
		{"before the date nobody asks for the time", -1, 0, true, NeedNothing},
		{"at the date the API server's time is needed", 0, 0, true, NeedTrustedTime},
		{"the API server is not there yet", time.Hour, -1, true, NeedNothing},
		{"both are there", time.Hour, 1, false, NeedNothing},
	} {
		o.Trusted = time.Time{}
		if tc.trusted != 0 {
			o.Trusted = until.Add(tc.trusted)
		}
		d := Decide(spec, o, until.Add(tc.now), DefaultTimings())
		if d.Need != tc.need || (len(d.Spec.Ledger) == 1) != tc.kept {
			t.Errorf("%s: need %q, ledger %v", tc.name, d.Need, d.Spec.Ledger)
		}
		if tc.kept && tc.need == NeedNothing && d.After == 0 {
			t.Errorf("%s: nobody looks again", tc.name)
		}
	}
}

func TestTheLedgerMergesItsTwoOldestBeyondSixteen(t *testing.T) {
	w := newWorld(t)
	w.inForce(enforce(mx1, mx2, "0.example.com"))
	w.dnsStuck = true
	for i := range 17 {
		w.want(policy(mtasts.ModeEnforce, week+int64(i), mx1, mx2, fmt.Sprintf("%d.example.com", i+1)))
		w.advance(61 * time.Second)
	}
	if len(w.spec.Ledger) != maxLedger {
		t.Fatalf("%d entries, want %d", len(w.spec.Ledger), maxLedger)
	}
	oldest := w.spec.Ledger[0]
	if !slices.Equal(oldest.MX, []string{mx1, mx2}) || oldest.MaxAgeSeconds != week || oldest.CachedUntil != nil {
		t.Errorf("the oldest entry is %+v, want only what both covered", oldest)
	}
	if !slices.IsSortedFunc(w.spec.Ledger, func(a, b v1alpha1.LedgerEntry) int { return mtasts.ID(a.ID).Compare(mtasts.ID(b.ID)) }) {
		t.Error("not in the order of ids")
	}
}

func TestMergeStandsForBothEntries(t *testing.T) {
	early, late := stamped(time.Unix(1, 0)), stamped(time.Unix(2, 0))
	a := v1alpha1.LedgerEntry{ID: "a", MX: []string{mx1, mx2}, MaxAgeSeconds: 2, CachedUntil: late, Origin: v1alpha1.OriginFound}
	b := v1alpha1.LedgerEntry{ID: "b", MX: []string{mx2, mx3}, MaxAgeSeconds: 1, CachedUntil: early, Origin: v1alpha1.OriginSeen}
	want := v1alpha1.LedgerEntry{ID: "b", MX: []string{mx2}, MaxAgeSeconds: 2, CachedUntil: late, Origin: v1alpha1.OriginSeen}
	if diff := cmp.Diff(want, merge(a, b)); diff != "" {
		t.Errorf("merged (-want +got):\n%s", diff)
	}
	if got := merge(b, a).CachedUntil; got != late {
		t.Errorf("the later date must win whichever it belongs to: %v", got)
	}
	a.CachedUntil = nil
	if merge(a, b).CachedUntil != nil || merge(b, a).CachedUntil != nil {
		t.Error("an open entry was dated by a merge")
	}
	a.MX = nil
	if merge(a, b).MX != nil {
		t.Error("what may be anything covers nothing")
	}
}

func TestAStrangersLongPolicyFitsTheAPI(t *testing.T) {
	var mx []string
	for i := range 150 {
		mx = append(mx, fmt.Sprintf("mx%03d.example.net", i))
	}
	mx = append(mx, "*."+strings.Repeat("a.", 121)+"example.net") // a name may have 253 bytes
	w := newWorld(t)
	w.records, w.foreign = []string{record("abc")}, &Seen{Policy: enforce(mx...)}
	w.want(trial(mx1))
	w.pass()
	if n := len(w.entry("abc").MX); n != mtasts.MaxMXPatterns {
		t.Errorf("%d patterns recorded, the API takes %d", n, mtasts.MaxMXPatterns)
	}
	for _, pattern := range w.entry("abc").MX {
		if len(pattern) > 253 {
			t.Errorf("%q is longer than the API takes", pattern)
		}
	}
}

func TestAReturnedPodContaminatesAndAFreshIDHeals(t *testing.T) {
	w := newWorld(t)
	a := w.inForce(enforce(mx1, mx2))
	old := w.spec.Current.DeepCopy()
	x := w.inForce(enforce(mx1, mx2, mx3))
	good := w.spec.Current.DeepCopy()
	w.advance(2 * time.Hour)
	if w.entry(a).CachedUntil == nil {
		t.Fatal("not closed before the contamination")
	}
	w.pods[1].instance, w.wake = old, w.now
	w.advance(time.Minute)
	if c := w.spec.Contamination; c == nil || c.ID != x || w.entry(a).CachedUntil != nil {
		t.Fatalf("contamination %+v, entry %+v: what was seen is cached again", c, w.entry(a))
	}
	w.advance(day)
	if w.spec.Current.ID != x || w.entry(a).CachedUntil != nil {
		t.Fatal("healed, or closed, before the pod was right again")
	}
	w.pods[1].instance, w.wake = good, w.now
	w.when("healed", 5*time.Minute, func() bool { return w.last.State == v1alpha1.StateInForce && w.spec.Current.ID != x })
	if w.spec.Current.Body != good.Body || w.spec.Contamination != nil || w.told(v1alpha1.ReasonReannounced) != 1 {
		t.Errorf("current %+v, contamination %+v, told %d times", w.spec.Current, w.spec.Contamination, w.told(v1alpha1.ReasonReannounced))
	}
	w.advance(time.Minute)
	for _, id := range []string{a, x} {
		if e := w.entry(id); e == nil || e.CachedUntil == nil {
			t.Errorf("entry of %s: %+v, want it closed once the fresh id is in force", id, e)
		}
	}
}

func TestAFreshIDHealsAtMostOnceAnHour(t *testing.T) {
	w := newWorld(t)
	w.mx = []string{mx1}
	w.inForce(enforce(mx1))
	old := w.spec.Current.DeepCopy()
	w.inForce(enforce(mx1, mx3))
	mints := w.told(v1alpha1.ReasonMinted)
	// A pod that flaps between two instances all day long.
	for range 24 * 6 {
		w.pods[1].instance, w.wake = old, w.now
		w.advance(5 * time.Minute)
		w.pods[1].instance, w.wake = w.shard, w.now
		w.advance(5 * time.Minute)
	}
	if n := w.told(v1alpha1.ReasonMinted) - mints; n < 12 || n > 24 {
		t.Errorf("%d fresh ids in a day, want about one an hour and no more", n)
	}
}

func TestAnotherPolicyAtTheURLIsEnteredAndHealed(t *testing.T) {
	w := newWorld(t)
	x := w.inForce(enforce(mx1, mx2))
	w.foreign = &Seen{Policy: enforce(mx2, mx3)}
	w.advance(2 * time.Hour)
	want := &v1alpha1.LedgerEntry{ID: "unknown", MX: []string{mx2, mx3}, MaxAgeSeconds: week, Origin: v1alpha1.OriginSeen}
	if diff := cmp.Diff(want, w.entry("unknown")); diff != "" {
		t.Errorf("entry (-want +got):\n%s", diff)
	}
	w.foreign = &Seen{Policy: policy(mtasts.ModeEnforce, 2*week, mx3, mx1)}
	w.advance(2 * time.Hour)
	if w.entry("unknown").MaxAgeSeconds != 2*week || !slices.Equal(w.entry("unknown").MX, []string{mx3}) {
		t.Errorf("entry %+v, want it to stand for both policies that were seen", w.entry("unknown"))
	}
	if w.spec.Current.ID != x {
		t.Fatal("healed while the URL was still wrong")
	}
	w.foreign = nil
	w.when("healed", 2*time.Hour, func() bool { return w.spec.Contamination == nil && w.last.State == v1alpha1.StateInForce })
	if w.spec.Current.ID == x || w.entry("unknown").CachedUntil == nil {
		t.Errorf("current %s, entry %+v", w.spec.Current.ID, w.entry("unknown"))
	}
}

func TestAnotherPolicySeenWhileANewerInstanceSpreadsIsEntered(t *testing.T) {
	for _, visible := range []bool{true, false} {
		w := newWorld(t)
		if visible {
			w.inForce(trial(mx1, mx2))
		}
		w.foreign = &Seen{ID: "20240101000000deadbeef", Policy: enforce(mx3)}
		w.want(trial(mx1))
		w.advance(5 * time.Minute)
		w.wantState(v1alpha1.StateServing, v1alpha1.ReasonWrongBody)
		if entered := w.entry("20240101000000deadbeef") != nil; entered != visible {
			t.Errorf("with an id visible %t the policy is entered %t", visible, entered)
		}
	}
}

func TestAnEditEndsAContamination(t *testing.T) {
	w := newWorld(t)
	w.inForce(enforce(mx1, mx2))
	old := w.spec.Current.DeepCopy()
	w.inForce(enforce(mx1, mx2, mx3))
	w.pods[1].instance, w.wake = old, w.now
	w.advance(time.Minute)
	w.inForce(trial(mx1, mx2))
	w.advance(time.Minute)
	if w.spec.Contamination != nil || slices.ContainsFunc(w.spec.Ledger, func(e v1alpha1.LedgerEntry) bool { return e.CachedUntil == nil }) {
		t.Errorf("contamination %+v, ledger %+v", w.spec.Contamination, w.spec.Ledger)
	}
}

func TestDNSThatGoesBackOpensTheLedgerAgain(t *testing.T) {
	w := newWorld(t)
	a := w.inForce(enforce(mx1, mx2))
	w.inForce(trial(mx1, mx2))
	w.advance(2 * time.Hour)
	first := *w.entry(a).CachedUntil
	// The DNS zone was restored from yesterday's backup.
	w.records = []string{record(a)}
	w.advance(2 * time.Hour)
	if w.entry(a).CachedUntil != nil {
		t.Fatal("still dated although senders renew what they hold under the older id")
	}
	w.records = []string{record(w.txt)}
	w.advance(2 * time.Hour)
	if again := w.entry(a).CachedUntil; again == nil || !again.After(first.Time) {
		t.Errorf("cached until %v, was %s", again, first)
	}
	w.stayQuiet(day)
}

func TestSafeAfterIsTheLastDateThatRefusesTheHost(t *testing.T) {
	early, late := stamped(time.Unix(100, 0)), stamped(time.Unix(200, 0))
	entry := func(id string, until *time.Time, mx ...string) v1alpha1.LedgerEntry {
		e := v1alpha1.LedgerEntry{ID: id, MX: mx}
		if until != nil {
			e.CachedUntil = stamped(*until)
		}
		return e
	}
	current := func(p mtasts.Policy) *v1alpha1.Instance {
		return &v1alpha1.Instance{ID: "now", Mode: v1alpha1.Mode(p.Mode), MX: p.MX, MaxAgeSeconds: week}
	}
	for _, tc := range []struct {
		name  string
		spec  v1alpha1.MTASTSPublicationSpec
		after *time.Time
		open  bool
		entry string
	}{
		{name: "nothing is published: at once"},
		{name: "the current enforce policy refuses it", spec: v1alpha1.MTASTSPublicationSpec{Current: current(enforce(mx1))}, open: true, entry: "now"},
		{name: "the current enforce policy covers it", spec: v1alpha1.MTASTSPublicationSpec{Current: current(enforce(mx3))}},
		{name: "the current testing policy refuses nothing", spec: v1alpha1.MTASTSPublicationSpec{Current: current(trial(mx1))}},
		{name: "an open entry refuses it", spec: v1alpha1.MTASTSPublicationSpec{Ledger: []v1alpha1.LedgerEntry{entry("a", &late.Time, mx1), entry("b", nil, mx1)}}, open: true, entry: "b"},
		{name: "an open entry of an unknown policy refuses everything", spec: v1alpha1.MTASTSPublicationSpec{Ledger: []v1alpha1.LedgerEntry{entry("a", nil)}}, open: true, entry: "a"},
		{name: "an open entry that covers it does not count", spec: v1alpha1.MTASTSPublicationSpec{Ledger: []v1alpha1.LedgerEntry{entry("a", nil, mx3), entry("b", &early.Time, mx1)}}, after: &early.Time, entry: "b"},
		{name: "the latest date counts", spec: v1alpha1.MTASTSPublicationSpec{Ledger: []v1alpha1.LedgerEntry{entry("a", &late.Time, mx1), entry("b", &early.Time, mx2)}}, after: &late.Time, entry: "a"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			after, open, id := SafeAfter(&tc.spec, mx3)
			if (after == nil) != (tc.after == nil) || (after != nil && !after.Time.Equal(*tc.after)) || open != tc.open || id != tc.entry {
				t.Errorf("safe after %v, open %t, by %q; want %v, %t, %q", after, open, id, tc.after, tc.open, tc.entry)
			}
		})
	}
}

func TestAPodFromLongAgoOpensItsEntryWhileANewerInstanceSpreads(t *testing.T) {
	w := newWorld(t)
	a := w.inForce(enforce(mx1, mx2))
	old := w.spec.Current.DeepCopy()
	w.inForce(trial(mx1, mx2))
	w.advance(time.Hour)
	w.pods[0].silent = true
	w.want(trial(mx1))
	w.advance(time.Minute)
	if w.entry(a).CachedUntil == nil {
		t.Fatal("not closed before")
	}
	w.pods[1].instance, w.wake = old, w.now
	w.advance(time.Minute)
	if w.entry(a).CachedUntil != nil || w.spec.Contamination != nil {
		t.Errorf("entry %+v, contamination %+v: senders renew it, and the newer instance will heal that", w.entry(a), w.spec.Contamination)
	}
}
