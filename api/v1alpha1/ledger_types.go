package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// LedgerOrigin says how an instance came into the ledger.
//
// +kubebuilder:validation:Enum=Superseded;Found;Seen
type LedgerOrigin string

// The origins.
const (
	// OriginSuperseded: it was our current instance until a newer one took its place.
	OriginSuperseded LedgerOrigin = "Superseded"
	// OriginFound: it was published before the operator first saw the domain.
	OriginFound LedgerOrigin = "Found"
	// OriginSeen: it was seen at a server or at the policy host although a newer one was announced.
	OriginSeen LedgerOrigin = "Seen"
)

// LedgerEntry is an enforce instance that senders may hold.
type LedgerEntry struct {
	// id under which it was announced or served.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=255
	ID string `json:"id,omitempty"`

	// mx patterns; none means that they are not known.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=100
	// +kubebuilder:validation:items:MaxLength=253
	MX []string `json:"mx,omitempty"`

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
