package crd_test

import (
	"path/filepath"
	"testing"

	"github.com/mta-sts-operator/mta-sts-operator/test/controlplane"
)

// TestNothingInTheSchemaIsWithoutABound: the operator holds every object in memory, whoever wrote it.
func TestNothingInTheSchemaIsWithoutABound(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(controlplane.OurCRDs()[0], "*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, file := range files {
		kind, root := readSchema(t, file)
		for _, part := range []string{"spec", "status"} {
			root.Properties[part].walkFrom(part, func(path string, s schema) {
				seen++
				if !s.bounded() {
					t.Errorf("%s %s: a %s without a bound", kind, path, s.Type)
				}
			})
		}
	}
	if seen < 100 {
		t.Errorf("only %d fields were looked at", seen)
	}
}

// bounded says whether a value of the schema, without those in it, can have only so many characters or items.
func (s schema) bounded() bool {
	switch s.Type {
	case "string":
		return s.MaxLength != nil || s.Enum != nil || s.Format == "date-time"
	case "array":
		return s.MaxItems != nil
	case "object":
		// The values of annotations have their bound in a rule, which has an example.
		return s.AdditionalProperties == nil || (s.MaxProperties != nil && len(s.Validations) > 0)
	}
	return true
}
