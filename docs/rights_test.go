package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"sigs.k8s.io/yaml"
)

// rights are the verbs by role and by group/resource.
type rights map[string]map[string]sets.Set[string]

func (r rights) add(role, resource string, verbs ...string) {
	if r[role] == nil {
		r[role] = map[string]sets.Set[string]{}
	}
	if r[role][resource] == nil {
		r[role][resource] = sets.New[string]()
	}
	r[role][resource].Insert(verbs...)
}

// TestTheRightsAreTheDocumentedOnes compares the tables of security.md with config/rbac, both ways.
func TestTheRightsAreTheDocumentedOnes(t *testing.T) {
	documented := rights{}
	row := regexp.MustCompile("(?m)^\\| `([^`]+)` \\| ([a-z, ]+) \\| (.+) \\|$")
	for _, s := range sections(read(t, "security.md")) {
		if s.level != 3 {
			continue
		}
		for _, m := range row.FindAllStringSubmatch(s.text, -1) {
			documented.add(s.title, m[1], strings.Split(m[2], ", ")...)
		}
	}
	if diff := cmp.Diff(grantedRights(t), documented); diff != "" {
		t.Errorf("-config/rbac +docs/security.md:\n%s", diff)
	}
}

// grantedRights are those of all roles in config/rbac.
func grantedRights(t *testing.T) rights {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, "config", "rbac", "*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	granted := rights{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for document := range strings.SplitSeq(string(text), "\n---\n") {
			var role rbacv1.ClusterRole // a Role has the same rules
			if err := yaml.Unmarshal([]byte(document), &role); err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			if role.Kind == "Role" || role.Kind == "ClusterRole" {
				granted.addRules(role)
			}
		}
	}
	if len(granted) < 7 {
		t.Fatalf("only %d roles were found", len(granted))
	}
	return granted
}

func (r rights) addRules(role rbacv1.ClusterRole) {
	for _, rule := range role.Rules {
		for _, url := range rule.NonResourceURLs {
			r.add(role.Name, url, rule.Verbs...)
		}
		for _, group := range rule.APIGroups {
			for _, resource := range rule.Resources {
				what := strings.TrimPrefix(group+"/"+resource, "/")
				if len(rule.ResourceNames) > 0 {
					what += " named " + strings.Join(rule.ResourceNames, ", ")
				}
				r.add(role.Name, what, rule.Verbs...)
			}
		}
	}
}
