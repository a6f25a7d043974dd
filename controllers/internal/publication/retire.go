package publication

import (
	"fmt"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
)

// missPolicy counts how long there has been no policy, and begins the retirement after the grace (I6).
func (p *pass) missPolicy() bool {
	if p.Spec.PolicyGoneAt == nil {
		p.Spec.PolicyGoneAt = p.stamp()
	}
	defer p.heed()
	if wait := p.Spec.PolicyGoneAt.Add(p.t.RetireGrace).Sub(p.now); wait > 0 {
		p.again(wait)
		return true
	}
	orphan := p.Spec.DeletionPolicy == v1alpha1.DeletionOrphan
	switch {
	case p.retirementHeld():
		return true
	case p.Spec.DeletionPolicy == v1alpha1.DeletionImmediate:
		if !p.graceIsOver() {
			return false
		}
		p.Remove, p.TXT = true, TXTRemove
		p.wait(v1alpha1.StateRemoving, v1alpha1.ReasonRetiring, "the policy was deleted with deletionPolicy Immediate")
		return false
	case p.Spec.Current == nil, !orphan && !p.everVisible() && Gap(p.Spec) == nil:
		p.wait(v1alpha1.StateRemoving, v1alpha1.ReasonRetiring, "nothing was ever announced")
		p.remove()
		return false
	case orphan:
		return true
	}
	p.retiring = true
	if p.Spec.Retirement == nil {
		p.Spec.Retirement = &v1alpha1.Retirement{StartedAt: *p.stamp()}
		p.event(v1alpha1.ReasonRetiring, "the policy is gone: what was published retires until no sender can hold it")
	}
	return true
}

// retirementHeld says whether a retirement must not begin now. One that has begun goes on: turning
// back halfway would put a record into DNS again that is on its way out.
func (p *pass) retirementHeld() bool {
	return p.Spec.Retirement == nil && (p.o.Held != nil || p.unfollowed()) && !p.released()
}

// unfollowed says whether the publication is a copy that has followed no policy since: the policy may be restored
// long after it, and a publication that senders may know of must not take that for a deletion (I6).
func (p *pass) unfollowed() bool {
	return p.Spec.PolicyRef == nil && p.everVisible()
}

// released says whether somebody meant the policy to go. The word names a time and counts for policies that were
// missed by then: one that lies about in a backup says nothing about what is missed later.
func (p *pass) released() bool {
	word, err := time.Parse(time.RFC3339, p.o.Word)
	return err == nil && !word.After(p.now.Add(time.Minute)) && Released(p.Spec.PolicyGoneAt.Time, p.o.Word)
}

// Released says whether a word counts for a policy that is missed since then.
func Released(gone time.Time, word string) bool {
	by, err := time.Parse(time.RFC3339, word)
	return err == nil && !gone.After(by)
}

// heed takes a word off that has been acted upon, or that does not count.
func (p *pass) heed() {
	p.WordSpent = p.o.Word != "" && (p.Spec.Retirement != nil || !p.released())
	if p.WordSpent && p.Spec.Retirement == nil {
		p.warn(v1alpha1.ReasonRetirementHeld, fmt.Sprintf("annotation %s %.40q does not count, and is taken off: it must name a time that has come, and the policy is missed since %s",
			v1alpha1.ReleaseAnnotation, p.o.Word, shown(p.Spec.PolicyGoneAt.Time)))
	}
}

// showHeld says why a retirement does not begin, and the command that says that it was meant.
func (p *pass) showHeld() {
	why := "many policies disappeared at once, as when a CRD or a folder in Git is deleted by accident: their publications stay"
	which, word := "--all", p.Spec.PolicyGoneAt.Time
	switch held := p.o.Held; {
	case p.unfollowed():
		why, which = "this publication is a copy, restored or handed over, or was made by hand, and no policy for its domain was seen here since: it stays, because the policy may have yet to come", p.Spec.Domain
	case held.Newest.After(word):
		word = held.Newest
	}
	p.Reason, p.Stalled = v1alpha1.ReasonRetirementHeld, true
	p.Message = fmt.Sprintf("%s. If it was meant: kubectl -n %s annotate --overwrite mtastspublication %s %s=%s",
		why, p.o.Namespace, which, v1alpha1.ReleaseAnnotation, shown(word))
	p.again(p.t.RetireGrace)
}

// removing goes on with a removal that has begun.
func (p *pass) removing() bool {
	if !p.retiring || p.Spec.Retirement.RemovingSince == nil {
		return true
	}
	if p.doubted() && !p.stillNothing() {
		return p.Need == NeedNothing
	}
	p.TXT = TXTRemove
	p.showRemoval()
	r := p.Spec.Retirement
	if r.AbsentSince == nil && !p.absent(r) {
		return false
	}
	if gone := r.AbsentSince.Add(time.Duration(p.Spec.TTLMaxSeconds) * time.Second); gone.Before(p.Until) {
		p.Until = gone
	}
	if wait := p.Until.Sub(p.now); wait > 0 {
		p.Message = "waiting until resolvers have dropped the id, at " + shown(p.Until)
		p.again(wait)
		return false
	}
	p.remove()
	return false
}

// showRemoval says how long a removal lasts at most.
func (p *pass) showRemoval() {
	p.Until = p.Spec.Retirement.RemovingSince.Add(p.t.RemovePatience)
	p.wait(v1alpha1.StateRemoving, v1alpha1.ReasonRetiring,
		"the id's record was taken away: waiting until DNS no longer answers it, until "+shown(p.Until)+" at the latest")
}

// absent waits until DNS no longer answers an id of ours, but not for ever: what has become of DNS
// then is somebody else's business, and nothing enforceable is cached any more.
func (p *pass) absent(r *v1alpha1.Retirement) bool {
	dns := p.o.DNS
	if dns != nil && dns.SeenAt().Before(r.RemovingSince.Time) {
		dns = nil
	}
	if dns != nil && dns.Answer != Unknown && len(Ours(p.Spec, dns.IDs)) == 0 {
		r.AbsentSince = p.stamp()
		return true
	}
	if !p.now.Before(p.Until) {
		p.warn(v1alpha1.ReasonRemoved, "DNS may still answer an id of this domain a day after its record was taken away: remove the TXT record by hand; the rest goes now")
		p.remove()
		return false
	}
	wait := r.RemovingSince.Add(p.t.PollFirst).Sub(p.now)
	due := wait <= 0
	if dns != nil {
		due, wait = dns.due(p.now, p.t)
	}
	if due {
		return p.need(NeedDNS)
	}
	p.again(wait)
	return false
}

// Ours are those of the ids that this operator may have minted for the domain.
func Ours(spec *v1alpha1.MTASTSPublicationSpec, ids []string) []string {
	var out []string
	for _, text := range ids {
		id, ok := mtasts.ParseID(text)
		announced := text == spec.AnnouncedID || text == spec.InForceID
		if ok && (announced || (id.Compare(mtasts.ID(spec.LastID)) <= 0 && !slices.Contains(spec.FoundIDs, text))) {
			out = append(out, text)
		}
	}
	return out
}

func (p *pass) remove() {
	p.Remove, p.TXT = true, TXTRemove
	p.event(v1alpha1.ReasonRemoved, "no sender can hold a policy of this domain any more: everything is removed")
}

// retire shows how far the retirement is, and begins the removal when nothing cached needs it.
func (p *pass) retire() bool {
	if p.o.Claim != nil || p.now.Before(p.Spec.PolicyGoneAt.Add(p.t.RetireGrace)) {
		return true
	}
	if p.Spec.DeletionPolicy == v1alpha1.DeletionOrphan {
		p.wait(v1alpha1.StateOrphaned, "", "the policy is gone and everything stays (deletionPolicy Orphan) until the publication is deleted")
		return true
	}
	if p.retirementHeld() {
		p.showHeld()
		return true
	}
	if p.mayBeCached() || (p.doubted() && !p.stillNothing()) {
		if p.Need != NeedNothing {
			return false
		}
		p.State = v1alpha1.StateRetiring
		p.showUntil()
		if since := p.o.Servers.Since; !since.IsZero() {
			p.again(since.Add(p.t.ProofPeriod).Sub(p.now)) // then it is a stall
		}
		return true
	}
	return p.beginRemoval()
}

// graceIsOver makes sure that the API server's clock agrees that the grace is over: what follows cannot
// be undone. A grace that began in that clock's future begins now.
func (p *pass) graceIsOver() bool {
	trusted := p.o.Trusted
	if trusted.IsZero() {
		return p.need(NeedTrustedTime)
	}
	if p.Spec.PolicyGoneAt.After(trusted) {
		p.Spec.PolicyGoneAt = new(metav1.NewTime(trusted.Truncate(time.Second)))
	}
	wait := p.Spec.PolicyGoneAt.Add(p.t.RetireGrace).Sub(trusted)
	if wait > 0 {
		p.wait(v1alpha1.StateRetiring, v1alpha1.ReasonRetiring, "the operator's clock is ahead of the API server's: waiting until both agree that the policy is gone for good")
		p.again(wait)
	}
	return wait <= 0
}

// beginRemoval takes the record out of DNS.
func (p *pass) beginRemoval() bool {
	if !p.graceIsOver() {
		return p.Need == NeedNothing
	}
	// That DNS answers no id is found out anew: while it was dark the record was not taken away yet.
	p.Spec.Retirement.RemovingSince, p.Spec.Retirement.AbsentSince = p.stamp(), nil
	p.TXT = TXTRemove
	p.showRemoval()
	p.again(p.t.PollFirst)
	return true
}

// showUntil says how long senders may hold what was published, if that is known.
func (p *pass) showUntil() {
	for _, e := range p.Spec.Ledger {
		if e.CachedUntil == nil {
			p.Until = time.Time{}
			if p.Message == "" {
				p.Reason = v1alpha1.ReasonRetiring
				p.Message = fmt.Sprintf("senders may hold policy %s until DNS and every server have left it behind", e.ID)
			}
			return
		}
		if e.CachedUntil.After(p.Until) {
			p.Until = e.CachedUntil.Time
		}
	}
	if !p.Until.IsZero() && p.Message == "" {
		p.Reason = v1alpha1.ReasonRetiring
		p.Message = "mode none is published"
		if p.dark() {
			p.Message = "DNS answers no id of this domain since " + shown(p.Spec.Retirement.AbsentSince.Time)
		}
		p.Message += "; senders may hold an older policy until " + shown(p.Until) + ": then everything is removed, the id's record first"
		if gap := Gap(p.Spec); gap != nil && gap.CachedUntil.Time.Equal(p.Until) {
			p.Message += ". Until then because of a restore: what was announced after " + ShownID(gap.AfterID) + " is not known. " + GapWord(p.o.Namespace, p.Spec.Domain, gap.ID)
		}
	}
}

// shown is a time as messages show it.
func shown(t time.Time) string { return t.UTC().Format(time.RFC3339) }
