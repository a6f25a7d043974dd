package publication

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
)

const strayID = "20260228120000deadbeef"

// claims makes a policy with a title ask for the domain.
func (w *world) claims(title Title) {
	w.want(enforce(mx1, mx2))
	w.claim.Title, w.claim.Word = title, "echo word | kubectl create -f -"
	w.pass()
}

func TestAClaimBeginsBesideAnIDOfOursOnlyByItsTitle(t *testing.T) {
	for _, tc := range []struct {
		name    string
		title   Title
		records []string
		served  *Seen
		waits   bool
	}{
		{"nothing is published", Untitled, nil, nil, false},
		{"somebody else's id", Untitled, []string{record("20160831085700Z")}, &Seen{Policy: enforce(mx3)}, false},
		{"an id of ours from the far future", Untitled, []string{record("28981231235959deadbeef")}, nil, false},
		{"an id of ours", Untitled, []string{record(strayID)}, &Seen{ID: strayID, Policy: enforce(mx3)}, true},
		{"an id of ours and nothing behind it", Untitled, []string{record(strayID)}, nil, true},
		{"an id of ours at the policy host alone", Untitled, nil, &Seen{ID: strayID, Policy: enforce(mx3)}, true},
		{"an id of ours beside somebody else's", Untitled, []string{record("abc"), record(strayID)}, nil, true},
		{"an id of ours, and a rule", ByRule, []string{record(strayID)}, nil, true},
		{"an id of ours, and the namespace that published it", ByHistory, []string{record(strayID)}, nil, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			w.records, w.foreign = tc.records, tc.served
			w.claims(tc.title)
			if waits := w.spec == nil; waits != tc.waits {
				t.Errorf("waits: %v, decision %+v", waits, w.last)
			}
			if tc.waits {
				w.wantState(v1alpha1.StatePending, v1alpha1.ReasonObserving)
				if !strings.Contains(w.last.Message, strayID) || w.last.Stalled {
					t.Errorf("stalled %v: %s", w.last.Stalled, w.last.Message)
				}
			}
		})
	}
}

func TestAStrayIDHoldsAClaimUntilDNSHasForgottenIt(t *testing.T) {
	w := newWorld(t)
	w.records, w.foreign = []string{record(strayID)}, &Seen{ID: strayID, Policy: enforce(mx3)}
	w.claims(Untitled)
	w.advance(36 * time.Hour)
	if w.spec != nil || !w.last.Stalled || !strings.Contains(w.last.Message, "echo word | kubectl create -f -") {
		t.Fatalf("spec %+v, stalled %v: %s", w.spec, w.last.Stalled, w.last.Message)
	}
	if n := w.looks[NeedWorld]; n > 150 {
		t.Errorf("%d looks in 36 hours", n)
	}

	w.records, w.foreign = nil, nil
	w.until(v1alpha1.StateInForce, 3*time.Hour)
	// Senders may hold what the policy host served, whoever announced it.
	want := &v1alpha1.LedgerEntry{ID: strayID, MX: []string{mx3}, MaxAgeSeconds: week, Origin: v1alpha1.OriginFound}
	got := w.entry(strayID).DeepCopy()
	got.CachedUntil = nil
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if w.spec.Current.ID <= strayID {
		t.Errorf("minted %s", w.spec.Current.ID)
	}
}

func TestAStrayIDIsGoneOnlyByThreeAnswersInARowOverTenMinutes(t *testing.T) {
	at := time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)
	shown := DNS{Answer: Found, IDs: []string{strayID}}
	absent, foreign := DNS{Answer: Absent}, DNS{Answer: Found, IDs: []string{"abc"}}
	secondhand := DNS{Answer: Absent, Secondhand: true}
	silent, split := DNS{Answer: Unknown}, DNS{Answer: Unknown, IDs: []string{strayID}}
	for _, tc := range []struct {
		name string
		rows []DNS
		gone bool
	}{
		{"three", []DNS{shown, absent, absent, absent}, true},
		{"three, with another's id", []DNS{shown, foreign, absent, foreign}, true},
		{"two", []DNS{shown, absent, absent}, false},
		{"nothing but silence", []DNS{shown, silent, silent, silent, silent, absent}, false},
		{"silence between them", []DNS{shown, absent, absent, silent, absent, absent}, false},
		{"ours between them", []DNS{shown, absent, absent, shown, absent, absent}, false},
		{"one server that still shows it", []DNS{shown, absent, absent, split, absent, absent}, false},
		{"a resolver's word", []DNS{shown, secondhand, secondhand, secondhand, absent}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var before *World
			for i, dns := range tc.rows {
				w := &World{DNS: dns}
				w.Follow(before, at.Add(time.Duration(i)*5*time.Minute))
				before = w
			}
			if gone := before.Stray.Gone.Proves(DefaultTimings()); gone != tc.gone {
				t.Errorf("gone: %v, %+v", gone, before.Stray)
			}
		})
	}
	quick := &World{}
	for range 5 {
		w := &World{DNS: absent}
		if quick.Stray == nil {
			w.DNS = shown
		}
		w.Follow(quick, at)
		quick = w
	}
	if quick.Stray.Gone.Proves(DefaultTimings()) {
		t.Error("looks within a moment prove it")
	}
}

func TestARuleWaitsForARestoreAndNoLonger(t *testing.T) {
	w := newWorld(t)
	w.records = []string{record(strayID)}
	w.claims(ByRule)
	w.advance(9 * time.Minute)
	if w.spec != nil {
		t.Fatal("it does not wait for a restore")
	}
	w.advance(3 * time.Minute)
	if w.spec == nil || w.entry(strayID) == nil {
		t.Errorf("it waits on: %+v", w.last)
	}
}

func TestAClaimThatHadToWaitLooksAgainBeforeItBegins(t *testing.T) {
	w := newWorld(t)
	w.records, w.foreign = []string{record(strayID)}, &Seen{ID: strayID, Policy: enforce(mx3)}
	w.claims(Untitled)
	w.records, w.foreign = nil, nil
	for w.memory.world.Stray.Gone.Tries < 2 {
		w.advance(time.Minute)
	}
	w.memory.world.Stray.Gone.Tries = 9 // it was seen to be gone
	w.memory.world.Stray.Gone.Since = w.now.Add(-day)
	w.claim = nil // refused for two days, as beside another claim
	w.advance(2 * day)
	w.records = []string{record(strayID)} // meanwhile somebody published it again
	w.claims(Untitled)
	if w.spec != nil {
		t.Errorf("it begins by what was seen two days ago: %+v", w.last)
	}
}

func TestASilentResolverIsNoAbsenceOfTheID(t *testing.T) {
	w := newWorld(t)
	w.records = []string{record(strayID)}
	w.claims(Untitled)
	w.dnsBroken = true
	w.advance(3 * time.Hour)
	w.records, w.dnsBroken = nil, false
	w.advance(5 * time.Minute)
	if w.spec != nil {
		t.Error("one answer after hours of silence was enough")
	}
	w.advance(3 * time.Hour)
	if w.spec == nil {
		t.Errorf("it waits on: %+v", w.last)
	}
}

// A publication that somebody with rights made by hand is the word that a claim may begin.
func TestABarePublicationBeginsByLookingAtTheWorld(t *testing.T) {
	w := newWorld(t)
	w.records, w.foreign = []string{record(strayID)}, &Seen{ID: strayID, Policy: enforce(mx3)}
	w.dnsBroken = true
	w.restore(&v1alpha1.MTASTSPublicationSpec{})
	w.claims(Untitled)
	w.advance(time.Hour)
	if w.spec.Current != nil {
		t.Fatal("something was minted before anybody saw what senders may hold")
	}
	w.dnsBroken = false
	w.advance(20 * time.Minute) // after an hour of silence it looks four times an hour
	if w.spec.Current == nil || w.entry(strayID) == nil || w.spec.LastID <= strayID {
		t.Errorf("spec %+v", w.spec)
	}
}

func TestATakeoverThatLeavesEnforceIsAWarning(t *testing.T) {
	for mode, warns := range map[string]bool{"testing": true, "none": true, "enforce": false} {
		w := newWorld(t)
		w.inForce(enforce(mx1, mx2))
		w.want(map[string]func(...string) mtasts.Policy{"testing": trial, "none": disabled, "enforce": enforce}[mode](mx1, mx2))
		w.claim.Name, w.claim.UID = "second", "policy-2"
		w.pass()
		for _, e := range w.last.Events {
			if e.Reason == v1alpha1.ReasonAdopted && (e.Warning != warns || strings.Contains(e.Message, "leaves mode enforce") != warns) {
				t.Errorf("%s: %+v", mode, e)
			}
		}
		if w.told(v1alpha1.ReasonAdopted) != 1 {
			t.Errorf("%s: told %d times", mode, w.told(v1alpha1.ReasonAdopted))
		}
	}
}
