package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/util/yaml"
)

// skipped are folders of the repository without examples: what is built, and what no sender is meant to
// understand.
var skipped = []string{
	".git", "bin", "dist",
	"test/crd/testdata/refused", // objects that the API server refuses
}

// examples are the policies and id records in the documentation, the manifests and the golden files of the
// repository at root, each once.
func examples(root string) ([]published, error) {
	texts := map[string]published{}
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if slices.Contains(skipped, name) {
				return fs.SkipDir
			}
			return nil
		}
		if !slices.Contains([]string{".yaml", ".json", ".md", ".txt"}, filepath.Ext(name)) {
			return nil
		}
		content, err := os.ReadFile(path)
		if err != nil || !bytes.Contains(content, []byte("STSv1")) {
			return err
		}
		parts := []string{string(content)}
		if ext := filepath.Ext(name); ext == ".yaml" || ext == ".json" {
			if parts, err = values(content); err != nil {
				return fmt.Errorf("reading %s: %w", name, err)
			}
		}
		for _, part := range parts {
			for _, p := range examplesIn(part) {
				texts[p.text()] = p
			}
		}
		return nil
	})
	var all []published
	for _, text := range slices.Sorted(maps.Keys(texts)) {
		all = append(all, texts[text])
	}
	return all, err
}

// values are the strings in YAML or JSON.
func values(content []byte) ([]string, error) {
	var texts []string
	var collect func(value any)
	collect = func(value any) {
		switch v := value.(type) {
		case string:
			texts = append(texts, v)
		case []any:
			for _, element := range v {
				collect(element)
			}
		case map[string]any:
			for _, element := range v {
				collect(element)
			}
		}
	}
	for decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(content), 4096); ; {
		var document any
		switch err := decoder.Decode(&document); {
		case errors.Is(err, io.EOF):
			return texts, nil
		case err != nil:
			return nil, err
		}
		collect(document)
	}
}

var (
	// A policy is its first line and all that follow with the same indentation and look like fields.
	policyText = regexp.MustCompile(`(?m)^([ \t]*)version: STSv1\r?\n(?:[ \t]*[a-z_]+: .*(?:\n|\z))*`)
	// A record stands in quotes, unless it is all of the text.
	recordText = regexp.MustCompile(`"(v=STSv1[^"]*)"`)
)

// examplesIn are the policies and id records in a text. What stands for an id that nobody can know yet is taken for
// an id.
func examplesIn(text string) []published {
	var found []published
	for _, match := range policyText.FindAllStringSubmatch(text, -1) {
		found = append(found, published{Body: new(strings.ReplaceAll("\n"+match[0], "\n"+match[1], "\n")[1:])})
	}
	records := recordText.FindAllStringSubmatch(text, -1)
	if strings.HasPrefix(text, "v=STSv1") {
		records = [][]string{{text, text}}
	}
	for _, match := range records {
		found = append(found, published{TXT: new(strings.Replace(match[1], "<id>", "20260101000000aaaaaaaa", 1))})
	}
	return found
}

// What our documentation shows, and what other tests compare with golden files, is what senders understand, too.
func TestOthersReadTheExamples(t *testing.T) {
	t.Parallel()
	all, err := examples("../..")
	if err != nil {
		t.Fatal(err)
	}
	bodies, records := count(all)
	if bodies < 10 || records < 5 {
		t.Fatalf("only %d policies and %d records were found; there were more", bodies, records)
	}
	if shared == nil {
		t.Skip("make e2e runs this")
	}
	shared.join()
	defer shared.leave()
	if err := shared.agree(t.Context(), all); err != nil {
		t.Error(err)
	}
	t.Logf("%d policies and %d records in documentation and golden files are read by all alike", bodies, records)
}

func TestExamplesAreFoundAsTheyStand(t *testing.T) {
	for name, tt := range map[string]struct {
		text string
		want []published
	}{
		"a policy in a shard":         {"20260101000000aaaaaaaa\nversion: STSv1\r\nmode: none\r\n", []published{{Body: new("version: STSv1\r\nmode: none\r\n")}}},
		"a policy in a code block":    {"  x: |\n    version: STSv1\n    mode: none\n    mx: a.example\n```\n", []published{{Body: new("version: STSv1\nmode: none\nmx: a.example\n")}}},
		"a policy that ends too soon": {"version: STSv1\n\nmode: none\n", []published{{Body: new("version: STSv1\n")}}},
		"a record alone":              {"v=STSv1; id=1", []published{{TXT: new("v=STSv1; id=1")}}},
		"records in quotes":           {`a TXT "v=STSv1; id=<id>;" and "v=STSv1"`, []published{{TXT: new("v=STSv1; id=20260101000000aaaaaaaa;")}, {TXT: new("v=STSv1")}}},
		"what is said about records":  {"a TXT that begins with v=STSv1; is one", nil},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, examplesIn(tt.text)); diff != "" {
				t.Error(diff)
			}
		})
	}
}
