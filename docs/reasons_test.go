package docs

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
)

// TestEveryReasonHasItsSection compares both ways: what a condition or an event may say, and what
// troubleshooting.md explains.
func TestEveryReasonHasItsSection(t *testing.T) {
	inAPI := reasons(t)
	var explained []string
	chapter := ""
	for _, s := range sections(read(t, "troubleshooting.md")) {
		if s.level == 2 {
			chapter = s.title
		}
		if s.level != 3 {
			continue
		}
		explained = append(explained, s.title)
		if s.anchor != strings.ToLower(s.title) {
			t.Errorf("messages refer to %s as #%s, which is another heading: its own is #%s", s.title, strings.ToLower(s.title), s.anchor)
		}
		if strings.TrimSpace(s.text) == "" {
			t.Errorf("%s is not explained", s.title)
		}
		if chapter != "All is well" && !strings.Contains(s.text, "**You:**") {
			t.Errorf("%s: nobody is told what to do", s.title)
		}
	}
	for _, missing := range without(inAPI, explained) {
		t.Errorf("troubleshooting.md has no heading %s", missing)
	}
	for _, stale := range without(explained, inAPI) {
		t.Errorf("troubleshooting.md explains %s, which the API does not have", stale)
	}
	if len(explained) != len(inAPI) {
		t.Errorf("%d headings for %d reasons", len(explained), len(inAPI))
	}
}

// TestThePageOfReasonsIsWhereMessagesSayItIs compares the one address with every place that spells it.
func TestThePageOfReasonsIsWhereMessagesSayItIs(t *testing.T) {
	_, page, _ := strings.Cut(v1alpha1.TroubleshootingURL, "/blob/main/")
	read(t, filepath.Join(root, page))
	bases := filepath.Join(root, "config", "crd", "bases")
	for _, path := range []string{
		filepath.Join(bases, "mtasts.dev_mtastspolicies.yaml"), filepath.Join(bases, "mtasts.dev_mtastspublications.yaml"),
		filepath.Join(root, "charts", "mta-sts-operator", "templates", "NOTES.txt"),
	} {
		if !strings.Contains(read(t, path), v1alpha1.TroubleshootingURL+"\n") {
			t.Errorf("%s does not refer to %s", path, v1alpha1.TroubleshootingURL)
		}
	}
}

// reasons are the values of all constants Reason… of the API.
func reasons(t *testing.T) []string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, "api", "v1alpha1", "conditions.go"), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]bool{}
	for node := range ast.Preorder(file) {
		spec, ok := node.(*ast.ValueSpec)
		if !ok || !strings.HasPrefix(spec.Names[0].Name, "Reason") {
			continue
		}
		literal, ok := spec.Values[0].(*ast.BasicLit)
		if !ok {
			t.Fatalf("%s is no string", spec.Names[0].Name)
		}
		value, err := strconv.Unquote(literal.Value)
		if err != nil {
			t.Fatal(err)
		}
		values[value] = true
	}
	if len(values) < 50 {
		t.Fatalf("only %d reasons were found", len(values))
	}
	return slices.Sorted(maps.Keys(values))
}

// without lists what is in all and not in some.
func without(all, some []string) []string {
	return slices.DeleteFunc(slices.Clone(all), func(one string) bool { return slices.Contains(some, one) })
}
