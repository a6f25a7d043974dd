package controllers

import (
	"context"
	"fmt"
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
}

// installed says whether a kind is installed and watched.
func (k *optionalKinds) installed(kind schema.GroupVersionKind) bool {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.watched[kind]
}

// Start looks for missing kinds until all are watched or ctx ends. Domains wait for it, so that what
// is installed already is watched before the first decision.
func (k *optionalKinds) Start(ctx context.Context) error {
	missing := map[schema.GroupVersionKind]client.Object{
		certificates: &cmv1.Certificate{},
		dnsEndpoints: &externaldnsv1alpha1.DNSEndpoint{},
	}
	tick := time.NewTicker(k.every)
	defer tick.Stop()
	for {
		if err := k.look(ctx, missing); err != nil {
			return err
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

func (k *optionalKinds) look(ctx context.Context, missing map[schema.GroupVersionKind]client.Object) error {
	found := false
	for kind, object := range maps.Clone(missing) {
		if _, err := k.mapper.RESTMapping(kind.GroupKind(), kind.Version); err != nil {
			if !apimeta.IsNoMatchError(err) {
				log.FromContext(ctx).Error(err, "looking for a kind", "kind", kind.String())
			}
			continue
		}
		if err := k.watch(ctx, object); err != nil {
			return fmt.Errorf("watching %s: %w", kind, err)
		}
		k.mu.Lock()
		k.watched[kind] = true
		k.mu.Unlock()
		delete(missing, kind)
		found = true
	}
	if !found {
		return nil
	}
	return k.appeared(ctx)
}
