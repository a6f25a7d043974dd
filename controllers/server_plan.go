package controllers

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/controllers/internal/publication"
	"github.com/mta-sts-operator/mta-sts-operator/controllers/internal/resources"
	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
	"github.com/mta-sts-operator/mta-sts-operator/internal/policyserver"
)

// Bounds of the shard that a new host is put into. Every edit rewrites one, and every node that mounts it
// reads it. Hosts never move, so what is small today must have room to grow: a hundred of the largest
// policies that the API accepts are less than the 1 MiB that the API server accepts in a ConfigMap.
const (
	maxShardBytes = 256 << 10
	maxShardHosts = 100
)

// shardPlan is what every shard should hold.
type shardPlan struct {
	// wanted is the data of each shard but its marker; changed are the shards that differ from it.
	wanted  map[int]map[string]string
	changed map[int]bool
	// puts are the values that are not there yet, newest the greatest of them.
	puts   int
	newest string
	// planted are the values, by domain, that cannot be ours.
	planted map[string]publication.Greater
	// home is the shard of each host, size the bytes in each shard.
	home map[string]int
	size map[int]int
	// needed is how many shards there must be for the hosts of publications.
	needed int
	// homeless are hosts for which there is no room in any shard.
	homeless int
	// asked counts the publications that were read because of what a shard holds.
	asked int
}

// planFrom starts with what the shards hold now.
func planFrom(shards map[int]*corev1.ConfigMap) *shardPlan {
	p := &shardPlan{
		wanted: map[int]map[string]string{}, changed: map[int]bool{}, home: map[string]int{}, size: map[int]int{},
		planted: map[string]publication.Greater{},
	}
	for _, n := range slices.Sorted(maps.Keys(shards)) { // of two copies the pods mount that of the later shard
		shard := shards[n]
		p.wanted[n] = map[string]string{}
		if shard == nil {
			continue
		}
		for host, value := range shard.Data {
			if !strings.HasPrefix(host, policyserver.MarkerPrefix) {
				p.wanted[n][host] = value
				p.size[n] += room(host, value)
				p.home[host] = n
			}
		}
	}
	return p
}

// put sets a host's value in shard n.
func (p *shardPlan) put(n int, host, value string) {
	if p.wanted[n] == nil {
		p.wanted[n] = map[string]string{}
	}
	if old, ok := p.wanted[n][host]; ok {
		p.size[n] -= room(host, old)
	}
	p.size[n] += room(host, value)
	p.wanted[n][host] = value
	p.home[host] = n
	p.changed[n] = true
	p.puts++
	p.newest = max(p.newest, value)
}

// plan says what every shard should hold, and which of them differ. Hosts never move.
func (r *serverReconciler) plan(ctx context.Context, state *serverState, publications []v1alpha1.MTASTSPublication) (*shardPlan, error) {
	p, clock := planFrom(state.shards), r.laterClock()
	for i := range publications {
		pub := &publications[i]
		if pub.Spec.Current == nil {
			continue
		}
		host, id := mtasts.PolicyHost(pub.Spec.Domain), mtasts.ID(pub.Spec.Current.ID)
		value := policyserver.EncodeEntry(id, pub.Spec.Current.Body)
		n, placed := p.home[host]
		if !id.PlausibleAfter(mtasts.ID(pub.Spec.LastID), clock) {
			if placed { // what is there stays: what was planted in a publication gets another id before it is served
				p.needed = max(p.needed, n+1)
			}
			continue
		}
		if !placed {
			if n, placed = p.place(state.homes, host, value); !placed {
				continue
			}
		}
		p.needed = max(p.needed, n+1)
		if p.wanted[n][host] == value {
			continue
		}
		allowed, err := r.mayReplace(ctx, p, pub, p.wanted[n][host])
		if err != nil {
			return nil, err
		}
		if allowed {
			p.put(n, host, value)
		}
	}
	return p, nil
}

// place puts a host that is nowhere into the shard where it was, else into the first with room; false if none has any.
func (p *shardPlan) place(homes map[string]int, host, value string) (n int, ok bool) {
	if n, ok = homes[host]; !ok {
		if n, ok = p.firstWithRoom(room(host, value)); !ok {
			p.homeless++
			return 0, false
		}
	}
	p.put(n, host, value)
	return n, true
}

// room is what an entry takes of a shard.
func room(host, value string) int { return len(host) + len(value) }

// firstWithRoom is the first shard that the entry of another host fits into; false if there may be no more shards.
func (p *shardPlan) firstWithRoom(entry int) (n int, ok bool) {
	for n := range resources.MostShards {
		if len(p.wanted[n]) < maxShardHosts && p.size[n]+entry <= maxShardBytes {
			return n, true
		}
	}
	return 0, false
}

// full is why some hosts are served nowhere; nil if there is room for all.
func (p *shardPlan) full(namespace string) error {
	if p.homeless == 0 {
		return nil
	}
	policies := "policies"
	if p.homeless == 1 {
		policies = "policy"
	}
	return fmt.Errorf("%d %s of namespace %s cannot be served, because its policy server can hold no more: move policies to another namespace",
		p.homeless, policies, namespace)
}
