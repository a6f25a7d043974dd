package publication

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
)

func TestAFirstPolicyGoesFromTheWorldLookToInForceAndRests(t *testing.T) {
	w := newWorld(t)
	w.want(trial(mx1, mx2))
	var order []string
	w.onSpec = func(before, after *v1alpha1.MTASTSPublicationSpec) {
		switch {
		case before == nil:
			order = append(order, "recorded")
			if w.txt != "" || w.shard != nil {
				t.Error("something was served or announced before it was recorded")
			}
		case before.AnnouncedID != after.AnnouncedID:
			order = append(order, "announced")
		case before.InForceID != after.InForceID:
			order = append(order, "in force")
		}
	}
	w.onTXT = func(_, _ string) { order = append(order, "TXT") }
	w.pass()
	if w.looks[NeedWorld] != 1 {
		t.Errorf("looked at the world %d times before recording anything, want once", w.looks[NeedWorld])
	}
	w.wantState(v1alpha1.StateServing, v1alpha1.ReasonServing)
	w.until(v1alpha1.StateInForce, 5*time.Minute)
	if diff := cmp.Diff([]string{"recorded", "announced", "TXT", "in force"}, order); diff != "" {
		t.Errorf("order of writes (-want +got):\n%s", diff)
	}
	if w.spec.UID != w.uid || w.spec.AnnouncedID != w.spec.Current.ID || w.spec.AnnouncedAt == nil {
		t.Errorf("uid %q, announcedID %q, announcedAt %v: not recorded with the announcement", w.spec.UID, w.spec.AnnouncedID, w.spec.AnnouncedAt)
	}
	if w.spec.LastID != w.spec.Current.ID || w.spec.Current.Body != trial(mx1, mx2).String() {
		t.Errorf("lastID %q, current %+v", w.spec.LastID, w.spec.Current)
	}
	w.stayQuiet(3 * day)
	w.restart(0)
	w.stayQuiet(3 * day)
}

func TestNothingHappensWithoutPolicyAndPublication(t *testing.T) {
	d := Decide(nil, Observation{}, time.Now(), DefaultTimings())
	if diff := cmp.Diff(Decision{TXT: TXTLeave}, d); diff != "" {
		t.Errorf("decision (-want +got):\n%s", diff)
	}
}

func TestFirstSightEntersWhatIsPublishedAlready(t *testing.T) {
	const ours = "20260228120000deadbeef"
	for _, tc := range []struct {
		name    string
		records []string
		served  *Seen
		lastID  string
		found   []string
		ledger  []v1alpha1.LedgerEntry
	}{
		{name: "nothing is published: nothing is entered"},
		{name: "a policy host without a TXT record was never fetched by anybody", served: &Seen{Policy: enforce(mx3)}},
		{
			name: "a foreign enforce policy is entered under its own id", records: []string{record("20160831085700Z")},
			served: &Seen{Policy: enforce(mx3)}, found: []string{"20160831085700Z"},
			ledger: []v1alpha1.LedgerEntry{{ID: "20160831085700Z", MX: []string{mx3}, MaxAgeSeconds: week, Origin: v1alpha1.OriginFound}},
		},
		{
			name: "an id without a body stands for an enforce policy of a year", records: []string{record("abc")}, found: []string{"abc"},
			ledger: []v1alpha1.LedgerEntry{{ID: "abc", MaxAgeSeconds: 31557600, Origin: v1alpha1.OriginFound}},
		},
		{
			name: "an id of our form raises lastID", records: []string{record(ours)}, served: &Seen{ID: ours, Policy: enforce(mx1)},
			lastID: ours, found: []string{ours},
			ledger: []v1alpha1.LedgerEntry{{ID: ours, MX: []string{mx1}, MaxAgeSeconds: week, Origin: v1alpha1.OriginFound}},
		},
		{
			name: "an id of our form from the far future is not followed", records: []string{record("99981231235959deadbeef")},
			served: &Seen{Policy: enforce(mx1)}, found: []string{"99981231235959deadbeef"},
			ledger: []v1alpha1.LedgerEntry{{ID: "99981231235959deadbeef", MX: []string{mx1}, MaxAgeSeconds: week, Origin: v1alpha1.OriginFound}},
		},
		{
			name: "a testing policy makes nobody refuse mail, but senders have read an id", records: []string{record("abc")},
			served: &Seen{Policy: trial(mx1)}, found: []string{"abc"},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			w.records, w.foreign = tc.records, tc.served
			w.want(enforce(mx1, mx2))
			before := w.clock()
			w.pass()
			if diff := cmp.Diff(tc.found, w.spec.FoundIDs); diff != "" {
				t.Errorf("foundIDs (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.ledger, w.spec.Ledger); diff != "" {
				t.Errorf("ledger (-want +got):\n%s", diff)
			}
			minted := mtasts.ID(w.spec.Current.ID)
			if minted.Compare(mtasts.ID(tc.lastID)) <= 0 || minted.Time().After(before) {
				t.Errorf("minted %s at %s, after %q", minted, before, tc.lastID)
			}
		})
	}
}

func TestAnIDSlightlyAheadOfTheClockIsStillExceeded(t *testing.T) {
	w := newWorld(t)
	ahead := w.now.Add(3*time.Hour).Format("20060102150405") + "deadbeef"
	w.records = []string{record(ahead)}
	w.want(trial(mx1))
	w.pass()
	if mtasts.ID(w.spec.Current.ID).Compare(mtasts.ID(ahead)) <= 0 {
		t.Errorf("minted %s, which is not above %s in DNS", w.spec.Current.ID, ahead)
	}
}

func TestFirstSightWaitsForDNSHoweverLong(t *testing.T) {
	w := newWorld(t)
	w.dnsBroken = true
	w.want(trial(mx1))
	w.pass()
	w.wantState(v1alpha1.StateServing, v1alpha1.ReasonObserving)
	w.advance(time.Hour)
	if w.spec != nil {
		t.Fatal("something was recorded before the world was seen")
	}
	if n := w.looks[NeedWorld]; n < 10 || n > 100 {
		t.Errorf("%d looks in an hour: at first often, then once a minute, then less and less", n)
	}
	if n := w.looks[NeedWorld]; n > 30 {
		t.Errorf("%d looks in an hour at a domain that nobody has seen anything of", n)
	}
	if !w.last.Stalled || !strings.Contains(w.last.Message, "could not see") {
		t.Errorf("after an hour nobody is told: %+v", w.last)
	}
	w.advance(day)
	before := w.looks[NeedWorld]
	w.advance(day)
	if n := w.looks[NeedWorld] - before; n < 23 || n > 25 {
		t.Errorf("%d looks in a day that began a day later", n)
	}
	w.dnsBroken = false
	w.advance(time.Hour)
	if w.spec == nil || w.spec.Current == nil {
		t.Error("the answer that came at last began nothing")
	}
}

func TestAPolicyThatIsServedWithoutAnIDMayBeCachedAllTheSame(t *testing.T) {
	const older = "20260201000000aaaaaaaa"
	o := Observation{
		Claim: &Claim{Name: "p", Wanted: trial(mx1)},
		World: &World{DNS: DNS{Tried: Tried{At: march}, Answer: Absent}, Policy: &Seen{ID: older, Policy: enforce(mx2)}},
	}
	d := Decide(nil, o, march, DefaultTimings())
	if d.Spec == nil || len(d.Spec.Ledger) != 1 || d.Spec.Ledger[0].ID != older || d.Spec.Ledger[0].CachedUntil != nil {
		t.Fatalf("what the policy host serves is not in the ledger: %+v", d)
	}
	if mtasts.ID(d.Spec.Current.ID).Compare(older) <= 0 {
		t.Errorf("minted %s, which is not above %s", d.Spec.Current.ID, older)
	}
}

func TestFirstSightUsesAnAnswerThatComesWhileItWaits(t *testing.T) {
	w := newWorld(t)
	w.dnsBroken = true
	w.records, w.foreign = []string{record("abc")}, &Seen{Policy: enforce(mx3)}
	w.want(trial(mx1))
	w.pass()
	w.dnsBroken = false
	w.advance(time.Minute)
	if w.entry("abc") == nil {
		t.Errorf("ledger %+v lacks what was found", w.spec.Ledger)
	}
}

func TestAWorkingForeignPolicyIsTakenOverInOrder(t *testing.T) {
	w := newWorld(t)
	w.records, w.foreign = []string{record("abc")}, &Seen{Policy: enforce(mx1, mx2)}
	w.want(enforce(mx1, mx2))
	w.advance(time.Hour)
	w.wantState(v1alpha1.StateServing, v1alpha1.ReasonWrongBody)
	if w.txt != "" {
		t.Fatal("announced while the policy URL served another publisher's policy")
	}
	w.foreign = nil
	w.until(v1alpha1.StateInForce, 5*time.Minute)
	if e := w.entry("abc"); e == nil || e.CachedUntil == nil {
		t.Errorf("found entry %+v, want it closed", e)
	}
}

func TestAnEditGetsAFreshIDAndGoingBackGetsAThird(t *testing.T) {
	w := newWorld(t)
	a := w.inForce(trial(mx1, mx2))
	b := w.inForce(trial(mx1))
	again := w.inForce(trial(mx1, mx2))
	if mtasts.ID(b).Compare(mtasts.ID(a)) <= 0 || mtasts.ID(again).Compare(mtasts.ID(b)) <= 0 {
		t.Errorf("ids %s, %s, %s do not increase", a, b, again)
	}
}

func TestWhatMeansTheSameKeepsItsID(t *testing.T) {
	w := newWorld(t)
	id := w.inForce(trial(mx1, mx2))
	w.want(trial("MX2.example.com.", mx1, mx1))
	w.stayQuiet(time.Hour)
	if w.spec.Current.ID != id {
		t.Errorf("order, case and repetition of mx made a new id: %s, was %s", w.spec.Current.ID, id)
	}
}

func TestIDsIncreaseAlthoughTheClockIsSetBack(t *testing.T) {
	w := newWorld(t)
	w.skew = 30 * day
	a := w.inForce(trial(mx1, mx2))
	w.restart(0)
	b := w.inForce(trial(mx1))
	if mtasts.ID(b).Compare(mtasts.ID(a)) <= 0 {
		t.Errorf("%s follows %s", b, a)
	}
}

func TestAClockThatRanAheadMakesNobodyWait(t *testing.T) {
	w := newWorld(t)
	w.skew = 30 * day
	w.want(trial(mx1, mx2))
	w.until(v1alpha1.StateAnnouncing, 5*time.Minute)
	w.restart(0)
	w.until(v1alpha1.StateInForce, 5*time.Minute)
	w.stayQuiet(day)
}

func TestTheGreatestTTLIsRemembered(t *testing.T) {
	w := newWorld(t)
	w.inForce(trial(mx1, mx2))
	w.ttl = 86400
	w.wake = w.now
	w.advance(time.Minute)
	w.ttl = 60
	w.inForce(trial(mx1))
	if w.spec.TTLMaxSeconds != 86400 {
		t.Errorf("ttlMaxSeconds %d: resolvers were told 86400 for a while", w.spec.TTLMaxSeconds)
	}
}

func TestATTLThatDNSAnswersCountsAsWell(t *testing.T) {
	w := newWorld(t)
	w.inForce(trial(mx1, mx2))
	o := w.observe()
	o.DNS = &DNS{Tried: Tried{At: w.now}, Answer: Found, Records: w.records, IDs: []string{w.txt}, TTL: 2 * time.Hour}
	if d := Decide(w.spec, o, w.now, w.tm); d.Spec.TTLMaxSeconds != 7200 {
		t.Errorf("ttlMaxSeconds %d, want 7200", d.Spec.TTLMaxSeconds)
	}
}

func TestAPolicyOfAnotherNameTakesOverWithoutANewID(t *testing.T) {
	w := newWorld(t)
	id := w.inForce(enforce(mx1, mx2))
	renamed := *w.claim
	w.deletePolicy()
	w.advance(5 * time.Minute)
	if w.spec.PolicyGoneAt == nil {
		t.Fatal("the absence of the policy was not noted")
	}
	renamed.Name, renamed.UID = "renamed", "policy-2"
	w.claim = &renamed
	w.want(enforce(mx2, mx1))
	w.advance(time.Minute)
	want := &v1alpha1.PolicyReference{Name: "renamed", UID: "policy-2"}
	if diff := cmp.Diff(want, w.spec.PolicyRef); diff != "" {
		t.Errorf("policyRef (-want +got):\n%s", diff)
	}
	if w.spec.Current.ID != id || w.txt != id || w.spec.PolicyGoneAt != nil || w.told(v1alpha1.ReasonAdopted) != 1 {
		t.Errorf("id %s (was %s), TXT %s, goneAt %v, adopted %d times", w.spec.Current.ID, id, w.txt, w.spec.PolicyGoneAt, w.told(v1alpha1.ReasonAdopted))
	}
	w.stayQuiet(day)
}

// march is when the tests of single decisions play.
var march = time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)

// What was seen of the world counts from the moment at which the look began: what it says may be from then.
func TestNothingBeginsByAnOldLookAtTheWorld(t *testing.T) {
	ago := func(d time.Duration) time.Time { return march.Add(-d) }
	for name, tt := range map[string]struct {
		tried Tried
		looks bool
	}{
		"a look of now":                         {Tried{At: ago(time.Second), Began: ago(11 * time.Second)}, false},
		"a look of some minutes ago":            {Tried{At: ago(4 * time.Minute), Began: ago(4 * time.Minute)}, false},
		"a look of too many minutes ago":        {Tried{At: ago(5 * time.Minute), Began: ago(5 * time.Minute)}, true},
		"a look that began too many ago":        {Tried{At: ago(time.Minute), Began: ago(6 * time.Minute)}, true},
		"a look from before a clock went back":  {Tried{At: ago(-time.Minute), Began: ago(-time.Minute)}, true},
		"a look of hours ago, which had failed": {Tried{At: ago(6 * time.Hour), Began: ago(6 * time.Hour), Tries: 2, Since: ago(7 * time.Hour)}, true},
	} {
		t.Run(name, func(t *testing.T) {
			o := Observation{Claim: &Claim{Name: "p", Wanted: trial(mx1)}, World: &World{DNS: DNS{Tried: tt.tried, Answer: Absent}}}
			if d := Decide(nil, o, march, DefaultTimings()); (d.Need == NeedWorld) != tt.looks || (d.Spec == nil) != tt.looks {
				t.Errorf("needs %q, spec %+v", d.Need, d.Spec)
			}
		})
	}
}

// Between a look at the policy URL and the announcement a pod may have kept the id waiting for days.
func TestNothingIsAnnouncedByAnOldLookAtThePolicyURL(t *testing.T) {
	current := trial(mx1)
	for name, tt := range map[string]struct {
		age  time.Duration
		need Need
	}{"of a minute ago": {time.Minute, NeedConfirmation}, "of five minutes ago": {5 * time.Minute, NeedPublic}} {
		t.Run(name, func(t *testing.T) {
			spec := recorded(&current)
			spec.AnnouncedID, spec.InForceID = "", ""
			id := spec.Current.ID
			d := Decide(spec, Observation{
				UID: "uid-1", Begun: true, Claim: &Claim{Name: "p", UID: "u", Wanted: current},
				Servers: Servers{Known: true, Ready: 1},
				Public:  &Public{For: id, Outcome: Pass, Tried: Tried{At: march, Began: march.Add(-tt.age)}},
			}, march, DefaultTimings())
			if d.Need != tt.need {
				t.Errorf("needs %q, want %q: %s", d.Need, tt.need, d.Message)
			}
		})
	}
}

func TestALookAtDNSThatBeganBeforeTheAnnouncementDoesNotEndIt(t *testing.T) {
	current := trial(mx1)
	spec := recorded(&current)
	spec.InForceID = ""
	id := spec.Current.ID
	announced := march.Add(-time.Minute)
	spec.AnnouncedAt.Time = announced
	for name, tt := range map[string]struct {
		began time.Time
		state v1alpha1.State
	}{
		"it began after it":  {announced.Add(time.Second), v1alpha1.StateInForce},
		"it began before it": {announced.Add(-time.Second), ""},
	} {
		t.Run(name, func(t *testing.T) {
			d := Decide(spec, Observation{
				UID: "uid-1", Claim: &Claim{Name: "p", UID: "u", Wanted: current}, Servers: Servers{Known: true, Ready: 1}, TXTObject: id,
				Confirmed: id, ConfirmTried: true,
				DNS: &DNS{
					Tried: Tried{At: announced.Add(5 * time.Second), Began: tt.began}, Answer: Found,
					Records: []string{record(id)}, IDs: []string{id}, TTL: time.Minute,
				},
			}, march, DefaultTimings())
			if (d.State == v1alpha1.StateInForce) != (tt.state == v1alpha1.StateInForce) {
				t.Errorf("state %s, need %s", d.State, d.Need)
			}
		})
	}
}
