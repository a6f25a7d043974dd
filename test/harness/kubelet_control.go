package harness

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// errNoSuchPod says that no kubelet runs a pod, or not yet.
var errNoSuchPod = errors.New("no kubelet has this pod")

// PauseMounts stops readings and changes of a pod's volume, one that was read
// already included.
func (k *Kubelet) PauseMounts(pod types.NamespacedName) error {
	return k.with(pod, func(state *podState) { state.paused = true })
}

// ResumeMounts ends PauseMounts; what was read before is applied first, then the
// volume is read at once.
func (k *Kubelet) ResumeMounts(pod types.NamespacedName) error {
	return k.with(pod, func(state *podState) { state.paused, state.resync = false, true })
}

// SetSyncPeriod changes the time between two readings of a pod's volume.
func (k *Kubelet) SetSyncPeriod(pod types.NamespacedName, period time.Duration) error {
	return k.with(pod, func(state *podState) { state.timing.SyncPeriod = period })
}

// SetApplyLag changes the time from a reading of a pod's volume until its files
// change, also for what was read already.
func (k *Kubelet) SetApplyLag(pod types.NamespacedName, lag time.Duration) error {
	return k.with(pod, func(state *podState) { state.timing.ApplyLag = lag })
}

// HoldApply reads a pod's volume now, from the live API, and keeps what it read
// until release is called. Until then the pod goes on with what it has; after it
// the held reading is applied, however old it is, and the volume is read again.
func (k *Kubelet) HoldApply(ctx context.Context, pod types.NamespacedName) (release func(), err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	state := k.pods[pod]
	if state == nil {
		return nil, fmt.Errorf("holding the volume of %s: %w", pod, errNoSuchPod)
	}
	var object corev1.Pod
	if err := k.live.Get(ctx, pod, &object); err != nil {
		return nil, fmt.Errorf("holding the volume of %s: %w", pod, err)
	}
	if err := k.readVolume(ctx, k.live, &object, state); err != nil {
		return nil, fmt.Errorf("holding the volume of %s: %w", pod, err)
	}
	state.held = true
	return func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		state.held, state.resync = false, true
	}, nil
}

// Mounted returns a copy of the files in a pod's volume, nil before the first.
func (k *Kubelet) Mounted(pod types.NamespacedName) (map[string]string, error) {
	var files map[string]string
	err := k.with(pod, func(state *podState) { files = maps.Clone(state.mounted) })
	return files, err
}

// CrashServer kills the process of a pod. It starts again a step later and reads
// the volume as it is then.
func (k *Kubelet) CrashServer(pod types.NamespacedName) error {
	return k.with(pod, func(state *podState) { state.crash = true })
}

// LoseNode cuts a node off: its pods neither answer nor refuse, its kubelet does
// nothing, and its pods are marked unready in the next step.
func (k *Kubelet) LoseNode(ctx context.Context, node string) error {
	return k.cut(ctx, node, true)
}

// ReturnNode ends LoseNode. The same processes are reachable again, with the
// volumes they had; those are refreshed when their kubelet next reads them.
func (k *Kubelet) ReturnNode(ctx context.Context, node string) error {
	return k.cut(ctx, node, false)
}

func (k *Kubelet) cut(ctx context.Context, node string, cut bool) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.nodes.exists(node) {
		return fmt.Errorf("there is no node %s", node)
	}
	pods, err := k.podsOn(ctx, node)
	if err != nil {
		return err
	}
	for i := range pods {
		if state := k.pods[client.ObjectKeyFromObject(&pods[i])]; state != nil {
			state.container.Cut(cut)
		}
	}
	k.nodes.setLost(node, cut)
	return nil
}

// EvictPods deletes the pods of a node, as the taint of a lost node does after
// some minutes. On a lost node they stay, marked for deletion, until it returns.
func (k *Kubelet) EvictPods(ctx context.Context, node string) error {
	pods, err := k.podsOn(ctx, node)
	if err != nil {
		return err
	}
	var errs []error
	for i := range pods {
		if err := k.client.Delete(ctx, &pods[i]); client.IgnoreNotFound(err) != nil {
			errs = append(errs, fmt.Errorf("evicting pod %s: %w", pods[i].Name, err))
		}
	}
	return errors.Join(errs...)
}

func (k *Kubelet) podsOn(ctx context.Context, node string) ([]corev1.Pod, error) {
	var pods corev1.PodList
	if err := k.live.List(ctx, &pods); err != nil {
		return nil, fmt.Errorf("listing the pods of %s: %w", node, err)
	}
	var found []corev1.Pod
	for _, pod := range pods.Items {
		if pod.Spec.NodeName == node {
			found = append(found, pod)
		}
	}
	return found, nil
}

func (k *Kubelet) with(pod types.NamespacedName, change func(*podState)) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	state := k.pods[pod]
	if state == nil {
		return fmt.Errorf("%s: %w", pod, errNoSuchPod)
	}
	change(state)
	return nil
}
