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

// Ingress of that name routes the policy URL, and the paths given, to the policy server.
func (d Domain) Ingress(name string, paths ...string) *acnetworkingv1.IngressApplyConfiguration {
	host := mtasts.PolicyHost(d.Name)
	routes := acnetworkingv1.HTTPIngressRuleValue().WithPaths(route(mtasts.PolicyPath))
	for _, path := range paths {
		routes.WithPaths(route(path))
	}
	spec := acnetworkingv1.IngressSpec().WithRules(acnetworkingv1.IngressRule().
		WithHost(host).
		WithHTTP(routes))
	spec.IngressClassName = d.ClassName
	if secret := d.TLSSecret(d.Name); secret != "" {
		spec.WithTLS(acnetworkingv1.IngressTLS().WithHosts(host).WithSecretName(secret))
	}
	return acnetworkingv1.Ingress(name, d.Namespace).
		WithLabels(DomainLabels(d.Name)).
		WithAnnotations(over(d.IngressAnnotations, optOut(), classAnnotation(d.ClassName), DomainAnnotations(d.Name))).
		WithOwnerReferences(d.ownerApply()).
		WithSpec(spec)
}

func route(path string) *acnetworkingv1.HTTPIngressPathApplyConfiguration {
	return acnetworkingv1.HTTPIngressPath().
		WithPath(path).
		WithPathType(networkingv1.PathTypeExact).
		WithBackend(acnetworkingv1.IngressBackend().WithService(acnetworkingv1.IngressServiceBackend().
			WithName(ServerName).
			WithPort(acnetworkingv1.ServiceBackendPort().WithName(HTTPPortName))))
}

// classAnnotation keeps the class that is asked for: where none is, the API server writes the default one's name.
func classAnnotation(class *string) map[string]string {
	if class == nil {
		return nil
	}
	return map[string]string{v1alpha1.IngressClassAnnotation: *class}
}

// OfClass says whether an Ingress was made for a class; nil is the cluster's default class.
func OfClass(ingress *networkingv1.Ingress, class *string) bool {
	made, named := ingress.Annotations[v1alpha1.IngressClassAnnotation]
	if class == nil {
		return !named
	}
	return named && made == *class
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
