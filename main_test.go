package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestOnlyNamesOfNamespacesAreWatched(t *testing.T) {
	for name, names := range map[string][]string{
		"an empty name, which would mean all": {"mail", ""},
		"a pattern":                           {"team-*"},
		"names in one":                        {"mail,sales"},
	} {
		if err := checkNamespaces(names); err == nil || !strings.Contains(err.Error(), "write names with commas between") {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if err := checkNamespaces([]string{"mail", "team-1"}); err != nil {
		t.Error(err)
	}
	if got := managerOptions(managerFlags{watchNamespaces: []string{"mail", "sales"}}).Cache.DefaultNamespaces; len(got) != 2 {
		t.Errorf("the cache is limited to %v", got)
	}
	if got := managerOptions(managerFlags{}).Cache.DefaultNamespaces; got != nil {
		t.Errorf("the cache is limited to %v", got)
	}
}

// TestTheChartsArgumentsAreUnderstood reads the renderings that the chart's own tests hold to be true.
func TestTheChartsArgumentsAreUnderstood(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("test", "chart", "testdata", "*.golden.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatal("no renderings", err)
	}
	argument := regexp.MustCompile(`(?m)^        - (--[a-z].*)$`)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var args []string
		for _, found := range argument.FindAllStringSubmatch(string(text), -1) {
			args = append(args, found[1])
		}
		if err := managerCommand().ParseFlags(args); err != nil || len(args) < 4 {
			t.Errorf("%s: %q: %v", file, args, err)
		}
	}
}
