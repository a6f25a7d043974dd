package publication

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
)

// lose takes away everything in the cluster but the publication, as a restore into an empty one does.
func (w *world) lose() {
	w.txt, w.shard = "", nil
	for _, p := range w.pods {
		p.instance, p.next, p.due = nil, nil, time.Time{}
	}
}

func TestARestoredPublicationMintsAboveWhatDNSShows(t *testing.T) {
	w := newWorld(t)
	a := w.inForce(enforce(mx1, mx2))
	copied := w.spec.DeepCopy()
	w.advance(time.Hour)
	b := w.inForce(enforce(mx1, mx2, mx3))
	w.advance(time.Hour)
	w.want(enforce(mx1, mx2))
	w.foreign = &Seen{ID: b, Policy: enforce(mx1, mx2, mx3)} // the other cluster still answers
	w.lose()
	w.restore(copied)
	w.skew = -2 * time.Hour // so that only what DNS shows keeps the fresh id above b
	w.pass()
	id := w.spec.Current.ID
	if mtasts.ID(id).Compare(mtasts.ID(b)) <= 0 || id == a {
		t.Errorf("minted %s although DNS shows %s", id, b)
	}
	if w.spec.UID != w.uid || w.told(v1alpha1.ReasonRestored) != 1 || w.looks[NeedWorld] != 2 {
		t.Errorf("uid %q of %q, told %d times, %d looks at the world", w.spec.UID, w.uid, w.told(v1alpha1.ReasonRestored), w.looks[NeedWorld])
	}
	want := &v1alpha1.LedgerEntry{ID: b, MX: []string{mx1, mx2, mx3}, MaxAgeSeconds: week, Origin: v1alpha1.OriginFound}
	if diff := cmp.Diff(want, w.entry(b)); diff != "" {
		t.Errorf("found entry (-want +got):\n%s", diff)
	}
	if w.entry(a) == nil || w.entry(a).CachedUntil != nil {
		t.Errorf("the copy's own instance: %+v, want it open", w.entry(a))
	}
	w.foreign = nil
	w.restart(0)
	w.until(v1alpha1.StateInForce, 10*time.Minute)
	w.advance(time.Minute)
	w.stayQuiet(day)
}

// The copy is from before the first announcement, which was held; senders hold what was announced since.
func TestACopyFromBeforeTheFirstAnnouncementEntersWhatDNSShows(t *testing.T) {
	w := newWorld(t)
	w.mx = []string{mx1, mx2}
	w.want(enforce(mx1))
	w.until(v1alpha1.StateHeld, 10*time.Minute)
	copied := w.spec.DeepCopy()
	b := w.inForce(enforce(mx1, mx2))
	w.advance(time.Hour)
	w.foreign = &Seen{ID: b, Policy: enforce(mx1, mx2)}
	w.want(enforce(mx1))
	w.lose()
	w.restore(copied)
	w.until(v1alpha1.StateHeld, 10*time.Minute)
	want := &v1alpha1.LedgerEntry{ID: b, MX: []string{mx1, mx2}, MaxAgeSeconds: week, Origin: v1alpha1.OriginFound}
	if diff := cmp.Diff(want, w.entry(b)); diff != "" {
		t.Errorf("found entry (-want +got):\n%s", diff)
	}
	if w.spec.UID != w.uid || w.told(v1alpha1.ReasonRestored) != 0 {
		t.Errorf("uid %q of %q, told %d times", w.spec.UID, w.uid, w.told(v1alpha1.ReasonRestored))
	}
	w.stayQuiet(time.Hour)
}

func TestARestoredPublicationMintsEvenWhenNothingDiffers(t *testing.T) {
	w := newWorld(t)
	a := w.inForce(trial(mx1))
	w.restore(w.spec)
	w.pass()
	w.until(v1alpha1.StateInForce, 10*time.Minute)
	if w.spec.Current.ID == a || !PolicyOf(*w.spec.Current).Equal(trial(mx1)) {
		t.Errorf("current %+v", w.spec.Current)
	}
}

func TestARestoredPublicationWaitsForDNSAndChangesNothingMeanwhile(t *testing.T) {
	w := newWorld(t)
	a := w.inForce(trial(mx1))
	w.restore(w.spec)
	w.dnsBroken = true
	w.pass()
	w.wantState(v1alpha1.StateServing, v1alpha1.ReasonObserving)
	if w.spec.Current.ID != a || w.txt != a {
		t.Errorf("current %s, TXT %s", w.spec.Current.ID, w.txt)
	}
	w.advance(2 * time.Minute)
	if w.spec.Current.ID == a {
		t.Error("a broken resolver keeps a restored publication from going on")
	}
}

func TestARestoredPublicationMintsWhileAChangeIsHeldOrThePolicyIsMissing(t *testing.T) {
	for name, prepare := range map[string]func(w *world){
		"held":            func(w *world) { w.want(enforce(mx1)) },
		"without a claim": func(w *world) { w.deletePolicy() },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			a := w.inForce(trial(mx1))
			prepare(w)
			w.restore(w.spec)
			w.advance(5 * time.Minute)
			if w.spec.Current.ID == a || w.txt != w.spec.Current.ID || !PolicyOf(*w.spec.Current).Equal(trial(mx1)) {
				t.Errorf("current %+v, TXT %s", w.spec.Current, w.txt)
			}
		})
	}
}

func TestACopyFromBeforeTheFirstAnnouncementIsNotTrustedEither(t *testing.T) {
	w := newWorld(t)
	w.pods[1].silent = true
	w.want(enforce(mx1, mx2))
	w.advance(time.Minute)
	copied := w.spec.DeepCopy()
	w.pods[1].silent = false
	a := w.inForce(enforce(mx1, mx2))
	b := w.inForce(enforce(mx1, mx2, mx3))
	w.restore(copied)
	w.want(enforce("*.example.com"))
	w.pass()
	if mtasts.ID(w.spec.Current.ID).Compare(mtasts.ID(b)) <= 0 {
		t.Errorf("minted %s below %s in a live object", w.spec.Current.ID, b)
	}
	for _, id := range []string{a, b} {
		if w.entry(id) == nil {
			t.Errorf("%s is not in the ledger %+v, although its id was visible", id, w.spec.Ledger)
		}
	}
	w.until(v1alpha1.StateInForce, 5*time.Minute)
}

func TestAGreaterIDInALiveObjectIsExceeded(t *testing.T) {
	w := newWorld(t)
	a := w.inForce(trial(mx1))
	greater := w.now.Add(23*time.Hour).Format("20060102150405") + "deadbeef"
	w.setTXT(greater)
	w.pass()
	if w.txt != greater || w.spec.Current.ID == a {
		t.Fatalf("TXT %s, current %s: a greater id is never replaced by a smaller one", w.txt, w.spec.Current.ID)
	}
	w.until(v1alpha1.StateInForce, 5*time.Minute)
	if mtasts.ID(w.txt).Compare(mtasts.ID(greater)) <= 0 || w.txt != w.spec.Current.ID {
		t.Errorf("TXT %s after %s", w.txt, greater)
	}
	w.stayQuiet(day)
}

func TestAGreaterInstanceInAShardIsEnteredAndExceeded(t *testing.T) {
	w := newWorld(t)
	w.inForce(trial(mx1))
	foreign := &v1alpha1.Instance{ID: w.now.Add(time.Hour).Format("20060102150405") + "deadbeef", Mode: v1alpha1.ModeEnforce, MX: []string{mx3}, MaxAgeSeconds: week}
	w.shard = foreign
	w.wake = w.now
	w.pass()
	if mtasts.ID(w.spec.Current.ID).Compare(mtasts.ID(foreign.ID)) <= 0 {
		t.Errorf("minted %s below the shard's %s", w.spec.Current.ID, foreign.ID)
	}
	if e := w.entry(foreign.ID); e == nil || e.Origin != v1alpha1.OriginSeen {
		t.Errorf("entry %+v, want what the shard served", e)
	}
	w.until(v1alpha1.StateInForce, 5*time.Minute)
}

func TestAContaminationUnderAnIDFromTheFutureStillHeals(t *testing.T) {
	w := newWorld(t)
	w.inForce(trial(mx1))
	w.setTXT(w.now.Add(23*time.Hour).Format("20060102150405") + "deadbeef")
	w.pass()
	w.until(v1alpha1.StateInForce, 5*time.Minute)
	x := w.spec.Current.ID
	w.foreign = &Seen{Policy: trial(mx3)}
	w.advance(2 * time.Hour)
	w.foreign = nil
	w.advance(2 * time.Hour)
	if w.spec.Current.ID == x || w.spec.Contamination != nil {
		t.Errorf("current %s, contamination %+v: the id's own time must not delay the cure", w.spec.Current.ID, w.spec.Contamination)
	}
}

func TestARestoredPublicationDoesNotGoOnWithTheRetirementOfItsCopy(t *testing.T) {
	for name, deletionPolicy := range map[string]v1alpha1.DeletionPolicy{
		"that was taking its record away": v1alpha1.DeletionDrain, "that waited for nobody": v1alpha1.DeletionImmediate,
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.inForce(trial(mx1))
			w.claim.DeletionPolicy = deletionPolicy
			w.pass()
			w.deletePolicy()
			if deletionPolicy == v1alpha1.DeletionDrain {
				w.until(v1alpha1.StateRemoving, 15*time.Minute)
			} else {
				w.advance(9 * time.Minute)
			}
			copied := w.spec.DeepCopy()
			w.inForce(enforce(mx1, mx2))
			w.claim = nil // its own restore comes after the publication's
			w.advance(day)
			w.restore(copied)
			w.advance(9 * time.Minute)
			if w.removed != 0 || w.txt == "" {
				t.Errorf("removed %d times, TXT %q: the policy is missed since a moment ago", w.removed, w.txt)
			}
		})
	}
}

func TestWhatAShardTellsIsEnteredAlthoughDNSTellsItsID(t *testing.T) {
	w := newWorld(t)
	w.inForce(trial(mx1))
	copied := w.spec.DeepCopy()
	b := w.inForce(enforce(mx1, mx2))
	w.foreign = &Seen{Policy: trial(mx1)} // the address that was asked serves something older
	w.restore(copied)
	w.pass()
	if e := w.entry(b); e == nil {
		t.Errorf("%s, which the shard holds and DNS answers, is not in the ledger %+v", b, w.spec.Ledger)
	}
}

func TestARestoredPublicationExceedsIDsOfAClockThatRanAhead(t *testing.T) {
	w := newWorld(t)
	w.restart(40 * day)
	w.inForce(trial(mx1))
	copied := w.spec.DeepCopy()
	w.restart(0)
	b := w.inForce(trial(mx2)) // a second after the last one: a month ahead
	w.lose()
	w.restore(copied)
	w.until(v1alpha1.StateAnnouncing, 5*time.Minute)
	if mtasts.ID(w.spec.Current.ID).Compare(mtasts.ID(b)) <= 0 {
		t.Errorf("minted %s although DNS shows %s", w.spec.Current.ID, b)
	}
}
