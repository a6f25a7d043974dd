// Package mutation puts mistakes into the product one by one, for one build each, and has a simulation
// look for them: a simulation that finds none of them proves nothing.
package mutation

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

// Mutant is one mistake that some history must find.
type Mutant struct {
	// Promise is the invariant that the mistake breaks, Name what is wrong with it.
	Promise, Name string
	// Edits are made together: a promise that is kept twice must be broken twice.
	Edits []Edit
}

// Edit replaces Old, which must be in File exactly once, by New.
type Edit struct {
	// File is relative to the root of the module.
	File, Old, New string
}

// Suite is what the simulation in the current folder must be able to see.
type Suite struct {
	// Root is the path to the root of the module; Test the test that lives the histories, as many as
	// the environment's SIMULATION_SEEDS says, and tells "seed N: what" of one that fails.
	Root, Test string
	// Seeds are how many histories look for a mutant at most, unless SIMULATION_SEEDS says otherwise.
	Seeds string
	// Mutants must be found; Equivalents must not: something else makes up for them, as their names say.
	Mutants, Equivalents []Mutant
}

// Fits fails for mutants that the source has outgrown.
func (s Suite) Fits(t *testing.T) {
	t.Helper()
	names := map[string]bool{}
	for _, m := range slices.Concat(s.Mutants, s.Equivalents) {
		if names[m.Promise+m.Name] {
			t.Errorf("two mutants of %s are called %q", m.Promise, m.Name)
		}
		names[m.Promise+m.Name] = true
		s.mutated(t, m)
	}
}

// Hunt has histories look for every mutant, and prints which seed found it. The source as it is must
// pass them all.
func (s Suite) Hunt(t *testing.T) {
	t.Helper()
	seeds := cmp.Or(os.Getenv("SIMULATION_SEEDS"), s.Seeds)
	var lines []string
	var mu sync.Mutex
	t.Run("seeds", func(t *testing.T) {
		for i, m := range slices.Concat([]Mutant{{Promise: "–", Name: "nothing is broken"}}, s.Equivalents, s.Mutants) {
			t.Run(m.Promise+" "+m.Name, func(t *testing.T) {
				t.Parallel()
				start := time.Now()
				seed, why := s.hunt(t, m, seeds)
				took := time.Since(start)
				switch {
				case seed == "" && i > len(s.Equivalents):
					t.Errorf("no history of %s seeds finds it", seeds)
				case seed != "" && i <= len(s.Equivalents):
					t.Errorf("seed %s finds what is no mistake: %s", seed, why)
				}
				line := fmt.Sprintf("| %s | %s | %s | %.0f s | %s |", m.Promise, m.Name, cmp.Or(seed, "none"), took.Seconds(), why)
				t.Log(line)
				mu.Lock()
				defer mu.Unlock()
				lines = append(lines, line)
			})
		}
	})
	slices.Sort(lines)
	fmt.Println("| invariant | what was broken | caught by seed | took | how |\n|---|---|---|---|---|\n" + strings.Join(lines, "\n"))
}

// caught is how a failing history names its seed.
var caught = regexp.MustCompile(`(?m)^\s*seed (\d+): (.*)$`)

// hunt builds the simulation around the mutant, and lives through histories until one fails; seed is
// "" if none does.
func (s Suite) hunt(t *testing.T, m Mutant, seeds string) (seed, why string) {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "simulation.test")
	if out, err := exec.CommandContext(t.Context(), "go", "test", "-c", "-ldflags=-s -w", "-overlay", s.overlay(t, m), "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("building: %v\n%s", err, out)
	}
	run := exec.CommandContext(t.Context(), binary, "-test.failfast", "-test.timeout", "0", "-test.run", "^"+s.Test+"$")
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

// overlay puts the mutant's files in the place of the source's, for this build only.
func (s Suite) overlay(t *testing.T, m Mutant) string {
	t.Helper()
	replace := map[string]string{}
	for file, content := range s.mutated(t, m) {
		original, err := filepath.Abs(filepath.Join(s.Root, file))
		if err != nil {
			t.Fatal(err)
		}
		replace[original] = filepath.Join(t.TempDir(), filepath.Base(file))
		if err := os.WriteFile(replace[original], []byte(content), 0o600); err != nil {
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

// mutated are the mutant's files, by path from the root, with the mistake in them.
func (s Suite) mutated(t *testing.T, m Mutant) map[string]string {
	t.Helper()
	files := map[string]string{}
	for _, e := range m.Edits {
		content, ok := files[e.File]
		if !ok {
			b, err := os.ReadFile(filepath.Join(s.Root, e.File))
			if err != nil {
				t.Fatal(err)
			}
			content = string(b)
		}
		if n := strings.Count(content, e.Old); n != 1 {
			t.Fatalf("%s has %d times, not once:\n%s", e.File, n, e.Old)
		}
		files[e.File] = strings.Replace(content, e.Old, e.New, 1)
	}
	return files
}
