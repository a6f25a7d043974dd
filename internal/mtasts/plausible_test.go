package mtasts_test

import (
	"testing"
	"time"

	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
)

// at is an id of ours that was minted then.
func at(t time.Time) mtasts.ID { return mtasts.ID(t.UTC().Format("20060102150405") + digest) }

func TestHowFarAheadAnIDIsBelieved(t *testing.T) {
	const day = 24 * time.Hour
	now := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		name                   string
		id                     mtasts.ID
		plausible, conceivable bool
	}{
		{"of long ago", at(now.Add(-40 * 366 * day)), true, true},
		{"of now", at(now), true, true},
		{"of a clock in another time zone", at(now.Add(14 * time.Hour)), true, true},
		{"almost a day ahead", at(now.Add(day - time.Second)), true, true},
		{"a day ahead", at(now.Add(day)), false, true},
		{"two months ahead", at(now.Add(60 * day)), false, true},
		{"longer ahead than any policy is held", at(now.Add(367 * day)), false, true},
		{"almost 400 days ahead", at(now.Add(400*day - time.Second)), false, true},
		{"400 days ahead", at(now.Add(400 * day)), false, false},
		{"of the end of time", "29991231235959" + digest, false, false},
		{"of another publisher", "20160831085700Z", false, false},
		{"none", "", false, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := test.id.Plausible(now); got != test.plausible {
				t.Errorf("plausible: %t", got)
			}
			if got := test.id.Conceivable(now); got != test.conceivable {
				t.Errorf("conceivable: %t", got)
			}
		})
	}
}

func TestTheLastIDVouchesForOthersOnlyIfItIsConceivable(t *testing.T) {
	const day = 24 * time.Hour
	now := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		name     string
		last, id mtasts.ID
		want     bool
	}{
		{"nothing was recorded", "", at(now.Add(40 * day)), false},
		{"the last one is of today", at(now), at(now.Add(40 * day)), false},
		{"the last one is of a clock in another time zone", at(now.Add(14 * time.Hour)), at(now.Add(26 * time.Hour)), false},
		{"a clock ran ahead", at(now.Add(40 * day)), at(now.Add(40*day + time.Second)), true},
		{"a clock ran ahead, and what it minted is older", at(now.Add(40 * day)), at(now.Add(39 * day)), true},
		{"a clock ran ahead, but not for ever", at(now.Add(40 * day)), "29991231235959" + digest, false},
		{"the last one was planted", "29991231235958" + digest, "29991231235959" + digest, false},
		{"the last one was planted, the other is of today", "29991231235958" + digest, at(now), true},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := test.id.PlausibleAfter(test.last, now); got != test.want {
				t.Errorf("got %t", got)
			}
		})
	}
}

func TestAnIDGivesWayOnlyToAMorePlausibleOne(t *testing.T) {
	const day = 24 * time.Hour
	now := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		name     string
		id, next mtasts.ID
		want     bool
	}{
		{"both are of today", at(now), at(now.Add(-time.Hour)), false},
		{"both are within a day", at(now.Add(23 * time.Hour)), at(now), false},
		{"one is planted", at(now.Add(25 * time.Hour)), at(now), true},
		{"one is of the end of time", "29991231235959" + digest, at(now), true},
		{"one is of the end of time, the other of a clock that ran ahead", "29991231235959" + digest, at(now.Add(40 * day)), true},
		{"both are of a clock that ran ahead", at(now.Add(40 * day)), at(now.Add(39 * day)), false},
		{"a clock that is years behind tells nothing", at(now.Add(4001 * day)), at(now.Add(4000 * day)), false},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := test.id.GivesWay(test.next, now); got != test.want {
				t.Errorf("got %t", got)
			}
		})
	}
}

func FuzzPlausible(f *testing.F) {
	f.Add(int64(1767366245), "20260102150405"+digest, "29991231235959"+digest)
	f.Add(int64(0), "", "20260102150405"+digest)
	f.Add(int64(-1<<40), "20260102150405"+digest, "20260102150404"+digest)
	f.Fuzz(func(t *testing.T, unix int64, one, other string) {
		now, a, b := time.Unix(unix, 0), mtasts.ID(one), mtasts.ID(other)
		if a.Plausible(now) && !a.Conceivable(now) {
			t.Errorf("%q is plausible, yet inconceivable", a)
		}
		if a.Plausible(now) && !a.Plausible(now.Add(time.Hour)) {
			t.Errorf("%q was plausible, and is not any more", a)
		}
		if a.GivesWay(b, now) && b.GivesWay(a, now) {
			t.Errorf("%q and %q give way to each other", a, b)
		}
		if a.GivesWay(b, now) && a.Compare(b) <= 0 && a != "" {
			if _, ours := mtasts.ParseID(one); ours {
				t.Errorf("%q gives way to %q, which is not smaller", a, b)
			}
		}
		if b.PlausibleAfter(a, now) && !b.Conceivable(now) {
			t.Errorf("%q vouches for %q", a, b)
		}
		// What follows upon an id that is believed is believed, but for the second at the limit.
		if next, ok := mtasts.MintID(now, a, "body"); ok && a.Conceivable(now.Add(-time.Second)) && !next.PlausibleAfter(next, now) {
			t.Errorf("minted %q after %q", next, a)
		}
	})
}
