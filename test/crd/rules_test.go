package crd_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/yaml"

	"github.com/mta-sts-operator/mta-sts-operator/test/controlplane"
)

// A rule is what the schema of one kind says about one field.
type rule struct {
	kind string
	// path is the field without indices, such as spec.mx.
	path string
	// fault is the type of the cause that the API server reports.
	fault metav1.CauseType
	// says is part of the cause's message.
	says string
}

func (r rule) String() string { return fmt.Sprintf("%s %s: %s: %s", r.kind, r.path, r.fault, r.says) }

// These the API server reports under the names of its field errors.
const (
	tooLong = metav1.CauseType(field.ErrorTypeTooLong)
	tooMany = metav1.CauseType(field.ErrorTypeTooMany)
)

// refusals collects what was refused, and why.
type refusals []rule

var index = regexp.MustCompile(`\[\d+\]`)

func (r *refusals) add(kind string, faults []metav1.StatusCause) {
	for _, fault := range faults {
		*r = append(*r, rule{kind: kind, path: index.ReplaceAllString(fault.Field, ""), fault: fault.Type, says: fault.Message})
	}
}

func (r *refusals) cover(wanted rule) bool {
	return slices.ContainsFunc(*r, func(seen rule) bool {
		return seen.kind == wanted.kind && seen.path == wanted.path && seen.fault == wanted.fault && strings.Contains(seen.says, wanted.says)
	})
}

func (r *refusals) coverAllRules(t *testing.T) {
	rules := allRules(t)
	if len(rules) < 100 {
		t.Fatalf("found only %d rules in the CRDs", len(rules))
	}
	for _, rule := range rules {
		if !r.cover(rule) {
			t.Errorf("no example is refused by %v", rule)
		}
	}
}

// allRules reads the rules on spec from the generated CRDs. Left out are status, which nobody but
// the operator writes, and the parts of a publication's delivery, whose types are those of a policy.
func allRules(t *testing.T) []rule {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(controlplane.OurCRDs()[0], "*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var rules []rule
	for _, file := range files {
		kind, root := readSchema(t, file)
		delete(root.Properties, "status")
		clear(root.Properties["spec"].Properties["delivery"].Properties)
		root.walk(func(path string, s schema) { rules = append(rules, s.rules(kind, path)...) })
	}
	return rules
}

func readSchema(t *testing.T, file string) (kind string, root schema) {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var crd struct {
		Spec struct {
			Names    struct{ Kind string }
			Versions []struct {
				Schema struct{ OpenAPIV3Schema json.RawMessage }
			}
		}
	}
	if err := yaml.Unmarshal(content, &crd); err != nil {
		t.Fatal(err)
	}
	for _, version := range crd.Spec.Versions {
		if err := yaml.UnmarshalStrict(version.Schema.OpenAPIV3Schema, &root); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
	}
	return crd.Spec.Names.Kind, root
}

// A schema is the part of OpenAPI that the CRDs use. It is read strictly, so that a rule of a new
// sort is not overlooked.
type schema struct {
	Properties                   map[string]schema
	Items                        *schema
	Required, Enum               []string
	Minimum, Maximum             *int
	MinLength, MaxLength         *int
	MinItems, MaxItems           *int
	MinProperties, MaxProperties *int
	Pattern                      *string
	ListType                     string                                      `json:"x-kubernetes-list-type"`
	Validations                  []struct{ Rule, Message, FieldPath string } `json:"x-kubernetes-validations"`

	// These are no rules, or rules of sorts that nobody breaks by mistake.
	Type, Format, Description string
	Default                   any
	AdditionalProperties      any
	ListMapKeys               []string `json:"x-kubernetes-list-map-keys"`
}

// walk visits the schema and those in it, fields in order of their names. The path of a field
// begins with a dot, an item has that of its list.
func (s schema) walk(visit func(path string, s schema)) { s.walkFrom("", visit) }

func (s schema) walkFrom(path string, visit func(path string, s schema)) {
	visit(path, s)
	if s.Items != nil {
		s.Items.walkFrom(path, visit)
	}
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		s.Properties[name].walkFrom(path+"."+name, visit)
	}
}

// rules returns the rules of one schema, without those in it, each with what the API server says.
func (s schema) rules(kind, path string) []rule {
	var rules []rule
	found := func(path string, fault metav1.CauseType, says string) {
		rules = append(rules, rule{kind: kind, path: strings.Trim(path, "."), fault: fault, says: says})
	}
	limit := func(value *int, fault metav1.CauseType, says string) {
		if value != nil {
			found(path, fault, fmt.Sprintf(says, *value))
		}
	}
	for _, name := range s.Required {
		found(path+"."+name, metav1.CauseTypeFieldValueRequired, "")
	}
	if s.Enum != nil {
		found(path, metav1.CauseTypeFieldValueNotSupported, `supported values: "`+strings.Join(s.Enum, `", "`)+`"`)
	}
	limit(s.Minimum, metav1.CauseTypeFieldValueInvalid, "should be greater than or equal to %d")
	limit(s.Maximum, metav1.CauseTypeFieldValueInvalid, "should be less than or equal to %d")
	limit(s.MinLength, metav1.CauseTypeFieldValueInvalid, "should be at least %d chars long")
	limit(s.MaxLength, tooLong, "may not be more than %d bytes")
	limit(s.MinItems, metav1.CauseTypeFieldValueInvalid, "should have at least %d items")
	limit(s.MaxItems, tooMany, "must have at most %d items")
	limit(s.MinProperties, metav1.CauseTypeFieldValueInvalid, "should have at least %d properties")
	limit(s.MaxProperties, tooMany, "must have at most %d items")
	if s.Pattern != nil {
		found(path, metav1.CauseTypeFieldValueInvalid, "should match '"+*s.Pattern+"'")
	}
	if s.ListType == "set" || s.ListType == "map" {
		found(path, metav1.CauseTypeFieldValueDuplicate, "")
	}
	for _, validation := range s.Validations {
		found(path+validation.FieldPath, metav1.CauseTypeFieldValueInvalid, validation.Message)
	}
	return rules
}
