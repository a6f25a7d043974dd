package publication

import (
	"fmt"
	"time"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
)

// Pace says from when on a domain may get another id. What is zero, or over, permits one at once.
type Pace struct {
	// Next is for every id but one that leaves enforce.
	Next time.Time
	// Overtake is for one that has no other cause than a greater id of somebody else's.
	Overtake time.Time
}

// Mints is the pace of one domain's ids: a few at once, and then one in a while. Each edit is to reach DNS
// before the next one takes its place, and ids must not run ahead of the clock. It goes by when ids were
// minted, not by the time they tell, which may be ahead. It is kept in memory: a restart forgets it.
type Mints struct {
	// full is when nothing of the burst is used up any more.
	full time.Time
	// last is when this was asked or told last.
	last time.Time
	// overtook are the last ids that had to exceed somebody else's, the oldest first.
	overtook []time.Time
}

// overtakeMost is how many greater ids of somebody else's are exceeded within Timings.OvertakeInterval:
// one may be what a restore left behind, but another operator does it again each time.
const overtakeMost = 3

// Note counts an id that was minted.
func (m *Mints) Note(now time.Time, overtook bool, t Timings) {
	m.follow(now)
	if m.full.Before(now) {
		m.full = now
	}
	m.full = m.full.Add(t.MintInterval)
	if most := now.Add(time.Duration(t.MintBurst) * t.MintInterval); m.full.After(most) {
		m.full = most // who leaves enforce need not wait, and nobody waits longer for it
	}
	if overtook {
		m.overtook = append(m.overtook[max(0, len(m.overtook)-overtakeMost+1):], now)
	}
}

// Pace is from when on the next id may be minted.
func (m *Mints) Pace(now time.Time, t Timings) Pace {
	m.follow(now)
	var p Pace
	if next := m.full.Add(-time.Duration(t.MintBurst-1) * t.MintInterval); next.After(now) {
		p.Next = next
	}
	if len(m.overtook) == overtakeMost {
		if next := m.overtook[0].Add(t.OvertakeInterval); next.After(now) {
			p.Overtake = next
		}
	}
	return p
}

// follow goes along with a clock that is set back: nobody waits until it has come so far again.
func (m *Mints) follow(now time.Time) {
	if back := m.last.Sub(now); back > 0 {
		m.full = m.full.Add(-back)
		for i := range m.overtook {
			m.overtook[i] = m.overtook[i].Add(-back)
		}
	}
	m.last = now
}

// paced says whether an id for wanted may be minted now. Leaving enforce never waits, and a copy of the
// publication cannot: that it is one is noticed once.
func (p *pass) paced(wanted mtasts.Policy) bool {
	current := p.current()
	leaving := current != nil && current.Mode == mtasts.ModeEnforce && wanted.Mode != mtasts.ModeEnforce
	if leaving || p.copied {
		return true
	}
	next, h := p.o.Pace.Next, &held{reason: v1alpha1.ReasonChangesTooFrequent}
	h.message = "there were too many changes in a short time: what is published now stays until " + shown(next) +
		", and then the policy as it is by then is published"
	if c := p.o.Claim; c != nil {
		h.message += fmt.Sprintf("; find out who keeps changing it: kubectl -n %s get mtastspolicy %s -o yaml --show-managed-fields", p.o.Namespace, c.Name)
	}
	if o := p.o.Pace.Overtake; o.After(next) && p.overtaking() && current != nil && wanted.Equal(*current) {
		next, h = o, &held{reason: v1alpha1.ReasonForeignPublisher, stalled: true}
		theirs := p.Spec.LastID // which a gap may have raised beyond it
		if p.o.TXTObject != "" && mtasts.ID(p.o.TXTObject).Compare(mtasts.ID(p.Spec.Current.ID)) > 0 {
			theirs = p.o.TXTObject
		}
		h.message = fmt.Sprintf("another operator publishes this domain: id %s is greater than ours, %s, and so was another one each time that ours was raised above it; "+
			"leave the domain to one of the two: stop the other one and its external-dns before you delete anything there. The next try is at %s", theirs, p.Spec.Current.ID, shown(next))
	}
	wait := next.Sub(p.now)
	if wait <= 0 {
		return true
	}
	p.again(wait)
	if p.o.Claim != nil {
		p.held = h
	}
	return false
}

// overtaking says whether somebody else's id is greater than the current one.
func (p *pass) overtaking() bool {
	c := p.Spec.Current
	return c != nil && mtasts.ID(p.Spec.LastID).Compare(mtasts.ID(c.ID)) > 0
}
