package harness

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// ReasonNodeLost is the reason of the Ready condition of pods on a lost node.
const ReasonNodeLost = "NodeLost"

// markLost is the node controller's part. Nothing but Ready changes: the last
// that was heard of the container is that it runs.
func (k *Kubelet) markLost(ctx context.Context, pod *corev1.Pod) error {
	next := pod.DeepCopy()
	k.setPodCondition(next, corev1.PodReady, false, ReasonNodeLost)
	return k.patchStatus(ctx, pod, next)
}

func (k *Kubelet) writeStatus(ctx context.Context, pod *corev1.Pod, state *podState) error {
	next := pod.DeepCopy()
	running := state.started && !state.container.Exited()
	next.Status.Phase = corev1.PodPending
	if state.started {
		next.Status.Phase = corev1.PodRunning
		next.Status.PodIP = PodAddress
		next.Status.PodIPs = []corev1.PodIP{{IP: PodAddress}}
	}
	if next.Status.StartTime == nil {
		next.Status.StartTime = new(k.now())
	}
	next.Status.ContainerStatuses = []corev1.ContainerStatus{k.containerStatus(pod, state, running)}
	ready := running && state.ready
	reason := ""
	if !ready {
		reason = "ContainersNotReady"
	}
	k.setPodCondition(next, corev1.PodScheduled, true, "")
	k.setPodCondition(next, corev1.PodInitialized, true, "")
	k.setPodCondition(next, corev1.ContainersReady, ready, reason)
	k.setPodCondition(next, corev1.PodReady, ready, reason)
	return k.patchStatus(ctx, pod, next)
}

func (k *Kubelet) containerStatus(pod *corev1.Pod, state *podState, running bool) corev1.ContainerStatus {
	status := corev1.ContainerStatus{
		Name: ContainerName, Ready: running && state.ready, Started: new(running), RestartCount: state.restarts,
	}
	for _, c := range pod.Spec.Containers {
		if c.Name == ContainerName {
			status.Image, status.ImageID = c.Image, c.Image
		}
	}
	if len(pod.Status.ContainerStatuses) > 0 {
		status.LastTerminationState = pod.Status.ContainerStatuses[0].LastTerminationState
	}
	startedAt := metav1.NewTime(state.startedAt.Truncate(time.Second))
	switch {
	case running:
		status.State.Running = &corev1.ContainerStateRunning{StartedAt: startedAt}
	case !state.started:
		status.State.Waiting = &corev1.ContainerStateWaiting{Reason: "ContainerCreating"}
	default:
		status.State.Terminated = &corev1.ContainerStateTerminated{Reason: "Completed", StartedAt: startedAt, FinishedAt: k.now()}
		if pod.DeletionTimestamp == nil {
			status.State.Terminated.Reason, status.State.Terminated.ExitCode = "Error", 137
		}
		status.LastTerminationState = status.State
	}
	return status
}

func (k *Kubelet) setPodCondition(pod *corev1.Pod, conditionType corev1.PodConditionType, isTrue bool, reason string) {
	status := corev1.ConditionFalse
	if isTrue {
		status = corev1.ConditionTrue
	}
	c := podCondition(pod, conditionType)
	if c == nil {
		pod.Status.Conditions = append(pod.Status.Conditions, corev1.PodCondition{Type: conditionType, LastTransitionTime: k.now()})
		c = &pod.Status.Conditions[len(pod.Status.Conditions)-1]
	}
	if c.Status != status {
		c.LastTransitionTime = k.now()
	}
	c.Status, c.Reason = status, reason
}

func (k *Kubelet) patchStatus(ctx context.Context, pod, next *corev1.Pod) error {
	if equality.Semantic.DeepEqual(pod.Status, next.Status) {
		return nil
	}
	if err := k.client.Status().Patch(ctx, next, client.MergeFrom(pod)); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("writing its status: %w", err)
	}
	return nil
}

// now is the time as the API keeps it.
func (k *Kubelet) now() metav1.Time {
	return metav1.NewTime(k.clock.Now()).Rfc3339Copy()
}
