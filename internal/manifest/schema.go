package manifest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	structuralschema "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/listtype"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/objectmeta"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"sigs.k8s.io/yaml"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
)

// Kind is the kind of a policy.
const Kind = "MTASTSPolicy"

// Schema is what the API server knows of MTASTSPolicy.
type Schema struct {
	structural *structuralschema.Structural
	fields     validation.SchemaValidator
	rules      *cel.Validator
}

// NewSchema reads a CustomResourceDefinition in YAML.
func NewSchema(crd []byte) (*Schema, error) {
	var definition apiextensionsv1.CustomResourceDefinition
	if err := yaml.UnmarshalStrict(crd, &definition); err != nil {
		return nil, fmt.Errorf("reading the CustomResourceDefinition: %w", err)
	}
	for _, version := range definition.Spec.Versions {
		if version.Name == v1alpha1.GroupVersion.Version && version.Schema != nil {
			return newSchema(version.Schema.OpenAPIV3Schema)
		}
	}
	return nil, fmt.Errorf("the CustomResourceDefinition has no schema of version %s", v1alpha1.GroupVersion.Version)
}

func newSchema(properties *apiextensionsv1.JSONSchemaProps) (*Schema, error) {
	var internal apiextensions.JSONSchemaProps
	if err := apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(properties, &internal, nil); err != nil {
		return nil, fmt.Errorf("converting the schema: %w", err)
	}
	structural, err := structuralschema.NewStructural(&internal)
	if err != nil {
		return nil, fmt.Errorf("reading the schema: %w", err)
	}
	fields, _, err := validation.NewSchemaValidator(&internal)
	if err != nil {
		return nil, fmt.Errorf("preparing the schema: %w", err)
	}
	return &Schema{
		structural: structural,
		fields:     fields,
		rules:      cel.NewValidator(structural, true, celconfig.PerCallLimit),
	}, nil
}

// Decode makes a policy of an object as read from JSON, whole numbers as int64, in
// the way of an API server that is asked to create it: unknown fields are refused,
// defaults filled in, the schema and its rules applied. The object is changed. The
// error joins all faults, in the API server's words.
func (s *Schema) Decode(object map[string]any) (*v1alpha1.MTASTSPolicy, error) {
	if err := s.refuseUnknown(object); err != nil {
		return nil, err
	}
	defaulting.PruneNonNullableNullsWithoutDefaults(object, s.structural)
	defaulting.Default(object, s.structural)
	faults := s.validate(object)
	if len(faults) > 0 {
		// The rules come in no order.
		slices.SortStableFunc(faults, func(a, b *field.Error) int { return cmp.Compare(a.Field, b.Field) })
		errs := make([]error, len(faults))
		for i, fault := range faults {
			errs[i] = fault
		}
		return nil, errors.Join(errs...)
	}
	policy := new(v1alpha1.MTASTSPolicy)
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object, policy); err != nil {
		return nil, fmt.Errorf("reading the policy: %w", err)
	}
	return policy, nil
}

// refuseUnknown does what kubectl asks the API server for.
func (s *Schema) refuseUnknown(object map[string]any) error {
	_, _, unknown, err := objectmeta.GetObjectMetaWithOptions(object, objectmeta.ObjectMetaOptions{ReturnUnknownFieldPaths: true})
	if err != nil {
		return fmt.Errorf("reading metadata: %w", err)
	}
	unknown = append(unknown, pruning.PruneWithOptions(object, s.structural, true, structuralschema.UnknownFieldPathOptions{
		TrackUnknownFieldPaths: true,
	})...)
	errs := make([]error, len(unknown))
	for i, path := range unknown {
		errs[i] = fmt.Errorf("strict decoding error: unknown field %q", path)
	}
	return errors.Join(errs...)
}

func (s *Schema) validate(object map[string]any) field.ErrorList {
	faults := validateMetadata(object)
	faults = append(faults, validation.ValidateCustomResource(nil, object, s.fields)...)
	faults = append(faults, listtype.ValidateListSetsAndMaps(nil, s.structural, object)...)
	for _, fault := range faults {
		switch fault.Type { // the rules rely on these
		case field.ErrorTypeNotSupported, field.ErrorTypeRequired, field.ErrorTypeTooLong, field.ErrorTypeTooMany, field.ErrorTypeTypeInvalid:
			return faults
		default:
		}
	}
	broken, _ := s.rules.Validate(context.Background(), nil, s.structural, object, nil, celconfig.RuntimeCELCostBudget)
	return append(faults, broken...)
}

// validateMetadata takes a namespace that is missing for the one of kubectl's context.
func validateMetadata(object map[string]any) field.ErrorList {
	meta, _, err := objectmeta.GetObjectMeta(object, false)
	if err != nil || meta == nil {
		meta = new(metav1.ObjectMeta)
	}
	if meta.Namespace == "" {
		meta.Namespace = metav1.NamespaceDefault
	}
	return apivalidation.ValidateObjectMeta(meta, true, apivalidation.NameIsDNSSubdomain, field.NewPath("metadata"))
}
