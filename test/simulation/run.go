package simulation

import (
	"container/heap"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	"github.com/mta-sts-operator/mta-sts-operator/controllers"
	"github.com/mta-sts-operator/mta-sts-operator/internal/config"
)

const (
	day = 24 * time.Hour
	// length is how long faults and edits go on before everything must come to its end.
	length = 21 * day
	// storyLines is how much of the story is kept.
	storyLines = 400
)

// Figures say how much was simulated.
type Figures struct {
	Seeds int
	// Days are simulated days: a time.Duration ends after three centuries.
	Days   float64
	Events int
	Passes int
	// Writes of the operators, and how many of them the API server refused.
	Writes, Refused int
	Deliveries      int
	Fetches         int
	// Leaders counts operators that were started, Removed publications that came to their end.
	Leaders, Removed int
}

// Add sums up.
func (f *Figures) Add(g Figures) {
	f.Seeds += g.Seeds
	f.Days += g.Days
	f.Events += g.Events
	f.Passes += g.Passes
	f.Writes += g.Writes
	f.Refused += g.Refused
	f.Deliveries += g.Deliveries
	f.Fetches += g.Fetches
	f.Leaders += g.Leaders
	f.Removed += g.Removed
}

// birth is when every history begins.
var birth = time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)

// sim is one history: a clock, what is going to happen, and everybody who takes part.
type sim struct {
	Figures
	cluster
	internet

	seed   uint64
	rnd    *rand.Rand
	now    time.Time
	clock  *clocktesting.FakeClock
	agenda agenda
	made   int
	story  []string
	err    error

	config  config.Operator
	timings controllers.Timings
	leaders []*leader
	started int
	// writing is the operator's write that is being made.
	writing string
	// hour is when writesBefore were counted.
	hour         time.Time
	writesBefore int
	lastError    map[slot]string
	// stalled counts how deep passes are interrupted by others.
	stalled int
	// until when API calls fail now and then, and passes are interrupted.
	unreliableUntil, slowUntil time.Time
	// over: no more faults; atRest: nothing may be written any more.
	over, atRest bool
}

// Run lives through the history of one seed. The same seed is the same history, however often. The
// error names the promise that was broken; story is what led there, oldest first.
func Run(seed uint64) (figures Figures, story string, err error) {
	s := newSim(seed)
	s.populate()
	s.until(birth.Add(length))
	if s.err == nil {
		s.end()
	}
	s.Seeds, s.Days, s.Leaders = 1, s.now.Sub(birth).Hours()/24, s.started
	return s.Figures, strings.Join(s.story, "\n"), s.err
}

func newSim(seed uint64) *sim {
	s := &sim{
		seed: seed, rnd: rand.New(rand.NewPCG(seed, 8460)), //nolint:gosec // a history must be repeatable
		now: birth, clock: clocktesting.NewFakeClock(birth), lastError: map[slot]string{},
	}
	s.store = newStore(func() time.Time { return s.now })
	s.store.changed = s.changed
	s.config = config.Default()
	s.config.Server.Image = "mta-sts-operator:simulation"
	s.config.Issuer = config.Issuer{Name: "simulation", Kind: "ClusterIssuer"}
	s.config.DNS.TTLSeconds = pick(s, int32(60), 300, 3600)
	s.timings = controllers.DefaultTimings()
	// What only repeats itself is done less often, so that weeks pass quickly.
	s.timings.AskRest, s.timings.PollMost, s.timings.MXFresh = time.Hour, 10*time.Minute, 30*time.Minute
	s.timings.LookInterval = 3 * time.Hour
	return s
}

// until lets time pass with everything that happens in it.
func (s *sim) until(end time.Time) {
	for s.err == nil && len(s.agenda) > 0 && !s.agenda[0].at.After(end) {
		next := heap.Pop(&s.agenda).(event)
		s.set(next.at)
		s.Events++
		next.do()
		s.check()
	}
	s.set(end)
}

// set moves the clock, never back: a pass that was interrupted may have taken longer than the caller knows.
func (s *sim) set(now time.Time) {
	if now.After(s.now) {
		s.now = now
		s.clock.SetTime(now)
	}
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
	s.story = append(s.story, s.now.Format("01-02T15:04:05.000 ")+fmt.Sprintf(format, args...))
}

// fail ends the history: a promise is broken.
func (s *sim) fail(format string, args ...any) {
	if s.err != nil {
		return
	}
	text := s.now.Format("01-02T15:04:05.000 ") + fmt.Sprintf(format, args...)
	if s.writing != "" {
		text += " [" + s.writing + "]"
	}
	s.err = errors.New(text)
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
