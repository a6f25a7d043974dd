package controllers

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	cmv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	externaldnsv1alpha1 "sigs.k8s.io/external-dns/apis/v1alpha1"

	"github.com/mta-sts-operator/mta-sts-operator/controllers/internal/resources"
)

// Bounds of what the cache holds of an object that somebody else may write (I11). What the operator itself writes
// stays well below; beyond, it only has to see that something differs.
const (
	// mostMetaBytes is what labels, or annotations, may take before those of others are replaced by their hashes.
	mostMetaBytes = 2 << 10
	// mostHashes is how many hashes there may be: the schema allows 32 annotations for a child.
	mostHashes = 128
	// mostWordBytes is the longest value of an annotation of ours.
	mostWordBytes = 1 << 10
	// mostSpecBytes is the largest spec of a domain's children, mostServerBytes that of the server's: its Deployment
	// names up to 512 shards.
	mostSpecBytes   = 8 << 10
	mostServerBytes = 128 << 10
	// mostItems bounds lists such as owners or the addresses of a load balancer.
	mostItems = 32
)

// ourAnnotations are the beginning of the keys of the annotations that the operator reads, hashed that of a key which
// stands for an annotation of others; the API allows no such key.
const (
	ourAnnotations = "mtasts.dev/"
	hashed         = "#"
)

// metaBytes is what keys and values of a set take.
func metaBytes(set map[string]string) (bytes int) {
	for key, value := range set {
		bytes += len(key) + len(value)
	}
	return bytes
}

// boundedLabels leaves out the labels of others if there are many.
func boundedLabels(all map[string]string) map[string]string {
	if metaBytes(all) <= mostMetaBytes {
		return all
	}
	ours := resources.LabelKeys()
	maps.DeleteFunc(all, func(key, _ string) bool { return !slices.Contains(ours, key) })
	return all
}

// boundedAnnotations replaces the annotations of others by their hashes if there are many: that one of those which
// the operator sets is there can still be told. Of far too many nothing is left.
func boundedAnnotations(all map[string]string) map[string]string {
	if metaBytes(all) <= mostMetaBytes {
		return all
	}
	out := hashedAnnotations(all)
	if len(out) > mostHashes {
		maps.DeleteFunc(out, func(key, _ string) bool { return strings.HasPrefix(key, hashed) })
	}
	return out
}

// hashedAnnotations are the operator's own annotations, and the hashes of all others.
func hashedAnnotations(all map[string]string) map[string]string {
	out := map[string]string{}
	for key, value := range all {
		switch {
		case !strings.HasPrefix(key, ourAnnotations):
			sum := sha256.Sum256([]byte(key + "\x00" + value))
			out[hashed+hex.EncodeToString(sum[:8])] = ""
		case len(value) <= mostWordBytes && len(out) < mostHashes:
			out[key] = value
		}
	}
	return out
}

// withoutHashes are annotations as they can be written.
func withoutHashes(annotations map[string]string) map[string]string {
	out := maps.Clone(annotations)
	maps.DeleteFunc(out, func(key, _ string) bool { return strings.HasPrefix(key, hashed) })
	return out
}

// asCached are annotations in the form of those of a cached object: hashed if those are.
func asCached(annotations, cached map[string]string) map[string]string {
	for key := range cached {
		if strings.HasPrefix(key, hashed) {
			return hashedAnnotations(annotations)
		}
	}
	return annotations
}

// boundedOwners keeps the owners that can be ours.
func boundedOwners(owners []metav1.OwnerReference) []metav1.OwnerReference {
	owners = owners[:min(len(owners), mostItems)]
	for i := range owners {
		owner := &owners[i]
		owner.APIVersion, owner.Kind, owner.Name = shared(owner.APIVersion), shared(owner.Kind), shared(owner.Name)
	}
	return owners
}

// slimKind cuts what is particular to a kind. A spec that is too large is none of ours: without it, the object
// differs from what is wanted, and is written anew.
func slimKind(o any) {
	switch o := o.(type) {
	case *corev1.Pod:
		slimPod(o)
	case *networkingv1.Ingress:
		if o.Spec.Size() > mostSpecBytes {
			o.Spec = networkingv1.IngressSpec{}
		}
		o.Status.LoadBalancer.Ingress = o.Status.LoadBalancer.Ingress[:min(len(o.Status.LoadBalancer.Ingress), mostItems)]
	case *cmv1.Certificate:
		if encodedBytes(o.Spec) > mostSpecBytes {
			o.Spec = cmv1.CertificateSpec{}
		}
		o.Status = slimCertificate(o)
	case *externaldnsv1alpha1.DNSEndpoint:
		if encodedBytes(o.Spec) > mostSpecBytes {
			o.Spec = externaldnsv1alpha1.DNSEndpointSpec{}
		}
	case *appsv1.Deployment:
		if o.Spec.Size() > mostServerBytes {
			o.Spec = appsv1.DeploymentSpec{Replicas: o.Spec.Replicas}
		}
		o.Status = appsv1.DeploymentStatus{}
	case *corev1.ServiceAccount:
		o.Secrets, o.ImagePullSecrets = nil, nil
	case *corev1.Service:
		if o.Spec.Size() > mostServerBytes {
			o.Spec = corev1.ServiceSpec{}
		}
		o.Status = corev1.ServiceStatus{}
	case *policyv1.PodDisruptionBudget:
		if o.Spec.Size() > mostServerBytes {
			o.Spec = policyv1.PodDisruptionBudgetSpec{}
		}
		o.Status = policyv1.PodDisruptionBudgetStatus{}
	case *networkingv1.NetworkPolicy:
		if o.Spec.Size() > mostServerBytes {
			o.Spec = networkingv1.NetworkPolicySpec{}
		}
	}
}

// slimPod keeps of a pod by what it counts and where it is asked.
func slimPod(pod *corev1.Pod) {
	spec := corev1.PodSpec{NodeName: pod.Spec.NodeName}
	for _, c := range pod.Spec.Containers {
		if c.Name == resources.ServerContainer {
			spec.Containers = []corev1.Container{{Name: c.Name, Ports: serverPorts(c.Ports)}}
		}
	}
	status := corev1.PodStatus{PodIP: pod.Status.PodIP}
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady {
			status.Conditions = []corev1.PodCondition{{Type: c.Type, Status: c.Status}}
		}
	}
	for _, c := range pod.Status.ContainerStatuses {
		if c.Name == resources.ServerContainer && c.State.Running != nil {
			running := corev1.ContainerState{Running: c.State.Running}
			status.ContainerStatuses = []corev1.ContainerStatus{{Name: c.Name, State: running}}
		}
	}
	pod.Spec, pod.Status = spec, status
	pod.Annotations = nil
}

// serverPorts are the ports by the names that the operator asks for.
func serverPorts(ports []corev1.ContainerPort) (out []corev1.ContainerPort) {
	for _, name := range []string{resources.HTTPPortName, resources.MetricsPortName} {
		if i := slices.IndexFunc(ports, func(p corev1.ContainerPort) bool { return p.Name == name }); i >= 0 {
			out = append(out, ports[i])
		}
	}
	return out
}

// slimCertificate keeps of a Certificate's status whether it is ready, and until when it is valid.
func slimCertificate(c *cmv1.Certificate) cmv1.CertificateStatus {
	status := cmv1.CertificateStatus{NotAfter: c.Status.NotAfter}
	if ready := certificateCondition(c); ready.Type != "" {
		ready.Message = shorten(ready.Message, mostWordBytes)
		status.Conditions = []cmv1.CertificateCondition{ready}
	}
	return status
}

// encodedBytes is how long the JSON of a spec is.
func encodedBytes(spec any) int {
	data, err := json.Marshal(spec)
	if err != nil {
		return mostSpecBytes + 1
	}
	return len(data)
}
