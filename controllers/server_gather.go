package controllers

import "time"

// gathering spaces out the writes of shards. Each write sends a hundred hosts to every node that mounts them:
// a thousand edits that come together must not make hundreds of writes, and one edit must wait for nobody.
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

// patientHosts is how many changed hosts make waits twice as long; twice as many make them three times as long.
// The more have come together, the more are still to come, and the less one waits for strangers.
const patientHosts = 500

// wait is how long a write has to wait for changes that may still come. A single change after a pause does
// not; others wait until no more of them have come for a while, and not for ever.
func (g *gathering) wait(now time.Time, p pending, t Timings) time.Duration {
	if g.since.IsZero() {
		g.since = now
	}
	if g.pending != p {
		g.pending, g.last = p, now
	}
	if p.hosts <= 1 && left(g.writtenAt, t.CoalesceMost, now) == 0 {
		return 0
	}
	patience := 1 + min(p.hosts/patientHosts, 2)
	return min(left(g.last, time.Duration(patience)*t.CoalesceQuiet, now), left(g.since, time.Duration(patience)*t.CoalesceMost, now))
}

// done notes that nothing is left to be written.
func (g *gathering) done() { *g = gathering{writtenAt: g.writtenAt} }
