package policyserver

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// TestTheDocumentedLabelsAreTheRealOnes is what the checks of dashboard and alerts build upon.
func TestTheDocumentedLabelsAreTheRealOnes(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "metrics.md"))
	if err != nil {
		t.Fatal(err)
	}
	reg := prometheus.NewRegistry()
	newMetrics(reg)
	families, err := reg.Gather()
	if err != nil || len(families) == 0 {
		t.Fatal("no metrics", err)
	}
	for _, family := range families {
		label := ""
		for _, l := range family.GetMetric()[0].GetLabel() {
			label += fmt.Sprintf(" `%s`", l.GetName())
		}
		if row := fmt.Sprintf("\n| `%s` |%s |", family.GetName(), label); !strings.Contains(string(page), row) {
			t.Errorf("docs/metrics.md has no row %q", row)
		}
	}
}
