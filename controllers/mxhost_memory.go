package controllers

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/controllers/internal/fair"
	"github.com/mta-sts-operator/mta-sts-operator/controllers/internal/publication"
	"github.com/mta-sts-operator/mta-sts-operator/internal/sender"
)

// mxHosts remembers what MX hosts did when asked for STARTTLS, which domains want to know, and which host is
// asked next (I11). Losing it costs another look, nothing else.
type mxHosts struct {
	t Timings
	// wake says that something may be asked earlier than was known.
	wake chan struct{}

	mu       sync.Mutex
	byName   map[string]*mxHost
	byDomain map[string]*mxWish
	// known counts the hosts of each namespace.
	known map[string]int
	queue *fair.Queue[string]
	// atRest bounds what is asked although nobody waits for it.
	atRest *rate.Limiter
	// pausing is when the slots of questions that have been answered are free again.
	pausing map[string]time.Time
	// dueAt is when the next host at rest is due; zero while none is known to be.
	dueAt time.Time
}

// mxWish is what one domain wants to know.
type mxWish struct {
	namespace string
	level     fair.Level
	hosts     []string
	// crowdedOut are hosts for which the namespace has no room, since then.
	crowdedOut []string
	since      time.Time
}

type mxHost struct {
	mxSeen

	domains map[string]*mxWish
	// levels counts the domains of each namespace by how urgent the host is to them.
	levels map[string]*[fair.Levels]int
	nextAt time.Time
	// What is known of the round of questions that is under way; round is nil while none is.
	round *mxRound
}

// mxRound is one round through the addresses of a host.
type mxRound struct {
	began time.Time
	// at is nil until the name is resolved; done are the addresses that have answered.
	at   *sender.MXAddresses
	done []sender.MXAddress
}

// target is the address that is asked next; "" for DNS.
func (r *mxRound) target() string {
	if r.at == nil {
		return ""
	}
	return r.at.Addresses[len(r.done)].String()
}

// mxSeen is what a host did when it was last asked; the zero Tried means never.
type mxSeen struct {
	publication.Tried

	starttls v1alpha1.STARTTLS
	// fails is set if every address was proven to fail; silent if every one timed out.
	fails, silent bool
	// waiting is since when a change waits for an answer; zero while none does. asking is since when the host
	// is being asked for it; zero while it waits for its turn.
	waiting, asking time.Time
	// unproven is set once one address was not proven to fail in the round that is under way; early if the last
	// round began before the change was wanted that waits.
	unproven, early bool
}

func newMXHosts(t Timings) *mxHosts {
	return &mxHosts{
		t: t, wake: make(chan struct{}, 1),
		byName: map[string]*mxHost{}, byDomain: map[string]*mxWish{}, known: map[string]int{},
		queue: fair.New[string](mxLimits), pausing: map[string]time.Time{},
		atRest: rate.NewLimiter(mxHostsPerSecond, 5*mxHostsPerSecond),
	}
}

const (
	// mostMXHosts is how many hosts of one domain are asked: somebody's zone may name thousands. Of the others
	// nothing is known, so that they hold no change.
	mostMXHosts = 20
	// mostHostsOfNamespace is how many hosts are remembered for one namespace, each with up to 12 KiB of what
	// strangers' servers said.
	mostHostsOfNamespace = 2000
)

// want says that a domain of a namespace has these live MX hosts, nil for none any more. Hosts that worked
// when the last operator saw them are asked some time within the interval, so that a restart does not ask
// thousands at once; the others soon. Above fair.Rest, a change may be held by them: what fails is asked again
// if the answer is too old to hold by.
func (m *mxHosts) want(
	domain, namespace string, hosts []string, worked map[string]bool, level fair.Level, now time.Time,
) {
	m.mu.Lock()
	defer m.mu.Unlock()
	wish := m.wish(domain, namespace, hosts[:min(len(hosts), mostMXHosts)])
	if wish == nil {
		return
	}
	m.at(wish, domain, level)
	wish.crowdedOut = nil
	for _, host := range wish.hosts {
		if h := m.note(host, domain, wish, worked[host], now); h != nil {
			m.urge(host, h, wish, now)
		}
	}
	if len(wish.crowdedOut) == 0 {
		wish.since = time.Time{}
	} else if wish.since.IsZero() {
		wish.since = now
	}
	m.awake()
}

// note has a host looked after for a domain; nil if the namespace has no room for it.
func (m *mxHosts) note(host, domain string, wish *mxWish, worked bool, now time.Time) *mxHost {
	h := m.byName[host]
	if h != nil && h.domains[domain] != nil {
		return h
	}
	if (h == nil || h.levels[wish.namespace] == nil) && m.known[wish.namespace] >= mostHostsOfNamespace {
		wish.crowdedOut = append(wish.crowdedOut, host)
		return nil
	}
	if h == nil {
		h = &mxHost{domains: map[string]*mxWish{}, levels: map[string]*[fair.Levels]int{}, nextAt: now}
		if worked {
			h.nextAt = now.Add(time.Duration(spreadOf(host) * float64(m.t.STARTTLSInterval)))
		}
		m.byName[host] = h
		m.dueBy(h.nextAt)
	}
	if h.levels[wish.namespace] == nil {
		h.levels[wish.namespace] = &[fair.Levels]int{}
		m.known[wish.namespace]++
	}
	h.levels[wish.namespace][wish.level]++
	h.domains[domain] = wish
	if h.round != nil { // the namespace waits as well from now on
		m.join(host, h, wish.namespace)
	}
	return h
}

// urge has a host asked at once if a change waits for what it does.
func (m *mxHosts) urge(host string, h *mxHost, wish *mxWish, now time.Time) {
	if wish.level == fair.Rest {
		return
	}
	if h.waiting.IsZero() && (h.At.IsZero() || (h.fails && h.olderThan(m.t.STARTTLSRetry, now))) {
		h.waiting = now
	}
	if h.waiting.IsZero() {
		return
	}
	if h.round != nil {
		m.join(host, h, wish.namespace)
		return
	}
	h.round = &mxRound{}
	m.joinAll(host, h)
}

// join puts a host into the line of a namespace that waits for it.
func (m *mxHosts) join(host string, h *mxHost, namespace string) {
	level := fair.Rest
	for l, domains := range h.levels[namespace] {
		if domains > 0 && !h.waiting.IsZero() {
			level = fair.Level(l)
		}
	}
	m.queue.Join(host, h.round.target(), namespace, level, false)
}

// joinAll puts a host into the lines of all who wait for it.
func (m *mxHosts) joinAll(host string, h *mxHost) {
	for _, namespace := range slices.Sorted(maps.Keys(h.levels)) {
		m.join(host, h, namespace)
	}
}

// at says how urgent a domain's hosts are to it from now on.
func (m *mxHosts) at(wish *mxWish, domain string, level fair.Level) {
	if wish.level == level {
		return
	}
	for _, host := range wish.hosts {
		if h := m.byName[host]; h != nil && h.domains[domain] == wish {
			h.levels[wish.namespace][wish.level]--
			h.levels[wish.namespace][level]++
		}
	}
	wish.level = level
}

// wish replaces what a domain wants to know, and drops the hosts that nobody names any more.
func (m *mxHosts) wish(domain, namespace string, hosts []string) *mxWish {
	w := m.byDomain[domain]
	if w != nil {
		for _, host := range w.hosts {
			if w.namespace != namespace || !slices.Contains(hosts, host) {
				m.leave(host, domain)
			}
		}
	}
	if len(hosts) == 0 {
		delete(m.byDomain, domain)
		return nil
	}
	if w == nil || w.namespace != namespace {
		w = &mxWish{namespace: namespace}
		m.byDomain[domain] = w
	}
	w.hosts = slices.Clone(hosts)
	return w
}

// leave says that a domain does not name a host any more.
func (m *mxHosts) leave(host, domain string) {
	h := m.byName[host]
	if h == nil || h.domains[domain] == nil {
		return
	}
	wish := h.domains[domain]
	delete(h.domains, domain)
	h.levels[wish.namespace][wish.level]--
	if *h.levels[wish.namespace] == [fair.Levels]int{} {
		delete(h.levels, wish.namespace)
		m.queue.Leave(host, wish.namespace)
		if m.known[wish.namespace]--; m.known[wish.namespace] == 0 {
			delete(m.known, wish.namespace)
		}
	}
	if len(h.domains) == 0 {
		delete(m.byName, host)
	}
}

func (s mxSeen) olderThan(age time.Duration, now time.Time) bool {
	return s.At.After(now) || now.Sub(s.At) >= age
}

// seen is what the hosts of a domain did, without those nobody looks after. A host for which the namespace
// has no room waits for its turn.
func (m *mxHosts) seen(domain string, hosts []string) map[string]mxSeen {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := make(map[string]mxSeen, len(hosts))
	wish := cmp.Or(m.byDomain[domain], &mxWish{})
	for _, host := range hosts {
		switch h := m.byName[host]; {
		case h != nil && (h.domains[domain] != nil || !h.At.IsZero()):
			out[host] = h.mxSeen
		case slices.Contains(wish.crowdedOut, host):
			out[host] = mxSeen{waiting: wish.since}
		}
	}
	return out
}
