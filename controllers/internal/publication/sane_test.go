package publication

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
)

const endOfTime = "29991231235959deadbeef"

// poisoned makes a record what somebody with rights on publications can make of it.
func poisoned(spec *v1alpha1.MTASTSPublicationSpec) *v1alpha1.MTASTSPublicationSpec {
	out := spec.DeepCopy()
	id, _ := mtasts.MintID(time.Date(2999, time.December, 31, 0, 0, 0, 0, time.UTC), "", out.Current.Body)
	out.LastID, out.Current.ID, out.AnnouncedID, out.InForceID = endOfTime, string(id), string(id), string(id)
	out.TTLMaxSeconds = 2147483647
	out.Ledger = append(out.Ledger, v1alpha1.LedgerEntry{
		ID: "20260101000000deadbeef", MX: []string{mx2}, MaxAgeSeconds: 2147483647, Origin: v1alpha1.OriginSeen,
		CachedUntil: stamped(time.Date(2163, time.January, 1, 0, 0, 0, 0, time.UTC)),
	})
	return out
}

func TestWhatNoOperatorCanHaveWrittenIsTakenOutOfARecord(t *testing.T) {
	now := time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)
	id := func(at time.Time) string { return at.Format("20060102150405") + "deadbeef" }
	ahead, announced := id(now.Add(40*day)), stamped(now.Add(-time.Hour))
	many := strings.Split(strings.Repeat("x,", 20)+"y", ",")
	for name, tt := range map[string]struct {
		spec, want v1alpha1.MTASTSPublicationSpec
		wrong      int
	}{
		"nothing is wrong": {
			spec: v1alpha1.MTASTSPublicationSpec{LastID: id(now), TTLMaxSeconds: maxTTLSeconds, FoundIDs: []string{"20160831085700Z"}},
			want: v1alpha1.MTASTSPublicationSpec{LastID: id(now), TTLMaxSeconds: maxTTLSeconds, FoundIDs: []string{"20160831085700Z"}},
		},
		"a clock ran ahead": {
			spec: v1alpha1.MTASTSPublicationSpec{LastID: ahead}, want: v1alpha1.MTASTSPublicationSpec{LastID: ahead},
		},
		"an id of the end of time": {
			spec: v1alpha1.MTASTSPublicationSpec{LastID: endOfTime, Current: &v1alpha1.Instance{ID: id(now)}},
			want: v1alpha1.MTASTSPublicationSpec{LastID: id(now), Current: &v1alpha1.Instance{ID: id(now)}}, wrong: 1,
		},
		"an id of the end of time, and nothing else": {
			spec: v1alpha1.MTASTSPublicationSpec{LastID: endOfTime}, wrong: 1,
		},
		"no id at all": {
			spec: v1alpha1.MTASTSPublicationSpec{LastID: "latest", InForceID: id(now)},
			want: v1alpha1.MTASTSPublicationSpec{LastID: id(now), InForceID: id(now)}, wrong: 1,
		},
		"a TTL of 68 years": {
			spec: v1alpha1.MTASTSPublicationSpec{TTLMaxSeconds: 2147483647}, want: v1alpha1.MTASTSPublicationSpec{TTLMaxSeconds: maxTTLSeconds}, wrong: 1,
		},
		"a TTL of less than nothing": {spec: v1alpha1.MTASTSPublicationSpec{TTLMaxSeconds: -1}, wrong: 1},
		"a policy that is held for 68 years": {
			spec:  v1alpha1.MTASTSPublicationSpec{Ledger: []v1alpha1.LedgerEntry{{ID: "a", MX: []string{mx1}, MaxAgeSeconds: 2147483647}}},
			want:  v1alpha1.MTASTSPublicationSpec{Ledger: []v1alpha1.LedgerEntry{{ID: "a", MX: []string{mx1}, MaxAgeSeconds: unknownMaxAge}}},
			wrong: 1,
		},
		"a date in the next century": {
			spec: v1alpha1.MTASTSPublicationSpec{Ledger: []v1alpha1.LedgerEntry{
				{ID: "a", MX: []string{mx1}, MaxAgeSeconds: week, CachedUntil: stamped(now.AddDate(137, 0, 0))},
				{ID: "b", MX: []string{mx1}, MaxAgeSeconds: week, CachedUntil: stamped(now.Add(40 * day))},
			}},
			want: v1alpha1.MTASTSPublicationSpec{Ledger: []v1alpha1.LedgerEntry{
				{ID: "a", MX: []string{mx1}, MaxAgeSeconds: week, CachedUntil: stamped(now.Add(7*day + time.Hour + time.Second))},
				{ID: "b", MX: []string{mx1}, MaxAgeSeconds: week, CachedUntil: stamped(now.Add(40 * day))},
			}},
			wrong: 1,
		},
		"found ids that are too many, too long or none": {
			spec: v1alpha1.MTASTSPublicationSpec{FoundIDs: append(many, strings.Repeat("z", 256), "")},
			want: v1alpha1.MTASTSPublicationSpec{FoundIDs: []string{"x", "y"}},
		},
		"an announcement without its time": {
			spec: v1alpha1.MTASTSPublicationSpec{AnnouncedID: "a"}, want: v1alpha1.MTASTSPublicationSpec{AnnouncedID: "a", AnnouncedAt: stamped(now)},
		},
		"an announcement with its time": {
			spec: v1alpha1.MTASTSPublicationSpec{AnnouncedID: "a", AnnouncedAt: announced},
			want: v1alpha1.MTASTSPublicationSpec{AnnouncedID: "a", AnnouncedAt: announced},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := tt.spec.DeepCopy()
			if wrong := Sane(got, now, DefaultTimings()); len(wrong) != tt.wrong {
				t.Errorf("wrong: %q", wrong)
			}
			if diff := cmp.Diff(&tt.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if wrong := Sane(got, now, DefaultTimings()); len(wrong) != 0 || cmp.Diff(&tt.want, got) != "" {
				t.Errorf("sane, and corrected again: %q", wrong)
			}
		})
	}
}

func TestAPoisonedRecordHeals(t *testing.T) {
	for name, poison := range map[string]func(w *world){
		"where it is":               func(w *world) { w.spec, w.wake = poisoned(w.spec), w.now },
		"as it comes from a backup": func(w *world) { w.restore(poisoned(w.spec)) },
		"and all that it made of it": func(w *world) {
			w.spec = poisoned(w.spec)
			w.shard, w.txt = w.spec.Current, w.spec.Current.ID
			w.wake = w.now
		},
		"after the operator restarted": func(w *world) { w.spec = poisoned(w.spec); w.restart(0) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.inForce(enforce(mx1, mx2))
			w.advance(time.Hour)
			poison(w)
			w.inForce(enforce(mx1, mx2, mx3))
			if id := mtasts.ID(w.spec.Current.ID); !id.Plausible(w.now) || w.spec.LastID != string(id) || w.txt != string(id) {
				t.Errorf("current %s, lastID %s, TXT %s", id, w.spec.LastID, w.txt)
			}
			if w.told(v1alpha1.ReasonRecordCorrected) == 0 {
				t.Error("nobody is told")
			}
			w.want(trial(mx1, mx2))
			w.until(v1alpha1.StateInForce, 5*time.Minute)
			w.advance(2 * time.Minute)
			if e := w.entry("20260101000000deadbeef"); e == nil || !cmp.Equal(e.MX, []string{mx2}) || e.CachedUntil == nil || e.CachedUntil.After(w.now.Add(375*day)) {
				t.Errorf("the entry that was there: %+v", e)
			}
			for _, e := range w.spec.Ledger {
				if e.CachedUntil == nil {
					t.Errorf("entry %s stays open", e.ID)
				}
			}
			w.stayQuiet(day)
		})
	}
}

func TestATTLBeyondAWeekCountsAsAWeek(t *testing.T) {
	w := newWorld(t)
	w.ttl = 2147483647
	w.records, w.foreign = []string{record("20160831085700Z")}, &Seen{Policy: enforce(mx1)}
	w.want(trial(mx1))
	w.pass()
	w.advance(time.Minute)
	if w.spec.TTLMaxSeconds != maxTTLSeconds {
		t.Errorf("ttlMaxSeconds %d", w.spec.TTLMaxSeconds)
	}
}

// plantedInstance is an enforce policy under an id that no clock of ours has told.
func plantedInstance(at time.Time) *v1alpha1.Instance {
	p := enforce(mx3)
	id, _ := mtasts.MintID(at, "", p.String())
	return &v1alpha1.Instance{ID: string(id), Mode: v1alpha1.ModeEnforce, MX: p.MX, MaxAgeSeconds: week, Body: p.String()}
}

func TestAnImplausibleInstanceInAShardIsEnteredAndReplaced(t *testing.T) {
	for name, ahead := range map[string]time.Duration{"two days": 2 * day, "a year": 365 * day, "two centuries": 200 * 365 * day} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			a := w.inForce(enforce(mx1, mx2))
			w.advance(time.Hour)
			w.shard = plantedInstance(w.now.Add(ahead))
			id := w.shard.ID
			w.pods[0].instance = w.shard
			w.wake = w.now
			w.pass()
			if e := w.entry(id); e == nil || e.Origin != v1alpha1.OriginSeen {
				t.Errorf("senders may hold it, and the ledger is %+v", w.spec.Ledger)
			}
			if w.spec.LastID != a && !mtasts.ID(w.spec.LastID).Plausible(w.now) {
				t.Errorf("lastID %s", w.spec.LastID)
			}
			w.want(trial(mx1, mx2))
			w.until(v1alpha1.StateInForce, 5*time.Minute)
			if got := w.spec.Current.ID; !mtasts.ID(got).Plausible(w.now) || w.txt != got || w.shard.ID != got {
				t.Errorf("current %s, TXT %s, shard %s", got, w.txt, w.shard.ID)
			}
			w.advance(3 * time.Hour)
			w.stayQuiet(day)
		})
	}
}

func TestAnImplausibleIDInTheTXTObjectIsReplaced(t *testing.T) {
	w := newWorld(t)
	a := w.inForce(enforce(mx1, mx2))
	w.advance(time.Hour)
	w.setTXT(endOfTime)
	w.pass()
	w.advance(3 * time.Minute)
	if w.txt != a || w.spec.LastID != a || w.last.State != v1alpha1.StateInForce {
		t.Errorf("TXT %s, lastID %s, %s", w.txt, w.spec.LastID, w.last.State)
	}
}

func TestAPodThatServesAGreaterIDOfNobodysServesNotOurs(t *testing.T) {
	for name, ahead := range map[string]time.Duration{"of the far future": 2 * 365 * day, "a plausible one": time.Hour} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.inForce(enforce(mx1, mx2))
			w.advance(2 * time.Hour)
			liar := &pod{name: "pod-liar", node: "node-a", ready: true, forged: true, instance: plantedInstance(w.now.Add(ahead))}
			w.pods = append(w.pods, liar)
			w.want(trial(mx1, mx2))
			for range 80 { // it answers above whatever is current
				if w.spec.Current != nil && liar.instance.ID <= w.spec.Current.ID {
					liar.instance = plantedInstance(mtasts.ID(w.spec.Current.ID).Time().Add(time.Second))
				}
				w.wake = w.now
				w.advance(15 * time.Second)
				if w.txt == w.spec.Current.ID && w.spec.Current.Mode == v1alpha1.ModeTesting {
					t.Fatalf("id %s is announced while %s serves %s", w.txt, liar.name, liar.id())
				}
			}
			if w.minted > 2+4 {
				t.Errorf("%d ids", w.minted)
			}
			if !w.last.Stalled {
				t.Errorf("not stalled after twenty minutes: %s %s", w.last.Reason, w.last.Message)
			}
			if name == "of the far future" && (w.last.Reason != v1alpha1.ReasonWrongBytes || !strings.Contains(w.last.Message, "pod-liar") || !strings.Contains(w.last.Message, liar.id())) {
				t.Errorf("%s: %s", w.last.Reason, w.last.Message)
			}
			w.pods, w.wake = w.pods[:2], w.now
			w.when("in force", 70*time.Minute, func() bool { return w.last.State == v1alpha1.StateInForce && w.txt == w.spec.Current.ID })
			if !mtasts.ID(w.spec.LastID).Plausible(w.now) || w.spec.Current.Mode != v1alpha1.ModeTesting {
				t.Errorf("lastID %s, current %+v", w.spec.LastID, w.spec.Current)
			}
		})
	}
}

func TestNoIDBeyondTheEndOfTime(t *testing.T) {
	w := newWorld(t)
	w.inForce(enforce(mx1, mx2))
	w.now = time.Date(2999, time.December, 31, 23, 59, 30, 0, time.UTC)
	w.inForce(enforce(mx1, mx2, mx3))
	current := w.spec.Current.ID
	w.now = w.now.Add(time.Hour)
	w.want(trial(mx1))
	w.pass()
	w.wantState(v1alpha1.StateHeld, v1alpha1.ReasonClockOutOfRange)
	if !w.last.Stalled || w.spec.Current.ID != current {
		t.Errorf("stalled %t, current %s: %s", w.last.Stalled, w.spec.Current.ID, w.last.Message)
	}
}

func TestAClockThatIsFarBehindTurnsNoIDBack(t *testing.T) {
	w := newWorld(t)
	a := w.inForce(enforce(mx1, mx2))
	w.advance(time.Hour)
	w.restart(-20 * 365 * day) // the API server's clock is right
	w.pass()
	w.advance(10 * time.Minute)
	if w.spec.LastID != a || w.txt != a {
		t.Errorf("lastID %s, TXT %s, want %s", w.spec.LastID, w.txt, a)
	}
	if id := w.inForce(enforce(mx1, mx2, mx3)); mtasts.ID(id).Compare(mtasts.ID(a)) <= 0 {
		t.Errorf("minted %s after %s", id, a)
	}
}
