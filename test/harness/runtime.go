package harness

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// Names that the models share with the operator.
const (
	// ServerName names the Deployment that the Workload plays for, its Service,
	// and everything else of the policy server.
	ServerName = "mta-sts-server"
	// ContainerName names the container of the server in its pods.
	ContainerName = "server"
	// HTTPPort and MetricsPort name the container ports for senders and for the
	// operator.
	HTTPPort    = "http"
	MetricsPort = "metrics"
)

// PodAddress is the address of every pod.
const PodAddress = "127.0.0.1"

// Ports are a pod's container ports by name.
type Ports map[string]int32

// Runtime is what pods run on. Calls return at once.
type Runtime interface {
	// Reserve sets a container aside for a pod that will be created under this
	// name and returns its ports, HTTPPort and MetricsPort.
	Reserve(pod types.NamespacedName) (Ports, error)
	// Container returns what was set aside for a pod, nil if nothing was.
	Container(pod types.NamespacedName) Container
	// Release ends what runs in a container and gives its ports back.
	Release(pod types.NamespacedName)
}

// Container is one server and its volume.
type Container interface {
	// Mount puts these files, name to content, in the place of all files of the
	// volume, at once.
	Mount(files map[string]string, now time.Time) error
	// Start starts the process, which reads the volume.
	Start()
	// Ready asks the running process for its readiness.
	Ready(ctx context.Context) bool
	// Terminate asks the process to shut down in its own time.
	Terminate()
	// Kill ends the process and its connections now.
	Kill()
	// Exited tells whether no process is running.
	Exited() bool
	// Cut takes the container off the network, true, or puts it back: packets
	// get lost both ways, connections are neither answered nor refused.
	Cut(cut bool)
}
