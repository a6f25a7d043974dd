package controllers

import (
	"unique"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// slim makes of an object what the cache holds: without what nobody reads here, and with one copy of the texts
// that the objects of a domain, or of thousands of domains, have in common.
func slim(o any) (any, error) {
	object, ok := o.(metav1.Object)
	if !ok {
		return o, nil // the last known state of something deleted
	}
	object.SetManagedFields(nil)
	object.SetNamespace(shared(object.GetNamespace()))
	object.SetName(shared(object.GetName()))
	object.SetLabels(sharedTexts(object.GetLabels()))
	annotations := object.GetAnnotations()
	delete(annotations, corev1.LastAppliedConfigAnnotation) // a second copy of the object
	object.SetAnnotations(sharedTexts(annotations))
	owners := object.GetOwnerReferences()
	for i := range owners {
		owner := &owners[i]
		owner.APIVersion, owner.Kind, owner.Name = shared(owner.APIVersion), shared(owner.Kind), shared(owner.Name)
	}
	object.SetOwnerReferences(owners)
	return o, nil
}

// sharedTexts makes the keys and values shared ones. Where nothing is left nothing is held.
func sharedTexts(texts map[string]string) map[string]string {
	if len(texts) == 0 {
		return nil
	}
	out := make(map[string]string, len(texts))
	for key, value := range texts {
		out[shared(key)] = shared(value)
	}
	return out
}

func shared(text string) string { return unique.Make(text).Value() }
