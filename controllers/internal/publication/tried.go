package publication

import (
	"time"
)

// Tried is when something was looked at, and how often without success.
type Tried struct {
	// At is when the last look ended; zero means never. Began is when it began: what it saw may be from then.
	// Where that is not known At stands for it.
	At, Began time.Time
	// Tries counts the looks in a row that did not find what is wanted.
	Tries int
	// Since is when that row began.
	Since time.Time
}

// due says whether it is time to look again, and otherwise how long to wait.
func (l Tried) due(now time.Time, t Timings) (bool, time.Duration) {
	return l.dueAfter(t.pollAfter(l.Tries), now)
}

// SeenAt is the moment from which what the last look saw may be.
func (l Tried) SeenAt() time.Time {
	if l.Began.IsZero() || l.Began.After(l.At) {
		return l.At
	}
	return l.Began
}

func (l Tried) dueAfter(wait time.Duration, now time.Time) (bool, time.Duration) {
	if l.At.IsZero() || l.At.After(now) {
		return true, 0 // never, or before the clock was set back
	}
	wait = l.At.Add(wait).Sub(now)
	return wait <= 0, max(wait, 0)
}

// Next is the row after one more look, which found what is wanted or did not.
func (l Tried) Next(now time.Time, found bool) Tried {
	if found {
		return Tried{At: now}
	}
	if l.Tries == 0 {
		l.Since = now
	}
	return Tried{At: now, Tries: l.Tries + 1, Since: l.Since}
}

// Proves says whether the row of looks without success is long enough to call something broken.
func (l Tried) Proves(t Timings) bool {
	return l.Tries >= t.ProofLooks && l.At.Sub(l.Since) >= t.ProofPeriod
}
