package resources

import (
	"maps"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	accorev1 "k8s.io/client-go/applyconfigurations/core/v1"
	acmetav1 "k8s.io/client-go/applyconfigurations/meta/v1"
	acnetworkingv1 "k8s.io/client-go/applyconfigurations/networking/v1"
	acpolicyv1 "k8s.io/client-go/applyconfigurations/policy/v1"

	"github.com/mta-sts-operator/mta-sts-operator/internal/config"
	"github.com/mta-sts-operator/mta-sts-operator/internal/policyserver"
)

// Ports of the policy server.
const (
	// HTTPPortName is the port that the Ingress asks, in the Service and in the pod.
	HTTPPortName = "http"
	// HTTPPort serves policies in clear text, for the Ingress to put TLS in front.
	HTTPPort int32 = 8080
	// MetricsPortName is the port of the pod that the operator and the kubelet ask.
	MetricsPortName = "metrics"
	// MetricsPort serves /instances, /healthz, /readyz and /metrics.
	MetricsPort int32 = 8081
)

// Server builds what makes up the policy server of one namespace.
type Server struct {
	// Namespace it is in.
	Namespace string
	// Anchor is the UID of the ServiceAccount, which owns everything else. The shards are no anchor:
	// one deleted by hand would take the pods with it.
	Anchor types.UID
	// Shards is how many shards there are.
	Shards int
	// Replicas is the number of pods to leave as it is; nil means the configured one.
	Replicas *int32
	// OperatorNamespace may ask the metrics port; empty means that everybody may.
	OperatorNamespace string
	// Config is the server part of the configuration.
	Config config.Server
}

// ServiceAccount is the anchor. It has no rights and its pods get no token.
func (s Server) ServiceAccount() *accorev1.ServiceAccountApplyConfiguration {
	return accorev1.ServiceAccount(ServerName, s.Namespace).
		WithLabels(serverObjectLabels()).
		WithAutomountServiceAccountToken(false)
}

// Service is what Ingresses, or a route of somebody's own, send requests to.
func (s Server) Service() *accorev1.ServiceApplyConfiguration {
	port := accorev1.ServicePort().
		WithName(HTTPPortName).
		WithProtocol(corev1.ProtocolTCP).
		WithPort(80).
		WithTargetPort(intstr.FromString(HTTPPortName))
	return accorev1.Service(ServerName, s.Namespace).
		WithLabels(serverObjectLabels()).
		WithOwnerReferences(ownerApply(s.owner())).
		WithSpec(accorev1.ServiceSpec().
			WithType(corev1.ServiceTypeClusterIP).
			WithSelector(ServerSelector()).
			WithPorts(port))
}

// PodDisruptionBudget lets a drain take one pod at a time, and those that are not ready at any time:
// they must not block the drain that would heal them.
func (s Server) PodDisruptionBudget() *acpolicyv1.PodDisruptionBudgetApplyConfiguration {
	return acpolicyv1.PodDisruptionBudget(ServerName, s.Namespace).
		WithLabels(serverObjectLabels()).
		WithOwnerReferences(ownerApply(s.owner())).
		WithSpec(acpolicyv1.PodDisruptionBudgetSpec().
			WithMaxUnavailable(intstr.FromInt32(1)).
			WithUnhealthyPodEvictionPolicy(policyv1.AlwaysAllow).
			WithSelector(selector()))
}

// NetworkPolicy lets everybody ask for policies, or those whom the configuration names, and the namespaces of the
// operator and of those who read metrics for the rest, also where everything else is denied; the pods themselves may
// not ask anybody. The operator asks for policies, too. Without its namespace nobody is kept out: it would be.
func (s Server) NetworkPolicy() *acnetworkingv1.NetworkPolicyApplyConfiguration {
	var senders, admins []string
	if s.OperatorNamespace != "" {
		admins = append([]string{s.OperatorNamespace}, s.Config.MetricsNamespaces...)
		if len(s.Config.IngressNamespaces) > 0 {
			senders = append([]string{s.OperatorNamespace}, s.Config.IngressNamespaces...)
		}
	}
	return acnetworkingv1.NetworkPolicy(ServerName, s.Namespace).
		WithLabels(serverObjectLabels()).
		WithOwnerReferences(ownerApply(s.owner())).
		WithSpec(acnetworkingv1.NetworkPolicySpec().
			WithPodSelector(selector()).
			WithPolicyTypes(networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress).
			WithIngress(ingressTo(HTTPPortName, senders), ingressTo(MetricsPortName, admins)))
}

// ingressTo opens a port to the pods of some namespaces; to everybody if there are none.
func ingressTo(port string, namespaces []string) *acnetworkingv1.NetworkPolicyIngressRuleApplyConfiguration {
	rule := acnetworkingv1.NetworkPolicyIngressRule().WithPorts(acnetworkingv1.NetworkPolicyPort().
		WithProtocol(corev1.ProtocolTCP).
		WithPort(intstr.FromString(port)))
	for _, namespace := range namespaces {
		rule.WithFrom(acnetworkingv1.NetworkPolicyPeer().WithNamespaceSelector(
			acmetav1.LabelSelector().WithMatchLabels(map[string]string{corev1.LabelMetadataName: namespace})))
	}
	return rule
}

// Shard is the ConfigMap with shard n: the entries, by policy host and as the policy server reads
// them, and the marker by which it knows that the shard is there.
func (s Server) Shard(n int, entries map[string]string) *corev1.ConfigMap {
	data := maps.Clone(entries)
	if data == nil {
		data = map[string]string{}
	}
	data[policyserver.MarkerKey(n)] = policyserver.MarkerValue
	return &corev1.ConfigMap{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"},
		ObjectMeta: metav1.ObjectMeta{
			Name:            ShardName(n),
			Namespace:       s.Namespace,
			Labels:          serverObjectLabels(),
			OwnerReferences: []metav1.OwnerReference{s.owner()},
		},
		Data: data,
	}
}

func (s Server) owner() metav1.OwnerReference {
	return metav1.OwnerReference{
		APIVersion: "v1",
		Kind:       "ServiceAccount",
		Name:       ServerName,
		UID:        s.Anchor,
		Controller: new(true),
	}
}

func selector() *acmetav1.LabelSelectorApplyConfiguration {
	return acmetav1.LabelSelector().WithMatchLabels(ServerSelector())
}
