// Package docs holds no code: its tests compare the documentation with the code.
package docs

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
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

func TestLinksLeadToFiles(t *testing.T) {
	pages, err := filepath.Glob("*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range append(pages, filepath.Join("..", "README.md"), filepath.Join("..", "CONTRIBUTING.md")) {
		for _, link := range regexp.MustCompile(`\]\(([^)#:]+)[^):]*\)`).FindAllStringSubmatch(read(t, page), -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(page), link[1])); err != nil {
				t.Errorf("%s: %v", page, err)
			}
		}
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
