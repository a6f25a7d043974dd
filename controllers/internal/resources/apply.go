package resources

import (
	"crypto/sha256"
	"encoding/hex"
	stdjson "encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/json"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
)

// Unstructured turns an apply configuration, or any object, into what its JSON says.
func Unstructured(ac any) (*unstructured.Unstructured, error) {
	data, err := stdjson.Marshal(ac)
	if err != nil {
		return nil, fmt.Errorf("encoding %T: %w", ac, err)
	}
	u := &unstructured.Unstructured{}
	if err := json.Unmarshal(data, &u.Object); err != nil {
		return nil, fmt.Errorf("decoding %T: %w", ac, err)
	}
	return u, nil
}

// Stamp annotates the object with a hash of all the rest of it. A live object with another stamp was
// applied from another version of the object, and may have a field that is no longer wanted: [Covers]
// alone does not see that.
func Stamp(u *unstructured.Unstructured) error {
	annotations := u.GetAnnotations()
	delete(annotations, v1alpha1.AppliedAnnotation)
	if len(annotations) == 0 {
		annotations = nil // removes the field, as if there had never been a stamp
	}
	u.SetAnnotations(annotations)
	data, err := stdjson.Marshal(u.Object)
	if err != nil {
		return fmt.Errorf("encoding %s %s: %w", u.GetKind(), u.GetName(), err)
	}
	sum := sha256.Sum256(data)
	u.SetAnnotations(over(annotations, map[string]string{
		v1alpha1.AppliedAnnotation: hex.EncodeToString(sum[:5]),
	}))
	return nil
}

// Covers reports whether every field of the desired object has the same value in the live one. What
// only the live one has is somebody else's: defaults, status, what a webhook or an autoscaler sets.
//
//   - Maps are compared field by field; empty and absent are the same.
//   - Lists whose items all have a name are compared by name, so that an injected sidecar or its
//     volume stays. Other lists have the same length, and are compared item by item.
//   - Numbers are compared as numbers, whatever type the decoder gave them.
//
// apiVersion and kind are not compared: a typed object has lost them.
func Covers(live, desired map[string]any) bool {
	fields := maps.Clone(desired)
	delete(fields, "apiVersion")
	delete(fields, "kind")
	return coversMap(live, fields)
}

func coversMap(live, desired map[string]any) bool {
	for key, want := range desired {
		if !covers(live[key], want) {
			return false
		}
	}
	return true
}

func covers(live, desired any) bool {
	switch want := desired.(type) {
	case nil:
		return true
	case map[string]any:
		have, ok := live.(map[string]any)
		return (ok || live == nil) && coversMap(have, want)
	case []any:
		have, ok := live.([]any)
		return (ok || live == nil) && coversList(have, want)
	}
	if want, ok := number(desired); ok {
		have, ok := number(live)
		return ok && have == want
	}
	return reflect.DeepEqual(live, desired)
}

func coversList(live, desired []any) bool {
	if named(desired) {
		return !slices.ContainsFunc(desired, func(want any) bool {
			return !slices.ContainsFunc(live, func(have any) bool { return covers(have, want) })
		})
	}
	return slices.EqualFunc(live, desired, covers)
}

func named(list []any) bool {
	return len(list) > 0 && !slices.ContainsFunc(list, func(item any) bool {
		fields, _ := item.(map[string]any)
		name, _ := fields["name"].(string)
		return name == ""
	})
}

// number is exact for what Kubernetes has in its fields: integers below 2^53.
func number(v any) (float64, bool) {
	switch r := reflect.ValueOf(v); {
	case r.CanInt():
		return float64(r.Int()), true
	case r.CanUint():
		return float64(r.Uint()), true
	case r.CanFloat():
		return r.Float(), true
	}
	return 0, false
}
