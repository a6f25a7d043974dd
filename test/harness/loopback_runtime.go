package harness

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/mta-sts-operator/mta-sts-operator/internal/policyserver"
)

// probeTimeout is that of a readiness probe without one.
const probeTimeout = time.Second

// loopbackRuntime runs the real policy server, in this process, once for every
// pod, each on ports and a directory of its own.
type loopbackRuntime struct {
	ctx    context.Context //nolint:containedctx // the life of everything that runs
	dir    string
	server policyserver.Options // without directory and listeners, with a Logger
	probe  *http.Client

	mu         sync.Mutex
	containers map[types.NamespacedName]*loopbackContainer
	running    sync.WaitGroup
}

func newLoopbackRuntime(ctx context.Context, dir string, server policyserver.Options) *loopbackRuntime {
	return &loopbackRuntime{
		ctx: ctx, dir: dir, server: server,
		// Probes do not share connections: one that hangs must not hide that the
		// next would be turned away.
		probe:      &http.Client{Timeout: probeTimeout, Transport: &http.Transport{DisableKeepAlives: true}},
		containers: map[types.NamespacedName]*loopbackContainer{},
	}
}

// Reserve opens both ports, so that nobody else can take them.
func (r *loopbackRuntime) Reserve(pod types.NamespacedName) (Ports, error) {
	dir := filepath.Join(r.dir, pod.Namespace, pod.Name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("making the volume: %w", err)
	}
	public, err := openGate(r.ctx)
	if err != nil {
		return nil, err
	}
	admin, err := openGate(r.ctx)
	if err != nil {
		public.close()
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.containers[pod] = &loopbackContainer{runtime: r, volume: volume{dir: dir}, public: public, admin: admin}
	return Ports{HTTPPort: int32(public.port()), MetricsPort: int32(admin.port())}, nil
}

// Container returns the container of a pod.
func (r *loopbackRuntime) Container(pod types.NamespacedName) Container {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c := r.containers[pod]; c != nil {
		return c
	}
	return nil
}

// Release kills what runs and closes the ports.
func (r *loopbackRuntime) Release(pod types.NamespacedName) {
	r.mu.Lock()
	c := r.containers[pod]
	delete(r.containers, pod)
	r.mu.Unlock()
	if c != nil {
		c.Kill()
		c.public.close()
		c.admin.close()
		_ = os.RemoveAll(c.volume.dir)
	}
}

// close releases everything and waits for the processes.
func (r *loopbackRuntime) close() {
	r.mu.Lock()
	pods := slices.Collect(maps.Keys(r.containers))
	r.mu.Unlock()
	for _, pod := range pods {
		r.Release(pod)
	}
	r.running.Wait()
}

// loopbackContainer is one policy server.
type loopbackContainer struct {
	runtime       *loopbackRuntime
	volume        volume
	public, admin *gate

	mu        sync.Mutex
	terminate context.CancelFunc
	exited    chan struct{} // nil: never started
}

func (c *loopbackContainer) Mount(files map[string]string, now time.Time) error {
	return c.volume.replace(files, now)
}

func (c *loopbackContainer) Start() {
	ctx, terminate := context.WithCancel(c.runtime.ctx)
	exited := make(chan struct{})
	c.mu.Lock()
	c.terminate, c.exited = terminate, exited
	c.mu.Unlock()

	options := c.runtime.server
	options.Dir = c.volume.dir
	options.Listener, options.AdminListener = c.public.attach(), c.admin.attach()
	c.runtime.running.Go(func() {
		defer close(exited)
		// A killed process loses its listeners, which it reports like any other
		// loss of them.
		if err := policyserver.Run(ctx, options); err != nil && ctx.Err() == nil {
			options.Logger.Debug("policy server ended", "dir", options.Dir, "error", err)
		}
	})
}

func (c *loopbackContainer) Ready(ctx context.Context) bool {
	url := fmt.Sprintf("http://%s:%d/readyz", PodAddress, c.admin.port())
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return false
	}
	response, err := c.runtime.probe.Do(request)
	if err != nil {
		return false
	}
	_, err = io.Copy(io.Discard, response.Body)
	return errors.Join(err, response.Body.Close()) == nil && response.StatusCode == http.StatusOK
}

func (c *loopbackContainer) Terminate() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.terminate != nil {
		c.terminate()
	}
}

// Kill takes listeners and connections away before it tells the process, which
// would say good-bye to its clients.
func (c *loopbackContainer) Kill() {
	c.public.drop()
	c.admin.drop()
	c.mu.Lock()
	terminate, exited := c.terminate, c.exited
	c.mu.Unlock()
	if exited != nil {
		terminate()
		<-exited
	}
}

func (c *loopbackContainer) Exited() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.exited == nil {
		return true
	}
	select {
	case <-c.exited:
		return true
	default:
		return false
	}
}

func (c *loopbackContainer) Cut(cut bool) {
	c.public.setCut(cut)
	c.admin.setCut(cut)
}
