package controllers

import (
	"context"
	"fmt"
	"sync"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/controllers/internal/publication"
)

// What makes a disappearance look like an accident: of the policies of one namespace more than a fifth, and at
// least ten, missed at one time. Or, over several namespaces: more than a fifth of them lost more than a fifth of
// theirs, at least ten together. That has to be so without any one of them: whatever a tenant does with policies
// of his own, he alone never holds what others retire.
const (
	massShare = 5
	massLeast = 10
	// massPlaces is how many namespaces are several, beside the one that is left out.
	massPlaces = 2
)

// disappearances tells an accident (a CRD deleted, a folder in Git emptied) from policies that were
// deleted because nobody wants them any more. Switching off a fleet takes a word from somebody.
type disappearances struct {
	every time.Duration

	mu sync.Mutex
	at time.Time
	// places are the namespaces that have lost policies, as counted last.
	places map[string]*place
	spread bool
}

// place counts the publications of one namespace that senders may know and that retire only if their policy goes.
type place struct {
	all, gone int
	newest    time.Time
}

// hit says whether the namespace lost more than a fifth of its policies.
func (p *place) hit() bool { return p.gone*massShare > p.all }

// held says whether what a namespace misses looks like an accident; nil if it does not. It counts anew if the last
// count is older than every.
func (d *disappearances) held(
	ctx context.Context, cache client.Reader, namespace string, now time.Time,
) (*publication.Held, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if age := now.Sub(d.at); d.at.IsZero() || age < 0 || age >= d.every {
		if err := d.count(ctx, cache); err != nil {
			return nil, err
		}
		d.at = now
	}
	p := d.places[namespace]
	if p == nil || (!d.spread && (p.gone < massLeast || !p.hit())) {
		return nil, nil //nolint:nilnil // nothing looks like an accident
	}
	return &publication.Held{Newest: p.newest}, nil
}

// count keeps only namespaces that have lost something: what is remembered ends with it.
func (d *disappearances) count(ctx context.Context, cache client.Reader) error {
	var list v1alpha1.MTASTSPublicationList
	if err := cache.List(ctx, &list, client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("counting publications: %w", err)
	}
	all := map[string]*place{}
	for i := range list.Items {
		pub := &list.Items[i]
		if !mayRetire(pub) {
			continue
		}
		p := all[pub.Namespace]
		if p == nil {
			p = &place{}
			all[pub.Namespace] = p
		}
		p.all++
		gone, word := pub.Spec.PolicyGoneAt, pub.Annotations[v1alpha1.ReleaseAnnotation]
		if gone == nil || publication.Released(gone.Time, word) {
			continue
		}
		p.gone++
		if gone.After(p.newest) {
			p.newest = gone.Time
		}
	}
	d.spread = spreadOver(all)
	d.places = map[string]*place{}
	for namespace, p := range all {
		if p.gone > 0 {
			d.places[namespace] = p
		}
	}
	return nil
}

// spreadOver says whether several namespaces were hit at one time, even without the one that lost the most.
func spreadOver(all map[string]*place) bool {
	places, gone, most := 0, 0, 0
	for _, p := range all {
		if p.hit() {
			places++
			gone += p.gone
			most = max(most, p.gone)
		}
	}
	return places-1 >= massPlaces && gone-most >= massLeast && (places-1)*massShare > len(all)-1
}

// mayRetire says whether senders may know the publication, and it would retire without its policy if nothing held
// it. What was never announced nobody holds; what retires already was meant to, or was said to be; an orphan stays
// without a policy for ever.
func mayRetire(pub *v1alpha1.MTASTSPublication) bool {
	spec := &pub.Spec
	orphaned := spec.PolicyGoneAt != nil && spec.DeletionPolicy == v1alpha1.DeletionOrphan
	return spec.AnnouncedID != "" && spec.Retirement == nil && !orphaned
}
