package v1alpha1

// Delivery is how a domain's policy reaches senders.
//
// +kubebuilder:validation:MinProperties=1
type Delivery struct {
	// tlsReporting as in the policy.
	//
	// +optional
	TLSReporting *TLSReporting `json:"tlsReporting,omitempty"`

	// dns as in the policy.
	//
	// +optional
	DNS DNSSpec `json:"dns,omitzero"`

	// exposure as in the policy.
	//
	// +optional
	Exposure ExposureSpec `json:"exposure,omitzero"`

	// certificate as in the policy.
	//
	// +optional
	Certificate CertificateSpec `json:"certificate,omitzero"`
}

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
	// +kubebuilder:validation:XValidation:rule="self.all(k, size(k) <= 317 && size(self[k]) <= 4096)",message="an annotation may have a key of 317 and a value of 4096 characters: put longer settings where the controller that reads them takes them from, for example a ConfigMap, and name that here"
	// +kubebuilder:validation:XValidation:rule="self.map(k, size(k) + size(self[k])).sum() <= 16384",message="all annotations together may have 16384 characters: put longer settings where the controller that reads them takes them from, for example a ConfigMap, and name that here"
	// +kubebuilder:validation:XValidation:rule="!self.exists(k, k.startsWith('mtasts.dev/'))",message="annotations that begin with mtasts.dev/ are the operator's own: remove them here"
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
	// +kubebuilder:validation:XValidation:rule="self.all(k, size(k) <= 317 && size(self[k]) <= 4096)",message="an annotation may have a key of 317 and a value of 4096 characters: put longer settings where the controller that reads them takes them from, for example a ConfigMap, and name that here"
	// +kubebuilder:validation:XValidation:rule="self.map(k, size(k) + size(self[k])).sum() <= 16384",message="all annotations together may have 16384 characters: put longer settings where the controller that reads them takes them from, for example a ConfigMap, and name that here"
	// +kubebuilder:validation:XValidation:rule="!self.exists(k, k.startsWith('mtasts.dev/'))",message="annotations that begin with mtasts.dev/ are the operator's own: remove them here"
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
