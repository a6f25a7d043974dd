package simulation

import (
	"container/heap"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

const (
	day = 24 * time.Hour
	// length is how long faults and edits go on before everything must come to its end.
	length = 90 * day
	// storyLines is how much of the story is kept.
	storyLines = 250
)

// Figures say how much was simulated.
type Figures struct {
	Seeds int
	// Days are simulated days: a time.Duration ends after three centuries.
	Days       float64
	Events     int
	Passes     int
	Writes     int
	Fetches    int
	Deliveries int
	// Removed counts retirements that came to their end, Healed fresh ids for what had been seen wrong.
	Removed, Healed int
	// Dark counts retirements of which DNS was proven to answer no id although nobody here took it away.
	Dark int
	// Restored counts how often all the data went back, Gaps how often ids were lost, Witnessed how often a pod
	// proved that none were, Discarded how often somebody who knew bounded a gap.
	Restored, Gaps, Witnessed, Discarded int
}

// Add sums up.
func (f *Figures) Add(g Figures) {
	f.Seeds += g.Seeds
	f.Days += g.Days
	f.Events += g.Events
	f.Passes += g.Passes
	f.Writes += g.Writes
	f.Fetches += g.Fetches
	f.Deliveries += g.Deliveries
	f.Removed += g.Removed
	f.Healed += g.Healed
	f.Dark += g.Dark
	f.Restored += g.Restored
	f.Gaps += g.Gaps
	f.Witnessed += g.Witnessed
	f.Discarded += g.Discarded
}

// Run lives through the history of one seed. The same seed is the same history, however often. The
// error names the promise that was broken; story is what led there, oldest first.
func Run(seed uint64) (figures Figures, story string, err error) {
	s := newSim(seed)
	s.populate()
	s.live()
	if s.err == nil {
		s.end()
	}
	s.Seeds, s.Days = 1, s.now.Sub(birth).Hours()/24
	return s.Figures, strings.Join(s.story, "\n"), s.err
}

// birth is when every history begins.
var birth = time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)

// sim is one history: a clock, what is going to happen, and everybody who takes part.
type sim struct {
	Figures
	cluster
	internet
	operator
	checks
	lives
	leaving
	restores
	mailing
	clocks

	rnd    *rand.Rand
	now    time.Time
	agenda agenda
	made   int
	story  []string
	err    error
}

func newSim(seed uint64) *sim {
	return &sim{rnd: rand.New(rand.NewPCG(seed, 8461)), now: birth} //nolint:gosec // a history must be repeatable
}

// live is the part of the history in which things go wrong.
func (s *sim) live() {
	s.edit()
	s.faults()
	s.administer()
	s.until(birth.Add(length))
}

// until lets time pass with everything that happens in it.
func (s *sim) until(end time.Time) {
	for s.err == nil && len(s.agenda) > 0 && !s.agenda[0].at.After(end) {
		next := heap.Pop(&s.agenda).(event)
		s.now = next.at
		s.Events++
		next.do()
		s.checkAlways()
	}
	s.now = end
}

// after lets something happen in d.
func (s *sim) after(d time.Duration, do func()) {
	s.made++
	heap.Push(&s.agenda, event{at: s.now.Add(d), order: s.made, do: do})
}

// tell adds a line to the story.
func (s *sim) tell(format string, args ...any) {
	if len(s.story) >= 2*storyLines {
		s.story = append(s.story[:0], s.story[storyLines:]...)
	}
	s.story = append(s.story, s.now.Format("2006-01-02T15:04:05 ")+fmt.Sprintf(format, args...)+" ["+string(s.last.State)+"]")
}

// fail ends the history: a promise is broken.
func (s *sim) fail(format string, args ...any) {
	if s.err == nil {
		s.err = errors.New(s.now.Format("2006-01-02T15:04:05 ") + fmt.Sprintf(format, args...))
		if s.spec != nil {
			s.tell("in the end: announced %q, in force %q, DNS %v", s.spec.AnnouncedID, s.spec.InForceID, s.nameservers)
			for _, e := range s.spec.Ledger {
				s.tell("in the ledger: %s %v %d until %s", e.ID, e.MX, e.MaxAgeSeconds, e.CachedUntil)
			}
		}
	}
}

// chance is true once in n times.
func (s *sim) chance(n int) bool { return s.rnd.IntN(n) == 0 }

// within is a random time below d.
func (s *sim) within(d time.Duration) time.Duration { return time.Duration(s.rnd.Int64N(int64(d) + 1)) }

// about is a random time of mean d, now and then several times as long.
func (s *sim) about(d time.Duration) time.Duration {
	return time.Duration(s.rnd.ExpFloat64() * float64(d))
}

func pick[T any](s *sim, of ...T) T { return of[s.rnd.IntN(len(of))] }
