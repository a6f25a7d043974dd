package controllers

import (
	"context"
	"hash/fnv"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/controllers/internal/publication"
	"github.com/mta-sts-operator/mta-sts-operator/internal/sender"
)

// mxHosts remembers what MX hosts did when asked for STARTTLS, and which domains want to know. Losing it
// costs another look, nothing else.
type mxHosts struct {
	t   Timings
	due chan event.TypedGenericEvent[mxHostKey]

	mu      sync.Mutex
	byName  map[string]*mxHost
	namedBy map[string][]string // hosts by domain
}

type mxHost struct {
	mxSeen

	domains map[string]struct{}
	nextAt  time.Time
}

// mxSeen is what a host did when it was last asked; the zero Tried means never.
type mxSeen struct {
	publication.Tried

	starttls v1alpha1.STARTTLS
	// fails is set if every address was proven to fail; silent if every one timed out.
	fails, silent bool
	// asking is since when a change waits for an answer; zero while none does.
	asking time.Time
}

func newMXHosts(t Timings) *mxHosts {
	return &mxHosts{
		t: t, due: make(chan event.TypedGenericEvent[mxHostKey], 1024),
		byName: map[string]*mxHost{}, namedBy: map[string][]string{},
	}
}

// want says that a domain has these live MX hosts, nil for none any more. Hosts that worked when the last
// operator saw them are asked some time within the interval, so that a restart does not ask thousands at
// once; the others soon. With urgent, a change may be held by them: what fails is asked again if the
// answer is too old to hold by.
func (m *mxHosts) want(ctx context.Context, domain string, hosts []string, worked map[string]bool, urgent bool, now time.Time) {
	for _, host := range m.note(domain, hosts, worked, urgent, now) {
		select {
		case m.due <- event.TypedGenericEvent[mxHostKey]{Object: mxHostKey{host}}:
		case <-ctx.Done():
			return
		}
	}
}

// mostMXHosts is how many hosts of one domain are asked: somebody's zone may name thousands, each of which
// takes minutes not to answer while everybody else's wait. Of the others nothing is known, so that they
// hold no change.
const mostMXHosts = 20

// note returns the hosts to look after.
func (m *mxHosts) note(domain string, hosts []string, worked map[string]bool, urgent bool, now time.Time) []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	hosts = hosts[:min(len(hosts), mostMXHosts)]
	m.rename(domain, hosts)
	var todo []string
	for _, host := range hosts {
		h, known := m.byName[host]
		if !known {
			h = &mxHost{domains: map[string]struct{}{}, nextAt: now}
			if worked[host] {
				h.nextAt = now.Add(time.Duration(spreadOf(host) * float64(m.t.STARTTLSInterval)))
			}
			m.byName[host] = h
		}
		h.domains[domain] = struct{}{}
		if urgent && h.asking.IsZero() && (h.At.IsZero() || (h.fails && h.olderThan(m.t.STARTTLSRetry, now))) {
			h.asking, h.nextAt = now, now
		}
		if !known || !h.nextAt.After(now) {
			todo = append(todo, host)
		}
	}
	return todo
}

// rename drops the hosts that nobody names any more.
func (m *mxHosts) rename(domain string, hosts []string) {
	for _, host := range m.namedBy[domain] {
		h := m.byName[host]
		if h == nil || slices.Contains(hosts, host) {
			continue
		}
		delete(h.domains, domain)
		if len(h.domains) == 0 {
			delete(m.byName, host)
		}
	}
	m.namedBy[domain] = slices.Clone(hosts)
	if len(hosts) == 0 {
		delete(m.namedBy, domain)
	}
}

func (s mxSeen) olderThan(age time.Duration, now time.Time) bool {
	return s.At.After(now) || now.Sub(s.At) >= age
}

// dueIn is how long it is until a host is to be asked, and whether anybody wants to know.
func (m *mxHosts) dueIn(host string, now time.Time) (wait time.Duration, wanted bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	h := m.byName[host]
	if h == nil {
		return 0, false
	}
	return max(h.nextAt.Sub(now), 0), true
}

// saw notes what a host did. It returns the domains for which that may change something, and when the
// host is to be asked again.
func (m *mxHosts) saw(host string, probe sender.MXProbe, now time.Time) (domains []string, next time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	h := m.byName[host]
	if h == nil {
		return nil, 0
	}
	before := h.mxSeen
	h.mxSeen = mxSeen{
		Tried: before.Next(now, probe.Outcome == sender.Pass),
		fails: sender.EveryMXFails([]sender.MXProbe{probe}), silent: sender.IsEgressBlocked([]sender.MXProbe{probe}),
	}
	h.starttls = starttlsOf(probe, h.silent && m.allSilent())
	next = time.Duration((0.8 + 0.4*spreadOf(host)) * float64(m.t.STARTTLSInterval))
	if h.Tries > 0 {
		next = min(m.t.STARTTLSInterval, m.t.STARTTLSRetry<<min(h.Tries-1, 10))
	}
	h.nextAt = now.Add(next)
	if sameButElsewhere(before.starttls, h.starttls) {
		h.starttls = before.starttls
	}
	proving := h.starttls.State == v1alpha1.STARTTLSFails && h.Tries <= m.t.ProofLooks
	if proving || !before.asking.IsZero() || !apiequality.Semantic.DeepEqual(before.starttls, h.starttls) {
		domains = slices.Sorted(maps.Keys(h.domains))
	}
	return domains, next
}

// sameButElsewhere says whether a host does at its addresses what it did at others before: large providers
// answer other ones every few minutes, and ten thousand domains need not hear of it.
func sameButElsewhere(before, after v1alpha1.STARTTLS) bool {
	if before.State != v1alpha1.STARTTLSWorks || after.State != v1alpha1.STARTTLSWorks {
		return false
	}
	was, is := found(before), found(after)
	return len(was) == 1 && apiequality.Semantic.DeepEqual(was, is)
}

// found is what was found at the addresses of a host, without saying at which.
func found(s v1alpha1.STARTTLS) []v1alpha1.MXAddress {
	var out []v1alpha1.MXAddress
	for _, a := range s.Addresses {
		a.Address = ""
		if !slices.ContainsFunc(out, func(b v1alpha1.MXAddress) bool { return apiequality.Semantic.DeepEqual(a, b) }) {
			out = append(out, a)
		}
	}
	return out
}

// allSilent says whether every host that was ever asked timed out: then the network here is the one to blame.
func (m *mxHosts) allSilent() bool {
	for _, h := range m.byName {
		if !h.At.IsZero() && !h.silent {
			return false
		}
	}
	return true
}

// seen is what these hosts did, without those nobody has noted.
func (m *mxHosts) seen(hosts []string) map[string]mxSeen {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := make(map[string]mxSeen, len(hosts))
	for _, host := range hosts {
		if h := m.byName[host]; h != nil {
			out[host] = h.mxSeen
		}
	}
	return out
}

// judgeMX says how the live MX hosts fail, if all of them do, or else since when that is being found out.
func judgeMX(hosts []string, seen map[string]mxSeen, now time.Time, t Timings) (failing string, asking time.Time) {
	var how []string
	unknown := false
	for _, host := range hosts {
		s := seen[host]
		switch {
		case !s.At.IsZero() && !s.fails:
			return "", time.Time{}
		case s.At.IsZero() || s.olderThan(2*t.STARTTLSRetry, now): // what holds is asked again before that
			if asking.IsZero() || (!s.asking.IsZero() && s.asking.Before(asking)) {
				asking = s.asking
			}
			unknown = true
		default:
			how = append(how, s.starttls.Message)
		}
	}
	if unknown || len(hosts) == 0 {
		return "", asking
	}
	return strings.Join(how, "; "), time.Time{}
}

// working are the hosts that worked when the status was written.
func working(hosts []v1alpha1.MXHost) map[string]bool {
	out := make(map[string]bool, len(hosts))
	for _, h := range hosts {
		out[h.Host] = h.STARTTLS != nil && h.STARTTLS.State == v1alpha1.STARTTLSWorks
	}
	return out
}

// spreadOf is a number in [0,1) that differs between names and does not change.
func spreadOf(name string) float64 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(name))
	return float64(h.Sum32()) / (1 << 32)
}
