package e2e

import (
	"sync"
	"time"
)

// peace lets the stories that break what is everybody's take turns with those that only live there. The
// latter join while they do something and leave while they just wait: those waits stand any disaster.
type peace struct {
	mu      sync.Mutex
	changed *sync.Cond
	stories int
	broken  bool
	urgent  *story // whose turn is next
	// reboots are the times without pods, which also ended what senders were connected to.
	reboots []period
}

type period struct{ from, to time.Time }

func newPeace() *peace {
	p := new(peace)
	p.changed = sync.NewCond(&p.mu)
	return p
}

func (p *peace) join() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.broken {
		p.changed.Wait()
	}
	p.stories++
}

func (p *peace) leave() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stories--
	p.changed.Broadcast()
}

// disturb calls do while no story does anything. It does not keep others from joining while it waits.
func (p *peace) disturb(who *story, do func()) {
	p.mu.Lock()
	for p.broken || p.stories > 0 || p.urgent != nil && p.urgent != who {
		p.changed.Wait()
	}
	p.broken = true
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.broken = false
		p.changed.Broadcast()
	}()
	p.calm(who)
	do()
}

// hurry makes all others who want to be alone wait until who was, or is calm.
func (p *peace) hurry(who *story) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.urgent = who
}

func (p *peace) calm(who *story) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.urgent == who {
		p.urgent = nil
		p.changed.Broadcast()
	}
}

// rebooted notes that pods were away.
func (p *peace) rebooted(from, to time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reboots = append(p.reboots, period{from, to})
}

// away says whether something that lasted that long fell into a reboot.
func (p *peace) away(from, to time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range p.reboots {
		if !from.Before(r.from) && !to.After(r.to) {
			return true
		}
	}
	return false
}

// apart calls do, which only waits, while others may break what they like.
func (s *story) apart(do func()) {
	s.leave()
	defer s.join()
	do()
}

// together calls do, which is not to be disturbed, within apart.
func (s *story) together(do func()) {
	s.join()
	defer s.leave()
	do()
}

// alone calls do, which breaks what is everybody's, once all the others are done or just wait.
func (s *story) alone(do func()) {
	s.t.Helper()
	s.say("waiting until nobody minds")
	s.leave()
	defer s.join()
	s.disturb(s, do)
}
