package publication

import (
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
)

// maxLedger bounds the ledger; beyond it the two oldest entries become one. The gap does not count, and is
// never one of the two: what is known must not become unknown, nor end with it.
const maxLedger = 16

// maxPattern is what the API server accepts, and how long a name may be.
const maxPattern = 253

// supersede enters the current instance into the ledger if senders may hold it and it can make them
// refuse mail. Nothing is entered while no id of the domain was ever visible: nobody can have
// fetched it.
func (p *pass) supersede() {
	current := p.current()
	if current == nil || !p.everVisible() {
		return
	}
	p.open(p.Spec.Current.ID, *current, v1alpha1.OriginSuperseded)
}

// open enters an enforce instance, or opens its entry again. One id may be seen with several
// policies; its entry then stands for all of them.
func (p *pass) open(id string, policy mtasts.Policy, origin v1alpha1.LedgerOrigin) {
	if policy.Mode != mtasts.ModeEnforce {
		return
	}
	if id == "" {
		id = "unknown"
	}
	// Somebody else's policy may list more than the API holds; to cover fewer hosts is the safe side. What is
	// longer than a name covers none.
	mx := slices.DeleteFunc(policy.Canonical().MX, func(pattern string) bool { return len(pattern) > maxPattern })
	mx = mx[:min(len(mx), mtasts.MaxMXPatterns)]
	entry := v1alpha1.LedgerEntry{ID: id, MX: mx, MaxAgeSeconds: int32(policy.MaxAgeSeconds), Origin: origin} //nolint:gosec // at most 31557600
	if e := p.entry(id); e != nil {
		*e = merge(entry, *e)
		return
	}
	p.Spec.Ledger = append(p.Spec.Ledger, entry)
	p.sortLedger()
	p.overflow()
}

func (p *pass) sortLedger() {
	slices.SortFunc(p.Spec.Ledger, func(a, b v1alpha1.LedgerEntry) int { return strings.Compare(a.ID, b.ID) })
}

// overflow makes one of the two oldest known entries if there are too many.
func (p *pass) overflow() {
	var known []int
	for i := range p.Spec.Ledger {
		if p.Spec.Ledger[i].Origin != v1alpha1.OriginUnknown {
			known = append(known, i)
		}
	}
	if len(known) <= maxLedger {
		return
	}
	first, second := known[0], known[1]
	p.Spec.Ledger[second] = merge(p.Spec.Ledger[first], p.Spec.Ledger[second])
	p.Spec.Ledger[second].Origin = v1alpha1.OriginSuperseded // whatever they were, it is more than one of them
	p.Spec.Ledger = slices.Delete(p.Spec.Ledger, first, first+1)
}

// reopen opens an entry that exists, or the gap if that stands for the id. An older instance of neither was no
// enforce one, or has long been forgotten; its policy cannot be known from its id.
func (p *pass) reopen(id string) {
	e := p.entry(id)
	if e == nil && p.inGap(id) {
		e = Gap(p.Spec)
	}
	if e != nil {
		e.CachedUntil = nil
	}
}

// relapse opens every entry again when DNS, or the object it is made from, went back to an id from
// before the one in force, or to a stranger's, which may have been seen before as well: whatever
// senders hold under that id, they hold for another max_age.
func (p *pass) relapse() {
	var told []string
	if p.o.DNS != nil {
		told = p.o.DNS.IDs
	}
	dark, ours := p.dark(), maybeOurs(told)
	again := dark && slices.ContainsFunc(ours, func(id string) bool { return id != p.Spec.Current.ID })
	switch {
	case again:
		p.warn(v1alpha1.ReasonRetiring, "DNS answers id "+ours[0]+" of this domain again: senders may prolong what they hold, and how long they may counts anew from when it is gone")
	case dark && len(ours) > 0:
		p.event(v1alpha1.ReasonRetiring, "DNS answers mode none after all, id "+ours[0])
	}
	if dark && len(ours) > 0 {
		p.Spec.Retirement.AbsentSince = nil
	}
	if !again && !slices.ContainsFunc(told, p.back) && (p.o.ByHand || !p.back(p.o.TXTObject)) {
		return
	}
	for i := range p.Spec.Ledger {
		p.Spec.Ledger[i].CachedUntil = nil
	}
}

// back says whether an id that is seen is one that senders must have left behind by now.
func (p *pass) back(id string) bool {
	e := p.entry(id)
	switch {
	case p.dark() && len(maybeOurs([]string{id})) == 0:
		return false // another publisher's: what senders hold of that is not ours to retire
	case e != nil && e.CachedUntil != nil:
		return true
	case id == "" || p.Spec.InForceID == "" || id == p.Spec.InForceID || id == p.Spec.AnnouncedID:
		return false
	}
	// What is not of our form is smaller than any id of ours.
	return mtasts.ID(id).Compare(mtasts.ID(p.Spec.InForceID)) < 0 || slices.Contains(p.Spec.FoundIDs, id)
}

func (p *pass) entry(id string) *v1alpha1.LedgerEntry {
	for i := range p.Spec.Ledger {
		if p.Spec.Ledger[i].ID == id {
			return &p.Spec.Ledger[i]
		}
	}
	return nil
}

// merge stands for both entries at once: only hosts that both cover, and the later end.
func merge(a, b v1alpha1.LedgerEntry) v1alpha1.LedgerEntry {
	out := b
	out.MX = nil
	for _, pattern := range b.MX {
		if slices.Contains(a.MX, pattern) {
			out.MX = append(out.MX, pattern)
		}
	}
	out.MaxAgeSeconds = max(a.MaxAgeSeconds, b.MaxAgeSeconds)
	switch {
	case a.CachedUntil == nil || b.CachedUntil == nil:
		out.CachedUntil = nil
	case a.CachedUntil.After(b.CachedUntil.Time):
		out.CachedUntil = a.CachedUntil
	}
	return out
}

// settle closes every older entry once all servers and DNS have left it behind, and drops entries
// that no sender can hold any more. Both clocks must agree on the latter: it cannot be undone. So the
// date is told by the one that is ahead, and is over only when the one that is behind says so.
func (p *pass) settle() bool {
	if p.clockBehind() {
		p.again(p.t.PollMost)
		return true
	}
	left := p.left()
	var kept []v1alpha1.LedgerEntry
	for _, e := range p.Spec.Ledger {
		if !p.date(&e, left) {
			return p.need(NeedTrustedTime)
		}
		if e.CachedUntil != nil && !e.CachedUntil.After(p.now) {
			if p.o.Trusted.IsZero() {
				return p.need(NeedTrustedTime)
			}
			if !e.CachedUntil.After(p.o.Trusted) {
				continue
			}
			p.again(max(e.CachedUntil.Sub(p.o.Trusted), time.Minute))
		} else if e.CachedUntil != nil {
			p.again(max(e.CachedUntil.Sub(p.now), time.Minute))
		}
		kept = append(kept, e)
	}
	p.Spec.Ledger = kept
	return true
}

// left says whether DNS and all servers have left everything behind that came before the current instance.
func (p *pass) left() bool {
	id := p.Spec.Current.ID
	if p.dark() {
		cleared := p.o.ByHand || p.o.TXTObject == "" || p.o.TXTObject == id
		return cleared && !p.minted && p.unread()
	}
	return p.Spec.InForceID == id && p.o.DNS.Exactly(id) && p.o.Servers.All() && p.Spec.Contamination == nil
}

// date closes an entry that was left behind, and takes back a date that cannot be true. It returns false if
// it has to know the time.
func (p *pass) date(e *v1alpha1.LedgerEntry, left bool) bool {
	if e.CachedUntil == nil && left {
		if p.o.Latest.IsZero() {
			return false
		}
		e.CachedUntil = p.closed(*e)
	}
	if p.datedTooLate(*e) {
		if p.o.Latest.IsZero() {
			return false
		}
		if sooner := p.closed(*e); sooner.Before(e.CachedUntil) {
			e.CachedUntil = sooner
		}
	}
	return true
}

// closed is the date of an entry that DNS and all servers have left by now.
func (p *pass) closed(e v1alpha1.LedgerEntry) *metav1.Time {
	return new(metav1.NewTime(p.o.Latest.Add(p.cachedFor(e) + p.elsewhere()).Truncate(time.Second).Add(time.Second)))
}

// datedTooLate says whether an entry seems to have been closed by a clock that ran a day ahead or more, even if
// that was in the dark: it was closed in the past, so that nobody can hold it for longer than if it were closed now.
func (p *pass) datedTooLate(e v1alpha1.LedgerEntry) bool {
	return e.CachedUntil != nil && e.CachedUntil.Sub(p.now) > p.cachedFor(e)+p.t.OldServers+24*time.Hour
}

// cachedFor is how long an entry may be held after DNS and all servers left it: resolvers answer
// its id for a TTL, and a sender that asked in the last moment keeps it for max_age.
func (p *pass) cachedFor(e v1alpha1.LedgerEntry) time.Duration {
	return cachedFor(p.Spec, e, p.t)
}

func cachedFor(spec *v1alpha1.MTASTSPublicationSpec, e v1alpha1.LedgerEntry, t Timings) time.Duration {
	return time.Duration(spec.TTLMaxSeconds)*time.Second + time.Duration(e.MaxAgeSeconds)*time.Second + t.LedgerSlack
}

// elsewhere is for how long resolvers may go on asking servers that nobody else asks any more. Who leaves moves
// the whole zone as often as not, and a resolver keeps the servers of before for as long as their TTL: two days.
func (p *pass) elsewhere() time.Duration {
	if p.dark() {
		return p.t.OldServers
	}
	return 0
}

// SafeAfter says from when on no cached enforce policy makes senders refuse mail at host. The
// current enforce instance counts as open; of hosts to which mail went all the time the gap does not
// warn. open is true while that cannot be dated; entry is the
// id that decides.
func SafeAfter(spec *v1alpha1.MTASTSPublicationSpec, host string) (after *metav1.Time, open bool, entry string) {
	if c := spec.Current; c != nil && c.Mode == v1alpha1.ModeEnforce && !PolicyOf(*c).Covers(host) {
		return nil, true, c.ID
	}
	for _, e := range spec.Ledger {
		if (mtasts.Policy{MX: e.MX}).Covers(host) || (mtasts.Policy{MX: e.LiveMX}).Covers(host) {
			continue
		}
		if e.CachedUntil == nil {
			return nil, true, e.ID
		}
		if after == nil || e.CachedUntil.After(after.Time) {
			after, entry = e.CachedUntil, e.ID
		}
	}
	return after, false, entry
}

// PolicyOf is the policy of an instance.
func PolicyOf(i v1alpha1.Instance) mtasts.Policy {
	return mtasts.Policy{Mode: mtasts.Mode(i.Mode), MX: slices.Clone(i.MX), MaxAgeSeconds: int64(i.MaxAgeSeconds)}
}
