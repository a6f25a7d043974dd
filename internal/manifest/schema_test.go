package manifest_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/mta-sts-operator/mta-sts-operator/internal/manifest"
)

func schema(t *testing.T) *manifest.Schema {
	t.Helper()
	crd, err := os.ReadFile("../../config/crd/bases/mtasts.dev_mtastspolicies.yaml")
	if err != nil {
		t.Fatal(err)
	}
	s, err := manifest.NewSchema(crd)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// examples are those that the API server is tested with. Publications and updates are not for us.
func examples(t *testing.T, folder string) map[string]string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join("..", "..", "test", "crd", "testdata", folder, "*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if text := string(content); strings.Contains(text, "kind: MTASTSPolicy\n") && !strings.Contains(text, "\n---\n") {
			found[filepath.Base(path)] = text
		}
	}
	if len(found) < 20 {
		t.Fatalf("found only %d examples in %s", len(found), folder)
	}
	return found
}

func TestWhatTheAPIServerAcceptsIsAccepted(t *testing.T) {
	s := schema(t)
	for name, text := range examples(t, "accepted") {
		documents, err := manifest.Read(strings.NewReader(text), s)
		if err != nil || len(documents) != 1 || documents[0].Policy == nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWhatTheAPIServerRefusesIsRefusedInTheSameWords(t *testing.T) {
	s := schema(t)
	for name, text := range examples(t, "refused") {
		_, err := manifest.Read(strings.NewReader(text), s)
		if err == nil {
			t.Errorf("%s: accepted", name)
			continue
		}
		faults := 1
		for line := range strings.Lines(text) {
			line = strings.TrimSpace(line)
			if want, ok := strings.CutPrefix(line, "# want: "); ok && !strings.Contains(err.Error(), want) {
				t.Errorf("%s: the message lacks %q: %v", name, want, err)
			}
			if n, ok := strings.CutPrefix(line, "# faults: "); ok {
				faults, _ = strconv.Atoi(n)
			}
		}
		// The API server has no list of faults where the decoder refuses; we have one line for each.
		if got := strings.Count(err.Error(), "\n"); got != max(faults, 1) {
			t.Errorf("%s: %d faults are reported, want %d: %v", name, got, faults, err)
		}
	}
}
