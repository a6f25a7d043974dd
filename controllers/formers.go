package controllers

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
)

// mostFormers is how many bytes all that is remembered of removed publications may take; a ConfigMap holds a MiB.
const mostFormers = 768 << 10

// formers remember, of publications that were seen to go, which namespace's they were, for as long as senders may
// hold what they announced: meanwhile only that namespace may begin anew (I7). When there is no room left, the
// namespace that takes most loses what ends first; so none pushes out what another has stored.
type formers struct {
	mu       sync.Mutex
	byDomain map[string]former
	bytes    map[string]int // by namespace
	total    int
	// changed holds one element while there is something to save.
	changed chan struct{}
}

func newFormers() *formers {
	return &formers{byDomain: map[string]former{}, bytes: map[string]int{}, changed: make(chan struct{}, 1)}
}

// of is who published a domain last; nil if nobody is known to have, or senders have forgotten it.
func (f *formers) of(domain string, now time.Time) *former {
	f.mu.Lock()
	defer f.mu.Unlock()
	if last, ok := f.byDomain[domain]; ok && now.Before(last.until) {
		return &last
	}
	return nil
}

// note remembers that a namespace's publication of a domain has gone.
func (f *formers) note(domain string, last former) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.put(domain, last)
	f.change()
}

// clear forgets a domain of which there is a publication again: that says more.
func (f *formers) clear(domain string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.drop(domain) {
		f.change()
	}
}

func (f *formers) change() {
	select {
	case f.changed <- struct{}{}:
	default:
	}
}

func (f *formers) put(domain string, last former) {
	f.drop(domain)
	last.until = last.until.UTC().Truncate(time.Second)
	f.byDomain[domain] = last
	f.bytes[last.namespace] += last.size(domain)
	f.total += last.size(domain)
	for f.total > mostFormers {
		f.makeRoom()
	}
}

func (f *formers) drop(domain string) bool {
	last, ok := f.byDomain[domain]
	if !ok {
		return false
	}
	delete(f.byDomain, domain)
	f.total -= last.size(domain)
	if f.bytes[last.namespace] -= last.size(domain); f.bytes[last.namespace] == 0 {
		delete(f.bytes, last.namespace)
	}
	return true
}

// makeRoom drops what ends first of the namespace that takes most.
func (f *formers) makeRoom() {
	greatest := slices.MaxFunc(slices.Collect(maps.Keys(f.bytes)), func(a, b string) int {
		return cmp.Or(cmp.Compare(f.bytes[a], f.bytes[b]), strings.Compare(a, b))
	})
	first := ""
	for domain, last := range f.byDomain {
		if last.namespace == greatest && (first == "" || last.until.Before(f.byDomain[first].until)) {
			first = domain
		}
	}
	f.drop(first)
}

// size is what a domain takes where this is saved; the namespace's name would be there once for all of its own.
func (last former) size(domain string) int { return len(last.namespace) + len(last.line(domain)) }

func (last former) line(domain string) string {
	return domain + " " + last.until.Format(time.RFC3339) + "\n"
}

// data is what is saved: for each namespace its domains, a line each. What is over is dropped.
func (f *formers) data(now time.Time) map[string]string {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := map[string]string{}
	for _, domain := range slices.Sorted(maps.Keys(f.byDomain)) {
		last := f.byDomain[domain]
		if !now.Before(last.until) {
			f.drop(domain)
			continue
		}
		out[last.namespace] += last.line(domain)
	}
	return out
}

// read takes back what was saved. What makes no sense, or claims to last longer than senders keep anything, is
// passed over; what was noted since stays.
func (f *formers) read(data map[string]string, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, namespace := range slices.Sorted(maps.Keys(data)) {
		for text := range strings.Lines(data[namespace]) {
			domain, ends, _ := strings.Cut(strings.TrimSuffix(text, "\n"), " ")
			until, err := time.Parse(time.RFC3339, ends)
			_, known := f.byDomain[domain]
			if err != nil || known || mtasts.ValidateDomain(domain) != nil || until.Before(now) || until.After(now.Add(mostTenure)) {
				continue
			}
			f.put(domain, former{namespace, until})
		}
	}
}

// mostTenure is longer than anything that is remembered lasts: senders keep a policy for a year at most.
const mostTenure = 400 * 24 * time.Hour

// tenure is what a publication leaves behind when it goes: whose it was, and how long what it announced lasts.
type tenure struct {
	namespace string
	// longest is how long senders may hold what they fetch until the last moment, dated until when they hold
	// what was superseded.
	longest time.Duration
	dated   time.Time
}

// tenureOf a publication; nil if it announced nothing, which makes nobody the one who published the domain (I7).
// One whose end senders and DNS have seen leaves nothing but servers that answer for another moment.
func tenureOf(p *v1alpha1.MTASTSPublication, t Timings) *tenure {
	spec := &p.Spec
	if spec.AnnouncedID == "" {
		return nil
	}
	out := &tenure{namespace: p.Namespace, longest: t.MemoryPatience}
	if spec.Retirement != nil && spec.Retirement.AbsentSince != nil {
		return out
	}
	after := time.Duration(spec.TTLMaxSeconds)*time.Second + t.LedgerSlack
	holds := func(maxAge int32) {
		out.longest = max(out.longest, time.Duration(maxAge)*time.Second+after)
	}
	if spec.Current != nil {
		holds(spec.Current.MaxAgeSeconds)
	}
	for _, e := range spec.Ledger {
		switch {
		case e.CachedUntil == nil:
			holds(e.MaxAgeSeconds)
		case e.CachedUntil.After(out.dated):
			out.dated = e.CachedUntil.Time
		}
	}
	return out
}

// ended is what is remembered of a publication that is gone now. No hand at its dates makes that last for ever.
func (t tenure) ended(now time.Time) former {
	until := now.Add(t.longest)
	if t.dated.After(until) {
		until = t.dated
	}
	if most := now.Add(mostTenure); until.After(most) {
		until = most
	}
	return former{t.namespace, until}
}
