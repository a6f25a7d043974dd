package mtasts_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
)

const digest = "230d8358" // of "body", by sha256sum

func TestMintID(t *testing.T) {
	noon := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	tests := []struct {
		name string
		now  time.Time
		last mtasts.ID
		want mtasts.ID
	}{
		{"the first id", noon, "", "20260102120000" + digest},
		{"fractions are cut off", noon.Add(999 * time.Millisecond), "", "20260102120000" + digest},
		{"time is UTC", noon.In(time.FixedZone("", 3*3600)), "", "20260102120000" + digest},
		{"an older id does not matter", noon, "20250102120000ffffffff", "20260102120000" + digest},
		{"the same second", noon, "20260102120000ffffffff", "20260102120001" + digest},
		{"the same second again, with a smaller digest before", noon, "20260102120000" + "00000000", "20260102120001" + digest},
		{"the clock was set back a year", noon, "20270102120000ffffffff", "20270102120001" + digest},
		{"over midnight, month and year", noon, "20271231235959ffffffff", "20280101000000" + digest},
		{"an id that is not ours does not count", noon, "20270102T120000Z", "20260102120000" + digest},
		{"a clock before 1970", time.Time{}, "", "19700101000000" + digest},
		{"a clock beyond 2999", time.Date(12000, 1, 1, 0, 0, 0, 0, time.UTC), "", ""},
		{"the last id there is", noon, "29991231235958ffffffff", "29991231235959" + digest},
		{"nothing is greater than the last second", noon, "29991231235959" + "00000000", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, ok := mtasts.MintID(test.now, test.last, "body")
			if diff := cmp.Diff(test.want, got); diff != "" || ok != (test.want != "") {
				t.Errorf("ok %t; -want +got:\n%s", ok, diff)
			}
		})
	}
}

func TestParseID(t *testing.T) {
	tests := []struct {
		name, id string
		want     time.Time // zero: not ours
	}{
		{"ours", "20260102150405" + digest, time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC)},
		{"a leap day", "20280229000000" + digest, time.Date(2028, 2, 29, 0, 0, 0, 0, time.UTC)},
		{"nothing", "", time.Time{}},
		{"29 February in a common year", "20260229000000" + digest, time.Time{}},
		{"month 13", "20261301000000" + digest, time.Time{}},
		{"hour 24", "20260101240000" + digest, time.Time{}},
		{"second 60", "20260101235960" + digest, time.Time{}},
		{"capital hex", "20260102150405D4C3F9E8", time.Time{}},
		{"a letter beyond hex", "20260102150405d4c3f9eg", time.Time{}},
		{"too short", "20260102150405d4c3f9e", time.Time{}},
		{"too long", "20260102150405d4c3f9e80", time.Time{}},
		{"a letter in the time", "2026010215040xd4c3f9e8", time.Time{}},
		{"a sign in the time", "+026010215040500000000", time.Time{}},
		{"a fraction in the time", "202601021504.500000000", time.Time{}},
		{"another publisher's form", "20260102T150405Z", time.Time{}},
		{"a bare time", "20260102150405", time.Time{}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			ours := !test.want.IsZero()
			want := mtasts.ID("")
			if ours {
				want = mtasts.ID(test.id)
			}
			if got, ok := mtasts.ParseID(test.id); got != want || ok != ours {
				t.Errorf("got %q, %v", got, ok)
			}
			if got := mtasts.ID(test.id).Time(); !got.Equal(test.want) {
				t.Errorf("got time %v", got)
			}
		})
	}
}

func TestNames(t *testing.T) {
	tests := []struct {
		name string
		id   mtasts.ID
		body string
		want bool
	}{
		{"the body it was minted for", "20260102150405" + digest, "body", true},
		{"another time", "20270102150405" + digest, "body", true},
		{"another body", "20260102150405" + digest, "body\n", false},
		{"no body", "20260102150405" + digest, "", false},
		{"an id that is not ours", "2026010215040" + digest, "body", false},
		{"no id", "", "", false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := test.id.Names(test.body); got != test.want {
				t.Errorf("got %t", got)
			}
		})
	}
}

func TestCompareOrdersIDs(t *testing.T) {
	ascending := []mtasts.ID{
		"", "2026", "zzz", "20260102150405" + "00000000", "20260102150405" + "00000001", "20260102150406" + "00000000", "29991231235959" + "ffffffff",
	}
	for i, a := range ascending {
		for j, b := range ascending {
			if got, want := a.Compare(b), min(max(i-j, -1), 1); got != want {
				t.Errorf("%q and %q: got %d, want %d", a, b, got, want)
			}
		}
	}
	if !slices.IsSortedFunc(ascending, mtasts.ID.Compare) {
		t.Error("not sorted by Compare")
	}
}

func FuzzMintID(f *testing.F) {
	f.Add(int64(1767366245), "20260102150405"+digest, "body")
	f.Add(int64(0), "", "")
	f.Add(int64(-1<<40), "00000101000000ffffffff", "x")
	f.Add(int64(1<<40), "29991231235958ffffffff", "x")
	f.Add(int64(1767366245), "20260102T150405Z", "x")
	f.Fuzz(func(t *testing.T, now int64, last, body string) {
		at := time.Unix(now, 0)
		id, minted := mtasts.MintID(at, mtasts.ID(last), body)
		if again, ok := mtasts.MintID(at, mtasts.ID(last), body); again != id || ok != minted {
			t.Error("minting depends on more than its arguments")
		}
		endOfTime := time.Date(2999, 12, 31, 23, 59, 59, 0, time.UTC)
		if ended := at.After(endOfTime.Add(time.Second-1)) || mtasts.ID(last).Time().Equal(endOfTime); ended == minted {
			t.Fatalf("minted %q after %q", id, last)
		}
		if !minted {
			return
		}
		if got, ok := mtasts.ParseID(string(id)); !ok || got != id {
			t.Fatalf("minted %q, which is not well-formed", id)
		}
		if record, err := mtasts.ParseRecord(mtasts.Record{ID: string(id)}.String()); err != nil || record.ID != string(id) {
			t.Errorf("the record of %q reads %+v, %v", id, record, err)
		}
		if !id.Names(body) || id.Names(body+"x") {
			t.Errorf("%q does not name its body, or names another", id)
		}
		if id.Compare(mtasts.ID(last)) <= 0 || mtasts.ID(last).Compare(id) >= 0 {
			t.Errorf("%q is not greater than %q", id, last)
		}
		if at.After(id.Time().Add(time.Second)) {
			t.Errorf("%q is before now", id)
		}
	})
}

func TestAnIDFromBeyondTheYear2999IsAStrangers(t *testing.T) {
	if _, ok := mtasts.ParseID("29991231235959" + "00000000"); !ok {
		t.Error("the last second of 2999 is not ours")
	}
	if _, ok := mtasts.ParseID("30000101000000" + "00000000"); ok {
		t.Error("the first second of 3000 is ours")
	}
}
