package resources

import (
	"cmp"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/internal/config"
)

// Settings is how a domain is delivered, once the policy's wishes are laid over the configuration.
type Settings struct {
	// Provider says who writes the DNS records.
	Provider v1alpha1.DNSProvider
	// TXTFormat is how TXT values are written into a DNSEndpoint.
	TXTFormat v1alpha1.TXTFormat
	// TTLSeconds of the policy host and of the policy id.
	TTLSeconds int32
	// Targets is where the policy host points; empty means the address of the Ingress.
	Targets []string
	// EndpointLabels are set on DNSEndpoints.
	EndpointLabels map[string]string
	// EndpointAnnotations are set on DNSEndpoints.
	EndpointAnnotations map[string]string
	// RUA are the addresses of the TLS-RPT record; without any there is no record.
	RUA []string
	// TLSRPTTTLSeconds of the TLS-RPT record.
	TLSRPTTTLSeconds int32
	// Exposure says how the policy host reaches the policy server.
	Exposure v1alpha1.ExposureType
	// ClassName is the IngressClass; nil means the cluster's default class.
	ClassName *string
	// IngressAnnotations are set on the Ingress.
	IngressAnnotations map[string]string
	// CertificateSource says where the policy host's certificate comes from.
	CertificateSource v1alpha1.CertificateSource
	// Issuer issues it if the source is Issuer. Without a name nobody does: there is no Certificate
	// to build.
	Issuer v1alpha1.IssuerReference
	// SecretRef names the Secret that holds it if the source is Secret.
	SecretRef string
	// CertificateAnnotations are set on the Certificate.
	CertificateAnnotations map[string]string
}

// Effective lays a policy's way to deliver over the configuration.
func Effective(d v1alpha1.Delivery, cfg config.Operator) Settings {
	s := Settings{
		Provider:               cmp.Or(d.DNS.Provider, v1alpha1.DNSExternalDNS),
		TXTFormat:              cmp.Or(d.DNS.TXTFormat, cfg.DNS.TXTFormat, v1alpha1.TXTQuoted),
		TTLSeconds:             cmp.Or(d.DNS.TTLSeconds, cfg.DNS.TTLSeconds),
		Targets:                cfg.DNS.Targets,
		EndpointLabels:         cfg.DNS.Labels,
		EndpointAnnotations:    cfg.DNS.Annotations,
		TLSRPTTTLSeconds:       cfg.TLSReporting.TTLSeconds,
		Exposure:               cmp.Or(d.Exposure.Type, v1alpha1.ExposureIngress),
		IngressAnnotations:     over(cfg.Ingress.Annotations, d.Exposure.Ingress.Annotations),
		CertificateSource:      cmp.Or(d.Certificate.Source, v1alpha1.CertificateIssuer),
		SecretRef:              d.Certificate.SecretRef.Name,
		CertificateAnnotations: d.Certificate.Annotations,
	}
	if len(d.DNS.Targets) > 0 {
		s.Targets = d.DNS.Targets
	}
	if d.TLSReporting != nil {
		s.RUA = d.TLSReporting.RUA
		s.TLSRPTTTLSeconds = cmp.Or(d.TLSReporting.TTLSeconds, s.TLSRPTTTLSeconds)
	}
	if class := cmp.Or(d.Exposure.Ingress.ClassName, cfg.Ingress.ClassName); class != "" {
		s.ClassName = &class
	}
	if s.CertificateSource == v1alpha1.CertificateIssuer {
		s.Issuer = issuer(d.Certificate.IssuerRef, cfg.Issuer)
	}
	return s
}

// issuer takes one reference or the other: a policy's issuer of the same name as the configured one
// may well be of another kind.
func issuer(ref v1alpha1.IssuerReference, def config.Issuer) v1alpha1.IssuerReference {
	if ref.Name == "" {
		ref = v1alpha1.IssuerReference{Name: def.Name, Kind: def.Kind, Group: def.Group}
	}
	if ref.Name == "" {
		return v1alpha1.IssuerReference{}
	}
	ref.Kind = cmp.Or(ref.Kind, "Issuer")
	ref.Group = cmp.Or(ref.Group, "cert-manager.io")
	return ref
}

// TLSSecret names the Secret with the certificate of the domain's policy host; empty if the
// certificate is the route's own business.
func (s Settings) TLSSecret(domain string) string {
	switch s.CertificateSource {
	case v1alpha1.CertificateSecret:
		return s.SecretRef
	case v1alpha1.CertificateNone:
		return ""
	default:
		return TLSSecretName(domain)
	}
}
