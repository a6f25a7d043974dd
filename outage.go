package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/cache"
)

// retryPause is the time between two attempts to reach an API server that is down, and up to as much again.
const retryPause = time.Second

// awaitAPIServer returns once the API server is ready. A manager cannot be made without it, and a pod that
// ends each time until there is one would be restarted later and later: minutes after the outage. Meanwhile
// the probes get their answers: alive, not ready.
func awaitAPIServer(ctx context.Context, cfg *rest.Config, probeAddress string, log logr.Logger) error {
	client, err := discovery.NewDiscoveryClientForConfig(cfg)
	if err != nil {
		return fmt.Errorf("preparing to ask the API server: %w", err)
	}
	ready := func() error {
		err := client.RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
		if apierrors.IsForbidden(err) {
			return nil // hardened clusters let nobody ask; but somebody answered
		}
		return err
	}
	if err = ready(); err == nil || !isOutage(err) {
		return err
	}
	stop, err := answerProbes(ctx, probeAddress)
	if err != nil {
		return err
	}
	defer stop()
	for {
		err := ready()
		if err == nil || !isOutage(err) {
			return err
		}
		log.Info("waiting for the API server", "reason", err.Error())
		if err := pause(ctx, retryPause); err != nil {
			return err
		}
	}
}

// isOutage says whether waiting may help, other than with wrong certificates or credentials.
func isOutage(err error) bool {
	if status, ok := errors.AsType[*apierrors.StatusError](err); ok {
		return status.ErrStatus.Code >= http.StatusInternalServerError
	}
	timeout, ok := errors.AsType[net.Error](err)
	return isUnreachable(err) || errors.Is(err, syscall.ECONNRESET) || (ok && timeout.Timeout())
}

// isUnreachable says whether no connection came about, so that nothing was asked.
func isUnreachable(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Op == "dial"
}

// answerProbes answers at the probes' address until stop is called; "" and "0" mean that nobody asks.
func answerProbes(ctx context.Context, address string) (stop func(), err error) {
	if address == "" || address == "0" {
		return func() {}, nil
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listening for probes: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/healthz", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("/readyz", func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "waiting for the API server", http.StatusServiceUnavailable)
	})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = server.Serve(listener) }() // ends when it is closed
	return func() { _ = server.Close() }, nil
}

// pause waits for d and up to as much again, so that not everybody comes back at once.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d + rand.N(d)): //nolint:gosec // not a secret
		return nil
	}
}

// newPatientCache makes a cache that goes on as soon as the API server is back. Left alone, each of its
// watches waits up to a minute longer after an outage of a minute, and an edit is not seen until then.
func newPatientCache(cfg *rest.Config, opts cache.Options) (cache.Cache, error) {
	cfg = rest.CopyConfig(cfg)
	cfg.Wrap(func(next http.RoundTripper) http.RoundTripper { return patientTransport{next: next, pause: retryPause} })
	client, err := rest.HTTPClientFor(cfg)
	if err != nil {
		return nil, fmt.Errorf("making the cache's client: %w", err)
	}
	opts.HTTPClient = client
	return cache.New(cfg, opts)
}

// patientTransport tries a read again until there is somebody to connect to, or nobody wants it any more.
type patientTransport struct {
	next  http.RoundTripper
	pause time.Duration
}

func (t patientTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	for {
		answer, err := t.next.RoundTrip(r)
		if err == nil || r.Method != http.MethodGet || !isUnreachable(err) {
			return answer, err
		}
		if pause(r.Context(), t.pause) != nil {
			return nil, err
		}
	}
}
