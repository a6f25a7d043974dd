package harness

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// endpoints returns the host:port of every ready pod behind a Service, sorted.
func (g *Ingress) endpoints(ctx context.Context, namespace string, backend *networkingv1.IngressServiceBackend) ([]string, error) {
	var service corev1.Service
	// A Service that does not exist is one without ports.
	err := g.client.Get(ctx, types.NamespacedName{Namespace: namespace, Name: backend.Name}, &service)
	if client.IgnoreNotFound(err) != nil {
		return nil, fmt.Errorf("reading Service %s: %w", backend.Name, err)
	}
	port := servicePort(&service, backend.Port)
	if port == nil || len(service.Spec.Selector) == 0 {
		return nil, nil
	}
	var pods corev1.PodList
	err = g.client.List(ctx, &pods, client.InNamespace(namespace),
		client.MatchingLabelsSelector{Selector: labels.SelectorFromSet(service.Spec.Selector)})
	if err != nil {
		return nil, fmt.Errorf("listing the pods of Service %s: %w", backend.Name, err)
	}
	var addresses []string
	for i := range pods.Items {
		pod := &pods.Items[i]
		number := podPort(pod, port)
		if podReady(pod) && number != 0 {
			addresses = append(addresses, net.JoinHostPort(pod.Status.PodIP, strconv.Itoa(int(number))))
		}
	}
	slices.Sort(addresses)
	return addresses, nil
}

// servicePort returns the port that an Ingress refers to, nil if there is none.
func servicePort(service *corev1.Service, wanted networkingv1.ServiceBackendPort) *corev1.ServicePort {
	for i := range service.Spec.Ports {
		port := &service.Spec.Ports[i]
		if (wanted.Name != "" && port.Name == wanted.Name) || (wanted.Name == "" && port.Port == wanted.Number) {
			return port
		}
	}
	return nil
}

// podPort returns the container port that a Service port leads to, 0 if there is
// none.
func podPort(pod *corev1.Pod, port *corev1.ServicePort) int32 {
	if port.TargetPort.Type == intstr.Int {
		return port.TargetPort.IntVal
	}
	for _, c := range pod.Spec.Containers {
		for _, p := range c.Ports {
			if p.Name == port.TargetPort.StrVal {
				return p.ContainerPort
			}
		}
	}
	return 0
}
