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

// wait is how long a write has to wait for changes that may still come. The first change after a pause does
// not; those after it wait until no more of them have come for a while, and not for ever.
func (g *gathering) wait(now time.Time, p pending, t Timings) time.Duration {
	if g.since.IsZero() {
		g.since = now
	}
	if g.pending != p {
		g.pending, g.last = p, now
	}
	if left(g.writtenAt, t.CoalesceMost, now) == 0 {
		return 0
	}
	return min(left(g.last, t.CoalesceQuiet, now), left(g.since, t.CoalesceMost, now))
}

// done notes that nothing is left to be written.
func (g *gathering) done() { *g = gathering{writtenAt: g.writtenAt} }
