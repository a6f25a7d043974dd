package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Mode is the policy mode of RFC 8461 §3.2.
//
// +kubebuilder:validation:Enum=testing;enforce;none
type Mode string

// The three modes.
const (
	// ModeTesting asks senders to report failures but to deliver anyway.
	ModeTesting Mode = "testing"
	// ModeEnforce forbids delivery to hosts that fail validation.
	ModeEnforce Mode = "enforce"
	// ModeNone says that the domain no longer has a policy (RFC 8461 §8.3).
	ModeNone Mode = "none"
)

// Preflight says whether the live MX records may hold a change back.
//
// +kubebuilder:validation:Enum=Require;Advise
type Preflight string

// The two kinds of preflight.
const (
	// PreflightRequire holds a change that would make senders refuse a live MX host.
	PreflightRequire Preflight = "Require"
	// PreflightAdvise only reports it.
	PreflightAdvise Preflight = "Advise"
)

// DeletionPolicy says what becomes of a publication whose policy is gone.
//
// +kubebuilder:validation:Enum=Drain;Orphan;Immediate
type DeletionPolicy string

// The three ways to go.
const (
	// DeletionDrain publishes mode none, waits until no sender can hold an older policy, then removes everything.
	DeletionDrain DeletionPolicy = "Drain"
	// DeletionOrphan leaves everything as it is until the publication is deleted.
	DeletionOrphan DeletionPolicy = "Orphan"
	// DeletionImmediate removes everything as soon as it is clear that the policy was not renamed, after
	// ten minutes, whatever senders still hold.
	DeletionImmediate DeletionPolicy = "Immediate"
)

// MTASTSPolicySpec is the policy somebody wants published for a mail domain.
//
// +kubebuilder:validation:XValidation:rule="self.mx.map(m, size(m) + 5).sum() + size(self.mode) + size(string(self.maxAgeSeconds)) <= 9968",fieldPath=".mx",message="the policy would be larger than 10000 bytes, which some senders cut off: list fewer hosts, or use a wildcard such as *.mail.example.com"
type MTASTSPolicySpec struct {
	// domain is the mail domain, as it stands behind the @ of an address: lower
	// case, A-labels for internationalised names (xn--…), no trailing dot. It
	// cannot be changed. A subdomain inherits nothing: it needs a policy of its
	// own (RFC 8461 §3.4).
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=242
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="domain cannot be changed: create another MTASTSPolicy for the other domain and delete this one when it is no longer needed"
	// +kubebuilder:validation:XValidation:rule="self == self.lowerAscii()",message="write the domain in lower case, for example example.com"
	// +kubebuilder:validation:XValidation:rule="!self.endsWith('.')",message="write the domain without the trailing dot, for example example.com"
	// +kubebuilder:validation:XValidation:rule="!self.matches('[^\\\\x00-\\\\x7F]')",message="write an internationalised domain as A-labels, for example xn--bcher-kva.example"
	// +kubebuilder:validation:XValidation:rule="!self.contains('*')",message="a policy is for one domain and not for those below it: write the domain without *, and an MTASTSPolicy for each subdomain that receives mail"
	// +kubebuilder:validation:XValidation:rule="!self.contains('_')",message="write the domain as it stands behind the @ of an address, which has no underscore: the operator adds names such as _mta-sts by itself"
	// +kubebuilder:validation:XValidation:rule="!self.matches('[:/]|[.][0-9]+$')",message="write the name of the domain: no IP address, no URL, no port"
	// +kubebuilder:validation:XValidation:rule="self.matches('^[-A-Za-z0-9.*_:/\\\\x{80}-\\\\x{10FFFF}]*$')",message="write only the domain, as it stands behind the @ of an address: letters, digits, hyphens and dots, for example example.com"
	// +kubebuilder:validation:XValidation:rule="self.matches('^[*]$|[:/]|^([^-.]([^.]{0,61}[^-.])?[.])+[^-.]([^.]{0,61}[^-.])?[.]?$')",message="write the full domain, such as example.com: at least two labels of at most 63 characters, none of them empty or with a hyphen at either end"
	Domain string `json:"domain,omitempty"`

	// mode tells senders what to do when a delivery cannot be secured: testing
	// (deliver and report), enforce (do not deliver) or none (the domain has no
	// policy any more). Start with testing and read the TLS reports before you
	// enforce.
	//
	// +optional
	// +kubebuilder:default=testing
	Mode Mode `json:"mode,omitempty"`

	// mx lists the hosts that may receive the domain's mail: host names, or
	// *.example.net for exactly one further label. Required in every mode: some
	// senders reject a policy of mode none without it. Every live MX record must
	// be covered before mode enforce is published.
	//
	// +required
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=100
	// +kubebuilder:validation:items:MaxLength=253
	// +kubebuilder:validation:items:XValidation:rule="self == self.lowerAscii()",message="write MX patterns in lower case, for example mx1.example.com"
	// +kubebuilder:validation:items:XValidation:rule="!self.endsWith('.')",message="write MX patterns without the trailing dot, for example mx1.example.com"
	// +kubebuilder:validation:items:XValidation:rule="!self.matches('[^\\\\x00-\\\\x7F]')",message="write internationalised names as A-labels, for example mx1.xn--bcher-kva.example"
	// +kubebuilder:validation:items:XValidation:rule="!self.matches('[^*][*]|^[*][^.]|^[*]$')",message="* stands for exactly one whole first label: write *.example.com, or the names of the hosts"
	// +kubebuilder:validation:items:XValidation:rule="!self.contains('_')",message="a host name has no underscore: write the name that the MX record points to, for example mx1.example.com"
	// +kubebuilder:validation:items:XValidation:rule="!self.matches(':|[.][0-9]+$')",message="write the name of the host, for example mx1.example.com: no IP address, no port"
	// +kubebuilder:validation:items:XValidation:rule="self.matches('^[-A-Za-z0-9.*_:\\\\x{80}-\\\\x{10FFFF}]*$')",message="write one host per list item, only its name, without preference, blanks or commas: letters, digits, hyphens and dots"
	// +kubebuilder:validation:items:XValidation:rule="(self.startsWith('*.') ? self.substring(2) : self).matches('^[*]$|:|^([^-.]([^.]{0,61}[^-.])?[.])+[^-.]([^.]{0,61}[^-.])?[.]?$')",message="write a full host name such as mx1.example.com, or *. and a full name: at least two labels of at most 63 characters, none of them empty or with a hyphen at either end"
	MX []string `json:"mx,omitempty"`

	// maxAgeSeconds is how long senders keep the policy: at least a day; one to
	// four weeks is usual. A longer time protects better and makes every later
	// change of MX hosts wait longer.
	//
	// +optional
	// +kubebuilder:default=604800
	// +kubebuilder:validation:XValidation:rule="self >= 86400",message="maxAgeSeconds must be at least 86400 (one day): large senders ignore policies that live shorter"
	// +kubebuilder:validation:XValidation:rule="self <= 31557599",message="maxAgeSeconds must be at most 31557599: RFC 8461 ends at 31557600, and a widely used sender turns exactly that value into one day"
	MaxAgeSeconds int32 `json:"maxAgeSeconds,omitempty"`

	// preflight says whether the live MX records may hold back a change that would
	// make senders refuse mail: Require (the default) or Advise (only report).
	//
	// +optional
	// +kubebuilder:default=Require
	Preflight Preflight `json:"preflight,omitempty"`

	// deletionPolicy says what happens when this object has been missing for ten
	// minutes: Drain (the default: publish mode none, and remove everything when
	// no sender can hold an older policy), Orphan (leave everything) or Immediate
	// (remove everything; senders may refuse mail). A policy of the same domain
	// and namespace that comes meanwhile, as after a rename, takes over.
	//
	// +optional
	DeletionPolicy DeletionPolicy `json:"deletionPolicy,omitempty"`

	// tlsReporting publishes a TLS-RPT record (RFC 8460): senders mail daily reports there.
	//
	// +optional
	TLSReporting *TLSReporting `json:"tlsReporting,omitempty"`

	// dns says who writes the DNS records, and how. Unset fields follow the operator's configuration.
	//
	// +optional
	DNS DNSSpec `json:"dns,omitzero"`

	// exposure says how the policy host reaches the policy server.
	//
	// +optional
	Exposure ExposureSpec `json:"exposure,omitzero"`

	// certificate says where the policy host's certificate comes from.
	//
	// +optional
	Certificate CertificateSpec `json:"certificate,omitzero"`
}

// MTASTSPolicy asks for an MTA-STS policy (RFC 8461), and optionally a TLS-RPT
// record (RFC 8460), to be published for one mail domain. The operator serves
// it, has it certified, announces it in DNS, and never announces a change
// before every server has it.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=mtastspolicies,singular=mtastspolicy,shortName=mtasts,categories=mail
// +kubebuilder:selectablefield:JSONPath=`.spec.domain`
// +kubebuilder:printcolumn:name="Domain",type=string,JSONPath=`.spec.domain`
// +kubebuilder:printcolumn:name="Mode",type=string,JSONPath=`.spec.mode`
// +kubebuilder:printcolumn:name="ID",type=string,JSONPath=`.status.policy.id`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="State",type=string,JSONPath=`.status.state`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Expires",type=string,JSONPath=`.status.certificateNotAfter`,priority=1
// +kubebuilder:printcolumn:name="URL",type=string,JSONPath=`.status.policyURL`,priority=1
type MTASTSPolicy struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is the standard object's metadata.
	//
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec is the policy wanted.
	//
	// +required
	Spec MTASTSPolicySpec `json:"spec,omitzero"`

	// status mirrors what is published; nothing in it is ever read back.
	//
	// +optional
	// +kubebuilder:default={"observedGeneration":-1}
	Status MTASTSPolicyStatus `json:"status,omitzero"`
}

// MTASTSPolicyList is a list of policies.
//
// +kubebuilder:object:root=true
type MTASTSPolicyList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitzero"`

	Items []MTASTSPolicy `json:"items"`
}
