package publication

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
)

func TestTheWordThatTheDataWasRestored(t *testing.T) {
	for name, tt := range map[string]struct {
		word   func(w *world) string
		heeded bool
		stays  bool
	}{
		"a moment ago":                      {func(w *world) string { return shown(w.now.Add(-time.Minute)) }, true, false},
		"in another time zone":              {func(w *world) string { return w.now.In(time.FixedZone("", 3600)).Format(time.RFC3339) }, true, false},
		"by a clock that is a bit ahead":    {func(w *world) string { return shown(w.now.Add(30 * time.Second)) }, false, true},
		"in the future":                     {func(w *world) string { return shown(w.now.Add(2 * time.Minute)) }, false, false},
		"at the end of time":                {func(*world) string { return "2999-12-31T23:59:59Z" }, false, false},
		"at the time of the last such word": {func(w *world) string { return shown(w.spec.RestoreTime.Time) }, false, false},
		"a fraction after that": {func(w *world) string {
			return w.spec.RestoreTime.Add(500 * time.Millisecond).Format(time.RFC3339Nano)
		}, false, false},
		"not a time":    {func(*world) string { return "yesterday" }, false, false},
		"long nonsense": {func(*world) string { return string(make([]byte, 100000)) }, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			a := w.inForce(trial(mx1))
			w.advance(time.Hour)
			w.spec.RestoreTime = stamped(w.now.Add(-30 * time.Minute))
			w.words.Restored = tt.word(w)
			looks := w.looks[NeedWorld]
			w.pass()
			if heeded := w.spec.Current.ID != a && Gap(w.spec) != nil; heeded != tt.heeded || w.looks[NeedWorld] > looks != tt.heeded {
				t.Errorf("heeded %t, want %t; ledger %s", heeded, tt.heeded, cmp.Diff(nil, w.spec.Ledger))
			}
			if stays := w.words.Restored != ""; stays != tt.stays {
				t.Errorf("the annotation stays: %t, want %t", stays, tt.stays)
			}
			if rejected := w.told(v1alpha1.ReasonAnnotationRejected); rejected > 0 == (tt.heeded || tt.stays) {
				t.Errorf("told %d times that it was removed without effect", rejected)
			}
			for _, e := range w.events {
				if len(e.Message) > 1024 {
					t.Errorf("a message of %d bytes", len(e.Message))
				}
			}
			w.until(v1alpha1.StateInForce, 5*time.Minute)
			w.advance(2 * time.Minute)
			if tt.stays && (w.words.Restored != "" || Gap(w.spec) == nil) {
				t.Error("a word from a bit ahead is never heeded")
			}
		})
	}
}

// What the operator saw before the word says nothing about what somebody restored since.
func TestTheWordThatTheDataWasRestoredWantsALookThatBeganAfterIt(t *testing.T) {
	w := newWorld(t)
	w.inForce(trial(mx1))
	w.advance(time.Hour)
	w.memory.world = &World{DNS: DNS{Tried: Tried{At: w.now, Began: w.now.Add(-time.Minute)}, Answer: Absent}}
	b := w.now.Format("20060102150405") + "deadbeef"
	w.records, w.foreign = []string{record(b)}, &Seen{ID: b, Policy: enforce(mx3)}
	w.words.Restored = shown(w.now)
	w.pass()
	if w.entry(b) == nil {
		t.Errorf("%s, which DNS answers, is not in the ledger: %s", b, cmp.Diff(nil, w.spec.Ledger))
	}
}

func TestTheWordThatTheDataWasRestoredEndsARetirementOfBefore(t *testing.T) {
	w := newWorld(t)
	w.inForce(trial(mx1))
	w.deletePolicy()
	w.until(v1alpha1.StateRemoving, 15*time.Minute)
	w.words.Restored = shown(w.now)
	w.pass()
	if w.spec.Retirement != nil || !w.spec.PolicyGoneAt.Time.Equal(w.now.Truncate(time.Second)) {
		t.Errorf("retirement %+v, policy gone at %v", w.spec.Retirement, w.spec.PolicyGoneAt)
	}
}

// What was found announced and could not be fetched covers nothing for a year, too.
func TestTheWordEndsWhatWasFoundWithoutItsPolicy(t *testing.T) {
	const id = "20260201000000aaaaaaaa"
	entries := []v1alpha1.LedgerEntry{
		{ID: "20260101000000bbbbbbbb", MX: []string{mx2}, MaxAgeSeconds: week, Origin: v1alpha1.OriginFound},
		{ID: id, MaxAgeSeconds: unknownMaxAge, Origin: v1alpha1.OriginFound},
		{ID: "20260202000000cccccccc", MaxAgeSeconds: week, Origin: v1alpha1.OriginSuperseded},
	}
	for word, want := range map[string]struct {
		reason string
		left   []v1alpha1.LedgerEntry
	}{
		id: {v1alpha1.ReasonGapDiscarded, []v1alpha1.LedgerEntry{entries[0], entries[2]}},
		id + "/604800": {v1alpha1.ReasonGapDiscarded, []v1alpha1.LedgerEntry{
			entries[0], {ID: id, MaxAgeSeconds: week, Origin: v1alpha1.OriginFound}, entries[2],
		}},
		entries[0].ID: {v1alpha1.ReasonAnnotationRejected, entries}, // its policy is known
		entries[2].ID: {v1alpha1.ReasonAnnotationRejected, entries}, // two that were merged: one of them may be
	} {
		t.Run(word, func(t *testing.T) {
			w := newWorld(t)
			w.inForce(trial(mx1))
			w.spec.Ledger = slices.Clone(entries)
			w.words.DiscardGap, w.events = word, nil
			d := Decide(w.spec, w.observe(), w.clock(), w.tm)
			if diff := cmp.Diff(want.left, d.Spec.Ledger, cmpopts.IgnoreFields(v1alpha1.LedgerEntry{}, "CachedUntil")); diff != "" {
				t.Errorf("ledger (-want +got):\n%s", diff)
			}
			if len(d.Events) == 0 || d.Events[0].Reason != want.reason || !d.Events[0].Warning {
				t.Errorf("events %+v, want %s", d.Events, want.reason)
			}
		})
	}
}

func TestTheWordThatEndsTheGap(t *testing.T) {
	for name, tt := range map[string]struct {
		word func(id string) string
		// left is how long the gap is counted after it; nil if it is gone.
		left *int32
		told string
	}{
		"that there was nothing":  {func(id string) string { return id }, nil, v1alpha1.ReasonGapDiscarded},
		"that it was a week":      {func(id string) string { return id + "/604800" }, new(int32(week)), v1alpha1.ReasonGapDiscarded},
		"that it was no time":     {func(id string) string { return id + "/0" }, new(int32(0)), v1alpha1.ReasonGapDiscarded},
		"that it was longer":      {func(id string) string { return id + "/31557600" }, new(int32(unknownMaxAge)), v1alpha1.ReasonAnnotationRejected},
		"that it was less than 0": {func(id string) string { return id + "/-1" }, new(int32(unknownMaxAge)), v1alpha1.ReasonAnnotationRejected},
		"without a number":        {func(id string) string { return id + "/" }, new(int32(unknownMaxAge)), v1alpha1.ReasonAnnotationRejected},
		"with two numbers":        {func(id string) string { return id + "/1/2" }, new(int32(unknownMaxAge)), v1alpha1.ReasonAnnotationRejected},
		"with a huge number":      {func(id string) string { return id + "/99999999999999999999" }, new(int32(unknownMaxAge)), v1alpha1.ReasonAnnotationRejected},
		"of another id":           {func(string) string { return "20260101000000deadbeef" }, new(int32(unknownMaxAge)), v1alpha1.ReasonAnnotationRejected},
		"of no id":                {func(string) string { return "/604800" }, new(int32(unknownMaxAge)), v1alpha1.ReasonAnnotationRejected},
	} {
		for _, dated := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				w, copied, _ := aged(t)
				w.restore(copied)
				w.pass()
				if dated {
					w.until(v1alpha1.StateInForce, 10*time.Minute)
					w.advance(time.Hour)
				}
				before := w.spec.DeepCopy()
				gap := Gap(before)
				w.words.DiscardGap = tt.word(gap.ID)
				w.events = nil
				p := Decide(before, w.observe(), w.clock(), w.tm) // before anything ends of age
				w.pass()
				if w.words.DiscardGap != "" || w.told(tt.told) != 1 {
					t.Errorf("annotation %q, events %+v", w.words.DiscardGap, w.events)
				}
				got := Gap(p.Spec)
				if (got == nil) != (tt.left == nil) || (got != nil && got.MaxAgeSeconds != *tt.left) {
					t.Fatalf("gap %+v, want %v seconds of it", got, tt.left)
				}
				if got != nil && dated {
					if want := gap.CachedUntil.Add(-time.Duration(gap.MaxAgeSeconds-*tt.left) * time.Second); !got.CachedUntil.Time.Equal(want) {
						t.Errorf("counted until %s, want %s", got.CachedUntil, want)
					}
				}
				known := func(spec *v1alpha1.MTASTSPublicationSpec) (out []string) {
					for _, e := range spec.Ledger {
						if e.Origin != v1alpha1.OriginUnknown {
							out = append(out, e.ID)
						}
					}
					return out
				}
				if diff := cmp.Diff(known(before), known(w.spec)); diff != "" {
					t.Errorf("known entries changed (-before +after):\n%s", diff)
				}
			})
		}
	}
}

func TestTheWordThatEndsAGapThatGrowsInThatMomentIsAboutTheOneBefore(t *testing.T) {
	w, copied, _ := aged(t)
	w.restore(copied)
	w.inForce(trial(mx1, mx2))
	w.words = Words{Restored: shown(w.now), DiscardGap: Gap(w.spec).ID}
	old := Gap(w.spec).ID
	w.pass()
	if gap := Gap(w.spec); gap == nil || gap.ID == old || gap.AfterID != copied.LastID {
		t.Errorf("gap %+v", gap)
	}
}

// A backup may hold a word that was heeded right after it was taken.
func TestAWordInABackupThatWasHeededSinceChangesNothing(t *testing.T) {
	for name, word := range map[string]func(w *world) Words{
		"that the data was restored": func(w *world) Words { return Words{Restored: shown(w.now)} },
		"that the gap is to end":     func(w *world) Words { return Words{DiscardGap: Gap(w.spec).ID} },
		"that the gap lasts a week":  func(w *world) Words { return Words{DiscardGap: Gap(w.spec).ID + "/604800"} },
		"both":                       func(w *world) Words { return Words{Restored: shown(w.now), DiscardGap: Gap(w.spec).ID} },
	} {
		t.Run(name, func(t *testing.T) {
			w, copied, _ := aged(t)
			w.restore(copied)
			w.want(trial(mx1, mx2))
			w.pass()
			w.until(v1alpha1.StateInForce, 10*time.Minute)
			words, backup := word(w), w.spec.DeepCopy()
			w.words = words
			w.pass()
			w.advance(10 * day)
			var specs [2]*v1alpha1.MTASTSPublicationSpec
			now := w.now
			for i, replayed := range []Words{{}, words} {
				w.now, w.records = now, nil
				w.lose()
				w.restore(backup)
				w.uid = "uid-restored"
				w.words = replayed
				w.pass()
				specs[i] = w.spec.DeepCopy()
				specs[i].RestoreTime = nil
				if w.words != (Words{}) {
					t.Errorf("the word stays: %+v", w.words)
				}
			}
			if gap := Gap(specs[1]); gap == nil || gap.CachedUntil != nil || gap.MaxAgeSeconds != unknownMaxAge {
				t.Errorf("gap %+v", gap)
			}
			if diff := cmp.Diff(specs[0], specs[1]); diff != "" {
				t.Errorf("(-without +with):\n%s", diff)
			}
		})
	}
}
