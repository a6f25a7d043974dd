package controllers

import (
	"maps"
	"net/netip"
	"slices"
	"time"

	apiequality "k8s.io/apimachinery/pkg/api/equality"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/controllers/internal/fair"
	"github.com/mta-sts-operator/mta-sts-operator/internal/sender"
)

// mxHostsPerSecond bounds how many mail servers of others are troubled although nobody waits for what they do.
const mxHostsPerSecond = 2

// mxLimits bound the questions in flight (I11). Each may take a minute and a half; those of one namespace, or
// of several, that take so long must not keep others from asking. An address is asked once at a time, whatever
// names lead to it: it is somebody's mail server, which may shut out who troubles it.
var mxLimits = fair.Limits{
	All: 32, Target: 1, Newcomers: 16,
	Levels: [fair.Levels]fair.Share{
		fair.Rest:    {Weight: 1, Most: 8, Owner: 4},
		fair.First:   {Weight: 2, Most: 24, Owner: 6},
		fair.Edit:    {Weight: 8, Most: 32, Owner: 8},
		fair.Leaving: {Weight: 8, Most: 32, Owner: 8}, // leaving enforce waits for no MX host
	},
}

// mxQuestion is one thing to ask: where a host is, or, with an address, what it does there.
type mxQuestion struct {
	host    string
	address netip.Addr
	// round tells answers to what is still wanted from those to what was wanted once.
	round *mxRound
}

// next is a question that may be asked now, if there is any; else how long it is until there may be one, zero
// for not before something is wanted or answered.
func (m *mxHosts) next(now time.Time) (q mxQuestion, ok bool, wait time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.release(now)
	m.begin(now)
	m.queue.Hold(fair.Rest, m.atRest.TokensAt(now) < 1)
	start, ok := m.queue.Next()
	if !ok {
		return mxQuestion{}, false, m.idle(now)
	}
	h := m.byName[start.Key]
	h.asking = now
	if h.round.began.IsZero() {
		h.round.began = now
	}
	q = mxQuestion{host: start.Key, round: h.round}
	if at := h.round.at; at != nil {
		q.address = at.Addresses[len(h.round.done)]
		if start.Level == fair.Rest {
			m.atRest.AllowN(now, 1)
		}
	}
	return q, true, 0
}

// idle is how long it is until something may be asked by itself.
func (m *mxHosts) idle(now time.Time) time.Duration {
	var at time.Time
	by := func(t time.Time) {
		if !t.IsZero() && (at.IsZero() || t.Before(at)) {
			at = t
		}
	}
	by(m.dueAt)
	for _, t := range m.pausing {
		by(t)
	}
	if m.queue.Len(fair.Rest) > 0 && m.atRest.TokensAt(now) < 1 {
		by(now.Add(time.Second / mxHostsPerSecond))
	}
	if at.IsZero() {
		return 0
	}
	return max(at.Sub(now), time.Millisecond)
}

// begin begins a round with every host that is due.
func (m *mxHosts) begin(now time.Time) {
	if m.dueAt.IsZero() || m.dueAt.After(now) {
		return
	}
	m.dueAt = time.Time{}
	for _, host := range slices.Sorted(maps.Keys(m.byName)) {
		switch h := m.byName[host]; {
		case h.round != nil:
		case h.nextAt.After(now):
			m.dueBy(h.nextAt)
		default:
			h.round = &mxRound{}
			m.joinAll(host, h)
		}
	}
}

// dueBy has begin look again then.
func (m *mxHosts) dueBy(at time.Time) {
	if m.dueAt.IsZero() || at.Before(m.dueAt) {
		m.dueAt = at
	}
}

// release frees the slots of questions that were answered a while ago, and has what is next of their hosts
// wait for its turn.
func (m *mxHosts) release(now time.Time) {
	for _, host := range slices.Sorted(maps.Keys(m.pausing)) {
		if at := m.pausing[host]; at.After(now) && at.Sub(now) <= m.t.STARTTLSPause {
			continue
		}
		delete(m.pausing, host)
		m.queue.Done(host)
		if h := m.byName[host]; h != nil && h.round != nil {
			m.joinAll(host, h)
		}
	}
}

// resolved notes where a host is. It returns the domains for which that may change something.
func (m *mxHosts) resolved(q mxQuestion, at sender.MXAddresses, now time.Time) (domains []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.pausing[q.host] = now // DNS needs no rest
	if h := m.current(q); h != nil {
		h.round.at = &at
		if len(at.Addresses) == 0 {
			domains = m.saw(h, sender.JudgeMX(at, nil), now)
		}
	}
	m.awake()
	return domains
}

// asked notes what a host did at one of its addresses. It returns the domains for which that may change something.
func (m *mxHosts) asked(q mxQuestion, did sender.MXAddress, began, now time.Time) (domains []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.pausing[q.host] = began.Add(m.t.STARTTLSPause)
	if h := m.current(q); h != nil {
		h.round.done = append(h.round.done, did)
		switch {
		case len(h.round.done) == len(h.round.at.Addresses):
			domains = m.saw(h, sender.JudgeMX(*h.round.at, h.round.done), now)
		case did.Outcome != sender.Broken && !h.unproven:
			h.unproven = true // what the others do holds nothing any more
			if !h.waiting.IsZero() {
				domains = slices.Sorted(maps.Keys(h.domains))
			}
		}
	}
	m.awake()
	return domains
}

// current is the host that a question was about, if its answer is still wanted.
func (m *mxHosts) current(q mxQuestion) *mxHost {
	h := m.byName[q.host]
	if h == nil || h.round != q.round {
		return nil
	}
	h.asking = time.Time{}
	return h
}

// saw ends a round. It returns the domains for which what was seen may change something.
func (m *mxHosts) saw(h *mxHost, probe sender.MXProbe, now time.Time) (domains []string) {
	before, began := h.mxSeen, h.round.began
	h.mxSeen = mxSeen{
		Tried: before.Next(began, probe.Outcome == sender.Pass),
		fails: sender.EveryMXFails([]sender.MXProbe{probe}), silent: sender.IsEgressBlocked([]sender.MXProbe{probe}),
	}
	h.round = nil
	if h.fails && before.waiting.After(began) {
		// It was asked before the change was wanted: it may have been mended in between.
		h.waiting, h.early, h.round = before.waiting, true, &mxRound{}
	}
	h.starttls = starttlsOf(probe, h.silent && m.allSilent())
	h.nextAt = now.Add(m.again(probe.Host, h.Tries))
	m.dueBy(h.nextAt)
	if sameButElsewhere(before.starttls, h.starttls) {
		h.starttls = before.starttls
	}
	proving := h.starttls.State == v1alpha1.STARTTLSFails && h.Tries <= m.t.ProofLooks
	if proving || !before.waiting.IsZero() || !apiequality.Semantic.DeepEqual(before.starttls, h.starttls) {
		domains = slices.Sorted(maps.Keys(h.domains))
	}
	return domains
}

// again is after what time a host is asked again.
func (m *mxHosts) again(host string, tries int) time.Duration {
	if tries > 0 {
		return min(m.t.STARTTLSInterval, m.t.STARTTLSRetry<<min(tries-1, 10))
	}
	return time.Duration((0.8 + 0.4*spreadOf(host)) * float64(m.t.STARTTLSInterval))
}

// awake says that something may be asked.
func (m *mxHosts) awake() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}
