package simulation

import (
	"os"
	"strconv"
	"testing"
	"time"
)

// boundedSeeds take a few seconds; `make simulate` runs as many as it is told to.
const boundedSeeds = 12

func TestMonthsOfEditsAndFaultsBreakNoPromise(t *testing.T) {
	first, count := uint64(0), uint64(boundedSeeds)
	if n, ok := number(t, "SIMULATION_SEEDS"); ok {
		count = n
	}
	if n, ok := number(t, "SIMULATION_SEED"); ok {
		first, count = n, 1
	}
	var sum Figures
	start := time.Now()
	for seed := first; seed < first+count; seed++ {
		figures, story, err := Run(seed)
		sum.Add(figures)
		if err != nil {
			t.Fatalf("%s\n\nseed %d: %v\nreplay it: make simulate SEED=%d", story, seed, err, seed)
		}
	}
	t.Logf("%d seeds, %.1f simulated years, %d events, %d passes, %d writes, %d deliveries, %d fetches, %d retirements, %d of them in the dark, %d healed, %d restores of all, %d gaps, %d witnessed, %d bounded, %s",
		sum.Seeds, sum.Days/365.25, sum.Events, sum.Passes, sum.Writes, sum.Deliveries, sum.Fetches, sum.Removed, sum.Dark, sum.Healed, sum.Restored, sum.Gaps, sum.Witnessed, sum.Discarded, time.Since(start).Round(time.Second/10))
	// Histories in which nothing happens prove nothing.
	if count >= boundedSeeds && (sum.Removed < int(count)/2 || sum.Dark < int(count)/4 || sum.Healed < int(count)/2 || sum.Fetches < 1000*int(count)) {
		t.Errorf("too little happened: %+v", sum)
	}
}

func TestASeedIsTheSameHistoryEveryTime(t *testing.T) {
	before, story, _ := Run(3)
	after, again, _ := Run(3)
	if before != after || story != again {
		t.Errorf("seed 3 differs: %+v and %+v", before, after)
	}
}

func number(t *testing.T, name string) (uint64, bool) {
	t.Helper()
	v := os.Getenv(name)
	if v == "" {
		return 0, false
	}
	n, err := strconv.ParseUint(v, 10, 32)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n, true
}
