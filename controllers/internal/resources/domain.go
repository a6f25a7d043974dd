package resources

import (
	cmv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	accmv1 "github.com/cert-manager/cert-manager/pkg/client/applyconfigurations/certmanager/v1"
	accmmetav1 "github.com/cert-manager/cert-manager/pkg/client/applyconfigurations/meta/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	acmetav1 "k8s.io/client-go/applyconfigurations/meta/v1"
	acnetworkingv1 "k8s.io/client-go/applyconfigurations/networking/v1"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
)

// Domain builds the children of one publication.
type Domain struct {
	// Name is the mail domain.
	Name string
	// Namespace and UID are those of the publication, which owns the children.
	Namespace string
	UID       types.UID
	Settings
}

// NewDomain takes from a live publication what its children need.
func NewDomain(pub *v1alpha1.MTASTSPublication, s Settings) Domain {
	return Domain{Name: pub.Spec.Domain, Namespace: pub.Namespace, UID: pub.UID, Settings: s}
}

// optOut keeps external-dns' Ingress source away from our Ingress: the policy host's address comes
// from our DNSEndpoint, and of two sources for one name either may win. Which prefix is read depends
// on external-dns' version.
func optOut() map[string]string {
	return map[string]string{
		"external-dns.kubernetes.io/controller":       v1alpha1.ManagedBy,
		"external-dns.alpha.kubernetes.io/controller": v1alpha1.ManagedBy,
	}
}

// Ingress routes the policy URL, and nothing else, to the policy server.
func (d Domain) Ingress() *acnetworkingv1.IngressApplyConfiguration {
	host := mtasts.PolicyHost(d.Name)
	path := acnetworkingv1.HTTPIngressPath().
		WithPath(mtasts.PolicyPath).
		WithPathType(networkingv1.PathTypeExact).
		WithBackend(acnetworkingv1.IngressBackend().WithService(acnetworkingv1.IngressServiceBackend().
			WithName(ServerName).
			WithPort(acnetworkingv1.ServiceBackendPort().WithName(HTTPPortName))))
	spec := acnetworkingv1.IngressSpec().WithRules(acnetworkingv1.IngressRule().
		WithHost(host).
		WithHTTP(acnetworkingv1.HTTPIngressRuleValue().WithPaths(path)))
	spec.IngressClassName = d.ClassName
	if secret := d.TLSSecret(d.Name); secret != "" {
		spec.WithTLS(acnetworkingv1.IngressTLS().WithHosts(host).WithSecretName(secret))
	}
	return acnetworkingv1.Ingress(IngressName(d.Name), d.Namespace).
		WithLabels(DomainLabels(d.Name)).
		WithAnnotations(over(d.IngressAnnotations, optOut(), DomainAnnotations(d.Name))).
		WithOwnerReferences(d.ownerApply()).
		WithSpec(spec)
}

// Certificate asks cert-manager for the policy host's certificate. It sets no common name, which
// may have 64 bytes at most, and no duration, which is the issuer's business.
func (d Domain) Certificate() *accmv1.CertificateApplyConfiguration {
	key := accmv1.CertificatePrivateKey().
		WithAlgorithm(cmv1.ECDSAKeyAlgorithm).
		WithSize(256).
		WithRotationPolicy(cmv1.RotationPolicyAlways)
	issuerRef := accmmetav1.IssuerReference().
		WithName(d.Issuer.Name).
		WithKind(d.Issuer.Kind).
		WithGroup(d.Issuer.Group)
	return accmv1.Certificate(CertificateName(d.Name), d.Namespace).
		WithLabels(DomainLabels(d.Name)).
		WithAnnotations(over(d.CertificateAnnotations, DomainAnnotations(d.Name))).
		WithOwnerReferences(d.ownerApply()).
		WithSpec(accmv1.CertificateSpec().
			WithDNSNames(mtasts.PolicyHost(d.Name)).
			WithSecretName(d.TLSSecret(d.Name)).
			WithIssuerRef(issuerRef).
			WithPrivateKey(key))
}

// owner does not block the deletion of the publication: deleting it means "now".
func (d Domain) owner() metav1.OwnerReference {
	return metav1.OwnerReference{
		APIVersion: v1alpha1.GroupVersion.String(),
		Kind:       "MTASTSPublication",
		Name:       d.Name,
		UID:        d.UID,
		Controller: new(true),
	}
}

func (d Domain) ownerApply() *acmetav1.OwnerReferenceApplyConfiguration {
	return ownerApply(d.owner())
}

func ownerApply(o metav1.OwnerReference) *acmetav1.OwnerReferenceApplyConfiguration {
	return acmetav1.OwnerReference().
		WithAPIVersion(o.APIVersion).
		WithKind(o.Kind).
		WithName(o.Name).
		WithUID(o.UID).
		WithController(*o.Controller)
}
