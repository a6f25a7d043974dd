package controllers

import (
	"context"
	"maps"
	"sync"
	"time"

	cmv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
	externaldnsv1alpha1 "sigs.k8s.io/external-dns/apis/v1alpha1"
)

// Kinds of other projects: their CRDs may come after the operator.
var (
	certificates = cmv1.SchemeGroupVersion.WithKind(cmv1.CertificateKind)
	dnsEndpoints = externaldnsv1alpha1.GroupVersion.WithKind(externaldnsv1alpha1.DNSEndpointKind)
)

// optionalKinds watches kinds as soon as their CRDs are installed. It is a manager runnable.
type optionalKinds struct {
	mapper apimeta.RESTMapper
	every  time.Duration
	// watch starts the watch of a kind; appeared is called once after each.
	watch    func(ctx context.Context, o client.Object) error
	appeared func(ctx context.Context) error

	mu      sync.RWMutex
	watched map[schema.GroupVersionKind]bool
	// looked is closed after the first look.
	looked chan struct{}
}

// wait returns once the first look is over: no domain is judged by kinds that nobody has looked for.
func (k *optionalKinds) wait(ctx context.Context) error {
	select {
	case <-k.looked:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// installed says whether a kind is installed and watched.
func (k *optionalKinds) installed(kind schema.GroupVersionKind) bool {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.watched[kind]
}

// Start looks for missing kinds until all are watched or ctx ends.
func (k *optionalKinds) Start(ctx context.Context) error {
	missing := map[schema.GroupVersionKind]client.Object{
		certificates: &cmv1.Certificate{},
		dnsEndpoints: &externaldnsv1alpha1.DNSEndpoint{},
	}
	tick := time.NewTicker(k.every)
	defer tick.Stop()
	for first := true; ; first = false {
		k.look(ctx, missing)
		if first {
			close(k.looked)
		}
		if len(missing) == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// syncTimeout bounds the wait for the first list of a kind: tens of thousands of objects take their time, and
// until it is over no domain is judged.
const syncTimeout = time.Minute

// look watches the missing kinds that are installed by now. What fails is tried again with the next look.
func (k *optionalKinds) look(ctx context.Context, missing map[schema.GroupVersionKind]client.Object) {
	found := false
	for kind, object := range maps.Clone(missing) {
		_, err := k.mapper.RESTMapping(kind.GroupKind(), kind.Version)
		if apimeta.IsNoMatchError(err) {
			continue
		}
		if err == nil {
			limited, cancel := context.WithTimeout(ctx, syncTimeout)
			err = k.watch(limited, object)
			cancel()
		}
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			log.FromContext(ctx).Error(err, "watching a kind of another project", "kind", kind.String())
			continue
		}
		k.mu.Lock()
		k.watched[kind] = true
		k.mu.Unlock()
		delete(missing, kind)
		found = true
	}
	if !found {
		return
	}
	if err := k.appeared(ctx); err != nil {
		log.FromContext(ctx).Error(err, "waking the domains that waited for a kind")
	}
}
