package harness

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Kubelet plays the kubelets of all nodes, and the node controller that marks the
// pods of a lost node. A volume is read and later, in a step of its own, what was
// read is put in place; in between the API may have moved on, and back.
type Kubelet struct {
	client  client.Client
	live    client.Reader
	clock   clock.PassiveClock
	nodes   *Nodes
	runtime Runtime
	timing  KubeletTiming

	mu   sync.Mutex
	pods map[types.NamespacedName]*podState
}

// KubeletTiming says how fast kubelets are.
type KubeletTiming struct {
	// SyncPeriod is the time between two readings of a pod's volume.
	SyncPeriod time.Duration
	// ApplyLag is the time from a reading until the files change.
	ApplyLag time.Duration
	// ProbePeriod is the time between two readiness probes.
	ProbePeriod time.Duration
}

// podState is what a kubelet knows about one pod beside the API object.
type podState struct {
	uid       types.UID
	container Container
	timing    KubeletTiming

	started   bool
	startedAt time.Time
	restarts  int32
	crash     bool // kill the process in the next step
	ready     bool
	probedAt  time.Time

	paused      bool
	held        bool // do not apply what was read
	read        *reading
	mounted     map[string]string
	syncedAt    time.Time
	resync      bool // read at the next opportunity
	annotations map[string]string
}

// reading is the content of a volume that was read and is not applied yet.
type reading struct {
	files map[string]string
	at    time.Time
}

// NewKubelet returns a Kubelet. The client may lag behind; live must not.
func NewKubelet(c client.Client, live client.Reader, clk clock.PassiveClock, nodes *Nodes, runtime Runtime, timing KubeletTiming) *Kubelet {
	return &Kubelet{
		client: c, live: live, clock: clk, nodes: nodes, runtime: runtime, timing: timing,
		pods: map[types.NamespacedName]*podState{},
	}
}

// Step makes the progress that is due for every pod on a node.
func (k *Kubelet) Step(ctx context.Context) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	var pods corev1.PodList
	if err := k.client.List(ctx, &pods); err != nil {
		return fmt.Errorf("listing pods: %w", err)
	}
	slices.SortFunc(pods.Items, byKey)
	var errs []error
	shown := map[types.NamespacedName]bool{}
	for i := range pods.Items {
		pod := &pods.Items[i]
		if !k.nodes.exists(pod.Spec.NodeName) {
			continue
		}
		key := client.ObjectKeyFromObject(pod)
		shown[key] = true
		if err := k.stepPod(ctx, key, pod); err != nil {
			errs = append(errs, fmt.Errorf("pod %s: %w", key, err))
		}
	}
	for key := range k.pods {
		if !shown[key] {
			k.forget(key)
		}
	}
	return errors.Join(errs...)
}

// forget ends what is left of a pod whose object is gone.
func (k *Kubelet) forget(key types.NamespacedName) {
	k.runtime.Release(key)
	delete(k.pods, key)
}

func (k *Kubelet) stepPod(ctx context.Context, key types.NamespacedName, pod *corev1.Pod) error {
	state := k.pods[key]
	if state != nil && state.uid != pod.UID {
		k.forget(key)
		state = nil
	}
	if k.nodes.isLost(pod.Spec.NodeName) {
		return k.markLost(ctx, pod)
	}
	if state == nil {
		container := k.runtime.Container(key)
		if container == nil {
			// Left behind by an earlier run of the harness, like a pod of a
			// machine that was switched off for good.
			return k.remove(ctx, pod)
		}
		state = &podState{uid: pod.UID, container: container, timing: k.timing}
		k.pods[key] = state
	}
	if pod.DeletionTimestamp != nil {
		return k.stepTerminating(ctx, pod, state)
	}
	if err := k.stepVolume(ctx, pod, state); err != nil {
		return err
	}
	k.stepProcess(ctx, pod, state)
	return k.writeStatus(ctx, pod, state)
}

// stepProcess starts the process once the volume is there, restarts it when it
// has ended, and probes it.
func (k *Kubelet) stepProcess(ctx context.Context, pod *corev1.Pod, state *podState) {
	now := k.clock.Now()
	switch {
	case state.mounted == nil:
		return
	case !state.started:
		state.container.Start()
		state.started, state.startedAt = true, now
	case state.crash:
		// The end is visible for at least one step.
		state.container.Kill()
		state.crash, state.ready = false, false
		return
	case state.container.Exited():
		state.container.Start()
		state.startedAt = now
		state.restarts++
	}
	k.probe(ctx, pod, state)
}

func (k *Kubelet) probe(ctx context.Context, _ *corev1.Pod, state *podState) {
	now := k.clock.Now()
	if now.Sub(state.probedAt) < state.timing.ProbePeriod {
		return
	}
	state.probedAt = now
	state.ready = state.container.Ready(ctx)
}

// stepTerminating lets the process shut down, which shows in its readiness, and
// removes the pod when it has, or when its time is over.
func (k *Kubelet) stepTerminating(ctx context.Context, pod *corev1.Pod, state *podState) error {
	state.container.Terminate()
	if k.clock.Now().After(pod.DeletionTimestamp.Time) {
		state.container.Kill()
	}
	if !state.container.Exited() {
		k.probe(ctx, pod, state)
		return k.writeStatus(ctx, pod, state)
	}
	state.ready = false
	if err := k.writeStatus(ctx, pod, state); err != nil {
		return err
	}
	return k.remove(ctx, pod)
}

// remove takes the object out of the API, as the kubelet of a finished pod does.
func (k *Kubelet) remove(ctx context.Context, pod *corev1.Pod) error {
	err := k.client.Delete(ctx, pod.DeepCopy(), client.GracePeriodSeconds(0), client.Preconditions{UID: &pod.UID})
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("removing it: %w", err)
	}
	return nil
}
