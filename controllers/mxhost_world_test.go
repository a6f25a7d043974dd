package controllers

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/mta-sts-operator/mta-sts-operator/controllers/internal/publication"
	"github.com/mta-sts-operator/mta-sts-operator/internal/sender"
)

// mxWorld has the questions about MX hosts answered on a clock of its own.
type mxWorld struct {
	*mxHosts

	test *testing.T
	now  time.Time
	// at are the addresses of hosts, one of its own for each that is not named; does is what a host does at
	// one, and how long that takes.
	at    map[string][]string
	does  func(host, address string) (sender.Outcome, sender.Reason, time.Duration)
	log   []mxAsked // at an address
	open  []mxOpen
	woken []string
}

type mxAsked struct {
	host, address string
	began         time.Time
}

type mxOpen struct {
	q           mxQuestion
	began, ends time.Time
}

func newMXWorld(t *testing.T) *mxWorld {
	t.Helper()
	return &mxWorld{mxHosts: newMXHosts(publication.DefaultTimings()), test: t, now: testNow, at: map[string][]string{}, does: sound}
}

func sound(string, string) (sender.Outcome, sender.Reason, time.Duration) {
	return sender.Pass, "", 50 * time.Millisecond
}

// run lets time pass until then; whatever may be asked is asked at once.
func (w *mxWorld) run(until time.Time) {
	w.test.Helper()
	for {
		q, ok, wait := w.next(w.now)
		if ok {
			w.start(q)
			continue
		}
		next := until
		if wait > 0 && w.now.Add(wait).Before(next) {
			next = w.now.Add(wait)
		}
		slices.SortStableFunc(w.open, func(a, b mxOpen) int { return a.ends.Compare(b.ends) })
		if len(w.open) > 0 && !w.open[0].ends.After(next) {
			o := w.open[0]
			w.open, w.now = w.open[1:], o.ends
			w.end(o)
			continue
		}
		if w.now = next; !next.Before(until) {
			return
		}
	}
}

func (w *mxWorld) start(q mxQuestion) {
	ends := w.now.Add(10 * time.Millisecond)
	if q.address.IsValid() {
		_, _, takes := w.does(q.host, q.address.String())
		ends = w.now.Add(takes)
		w.log = append(w.log, mxAsked{q.host, q.address.String(), w.now})
	}
	w.open = append(w.open, mxOpen{q, w.now, ends})
}

func (w *mxWorld) end(o mxOpen) {
	if !o.q.address.IsValid() {
		w.woken = append(w.woken, w.resolved(o.q, w.resolve(o.q.host), w.now)...)
		return
	}
	outcome, reason, _ := w.does(o.q.host, o.q.address.String())
	did := sender.MXAddress{Address: o.q.address, Outcome: outcome, Reason: reason, Connected: reason != sender.Timeout}
	if outcome != sender.Pass {
		did.Message = "says " + string(reason)
	}
	w.woken = append(w.woken, w.asked(o.q, did, o.began, w.now)...)
}

func (w *mxWorld) resolve(host string) sender.MXAddresses {
	out := sender.MXAddresses{Host: host}
	own := netip.AddrFrom4([4]byte{10, 0, byte(len(w.at) >> 8), byte(len(w.at))})
	if w.at[host] == nil {
		w.at[host] = []string{own.String()}
	}
	for _, a := range w.at[host] {
		out.Addresses = append(out.Addresses, netip.MustParseAddr(a))
	}
	return out
}

// askedAt is when a host was asked first; zero if it was not.
func (w *mxWorld) askedAt(host string) time.Time {
	for _, a := range w.log {
		if a.host == host {
			return a.began
		}
	}
	return time.Time{}
}

// most is how many questions were in flight at one time, by what is given for each.
func (w *mxWorld) most(of func(mxAsked) string) map[string]int {
	out := map[string]int{}
	for _, a := range w.log {
		n := 0
		for _, b := range w.log {
			_, _, takes := w.does(b.host, b.address)
			if of(a) == of(b) && !b.began.After(a.began) && b.began.Add(takes).After(a.began) {
				n++
			}
		}
		out[of(a)] = max(out[of(a)], n)
	}
	return out
}

// verdict is what is known of a domain's hosts now.
func (w *mxWorld) verdict(domain string, hosts ...string) publication.MXVerdict {
	return judgeMX(hosts, w.seen(domain, hosts), w.now, w.t)
}
