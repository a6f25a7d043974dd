package docs

import (
	"maps"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/mta-sts-operator/mta-sts-operator/internal/config"
	"github.com/mta-sts-operator/mta-sts-operator/internal/manifest"
)

// fence is a block of code in a page.
type fence struct{ page, language, text string }

func fences(t *testing.T) []fence {
	t.Helper()
	var out []fence
	for _, page := range pages(t) {
		for _, m := range fenced.FindAllStringSubmatch(read(t, page), -1) {
			text := m[4]
			if indent := m[1]; indent != "" { // within a list
				text = regexp.MustCompile("(?m)^"+indent).ReplaceAllString(text, "")
			}
			out = append(out, fence{page: page, language: m[3], text: text})
		}
	}
	return out
}

// TestManifestsInTheDocumentationAreAccepted applies them by the rules of the cluster, as render does.
// One that shows only a part of the spec is completed.
func TestManifestsInTheDocumentationAreAccepted(t *testing.T) {
	schema, err := manifest.NewSchema([]byte(read(t, filepath.Join(root, "config", "crd", "bases", "mtasts.dev_mtastspolicies.yaml"))))
	if err != nil {
		t.Fatal(err)
	}
	whole, parts := 0, 0
	for _, f := range fences(t) {
		text := f.text
		switch {
		case f.language != "yaml":
			continue
		case strings.HasPrefix(text, "spec:\n"):
			parts++
			text = completed(t, f)
		case regexp.MustCompile(`(?m)^kind: MTASTSPolicy$`).MatchString(text):
			whole++
		default:
			continue
		}
		documents, err := manifest.Read(strings.NewReader(text), schema)
		if err != nil || len(documents) == 0 || documents[0].Policy == nil {
			t.Errorf("%s: %v\n%s", f.page, err, text)
		}
	}
	if whole < 4 || parts < 2 {
		t.Errorf("only %d manifests and %d parts of one were found", whole, parts)
	}
}

// completed is a policy with the fields of the part, and those that every policy needs.
func completed(t *testing.T, part fence) string {
	t.Helper()
	var shown struct{ Spec map[string]any }
	if err := yaml.UnmarshalStrict([]byte(part.text), &shown); err != nil {
		t.Fatalf("%s: %v\n%s", part.page, err, part.text)
	}
	spec := map[string]any{"domain": "example.com", "mx": []string{"mx1.example.com"}}
	maps.Copy(spec, shown.Spec)
	text, err := yaml.Marshal(map[string]any{
		"apiVersion": "mtasts.dev/v1alpha1", "kind": "MTASTSPolicy", "metadata": map[string]any{"name": "example-com"}, "spec": spec,
	})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestConfigurationsInTheDocumentationAreAccepted(t *testing.T) {
	found := 0
	for _, f := range fences(t) {
		if f.language != "yaml" || !strings.Contains(f.text, "\nkind: OperatorConfiguration\n") {
			continue
		}
		found++
		if _, err := config.Parse([]byte(f.text)); err != nil {
			t.Errorf("%s: %v\n%s", f.page, err, f.text)
		}
	}
	if found < 2 {
		t.Errorf("only %d were found", found)
	}
}
