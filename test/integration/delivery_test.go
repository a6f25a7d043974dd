package integration

import (
	"testing"
	"time"

	cmv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	externaldnsv1alpha1 "sigs.k8s.io/external-dns/apis/v1alpha1"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
	"github.com/mta-sts-operator/mta-sts-operator/test/harness"
)

// record is one of the DNS records that the policy's status lists.
func (s *story) record(p *v1alpha1.MTASTSPolicy, name, rtype string) func() v1alpha1.Record {
	return func() v1alpha1.Record {
		s.Expect(s.api.Get(s.ctx, client.ObjectKeyFromObject(p), p)).To(Succeed())
		for _, r := range p.Status.Records {
			if r.Name == name && r.Type == rtype {
				return r
			}
		}
		return v1alpha1.Record{}
	}
}

func TestRecordsAreWrittenByHand(t *testing.T) {
	s := tell(t)
	p := s.policy(func(p *v1alpha1.MTASTSPolicy) { p.Spec.DNS.Provider = v1alpha1.DNSManual })
	s.create(p)
	host, id, reports := "mta-sts."+s.domain, "_mta-sts."+s.domain, "_smtp._tls."+s.domain

	s.chapter("the host first: it is too early for the id", func() {
		s.Eventually(s.record(p, host, "A")).Should(HaveField("Value", harness.PodAddress))
		s.Eventually(s.condition(p, v1alpha1.ConditionPolicyServed)).Should(HavePrefix("True/"))
		s.Consistently(s.record(p, id, "TXT")).WithTimeout(300 * time.Millisecond).Should(And(
			HaveField("Value", ""), HaveField("State", v1alpha1.RecordNotYet)))
		s.DNS.SetA(host, harness.PodAddress)
	})
	s.chapter("then the id, which can be published as it is shown", func() {
		s.Eventually(s.record(p, id, "TXT")).Should(And(
			HaveField("Value", HavePrefix("v=STSv1; id=")), HaveField("State", v1alpha1.RecordMissing), HaveField("TTLSeconds", BeEquivalentTo(300))))
		s.Expect(s.record(p, host, "A")()).To(HaveField("State", v1alpha1.RecordPublished))
		s.Eventually(s.condition(p, v1alpha1.ConditionDNSPublished)).Should(ContainSubstring("status.records"))
		s.DNS.SetTXT(reports, s.record(p, reports, "TXT")().Value)
		s.DNS.SetTXT(id, s.record(p, id, "TXT")().Value)
		s.inForce(p)
		s.Eventually(s.record(p, id, "TXT")).Should(HaveField("State", v1alpha1.RecordPublished))
		s.Eventually(s.record(p, reports, "TXT")).Should(HaveField("State", v1alpha1.RecordPublished))
	})
	s.chapter("an edit shows the next id, and nothing was handed to external-dns", func() {
		before := s.record(p, id, "TXT")().Value
		s.edit(p, withMaxAge(86400))
		s.Eventually(s.record(p, id, "TXT")).Should(And(
			HaveField("Value", Not(Equal(before))), HaveField("State", Not(Equal(v1alpha1.RecordPublished)))))
		s.DNS.SetTXT(id, s.record(p, id, "TXT")().Value)
		s.inForce(p)
		var endpoints externaldnsv1alpha1.DNSEndpointList
		s.Expect(s.api.List(s.ctx, &endpoints, client.InNamespace(s.namespace))).To(Succeed())
		s.Expect(endpoints.Items).To(BeEmpty())
	})
}

// tlsSecret is a Secret with a certificate for the policy host that somebody else looks after.
func (s *story) tlsSecret(name string) *corev1.Secret {
	s.t.Helper()
	certificate, key, err := s.CA.Issue(24*time.Hour, "mta-sts."+s.domain)
	s.Expect(err).NotTo(HaveOccurred())
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: name}, Type: corev1.SecretTypeTLS,
		Data: map[string][]byte{corev1.TLSCertKey: certificate, corev1.TLSPrivateKeyKey: key},
	}
}

// route is an Ingress that somebody brings along.
func (s *story) route(secret string) *networkingv1.Ingress {
	host := "mta-sts." + s.domain
	return &networkingv1.Ingress{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "mine"},
		Spec: networkingv1.IngressSpec{
			TLS: []networkingv1.IngressTLS{{Hosts: []string{host}, SecretName: secret}},
			Rules: []networkingv1.IngressRule{{Host: host, IngressRuleValue: networkingv1.IngressRuleValue{
				HTTP: &networkingv1.HTTPIngressRuleValue{Paths: []networkingv1.HTTPIngressPath{{
					Path: mtasts.PolicyPath, PathType: new(networkingv1.PathTypeExact),
					Backend: networkingv1.IngressBackend{Service: &networkingv1.IngressServiceBackend{
						Name: "mta-sts-server", Port: networkingv1.ServiceBackendPort{Name: "http"},
					}},
				}}},
			}}},
		},
	}
}

func TestARouteOfSomebodysOwnIsUsed(t *testing.T) {
	s := tell(t)
	s.create(s.tlsSecret("mine"), s.route("mine"))
	p := s.policy(func(p *v1alpha1.MTASTSPolicy) {
		p.Spec.Exposure.Type = v1alpha1.ExposureNone
		p.Spec.Certificate.Source = v1alpha1.CertificateNone
	})
	s.create(p)

	s.Eventually(s.condition(p, v1alpha1.ConditionExposed)).Should(And(
		HavePrefix("False/"+v1alpha1.ReasonNoAddress), ContainSubstring("spec.dns.targets")))
	s.edit(p, func(p *v1alpha1.MTASTSPolicy) { p.Spec.DNS.Targets = []string{harness.PodAddress} })

	s.inForce(p)
	s.Expect(s.condition(p, v1alpha1.ConditionExposed)()).To(HavePrefix("True/" + v1alpha1.ReasonTargetsConfigured))
	s.Expect(s.condition(p, v1alpha1.ConditionCertificateReady)()).To(HavePrefix("True/" + v1alpha1.ReasonNotManaged))
	s.gone(s.domainChildren()[0].object, s.domainChildren()[1].object) // Ingress and Certificate
}

func TestACertificateOfSomebodysOwnIsUsed(t *testing.T) {
	s := tell(t)
	s.create(s.tlsSecret("wildcard"))
	p := s.policy(func(p *v1alpha1.MTASTSPolicy) {
		p.Spec.Certificate.Source = v1alpha1.CertificateSecret
		p.Spec.Certificate.SecretRef.Name = "wildcard"
	})
	s.create(p)

	s.inForce(p)
	ingress := s.ingress()
	s.Expect(s.api.Get(s.ctx, client.ObjectKeyFromObject(ingress), ingress)).To(Succeed())
	s.Expect(ingress.Spec.TLS).To(ConsistOf(HaveField("SecretName", "wildcard")))
	s.Expect(s.condition(p, v1alpha1.ConditionCertificateReady)()).To(HavePrefix("True/" + v1alpha1.ReasonNotManaged))
	var certificates cmv1.CertificateList
	s.Expect(s.api.List(s.ctx, &certificates, client.InNamespace(s.namespace))).To(Succeed())
	s.Expect(certificates.Items).To(BeEmpty())
	s.Expect(p.Status.CertificateNotAfter.Time).To(BeTemporally("~", time.Now().Add(24*time.Hour), time.Minute))

	// From their own certificate to an issuer's and back, without a new id.
	id := s.publication().Spec.InForceID
	s.edit(p, func(p *v1alpha1.MTASTSPolicy) { p.Spec.Certificate = v1alpha1.CertificateSpec{} })
	s.Eventually(s.condition(p, v1alpha1.ConditionCertificateReady)).Should(HavePrefix("True/" + v1alpha1.ReasonIssued))
	s.edit(p, func(p *v1alpha1.MTASTSPolicy) {
		p.Spec.Certificate.Source = v1alpha1.CertificateSecret
		p.Spec.Certificate.SecretRef.Name = "wildcard"
	})
	s.gone(s.domainChildren()[1].object)
	s.Expect(s.inForce(p)).To(Equal(id))
	s.Expect(s.txt()).To(Equal(announces(id)))
}

func TestTXTValuesAreWrittenAsTheProviderWantsThem(t *testing.T) {
	s := setScene(t)
	s.ExternalDNS.SetProvider(harness.Verbatim)
	s.startOperator()
	p := s.policy(func(p *v1alpha1.MTASTSPolicy) { p.Spec.DNS.TXTFormat = v1alpha1.TXTUnquoted })
	s.create(p)

	id := s.inForce(p)

	s.Expect(s.endpoint("mta-sts-id." + s.domain).Spec.Endpoints[0].Targets).To(BeEquivalentTo(announces(id)))
	s.Expect(s.txt()).To(Equal(announces(id)))
	s.Expect(s.DNS.Records("_smtp._tls."+s.domain, "TXT")).To(Equal([]string{"v=TLSRPTv1; rua=mailto:tls-reports@" + s.domain}))
}

func TestDNSThatNeverFollowsIsExplained(t *testing.T) {
	for _, tc := range []struct {
		name  string
		mode  harness.ExternalDNSMode
		edit  bool // break it before an edit instead of before the first publication
		state v1alpha1.State
		says  func(*story, *v1alpha1.MTASTSPolicy) func() string
		want  OmegaMatcher
	}{
		{
			"an external-dns that cannot update TXT records", harness.CreateOnlyTXT, true, v1alpha1.StateAnnouncing, dnsPublished,
			And(HavePrefix("False/"+v1alpha1.ReasonDiffers), ContainSubstring("v0.22")),
		},
		{
			"an external-dns that does not manage TXT records", harness.NoTXT, false, v1alpha1.StateAnnouncing, dnsPublished,
			And(HavePrefix("False/"+v1alpha1.ReasonMissing), ContainSubstring("--managed-record-types=TXT")),
		},
		{
			"an external-dns that stopped before an edit", harness.Off, true, v1alpha1.StateAnnouncing, dnsPublished,
			And(HavePrefix("False/"+v1alpha1.ReasonDiffers), ContainSubstring("external-dns")),
		},
		{
			"no external-dns with a crd source", harness.Off, false, v1alpha1.StateServing,
			func(s *story, p *v1alpha1.MTASTSPolicy) func() string {
				return s.condition(p, v1alpha1.ConditionReconciling)
			},
			ContainSubstring("--source=crd"),
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := setScene(t)
			if !tc.edit {
				s.ExternalDNS.SetMode(tc.mode)
			}
			s.startOperator()
			p := s.policy()
			s.create(p)
			first := ""
			if tc.edit {
				first = s.inForce(p)
				s.ExternalDNS.SetMode(tc.mode)
				s.edit(p, withMaxAge(86400))
			}

			s.Eventually(tc.says(s, p)).Should(tc.want)
			s.Expect(p.Status.State).To(Equal(tc.state))
			if tc.edit {
				s.Expect(s.txt()).To(Equal(announces(first)))
				s.Expect(s.publication().Spec.Ledger).To(ConsistOf(And(HaveField("ID", first), HaveField("CachedUntil", BeNil()))))
			} else {
				s.Expect(s.txt()).To(BeEmpty())
			}

			// Off and on again is all that it takes.
			s.ExternalDNS.SetMode(harness.Sync)
			s.inForce(p)
		})
	}
}

func dnsPublished(s *story, p *v1alpha1.MTASTSPolicy) func() string {
	return s.condition(p, v1alpha1.ConditionDNSPublished)
}
