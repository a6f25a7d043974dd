package operator

import (
	"sync"
	"time"

	"k8s.io/utils/clock"
)

// Clock is the real clock, set forward or back.
type Clock struct {
	clock.RealClock

	mu     sync.Mutex
	offset time.Duration
}

// Step sets the clock forward, or back if d is negative.
func (c *Clock) Step(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.offset += d
}

// Now is the time of the clock as it is set.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.RealClock.Now().Add(c.offset)
}

// Since is the time that passed since t by this clock.
func (c *Clock) Since(t time.Time) time.Duration { return c.Now().Sub(t) }
