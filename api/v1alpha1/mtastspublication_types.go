package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// MTASTSPublicationSpec is the operator's durable memory of one domain: what has been promised to
// senders. It lies in spec, not in status, because backups and GitOps tools drop status. It is
// written only by the operator, always as a merge patch with the resourceVersion it was read at.
type MTASTSPublicationSpec struct {
	// domain is the mail domain; the object bears its name.
	//
	// +required
	// +kubebuilder:validation:MinLength=3
	// +kubebuilder:validation:MaxLength=242
	Domain string `json:"domain,omitempty"`

	// uid is this object's own UID, recorded when its first id was announced, or
	// when a copy had looked at the world. If it differs from metadata.uid the
	// object was restored from a copy, and may be older than what senders hold.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=64
	UID string `json:"uid,omitempty"`

	// policyRef names the policy that this publication follows.
	//
	// +optional
	PolicyRef *PolicyReference `json:"policyRef,omitempty"`

	// deletionPolicy is the policy's, remembered for the time when it is gone.
	//
	// +optional
	DeletionPolicy DeletionPolicy `json:"deletionPolicy,omitempty"`

	// delivery is the policy's way to deliver, remembered for the time when it is gone.
	//
	// +optional
	Delivery Delivery `json:"delivery,omitzero"`

	// lastID is the greatest id that was ever minted or found for the domain.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^[0-9A-Za-z]*$`
	LastID string `json:"lastID,omitempty"`

	// current is the instance that is served, or about to be: recorded before anything serves it.
	//
	// +optional
	Current *Instance `json:"current,omitempty"`

	// announcedID is the last id handed to DNS.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^[0-9A-Za-z]*$`
	AnnouncedID string `json:"announcedID,omitempty"`

	// announcedAt is when that was.
	//
	// +optional
	AnnouncedAt *metav1.Time `json:"announcedAt,omitempty"`

	// inForceID is the last id that DNS was seen to answer everywhere while every server served it.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^[0-9A-Za-z]*$`
	InForceID string `json:"inForceID,omitempty"`

	// foundIDs are ids that DNS answered for this domain before the operator announced any.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MaxLength=255
	FoundIDs []string `json:"foundIDs,omitempty"`

	// ttlMaxSeconds is the greatest TTL of the id's TXT record that was ever
	// published or seen: at most a week, for resolvers keep no record longer.
	//
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=604800
	TTLMaxSeconds int32 `json:"ttlMaxSeconds,omitempty"`

	// ledger lists superseded enforce instances that senders may still hold: at
	// most 16, and at most one entry for those that nobody knows.
	//
	// +optional
	// +listType=map
	// +listMapKey=id
	// +kubebuilder:validation:MaxItems=17
	Ledger []LedgerEntry `json:"ledger,omitempty"`

	// restoreTime is the last time that somebody said, by the annotation
	// mtasts.dev/restored, that the cluster's data came from a backup. Only a
	// later one counts.
	//
	// +optional
	RestoreTime *metav1.Time `json:"restoreTime,omitempty"`

	// transferredFrom is set in the copy that a transfer makes, until it is
	// followed: such a copy is as new as the original.
	//
	// +optional
	TransferredFrom *Transfer `json:"transferredFrom,omitempty"`

	// contamination notes that senders may have paired the announced id with
	// something else; a fresh id for the same policy heals it.
	//
	// +optional
	Contamination *Contamination `json:"contamination,omitempty"`

	// policyGoneAt is when the policy was first missed.
	//
	// +optional
	PolicyGoneAt *metav1.Time `json:"policyGoneAt,omitempty"`

	// retirement is present once the publication retires.
	//
	// +optional
	Retirement *Retirement `json:"retirement,omitempty"`
}

// Transfer says where a publication came from, and when.
type Transfer struct {
	// namespace that held the publication before.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Namespace string `json:"namespace,omitempty"`

	// time at which the copy was made. A backup that holds the copy is restored
	// later than that, and is no transfer.
	//
	// +required
	Time metav1.Time `json:"time,omitzero"`
}

// PolicyReference names the policy a publication follows.
type PolicyReference struct {
	// name of the policy, in the publication's namespace.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`

	// uid of the policy.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=64
	UID string `json:"uid,omitempty"`

	// generation of the policy that was followed last. An operator whose cache
	// shows an older one asks the API server before it follows that.
	//
	// +optional
	// +kubebuilder:validation:Minimum=1
	Generation int64 `json:"generation,omitempty"`
}

// Instance is one policy under one id. An id names one instance, for ever.
type Instance struct {
	// id of the instance.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^[0-9A-Za-z]*$`
	ID string `json:"id,omitempty"`

	// mode of the policy.
	//
	// +required
	Mode Mode `json:"mode,omitempty"`

	// mx patterns of the policy.
	//
	// +required
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=100
	// +kubebuilder:validation:items:MaxLength=253
	MX []string `json:"mx,omitempty"`

	// maxAgeSeconds of the policy.
	//
	// +required
	// +kubebuilder:validation:Minimum=86400
	// +kubebuilder:validation:Maximum=31557599
	MaxAgeSeconds int32 `json:"maxAgeSeconds,omitempty"`

	// body is the file, byte for byte.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=10000
	Body string `json:"body,omitempty"`
}

// Contamination notes that the announced id was seen with another policy.
type Contamination struct {
	// id that was announced meanwhile.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^[0-9A-Za-z]*$`
	ID string `json:"id,omitempty"`

	// seenAt is when it was last seen.
	//
	// +required
	SeenAt metav1.Time `json:"seenAt,omitzero"`
}

// Retirement is the way of a publication whose policy is gone.
type Retirement struct {
	// startedAt is when it began.
	//
	// +required
	StartedAt metav1.Time `json:"startedAt,omitzero"`

	// removingSince is when the TXT record was taken away.
	//
	// +optional
	RemovingSince *metav1.Time `json:"removingSince,omitempty"`

	// absentSince is when DNS was first seen without it; before it was taken
	// away, since when DNS is proven to answer no id of the domain.
	//
	// +optional
	AbsentSince *metav1.Time `json:"absentSince,omitempty"`
}

// MTASTSPublication is what has been promised to the world's senders for one
// domain. It is made, written and removed by the operator. Deleting it by hand
// means: take everything down at once, I know that senders may still hold the
// policy.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=mtastspublications,singular=mtastspublication,shortName=mtastspub,categories=mail
// +kubebuilder:selectablefield:JSONPath=`.spec.domain`
// +kubebuilder:printcolumn:name="Domain",type=string,JSONPath=`.spec.domain`
// +kubebuilder:printcolumn:name="Policy",type=string,JSONPath=`.spec.policyRef.name`
// +kubebuilder:printcolumn:name="State",type=string,JSONPath=`.status.state`
// +kubebuilder:printcolumn:name="Until",type=string,JSONPath=`.status.until`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[*].reason`
// +kubebuilder:printcolumn:name="ID",type=string,JSONPath=`.spec.announcedID`,priority=1
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.status.conditions[*].message`,priority=1
// +kubebuilder:validation:XValidation:rule="self.metadata.name == self.spec.domain",fieldPath=".spec.domain",message="a publication bears the name of its domain; the operator makes it: create an MTASTSPolicy instead"
type MTASTSPublication struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is the standard object's metadata.
	//
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec is the operator's durable memory of the domain.
	//
	// +required
	Spec MTASTSPublicationSpec `json:"spec,omitzero"`

	// status is for display only.
	//
	// +optional
	Status MTASTSPublicationStatus `json:"status,omitzero"`
}

// MTASTSPublicationList is a list of publications.
//
// +kubebuilder:object:root=true
type MTASTSPublicationList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitzero"`

	Items []MTASTSPublication `json:"items"`
}
