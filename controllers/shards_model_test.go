package controllers

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/controllers/internal/resources"
	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
	"github.com/mta-sts-operator/mta-sts-operator/internal/policyserver"
)

// maxConfigMapBytes is how much data the API server accepts in a ConfigMap.
const maxConfigMapBytes = 1 << 20

// shardServer is an API server with the shards and publications of one namespace, all that ever was of
// them: caches and kubelets show any version that is not older than the one they showed before.
type shardServer struct {
	random *rand.Rand
	// shards and publications hold every version, oldest first; nil stands for none.
	shards       map[int][]*corev1.ConfigMap
	publications map[string][]*v1alpha1.MTASTSPublication
	version      int
	// faulty makes writes fail now and then; left is how many come before the operator ends.
	faulty bool
	left   int
	// writes are the shards that were written.
	writes []int
	// mounted is how many shards the pods mount.
	mounted int
	// refused is why it did not accept a shard.
	refused error
}

func last[T any](versions []T) (newest T) {
	if len(versions) > 0 {
		newest = versions[len(versions)-1]
	}
	return newest
}

// live is the publication of a domain; nil if there is none.
func (s *shardServer) live(domain string) *v1alpha1.MTASTSPublication {
	return last(s.publications[domain])
}

var (
	errTimeout = errors.New("timed out")
	configMaps = schema.GroupResource{Resource: "configmaps"}
)

// write makes a new version of shard n. If it times out nobody knows whether it was made.
func (s *shardServer) write(object client.Object) error {
	shard := object.(*corev1.ConfigMap)
	n, _ := resources.ShardIndex(shard.Name)
	if s.left == 0 || (s.faulty && s.random.IntN(10) == 0) {
		return errTimeout
	}
	s.left--
	data := 0
	for _, value := range shard.Data {
		data += len(value)
	}
	if data > maxConfigMapBytes {
		s.refused = fmt.Errorf("shard %d has %d bytes", n, data)
		return s.refused
	}
	s.version++
	shard.ResourceVersion = strconv.Itoa(s.version)
	s.shards[n] = append(s.shards[n], shard.DeepCopy())
	s.writes = append(s.writes, n)
	if s.faulty && s.random.IntN(3) == 0 {
		return errTimeout
	}
	return nil
}

// shardClient is what an operator sees of it: everything at once, or what its cache shows.
type shardClient struct {
	client.Client // nothing else is called

	*shardServer
	// seenShards and seenPublications are the versions that the cache shows; nil for no cache.
	seenShards       map[int]int
	seenPublications map[string]int
	// frozen is set when it learns nothing more.
	frozen bool
}

// seen picks the version to show: the last, or one that the cache has reached.
func seen[K comparable, T any](c *shardClient, positions map[K]int, key K, versions []T) (shown T) {
	if positions == nil {
		return last(versions)
	}
	at := positions[key]
	if rest := len(versions) - at; rest > 0 && !c.frozen && c.random.IntN(2) == 0 {
		at += c.random.IntN(rest + 1)
	}
	positions[key] = at
	if at > 0 {
		shown = versions[at-1]
	}
	return shown
}

func (c *shardClient) List(_ context.Context, into client.ObjectList, _ ...client.ListOption) error {
	if list, ok := into.(*v1alpha1.MTASTSPublicationList); ok {
		for _, domain := range slices.Sorted(maps.Keys(c.publications)) {
			if pub := seen(c, c.seenPublications, domain, c.publications[domain]); pub != nil {
				list.Items = append(list.Items, *pub.DeepCopy())
			}
		}
		c.random.Shuffle(len(list.Items), func(i, k int) { list.Items[i], list.Items[k] = list.Items[k], list.Items[i] })
		return nil
	}
	for _, n := range slices.Sorted(maps.Keys(c.shards)) {
		shard := seen(c, c.seenShards, n, c.shards[n])
		if shard == nil {
			continue
		}
		switch list := into.(type) {
		case *corev1.ConfigMapList:
			list.Items = append(list.Items, *shard.DeepCopy())
		case *metav1.PartialObjectMetadataList:
			list.Items = append(list.Items, metav1.PartialObjectMetadata{ObjectMeta: *shard.ObjectMeta.DeepCopy()})
		}
	}
	return nil
}

func (c *shardClient) Get(_ context.Context, key client.ObjectKey, into client.Object, _ ...client.GetOption) error {
	if pub, ok := into.(*v1alpha1.MTASTSPublication); ok {
		if live := c.live(key.Name); live != nil {
			live.DeepCopyInto(pub)
			return nil
		}
		return apierrors.NewNotFound(schema.GroupResource{Resource: "mtastspublications"}, key.Name)
	}
	n, _ := resources.ShardIndex(key.Name)
	if live := last(c.shards[n]); live != nil {
		live.DeepCopyInto(into.(*corev1.ConfigMap))
		return nil
	}
	return apierrors.NewNotFound(configMaps, key.Name)
}

func (c *shardClient) Create(_ context.Context, object client.Object, _ ...client.CreateOption) error {
	if n, _ := resources.ShardIndex(object.GetName()); last(c.shards[n]) != nil {
		return apierrors.NewAlreadyExists(configMaps, object.GetName())
	}
	return c.write(object)
}

func (c *shardClient) Update(_ context.Context, object client.Object, _ ...client.UpdateOption) error {
	n, _ := resources.ShardIndex(object.GetName())
	switch live := last(c.shards[n]); {
	case live == nil:
		return apierrors.NewNotFound(configMaps, object.GetName())
	case object.GetResourceVersion() != "" && object.GetResourceVersion() != live.ResourceVersion:
		return apierrors.NewConflict(configMaps, object.GetName(), errors.New("it was written"))
	}
	return c.write(object)
}

// shardOperator is one process of the operator.
type shardOperator struct {
	r     *serverReconciler
	state *serverState
	cache *shardClient
}

func (s *shardServer) newOperator() *shardOperator {
	o := &shardOperator{
		state: &serverState{homes: map[string]int{}},
		cache: &shardClient{shardServer: s, seenShards: map[int]int{}, seenPublications: map[string]int{}},
	}
	for _, n := range slices.Sorted(maps.Keys(s.shards)) {
		o.cache.seenShards[n] = s.late(len(s.shards[n]))
	}
	for _, domain := range slices.Sorted(maps.Keys(s.publications)) {
		o.cache.seenPublications[domain] = s.late(len(s.publications[domain]))
	}
	o.r = &serverReconciler{Options: Options{}.withDefaults(), client: o.cache, live: &shardClient{shardServer: s}, instances: newInstances(nil), bounds: localClock}
	o.r.Timings.CoalesceQuiet, o.r.Timings.CoalesceMost = 0, 0
	return o
}

// catchUp makes the caches show everything.
func (o *shardOperator) catchUp() {
	for n, versions := range o.cache.shards {
		o.cache.seenShards[n] = len(versions)
	}
	for domain, versions := range o.cache.publications {
		o.cache.seenPublications[domain] = len(versions)
	}
}

// pass is what the controller does about shards in one pass.
func (o *shardOperator) pass(ctx context.Context) error {
	var list v1alpha1.MTASTSPublicationList
	if err := o.cache.List(ctx, &list); err != nil {
		return err
	}
	if len(list.Items) == 0 {
		return nil // the server is dismantled, if the API server says so as well
	}
	_, err := o.r.renderShards(ctx, resources.Server{Namespace: "mail", Anchor: "anchor", Shards: o.cache.mounted}, o.state, list.Items)
	o.cache.mounted = resources.DeclaredShards(max(o.cache.mounted, o.state.needed))
	return err
}

// shardPod is a pod of the policy server with its kubelet, which sees every shard for itself, and late,
// and replaces what is mounted at once.
type shardPod struct {
	// views are the versions of the declared shards that the kubelet has seen; mounted is the volume.
	views   []int
	mounted map[string]string
	store   *policyserver.Store
	handler http.Handler
	// served is what it answered last, by domain.
	served map[string]servedPolicy
	// newest are the greatest ids it ever answered.
	newest map[string]mtasts.ID
}

type servedPolicy struct {
	id   mtasts.ID
	body string
	// life counts the publications that the domain had when this was answered.
	life int
}

// late is a version that one who has just begun to look may see.
func (s *shardServer) late(newest int) int { return max(0, newest-s.random.IntN(3)) }

// newPod starts where its kubelet has seen something of late, or nothing.
func (s *shardServer) newPod(declared int) *shardPod {
	p := &shardPod{
		views: make([]int, declared), store: policyserver.NewStore(nil, nil, testClock),
		served: map[string]servedPolicy{}, newest: map[string]mtasts.ID{},
	}
	p.handler = policyserver.NewHandler(p.store)
	for n := range p.views {
		p.views[n] = s.late(len(s.shards[n]))
	}
	return p
}

// see shows a newer version of shard n to the kubelet.
func (p *shardPod) see(s *shardServer, n int) {
	if rest := len(s.shards[n]) - p.views[n]; rest > 0 {
		p.views[n] += 1 + s.random.IntN(rest)
	}
}

// mount replaces the volume. If two sources have a file of the same name the later one's is there.
func (p *shardPod) mount(s *shardServer) {
	p.mounted = map[string]string{}
	for n, at := range p.views {
		if at > 0 && s.shards[n][at-1] != nil {
			maps.Copy(p.mounted, s.shards[n][at-1].Data)
		}
	}
}

// ask gets the policy of a domain as a sender does; the zero value stands for none.
func (p *shardPod) ask(domain string) servedPolicy {
	answer := httptest.NewRecorder()
	p.handler.ServeHTTP(answer, &http.Request{Method: http.MethodGet, Host: mtasts.PolicyHost(domain), URL: &url.URL{Path: mtasts.PolicyPath}})
	if answer.Code != http.StatusOK {
		return servedPolicy{}
	}
	return servedPolicy{id: mtasts.ID(answer.Header().Get(policyserver.HeaderID)), body: answer.Body.String()}
}

// hostsOf are the policy hosts in a shard.
func hostsOf(shard *corev1.ConfigMap) []string {
	var out []string
	if shard != nil {
		for key := range shard.Data {
			if !strings.HasPrefix(key, policyserver.MarkerPrefix) {
				out = append(out, key)
			}
		}
	}
	return out
}
