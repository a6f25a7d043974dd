package controllers

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/controllers/internal/resources"
)

// refreshShards takes the newest known version of every shard: what was written last, and what the API server has
// where the cache, which holds no contents, shows another version. Before the first write in a namespace, and after
// one of which nobody knows what became of it, all are listed: a host or a shard that the cache lacks would
// otherwise get a twin.
func (r *serverReconciler) refreshShards(ctx context.Context, server resources.Server, state *serverState, s *shardReader) error {
	var fresh map[int]*corev1.ConfigMap
	var err error
	if state.shards == nil || state.doubtful {
		fresh, err = r.listed(ctx, server, state, s)
	} else {
		fresh, err = r.changed(ctx, server, state, s)
	}
	if err != nil {
		return err
	}
	state.doubtful = false
	r.tellForeign(ctx, state, s)
	// A shard that was written and is not in the cache yet is kept; one deleted by hand is remembered
	// as empty, so that its hosts go back to where they were.
	for n, old := range state.shards {
		switch {
		case old == nil:
		case fresh[n] == nil:
			fresh[n] = s.missing(ctx, old, n)
		case newer(old, fresh[n]):
			fresh[n] = old
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

// listed are the shards that the API server has. After a list that was long, as one is of what strangers make, the
// next has to wait: whoever writes into a shard again and again must not have all of it read each time (I11).
func (r *serverReconciler) listed(
	ctx context.Context, server resources.Server, state *serverState, s *shardReader,
) (map[int]*corev1.ConfigMap, error) {
	if left(state.listedAt, time.Duration(state.listedPages-1)*perPage, r.Clock.Now()) > 0 {
		return nil, cmp.Or(state.listFailed, errStaleCache)
	}
	found, err := s.listed(ctx, resources.DeclaredShards(server.Shards))
	state.listedAt, state.listedPages, state.listFailed = r.Clock.Now(), s.pages, err
	return found, err
}

// changed are the shards that the cache shows, each as it is known, or read if the cache shows another version. As
// in a list, one counts if the pods mount it, or if it is the one after those that count.
func (r *serverReconciler) changed(
	ctx context.Context, server resources.Server, state *serverState, s *shardReader,
) (map[int]*corev1.ConfigMap, error) {
	var list metav1.PartialObjectMetadataList
	list.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("ConfigMapList"))
	labels := client.MatchingLabels(resources.ServerLabels())
	err := r.client.List(ctx, &list, client.InNamespace(server.Namespace), labels, client.UnsafeDisableDeepCopy)
	if err != nil {
		return nil, fmt.Errorf("listing shards in %s: %w", server.Namespace, err)
	}
	shown := map[int]*metav1.PartialObjectMetadata{}
	for i := range list.Items {
		if n, ok := resources.ShardIndex(list.Items[i].Name); ok && list.Items[i].DeletionTimestamp.IsZero() {
			shown[n] = &list.Items[i]
		} else if !ok {
			s.refuse(&list.Items[i])
		}
	}
	last := -1
	for _, n := range state.homes {
		last = max(last, n)
	}
	fresh := map[int]*corev1.ConfigMap{}
	for _, n := range slices.Sorted(maps.Keys(shown)) {
		if n > last+1 && n >= resources.DeclaredShards(server.Shards) {
			s.refuse(shown[n])
			continue
		}
		if fresh[n], err = s.newest(ctx, state.shards[n], shown[n], n); err != nil {
			state.doubtful = true
			return nil, err
		}
		if fresh[n] == nil {
			delete(fresh, n)
		} else if s.holdsOurs(fresh[n]) {
			last = max(last, n)
		}
	}
	return fresh, nil
}

// tellForeign says once that there are ConfigMaps which claim to be shards, and not again until there were none.
func (r *serverReconciler) tellForeign(ctx context.Context, state *serverState, s *shardReader) {
	told := state.foreign
	state.foreign = len(s.foreign) > 0
	if told || !state.foreign {
		return
	}
	name := slices.Min(s.foreign)
	log.FromContext(ctx).Info("Ignoring a ConfigMap with the labels of the policy server that is none of its own", "configMap", name)
	if r.recorder == nil {
		return
	}
	regarding := &corev1.ConfigMap{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"}, ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: name},
	}
	r.recorder.Eventf(regarding, nil, corev1.EventTypeWarning, v1alpha1.ReasonForeignConfigMap, "Serve",
		"%s bears the labels of the policy server, and is none of its ConfigMaps: it is ignored. Delete it, or remove its label %s",
		name, v1alpha1.ManagedByLabel)
}
