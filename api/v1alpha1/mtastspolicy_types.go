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

// DNSProvider says who writes the DNS records.
//
// +kubebuilder:validation:Enum=ExternalDNS;Manual
type DNSProvider string

// The DNS providers.
const (
	// DNSExternalDNS writes DNSEndpoint objects for external-dns.
	DNSExternalDNS DNSProvider = "ExternalDNS"
	// DNSManual writes nothing: status.records says what to publish by hand, and when.
	DNSManual DNSProvider = "Manual"
)

// TXTFormat is how a TXT value is written into a DNSEndpoint; it depends on external-dns' provider.
//
// +kubebuilder:validation:Enum=Quoted;Unquoted
type TXTFormat string

// The two formats.
const (
	// TXTQuoted puts literal double quotes round the value (Route 53, Google, Cloudflare, PowerDNS).
	TXTQuoted TXTFormat = "Quoted"
	// TXTUnquoted writes the bare value (Azure).
	TXTUnquoted TXTFormat = "Unquoted"
)

// ExposureType says how the policy host reaches the policy server.
//
// +kubebuilder:validation:Enum=Ingress;None
type ExposureType string

// The ways to expose.
const (
	// ExposureIngress creates an Ingress for the policy host.
	ExposureIngress ExposureType = "Ingress"
	// ExposureNone leaves the route to Service mta-sts-server to you.
	ExposureNone ExposureType = "None"
)

// CertificateSource says where the policy host's certificate comes from.
//
// +kubebuilder:validation:Enum=Issuer;Secret;None
type CertificateSource string

// The certificate sources.
const (
	// CertificateIssuer creates a cert-manager Certificate.
	CertificateIssuer CertificateSource = "Issuer"
	// CertificateSecret uses a TLS Secret of yours, for example a wildcard.
	CertificateSecret CertificateSource = "Secret"
	// CertificateNone puts no TLS section into the Ingress: the certificate is the route's own business.
	CertificateNone CertificateSource = "None"
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

// TLSReporting is the TLS-RPT record of RFC 8460 §3.
//
// +kubebuilder:validation:XValidation:rule="self.rua.join(',').size() <= 239",fieldPath=".rua",message="the record would be longer than one TXT string of 255 bytes: name fewer or shorter report addresses"
type TLSReporting struct {
	// rua lists where reports go: mailto:tls-reports@example.com or
	// https://reports.example.com/tls. Many senders use mailto only: give at least
	// one.
	//
	// +required
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	// +kubebuilder:validation:items:MaxLength=1024
	// +kubebuilder:validation:items:XValidation:rule="self.startsWith('mailto:') || self.startsWith('https://')",message="write a report address as mailto:tls-reports@example.com or https://reports.example.com/tls, one per list item"
	// +kubebuilder:validation:items:XValidation:rule="!self.startsWith('mailto:') || self.matches('^mailto:[A-Za-z0-9$\\'*+_~-]+([.][A-Za-z0-9$\\'*+_~-]+)*@([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?[.])+[A-Za-z]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$')",message="write mailto: and one plain address, such as mailto:tls-reports@example.com: no ?subject=, blanks, commas or %-encoding, because some reporters take it literally"
	// +kubebuilder:validation:items:XValidation:rule="!self.startsWith('https://') || self.matches('^https://([A-Za-z0-9._~:/?#\\\\[\\\\]@$&\\'()*+=-]|%[0-9A-Fa-f]{2})*$')",message="in an https: report address write %2C for a comma, %21 for !, %3B for ; and %20 for a blank, and percent-encode what is not ASCII; one address per list item"
	// +kubebuilder:validation:items:XValidation:rule="!self.matches('^https://([A-Za-z0-9._~:/?#\\\\[\\\\]@$&\\'()*+=-]|%[0-9A-Fa-f]{2})*$') || (isURL(self.find('^[^#]*')) && url(self.find('^[^#]*')).getHostname() != '')",message="an https: report address needs a host, for example https://reports.example.com/tls"
	// +kubebuilder:validation:items:XValidation:rule="!self.matches('^https://[^/?#]*@')",message="DNS is public: write the https: report address without user and password"
	RUA []string `json:"rua,omitempty"`

	// ttlSeconds is the record's time to live; the operator's configuration decides when unset (3600).
	//
	// +optional
	// +kubebuilder:validation:Minimum=60
	// +kubebuilder:validation:Maximum=86400
	TTLSeconds int32 `json:"ttlSeconds,omitempty"`
}

// DNSSpec says who writes the DNS records, and how.
//
// +kubebuilder:validation:MinProperties=1
type DNSSpec struct {
	// provider is ExternalDNS (the default) or Manual.
	//
	// +optional
	Provider DNSProvider `json:"provider,omitempty"`

	// txtFormat is Quoted or Unquoted, as external-dns' provider wants TXT values.
	//
	// +optional
	TXTFormat TXTFormat `json:"txtFormat,omitempty"`

	// ttlSeconds is the time to live of the policy host and of the policy id.
	// Short: a change is not seen by senders before it has passed.
	//
	// +optional
	// +kubebuilder:validation:Minimum=60
	// +kubebuilder:validation:Maximum=3600
	TTLSeconds int32 `json:"ttlSeconds,omitempty"`

	// targets is where the policy host points: IP addresses, or exactly one host
	// name. By default the address of the Ingress.
	//
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.all(t, isIP(t)) || (size(self) == 1 && self.all(t, t.matches('^([a-z0-9_]([-a-z0-9_]{0,61}[a-z0-9])?[.])+[a-z]([-a-z0-9]{0,61}[a-z0-9])?$')))",message="targets are IP addresses, or exactly one lower-case host name without trailing dot, for example lb.example.net"
	Targets []string `json:"targets,omitempty"`
}

// ExposureSpec says how the policy host reaches the policy server.
//
// +kubebuilder:validation:XValidation:rule="!has(self.ingress) || !has(self.type) || self.type == 'Ingress'",message="ingress is only used with type Ingress: remove it, or set type: Ingress"
// +kubebuilder:validation:MinProperties=1
// +union
type ExposureSpec struct {
	// type is Ingress (the default) or None.
	//
	// +optional
	// +unionDiscriminator
	Type ExposureType `json:"type,omitempty"`

	// ingress holds what is particular to the Ingress.
	//
	// +optional
	Ingress IngressSpec `json:"ingress,omitzero"`
}

// IngressSpec is what is particular to the Ingress.
//
// +kubebuilder:validation:MinProperties=1
type IngressSpec struct {
	// className is the IngressClass; the operator's configuration, else the cluster's default class, when unset.
	//
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	ClassName string `json:"className,omitempty"`

	// annotations are set on the Ingress, for example to share a load balancer.
	// They must not make the controller redirect HTTPS requests: senders follow no
	// redirect.
	//
	// +optional
	// +kubebuilder:validation:MinProperties=1
	// +kubebuilder:validation:MaxProperties=32
	Annotations map[string]string `json:"annotations,omitempty"`
}

// CertificateSpec says where the policy host's certificate comes from.
//
// +kubebuilder:validation:XValidation:rule="has(self.secretRef) == (has(self.source) && self.source == 'Secret')",message="secretRef belongs to source: Secret: set both, or neither"
// +kubebuilder:validation:XValidation:rule="!has(self.issuerRef) || !has(self.source) || self.source == 'Issuer'",message="issuerRef is only used with source Issuer: remove it, or set source: Issuer"
// +kubebuilder:validation:MinProperties=1
// +union
type CertificateSpec struct {
	// source is Issuer (the default), Secret or None.
	//
	// +optional
	// +unionDiscriminator
	Source CertificateSource `json:"source,omitempty"`

	// issuerRef names the cert-manager issuer; the operator's configuration decides when unset.
	//
	// +optional
	IssuerRef IssuerReference `json:"issuerRef,omitzero"`

	// secretRef names a TLS Secret of the same namespace whose certificate is valid for the policy host.
	//
	// +optional
	SecretRef SecretReference `json:"secretRef,omitzero"`

	// annotations are set on the Certificate, for example acme.cert-manager.io/http01-override-ingress-name.
	//
	// +optional
	// +kubebuilder:validation:MinProperties=1
	// +kubebuilder:validation:MaxProperties=32
	Annotations map[string]string `json:"annotations,omitempty"`
}

// IssuerReference names a cert-manager issuer.
type IssuerReference struct {
	// name of the issuer.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`

	// kind of the issuer: Issuer (the default), ClusterIssuer, or a kind of an external issuer.
	//
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Kind string `json:"kind,omitempty"`

	// group of the issuer; cert-manager.io when unset.
	//
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Group string `json:"group,omitempty"`
}

// SecretReference names a Secret of the same namespace.
type SecretReference struct {
	// name of the Secret.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`
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
