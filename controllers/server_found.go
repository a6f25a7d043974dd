package controllers

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/controllers/internal/resources"
	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
	"github.com/mta-sts-operator/mta-sts-operator/internal/policyserver"
)

// Bounds of what is believed of the ConfigMaps of a namespace (I11): whoever may write there can make any number of
// them, with names, labels, owners and contents like those of ours.
const (
	// mostEntryBytes is more than the largest policy takes that the API accepts, with its host and id.
	mostEntryBytes = 16 << 10
	// slackBytes is what the shards of a namespace may hold beside its policies.
	slackBytes = 1 << 20
	// mostQuestions is how many hosts, or shards, a pass asks the API server for one by one. Of more there is a list.
	mostQuestions = 16
	// mostPages bounds a list of shards, namesPerPage one page of a list of publications.
	mostPages    = 128
	namesPerPage = 100
	// perPage is how long after a list the next one has to wait for each page that it had.
	perPage = 100 * time.Millisecond
)

// shardReader reads the shards of one namespace during one pass, and keeps of each only what may be the operator's.
type shardReader struct {
	live      client.Reader
	namespace string
	// turn lets one page of shards at a time be in memory, for all namespaces.
	turn *sync.Mutex
	// hosts have a publication in the cache; alive have one at the API server, nil until that was asked.
	hosts, alive map[string]bool
	// pages counts those of a list.
	pages int
	// undecided counts hosts without a publication that are kept for now, asked the questions of this pass.
	undecided, asked int
	// bytes are those that are kept, budget is how many may be.
	bytes, budget int
	// foreign are ConfigMaps that claim to be shards and are none.
	foreign []string
}

func (r *serverReconciler) newShardReader(namespace string, publications []v1alpha1.MTASTSPublication) *shardReader {
	return &shardReader{
		live: r.live, namespace: namespace, turn: &r.pages, hosts: hostsWith(publications),
		budget: slackBytes + len(publications)*mostEntryBytes,
	}
}

// hostsWith are the policy hosts of publications.
func hostsWith(publications []v1alpha1.MTASTSPublication) map[string]bool {
	out := make(map[string]bool, len(publications))
	for i := range publications {
		out[mtasts.PolicyHost(publications[i].Spec.Domain)] = true
	}
	return out
}

// domainOfHost is the domain of a policy host; false if no publication can have it.
func domainOfHost(host string) (string, bool) {
	domain, ok := strings.CutPrefix(host, mtasts.PolicyHost(""))
	return domain, ok && mtasts.ValidateDomain(domain) == nil
}

// listed are the shards that the API server has, see leaveOut for which of them count.
func (s *shardReader) listed(ctx context.Context, mounted int) (map[int]*corev1.ConfigMap, error) {
	found, token := map[int]*corev1.ConfigMap{}, ""
	for range mostPages {
		var err error
		if token, err = s.page(ctx, found, token); err != nil {
			return nil, err
		}
		if token == "" {
			s.leaveOut(found, mounted)
			return found, nil
		}
	}
	return nil, fmt.Errorf(
		"namespace %s holds more ConfigMaps with the labels of the policy server than it can need: delete those that are none of its own",
		s.namespace)
}

// page takes one page of the list; the next one begins at the token that it returns, "" after the last. A page is as
// long as the publications of the namespace may need, but holds no more than they do.
func (s *shardReader) page(ctx context.Context, into map[int]*corev1.ConfigMap, token string) (next string, err error) {
	s.pages++
	s.turn.Lock()
	defer s.turn.Unlock()
	var list corev1.ConfigMapList
	limit := min(8+2*len(s.hosts)/maxShardHosts, resources.MostShards/4)
	err = s.live.List(ctx, &list, client.InNamespace(s.namespace), client.MatchingLabels(resources.ServerLabels()),
		client.Limit(limit), client.Continue(token))
	if err != nil {
		return "", fmt.Errorf("listing shards in %s: %w", s.namespace, err)
	}
	for i := range list.Items {
		shard := &list.Items[i]
		if !shard.DeletionTimestamp.IsZero() {
			continue
		}
		n, ok := resources.ShardIndex(shard.Name)
		if !ok {
			s.refuse(shard)
			continue
		}
		if into[n], err = s.admit(ctx, shard, n); err != nil {
			return "", err
		}
	}
	return list.Continue, nil
}

// leaveOut takes away what is no shard of this namespace: the pods do not mount it, and its number is beyond the one
// after the last with a policy of this namespace.
func (s *shardReader) leaveOut(found map[int]*corev1.ConfigMap, mounted int) {
	last := -1
	for _, n := range slices.Sorted(maps.Keys(found)) {
		switch {
		case n > last+1 && n >= mounted:
			s.refuse(found[n])
			delete(found, n)
		case s.holdsOurs(found[n]):
			last = n
		}
	}
}

// holdsOurs says whether a host in the shard has a publication.
func (s *shardReader) holdsOurs(shard *corev1.ConfigMap) bool {
	for host := range shard.Data {
		if s.hosts[host] || s.alive[host] {
			return true
		}
	}
	return false
}

// refuse notes a ConfigMap that claims to be a shard and does not count.
func (s *shardReader) refuse(o metav1.Object) {
	if resources.ClaimsToBeShard(o.GetName()) && len(s.foreign) < mostQuestions {
		s.foreign = append(s.foreign, o.GetName())
	}
}

// one reads a shard; nil if it is gone.
func (s *shardReader) one(ctx context.Context, n int) (*corev1.ConfigMap, error) {
	live := &corev1.ConfigMap{}
	err := s.live.Get(ctx, client.ObjectKey{Namespace: s.namespace, Name: resources.ShardName(n)}, live)
	if apierrors.IsNotFound(err) {
		return nil, nil //nolint:nilnil // it is gone
	}
	if err != nil {
		return nil, fmt.Errorf("reading shard %s/%s: %w", s.namespace, resources.ShardName(n), err)
	}
	return s.admit(ctx, live, n)
}

// newest is the known version of a shard, or what the API server has if the cache shows another one.
func (s *shardReader) newest(
	ctx context.Context, known *corev1.ConfigMap, shown *metav1.PartialObjectMetadata, n int,
) (*corev1.ConfigMap, error) {
	if known != nil && (known.ResourceVersion == shown.ResourceVersion || newer(known, shown)) {
		return known, s.hold(known)
	}
	if s.asked++; s.asked > mostQuestions {
		return nil, errStaleCache // they are listed in the next pass
	}
	return s.one(ctx, n)
}

// missing tells a shard that the cache does not show yet from one that is gone; nil means gone.
func (s *shardReader) missing(ctx context.Context, old *corev1.ConfigMap, n int) *corev1.ConfigMap {
	live, err := s.one(ctx, n)
	if err != nil {
		return old
	}
	return live
}

// admit keeps of a shard what may be the operator's. One that holds anything else loses its marker in the copy: so
// it is rewritten, and the rest goes.
func (s *shardReader) admit(ctx context.Context, shard *corev1.ConfigMap, n int) (*corev1.ConfigMap, error) {
	kept := &corev1.ConfigMap{ObjectMeta: *shard.ObjectMeta.DeepCopy(), Data: map[string]string{}}
	kept.ManagedFields = nil
	if metaBytes(kept.Labels)+metaBytes(kept.Annotations) > mostMetaBytes {
		kept.Labels, kept.Annotations = resources.ServerLabels(), nil
	}
	sound := len(shard.BinaryData) == 0
	for host, value := range shard.Data {
		if host == policyserver.MarkerKey(n) {
			continue
		}
		ours, err := s.mayBeOurs(ctx, host)
		if err != nil {
			return nil, err
		}
		if len(value) > mostEntryBytes {
			sound, value = false, "" // which is no entry, and so may be replaced
		}
		if !ours {
			sound = false
			continue
		}
		kept.Data[host] = value
	}
	if marker, ok := shard.Data[policyserver.MarkerKey(n)]; ok && sound && marker == policyserver.MarkerValue {
		kept.Data[policyserver.MarkerKey(n)] = marker
	}
	return kept, s.hold(kept)
}

// hold counts what is kept of a shard.
func (s *shardReader) hold(shard *corev1.ConfigMap) error {
	for host, value := range shard.Data {
		s.bytes += room(host, value)
	}
	if s.bytes > s.budget {
		return fmt.Errorf(
			"the ConfigMaps %s… of namespace %s hold more than its policies can need: delete those that the operator did not make",
			resources.ShardName(0), s.namespace)
	}
	return nil
}

// mayBeOurs says whether a host in a shard may have a publication. A few that the cache does not know are kept until
// the API server was asked for each; where there are more it is asked at once for all.
func (s *shardReader) mayBeOurs(ctx context.Context, host string) (bool, error) {
	if s.hosts[host] || s.alive[host] {
		return true, nil
	}
	if _, ok := domainOfHost(host); !ok {
		return false, nil
	}
	if s.alive == nil && s.undecided < mostQuestions {
		s.undecided++
		return true, nil
	}
	return s.listedAlive(ctx, host)
}

// published says whether a host has a publication, as the API server tells.
func (s *shardReader) published(ctx context.Context, host string) (bool, error) {
	domain, ok := domainOfHost(host)
	if !ok {
		return false, nil
	}
	if s.alive != nil || s.asked >= mostQuestions {
		return s.listedAlive(ctx, host)
	}
	s.asked++
	err := s.live.Get(ctx, client.ObjectKey{Namespace: s.namespace, Name: domain}, &v1alpha1.MTASTSPublication{})
	if err != nil && !apierrors.IsNotFound(err) {
		return false, fmt.Errorf("reading publication %s: %w", domain, err)
	}
	return err == nil, nil
}

// listedAlive looks a host up among all publications that the API server has, which it lists once in a pass.
func (s *shardReader) listedAlive(ctx context.Context, host string) (bool, error) {
	if s.alive != nil {
		return s.alive[host], nil
	}
	alive, token := map[string]bool{}, ""
	for {
		var list v1alpha1.MTASTSPublicationList
		err := s.live.List(ctx, &list, client.InNamespace(s.namespace), client.Limit(namesPerPage), client.Continue(token))
		if err != nil {
			return false, fmt.Errorf("listing publications in %s: %w", s.namespace, err)
		}
		maps.Copy(alive, hostsWith(list.Items))
		if token = list.Continue; token == "" {
			s.alive = alive
			return alive[host], nil
		}
	}
}
