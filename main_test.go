package main

import (
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
