package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestGeneratedFilesAreUpToDate also proves that the chart's CRDs, role and admission policies are those of config.
func TestGeneratedFilesAreUpToDate(t *testing.T) {
	root := filepath.Join("..", "..")
	files, err := generate(root)
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range files {
		got, err := os.ReadFile(filepath.Join(root, path))
		if err != nil {
			t.Error(err)
			continue
		}
		if diff := cmp.Diff(want, string(got)); diff != "" {
			t.Errorf("%s is out of date: run `make chart`\n-want +got:\n%s", path, diff)
		}
	}
	for _, folder := range []string{"admission", "crds", "rbac"} {
		found, err := filepath.Glob(filepath.Join(root, dir, "files", folder, "*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range found {
			if _, ok := files[strings.TrimPrefix(path, root+string(filepath.Separator))]; !ok {
				t.Errorf("%s belongs to nothing: remove it", path)
			}
		}
	}
}

const someValues = `# @section First

# How many.
# @schema {minimum: 1}
count: 2

group:
  # On or
  # off.
  active: true
  # Labels.
  labels: {}
  # As a whole.
  # @schema {additionalProperties: true}
  whole:
    inner: 1

# @section Second

# A | b.
# @schema {items: {type: string}}
names:
- a: b
`

func TestValuesAreReadWithTheirComments(t *testing.T) {
	values, err := parseValues(someValues)
	if err != nil {
		t.Fatal(err)
	}
	text, err := fillReadme("before\n"+begin+"old\n"+end+"after\n", values)
	if err != nil {
		t.Fatal(err)
	}
	want := "before\n" + begin + `
### First

| Value | Default | Meaning |
|---|---|---|
| ` + "`count` | `2`" + ` | How many. |
| ` + "`group.active` | `true`" + ` | On or off. |
| ` + "`group.labels` | `{}`" + ` | Labels. |
| ` + "`group.whole` | `{\"inner\":1}`" + ` | As a whole. |

### Second

| Value | Default | Meaning |
|---|---|---|
| ` + "`names` | `[{\"a\":\"b\"}]`" + ` | A \| b. |

` + end + "after\n"
	if diff := cmp.Diff(want, text); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	schema, err := schemaOf(values)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{`"minimum": 1,`, `"type": "integer"`, `"additionalProperties": true`, `"description": "On or off."`} {
		if !strings.Contains(schema, part) {
			t.Errorf("the schema has no %s:\n%s", part, schema)
		}
	}
	if got := strings.Count(schema, `"additionalProperties": false`); got != 4 { // values, group and two definitions
		t.Errorf("%d objects are closed:\n%s", got, schema)
	}
}

func TestValuesMustSayWhatTheyAre(t *testing.T) {
	for name, test := range map[string]struct{ text, want string }{
		"no comment":      {"# @section S\n\na: 1\n", "a has no comment"},
		"no section":      {"# A.\na: 1\n", "is in no section"},
		"a schema amiss":  {"# @section S\n\n# A.\n# @schema {x\na: 1\n", "@schema of a"},
		"not yaml":        {"a: b: c\n", "mapping values are not allowed"},
		"twice":           {"# @section S\n\n# A.\na: 1\n# A.\na: 1\n", "already set"},
		"without a type":  {"# @section S\n\n# A.\na: null\n", "has no type"},
		"without items":   {"# @section S\n\n# A.\na: []\n", "has no items"},
		"a comment apart": {"# @section S\n\n# A.\n\na: 1\n", "a has no comment"},
	} {
		values, err := parseValues(test.text)
		if err == nil {
			_, err = schemaOf(values)
		}
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %q", name, err, test.want)
		}
	}
	if _, err := fillReadme("no lines\n", nil); err == nil {
		t.Error("a README without the lines was filled")
	}
}
