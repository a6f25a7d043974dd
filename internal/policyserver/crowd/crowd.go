// Package crowd bounds the memory that connections take together. When one more would take more than
// there is room for, those end that have been idle longest: a client that is at work is the last to
// notice that somebody opens connections by the thousand.
//
// There is no bound per address. All requests come through an Ingress controller, from a handful of
// addresses, and nothing tells many senders behind one address from one stranger.
package crowd

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Crowd is the connections of one listener. Its methods are safe for concurrent use.
type Crowd struct {
	room    int64
	started time.Time

	mu      sync.Mutex
	taken   int64
	ending  int64 // of those that End was called for, and that have not left yet
	left    *sync.Cond
	joined  uint64
	members []*Member
	// queue holds those that were idle when it was filled, longest first. Whoever was busy since then, or
	// has joined, comes after all that were not, so the next one who was not is the one idle longest.
	queue []*Member
}

// New returns a crowd whose members take room bytes at most.
func New(room int64) *Crowd {
	c := &Crowd{room: room, started: time.Now()}
	c.left = sync.NewCond(&c.mu)
	return c
}

// Connection is what a Member stands for.
type Connection interface {
	// End begins to end an idle connection, or returns false if there is something to do on it after
	// all. It must not wait, nor call its crowd.
	End() bool
}

// Member is one connection in a crowd, or some work for one. The zero value is in none.
type Member struct {
	// idle is since when, after Crowd.started, nothing happens; busy for none of it.
	idle atomic.Int64

	// What follows is guarded by Crowd.mu.
	connection Connection
	size       int64
	index      int  // in members, counted from 1; 0 if not among them
	ending     bool // and so not among them any more
	order      uint64
	queued     int64 // the value of idle when it was put into the queue
}

const (
	busy = -1
	// mostRefused is how many connections may refuse to End before one more is turned away.
	mostRefused = 16
	// mostEnding is the part of the room that may be taken by those that End was called for.
	mostEnding = 16
)

// Now is the time that Idle takes.
func (c *Crowd) Now() time.Duration { return time.Since(c.started) }

// Started is when Now was 0.
func (c *Crowd) Started() time.Time { return c.started }

// Idle says that m has nothing to do since a time of Now.
func (m *Member) Idle(since time.Duration) { m.idle.Store(int64(since)) }

// Busy says that m must not end until it is Idle again.
func (m *Member) Busy() { m.idle.Store(busy) }

// Since is the time that Idle said last, less than 0 after Busy.
func (m *Member) Since() time.Duration { return time.Duration(m.idle.Load()) }

// Join takes m in with a size in bytes, as Idle or Busy as it says it is, and reports whether there was room.
func (c *Crowd) Join(m *Member, connection Connection, size int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.makeRoom(size, nil) {
		return false
	}
	c.joined++
	c.taken += size
	c.members = append(c.members, m)
	m.connection, m.size, m.index, m.order, m.queued = connection, size, len(c.members), c.joined, busy
	return true
}

// Resize changes the size of m, and reports whether there was room. It does nothing to one that has left.
func (c *Crowd) Resize(m *Member, size int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if m.index == 0 || !c.makeRoom(size-m.size, m) {
		return false
	}
	c.taken += size - m.size
	m.size = size
	return true
}

// Leave gives the room of m back; again, it does nothing.
func (c *Crowd) Leave(m *Member) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.remove(m)
	if m.ending {
		m.ending = false
		c.ending -= m.size
		c.left.Broadcast()
	}
}

// Settle waits until most of those have left that were to end. Their room counts as free at once, so that whoever
// takes in many has to wait for them now and then.
func (c *Crowd) Settle() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.ending > c.room/mostEnding {
		c.left.Wait()
	}
}

func (c *Crowd) remove(m *Member) {
	if m.index == 0 {
		return
	}
	c.taken -= m.size
	last := len(c.members) - 1
	c.members[m.index-1] = c.members[last]
	c.members[m.index-1].index = m.index
	c.members[last] = nil
	c.members = c.members[:last]
	m.index = 0
}

// makeRoom ends connections, but not that of spared, until need more bytes fit. Where many have something
// to do after all it gives up soon: the new one is the least of their worries.
func (c *Crowd) makeRoom(need int64, spared *Member) bool {
	for refused := 0; need > 0 && c.taken+need > c.room; {
		m := c.longestIdle(spared)
		if m == nil {
			return false
		}
		if m.connection.End() {
			c.remove(m)
			m.ending = true
			c.ending += m.size
		} else if refused++; refused == mostRefused {
			return false
		}
	}
	return true
}

// longestIdle takes whom it returns out of the queue; nil if all but spared are busy.
func (c *Crowd) longestIdle(spared *Member) *Member {
	for range 2 {
		kept := c.queue[:0:0]
		for i, m := range c.queue {
			switch {
			case m.index == 0, m.queued == busy, m.queued != m.idle.Load():
			case m == spared:
				kept = append(kept, m)
			default:
				m.queued = busy // not again before the queue is filled
				copy(c.queue[i+1-len(kept):], kept)
				c.queue = c.queue[i+1-len(kept):]
				return m
			}
		}
		c.fill()
	}
	return nil
}

func (c *Crowd) fill() {
	c.queue = c.queue[:0:0]
	for _, m := range c.members {
		if m.queued = m.idle.Load(); m.queued != busy {
			c.queue = append(c.queue, m)
		}
	}
	slices.SortFunc(c.queue, func(a, b *Member) int {
		return cmp.Or(cmp.Compare(a.queued, b.queued), cmp.Compare(a.order, b.order))
	})
}
