package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/yaml"
)

// TestTheLeaseThatIsAskedForIsTheOneOfTheRole keeps a renamed lease from leaving the operator without a leader.
func TestTheLeaseThatIsAskedForIsTheOneOfTheRole(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("config", "rbac", "leader_election.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	document, _, _ := bytes.Cut(data, []byte("\n---\n"))
	var role rbacv1.Role
	if err := yaml.UnmarshalStrict(document, &role); err != nil {
		t.Fatal(err)
	}
	granted := map[string][]string{}
	for _, rule := range role.Rules {
		if slices.Contains(rule.Resources, "leases") {
			for _, verb := range rule.Verbs {
				granted[verb] = rule.ResourceNames
			}
		}
	}
	lease := managerOptions(managerFlags{}).LeaderElectionID
	for verb, names := range map[string][]string{"create": nil, "get": {lease}, "update": {lease}} {
		if have, ok := granted[verb]; !ok || !slices.Equal(have, names) {
			t.Errorf("%s: granted for the names %q (%v), the operator needs %q", verb, have, ok, names)
		}
	}
}
