package harness

import (
	"context"
	"errors"
	"fmt"
	"maps"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// stepVolume applies what was read ApplyLag ago, or reads again when the sync
// period is over or an annotation of the pod has changed. While a reading waits
// there is no other: a kubelet works on a pod in sequence.
func (k *Kubelet) stepVolume(ctx context.Context, pod *corev1.Pod, state *podState) error {
	if state.annotations == nil || !maps.Equal(state.annotations, pod.Annotations) {
		state.resync = true
		state.annotations = maps.Clone(pod.Annotations)
		if state.annotations == nil {
			state.annotations = map[string]string{}
		}
	}
	if state.paused {
		return nil
	}
	if state.read != nil {
		return k.applyWhenDue(state)
	}
	if !state.resync && state.mounted != nil && k.clock.Since(state.syncedAt) < state.timing.SyncPeriod {
		return nil
	}
	if err := k.readVolume(ctx, k.client, pod, state); err != nil {
		return err
	}
	return k.applyWhenDue(state)
}

// readVolume remembers what the volume should hold now.
func (k *Kubelet) readVolume(ctx context.Context, from client.Reader, pod *corev1.Pod, state *podState) error {
	state.syncedAt, state.resync = k.clock.Now(), false
	files, err := readProjected(ctx, from, pod)
	if err != nil {
		return fmt.Errorf("reading its volume: %w", err)
	}
	state.read = &reading{files: files, at: k.clock.Now()}
	return nil
}

// applyWhenDue puts a reading in place. The first one is, because no container
// starts without its volume.
func (k *Kubelet) applyWhenDue(state *podState) error {
	if state.held || (state.mounted != nil && k.clock.Since(state.read.at) < state.timing.ApplyLag) {
		return nil
	}
	files := state.read.files
	if state.mounted == nil || !maps.Equal(state.mounted, files) {
		if err := state.container.Mount(files, k.clock.Now()); err != nil {
			return fmt.Errorf("updating its volume: %w", err)
		}
		state.mounted = files
	}
	state.read = nil
	return nil
}

// readProjected returns the files of the projected volume that the server's
// container mounts. Sources other than ConfigMaps are left out.
func readProjected(ctx context.Context, from client.Reader, pod *corev1.Pod) (map[string]string, error) {
	files := map[string]string{}
	for _, source := range configMapSources(pod) {
		var object corev1.ConfigMap
		err := from.Get(ctx, types.NamespacedName{Namespace: pod.Namespace, Name: source.Name}, &object)
		optional := source.Optional != nil && *source.Optional
		switch {
		case optional && client.IgnoreNotFound(err) == nil && err != nil:
			continue
		case err != nil:
			return nil, fmt.Errorf("source %s: %w", source.Name, err)
		}
		if err := project(files, &object, source.Items, optional); err != nil {
			return nil, fmt.Errorf("source %s: %w", source.Name, err)
		}
	}
	return files, nil
}

func configMapSources(pod *corev1.Pod) []*corev1.ConfigMapProjection {
	mounts := map[string]bool{}
	for _, c := range pod.Spec.Containers {
		for _, m := range c.VolumeMounts {
			mounts[m.Name] = mounts[m.Name] || c.Name == ContainerName
		}
	}
	var sources []*corev1.ConfigMapProjection
	for _, volume := range pod.Spec.Volumes {
		if volume.Projected == nil || !mounts[volume.Name] {
			continue
		}
		for i := range volume.Projected.Sources {
			if source := volume.Projected.Sources[i].ConfigMap; source != nil {
				sources = append(sources, source)
			}
		}
	}
	return sources
}

func project(files map[string]string, object *corev1.ConfigMap, items []corev1.KeyToPath, optional bool) error {
	if len(items) == 0 {
		maps.Copy(files, object.Data)
		for key, value := range object.BinaryData {
			files[key] = string(value)
		}
		return nil
	}
	for _, item := range items {
		value, ok := object.Data[item.Key]
		switch {
		case ok:
			files[item.Path] = value
		case !optional:
			return errors.New("it has no key " + item.Key)
		}
	}
	return nil
}
