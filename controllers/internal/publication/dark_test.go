package publication

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
)

// dropRecords takes the domain's records out of DNS, whatever the objects say: an alias that is gone, a zone that
// was moved.
func (w *world) dropRecords(answers ...string) {
	w.dnsStuck, w.records, w.fault, w.wake = true, answers, NoAnswer, w.now
}

// row is the last of looks at DNS, one for each of the answers.
func row(spec *v1alpha1.MTASTSPublicationSpec, every time.Duration, answers ...DNS) *DNS {
	now := time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)
	var last *DNS
	for _, answer := range answers {
		now = now.Add(every)
		answer.Follow(last, spec, now)
		last = &answer
	}
	return last
}

func TestOnlyARowOfAnswersProvesThatDNSHasNoIDOfOurs(t *testing.T) {
	const older, announced, found, above = "20260101000000deadbeef", "20260201000000deadbeef", "20160831085700Z", "20990101000000deadbeef"
	spec := &v1alpha1.MTASTSPublicationSpec{AnnouncedID: announced, LastID: announced, FoundIDs: []string{found}}
	none, unknown := DNS{Answer: Absent}, DNS{Answer: Unknown, Message: "SERVFAIL"}
	says := func(ids ...string) DNS { return DNS{Answer: Found, IDs: ids, Records: ids} }
	resolver := DNS{Answer: Absent, Secondhand: true}
	for name, tc := range map[string]struct {
		every   time.Duration
		answers []DNS
		want    bool
	}{
		"three in ten minutes":                     {5 * time.Minute, []DNS{none, none, none}, true},
		"two, however far apart":                   {time.Hour, []DNS{none, none}, false},
		"three in nine minutes":                    {4 * time.Minute, []DNS{none, none, none}, false},
		"an hour of failures and one answer":       {5 * time.Minute, append(slices.Repeat([]DNS{unknown}, 12), none), false},
		"failures, and three answers":              {5 * time.Minute, []DNS{unknown, unknown, none, none, none}, true},
		"a failure among them":                     {5 * time.Minute, []DNS{none, none, unknown, none}, false},
		"a failure after them":                     {5 * time.Minute, []DNS{none, none, none, unknown}, false},
		"servers that disagree":                    {5 * time.Minute, []DNS{none, none, none, {Answer: Unknown, IDs: []string{announced}}}, false},
		"an id of ours among them":                 {5 * time.Minute, []DNS{none, none, says(announced), none}, false},
		"an older id of ours among them":           {5 * time.Minute, []DNS{none, none, says(older), none}, false},
		"an id of ours beside a stranger's":        {5 * time.Minute, []DNS{none, none, says("theirs", older)}, false},
		"a resolver's answer last":                 {5 * time.Minute, []DNS{none, none, none, resolver}, false},
		"a resolver's answers only":                {5 * time.Minute, []DNS{resolver, resolver, resolver, resolver}, false},
		"a stranger's id":                          {5 * time.Minute, []DNS{none, says("theirs"), none}, true},
		"the id of whoever published before":       {5 * time.Minute, []DNS{says(found), says(found), says(found)}, true},
		"another text":                             {5 * time.Minute, []DNS{{Answer: Found, Records: []string{"x"}}, none, none}, true},
		"an id of our form that nothing remembers": {5 * time.Minute, []DNS{says(above), says(above), says(above)}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := row(spec, tc.every, tc.answers...).Gone.Proves(DefaultTimings()); got != tc.want {
				t.Errorf("proves %t, want %t", got, tc.want)
			}
		})
	}
}

func TestRecordsThatGoBeforeThePolicyDoNotKeepItFromRetiring(t *testing.T) {
	for _, tc := range []struct {
		name    string
		prepare func(w *world)
	}{
		{"external-dns", func(*world) {}},
		{"records by hand", func(w *world) { w.byHand = true }},
		{"the policy host still answers", func(w *world) { w.fault = "" }},
		{"they point to another publisher", func(w *world) {
			w.records, w.fault, w.foreign = []string{record("theirs")}, "", &Seen{ID: "theirs", Policy: enforce(mx3)}
		}},
		{"they go while mode none is on its way to DNS", func(w *world) {
			w.records, w.fault = []string{record(w.txt)}, ""
			w.deletePolicy()
			w.when("announced", time.Hour, func() bool {
				return w.spec.AnnouncedID == w.spec.Current.ID && w.spec.Current.Mode == v1alpha1.ModeNone
			})
			w.dropRecords()
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			id := w.inForce(enforce(mx1, mx2))
			w.dropRecords()
			tc.prepare(w)
			w.advance(2 * time.Hour)
			w.onTXT = func(_, after string) {
				if after == id {
					t.Errorf("%s was put into its object again", id)
				}
			}
			w.deletePolicy()
			w.when("dated", 2*time.Hour, func() bool { return w.spec.Retirement != nil && w.entry(id).CachedUntil != nil })
			since := w.spec.Retirement.AbsentSince
			if since == nil || w.spec.Current.Mode != v1alpha1.ModeNone || (!w.byHand && w.txt == id) {
				t.Fatalf("absent since %v, mode %s, TXT object %s", since, w.spec.Current.Mode, w.txt)
			}
			until := w.entry(id).CachedUntil.Time
			lifetime := 48*time.Hour + 300*time.Second + week*time.Second + time.Hour
			if got := until.Sub(since.Time); got < lifetime || got > lifetime+5*time.Minute {
				t.Errorf("held for %s after it was gone, want %s", got, lifetime)
			}
			w.wantState(v1alpha1.StateRetiring, v1alpha1.ReasonRetiring)
			for _, part := range []string{since.UTC().Format(time.RFC3339), until.UTC().Format(time.RFC3339)} {
				if !strings.Contains(w.last.Message, part) {
					t.Errorf("message %q does not say %s", w.last.Message, part)
				}
			}
			w.restEvery = 12 * time.Hour
			w.advance(time.Minute)
			w.stayQuiet(until.Sub(w.now) - time.Minute)
			w.advance(time.Hour)
			if w.removed != 1 {
				t.Errorf("not removed: %s %s", w.last.State, w.last.Message)
			}
		})
	}
}

func TestNothingIsDatedBeforeDNSIsProvenToHaveNoID(t *testing.T) {
	w := newWorld(t)
	id := w.inForce(enforce(mx1, mx2))
	w.dropRecords()
	w.dnsBroken = true
	w.deletePolicy()
	w.advance(10 * time.Hour)
	w.dnsBroken = false
	w.advance(9 * time.Minute)
	if w.entry(id).CachedUntil != nil || w.txt != id {
		t.Fatalf("entry %+v, TXT object %q: DNS has answered for nine minutes", w.entry(id), w.txt)
	}
	w.secondhand = true
	w.advance(5 * time.Hour)
	if w.entry(id).CachedUntil != nil || w.txt != id {
		t.Fatalf("entry %+v, TXT object %q: only a resolver says so", w.entry(id), w.txt)
	}
	w.secondhand = false
	w.when("dated", time.Hour, func() bool { return w.entry(id).CachedUntil != nil })
}

func TestNothingIsDatedWhileAPodServesTheOlderPolicy(t *testing.T) {
	w := newWorld(t)
	id := w.inForce(enforce(mx1, mx2))
	w.dropRecords()
	w.pods[1].silent, w.pods[1].silentSince = true, w.now
	w.deletePolicy()
	w.advance(5 * time.Hour)
	if w.spec.Retirement.AbsentSince != nil || w.entry(id).CachedUntil != nil || w.txt != id {
		t.Fatalf("absent since %v, entry %+v, TXT object %q", w.spec.Retirement.AbsentSince, w.entry(id), w.txt)
	}
	w.pods[1].silent = false
	w.wake = w.now
	w.when("dated", time.Hour, func() bool { return w.entry(id).CachedUntil != nil })
}

// retiredInTheDark is a publication that retires although DNS answers nothing, with its entry dated.
func retiredInTheDark(t *testing.T) (w *world, id string) {
	w = newWorld(t)
	id = w.inForce(enforce(mx1, mx2))
	w.dropRecords()
	w.deletePolicy()
	w.when("dated", 2*time.Hour, func() bool { return w.spec.Retirement != nil && w.entry(id).CachedUntil != nil })
	w.restEvery = 9 * time.Hour // a look in half an hour, for as long as DNS does not answer
	w.advance(day)
	return w, id
}

func TestWhatComesBackOfOursOpensTheLedgerAgain(t *testing.T) {
	for _, tc := range []struct {
		name string
		back func(w *world, id string)
		// stays says whether DNS is still taken to answer nothing.
		stays bool
	}{
		{"in DNS", func(w *world, id string) { w.records = []string{record(id)} }, false},
		{"beside another's", func(w *world, id string) { w.records = []string{record("theirs"), record(id)} }, false},
		{"in its object", func(w *world, id string) { w.txt, w.wake = id, w.now }, true},
		{"at a pod", func(w *world, id string) {
			w.pods[1].instance, w.wake = &v1alpha1.Instance{ID: id, Mode: v1alpha1.ModeEnforce, MX: []string{mx1, mx2}, MaxAgeSeconds: week}, w.now
		}, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w, id := retiredInTheDark(t)
			before := w.entry(id).CachedUntil.Time
			tc.back(w, id)
			w.when("opened", 2*time.Hour, func() bool { return w.entry(id).CachedUntil == nil || w.entry(id).CachedUntil.After(before) })
			if stays := w.spec.Retirement.AbsentSince != nil; stays != tc.stays {
				t.Errorf("absent since %v", w.spec.Retirement.AbsentSince)
			}
			w.advance(time.Hour)
			if w.txt == id {
				t.Error("its object carries it")
			}
			w.records, w.pods[1].instance = nil, w.shard
			gone := w.now
			w.when("dated again", 3*time.Hour, func() bool { return w.entry(id).CachedUntil != nil })
			if until := w.entry(id).CachedUntil.Time; until.Before(before.Add(day/2)) || (!tc.stays && until.Sub(gone) < 48*time.Hour+week*time.Second) {
				t.Errorf("dated %s, and before %s; gone at %s", until, before, gone)
			}
			w.advance(15 * day)
			if w.removed != 1 {
				t.Errorf("not removed: %s %s", w.last.State, w.last.Message)
			}
		})
	}
}

func TestAnotherPublishersIDInTheDarkOpensNothing(t *testing.T) {
	w := newWorld(t)
	// Whoever published before is gone back to.
	w.records, w.foreign = []string{record("theirs")}, &Seen{ID: "theirs", Policy: enforce(mx3)}
	w.want(enforce(mx1, mx2))
	w.advance(time.Minute)
	w.foreign = nil
	id := w.inForce(enforce(mx1, mx2))
	w.advance(9 * day)
	w.dropRecords(record("theirs"))
	w.deletePolicy()
	w.when("dated", 2*time.Hour, func() bool { return w.spec.Retirement != nil && w.entry(id) != nil && w.entry(id).CachedUntil != nil })
	w.foreign, w.fault, w.restEvery = &Seen{ID: "theirs", Policy: enforce(mx3)}, "", 12*time.Hour
	w.stayQuiet(day)
	w.records = nil
	w.stayQuiet(day)
	w.records = []string{record("others")}
	w.stayQuiet(day)
	w.advance(15 * day)
	if w.removed != 1 {
		t.Errorf("not removed: %s %s", w.last.State, w.last.Message)
	}
}

func TestModeNoneThatComesToDNSAfterAllEndsTheDark(t *testing.T) {
	w := newWorld(t)
	id := w.inForce(enforce(mx1, mx2))
	w.deletePolicy()
	w.when("announced", time.Hour, func() bool {
		return w.spec.AnnouncedID == w.spec.Current.ID && w.spec.Current.Mode == v1alpha1.ModeNone
	})
	none := w.spec.AnnouncedID
	w.dropRecords()
	w.when("dated", 2*time.Hour, func() bool { return w.entry(id).CachedUntil != nil })
	until := w.entry(id).CachedUntil.Time
	if w.txt != none {
		t.Fatalf("TXT object %q, want mode none's %s", w.txt, none)
	}
	w.records = []string{record(none)}
	w.when("in force", 2*time.Hour, func() bool { return w.spec.InForceID == none })
	if w.spec.Retirement.AbsentSince != nil || !w.entry(id).CachedUntil.Time.Equal(until) {
		t.Errorf("absent since %v, entry %+v: mode none prolongs nothing", w.spec.Retirement.AbsentSince, w.entry(id))
	}
}

func TestAPolicyThatComesBackInTheDarkPutsNoOlderIDBack(t *testing.T) {
	w, id := retiredInTheDark(t)
	w.onTXT = func(_, after string) {
		if after == id {
			t.Error("the older id is in its object again")
		}
	}
	w.want(enforce(mx1, mx2))
	w.advance(time.Hour)
	if w.txt != "" {
		t.Fatalf("TXT object %q, although nobody can get the policy", w.txt)
	}
	if !GivenUp(w.spec) {
		t.Errorf("the id announced last is still asked for: %+v", w.spec)
	}
	w.dnsStuck, w.dnsDue, w.fault = false, w.now, ""
	w.inForce(enforce(mx1, mx2))
	if e := w.entry(id); e == nil || w.spec.Retirement != nil || GivenUp(w.spec) {
		t.Errorf("entry %+v, retirement %+v", e, w.spec.Retirement)
	}
}

func TestARemovalInTheDarkFindsOutAnewThatDNSAnswersNoID(t *testing.T) {
	w, _ := retiredInTheDark(t)
	looks := 0
	w.onSpec = func(before, after *v1alpha1.MTASTSPublicationSpec) {
		if before.Retirement.RemovingSince == nil && after.Retirement.RemovingSince != nil {
			looks = w.looks[NeedDNS]
			if after.Retirement.AbsentSince != nil {
				t.Errorf("a removal begins with an absence of %s", after.Retirement.AbsentSince)
			}
		}
	}
	w.advance(15 * day)
	if w.removed != 1 || looks == w.looks[NeedDNS] {
		t.Errorf("removed %d times, %d looks at DNS before the removal and %d after it", w.removed, looks, w.looks[NeedDNS])
	}
}

func TestACopyNeverRetiresBeforeAPolicyWasSeenBesideIt(t *testing.T) {
	for name, tc := range map[string]struct {
		deletionPolicy v1alpha1.DeletionPolicy
		handedOver     bool
	}{
		"one that drains":           {v1alpha1.DeletionDrain, false},
		"one that waits for nobody": {v1alpha1.DeletionImmediate, false},
		"one that was handed over":  {v1alpha1.DeletionDrain, true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.inForce(enforce(mx1, mx2))
			w.claim.DeletionPolicy = tc.deletionPolicy
			w.pass()
			copied := w.spec.DeepCopy()
			if tc.handedOver {
				copied.UID, copied.InForceID, copied.PolicyRef = "", "", nil
			}
			claim := w.claim
			w.claim = nil
			w.restore(copied)
			w.advance(2 * time.Hour)
			if w.spec == nil || w.spec.Retirement != nil || w.spec.Current.Mode != v1alpha1.ModeEnforce || w.txt != w.spec.Current.ID {
				t.Fatalf("retired before its policy was restored: %s %s", w.last.State, w.last.Message)
			}
			command := "kubectl -n mail annotate --overwrite mtastspublication " + domain + " " + v1alpha1.ReleaseAnnotation + "=" + w.spec.PolicyGoneAt.UTC().Format(time.RFC3339)
			if !w.last.Stalled || w.last.Reason != v1alpha1.ReasonRetirementHeld || !strings.Contains(w.last.Message, command) {
				t.Errorf("%s, stalled %t: %s; want %s", w.last.Reason, w.last.Stalled, w.last.Message, command)
			}
			id := w.spec.Current.ID
			w.claim, w.wake = claim, w.now
			w.advance(time.Minute)
			if w.spec.Current.ID != id || w.spec.PolicyRef == nil {
				t.Errorf("current %s, was %s", w.spec.Current.ID, id)
			}
			w.deletePolicy()
			w.advance(30 * time.Minute)
			if w.spec != nil && w.spec.Retirement == nil {
				t.Errorf("does not retire although its policy was seen and is gone: %s", w.last.Message)
			}
		})
	}
}

func TestAHeldCopyRetiresOnAWord(t *testing.T) {
	w := newWorld(t)
	w.inForce(enforce(mx1, mx2))
	w.claim = nil
	w.restore(w.spec)
	w.word = w.now.Add(-time.Second).UTC().Format(time.RFC3339) // a word in the backup
	w.advance(2 * time.Hour)
	if w.word != "" || w.spec.Retirement != nil {
		t.Fatalf("word %q, retirement %+v: a copy's word is about another time", w.word, w.spec.Retirement)
	}
	w.word, w.wake = w.spec.PolicyGoneAt.UTC().Format(time.RFC3339), w.now
	w.advance(time.Minute)
	if w.word != "" || w.spec.Retirement == nil || w.spec.Current.Mode != v1alpha1.ModeNone {
		t.Errorf("word %q, retirement %+v, mode %s", w.word, w.spec.Retirement, w.spec.Current.Mode)
	}
}

func TestAWordCountsForWhatWasMissedByThen(t *testing.T) {
	gone := time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)
	now := gone.Add(time.Hour)
	at := func(t time.Time) string { return t.Format(time.RFC3339) }
	for name, tc := range map[string]struct {
		word                   string
		held                   bool
		retires, spent, warned bool
	}{
		"no word":                             {"", true, false, false, false},
		"the time of the message":             {at(gone), true, true, true, false},
		"the time of a later one":             {at(gone.Add(time.Minute)), true, true, true, false},
		"in another time zone":                {at(gone.In(time.FixedZone("", 7200))), true, true, true, false},
		"a second too early":                  {at(gone.Add(-time.Second)), true, false, true, true},
		"now":                                 {at(now), true, true, true, false},
		"a time that is yet to come":          {at(now.Add(time.Hour)), true, false, true, true},
		"true":                                {"true", true, false, true, true},
		"nonsense without an end":             {strings.Repeat("2", 5000), true, false, true, true},
		"a word where nothing holds anything": {at(gone), false, true, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			spec := recorded(new(enforce(mx1)))
			spec.PolicyRef = &v1alpha1.PolicyReference{Name: "p"}
			spec.PolicyGoneAt = stamped(gone)
			o := Observation{UID: "uid-1", TXTObject: spec.Current.ID, Word: tc.word, Namespace: "mail", Servers: Servers{Known: true, Ready: 1}}
			if tc.held {
				o.Held = &Held{Newest: gone}
			}
			d := Decide(spec, o, now, DefaultTimings())
			warned := slices.ContainsFunc(d.Events, func(e Event) bool { return e.Warning && len(e.Message) < 300 })
			got := []bool{d.Spec.Retirement != nil, d.WordSpent, warned}
			if diff := cmp.Diff([]bool{tc.retires, tc.spent, tc.warned}, got); diff != "" {
				t.Errorf("retires, word spent, warned (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAHoldNamesTheNewestDisappearanceOfItsNamespace(t *testing.T) {
	w := newWorld(t)
	w.inForce(enforce(mx1, mx2))
	w.retirementHeld = true
	w.deletePolicy()
	w.advance(time.Hour)
	o := w.observe()
	o.Held = &Held{Newest: w.spec.PolicyGoneAt.Add(7 * time.Minute)}
	want := "kubectl -n mail annotate --overwrite mtastspublication --all " + v1alpha1.ReleaseAnnotation + "=" + o.Held.Newest.UTC().Format(time.RFC3339)
	if d := Decide(w.spec, o, w.now, w.tm); !strings.Contains(d.Message, want) {
		t.Errorf("message %q, want %s", d.Message, want)
	}
}
