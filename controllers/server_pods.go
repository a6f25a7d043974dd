package controllers

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/mta-sts-operator/mta-sts-operator/controllers/internal/resources"
)

// Bounds of the pods of a namespace (I11). Whoever may create pods there can make any number look like the server's.
// Those are not told apart: they are in the Service, so senders may meet them, and what they hold back are the ids of
// their own namespace.
const (
	// mostPods is how many are asked: more than twice a hundred replicas, the most that can be configured.
	mostPods = 256
	// podsPerPage is how many are listed at once.
	podsPerPage = 16
)

// serverPods are the pods of a namespace's server that count.
type serverPods struct {
	// pods are the oldest of them, mostPods at most; more is how many are beyond.
	pods []corev1.Pod
	more int
}

// listServers lists the server pods of a namespace, from the cache.
func listServers(ctx context.Context, cached client.Reader, namespace string) (serverPods, error) {
	var list corev1.PodList
	labels := client.MatchingLabels(resources.ServerSelector())
	err := cached.List(ctx, &list, client.InNamespace(namespace), labels, client.UnsafeDisableDeepCopy)
	if err != nil {
		return serverPods{}, fmt.Errorf("listing server pods in %s: %w", namespace, err)
	}
	var out serverPods
	out.add(list.Items)
	return out, nil
}

// listLive lists them as the API server has them, page by page: a pod may take more than a megabyte.
func (a *asker) listLive(ctx context.Context, live client.Reader, namespace string) (serverPods, error) {
	var out serverPods
	for token, first := "", true; first || token != ""; first = false {
		var err error
		if token, err = a.page(ctx, live, namespace, token, &out); err != nil {
			return serverPods{}, err
		}
		if out.more > 0 {
			break // who is beyond the bound does not have to be counted
		}
	}
	return out, nil
}

func (a *asker) page(
	ctx context.Context, live client.Reader, namespace, token string, into *serverPods,
) (next string, err error) {
	select {
	case a.pages <- struct{}{}:
		defer func() { <-a.pages }()
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
	var list corev1.PodList
	err = live.List(ctx, &list, client.InNamespace(namespace), client.MatchingLabels(resources.ServerSelector()),
		client.Limit(podsPerPage), client.Continue(token))
	if err != nil {
		return "", fmt.Errorf("listing server pods in %s: %w", namespace, err)
	}
	for i := range list.Items {
		slimPod(&list.Items[i])
	}
	into.add(list.Items)
	return list.Continue, nil
}

// add takes the pods that count. Of too many the oldest are asked: those of the server were there before.
func (s *serverPods) add(pods []corev1.Pod) {
	for i := range pods {
		if counts(&pods[i]) {
			s.pods = append(s.pods, pods[i])
		}
	}
	slices.SortStableFunc(s.pods, func(a, b corev1.Pod) int {
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
	})
	if beyond := len(s.pods) - mostPods; beyond > 0 {
		s.pods, s.more = slices.Clip(s.pods[:mostPods]), s.more+beyond
	}
}

// beyond names the pods that are not asked, as one.
func (s *serverPods) beyond() string {
	return fmt.Sprintf("(%d or more beside %d others)", s.more, mostPods)
}

// counts says whether a pod may answer senders, now or when its node comes back: it belongs to the
// server's Deployment, its container was last reported running, and it is not on its way out.
func counts(pod *corev1.Pod) bool {
	owner := metav1.GetControllerOf(pod)
	set := resources.ServerName + "-" + pod.Labels[appsv1.DefaultDeploymentUniqueLabelKey]
	if owner == nil || owner.Kind != "ReplicaSet" || owner.Name != set {
		return false
	}
	if !pod.DeletionTimestamp.IsZero() && !isReady(pod) {
		return false
	}
	for _, status := range pod.Status.ContainerStatuses {
		if status.Name == resources.ServerContainer {
			return status.State.Running != nil && pod.Status.PodIP != ""
		}
	}
	return false
}

// began is when the server's container began; zero if it does not run.
func began(pod *corev1.Pod) time.Time {
	for _, status := range pod.Status.ContainerStatuses {
		if status.Name == resources.ServerContainer && status.State.Running != nil {
			return status.State.Running.StartedAt.Time
		}
	}
	return time.Time{}
}

func isReady(pod *corev1.Pod) bool {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// address is where the pod's named port answers.
func address(pod *corev1.Pod, port string) string {
	for _, c := range pod.Spec.Containers {
		if c.Name != resources.ServerContainer {
			continue
		}
		for _, p := range c.Ports {
			if p.Name == port {
				return net.JoinHostPort(pod.Status.PodIP, strconv.Itoa(int(p.ContainerPort)))
			}
		}
	}
	return ""
}
