package harness

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
)

const (
	// discoveryPeriod is the time between two looks for a missing CRD.
	discoveryPeriod = time.Second
	// stepTimeout bounds the step of one model when the API does not answer.
	stepTimeout = 10 * time.Second
)

// api is the harness' access to the API server.
type api struct {
	live   client.Client
	cached client.Client // reads from informers
	cache  cache.Cache
	mapper apimeta.RESTMapper
	ended  chan struct{}
	cancel context.CancelFunc
}

// connect starts informers for what every API server has. What they return is
// shared, so models copy before they change.
func connect(ctx context.Context, cfg *rest.Config, logger *slog.Logger) (*api, error) {
	cfg = rest.AddUserAgent(rest.CopyConfig(cfg), "mta-sts-harness")
	cfg.QPS = -1 // the models decide how fast the world is
	httpClient, err := rest.HTTPClientFor(cfg)
	if err != nil {
		return nil, fmt.Errorf("making an HTTP client: %w", err)
	}
	a := &api{ended: make(chan struct{})}
	if a.mapper, err = apiutil.NewDynamicRESTMapper(cfg, httpClient); err != nil {
		return nil, fmt.Errorf("making a REST mapper: %w", err)
	}
	scheme := newScheme()
	a.cache, err = cache.New(cfg, cache.Options{
		Scheme: scheme, Mapper: a.mapper, HTTPClient: httpClient,
		DefaultUnsafeDisableDeepCopy: new(true),
		ByObject: map[client.Object]cache.ByObject{
			&corev1.Secret{}: {Field: fields.OneTermEqualSelector("type", string(corev1.SecretTypeTLS))},
		},
	})
	if err != nil {
		return nil, fmt.Errorf("making a cache: %w", err)
	}
	if a.live, err = client.New(cfg, client.Options{Scheme: scheme, Mapper: a.mapper, HTTPClient: httpClient}); err != nil {
		return nil, fmt.Errorf("making a client: %w", err)
	}
	a.cached, err = client.New(cfg, client.Options{
		Scheme: scheme, Mapper: a.mapper, HTTPClient: httpClient, Cache: &client.CacheOptions{Reader: a.cache},
	})
	if err != nil {
		return nil, fmt.Errorf("making a cached client: %w", err)
	}
	a.run(ctx, httpClient, logger)
	return a, a.warmUp(ctx)
}

func (a *api) run(ctx context.Context, httpClient *http.Client, logger *slog.Logger) {
	ctx, a.cancel = context.WithCancel(ctx)
	go func() {
		defer close(a.ended)
		defer httpClient.CloseIdleConnections()
		if err := a.cache.Start(ctx); err != nil {
			logger.Error("the cache of the harness broke", "error", err)
		}
	}()
}

func (a *api) warmUp(ctx context.Context) error {
	for _, kind := range []client.Object{
		&appsv1.Deployment{}, &appsv1.ReplicaSet{}, &corev1.Pod{}, &corev1.ConfigMap{}, &corev1.Secret{},
		&corev1.Service{}, &networkingv1.Ingress{},
	} {
		if _, err := a.cache.GetInformer(ctx, kind); err != nil {
			a.cancel()
			return fmt.Errorf("watching %T: %w", kind, err)
		}
	}
	// An informer of a cache that has not started yet is returned at once.
	if !a.cache.WaitForCacheSync(ctx) {
		a.cancel()
		return fmt.Errorf("reading what the API holds: %w", context.Cause(ctx))
	}
	return nil
}

func (a *api) close() error {
	a.cancel()
	<-a.ended
	return nil
}

// driver steps all models, one after the other, in the order in which things
// follow each other in a cluster.
type driver struct {
	models []*driven
	logger *slog.Logger
	cancel context.CancelFunc
	ended  chan struct{}
}

// driven is a model and what it needs.
type driven struct {
	name     string
	step     func(context.Context) error
	api      *api
	kind     client.Object // of a CRD; nil if the model needs none
	served   bool
	lookedAt time.Time
	failure  string // the last one, so that each is logged once
}

func newDriver(ctx context.Context, o Options, models []*driven) *driver {
	ctx, cancel := context.WithCancel(ctx)
	d := &driver{logger: o.Logger, cancel: cancel, ended: make(chan struct{}), models: models}
	go d.run(ctx, o.StepPeriod)
	return d
}

func (d *driver) run(ctx context.Context, period time.Duration) {
	defer close(d.ended)
	ticker := time.NewTicker(period)
	defer ticker.Stop()
	for {
		for _, model := range d.models {
			model.run(ctx, d.logger)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

func (d *driver) close() error {
	d.cancel()
	<-d.ended
	return nil
}

func (m *driven) run(ctx context.Context, logger *slog.Logger) {
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	ready, err := m.ready(ctx)
	if ready {
		err = m.step(ctx)
	}
	failure := ""
	if err != nil && !errors.Is(err, context.Canceled) {
		failure = err.Error()
	}
	if failure != "" && failure != m.failure {
		logger.Warn("a model failed and tries again", "model", m.name, "error", failure)
	}
	m.failure = failure
}

// ready tells whether the API serves what the model works on and the informer
// has it. It waits for neither, because other models are next.
func (m *driven) ready(ctx context.Context) (bool, error) {
	if m.kind == nil || m.served {
		return true, nil
	}
	if time.Since(m.lookedAt) < discoveryPeriod {
		return false, nil
	}
	gvk, err := m.api.live.GroupVersionKindFor(m.kind)
	if err != nil {
		return false, fmt.Errorf("naming the kind: %w", err)
	}
	if _, err := m.api.mapper.RESTMapping(gvk.GroupKind(), gvk.Version); err != nil {
		m.lookedAt = time.Now()
		if apimeta.IsNoMatchError(err) {
			return false, nil
		}
		return false, fmt.Errorf("looking for %s: %w", gvk.Kind, err)
	}
	informer, err := m.api.cache.GetInformer(ctx, m.kind, cache.BlockUntilSynced(false))
	if err != nil {
		return false, fmt.Errorf("watching %s: %w", gvk.Kind, err)
	}
	m.served = informer.HasSynced()
	return m.served, nil
}
