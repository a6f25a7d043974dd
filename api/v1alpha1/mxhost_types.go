package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// MXState says whether senders that follow the policy would use an MX host.
//
// +kubebuilder:validation:Enum=Covered;Uncovered;Prepared
type MXState string

// The states of an MX host.
const (
	// MXCovered: a pattern of the policy covers the host.
	MXCovered MXState = "Covered"
	// MXUncovered: no pattern covers it: under mode enforce senders refuse it.
	MXUncovered MXState = "Uncovered"
	// MXPrepared: the policy names the host, and no MX record points at it yet; safeAfter says when one may.
	MXPrepared MXState = "Prepared"
)

// STARTTLSState says whether mail can be handed over as mode enforce demands it (RFC 8461 §4.2).
//
// +kubebuilder:validation:Enum=Works;Fails;Unknown
type STARTTLSState string

// The states of STARTTLS.
const (
	// STARTTLSWorks: the server offers STARTTLS and its certificate is trusted, valid, and for the host's name.
	STARTTLSWorks STARTTLSState = "Works"
	// STARTTLSFails: under mode enforce senders deliver no mail there.
	STARTTLSFails STARTTLSState = "Fails"
	// STARTTLSUnknown: there was no answer, which proves nothing: others may get one.
	STARTTLSUnknown STARTTLSState = "Unknown"
)

// MXHost is a live MX host as a sender sees it, or one that the policy names and that may become live.
type MXHost struct {
	// host is the name in the MX record, lower case.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Host string `json:"host,omitempty"`

	// state says whether the served policy covers the host.
	//
	// +required
	State MXState `json:"state,omitempty"`

	// safeAfter is when no cached enforce policy refuses this host any more;
	// unset when none does, or while that cannot be dated yet. Point no MX
	// record at the host before that.
	//
	// +optional
	SafeAfter *metav1.Time `json:"safeAfter,omitempty"`

	// message says what is wrong with the host and what to do.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message,omitempty"`

	// starttls says what the host did when the operator last connected to it as a
	// sender does, up to where it would send mail. Unset until then.
	//
	// +optional
	STARTTLS *STARTTLS `json:"starttls,omitempty"`
}

// STARTTLS is what an MX host does at its addresses when a sender asks for TLS.
type STARTTLS struct {
	// state of the host: what fails at one address fails for those senders that choose it.
	//
	// +required
	State STARTTLSState `json:"state,omitempty"`

	// reason is a word for the first address that does not work, such as
	// CertificateExpired or NoSTARTTLS.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=64
	Reason string `json:"reason,omitempty"`

	// message names what is wrong, and where.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message,omitempty"`

	// addresses are those that were asked, eight at most. While a host works, a
	// later look that finds the same at others changes nothing here.
	//
	// +optional
	// +listType=map
	// +listMapKey=address
	// +kubebuilder:validation:MaxItems=8
	Addresses []MXAddress `json:"addresses,omitempty"`
}

// MXAddress is one address of an MX host.
type MXAddress struct {
	// address is an IPv4 or IPv6 address.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	Address string `json:"address,omitempty"`

	// state of this address.
	//
	// +required
	State STARTTLSState `json:"state,omitempty"`

	// reason is a word for what is wrong; unset if it works.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=64
	Reason string `json:"reason,omitempty"`

	// tlsVersion is such as "TLS 1.3"; unset without a handshake.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=16
	TLSVersion string `json:"tlsVersion,omitempty"`

	// certificateNotAfter is when the presented certificate ends.
	//
	// +optional
	CertificateNotAfter *metav1.Time `json:"certificateNotAfter,omitempty"`

	// certificateNames are the names that a certificate which fails is for.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=5
	// +kubebuilder:validation:items:MaxLength=253
	CertificateNames []string `json:"certificateNames,omitempty"`
}
