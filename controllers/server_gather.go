package controllers

import (
	"sync/atomic"
	"time"
)

// gathering spaces out the writes of shards. Each write sends a hundred hosts to every node that mounts them:
// a thousand edits that come together must not make hundreds of writes, and one edit alone must wait for nobody.
type gathering struct {
	// writtenAt is when shards were written last.
	writtenAt time.Time
	// since is when the first change was seen that is not written yet, zero if there is none; last is when
	// more of them were seen, and pending what they were then.
	since, last time.Time
	pending     pending
}

// pending tells changes that are not written yet from others.
type pending struct {
	shards, hosts int
	newest        string // the greatest of the values: they begin with the id
}

// patientHosts is how many changed hosts, in all namespaces, make waits twice as long; twice as many make them
// three times as long. The more have come together, the more are still to come.
const patientHosts = 100

// wait is how long a write has to wait for changes that may still come. A single change after a pause does
// not; others wait until no more of them have come for a while, and not for ever. fleet counts the changed hosts
// of all namespaces.
func (g *gathering) wait(now time.Time, p pending, fleet *atomic.Int64, t Timings) time.Duration {
	if g.since.IsZero() {
		g.since = now
	}
	if g.pending != p {
		fleet.Add(int64(p.hosts - g.pending.hosts))
		g.pending, g.last = p, now
	}
	hosts := fleet.Load()
	if hosts <= 1 && left(g.writtenAt, t.CoalesceMost, now) == 0 {
		return 0
	}
	patience := time.Duration(1 + min(hosts/patientHosts, 2))
	return min(left(g.last, patience*t.CoalesceQuiet, now), left(g.since, patience*t.CoalesceMost, now))
}

// done notes that nothing is left to be written.
func (g *gathering) done(fleet *atomic.Int64) {
	fleet.Add(-int64(g.pending.hosts))
	*g = gathering{writtenAt: g.writtenAt}
}
