package publication

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
)

// recordedID is the id of the current instance of recorded.
func recordedID(p mtasts.Policy) string {
	id, _ := mtasts.MintID(time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC), "", p.String())
	return string(id)
}

// recorded is a publication whose current instance, if any, is in force.
func recorded(current *mtasts.Policy) *v1alpha1.MTASTSPublicationSpec {
	spec := &v1alpha1.MTASTSPublicationSpec{Domain: domain, UID: "uid-1", TTLMaxSeconds: 300}
	if current != nil {
		id := recordedID(*current)
		spec.LastID, spec.AnnouncedID, spec.InForceID = id, id, id
		spec.AnnouncedAt = stamped(time.Date(2026, time.January, 1, 0, 1, 0, 0, time.UTC))
		spec.Current = &v1alpha1.Instance{
			ID: id, Mode: v1alpha1.Mode(current.Mode), MX: current.MX,
			MaxAgeSeconds: int32(current.MaxAgeSeconds), Body: current.String(),
		}
	}
	return spec
}

func TestAChangeIsHeldOnlyIfEnforceWouldLoseMoreMail(t *testing.T) {
	now := time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)
	longer := func(p mtasts.Policy) mtasts.Policy { p.MaxAgeSeconds *= 2; return p }
	shorter := func(p mtasts.Policy) mtasts.Policy { p.MaxAgeSeconds /= 2; return p }
	for _, tc := range []struct {
		name    string
		current *mtasts.Policy
		wanted  mtasts.Policy
		live    []string
		failing bool // every live host fails at STARTTLS
		null    bool
		advise  bool
		reason  string
	}{
		{name: "a first enforce policy that covers every live host", wanted: enforce(mx1, mx2), live: []string{mx1, mx2}},
		{name: "a first enforce policy that misses a live host", wanted: enforce(mx1), live: []string{mx1, mx2}, reason: v1alpha1.ReasonUncoveredMX},
		{name: "a wildcard covers one label", wanted: enforce("*.example.com"), live: []string{mx1, mx2}},
		{name: "a wildcard does not cover two labels", wanted: enforce("*.example.com"), live: []string{"a.b.example.com"}, reason: v1alpha1.ReasonUncoveredMX},
		{name: "testing may miss live hosts", wanted: trial(mx1), live: []string{mx1, mx2}},
		{name: "none may miss live hosts", wanted: disabled(mx1), live: []string{mx1, mx2}},
		{name: "from testing to enforce is held by an uncovered host", current: new(trial(mx1)), wanted: enforce(mx1), live: []string{mx1, mx2}, reason: v1alpha1.ReasonUncoveredMX},
		{name: "from none to enforce is held by an uncovered host", current: new(disabled(mx1)), wanted: enforce(mx1), live: []string{mx2}, reason: v1alpha1.ReasonUncoveredMX},
		{name: "leaving enforce for testing is never held", current: new(enforce(mx1)), wanted: trial(mx3), live: []string{mx1, mx2}},
		{name: "leaving enforce for none is never held", current: new(enforce(mx1)), wanted: disabled(mx3), live: []string{mx1, mx2}},
		{name: "leaving enforce is not held by a null MX", current: new(enforce(mx1)), wanted: trial(mx1), null: true},
		{name: "dropping the pattern of a live host is held", current: new(enforce(mx1, mx2)), wanted: enforce(mx1), live: []string{mx1, mx2}, reason: v1alpha1.ReasonUncoveredMX},
		{name: "dropping the pattern of a host that is no MX is not held", current: new(enforce(mx1, mx2)), wanted: enforce(mx1), live: []string{mx1}},
		{name: "a repair that still misses a host is not held: it loses less", current: new(enforce(mx1)), wanted: enforce(mx1, mx2), live: []string{mx2, mx3}},
		{name: "a change that misses the same hosts is not held", current: new(enforce(mx1)), wanted: enforce(mx2), live: []string{mx3}},
		{name: "a change that exchanges one missed host for another is held", current: new(enforce(mx1, mx2)), wanted: enforce(mx1, mx3), live: []string{mx1, mx2, mx3}, reason: v1alpha1.ReasonUncoveredMX},
		{name: "max_age must not grow while a live host is missed", current: new(enforce(mx1)), wanted: longer(enforce(mx1)), live: []string{mx1, mx2}, reason: v1alpha1.ReasonUncoveredMX},
		{name: "max_age may shrink while a live host is missed", current: new(enforce(mx1)), wanted: shorter(enforce(mx1)), live: []string{mx1, mx2}},
		{name: "max_age may grow while every live host is covered", current: new(enforce(mx1)), wanted: longer(enforce(mx1)), live: []string{mx1}},
		{name: "enforce for a domain with a null MX", wanted: enforce(mx1), null: true, reason: v1alpha1.ReasonNullMX},
		{name: "the domain itself is the live host without MX records: covered", wanted: enforce(domain), live: []string{domain}},
		{name: "the domain itself is the live host without MX records: not covered", wanted: enforce(mx1), live: []string{domain}, reason: v1alpha1.ReasonUncoveredMX},
		{name: "a first enforce policy while every live host fails at STARTTLS", wanted: enforce(mx1), live: []string{mx1}, failing: true, reason: v1alpha1.ReasonSTARTTLSFailing},
		{name: "from testing to enforce while every live host fails at STARTTLS", current: new(trial(mx1)), wanted: enforce(mx1), live: []string{mx1}, failing: true, reason: v1alpha1.ReasonSTARTTLSFailing},
		{name: "an uncovered host is named before STARTTLS is", wanted: enforce(mx1), live: []string{mx1, mx2}, failing: true, reason: v1alpha1.ReasonUncoveredMX},
		{name: "testing while every live host fails at STARTTLS", wanted: trial(mx1), live: []string{mx1}, failing: true},
		{name: "leaving enforce while every live host fails at STARTTLS", current: new(enforce(mx1)), wanted: trial(mx1), live: []string{mx1}, failing: true},
		{name: "an edit of enforce while every live host fails at STARTTLS loses no more mail", current: new(enforce(mx1)), wanted: enforce(mx1, mx2), live: []string{mx1}, failing: true},
		{name: "max_age must not grow while every live host fails at STARTTLS", current: new(enforce(mx1)), wanted: longer(enforce(mx1)), live: []string{mx1}, failing: true, reason: v1alpha1.ReasonSTARTTLSFailing},
		{name: "Advise publishes while every live host fails at STARTTLS", wanted: enforce(mx1), live: []string{mx1}, failing: true, advise: true},
		{name: "Advise publishes what misses a live host", wanted: enforce(mx1), live: []string{mx1, mx2}, advise: true},
		{name: "Advise publishes despite a null MX", wanted: enforce(mx1), null: true, advise: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			claim := &Claim{Name: "p", UID: "u", Wanted: tc.wanted, Preflight: v1alpha1.PreflightRequire}
			if tc.advise {
				claim.Preflight = v1alpha1.PreflightAdvise
			}
			o := Observation{
				UID: "uid-1", Claim: claim, TTLSeconds: 300,
				MX: &MX{Tried: Tried{At: now}, Answer: Found, Hosts: tc.live, Null: tc.null},
			}
			if tc.failing {
				o.MX.Failing = "no STARTTLS"
			}
			if tc.current != nil {
				o.TXTObject = recordedID(*tc.current)
			}
			spec := recorded(tc.current)
			d := Decide(spec, o, now, DefaultTimings())
			if d.Need != NeedNothing {
				t.Fatalf("needs %s", d.Need)
			}
			if tc.reason == "" {
				if d.State == v1alpha1.StateHeld || !PolicyOf(*d.Spec.Current).Equal(tc.wanted) {
					t.Errorf("held by %s: %s", d.Reason, d.Message)
				}
				return
			}
			if d.State != v1alpha1.StateHeld || d.Reason != tc.reason || !d.Stalled || d.After == 0 || d.After > time.Minute {
				t.Errorf("state %s, reason %q, stalled %t, after %s; want Held, %q, stalled, looking again within a minute", d.State, d.Reason, d.Stalled, d.After, tc.reason)
			}
			if (d.Spec.Current == nil) != (tc.current == nil) || (tc.current != nil && d.Spec.Current.ID != spec.Current.ID) {
				t.Errorf("current became %+v", d.Spec.Current)
			}
			if want := TXTPublish; tc.current != nil && d.TXT != want {
				t.Errorf("TXT action %s: what is in force must stay", d.TXT)
			}
		})
	}
}

func TestAHoldNamesTheHostsAndTheWaysOut(t *testing.T) {
	hosts := []string{"a.test", "b.test", "c.test", "d.test", "e.test", "f.test"}
	_, one := objection(&MX{Hosts: hosts[:1]}, nil, enforce(mx1))
	_, all := objection(&MX{Hosts: hosts}, nil, enforce(mx1))
	for _, want := range []string{"host a.test:", "spec.mx", "mode: testing", "preflight: Advise"} {
		if !strings.Contains(one, want) {
			t.Errorf("%q lacks %q", one, want)
		}
	}
	if !strings.Contains(all, "hosts a.test, b.test, c.test, d.test, e.test, …:") {
		t.Errorf("%q does not stop at five hosts", all)
	}
}

func TestAHoldEndsByItselfWhenTheMXRecordsChange(t *testing.T) {
	w := newWorld(t)
	id := w.inForce(trial(mx1))
	w.want(enforce(mx1))
	w.advance(time.Hour)
	w.wantState(v1alpha1.StateHeld, v1alpha1.ReasonUncoveredMX)
	if w.txt != id || w.spec.Current.ID != id {
		t.Errorf("TXT %s, current %s: what was in force before the hold was %s", w.txt, w.spec.Current.ID, id)
	}
	w.stayQuiet(day)
	w.mx = []string{mx1}
	w.until(v1alpha1.StateInForce, 5*time.Minute)
	if w.spec.Current.Mode != v1alpha1.ModeEnforce {
		t.Errorf("mode %s in force", w.spec.Current.Mode)
	}
}

func TestAnEditDuringAHoldReplacesTheHeldOne(t *testing.T) {
	w := newWorld(t)
	w.inForce(trial(mx1))
	w.want(enforce(mx1))
	w.advance(time.Minute)
	w.wantState(v1alpha1.StateHeld, v1alpha1.ReasonUncoveredMX)
	w.want(enforce(mx1, mx2))
	w.until(v1alpha1.StateInForce, 5*time.Minute)
	if !PolicyOf(*w.spec.Current).Equal(enforce(mx1, mx2)) || w.told(v1alpha1.ReasonMinted) != 2 {
		t.Errorf("current %+v after %d mints: the held policy must leave no trace", w.spec.Current, w.told(v1alpha1.ReasonMinted))
	}
}

func TestAHeldChangeThatIsTakenBackLeavesNoTrace(t *testing.T) {
	w := newWorld(t)
	id := w.inForce(trial(mx1))
	w.want(enforce(mx1))
	w.advance(time.Minute)
	w.want(trial(mx1))
	w.advance(time.Minute)
	w.wantState(v1alpha1.StateInForce, "")
	if w.spec.Current.ID != id || w.told(v1alpha1.ReasonMinted) != 1 {
		t.Errorf("current %s, was %s", w.spec.Current.ID, id)
	}
}

func TestAHeldFirstPublicationIsRememberedAndServesNothing(t *testing.T) {
	w := newWorld(t)
	w.want(enforce(mx1))
	w.advance(time.Hour)
	w.wantState(v1alpha1.StateHeld, v1alpha1.ReasonUncoveredMX)
	if w.spec == nil || w.spec.Current != nil || w.shard != nil || w.txt != "" {
		t.Errorf("spec %+v, shard %v, TXT %q", w.spec, w.shard, w.txt)
	}
	w.stayQuiet(day)
}

func TestAFailingMXLookupHoldsForThreeTriesInTwoMinutes(t *testing.T) {
	w := newWorld(t)
	w.inForce(trial(mx1, mx2))
	w.mxBroken = true
	w.memory.mx = nil
	w.want(enforce(mx1, mx2))
	start := w.now
	w.pass()
	w.wantState(v1alpha1.StateHeld, v1alpha1.ReasonMXLookupPending)
	if w.last.Stalled {
		t.Error("a hold that ends within two minutes is not stalled")
	}
	w.when("minted", 3*time.Minute, func() bool { return w.spec.Current.Mode == v1alpha1.ModeEnforce })
	if took := w.now.Sub(start); took < 40*time.Second || took > 2*time.Minute || w.memory.mx.Tries != 3 {
		t.Errorf("went on after %s and %d looks", took, w.memory.mx.Tries)
	}
	if w.told(v1alpha1.ReasonLookupFailed) != 1 {
		t.Errorf("%d events tell that the change went ahead unchecked, want 1", w.told(v1alpha1.ReasonLookupFailed))
	}
	w.until(v1alpha1.StateInForce, 5*time.Minute)
}

func TestALookupThatFailedLongAgoDoesNotLetAChangeThrough(t *testing.T) {
	w := newWorld(t)
	w.inForce(trial(mx1))
	w.memory.mx = &MX{Answer: Unknown, Tried: Tried{At: w.now.Add(-time.Hour), Since: w.now.Add(-5 * time.Hour), Tries: 5}}
	w.want(enforce(mx1))
	w.pass()
	w.wantState(v1alpha1.StateHeld, v1alpha1.ReasonUncoveredMX)
}

func TestAnOldMXAnswerIsNotDecidedBy(t *testing.T) {
	w := newWorld(t)
	w.mx = []string{mx1}
	w.inForce(trial(mx1))
	w.advance(time.Hour)
	w.lookMX()
	w.advance(2 * time.Minute)
	w.mx = []string{mx1, mx2}
	w.want(enforce(mx1))
	w.pass()
	w.wantState(v1alpha1.StateHeld, v1alpha1.ReasonUncoveredMX)
}

func TestNoMXLookupIsMadeForWhatCannotBeHeld(t *testing.T) {
	w := newWorld(t)
	w.want(trial(mx1))
	w.pass()
	if w.looks[NeedMX] != 0 {
		t.Errorf("%d MX lookups for mode testing", w.looks[NeedMX])
	}
}

func TestRefusedIsEmptyUnlessTheModeIsEnforce(t *testing.T) {
	hosts := []string{mx1, mx2, mx3}
	if got := Refused(enforce(mx2), hosts); !slices.Equal(got, []string{mx1, mx3}) {
		t.Errorf("refused %v", got)
	}
	if got := Refused(trial(mx2), hosts); got != nil {
		t.Errorf("testing refuses %v", got)
	}
}

func TestAskingForSTARTTLSHoldsAChangeForTwoMinutesAtMost(t *testing.T) {
	now := time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)
	decide := func(wanted mtasts.Policy, asking time.Duration) Decision {
		return Decide(recorded(new(trial(mx1))), Observation{
			UID: "uid-1", Claim: &Claim{Name: "p", UID: "u", Wanted: wanted, Preflight: v1alpha1.PreflightRequire},
			TTLSeconds: 300, TXTObject: recordedID(trial(mx1)),
			MX: &MX{Tried: Tried{At: now}, Answer: Found, Hosts: []string{mx1}, MXVerdict: MXVerdict{Asking: now.Add(-asking)}},
		}, now, DefaultTimings())
	}
	held := decide(enforce(mx1), 30*time.Second)
	if held.State != v1alpha1.StateHeld || held.Reason != v1alpha1.ReasonMXLookupPending || held.Stalled || held.After == 0 || held.After > 90*time.Second {
		t.Errorf("after 30 s: state %s, reason %s, stalled %t, after %s", held.State, held.Reason, held.Stalled, held.After)
	}
	if d := decide(enforce(mx1), 2*time.Minute); d.State == v1alpha1.StateHeld || d.Spec.Current.Mode != v1alpha1.ModeEnforce {
		t.Errorf("after two minutes: still %s (%s)", d.State, d.Message)
	}
	if d := decide(trial(mx1, mx2), time.Second); d.State == v1alpha1.StateHeld {
		t.Errorf("a change of testing is held: %s", d.Message)
	}
}

func TestWhatNobodyHadTimeToAskHoldsWhatBeginsToEnforce(t *testing.T) {
	now := time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)
	decide := func(current, wanted mtasts.Policy, waited time.Duration, change func(*Observation)) Decision {
		o := Observation{
			UID: "uid-1", Claim: &Claim{Name: "p", UID: "u", Wanted: wanted, Preflight: v1alpha1.PreflightRequire},
			TTLSeconds: 300, TXTObject: recordedID(current),
			MX: &MX{
				Tried: Tried{At: now}, Answer: Found, Hosts: []string{mx1},
				MXVerdict: MXVerdict{Unasked: []string{mx1}, UnaskedSince: now.Add(-waited)},
			},
		}
		if change != nil {
			change(&o)
		}
		return Decide(recorded(new(current)), o, now, DefaultTimings())
	}
	const delayed, asking = v1alpha1.ReasonMXCheckDelayed, v1alpha1.ReasonMXLookupPending
	being := func(since time.Duration) func(*Observation) {
		return func(o *Observation) { o.MX.MXVerdict = MXVerdict{Asking: now.Add(-since)} }
	}
	for name, tt := range map[string]struct {
		current, wanted mtasts.Policy
		waited          time.Duration
		change          func(*Observation)
		reason          string
		stalled         bool
	}{
		"it waits for its turn":               {trial(mx1), enforce(mx1), time.Minute, nil, delayed, false},
		"for longer than an answer may take":  {trial(mx1), enforce(mx1), 3 * time.Minute, nil, delayed, false},
		"for so long that somebody must know": {trial(mx1), enforce(mx1), 15 * time.Minute, nil, delayed, true},
		"for a week":                          {trial(mx1), enforce(mx1), 7 * 24 * time.Hour, nil, delayed, true},
		"a fresh id is due anyway": {trial(mx1), enforce(mx1), time.Hour, func(o *Observation) {
			id, _ := mtasts.MintID(now, "", "x")
			o.Greater = &Greater{ID: id}
		}, delayed, true},
		"nobody wants to know": {trial(mx1), enforce(mx1), time.Hour, func(o *Observation) {
			o.Claim.Preflight = v1alpha1.PreflightAdvise
		}, "", false},
		"one is being asked":                      {trial(mx1), enforce(mx1), 0, being(time.Minute), asking, false},
		"one does not answer":                     {trial(mx1), enforce(mx1), 0, being(2 * time.Minute), "", false},
		"a change of what enforces already":       {enforce(mx1), enforce(mx1, mx2), time.Minute, nil, asking, false},
		"a change of what enforces, for too long": {enforce(mx1), enforce(mx1, mx2), 2 * time.Minute, nil, "", false},
		"leaving enforce":                         {enforce(mx1), trial(mx1), time.Minute, nil, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			d := decide(tt.current, tt.wanted, tt.waited, tt.change)
			reason := ""
			if d.State == v1alpha1.StateHeld {
				reason = d.Reason
			}
			if reason != tt.reason || d.Stalled != tt.stalled {
				t.Errorf("held by %q (%s), stalled %t", reason, d.Message, d.Stalled)
			}
			if held := tt.reason != ""; held == PolicyOf(*d.Spec.Current).Equal(tt.wanted) {
				t.Errorf("current is %+v", d.Spec.Current)
			}
			if tt.reason == delayed && (d.After == 0 || !strings.Contains(d.Message, mx1)) {
				t.Errorf("looked at again after %s: %s", d.After, d.Message)
			}
		})
	}
}

// Who points at hosts that the policy does not cover is looked at less and less often while nobody has seen
// anything of the domain, and as often as ever once somebody has.
func TestAHeldFirstPublicationIsLookedAtLessAndLessOften(t *testing.T) {
	now := time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)
	trialed := recorded(new(trial(mx1)))
	for name, tt := range map[string]struct {
		spec       *v1alpha1.MTASTSPublicationSpec
		objected   time.Duration // ago
		looked     time.Duration // ago
		wanted     mtasts.Policy
		looksAgain bool
	}{
		"held for a moment":                              {&v1alpha1.MTASTSPublicationSpec{Domain: domain}, 2 * time.Minute, 61 * time.Second, enforce(mx2), true},
		"held for an hour":                               {&v1alpha1.MTASTSPublicationSpec{Domain: domain}, time.Hour, 5 * time.Minute, enforce(mx2), false},
		"held for an hour, and looked at a while ago":    {&v1alpha1.MTASTSPublicationSpec{Domain: domain}, time.Hour, 13 * time.Minute, enforce(mx2), true},
		"held for a week":                                {&v1alpha1.MTASTSPublicationSpec{Domain: domain}, 7 * day, 50 * time.Minute, enforce(mx2), false},
		"held for a week, and looked at an hour ago":     {&v1alpha1.MTASTSPublicationSpec{Domain: domain}, 7 * day, time.Hour, enforce(mx2), true},
		"an edit that is right by the old answer":        {&v1alpha1.MTASTSPublicationSpec{Domain: domain}, time.Hour, 5 * time.Minute, enforce(mx1), true},
		"senders have seen an id":                        {trialed, time.Hour, 5 * time.Minute, enforce(mx2), true},
		"the answer is from before a clock was set back": {&v1alpha1.MTASTSPublicationSpec{Domain: domain}, time.Hour, -5 * time.Minute, enforce(mx2), true},
	} {
		t.Run(name, func(t *testing.T) {
			d := Decide(tt.spec, Observation{
				UID: "uid-1", Begun: true, Claim: &Claim{Name: "p", UID: "u", Wanted: tt.wanted, Preflight: v1alpha1.PreflightRequire},
				TTLSeconds: 300, TXTObject: tt.spec.AnnouncedID,
				MX: &MX{Tried: Tried{At: now.Add(-tt.looked)}, Answer: Found, Hosts: []string{mx1}, Objected: now.Add(-tt.objected)},
			}, now, DefaultTimings())
			if looks := d.Need == NeedMX; looks != tt.looksAgain {
				t.Errorf("needs %q, state %s", d.Need, d.State)
			}
			if !tt.looksAgain && (d.State != v1alpha1.StateHeld || d.Reason != v1alpha1.ReasonUncoveredMX || d.After == 0) {
				t.Errorf("state %s, reason %s, again after %s", d.State, d.Reason, d.After)
			}
		})
	}
}
