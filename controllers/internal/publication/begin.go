package publication

import (
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
)

// unknownMaxAge is what an instance of which only the id is known is taken to live: the RFC's maximum.
const unknownMaxAge = 31557600

// begin starts the publication of a domain by looking at what is published for it today: an empty
// ledger would claim that nobody holds anything, and nobody can know that without looking (I5).
func (p *pass) begin() bool {
	if p.Spec != nil {
		return true
	}
	// However long DNS is silent: without it no policy can come into force anyway, and nobody would know
	// what senders hold.
	if p.o.World == nil || p.o.World.DNS.Answer == Unknown {
		return p.waitForWorld()
	}
	if p.strayed() {
		return false
	}
	if p.outdated(p.o.World.DNS.Tried) {
		return p.need(NeedWorld) // the claim had to wait since, and the world went on
	}
	p.Spec = &v1alpha1.MTASTSPublicationSpec{}
	p.enterFound()
	return true
}

// strayed waits while an id of ours shows that the domain was published before, and nobody here remembers by
// whom and what senders hold: the publication may be on its way back from a backup, or the claim may be a
// stranger's whose turn has come because the rightful one's was lost (I7).
func (p *pass) strayed() bool {
	stray, title := p.o.World.Stray, p.o.Claim.Title
	if stray == nil || title == ByHistory || stray.Gone.Proves(p.t) {
		return false
	}
	lasts := p.now.Sub(stray.Since)
	if title == ByRule && lasts >= p.t.MemoryPatience {
		return false
	}
	p.wait(v1alpha1.StatePending, v1alpha1.ReasonObserving, "DNS or the policy host shows id "+stray.ID+
		", which an operator like this one made, and no publication in this cluster knows it: "+p.way())
	p.Stalled = title == Untitled && lasts >= p.t.MemoryPatience && stray.Gone.Tries == 0
	due := p.o.World.DNS.At.Add(p.strayInterval(stray)).Sub(p.now)
	if due > 0 && !p.o.World.DNS.At.After(p.now) {
		p.again(due)
		return true
	}
	return !p.need(NeedWorld)
}

// way says how the wait for a lost publication ends.
func (p *pass) way() string {
	if p.o.Claim.Title == ByRule {
		return "it may still be restored, and is waited for until " + p.o.World.Stray.Since.Add(p.t.MemoryPatience).UTC().Format(time.RFC3339)
	}
	return "restore the publication; or wait until DNS has not answered the id for " + p.t.ProofPeriod.String() +
		" (remove the record if nobody else publishes the domain); or, if it is this namespace's, somebody with rights in the whole cluster says so: " + p.o.Claim.Word
}

// strayInterval is the time between two looks at a stray id: less and less often while it stands.
func (p *pass) strayInterval(s *Stray) time.Duration {
	if s.Gone.Tries > 0 {
		return p.t.ProofPeriod / time.Duration(p.t.ProofLooks)
	}
	return min(max(p.now.Sub(s.Since)/10, p.t.PollMost), p.t.LookInterval)
}

// remember keeps the greatest TTL of the id's record that was published or seen, and that a record
// object was there before any id was announced. It takes back times that a clock which ran ahead has
// written: nothing waits until they come true.
func (p *pass) remember() bool {
	if p.o.TXTObject != "" {
		p.found(p.o.TXTObject)
	}
	p.seenTTL(time.Duration(p.o.TTLSeconds) * time.Second)
	if dns := p.o.DNS; dns != nil && dns.Answer == Found {
		p.seenTTL(dns.TTL)
	}
	if at := p.Spec.AnnouncedAt; at != nil && at.After(p.now) && p.o.Outage != nil {
		p.Spec.AnnouncedAt = new(metav1.NewTime(p.o.Outage.Since.Truncate(time.Second))) // or after the outage: nobody knows
	}
	times := []**metav1.Time{&p.Spec.AnnouncedAt, &p.Spec.PolicyGoneAt}
	if r := p.Spec.Retirement; r != nil {
		times = append(times, &r.RemovingSince, &r.AbsentSince)
	}
	for _, t := range times {
		if *t != nil && (*t).After(p.now) {
			*t = p.stamp()
		}
	}
	return true
}

// seenTTL keeps the greatest TTL, as far as resolvers heed it.
func (p *pass) seenTTL(ttl time.Duration) {
	p.Spec.TTLMaxSeconds = max(p.Spec.TTLMaxSeconds, int32(min(ttl.Seconds(), maxTTLSeconds)))
}

// worldPending says whether the look at the world told nothing, and another try is worth it: what was
// published before must not be stuck, mode none least of all, because a resolver is broken.
func (p *pass) worldPending() bool {
	dns := p.o.World.DNS
	if dns.Answer == Unknown && p.Spec.Current == nil {
		return true // nothing is published that could be stuck, as in begin
	}
	return dns.Answer == Unknown && dns.Tries < p.t.WorldTries && p.now.Sub(dns.Since) < p.t.WorldPatience
}

// waitForWorld asks for the look, or waits until it may be repeated.
func (p *pass) waitForWorld() bool {
	p.wait(v1alpha1.StateServing, v1alpha1.ReasonObserving, "looking at what is published for the domain today")
	if w := p.o.World; w != nil {
		p.Message = "could not see what is published for the domain today: " + w.DNS.Message
		p.Stalled = w.DNS.Tries > 0 && p.now.Sub(w.DNS.Since) >= p.t.BlockedPatience
		if due, wait := p.due(w.DNS.Tried); !due {
			p.again(wait)
			return false
		}
	}
	return p.need(NeedWorld)
}

// due says whether it is time to look again for what stands in the way. Until senders have seen an id, they
// lose nothing by a look that comes later, and others may need the time it takes (I11).
func (p *pass) due(l Tried) (bool, time.Duration) {
	wait := p.t.pollAfter(l.Tries)
	if p.unseen() && l.Tries > 0 {
		wait = max(wait, p.t.patientAfter(l.At.Sub(l.Since)))
	}
	return l.dueAfter(wait, p.now)
}

// outdated says whether what was seen is too old to go by: somebody may have published something since (I5),
// or broken the policy URL (I2).
func (p *pass) outdated(l Tried) bool {
	age := p.now.Sub(l.SeenAt())
	return age < 0 || age >= p.t.LookFresh
}

// unseen says whether senders have never read an id of this domain, as far as is known.
func (p *pass) unseen() bool { return p.Spec == nil || !p.everVisible() }

// enterFound raises lastID above every id seen in the world, and enters what senders may hold.
func (p *pass) enterFound() {
	w := p.o.World
	p.seenTTL(w.DNS.TTL)
	for _, id := range w.DNS.IDs {
		if id == "" || p.known(id) {
			continue
		}
		if w.Policy == nil && p.inGap(id) {
			p.reopen(id) // the gap stands for whatever it is
			continue
		}
		p.raise(id)
		p.found(id)
		if w.Policy != nil {
			p.open(id, w.Policy.Policy, v1alpha1.OriginFound)
			continue
		}
		// Announced, but no body could be had: senders may hold anything.
		p.open(id, mtasts.Policy{Mode: mtasts.ModeEnforce, MaxAgeSeconds: unknownMaxAge}, v1alpha1.OriginFound)
		p.warn(v1alpha1.ReasonMinted, "DNS announced policy "+id+", which could not be fetched: it is taken for an enforce policy that senders keep for a year. "+
			GapWord(p.o.Namespace, p.o.Domain, id))
	}
	if len(w.DNS.IDs) == 0 && w.Policy != nil {
		p.enterUnannounced(*w.Policy)
	}
	if s := w.Stray; s != nil && !slices.Contains(w.DNS.IDs, s.ID) { // it was announced until a while ago
		seen := Seen{ID: s.ID, Policy: mtasts.Policy{Mode: mtasts.ModeEnforce, MaxAgeSeconds: unknownMaxAge}}
		if s.Policy != nil {
			seen.Policy = s.Policy.Policy
		}
		p.enterUnannounced(seen)
	}
}

// enterUnannounced enters a policy that the policy host serves although DNS announces none: it may have
// announced it until a while ago.
func (p *pass) enterUnannounced(seen Seen) {
	p.raise(seen.ID)
	if !p.known(seen.ID) {
		p.open(seen.ID, seen.Policy, v1alpha1.OriginFound)
	}
}

// found notes that senders may have read an id before this publication announced any.
func (p *pass) found(id string) {
	if p.Spec.AnnouncedID == "" && len(p.Spec.FoundIDs) < maxLedger && !slices.Contains(p.Spec.FoundIDs, id) {
		p.Spec.FoundIDs = append(p.Spec.FoundIDs, id)
	}
}

// known says whether id is one of this publication's own.
func (p *pass) known(id string) bool {
	if p.Spec.AnnouncedID == id || (p.Spec.Current != nil && p.Spec.Current.ID == id) {
		return true
	}
	return p.entry(id) != nil
}

// raise makes lastID an id that was met anywhere, if that is greater and may be one of ours.
func (p *pass) raise(text string) {
	if id := mtasts.ID(text); p.believes(id) && id.Compare(mtasts.ID(p.Spec.LastID)) > 0 {
		p.Spec.LastID = text
	}
}
