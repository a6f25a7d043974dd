package controllers

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/controllers/internal/publication"
	"github.com/mta-sts-operator/mta-sts-operator/controllers/internal/resources"
	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
	"github.com/mta-sts-operator/mta-sts-operator/internal/policyserver"
)

// renderShards brings the shards in step with the publications. It returns how long to wait if writes
// are being gathered, and leaves the newest known shards in state.
func (r *serverReconciler) renderShards(ctx context.Context, server resources.Server, state *serverState, publications []v1alpha1.MTASTSPublication) (time.Duration, error) {
	if err := r.refreshShards(ctx, server.Namespace, state); err != nil {
		return 0, err
	}
	publications, err := r.witnessed(ctx, server.Namespace, state, publications)
	if err != nil {
		return 0, err
	}
	p, err := r.plan(ctx, state, publications)
	if err != nil {
		return 0, err
	}
	if err := r.dropKeys(ctx, server.Namespace, state, p, publications); err != nil {
		return 0, err
	}
	for n := range p.wanted {
		if !complete(state.shards[n], server.Shard(n, nil)) {
			p.changed[n] = true
		}
	}
	if state.dirty = len(p.changed) > 0; !state.dirty {
		state.done(&r.changedHosts)
		return 0, nil
	}
	wait := state.wait(r.Clock.Now(), pending{len(p.changed), p.puts, p.newest}, &r.changedHosts, r.Timings)
	if wait > 0 && len(state.shards) > 0 { // without any, pods wait to start
		return wait, nil
	}
	var errs []error
	for _, n := range slices.Sorted(maps.Keys(p.changed)) {
		errs = append(errs, r.writeShard(ctx, state, server.Shard(n, p.wanted[n]), n))
		if state.shards == nil {
			break // somebody else wrote: everything is read and planned anew
		}
	}
	if err := errors.Join(errs...); err != nil {
		return 0, err
	}
	state.dirty, state.writtenAt, state.nudges = false, r.Clock.Now(), 0
	state.done(&r.changedHosts)
	return 0, nil
}

// witnessed are the publications to plan by. Once the marker of a shard that was deleted is back, servers drop
// the hosts that it lacks: it must come back with all of them, and absence from a cache is no evidence.
func (r *serverReconciler) witnessed(ctx context.Context, namespace string, state *serverState, cached []v1alpha1.MTASTSPublication) ([]v1alpha1.MTASTSPublication, error) {
	lost := false
	for _, shard := range state.shards {
		lost = lost || shard == nil
	}
	if !lost {
		return cached, nil
	}
	var live v1alpha1.MTASTSPublicationList
	if err := r.live.List(ctx, &live, client.InNamespace(namespace)); err != nil {
		return nil, fmt.Errorf("listing publications in %s: %w", namespace, err)
	}
	return live.Items, nil
}

// complete says whether a shard has, beside its hosts, all that an empty one has: marker, labels and
// owner. One deleted by hand is nil.
func complete(have, empty *corev1.ConfigMap) bool {
	return have != nil && maps.Equal(have.Labels, merged(have.Labels, empty.Labels)) &&
		maps.Equal(have.Data, merged(have.Data, empty.Data)) &&
		apiequality.Semantic.DeepEqual(have.OwnerReferences, empty.OwnerReferences)
}

// refreshShards takes the newest known version of every shard: of what the cache shows and what was
// written last. Before the first write in a namespace, and after one of which nobody knows what became of it,
// the API server is asked: a host or a shard that the cache lacks would otherwise get a twin.
func (r *serverReconciler) refreshShards(ctx context.Context, namespace string, state *serverState) error {
	reader := client.Reader(r.client)
	if state.shards == nil || state.doubtful {
		reader = r.live
	}
	var list corev1.ConfigMapList
	if err := reader.List(ctx, &list, client.InNamespace(namespace), client.MatchingLabels(resources.ServerLabels()), client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("listing shards in %s: %w", namespace, err)
	}
	state.doubtful = false
	fresh := map[int]*corev1.ConfigMap{}
	for i := range list.Items {
		shard := &list.Items[i]
		n, ok := resources.ShardIndex(shard.Name)
		if !ok || !shard.DeletionTimestamp.IsZero() {
			continue
		}
		if old := state.shards[n]; old != nil && newer(old, shard) {
			shard = old
		}
		fresh[n] = shard
	}
	// A shard that was written and is not in the cache yet is kept; one deleted by hand is remembered
	// as empty, so that its hosts go back to where they were.
	for n, old := range state.shards {
		if fresh[n] == nil && old != nil {
			fresh[n] = r.missing(ctx, old)
		}
	}
	for _, n := range state.homes {
		if fresh[n] == nil {
			fresh[n] = nil // it is wanted, and gone
		}
	}
	state.shards = map[int]*corev1.ConfigMap{}
	for n, shard := range fresh {
		state.know(n, shard)
	}
	return nil
}

// know takes the newest version of a shard, nil if it is gone, and remembers where hosts are.
func (s *serverState) know(n int, shard *corev1.ConfigMap) {
	s.shards[n] = shard
	if shard == nil {
		return
	}
	for host := range shard.Data {
		if !strings.HasPrefix(host, policyserver.MarkerPrefix) {
			s.homes[host] = n
		}
	}
}

// missing tells a shard that the cache does not show yet from one that is gone; nil means gone.
func (r *serverReconciler) missing(ctx context.Context, old *corev1.ConfigMap) *corev1.ConfigMap {
	var live corev1.ConfigMap
	if err := r.live.Get(ctx, client.ObjectKeyFromObject(old), &live); err != nil {
		if apierrors.IsNotFound(err) {
			return nil
		}
		return old
	}
	return &live
}

// newer says whether a, a version of the same object, was written after b.
func newer(a, b client.Object) bool {
	av, aerr := strconv.ParseUint(a.GetResourceVersion(), 10, 64)
	bv, berr := strconv.ParseUint(b.GetResourceVersion(), 10, 64)
	return aerr == nil && berr == nil && av > bv
}

// mayReplace is the fence of a shard's value: a greater id of ours is never replaced by a smaller one.
// If the live publication does not know it either, the domain controller is told to mint above it.
func (r *serverReconciler) mayReplace(ctx context.Context, pub *v1alpha1.MTASTSPublication, value string) (bool, error) {
	have, body, err := policyserver.DecodeEntry(value)
	if err != nil || have.Compare(mtasts.ID(pub.Spec.Current.ID)) <= 0 {
		return true, nil //nolint:nilerr // a value that is no entry may be replaced by one
	}
	var live v1alpha1.MTASTSPublication
	if err := r.live.Get(ctx, client.ObjectKeyFromObject(pub), &live); err != nil {
		return false, fmt.Errorf("reading publication %s: %w", pub.Name, err)
	}
	if live.Spec.Current != nil && have.Compare(mtasts.ID(live.Spec.Current.ID)) <= 0 {
		return false, errStaleCache
	}
	greater := publication.Greater{ID: have}
	if policy, err := mtasts.ParsePolicy([]byte(body)); err == nil {
		greater.Policy = &policy
	}
	r.instances.foundAhead(ctx, pub.Namespace, pub.Spec.Domain, greater)
	return false, nil
}

// dropKeys takes away the hosts that have no publication, each after the API server has said so.
func (r *serverReconciler) dropKeys(ctx context.Context, namespace string, state *serverState, p *shardPlan, publications []v1alpha1.MTASTSPublication) error {
	known := map[string]bool{}
	for i := range publications {
		known[mtasts.PolicyHost(publications[i].Spec.Domain)] = true
	}
	for _, n := range slices.Sorted(maps.Keys(p.wanted)) {
		entries := p.wanted[n]
		for _, host := range slices.Sorted(maps.Keys(entries)) {
			if known[host] {
				continue
			}
			domain := strings.TrimPrefix(host, "mta-sts.")
			err := r.live.Get(ctx, client.ObjectKey{Namespace: namespace, Name: domain}, &v1alpha1.MTASTSPublication{})
			if err == nil {
				continue
			}
			if !apierrors.IsNotFound(err) {
				return fmt.Errorf("reading publication %s: %w", domain, err)
			}
			delete(entries, host)
			delete(state.homes, host)
			p.changed[n] = true
		}
	}
	return nil
}

// writeShard creates a shard, or updates the version it was planned from.
func (r *serverReconciler) writeShard(ctx context.Context, state *serverState, desired *corev1.ConfigMap, n int) error {
	have := state.shards[n]
	if have == nil {
		err := r.client.Create(ctx, desired)
		if apierrors.IsAlreadyExists(err) {
			return r.adopt(ctx, state, desired, n)
		}
		if err != nil {
			state.doubtful = true
			return fmt.Errorf("creating shard %s/%s: %w", desired.Namespace, desired.Name, err)
		}
		state.know(n, desired)
		return nil
	}
	updated := have.DeepCopy()
	updated.Labels = merged(updated.Labels, desired.Labels)
	updated.OwnerReferences = desired.OwnerReferences
	updated.Data = desired.Data
	updated.BinaryData = nil
	if err := r.client.Update(ctx, updated); err != nil {
		if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
			state.shards = nil
			return errStaleCache
		}
		state.doubtful = true
		return fmt.Errorf("updating shard %s/%s: %w", desired.Namespace, desired.Name, err)
	}
	state.know(n, updated)
	return nil
}

// adopt takes up an existing shard that the lists did not show, because it lost its labels; the next
// pass writes them again. A ConfigMap of somebody else's is refused.
func (r *serverReconciler) adopt(ctx context.Context, state *serverState, desired *corev1.ConfigMap, n int) error {
	var live corev1.ConfigMap
	if err := r.live.Get(ctx, client.ObjectKeyFromObject(desired), &live); err != nil {
		return fmt.Errorf("reading shard %s/%s: %w", desired.Namespace, desired.Name, err)
	}
	if !isOurs(&live, "") {
		return &nameTakenError{kind: "ConfigMap", name: desired.Name}
	}
	state.know(n, &live)
	return errStaleCache
}
