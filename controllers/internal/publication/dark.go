package publication

import (
	"slices"
	"time"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
)

// Follow makes a look the next one after before, which is nil if there was none. spec is what was promised when
// the look was made; nil if nothing was.
func (d *DNS) Follow(before *DNS, spec *v1alpha1.MTASTSPublicationSpec, now time.Time) {
	if before == nil {
		before = &DNS{}
	}
	wanted := ""
	if spec != nil && (spec.Retirement == nil || spec.Retirement.RemovingSince == nil) {
		wanted = spec.AnnouncedID
	}
	d.Tried = before.Next(now, d.Exactly(wanted))
	// A resolver may be alone with what it answers, and a look that failed tells nothing: each ends the row.
	gone := d.Answer != Unknown && !d.Secondhand && len(maybeOurs(d.IDs)) == 0
	d.Gone = before.Gone.Next(now, !gone)
}

// maybeOurs are those of the ids that look like ours. What a lost publication of the domain has announced counts as
// well; by any other publisher's id senders hold what nobody here can end, by waiting least of all.
func maybeOurs(ids []string) []string {
	var out []string
	for _, text := range ids {
		if _, ok := mtasts.ParseID(text); ok {
			out = append(out, text)
		}
	}
	return out
}

// dark says whether DNS was proven to answer no id of ours although the record was not taken away here.
func (p *pass) dark() bool {
	r := p.Spec.Retirement
	return p.retiring && r.AbsentSince != nil && r.RemovingSince == nil
}

// lastWord is how old the last of the looks may be by which DNS is taken to have left us.
const lastWord = 5 * time.Second

// darken notes once that nobody can read an id of ours any more, as when the owner of the zone removes the records
// first and the policy later. Mode none will never be in force then, and need not be: what senders hold they can
// prolong neither by an old id, which no server answers, nor by an old policy, which no pod serves (I5). And
// none is not announced where nothing is visible, unless its URL passes (I2).
func (p *pass) darken() bool {
	current := p.Spec.Current
	if !p.retiring || p.Spec.Retirement.AbsentSince != nil || p.minted || current.Mode != v1alpha1.ModeNone || !p.unread() {
		return true
	}
	open := slices.ContainsFunc(p.Spec.Ledger, func(e v1alpha1.LedgerEntry) bool { return e.CachedUntil == nil })
	if p.Spec.InForceID == current.ID && !open {
		return true // mode none was in force, and everything has its date
	}
	if at := p.Spec.AnnouncedAt; p.Spec.AnnouncedID == current.ID && at != nil && p.now.Sub(at.Time) < p.t.ProofPeriod {
		return true // it may be on its way to DNS
	}
	if age := p.now.Sub(p.o.DNS.At); age < 0 || age > lastWord {
		return p.need(NeedDNS) // the records may be back since
	}
	p.Spec.Retirement.AbsentSince = p.stamp()
	// Nothing is in force, so the older id is not put back into its object either.
	p.Spec.InForceID = ""
	p.event(v1alpha1.ReasonRetiring, "DNS answers no id of this domain any more, although its record was not taken away here: senders keep what they hold until it runs out, and nobody can prolong it")
	return true
}

// GivenUp says whether nobody is to publish the id that was announced last: it was taken out of its object in the
// dark, and a policy that is back is announced by another one; or others may have been announced after it, of which
// a restored record tells nothing.
func GivenUp(spec *v1alpha1.MTASTSPublicationSpec) bool {
	if spec.InForceID != "" {
		return false
	}
	if gap := Gap(spec); gap != nil && mtasts.ID(gap.AfterID).Compare(mtasts.ID(spec.AnnouncedID)) >= 0 {
		return true
	}
	return slices.ContainsFunc(spec.Ledger, func(e v1alpha1.LedgerEntry) bool {
		return e.ID == spec.AnnouncedID && e.CachedUntil != nil
	})
}

// unread says whether nobody gets an id or an older policy of this domain from us: DNS is proven to answer none,
// and every server serves the current instance.
func (p *pass) unread() bool {
	dns := p.o.DNS
	return dns != nil && dns.Gone.Proves(p.t) && !p.staleDNS() && p.o.Servers.All()
}

// stayDark takes an older id out of its object: whoever brings the record's name back, an alias for instance, must
// not bring a policy back with it that retires.
func (p *pass) stayDark() bool {
	if p.o.TXTObject != p.Spec.Current.ID {
		p.TXT = TXTRemove
	}
	if p.minted {
		p.wait(v1alpha1.StateRetiring, v1alpha1.ReasonRetiring, "id "+p.Spec.Current.ID+" is being brought to the servers")
		return true
	}
	p.served() // or it says what that waits for
	return true
}
