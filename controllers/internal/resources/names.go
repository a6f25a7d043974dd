package resources

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"slices"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
)

// ServerName is the name of everything that makes up a namespace's policy server but its shards,
// and of its container's Service for those who bring a route of their own.
const ServerName = "mta-sts-server"

const (
	shardPrefix = "mta-sts-policies"

	nameLabel      = "app.kubernetes.io/name"
	componentLabel = "app.kubernetes.io/component"
	appName        = "mta-sts"
	component      = "server"
)

// Hash is a domain as a label value and as part of a name: 10 hex digits of its SHA-256.
func Hash(domain string) string {
	sum := sha256.Sum256([]byte(domain))
	return hex.EncodeToString(sum[:5])
}

// ShardName is the name of the ConfigMap with shard n, n ≥ 0.
func ShardName(n int) string {
	if n == 0 {
		return shardPrefix
	}
	return shardPrefix + "-" + strconv.Itoa(n)
}

// MostShards bounds the shards of a namespace (I11): their numbers stand in names, which anybody may make up. A
// hundred shards hold ten thousand domains of the usual size, four hundred as many of the largest policies.
const MostShards = 512

// ShardIndex is the inverse of [ShardName] for n below [MostShards]; ok is false for any other name.
func ShardIndex(name string) (n int, ok bool) {
	if name == shardPrefix {
		return 0, true
	}
	digits, found := strings.CutPrefix(name, shardPrefix+"-")
	n, err := strconv.Atoi(digits)
	// The name must be the one we would write: no sign, no leading zero.
	if !found || err != nil || n < 1 || n >= MostShards || ShardName(n) != name {
		return 0, false
	}
	return n, true
}

// ClaimsToBeShard says whether a name looks like that of a shard, whatever its number.
func ClaimsToBeShard(name string) bool {
	return name == shardPrefix || strings.HasPrefix(name, shardPrefix+"-")
}

// DeclaredShards is how many shards the Deployment declares when n are needed: the next power of two, at
// least 2 and at most [MostShards]. Those that do not exist yet are optional, so that growth to n shards
// costs log2(n) rollouts.
func DeclaredShards(n int) int {
	declared := 2
	for declared < min(n, MostShards) {
		declared *= 2
	}
	return declared
}

// IngressNames are the names of a domain's Ingress: the first one's, and that of one which is made beside it
// to take its place.
func IngressNames(domain string) [2]string {
	return [2]string{mtasts.PolicyHost(domain), mtasts.PolicyHost(domain) + "-2"}
}

// ExternalWay is the way token of a route that the operator did not make.
const ExternalWay = "external"

// WayToken is what the path that only this Ingress routes ends with.
func WayToken(ingress string) string { return Hash(ingress) }

// CertificateName is the name of a domain's Certificate.
func CertificateName(domain string) string { return mtasts.PolicyHost(domain) }

// HostEndpointName is the name of the DNSEndpoint with the address of a domain's policy host.
func HostEndpointName(domain string) string { return mtasts.PolicyHost(domain) }

// TXTEndpointName is the name of the DNSEndpoint with a domain's policy id.
func TXTEndpointName(domain string) string { return "mta-sts-id." + domain }

// TLSRPTEndpointName is the name of the DNSEndpoint with a domain's TLS-RPT record.
func TLSRPTEndpointName(domain string) string { return "smtp-tls." + domain }

// TLSSecretName is the name of the Secret into which cert-manager writes a domain's certificate. It
// bears the hash so that nobody's own Secret has it.
func TLSSecretName(domain string) string { return appName + "-" + Hash(domain) + "-tls" }

// DomainLabels are the labels of a domain's children. Together with [DomainAnnotations] they decide
// whether an object is the operator's.
func DomainLabels(domain string) map[string]string {
	return map[string]string{
		v1alpha1.ManagedByLabel:   v1alpha1.ManagedBy,
		v1alpha1.PublicationLabel: Hash(domain),
		v1alpha1.NoBackupLabel:    "true",
		nameLabel:                 appName,
	}
}

// DomainAnnotations are the annotations of a domain's children.
func DomainAnnotations(domain string) map[string]string {
	return map[string]string{v1alpha1.DomainAnnotation: domain}
}

// ServerLabels are the labels of everything that makes up a policy server, pods included, by which it is found.
func ServerLabels() map[string]string {
	return over(ServerSelector(), map[string]string{v1alpha1.ManagedByLabel: v1alpha1.ManagedBy})
}

// serverObjectLabels are the labels of the server's objects, and of no pod.
func serverObjectLabels() map[string]string {
	return over(ServerLabels(), map[string]string{v1alpha1.NoBackupLabel: "true"})
}

// ServerSelector selects the pods of the namespace's policy server.
func ServerSelector() map[string]string {
	return map[string]string{nameLabel: appName, componentLabel: component}
}

// LabelKeys are the keys of all labels by which the operator finds objects, or knows them.
func LabelKeys() []string {
	return []string{nameLabel, componentLabel, v1alpha1.ManagedByLabel, v1alpha1.PublicationLabel, appsv1.DefaultDeploymentUniqueLabelKey}
}

// IsChildName says whether an object of this name can be a child of the domain.
func IsChildName(name, domain string) bool {
	ingresses := IngressNames(domain)
	return slices.Contains(append(ingresses[:],
		CertificateName(domain), HostEndpointName(domain), TXTEndpointName(domain), TLSRPTEndpointName(domain)), name)
}

// over merges maps into a new one, later values over earlier ones.
func over(layers ...map[string]string) map[string]string {
	merged := map[string]string{}
	for _, layer := range layers {
		maps.Copy(merged, layer)
	}
	return merged
}
