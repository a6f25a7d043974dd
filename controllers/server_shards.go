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
	found := r.newShardReader(server.Namespace, publications)
	if err := r.refreshShards(ctx, server, state, found); err != nil {
		return 0, err
	}
	lost := slices.Contains(slices.Collect(maps.Values(state.shards)), nil)
	if wait := left(state.broughtBackAt, r.Timings.CoalesceMost, r.Clock.Now()); lost && wait > 0 {
		return wait, nil // somebody deletes them again and again: each time all publications are listed
	}
	if lost {
		live, err := r.witnessed(ctx, server.Namespace)
		if err != nil {
			return 0, err
		}
		publications, found.hosts = live, hostsWith(live)
	}
	p, err := r.plan(ctx, state, publications)
	if err != nil {
		return 0, err
	}
	r.instances.foundPlanted(ctx, server.Namespace, p.planted)
	state.needed = p.needed
	if err := p.dropKeys(ctx, state, found); err != nil {
		return 0, err
	}
	for n := range p.wanted {
		if !complete(state.shards[n], server.Shard(n, nil)) {
			p.changed[n] = true
		}
	}
	if state.dirty = len(p.changed) > 0; !state.dirty {
		state.done(&r.changedHosts)
		return 0, p.full(server.Namespace)
	}
	wait := state.wait(r.Clock.Now(), pending{len(p.changed), p.puts, p.newest}, &r.changedHosts, r.Timings)
	if wait > 0 && len(state.shards) > 0 { // without any, pods wait to start
		return wait, nil
	}
	var errs []error
	for _, n := range slices.Sorted(maps.Keys(p.changed)) {
		errs = append(errs, r.writeShard(ctx, state, found, server.Shard(n, p.wanted[n]), n))
		if state.shards == nil {
			break // somebody else wrote: everything is read and planned anew
		}
	}
	if err := errors.Join(errs...); err != nil {
		return 0, err
	}
	if lost {
		state.broughtBackAt = r.Clock.Now()
	}
	state.dirty, state.writtenAt, state.nudges = false, r.Clock.Now(), 0
	state.done(&r.changedHosts)
	return 0, p.full(server.Namespace)
}

// witnessed are the publications to plan by where a shard was deleted. Once its marker is back, servers drop the
// hosts that it lacks: it must come back with all of them, and absence from a cache is no evidence.
func (r *serverReconciler) witnessed(ctx context.Context, namespace string) ([]v1alpha1.MTASTSPublication, error) {
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

// newer says whether a, a version of the same object, was written after b.
func newer(a, b client.Object) bool {
	av, aerr := strconv.ParseUint(a.GetResourceVersion(), 10, 64)
	bv, berr := strconv.ParseUint(b.GetResourceVersion(), 10, 64)
	return aerr == nil && berr == nil && av > bv
}

// mayReplace is the fence of a shard's value: a greater id of ours is never replaced by a smaller one.
// If the live publication does not know it either, the domain controller is told to mint above it. One that
// cannot be ours is replaced, as soon as what senders may have been given under it is on record.
func (r *serverReconciler) mayReplace(ctx context.Context, p *shardPlan, pub *v1alpha1.MTASTSPublication, value string) (bool, error) {
	have, body, err := policyserver.DecodeEntry(value)
	if err != nil || have.Compare(mtasts.ID(pub.Spec.Current.ID)) <= 0 {
		return true, nil //nolint:nilerr // a value that is no entry may be replaced by one
	}
	if p.asked++; p.asked > mostQuestions {
		return false, nil // the next passes come to it: what the domain controller mints above these wakes them
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
	clock := r.laterClock()
	if !have.PlausibleAfter(mtasts.ID(live.Spec.LastID), clock) {
		p.planted[pub.Spec.Domain] = greater
		return greater.Replaceable(&live.Spec, clock), nil
	}
	r.instances.foundAhead(ctx, pub.Namespace, pub.Spec.Domain, greater)
	return false, nil
}

// dropKeys takes away the hosts that have no publication, each after the API server has said so.
func (p *shardPlan) dropKeys(ctx context.Context, state *serverState, s *shardReader) error {
	for _, n := range slices.Sorted(maps.Keys(p.wanted)) {
		entries := p.wanted[n]
		for _, host := range slices.Sorted(maps.Keys(entries)) {
			if s.hosts[host] {
				continue
			}
			there, err := s.published(ctx, host)
			if err != nil {
				return err
			}
			if there {
				continue
			}
			delete(entries, host)
			delete(state.homes, host)
			p.changed[n] = true
		}
	}
	return nil
}

// writeShard creates a shard, or updates the version it was planned from.
func (r *serverReconciler) writeShard(ctx context.Context, state *serverState, found *shardReader, desired *corev1.ConfigMap, n int) error {
	have := state.shards[n]
	if have == nil {
		err := r.client.Create(ctx, desired)
		if apierrors.IsAlreadyExists(err) {
			return r.adopt(ctx, state, found, desired, n)
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
func (r *serverReconciler) adopt(ctx context.Context, state *serverState, found *shardReader, desired *corev1.ConfigMap, n int) error {
	var live corev1.ConfigMap
	if err := r.live.Get(ctx, client.ObjectKeyFromObject(desired), &live); err != nil {
		return fmt.Errorf("reading shard %s/%s: %w", desired.Namespace, desired.Name, err)
	}
	if !isOurs(&live, "") {
		return &nameTakenError{kind: "ConfigMap", name: desired.Name}
	}
	kept, err := found.admit(ctx, &live, n)
	if err != nil {
		return err
	}
	state.know(n, kept)
	return errStaleCache
}
