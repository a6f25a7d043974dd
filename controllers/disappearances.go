package controllers

import (
	"context"
	"fmt"
	"sync"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
)

// What makes a disappearance look like an accident: a fifth of all publications, and at least ten,
// without a policy at one time. Those that retire already do not count, nor do orphans: they stay
// without a policy for ever, and one day would hold every retirement.
const (
	massShare = 5
	massLeast = 10
)

// disappearances tells an accident (a CRD deleted, a folder in Git emptied) from policies that were
// deleted because nobody wants them any more. Switching off a fleet takes a word from somebody.
type disappearances struct {
	every time.Duration

	mu   sync.Mutex
	at   time.Time
	held bool
}

// enMasse counts the publications without a policy, anew if the last count is older than every.
func (d *disappearances) enMasse(ctx context.Context, cache client.Reader, now time.Time) (bool, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if age := now.Sub(d.at); !d.at.IsZero() && age >= 0 && age < d.every {
		return d.held, nil
	}
	var all v1alpha1.MTASTSPublicationList
	if err := cache.List(ctx, &all, client.UnsafeDisableDeepCopy); err != nil {
		return false, fmt.Errorf("counting publications: %w", err)
	}
	gone := 0
	for i := range all.Items {
		pub := &all.Items[i]
		if mayRetire(pub) && pub.Annotations[v1alpha1.ReleaseAnnotation] == "" {
			gone++
		}
	}
	d.at, d.held = now, gone >= massLeast && gone*massShare > len(all.Items)
	return d.held, nil
}

// mayRetire says whether a publication has lost its policy, and would retire if nothing held it.
func mayRetire(pub *v1alpha1.MTASTSPublication) bool {
	spec := &pub.Spec
	return spec.PolicyGoneAt != nil && spec.Retirement == nil && spec.DeletionPolicy != v1alpha1.DeletionOrphan
}
