package publication

import (
	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
)

// notice enters what senders may have been given beside the current instance, and notes it if they
// may have paired that with the announced id (I10).
func (p *pass) notice() bool {
	current := p.Spec.Current
	leaving := p.retiring && p.Spec.Retirement.RemovingSince != nil
	if current == nil || leaving || !p.everVisible() {
		return true
	}
	p.relapse()
	if p.contaminated() && !p.dark() && p.Spec.AnnouncedID == current.ID && p.Spec.Contamination == nil {
		p.Spec.Contamination = &v1alpha1.Contamination{ID: current.ID, SeenAt: *p.stamp()}
	}
	return true
}

// heal mints a fresh id for the same policy once everything is right again (I10).
func (p *pass) heal() bool {
	current := p.Spec.Current
	if current == nil {
		return true
	}
	if c := p.Spec.Contamination; c != nil && c.ID != current.ID {
		p.Spec.Contamination = nil
	}
	orphaned := p.o.Claim == nil && p.Spec.DeletionPolicy == v1alpha1.DeletionOrphan
	if p.Spec.Contamination == nil || orphaned || p.dark() {
		return true
	}
	// Not the id's own time: that may lie ahead of every clock.
	if wait := p.Spec.AnnouncedAt.Add(p.t.HealInterval).Sub(p.now); wait > 0 {
		p.again(wait)
		return true
	}
	if !p.o.Servers.All() || p.wrongBody() {
		return true
	}
	if !p.paced(*p.current()) {
		return true
	}
	if !p.sure(*p.current()) {
		return false
	}
	if p.mint(*p.current()) {
		p.event(v1alpha1.ReasonReannounced, "a server or the policy URL was seen with another policy while id "+current.ID+" was announced: a fresh id makes senders fetch again")
		p.Spec.Contamination = nil
	}
	return true
}

// contaminated opens what was seen beside the announced instance, and says whether anything was.
func (p *pass) contaminated() bool {
	seen := false
	for _, b := range p.o.Servers.Behind {
		p.reopen(b.ID) // while a newer instance spreads, lagging is no contamination: but it may be one from long ago
	}
	for _, id := range p.o.Servers.Older {
		seen = true
		p.reopen(id)
	}
	// A look made for an instance that was superseded since saw what senders saw all the same.
	if look := p.o.Public; look != nil && look.Outcome == WrongBody && look.Seen != nil && !p.dark() {
		seen = seen || p.wrongBody()
		p.open(look.Seen.ID, look.Seen.Policy, v1alpha1.OriginSeen)
	}
	return seen
}

func (p *pass) wrongBody() bool {
	return p.o.Public != nil && p.o.Public.Outcome == WrongBody && p.o.Public.For == p.Spec.Current.ID
}
