package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// LedgerOrigin says how an instance came into the ledger.
//
// +kubebuilder:validation:Enum=Superseded;Found;Seen;Unknown
type LedgerOrigin string

// The origins.
const (
	// OriginSuperseded: it was our current instance until a newer one took its place.
	OriginSuperseded LedgerOrigin = "Superseded"
	// OriginFound: it was published before the operator first saw the domain.
	OriginFound LedgerOrigin = "Found"
	// OriginSeen: it was seen at a server or at the policy host although a newer one was announced.
	OriginSeen LedgerOrigin = "Seen"
	// OriginUnknown: ids were used that no record tells, as after a restore: taken to cover nothing, for a year.
	OriginUnknown LedgerOrigin = "Unknown"
)

// LedgerEntry is an enforce instance that senders may hold. At most one, of
// origin Unknown, is a gap: it stands for all the ids that a restore has lost.
type LedgerEntry struct {
	// id under which it was announced or served.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=255
	ID string `json:"id,omitempty"`

	// afterID is set with origin Unknown: the entry stands for every id after
	// this one, up to id, which was made for it and is used for nothing else.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=32
	AfterID string `json:"afterID,omitempty"`

	// mx patterns; none means that they are not known.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=100
	// +kubebuilder:validation:items:MaxLength=253
	MX []string `json:"mx,omitempty"`

	// liveMX is set with origin Unknown: the hosts that were MX hosts when the
	// entry was made, and in every answer of DNS since. Mail went there all the
	// time, so the entry does not warn of them.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=100
	// +kubebuilder:validation:items:MaxLength=253
	LiveMX []string `json:"liveMX,omitempty"`

	// maxAgeSeconds of the instance.
	//
	// +required
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=31557600
	MaxAgeSeconds int32 `json:"maxAgeSeconds"`

	// origin says how it came here.
	//
	// +required
	Origin LedgerOrigin `json:"origin,omitempty"`

	// cachedUntil is when the last sender has dropped it; unset while senders may still fetch it.
	//
	// +optional
	CachedUntil *metav1.Time `json:"cachedUntil,omitempty"`
}
