package policyserver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/mta-sts-operator/mta-sts-operator/internal/policyserver/crowd"
	"github.com/mta-sts-operator/mta-sts-operator/internal/policyserver/wire"
)

// Options say what Run serves and where.
type Options struct {
	// Dir is the directory with the projected shards. It may appear later.
	Dir string

	// Listener is where senders are answered, through the Ingress. If nil, Run
	// listens on Addr. Run closes it in either case.
	Listener net.Listener
	Addr     string

	// AdminListener is where the operator and the kubelet are answered, see
	// NewAdminHandler. If nil, Run listens on AdminAddr. Run closes it in
	// either case.
	AdminListener net.Listener
	AdminAddr     string

	// RescanInterval is the longest time between two looks at Dir: 10 s if 0.
	RescanInterval time.Duration

	// DrainDelay is how long requests are still accepted after readiness was
	// withdrawn: 5 s if 0, none if negative. Load balancers go on sending
	// until they have heard of it.
	DrainDelay time.Duration

	// MemoryLimit is how many bytes the process may take, which decides how many
	// connections there may be: 128 MiB, the limit in the chart, if 0.
	MemoryLimit int64
	// Loaded, if not nil, is called after every load that changed what is served.
	Loaded func()

	// Logger receives changes and faults. If nil, they are discarded.
	Logger *slog.Logger

	// limits are the limits of both listeners: defaultLimits if zero.
	limits limits
}

const (
	defaultRescanInterval = 10 * time.Second
	defaultDrainDelay     = 5 * time.Second
	// shutdownTimeout is how long requests in flight may take to finish.
	shutdownTimeout = 20 * time.Second
)

func (o Options) withDefaults() Options {
	o.RescanInterval = cmp.Or(o.RescanInterval, defaultRescanInterval)
	o.DrainDelay = cmp.Or(o.DrainDelay, defaultDrainDelay)
	o.limits = cmp.Or(o.limits, defaultLimits())
	if o.Loaded == nil {
		o.Loaded = func() {}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// Run serves until ctx is done and then until it has shut down: readiness is
// withdrawn at once, requests are answered for another DrainDelay, and those
// then in flight have 20 s to finish. It returns nil after that, and an error if
// a listener cannot be opened, breaks, or does not shut down in time. It uses no
// global state, so many servers can run in one process.
func Run(ctx context.Context, o Options) error {
	o = o.withDefaults()
	public, admin, err := o.listen(ctx)
	if err != nil {
		return err
	}
	registry := prometheus.NewRegistry()
	store := NewStore(o.Logger, registry, nil)
	draining := new(atomic.Bool)
	ready := func() bool { return store.Ready() && !draining.Load() }
	rooms := roomsWithin(o.MemoryLimit)
	headerBytes := int64(o.limits.headerBytes + headerSlop)
	admin = &guarded{Listener: admin, crowd: crowd.New(rooms.admin), headerBytes: headerBytes}
	adminServer := newServer(NewAdminHandler(store, registry, ready), o.limits, o.Logger)

	// Reloading goes on to the end: a draining server is still asked, and must
	// not be the one that answers with something old. It starts before the
	// first request, so that no restart shows a moment of 404.
	var running sync.WaitGroup
	defer running.Wait()
	reloading, stopReloading := context.WithCancel(context.WithoutCancel(ctx))
	defer stopReloading()
	r := &reloader{dir: o.Dir, interval: o.RescanInterval, store: store, logger: o.Logger, loaded: o.Loaded}
	r.reload()
	running.Go(func() { r.run(reloading) })
	handler := newPublicHandler(store)
	general := crowd.New(rooms.general)
	public, err = wire.Listen(public, wireConfig(handler, draining, o.limits, crowd.New(rooms.usual), general))
	if err != nil {
		return errors.Join(fmt.Errorf("opening the public listener: %w", err), admin.Close())
	}
	public = &guarded{Listener: public, crowd: general, headerBytes: headerBytes}
	publicServer := newPublicServer(roomForStreams(general, closeWhile(draining, handler)), o.limits, o.Logger)

	failed := make(chan error, 2)
	running.Go(func() { serve(publicServer, public, failed) })
	running.Go(func() { serve(adminServer, admin, failed) })
	o.Logger.Info("serving policies", "dir", o.Dir, "address", public.Addr().String(), "adminAddress", admin.Addr().String())

	select {
	case err = <-failed:
	case <-ctx.Done():
		draining.Store(true)
		o.Logger.Info("shutting down", "drainDelay", o.DrainDelay)
		err = drain(failed, o.DrainDelay)
	}
	return errors.Join(err, shutdown(context.WithoutCancel(ctx), publicServer, adminServer))
}

// listen returns the two listeners, opening those that were not given.
func (o Options) listen(ctx context.Context) (public, admin net.Listener, err error) {
	public, err = listen(ctx, o.Listener, o.Addr)
	if err != nil {
		return nil, nil, fmt.Errorf("opening the public listener: %w", err)
	}
	admin, err = listen(ctx, o.AdminListener, o.AdminAddr)
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("opening the admin listener: %w", err), public.Close())
	}
	if err := errors.Join(boundBuffers(public, sendBuffer), boundBuffers(admin, adminSendBuffer)); err != nil {
		return nil, nil, errors.Join(err, public.Close(), admin.Close())
	}
	return public, admin, nil
}

func listen(ctx context.Context, given net.Listener, addr string) (net.Listener, error) {
	if given != nil {
		return given, nil
	}
	return new(net.ListenConfig).Listen(ctx, "tcp", addr)
}

// drain returns nil after d, or earlier with the error of a broken listener.
func drain(failed <-chan error, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case err := <-failed:
		return err
	case <-timer.C:
		return nil
	}
}
