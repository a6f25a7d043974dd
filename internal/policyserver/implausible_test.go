package policyserver

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
)

// ahead returns the shard value of an instance whose id is ahead of the n-th testID, and its body.
func ahead(by time.Duration) (value, body string) {
	at := testID(1).Time().Add(by)
	id, _ := mtasts.MintID(at, "", bodyAt(at))
	return EncodeEntry(id, bodyAt(at)), bodyAt(at)
}

func TestWhatWasPlantedIsNoFence(t *testing.T) {
	const day = 24 * time.Hour
	month, ofMonth := ahead(30 * day)
	later, ofLater := ahead(31 * day)
	century, ofCentury := ahead(100 * 366 * day)
	one, two, three := testBody(testID(1)), testBody(testID(2)), testBody(testID(3))
	for name, tt := range map[string]struct {
		clock time.Duration // of the server, beside the right one
		loads []string      // "" is no file
		want  []string
	}{
		"an id of years ahead is ignored": {
			loads: []string{value(1), century, value(2)}, want: []string{one, one, two},
		},
		"it gives way if nothing else was known": {
			loads: []string{century, value(2), value(1)}, want: []string{ofCentury, two, two},
		},
		"an id of a month ahead is served, and gives way": {
			loads: []string{value(1), month, value(2)}, want: []string{one, ofMonth, two},
		},
		"but not to what is older than what was there before": {
			loads: []string{value(2), month, value(1), value(3)}, want: []string{two, ofMonth, two, three},
		},
		"nor does it after another one of a month ahead": {
			loads: []string{value(2), month, later, value(1)}, want: []string{two, ofMonth, ofLater, two},
		},
		"what was there before comes back": {
			loads: []string{value(2), month, value(2)}, want: []string{two, ofMonth, two},
		},
		"a host that was gone meanwhile remembers nothing planted": {
			loads: []string{value(1), month, "", value(2)}, want: []string{one, ofMonth, "", two},
		},
		"of a clock that ran ahead the greater id stays": {
			loads: []string{later, month}, want: []string{ofLater, ofLater},
		},
		"a server whose clock is three days behind serves what is new, and does not go back": {
			clock: -3 * day, loads: []string{value(1), value(2), value(1)}, want: []string{one, two, two},
		},
		"and so does one whose clock says 1970": {
			clock: -56 * 365 * day, loads: []string{value(1), value(2), value(1)}, want: []string{one, two, two},
		},
		"one whose clock is a month behind cannot tell, and keeps the greater one": {
			clock: -30 * day, loads: []string{value(1), month, value(2)}, want: []string{one, ofMonth, ofMonth},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := NewStore(nil, nil, func() time.Time { return testID(3).Time().Add(time.Minute + tt.clock) })
			var got []string
			for _, v := range tt.loads {
				files := map[string]string{}
				if v != "" {
					files[hostA] = v
				}
				for range 2 { // a rescan changes nothing
					s.Load(shards(1, files))
				}
				got = append(got, served(s)[hostA])
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("served (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAnEntryOfYearsAheadIsReportedAndReadAgainOnceTheClockIsRight(t *testing.T) {
	now := testID(1).Time()
	s := NewStore(nil, nil, func() time.Time { return now })
	dir := t.TempDir()
	r := &reloader{dir: dir, store: s, loaded: func() {}, logger: s.logger}
	century, ofCentury := ahead(100 * 366 * 24 * time.Hour)
	project(t, dir, shards(1, map[string]string{hostA: value(1)}))
	r.reload()
	project(t, dir, shards(1, map[string]string{hostA: century}))
	r.readInto(t)
	if report := s.Load(shards(1, map[string]string{hostA: century})); report.KeptImplausible != 1 || report.KeptMalformed+report.KeptOlderID != 0 {
		t.Errorf("report %+v", report)
	}
	now = now.AddDate(100, 1, 0)
	r.readInto(t)
	if got := served(s)[hostA]; got != ofCentury {
		t.Errorf("serves %q once the clock is right", got)
	}
}

// readInto looks at the directory once.
func (r *reloader) readInto(t *testing.T) {
	t.Helper()
	if r.reload(); r.lastError != "" {
		t.Fatal(r.lastError)
	}
}
