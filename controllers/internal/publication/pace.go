package publication

import (
	"fmt"
	"slices"
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
	// overtook are the last ids that had to exceed somebody else's, the oldest first.
	overtook []time.Time
}

// overtakeMost is how many greater ids of somebody else's are exceeded within Timings.OvertakeInterval:
// one may be what a restore left behind, but another operator does it again each time.
const overtakeMost = 3

// Note counts an id that was minted.
func (m *Mints) Note(now time.Time, overtook bool, t Timings) {
	burst := time.Duration(t.MintBurst) * t.MintInterval
	full := m.fullBy(now, t)
	if full.Before(now) {
		full = now
	}
	m.full = full.Add(t.MintInterval)
	if most := now.Add(burst); m.full.After(most) {
		m.full = most // who leaves enforce need not wait, and nobody waits longer for it
	}
	if overtook {
		m.overtook = append(m.overtook[max(0, len(m.overtook)-overtakeMost+1):], now)
	}
}

// Pace is from when on the next id may be minted.
func (m *Mints) Pace(now time.Time, t Timings) Pace {
	var p Pace
	if next := m.fullBy(now, t).Add(-time.Duration(t.MintBurst-1) * t.MintInterval); next.After(now) {
		p.Next = next
	}
	if len(m.overtook) == overtakeMost {
		oldest := slices.MinFunc([]time.Time{m.overtook[0], now}, time.Time.Compare) // the clock may have been set back
		if next := oldest.Add(t.OvertakeInterval); next.After(now) {
			p.Overtake = next
		}
	}
	return p
}

// fullBy is when the burst is unused again, also if the clock was set back.
func (m *Mints) fullBy(now time.Time, t Timings) time.Time {
	if most := now.Add(time.Duration(t.MintBurst) * t.MintInterval); m.full.After(most) {
		return most
	}
	return m.full
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
		", and then the policy as it is by then is published; find out who keeps changing it (kubectl get mtastspolicy -o yaml --show-managed-fields)"
	if o := p.o.Pace.Overtake; o.After(next) && p.overtaking() && current != nil && wanted.Equal(*current) {
		next, h = o, &held{reason: v1alpha1.ReasonForeignPublisher, stalled: true}
		h.message = fmt.Sprintf("another operator publishes this domain: id %s is greater than ours, %s, and so was another one each time that ours was raised above it; "+
			"leave the domain to one of the two, and delete the policy of the other. The next try is at %s", p.Spec.LastID, p.Spec.Current.ID, shown(next))
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
