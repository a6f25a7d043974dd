package manifest

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"k8s.io/apimachinery/pkg/util/json"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
)

// Document is one object of a stream of manifests.
type Document struct {
	// Number counts the documents of the stream from 1, empty ones too.
	Number int
	// Kind is its kind, whatever it is.
	Kind string
	// Policy is the object with its defaults; nil if it is of another kind.
	Policy *v1alpha1.MTASTSPolicy
}

// Read reads a stream of YAML documents, separated by "---". Objects of other kinds
// are named and passed over. The error joins the faults of all documents, those of
// one under a line that names it.
func Read(r io.Reader, schema *Schema) ([]Document, error) {
	var documents []Document
	var errs []error
	reader := utilyaml.NewYAMLReader(bufio.NewReader(r))
	for number := 1; ; number++ {
		text, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return documents, errors.Join(errs...)
		}
		if err != nil {
			return nil, fmt.Errorf("reading document %d: %w", number, err)
		}
		object, err := parse(text)
		switch {
		case err != nil:
			errs = append(errs, refusal(number, "", err))
			continue
		case object == nil:
			continue
		}
		document, err := decode(number, object, schema)
		if err != nil {
			errs = append(errs, refusal(number, nameOf(object), err))
			continue
		}
		documents = append(documents, document)
	}
}

func decode(number int, object map[string]any, schema *Schema) (Document, error) {
	apiVersion, _ := object["apiVersion"].(string)
	kind, _ := object["kind"].(string)
	document := Document{Number: number, Kind: kind}
	switch {
	case apiVersion == "" || kind == "":
		return document, fmt.Errorf("no apiVersion or no kind: for a policy write apiVersion: %s and kind: %s", v1alpha1.GroupVersion, Kind)
	case kind != Kind:
		return document, nil
	case apiVersion != v1alpha1.GroupVersion.String():
		return document, fmt.Errorf("no matches for kind %q in version %q: write apiVersion: %s", kind, apiVersion, v1alpha1.GroupVersion)
	}
	var err error
	document.Policy, err = schema.Decode(object)
	return document, err
}

// parse returns nil if the document holds nothing.
func parse(text []byte) (map[string]any, error) {
	data, err := yaml.YAMLToJSONStrict(text)
	if err != nil {
		return nil, err //nolint:wrapcheck // says what and where
	}
	if bytes.Equal(bytes.TrimSpace(data), []byte("null")) {
		return nil, nil //nolint:nilnil // nothing is there, which is no error
	}
	var object map[string]any
	if err := json.Unmarshal(data, &object); err != nil {
		return nil, errors.New("not an object: write apiVersion, kind, metadata and spec")
	}
	return object, nil
}

func nameOf(object map[string]any) string {
	metadata, _ := object["metadata"].(map[string]any)
	name, _ := metadata["name"].(string)
	return name
}

// refusal puts each fault on a line of its own.
func refusal(number int, name string, err error) error {
	what := fmt.Sprintf("document %d", number)
	if name != "" {
		what += fmt.Sprintf(" (%s)", name)
	}
	return fmt.Errorf("%s is refused:\n  %s", what, strings.ReplaceAll(err.Error(), "\n", "\n  "))
}
