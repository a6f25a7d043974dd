package chart_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestTheSuitesPass runs the suites that lie beside the chart, where its users look for them.
func TestTheSuitesPass(t *testing.T) {
	copied := filepath.Join(t.TempDir(), release) // the tool makes a folder for snapshots where the suites are
	if err := os.CopyFS(copied, os.DirFS(chart)); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(chart, "tests", "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatal("no suites", err)
	}
	tool, err := findTool("HELM_UNITTEST", "helm-unittest")
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), tool, "--strict", copied).CombinedOutput()
	// A file that it does not take for a suite is left out silently.
	if all := fmt.Sprintf("Test Suites: %d passed, %[1]d total\n", len(files)); err != nil || !strings.Contains(string(out), all) {
		t.Errorf("%v, and no %q in:\n%s", err, all, out)
	}
}

// TestNothingOfTheChecksIsInstalled packs the chart as a release does.
func TestNothingOfTheChecksIsInstalled(t *testing.T) {
	to := t.TempDir()
	if _, err := helm4.run(t.Context(), "package", "--destination", to, chart); err != nil {
		t.Fatal(err)
	}
	archives, err := filepath.Glob(filepath.Join(to, "*.tgz"))
	if err != nil || len(archives) != 1 {
		t.Fatal(archives, err)
	}
	out, err := exec.CommandContext(t.Context(), "tar", "-tzf", archives[0]).Output()
	if err != nil || !strings.Contains(string(out), release+"/templates/deployment.yaml\n") {
		t.Fatalf("%v: %s", err, out)
	}
	for name := range strings.SplitSeq(string(out), "\n") {
		if strings.HasPrefix(name, release+"/tests/") || strings.HasPrefix(name, release+"/ci/") {
			t.Errorf("%s is packed", name)
		}
	}
}
