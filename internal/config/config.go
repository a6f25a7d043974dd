package config

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"sigs.k8s.io/yaml"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
)

// What a configuration file says about itself.
const (
	// APIVersion is the only version of the file.
	APIVersion = "config.mtasts.dev/v1alpha1"
	// Kind is its kind.
	Kind = "OperatorConfiguration"
)

// Operator is the whole configuration file.
type Operator struct {
	// APIVersion is always [APIVersion].
	APIVersion string `json:"apiVersion"`
	// Kind is always [Kind].
	Kind string `json:"kind"`
	// Issuer issues the certificate of every policy that names no issuer of its own.
	Issuer Issuer `json:"issuer,omitzero"`
	// Ingress is the default of every Ingress.
	Ingress Ingress `json:"ingress,omitzero"`
	// DNS is the default of the records of the policy host and of the policy id.
	DNS DNS `json:"dns,omitzero"`
	// TLSReporting is about the TLS-RPT records (RFC 8460).
	TLSReporting TLSReporting `json:"tlsReporting,omitzero"`
	// Looks says how the operator looks at what it has published.
	Looks Looks `json:"looks,omitzero"`
	// Domains says who may claim which domain; without a rule everybody may claim every domain.
	Domains []DomainRule `json:"domains,omitempty"`
	// Server is about the policy server of each namespace.
	Server Server `json:"server,omitzero"`
}

// Issuer names a cert-manager issuer.
type Issuer struct {
	// Name of the issuer. There is no default issuer without it.
	Name string `json:"name,omitempty"`
	// Kind of the issuer, as cert-manager has it: empty means Issuer.
	Kind string `json:"kind,omitempty"`
	// Group of the issuer: empty means cert-manager.io.
	Group string `json:"group,omitempty"`
}

// Ingress is the default of every Ingress.
type Ingress struct {
	// ClassName is the IngressClass: empty leaves it to the cluster's default class.
	ClassName string `json:"className,omitempty"`
	// Annotations are set on every Ingress; a policy may add to them and replace values.
	Annotations map[string]string `json:"annotations,omitempty"`
}

// DNS is the default of the records of the policy host and of the policy id.
type DNS struct {
	// TTLSeconds is their time to live, 60 to 3600.
	TTLSeconds int32 `json:"ttlSeconds"`
	// TXTFormat is how external-dns' provider wants TXT values.
	TXTFormat v1alpha1.TXTFormat `json:"txtFormat"`
	// Targets is where policy hosts point: IP addresses, or one host name. Empty means the address
	// of each Ingress.
	Targets []string `json:"targets,omitempty"`
	// Labels are set on every DNSEndpoint, so that one of several external-dns can select them.
	Labels map[string]string `json:"labels,omitempty"`
	// Annotations are set on every DNSEndpoint.
	Annotations map[string]string `json:"annotations,omitempty"`
}

// TLSReporting is about the TLS-RPT records (RFC 8460).
type TLSReporting struct {
	// TTLSeconds is their time to live, 60 to 86400.
	TTLSeconds int32 `json:"ttlSeconds"`
	// AllowedDomains are where reports may be sent: the domain of a mailto: address, the host of an
	// https: URL, as "example.com" or "*.example.com" for all below it. Empty means anywhere.
	AllowedDomains []string `json:"allowedDomains,omitempty"`
}

// Reachability says how the operator asks for the policy of a host.
type Reachability string

const (
	// ReachabilityPublic dials what public DNS answers, as senders do.
	ReachabilityPublic Reachability = "Public"
	// ReachabilityCluster dials the address of the Ingress.
	ReachabilityCluster Reachability = "Cluster"
)

// Looks says how the operator looks at what it has published.
type Looks struct {
	// Resolvers are recursive DNS servers, each an IP address with or without a port. Empty means
	// those of the operator's pod.
	Resolvers []string `json:"resolvers,omitempty"`
	// ExtraRootsFile is a PEM file of certificate authorities to trust besides the system's.
	ExtraRootsFile string `json:"extraRootsFile,omitempty"`
	// Reachability says which address is dialled.
	Reachability Reachability `json:"reachability"`
	// AllowPrivateAddresses lets the operator dial addresses that are not public, as a test
	// environment needs. Whoever may write policies can then make it connect to such addresses.
	AllowPrivateAddresses bool `json:"allowPrivateAddresses,omitempty"`
	// Deny are networks that the operator never dials, as 203.0.113.0/24: public ones that are used
	// internally. AllowPrivateAddresses does not lift it.
	Deny []string `json:"deny,omitempty"`
}

// Denied are the networks of Deny. What is no network is left out: Validate has refused it.
func (l Looks) Denied() []netip.Prefix {
	var networks []netip.Prefix
	for _, text := range l.Deny {
		if network, err := netip.ParsePrefix(text); err == nil {
			networks = append(networks, network)
		}
	}
	return networks
}

// DomainRule lets some namespaces claim some domains.
type DomainRule struct {
	// Namespaces are names, or beginnings of names followed by a *.
	Namespaces []string `json:"namespaces"`
	// Allow are domains, "*.example.com" for all below one at any depth, or "*" for all. A label may be
	// {namespace}, the name of the namespace, or {suffix}, what the * of Namespaces stood for.
	Allow []string `json:"allow"`
}

// Server is about the policy server of each namespace.
type Server struct {
	// Image of the policy server: the operator's own.
	Image string `json:"image"`
	// ImagePullPolicy of the pods: empty leaves it to Kubernetes.
	ImagePullPolicy corev1.PullPolicy `json:"imagePullPolicy,omitempty"`
	// ImagePullSecrets name Secrets in every namespace with policies.
	ImagePullSecrets []corev1.LocalObjectReference `json:"imagePullSecrets,omitempty"`
	// Replicas is the number of pods.
	Replicas int32 `json:"replicas"`
	// Resources of the container. They replace the default as a whole: {} sets none.
	Resources *corev1.ResourceRequirements `json:"resources,omitempty"`
	// PodLabels are added to the default: labels that keep service mesh sidecars out. A sidecar
	// that demands mutual TLS would refuse the operator's questions.
	PodLabels map[string]string `json:"podLabels,omitempty"`
	// PodAnnotations are added to the default, which is to the same purpose.
	PodAnnotations map[string]string `json:"podAnnotations,omitempty"`
	// NodeSelector of the pods.
	NodeSelector map[string]string `json:"nodeSelector,omitempty"`
	// Tolerations of the pods.
	Tolerations []corev1.Toleration `json:"tolerations,omitempty"`
	// PriorityClassName of the pods.
	PriorityClassName string `json:"priorityClassName,omitempty"`
	// MetricsNamespaces are names of namespaces whose pods may read the pods' metrics, besides the
	// operator's own.
	MetricsNamespaces []string `json:"metricsNamespaces,omitempty"`
	// IngressNamespaces are names of namespaces whose pods may ask the pods for policies, besides the
	// operator's own: where the Ingress controller runs. Empty means everybody.
	IngressNamespaces []string `json:"ingressNamespaces,omitempty"`
}

// Default is what applies where a file says nothing. It is complete but for server.image.
func Default() Operator {
	const istio, linkerd = "sidecar.istio.io/inject", "linkerd.io/inject"
	return Operator{
		APIVersion:   APIVersion,
		Kind:         Kind,
		DNS:          DNS{TTLSeconds: 300, TXTFormat: v1alpha1.TXTQuoted},
		TLSReporting: TLSReporting{TTLSeconds: 3600},
		Looks:        Looks{Reachability: ReachabilityPublic},
		Server: Server{
			Replicas:       2,
			Resources:      defaultResources(),
			PodLabels:      map[string]string{istio: "false"},
			PodAnnotations: map[string]string{istio: "false", linkerd: "disabled"},
		},
	}
}

// defaultResources has no CPU limit: throttling would only make senders wait.
func defaultResources() *corev1.ResourceRequirements {
	return &corev1.ResourceRequirements{
		Requests: corev1.ResourceList{
			corev1.ResourceCPU:    resource.MustParse("10m"),
			corev1.ResourceMemory: resource.MustParse("32Mi"),
		},
		Limits: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("128Mi")},
	}
}

// Load reads and checks the file at path. The error joins everything that [Operator.Validate] finds.
func Load(path string) (Operator, error) {
	data, err := os.ReadFile(path) //nolint:gosec // the path is the administrator's own flag
	if err != nil {
		return Operator{}, fmt.Errorf("reading the configuration: %w (name the file with --config)", err)
	}
	o, err := Parse(data)
	if err != nil {
		return Operator{}, fmt.Errorf("configuration file %s: %w", path, err)
	}
	return o, nil
}

// Parse reads a configuration in YAML over [Default] and checks it. An unknown or repeated field is
// an error that names it.
func Parse(data []byte) (Operator, error) {
	o := Default()
	// Decoding merges into what is there: right for labels, wrong for these.
	o.APIVersion, o.Kind, o.Server.Resources = "", "", nil
	if err := yaml.UnmarshalStrict(data, &o); err != nil {
		// What the decoder puts before the fault is about its own steps.
		_, fault, found := strings.Cut(err.Error(), "while decoding JSON: json: ")
		if !found {
			fault = err.Error()
		}
		return Operator{}, errors.New(fault)
	}
	if o.Server.Resources == nil {
		o.Server.Resources = defaultResources()
	}
	if err := o.Validate(); err != nil {
		return Operator{}, fmt.Errorf("it cannot work:\n%w", err)
	}
	return o, nil
}
