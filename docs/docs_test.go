// Package docs holds no code: its tests compare the documentation with the code.
package docs

import (
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestEveryTestThatTheInvariantsNameExists keeps the proofs honest: a test that is renamed or removed
// has to be looked for there as well.
func TestEveryTestThatTheInvariantsNameExists(t *testing.T) {
	var code strings.Builder
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		code.Write(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile("`((?:Test|Fuzz)[A-Za-z0-9]+)`").FindAllStringSubmatch(read(t, "invariants.md"), -1)
	if len(named) == 0 {
		t.Fatal("invariants.md names no test")
	}
	for _, name := range named {
		if !strings.Contains(code.String(), "\nfunc "+name[1]+"(") {
			t.Errorf("invariants.md names %s, which does not exist", name[1])
		}
	}
}

// TestTheMetricsAreTheDocumentedOnes compares both ways.
func TestTheMetricsAreTheDocumentedOnes(t *testing.T) {
	name := regexp.MustCompile("[\"`](mtasts_[a-z_]+)[\"`]")
	names := func(paths ...string) map[string]bool {
		out := map[string]bool{}
		for _, path := range paths {
			for _, m := range name.FindAllStringSubmatch(read(t, path), -1) {
				out[m[1]] = true
			}
		}
		return out
	}
	controllers, server := filepath.Join("..", "controllers"), filepath.Join("..", "internal", "policyserver")
	made := names(filepath.Join(controllers, "metrics.go"), filepath.Join(controllers, "metrics_looks.go"), filepath.Join(server, "metrics.go"))
	documented := names("metrics.md")
	if len(made) == 0 || !maps.Equal(made, documented) {
		t.Errorf("made: %v\ndocumented: %v", slices.Sorted(maps.Keys(made)), slices.Sorted(maps.Keys(documented)))
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
