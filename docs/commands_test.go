package docs

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"k8s.io/client-go/util/jsonpath"
	"sigs.k8s.io/yaml"
)

// TestCommandsInTheDocumentationExist looks up what can be looked up without a cluster: targets of make,
// values of the chart, annotations, and the paths that kubectl is to print.
func TestCommandsInTheDocumentationExist(t *testing.T) {
	makefile := read(t, filepath.Join(root, "Makefile"))
	metadata := read(t, filepath.Join(root, "api", "v1alpha1", "metadata.go"))
	var values map[string]any
	if err := yaml.Unmarshal([]byte(read(t, filepath.Join(root, "charts", "mta-sts-operator", "values.yaml"))), &values); err != nil {
		t.Fatal(err)
	}
	counts := map[string]int{}
	each := func(what, pattern string, exists func(found string) bool) {
		for _, page := range pages(t) {
			for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(read(t, page), -1) {
				counts[what]++
				if !exists(m[1]) {
					t.Errorf("%s: there is no %s %s", page, what, m[1])
				}
			}
		}
		if counts[what] < 2 {
			t.Errorf("only %d of %s were found", counts[what], what)
		}
	}
	each("target", "(?m)(?:^|`)make ([a-z0-9-]+)", func(target string) bool {
		return strings.Contains(makefile, "\n"+target+":")
	})
	each("value", `--set '?([A-Za-z.]+)=`, func(path string) bool {
		return hasPath(values, strings.Split(path, "."))
	})
	each("annotation", `(mtasts\.dev/[a-z-]+)=`, func(annotation string) bool {
		return strings.Contains(metadata, `= "`+annotation+`"`)
	})
	each("jsonpath", `jsonpath='([^']+)'`, func(template string) bool {
		err := jsonpath.New("").Parse(template)
		if err != nil {
			t.Log(err)
		}
		return err == nil
	})
}

func hasPath(values map[string]any, path []string) bool {
	value, ok := values[path[0]]
	if len(path) == 1 || !ok {
		return ok
	}
	below, ok := value.(map[string]any)
	return ok && hasPath(below, path[1:])
}
