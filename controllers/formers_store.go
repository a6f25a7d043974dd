package controllers

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
)

// formersName is the ConfigMap, beside the operator, in which it outlives a leader who published what last.
const formersName = "mta-sts-operator-removed"

const (
	// formersEvery is the least time between two writes: namespaces go with thousands of domains at once.
	formersEvery = time.Second
	// formersRetry is how soon what could not be saved is tried again.
	formersRetry = 10 * time.Second
)

// formersStore keeps the formers in a ConfigMap of the operator's own namespace. Losing it is no breach: while
// DNS shows an id, that speaks for whoever published.
type formersStore struct {
	*formers

	client    client.Client
	live      client.Reader
	clock     clock.PassiveClock
	namespace string

	mu     sync.Mutex
	loaded bool
}

// load reads, once, what was saved: no domain is judged before.
func (f *formersStore) load(ctx context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.loaded || f.namespace == "" {
		return nil
	}
	var saved corev1.ConfigMap
	err := f.live.Get(ctx, f.key(), &saved)
	switch {
	case apierrors.IsForbidden(err):
		log.FromContext(ctx).Error(err, "reading which namespace published what: the operator goes without, and waits for DNS instead")
	case client.IgnoreNotFound(err) != nil:
		return fmt.Errorf("reading which namespace published what: %w", err)
	}
	f.read(saved.Data, f.clock.Now())
	f.loaded = true
	return nil
}

func (f *formersStore) key() client.ObjectKey {
	return client.ObjectKey{Namespace: f.namespace, Name: formersName}
}

// Start saves what has changed, until the operator ends. It implements [manager.Runnable].
func (f *formersStore) Start(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-f.changed:
		}
		wait := formersEvery
		if err := f.save(ctx); err != nil && ctx.Err() == nil {
			log.FromContext(ctx).Error(err, "saving which namespace published what")
			f.change()
			wait = formersRetry
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
	}
}

// save writes the ConfigMap if it differs, once what it held before was read.
func (f *formersStore) save(ctx context.Context) error {
	if err := f.load(ctx); err != nil {
		return err
	}
	data := f.data(f.clock.Now())
	var saved corev1.ConfigMap
	err := f.live.Get(ctx, f.key(), &saved)
	switch {
	case apierrors.IsNotFound(err):
		if len(data) == 0 {
			return nil
		}
		return f.client.Create(ctx, &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{
				Namespace: f.namespace, Name: formersName,
				Labels: map[string]string{"app.kubernetes.io/name": v1alpha1.ManagedBy, "app.kubernetes.io/component": "memory"},
			},
			Data: data,
		})
	case err != nil:
		return err
	case maps.Equal(saved.Data, data):
		return nil
	}
	saved.Data = data
	return f.client.Update(ctx, &saved)
}
