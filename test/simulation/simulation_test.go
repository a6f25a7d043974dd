package simulation

import (
	"flag"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// boundedSeeds take a few seconds of two processors; `make simulate` runs as many as it is told to.
const boundedSeeds = 6

func TestWeeksOfFaultsBreakNoPromise(t *testing.T) {
	first, count := uint64(0), uint64(boundedSeeds)
	if n, ok := number(t, "SIMULATION_SEEDS"); ok {
		count = n
	}
	if n, ok := number(t, "SIMULATION_SEED"); ok {
		first, count = n, 1
	}
	var sum Figures
	start := time.Now()
	var mu sync.Mutex
	var failed atomic.Bool
	t.Run("seeds", func(t *testing.T) {
		for seed := first; seed < first+count; seed++ {
			t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
				t.Parallel()
				if failed.Load() && flag.Lookup("test.failfast").Value.String() == "true" {
					t.Skip("another seed has failed") // which failfast only sees to for tests that run one by one
				}
				figures, story, err := Run(seed)
				if err != nil {
					failed.Store(true)
					t.Errorf("%s\n\nseed %d: %v\nreplay it: SIMULATION_SEED=%d go test -run Weeks ./test/simulation", story, seed, err, seed)
				}
				mu.Lock()
				defer mu.Unlock()
				sum.Add(figures)
			})
		}
	})
	t.Logf("%d seeds, %.1f simulated weeks, %d events, %d passes, %d writes (%d refused), %d deliveries, %d fetches, %d operators, %d publications removed, %s",
		sum.Seeds, sum.Days/7, sum.Events, sum.Passes, sum.Writes, sum.Refused, sum.Deliveries, sum.Fetches, sum.Leaders, sum.Removed, time.Since(start).Round(time.Second/10))
}

func TestASeedIsTheSameHistoryEveryTime(t *testing.T) {
	t.Parallel()
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
