package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// turnOf has the same numbers for every load.
func turnOf(contender string, perCPUSecond float64, p99, pss int, millis ...float64) turn {
	t := turn{Contender: contender, Hosts: 1000, PSSKiB: pss, Reloads: reloads{Millis: millis, Requests: 100, Lost: 1}}
	for _, l := range loads {
		t.Loads = append(t.Loads, measurement{Load: l.Name, PerCPUSecond: perCPUSecond, P99Micros: p99})
	}
	return t
}

func TestTheMedianOfTheRoundsCounts(t *testing.T) {
	r := report{Turns: []turn{
		turnOf("ours", 200, 10, 3<<10, 1, 2), turnOf("theirs", 100, 20, 2<<10, 5),
		turnOf("ours", 900, 90, 9<<10, 3), turnOf("theirs", 110, 30, 2<<10, 4),
		turnOf("ours", 100, 20, 1<<10, 9, 8), turnOf("theirs", 90, 40, 2<<10, 6),
	}}
	r.summarize()
	if len(r.Medians) != 2 {
		t.Fatalf("%d medians", len(r.Medians))
	}
	theirs := r.Medians[1]
	for _, l := range loads {
		if got := theirs.PerCPUSecondOfOurs[l.Name]; got != 2 {
			t.Errorf("%s: ours answers %v times as much", l.Name, got)
		}
		if got := theirs.P99OfOurs[l.Name]; got != 20.0/30 {
			t.Errorf("%s: ours takes %v times as long", l.Name, got)
		}
	}
	if theirs.MemoryOfOurs != 1.5 || theirs.ReloadMillis != 5 || theirs.Lost != 3 || theirs.Asked != 300 {
		t.Errorf("memory %v, reload %v, lost %d of %d", theirs.MemoryOfOurs, theirs.ReloadMillis, theirs.Lost, theirs.Asked)
	}
	want := "| theirs | 100 (2.00) | 100 (2.00) | 0 / 30 (0.67) | 0 / 30 (0.67) | 0 / 30 (0.67) | 2.0 (1.50) | 5.0 | 3 of 300 |\n"
	if got := r.markdown(); !strings.HasSuffix(got, want) {
		t.Errorf("the table is\n%s", got)
	}
}

func TestMemoryIsReadInKiB(t *testing.T) {
	path := filepath.Join(t.TempDir(), "smaps_rollup")
	text := "00400000-7fff [rollup]\nRss:    120 kB\nPss:     80 kB\nPss_Anon:  7 kB\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if pss, rss, err := memory(path); pss != 80 || rss != 120 || err != nil {
		t.Errorf("PSS %d, RSS %d, %v", pss, rss, err)
	}
}
