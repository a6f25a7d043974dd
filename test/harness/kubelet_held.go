package harness

import (
	"fmt"

	"k8s.io/apimachinery/pkg/types"
)

// ApplyHeld applies now what HoldApply has read, and goes on holding what is read
// after it until the release of HoldApply is called.
func (k *Kubelet) ApplyHeld(pod types.NamespacedName) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	state := k.pods[pod]
	if state == nil || !state.held || state.read == nil {
		return fmt.Errorf("applying the held volume of %s: %w", pod, errNoSuchPod)
	}
	if err := state.container.Mount(state.read.files, k.clock.Now()); err != nil {
		return fmt.Errorf("applying the held volume of %s: %w", pod, err)
	}
	state.mounted, state.read = state.read.files, nil
	return nil
}
