package publication

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
)

// pass is one run of Decide: the decision in the making and what it is made from.
type pass struct {
	Decision
	o   Observation
	now time.Time
	// clock is now, or the API server's time if that is ahead: by a clock that is far behind no id is plausible.
	clock time.Time
	t     Timings

	// fresh asks for a new id even for the same policy: the old one may stand for something else.
	fresh bool
	// copied is set if the publication is a copy of one that has announced something.
	copied bool
	// minted is set by a mint in this pass: nothing observed so far is about the new instance.
	minted bool
	// held is set while the wanted policy may not be published; what is current goes on meanwhile.
	held *held
	// retiring is set once the policy's absence has outlived the grace and a drain is wanted.
	retiring bool
	// restoredAt is when the data was restored that somebody said was.
	restoredAt time.Time
	// unverified says why an id goes ahead although the policy URL does not answer it.
	unverified string
}

// Decide says what should be true of one domain from now on. spec is what has been promised so
// far (nil: nothing) and is not changed. When the decision names a Need, the caller satisfies it
// and decides again from the same spec; otherwise it writes Spec first and acts after that.
func Decide(spec *v1alpha1.MTASTSPublicationSpec, o Observation, now time.Time, t Timings) Decision {
	p := &pass{Decision: Decision{Spec: spec.DeepCopy(), TXT: TXTLeave}, o: o, now: now, clock: now, t: t}
	if o.Clock.After(now) {
		p.clock = o.Clock
	}
	if spec == nil && o.Claim == nil {
		return p.Decision
	}
	// Each step either finishes the pass (false) or leaves the rest to the next one.
	steps := []func() bool{
		p.begin, p.sane, p.remember, p.trustOnlyOurs, p.discard, p.standing, p.sound, p.follow, p.notice, p.change,
		p.removing, p.heal, p.darken, p.spread, p.settle, p.retire,
	}
	for _, step := range steps {
		if !step() {
			break
		}
	}
	if h := p.held; h != nil && p.Need == NeedNothing {
		p.wait(v1alpha1.StateHeld, h.reason, h.message)
		p.Stalled = h.stalled
	}
	return p.Decision
}

// need stops the pass until the caller knows more.
func (p *pass) need(n Need) bool {
	p.Need = n
	return false
}

// trustOnlyOurs notices that the publication is older than what senders may hold: it was restored
// from a copy, or with all the cluster's data, or a live object carries an id of ours that it does not
// know. Ids are fencing tokens: a smaller one never wins, so a fresh one is minted above both (I3).
func (p *pass) trustOnlyOurs() bool {
	g, unknown := p.o.Greater, p.ahead()
	// Of a copy that has announced nothing the original may have. Who began the publication writes down its UID, by
	// which copies can be told; an operator that has taken over before that cannot, and looks.
	copied := p.Spec.UID != p.o.UID && !p.o.Begun
	if p.o.Begun {
		p.Spec.UID = p.o.UID
	}
	said := p.saidRestored()
	if (copied || said || (unknown && g.OnlyDNS)) && !p.looked(p.restoredAt) {
		return false
	}
	if why := p.lost(copied, said); why != "" {
		if !p.knowsMX() {
			return false
		}
		if !p.enterGap(why) {
			return false
		}
	}
	if copied || said {
		p.enterFound()
	}
	if copied {
		p.adoptCopy()
	}
	if said {
		p.heedRestored()
	}
	if unknown { // even if DNS has told the id meanwhile: it does not tell the policy
		p.raise(string(g.ID))
		p.found(string(g.ID))
		if g.Policy != nil {
			p.open(string(g.ID), *g.Policy, v1alpha1.OriginSeen)
		}
		p.fresh = true
	}
	p.planted()
	return true
}

// adoptCopy makes the copy that the publication is its own original.
func (p *pass) adoptCopy() {
	transferred, from := p.transferred(), p.Spec.TransferredFrom
	recorded := p.Spec.UID != "" || from != nil
	p.Spec.UID, p.Spec.TransferredFrom = p.o.UID, nil
	if !recorded && p.Spec.AnnouncedID == "" {
		return // its beginning was interrupted, or somebody made it by hand
	}
	if p.o.TXTObject != p.Spec.AnnouncedID {
		p.Spec.InForceID = "" // else the object would be taken for one that was deleted, and the old id be announced again
	}
	// How far a retirement had come then says nothing about now, nor since when the policy is gone: it
	// may be restored long after the publication. Until one is followed nothing retires (I6).
	p.Spec.PolicyRef = nil
	p.Spec.PolicyGoneAt, p.Spec.Retirement = nil, nil
	if p.Spec.AnnouncedID == "" {
		return
	}
	p.fresh, p.copied = true, true
	if transferred {
		p.event(v1alpha1.ReasonAdopted, "handed over from namespace "+from.Namespace+": a fresh id is minted, because the servers of this namespace have yet to serve the policy")
		return
	}
	p.reopenAll()
	p.warn(v1alpha1.ReasonRestored, "the publication was restored from a copy: a fresh id is minted, because the recorded one may be older than what senders hold")
}

// sound notices a current instance that somebody edited: an id that is not the last one, or that was
// minted for another body, names nothing that anybody serves (I3). A fresh one takes its place.
func (p *pass) sound() bool {
	if c := p.Spec.Current; c != nil && (c.ID != p.Spec.LastID || !mtasts.ID(c.ID).Names(c.Body)) {
		p.fresh = true
	}
	return true
}

// follow binds the publication to its policy, or counts how long there has been none.
func (p *pass) follow() bool {
	c := p.o.Claim
	if c == nil {
		return p.missPolicy()
	}
	if ref := p.Spec.PolicyRef; ref != nil && ref.UID != c.UID && (p.Spec.PolicyGoneAt != nil || ref.Name != c.Name) {
		p.adopt(ref.Name)
	}
	p.Spec.PolicyRef = &v1alpha1.PolicyReference{Name: c.Name, UID: c.UID, Generation: c.Generation}
	p.Spec.DeletionPolicy = c.DeletionPolicy
	p.Spec.Delivery = c.Delivery
	p.Spec.PolicyGoneAt, p.Spec.Retirement = nil, nil
	return true
}

// adopt tells that the claim took the publication over from another policy. That the domain stops being enforced
// by it was nobody's edit.
func (p *pass) adopt(from string) {
	c, current := p.o.Claim, p.current()
	message := "policy " + c.Name + " took over what was published for policy " + from
	if current != nil && current.Mode == mtasts.ModeEnforce && c.Wanted.Mode != mtasts.ModeEnforce {
		p.warn(v1alpha1.ReasonAdopted, message+", and leaves mode enforce: it asks for mode "+string(c.Wanted.Mode)+". If that was not meant, set its spec.mode")
		return
	}
	p.event(v1alpha1.ReasonAdopted, message)
}

// change mints the wanted policy if it means something else than the current one and may be published.
func (p *pass) change() bool {
	current := p.current()
	wanted, ok := p.wanted()
	if !ok || (current != nil && wanted.Equal(*current)) {
		return p.renew()
	}
	if !p.paced(wanted) {
		return current != nil
	}
	if !p.retiring {
		isHeld, goOn := p.hold(current, wanted)
		if !goOn {
			return false
		}
		if isHeld {
			return p.renew() && current != nil
		}
	}
	if !p.sure(wanted) {
		return false
	}
	p.mint(wanted)
	return true
}

// renew mints a fresh id for the same policy if one is due.
func (p *pass) renew() bool {
	current := p.current()
	if !p.fresh || current == nil || !p.paced(*current) {
		return true
	}
	if !p.sure(*current) {
		return false
	}
	p.mint(*current)
	return true
}

// wanted is the policy that should be current: the claim's, or, while retiring, mode none if
// senders may hold anything that could make them refuse mail (RFC 8461 §8.3).
func (p *pass) wanted() (mtasts.Policy, bool) {
	if p.o.Claim != nil {
		return p.o.Claim.Wanted, true
	}
	current := p.current()
	if !p.retiring || current == nil || !p.mayBeCached() {
		return mtasts.Policy{}, false
	}
	return mtasts.Policy{Mode: mtasts.ModeNone, MX: current.MX, MaxAgeSeconds: mtasts.MinMaxAgeSeconds}, true
}

// mayBeCached says whether a sender may hold an enforce policy of this domain.
func (p *pass) mayBeCached() bool {
	current := p.current()
	return len(p.Spec.Ledger) > 0 || (p.everVisible() && current != nil && current.Mode == mtasts.ModeEnforce)
}

// mint records a new instance. The ids it supersedes stay open in the ledger until DNS and every
// server have left them behind. It is false if no id is greater than all those before.
func (p *pass) mint(policy mtasts.Policy) bool {
	policy = policy.Canonical()
	body := policy.String()
	id, ok := mtasts.MintID(p.now, p.greatest(), body)
	if !ok {
		return p.endOfIDs()
	}
	p.Minted, p.Overtook = true, p.overtaking()
	p.supersede()
	p.Spec.Current = &v1alpha1.Instance{
		ID: string(id), Mode: v1alpha1.Mode(policy.Mode), MX: policy.MX,
		MaxAgeSeconds: int32(policy.MaxAgeSeconds), Body: body, //nolint:gosec // bounded by admission: at most 31557599
	}
	p.Spec.LastID = string(id)
	p.fresh, p.minted = false, true
	p.Events = append(p.Events, Event{Quiet: true, Reason: v1alpha1.ReasonMinted, Message: "mode " + string(policy.Mode) + " is being served under id " + string(id)})
	return true
}

// endOfIDs stops for want of a greater id.
func (p *pass) endOfIDs() bool {
	p.held = &held{reason: v1alpha1.ReasonClockOutOfRange, stalled: true, message: "no further id can be minted: the operator's clock says " +
		shown(p.now) + ", and ids end with the year 2999; set the clock of its node right"}
	return false
}

// current is the recorded instance as a policy; nil if there is none.
func (p *pass) current() *mtasts.Policy {
	if p.Spec.Current == nil {
		return nil
	}
	policy := PolicyOf(*p.Spec.Current)
	return &policy
}

// everVisible says whether senders may ever have read an id of this domain.
func (p *pass) everVisible() bool {
	return p.Spec.AnnouncedID != "" || len(p.Spec.FoundIDs) > 0
}

// stamp is now as it is recorded.
func (p *pass) stamp() *metav1.Time {
	return new(metav1.NewTime(p.now.Truncate(time.Second)))
}
