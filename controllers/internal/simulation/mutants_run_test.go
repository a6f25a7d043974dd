//go:build mutants

package simulation

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// mutantSeeds are how many histories look for a mutant at most.
const mutantSeeds = "300"

// caught is how a failing history names its seed.
var caught = regexp.MustCompile(`(?m)^\s*seed (\d+): (.*)$`)

func TestEveryMutantIsCaught(t *testing.T) {
	seeds := cmp.Or(os.Getenv("SIMULATION_SEEDS"), mutantSeeds)
	var lines []string
	var mu sync.Mutex
	t.Run("seeds", func(t *testing.T) {
		for i, m := range append([]mutant{{promise: "–", name: "nothing is broken"}}, slices.Concat(equivalents, mutants)...) {
			t.Run(m.promise+" "+m.name, func(t *testing.T) {
				t.Parallel()
				start := time.Now()
				seed, why := m.hunt(t, seeds)
				took := time.Since(start)
				switch {
				case seed == "" && i > len(equivalents):
					t.Errorf("no history of %s seeds finds it", seeds)
				case seed != "" && i <= len(equivalents):
					t.Errorf("seed %s finds what is no mistake: %s", seed, why)
				}
				t.Logf("%s %s: seed %s, %s", m.promise, m.name, cmp.Or(seed, "none"), why)
				mu.Lock()
				defer mu.Unlock()
				lines = append(lines, fmt.Sprintf("| %s | %s | %s | %.0f s | %s |", m.promise, m.name, cmp.Or(seed, "none"), took.Seconds(), why))
			})
		}
	})
	slices.Sort(lines)
	fmt.Println("| invariant | what was broken | caught by seed | took | how |\n|---|---|---|---|---|\n" + strings.Join(lines, "\n"))
}

// hunt builds the simulation around the mutant, and lives through histories until one fails; seed is
// "" if none does.
func (m mutant) hunt(t *testing.T, seeds string) (seed, why string) {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "simulation.test")
	if out, err := exec.Command("go", "test", "-c", "-ldflags=-s -w", "-overlay", m.overlay(t), "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("building: %v\n%s", err, out)
	}
	run := exec.Command(binary, "-test.run", "^TestMonthsOfEditsAndFaultsBreakNoPromise$")
	run.Env = append(os.Environ(), "SIMULATION_SEEDS="+seeds, "SIMULATION_SEED=")
	out, err := run.CombinedOutput()
	if err == nil {
		return "", ""
	}
	found := caught.FindSubmatch(out)
	if _, exited := errors.AsType[*exec.ExitError](err); !exited || found == nil {
		t.Fatalf("running: %v\n%s", err, out[max(0, len(out)-2000):])
	}
	return string(found[1]), string(found[2])
}

// overlay puts the mutant in the place of its file, for this build only.
func (m mutant) overlay(t *testing.T) string {
	t.Helper()
	replace := map[string]string{}
	if m.file != "" {
		original, err := filepath.Abs(filepath.Join(source, m.file))
		if err != nil {
			t.Fatal(err)
		}
		replace[original] = filepath.Join(t.TempDir(), m.file)
		if err := os.WriteFile(replace[original], []byte(m.mutated(t)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "overlay.json")
	if err := os.WriteFile(name, overlay, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}
