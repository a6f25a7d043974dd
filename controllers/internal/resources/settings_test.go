package resources_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/controllers/internal/resources"
	"github.com/mta-sts-operator/mta-sts-operator/internal/config"
)

func TestEffectiveWithoutAnyWishIsTheConfiguration(t *testing.T) {
	want := resources.Settings{
		Provider:           v1alpha1.DNSExternalDNS,
		TXTFormat:          v1alpha1.TXTQuoted,
		TTLSeconds:         300,
		TLSRPTTTLSeconds:   3600,
		Exposure:           v1alpha1.ExposureIngress,
		IngressAnnotations: map[string]string{},
		CertificateSource:  v1alpha1.CertificateIssuer,
	}
	if diff := cmp.Diff(want, resources.Effective(v1alpha1.Delivery{}, config.Default())); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestEffectiveTakesThePolicysWishesFirst(t *testing.T) {
	cfg := everything().cfg
	got := resources.Effective(everything().delivery, cfg)
	want := resources.Settings{
		Provider:               v1alpha1.DNSExternalDNS,
		TXTFormat:              v1alpha1.TXTQuoted,
		TTLSeconds:             60,
		Targets:                []string{"203.0.113.5"},
		EndpointLabels:         cfg.DNS.Labels,
		EndpointAnnotations:    cfg.DNS.Annotations,
		RUA:                    []string{"mailto:tls@example.com", "https://r.example.com/tls"},
		TLSRPTTTLSeconds:       7200,
		Exposure:               v1alpha1.ExposureIngress,
		ClassName:              new("haproxy"),
		CertificateSource:      v1alpha1.CertificateIssuer,
		Issuer:                 v1alpha1.IssuerReference{Name: "aws", Kind: "AWSPCAIssuer", Group: "awspca.cert-manager.io"},
		IngressAnnotations:     everything().delivery.Exposure.Ingress.Annotations,
		CertificateAnnotations: everything().delivery.Certificate.Annotations,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestEffectiveFallsBackFieldByField(t *testing.T) {
	cfg := everything().cfg
	ref := func(name, kind string) v1alpha1.Delivery {
		return v1alpha1.Delivery{Certificate: v1alpha1.CertificateSpec{IssuerRef: v1alpha1.IssuerReference{Name: name, Kind: kind}}}
	}
	source := func(source v1alpha1.CertificateSource) v1alpha1.Delivery {
		return v1alpha1.Delivery{Certificate: v1alpha1.CertificateSpec{Source: source, SecretRef: v1alpha1.SecretReference{Name: "own"}}}
	}
	reports := v1alpha1.Delivery{TLSReporting: &v1alpha1.TLSReporting{RUA: []string{"mailto:a@example.com"}}}
	effective := func(d v1alpha1.Delivery) resources.Settings { return resources.Effective(d, cfg) }
	for _, test := range []struct {
		name      string
		got, want any
	}{
		{"the configured targets", effective(v1alpha1.Delivery{}).Targets, []string{"192.0.2.1", "2001:db8::1"}},
		{"the configured class", *effective(v1alpha1.Delivery{}).ClassName, "traefik"},
		{"the configured TXT format", effective(v1alpha1.Delivery{}).TXTFormat, v1alpha1.TXTUnquoted},
		{"the configured TTL of reports", effective(reports).TLSRPTTTLSeconds, int32(600)},
		{"the configured issuer", effective(v1alpha1.Delivery{}).Issuer, v1alpha1.IssuerReference{Name: "letsencrypt", Kind: "ClusterIssuer", Group: "cert-manager.io"}},
		{"an issuer of one's own does not inherit the kind", effective(ref("own", "")).Issuer, v1alpha1.IssuerReference{Name: "own", Kind: "Issuer", Group: "cert-manager.io"}},
		{"an issuer of one's own with its kind", effective(ref("own", "ClusterIssuer")).Issuer.Kind, "ClusterIssuer"},
		{"no issuer for a Secret", effective(source(v1alpha1.CertificateSecret)).Issuer, v1alpha1.IssuerReference{}},
		{"the Secret of one's own", effective(source(v1alpha1.CertificateSecret)).TLSSecret("example.com"), "own"},
		{"cert-manager's Secret", effective(v1alpha1.Delivery{}).TLSSecret("example.com"), "mta-sts-a379a6f6ee-tls"},
		{"no Secret", effective(source(v1alpha1.CertificateNone)).TLSSecret("example.com"), ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, test.got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}
