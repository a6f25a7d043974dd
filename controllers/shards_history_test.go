package controllers

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/controllers/internal/resources"
	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
)

// shardHistory is a namespace whose policies come, change and go, while writes fail, operators restart
// and kubelets lag. Whatever happens:
//
//   - a pod that answers for a domain goes on, for as long as the publication exists;
//   - what it answers was the domain's policy once, and is never older than what it answered before;
//   - the API server takes every shard.
//
// Once all is quiet every pod answers the policy of today for every domain and for no other, every host is
// in one shard, and what concerns one domain costs one write.
type shardHistory struct {
	*shardServer

	leader *shardOperator
	// deposed were leaders amid a pass: a lease that is lost stops no write that is under way.
	deposed []*shardOperator
	pods    []*shardPod
	domains []string
	// lives counts the publications each domain had; minted has all that ever was current.
	lives  map[string]int
	minted map[string]map[mtasts.ID]servedPolicy
	edits  int
	story  []string
}

// What the API accepts of a policy at most.
const (
	mostPatterns  = 100
	mostBodyBytes = 10000
)

func newShardHistory(random *rand.Rand) *shardHistory {
	h := &shardHistory{lives: map[string]int{}, minted: map[string]map[mtasts.ID]servedPolicy{}}
	h.shardServer = &shardServer{random: random, shards: map[int][]*corev1.ConfigMap{}, publications: map[string][]*v1alpha1.MTASTSPublication{}, left: -1}
	h.leader = h.newOperator()
	return h
}

func (h *shardHistory) tell(format string, args ...any) {
	h.story = append(h.story, fmt.Sprintf(format, args...))
}

// bodyOf is a policy with so many patterns that takes about so much room.
func bodyOf(domain string, patterns, bytes int) string {
	policy := mtasts.Policy{Mode: mtasts.ModeEnforce, MaxAgeSeconds: 604800}
	for i := range patterns {
		host := fmt.Sprintf("mx%d.%s", i, domain)
		padding := max(0, (bytes-100)/patterns-len("mx: \r\n")-len(host))
		policy.MX = append(policy.MX, strings.Repeat("ninechars.", padding/10)+host)
	}
	return policy.String()
}

// put adds a publication, or edits it.
func (h *shardHistory) put(domain string, patterns, bytes int) {
	h.edits++
	if h.minted[domain] == nil {
		h.minted[domain] = map[mtasts.ID]servedPolicy{}
		h.domains = append(h.domains, domain)
	}
	if h.live(domain) == nil {
		h.lives[domain]++
	}
	body := bodyOf(domain, patterns, bytes)
	id, _ := mtasts.MintID(testNow.Add(time.Duration(h.edits)*time.Second), "", body)
	h.minted[domain][id] = servedPolicy{id: id, body: body, life: h.lives[domain]}
	pub := &v1alpha1.MTASTSPublication{Spec: v1alpha1.MTASTSPublicationSpec{Domain: domain}}
	pub.Namespace, pub.Name = "mail", domain
	pub.Spec.Current = &v1alpha1.Instance{ID: string(id), Body: body}
	h.publications[domain] = append(h.publications[domain], pub)
}

// resize edits a domain, or adds it; most are small or as large as they can be.
func (h *shardHistory) resize(domain string) {
	switch h.random.IntN(4) {
	case 0:
		h.put(domain, 1, 0)
	case 1:
		h.put(domain, 1+h.random.IntN(mostPatterns), h.random.IntN(mostBodyBytes))
	default:
		h.put(domain, mostPatterns, mostBodyBytes)
	}
}

func (h *shardHistory) remove(domain string) {
	if h.live(domain) != nil {
		h.publications[domain] = append(h.publications[domain], nil)
	}
}

func (h *shardHistory) anyDomain() string { return h.domains[h.random.IntN(len(h.domains))] }

// declared is how many shards the leader would have the Deployment mount.
func (h *shardHistory) declared() int {
	return resources.DeclaredShards(h.mounted)
}

// step makes one thing happen.
func (h *shardHistory) step(ctx context.Context) error {
	switch k := h.random.IntN(100); {
	case k < 6:
		h.resize(fmt.Sprintf("d%d.example", len(h.domains)))
	case k < 16:
		h.resize(h.anyDomain())
	case k < 20:
		h.remove(h.anyDomain())
	case k < 24:
		h.tell("every policy is edited")
		for _, domain := range h.domains {
			if h.live(domain) != nil {
				h.resize(domain)
			}
		}
	case k < 44:
		h.tell("pass: %v", h.leader.pass(ctx))
	case k < 48:
		h.restart(ctx)
	case k < 54:
		for _, o := range h.deposed {
			h.tell("writes of one that is deposed arrive: %v", o.pass(ctx))
		}
		h.deposed = nil
	case k < 56:
		h.deleteByHand(h.random.IntN(len(h.shards)))
	case k < 60:
		h.roll()
	default:
		return h.sync(h.pods[h.random.IntN(len(h.pods))])
	}
	return h.refused
}

// deleteByHand takes a shard away from a leader that knows it. Only its memory brings the hosts back to where
// they were, so until it has done so there is no other.
func (h *shardHistory) deleteByHand(n int) {
	if last(h.shards[n]) != nil && h.leader.state.shards[n] != nil {
		h.tell("shard %d is deleted by hand", n)
		h.shards[n] = append(h.shards[n], nil)
		h.deposed = nil
	}
}

// restart puts another operator in the place of the leader, which ends amid a pass, after any write, or loses
// its lease with the writes of a pass still under way.
func (h *shardHistory) restart(ctx context.Context) {
	for _, versions := range h.shards {
		if last(versions) == nil {
			return
		}
	}
	if h.random.IntN(2) == 0 {
		h.left = h.random.IntN(4)
		h.tell("last pass, with %d writes: %v", h.left, h.leader.pass(ctx))
		h.left = -1
	} else {
		h.leader.catchUp()
		h.leader.cache.frozen = true
		h.deposed = append(h.deposed, h.leader)
	}
	h.leader = h.newOperator()
}

// roll replaces a pod.
func (h *shardHistory) roll() {
	h.tell("a pod starts that mounts %d shards", h.declared())
	h.pods = append(h.pods, h.newPod(h.declared()))
	if len(h.pods) > 2 {
		h.pods = h.pods[1:]
	}
}

// sync lets a kubelet see some shards, in any order, replace what is mounted, and the server load that;
// or only the first of it.
func (h *shardHistory) sync(p *shardPod) error {
	for n := range p.views {
		if h.random.IntN(2) == 0 {
			p.see(h.shardServer, n)
		}
	}
	if h.random.IntN(3) > 0 {
		p.mount(h.shardServer)
	}
	if h.random.IntN(4) > 0 && p.mounted != nil {
		return h.load(p)
	}
	return nil
}

// load has the server load what is mounted, and asks it for every domain.
func (h *shardHistory) load(p *shardPod) error {
	report := p.store.Load(p.mounted)
	h.tell("a pod at %v loads: %+v", p.views, report)
	for _, domain := range h.domains {
		was, is := p.served[domain], p.ask(domain)
		if is.id == "" {
			if was.id != "" && h.live(domain) != nil && was.life == h.lives[domain] {
				return fmt.Errorf("a pod that served %s does not any more", domain)
			}
			delete(p.served, domain)
			continue
		}
		minted, ok := h.minted[domain][is.id]
		if !ok || minted.body != is.body {
			return fmt.Errorf("a pod serves under id %s of %s what never was its policy", is.id, domain)
		}
		if is.id.Compare(p.newest[domain]) < 0 {
			return fmt.Errorf("a pod served id %s of %s, and serves %s", p.newest[domain], domain, is.id)
		}
		p.newest[domain], p.served[domain] = is.id, minted
	}
	return nil
}

// settle lets everything come to rest, and checks what then must be.
func (h *shardHistory) settle(ctx context.Context) error {
	h.faulty, h.deposed = false, nil
	if err := h.quiet(ctx); err != nil {
		return err
	}
	h.tell("everything settles")
	for i, p := range h.pods {
		if len(p.views) != h.declared() {
			h.pods[i] = h.newPod(h.declared())
		}
		if err := h.current(h.pods[i]); err != nil {
			return err
		}
	}
	return h.atHome()
}

// quiet has the leader pass until it writes nothing more.
func (h *shardHistory) quiet(ctx context.Context) error {
	for range 20 {
		h.leader.catchUp()
		before := len(h.writes)
		err := h.leader.pass(ctx)
		h.tell("pass: %v", err)
		switch {
		case h.refused != nil:
			return h.refused
		case err == nil && len(h.writes) == before:
			return nil
		}
	}
	return errors.New("the operator does not come to rest")
}

// current brings everything to a pod, which then must serve the policies of today and nothing else.
func (h *shardHistory) current(p *shardPod) error {
	for n := range p.views {
		p.views[n] = len(h.shards[n])
	}
	p.mount(h.shardServer)
	if err := h.load(p); err != nil {
		return err
	}
	for _, domain := range h.domains {
		want := ""
		if pub := h.live(domain); pub != nil {
			want = pub.Spec.Current.ID
		}
		if is := p.served[domain]; string(is.id) != want {
			return fmt.Errorf("at rest a pod serves id %q of %s, want %q", is.id, domain, want)
		}
	}
	return nil
}

// atHome checks that every host is in one shard.
func (h *shardHistory) atHome() error {
	home := map[string]int{}
	for _, n := range slices.Sorted(maps.Keys(h.shards)) {
		for _, host := range hostsOf(last(h.shards[n])) {
			if other, twice := home[host]; twice {
				return fmt.Errorf("at rest %s is in shards %d and %d", host, other, n)
			}
			home[host] = n
		}
	}
	return nil
}

// costs checks that what concerns one domain is one write to one shard.
func (h *shardHistory) costs(ctx context.Context) error {
	for _, tt := range []struct {
		what   string
		change func()
		writes int
	}{
		{"nothing", func() {}, 0},
		{"an edit", func() { h.resize(h.domains[0]) }, 1},
		{"a new domain", func() { h.resize("new.example") }, 1},
		{"a domain less", func() { h.remove("new.example") }, 1},
	} {
		tt.change()
		h.writes = nil
		if err := h.settle(ctx); err != nil {
			return fmt.Errorf("after %s: %w", tt.what, err)
		}
		if len(h.writes) != tt.writes {
			return fmt.Errorf("%s costs writes to shards %v", tt.what, h.writes)
		}
	}
	return nil
}

// run is a history from its first policies to the end.
func (h *shardHistory) run(ctx context.Context, steps int) error {
	for k := range 30 + h.random.IntN(60) {
		h.resize(fmt.Sprintf("d%d.example", k))
	}
	if h.random.IntN(8) == 0 {
		for k := range 300 { // small today, and tomorrow as large as can be
			h.put(fmt.Sprintf("small%d.example", k), 1, 0)
		}
	}
	if err := h.quiet(ctx); err != nil {
		return err
	}
	h.pods = []*shardPod{h.newPod(h.declared()), h.newPod(h.declared())}
	for range steps {
		h.faulty = h.random.IntN(3) == 0
		if err := h.step(ctx); err != nil {
			return err
		}
	}
	if err := h.settle(ctx); err != nil {
		return err
	}
	return h.costs(ctx)
}

// shardSeeds take a few seconds; SIMULATION_SEEDS asks for more of them.
const shardSeeds = 30

func TestNoHistoryOfShardsLosesAHost(t *testing.T) {
	first, count := uint64(0), uint64(shardSeeds)
	if n, err := strconv.ParseUint(os.Getenv("SIMULATION_SEEDS"), 10, 32); err == nil {
		count = n
	}
	if n, err := strconv.ParseUint(os.Getenv("SIMULATION_SEED"), 10, 32); err == nil {
		first, count = n, 1
	}
	shards, writes := 0, 0
	for seed := first; seed < first+count; seed++ {
		h := newShardHistory(rand.New(rand.NewPCG(seed, 0)))
		err := h.run(t.Context(), 120)
		shards, writes = max(shards, len(h.shards)), writes+h.version
		if err != nil {
			t.Fatalf("%s\n\nseed %d: %v\nreplay it: SIMULATION_SEED=%d go test -run HistoryOfShards ./controllers",
				strings.Join(h.story[max(0, len(h.story)-25):], "\n"), seed, err, seed)
		}
	}
	t.Logf("%d seeds, %d writes, %d shards at most", count, writes, shards)
}
