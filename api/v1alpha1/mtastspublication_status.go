package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// MTASTSPublicationStatus is for display only.
type MTASTSPublicationStatus struct {
	// conditions are empty while a policy is followed, as is all of the status:
	// the policy's own says more. Without a policy there is exactly one:
	// Reconciling while the publication retires, Stalled while that cannot go on
	// by itself, with the cause and the ways out, or Ready when it is orphaned.
	// Every reason, and what to do about it:
	// https://github.com/mta-sts-operator/mta-sts-operator/blob/main/docs/troubleshooting.md
	//
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// observedGeneration is the generation that the operator has seen.
	//
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// state says in one word where the domain of a publication without a policy
	// stands.
	//
	// +optional
	State State `json:"state,omitempty"`

	// until is when a retiring publication goes, as far as that is known: when no
	// sender can hold an older policy any more; while the record is being removed,
	// the latest time.
	//
	// +optional
	Until *metav1.Time `json:"until,omitempty"`
}
