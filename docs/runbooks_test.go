package docs

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestEveryAlertHasItsRunbook compares both ways, and that each alert leads to its own section.
func TestEveryAlertHasItsRunbook(t *testing.T) {
	rules := read(t, filepath.Join(root, "charts", "mta-sts-operator", "templates", "prometheusrule.yaml"))
	const url = "https://github.com/mta-sts-operator/mta-sts-operator/blob/main/docs/runbooks.md#"
	var alerts []string
	for _, rule := range strings.Split(rules, "- alert: ")[1:] {
		name, rest, _ := strings.Cut(rule, "\n")
		alerts = append(alerts, name)
		if !strings.Contains(rest, "runbook_url: "+url+strings.ToLower(name)+"\n") {
			t.Errorf("%s does not lead to its runbook", name)
		}
	}
	if len(alerts) < 8 {
		t.Fatalf("only %d alerts were found", len(alerts))
	}
	var runbooks []string
	for _, s := range sections(read(t, "runbooks.md")) {
		if s.level != 2 {
			continue
		}
		runbooks = append(runbooks, s.title)
		for _, part := range []string{"**Meaning.**", "**Impact.**", "**Diagnosis.**", "**Repair.**"} {
			if !strings.Contains(s.text, part) {
				t.Errorf("%s lacks %s", s.title, part)
			}
		}
	}
	for _, missing := range without(alerts, runbooks) {
		t.Errorf("runbooks.md has no heading %s", missing)
	}
	for _, stale := range without(runbooks, alerts) {
		t.Errorf("runbooks.md has %s, which no alert leads to", stale)
	}
	if !slices.IsSorted(positions(read(t, "runbooks.md"), alerts)) {
		t.Error("runbooks.md has another order than the rules")
	}
}

// positions are where each of the headings begins.
func positions(page string, titles []string) []int {
	var out []int
	for _, title := range titles {
		if at := regexp.MustCompile(`(?m)^## ` + title + `$`).FindStringIndex(page); at != nil {
			out = append(out, at[0])
		}
	}
	return out
}
