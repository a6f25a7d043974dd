package publication

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
)

// Outage is a time in which no operator wrote its heartbeat, as the next one found it: the cluster was
// off, or its data is from Since.
type Outage struct {
	Since, Until time.Time
}

// Witness is the server pod that has run longest of those that serve the last id. A pod never goes back,
// and no id is announced that a running pod does not serve (I1): if it began before the data of now was
// written, no id is missing from that.
type Witness struct {
	ID    string
	Since time.Time
}

// Gap is the entry that stands for the ids that no record tells; nil if there is none.
func Gap(spec *v1alpha1.MTASTSPublicationSpec) *v1alpha1.LedgerEntry {
	for i := range spec.Ledger {
		if spec.Ledger[i].Origin == v1alpha1.OriginUnknown {
			return &spec.Ledger[i]
		}
	}
	return nil
}

// inGap says whether the gap stands for the id.
func (p *pass) inGap(text string) bool {
	gap := Gap(p.Spec)
	id, ours := mtasts.ParseID(text)
	return gap != nil && ours && id.Compare(mtasts.ID(gap.AfterID)) > 0 && id.Compare(mtasts.ID(gap.ID)) <= 0
}

// lost says why ids may have been announced that no record tells; "" if none may. DNS alone clears nothing:
// external-dns may have put the restored record there before anybody looked (I5).
func (p *pass) lost(copied, said bool) string {
	g := p.o.Greater
	recorded := p.Spec.AnnouncedID != "" || p.Spec.UID != "" // else it is no copy, but a beginning
	switch {
	case copied && recorded && !p.transferred():
		return "the publication was restored from a copy"
	case said && recorded && !copied && !p.witnessed():
		return "the cluster's data was restored"
	case p.ahead() && !g.OnlyDNS:
		return "a server or the record had id " + string(g.ID) + ", which the publication does not know"
	case p.ahead() && (p.doubted() || p.fetched(string(g.ID))), (copied || said) && p.servedAhead():
		return "DNS had an id of this operator's form that the publication does not know"
	}
	return ""
}

// reopenAll opens every entry: what the data tells of an entry's date is from before.
func (p *pass) reopenAll() {
	for i := range p.Spec.Ledger {
		p.Spec.Ledger[i].CachedUntil = nil
	}
}

// ahead says whether a live object, or DNS, has a greater id of ours than the publication knows.
func (p *pass) ahead() bool {
	g := p.o.Greater
	return g != nil && g.ID.Compare(mtasts.ID(p.Spec.LastID)) > 0 && p.believes(g.ID)
}

// transferred says whether the publication is the copy that a transfer has made, and not a backup of that:
// the copy is as new as the original was. Clocks may differ by less than the bound.
func (p *pass) transferred() bool {
	from := p.Spec.TransferredFrom
	return from != nil && !p.o.Created.IsZero() && p.o.Created.Sub(from.Time.Time).Abs() < time.Hour
}

// witnessed says whether a pod proves that no id is missing.
func (p *pass) witnessed() bool {
	w, o := p.o.Witness, p.o.Outage
	return o != nil && w.ID != "" && w.ID == p.Spec.LastID && w.Since.Add(p.t.WitnessMargin).Before(o.Since)
}

// doubted says whether the publication was written last before an outage. An id that is ahead of the clock does not
// tell when it was minted; when one was announced last does.
func (p *pass) doubted() bool {
	if p.o.Outage == nil || p.Spec.AnnouncedID == "" {
		return false
	}
	wrote := mtasts.ID(p.Spec.LastID).Time()
	if at := p.Spec.AnnouncedAt; wrote.After(p.now) && at != nil {
		wrote = at.Time
	}
	return wrote.Before(p.o.Outage.Until.Truncate(time.Second))
}

// fetched says whether the policy host was seen to serve the id.
func (p *pass) fetched(id string) bool {
	w := p.o.World
	return w != nil && w.Policy != nil && w.Policy.ID == id
}

// servedAhead says whether DNS answers, and the policy host serves, an id of ours that the publication does
// not know.
func (p *pass) servedAhead() bool {
	return slices.ContainsFunc(p.o.World.DNS.IDs, func(id string) bool {
		ours := mtasts.ID(id)
		return p.believes(ours) && ours.Compare(mtasts.ID(p.Spec.LastID)) > 0 && p.fetched(id)
	})
}

// looked makes sure of a look at the world that began after since, unless the clock was set back to before that.
func (p *pass) looked(since time.Time) bool {
	switch w := p.o.World; {
	case w != nil && w.DNS.SeenAt().Before(since) && !since.After(p.now):
		return p.need(NeedWorld)
	case w == nil || p.worldPending():
		return p.waitForWorld()
	case p.outdated(w.DNS.Tried):
		return p.need(NeedWorld)
	}
	return true
}

// knowsMX makes sure that the live MX hosts were looked up before a gap is entered, which does not warn of them.
func (p *pass) knowsMX() bool {
	return p.freshMX() || p.need(NeedMX)
}

// sure makes sure, before an instance is minted, that an outage has lost no ids, or enters the gap. What
// leaves enforce waits for nothing (I8).
func (p *pass) sure(wanted mtasts.Policy) bool {
	if !p.doubted() {
		return true
	}
	leaving := wanted.Mode != mtasts.ModeEnforce
	if !leaving && !p.looked(p.o.Outage.Until) {
		return false
	}
	witnessed := p.witnessed()
	if !witnessed && !leaving && !p.o.Servers.Known && p.o.Servers.Obstacle == "" && p.now.Sub(p.o.Outage.Until) < p.t.WorldPatience {
		p.wait(v1alpha1.StateServing, v1alpha1.ReasonObserving, "waiting for the server pods to be asked what they serve")
		p.again(p.t.PollMost)
		return false
	}
	p.reopenAll()
	if !witnessed {
		if !p.knowsMX() {
			return false
		}
		why := fmt.Sprintf("no operator ran from %s to %s, or the cluster's data is from then", shown(p.o.Outage.Since), shown(p.o.Outage.Until))
		if !p.enterGap(why) {
			return false
		}
	}
	if p.o.World != nil {
		p.enterFound()
	}
	return true
}

// stillNothing says whether an outage has lost no ids, before the record is taken away because nobody can hold
// anything. If it may have, the retirement goes back to waiting (I6).
func (p *pass) stillNothing() bool {
	if !p.sure(mtasts.Policy{Mode: mtasts.ModeNone}) {
		return false
	}
	if Gap(p.Spec) == nil {
		return true
	}
	p.Spec.Retirement.RemovingSince, p.Spec.Retirement.AbsentSince = nil, nil
	if none, ok := p.wanted(); ok { // the gap may make senders refuse mail
		p.mint(none)
	}
	return false
}

// enterGap enters the gap, or lets it grow: it stands for every id above the last one that the publication
// knows, up to one that is made for it and used for nothing else (I3), so that its key is above all of them.
// It is written together with lastID: a crash leaves both or none (I4).
// It returns false if no id can be made.
func (p *pass) enterGap(why string) bool {
	gap := v1alpha1.LedgerEntry{AfterID: p.Spec.LastID, LiveMX: p.liveMX(), MaxAgeSeconds: unknownMaxAge, Origin: v1alpha1.OriginUnknown}
	if p.o.Greater != nil {
		p.raise(string(p.o.Greater.ID))
	}
	if w := p.o.World; w != nil {
		for _, id := range w.DNS.IDs {
			p.raise(id)
		}
	}
	id, ok := mtasts.MintID(p.now, p.greatest(), "gap after "+gap.AfterID)
	if !ok {
		p.Spec.LastID = gap.AfterID // else it would not be missed
		return p.endOfIDs()
	}
	gap.ID, p.Spec.LastID = string(id), string(id)
	if old := Gap(p.Spec); old != nil {
		if mtasts.ID(old.AfterID).Compare(mtasts.ID(gap.AfterID)) < 0 {
			gap.AfterID = old.AfterID
		}
		gap.LiveMX = both(old.LiveMX, gap.LiveMX)
		p.closeGap()
	}
	p.Spec.Ledger = append(p.Spec.Ledger, gap)
	p.sortLedger()
	p.warn(v1alpha1.ReasonMinted, why+": nobody knows which policies were announced after "+ShownID(gap.AfterID)+
		". They are taken for enforce policies that senders keep for a year. "+GapAdvice(p.o.Namespace, p.Spec.Domain, gap.ID))
	return true
}

// closeGap takes the gap out of the ledger.
func (p *pass) closeGap() {
	p.Spec.Ledger = slices.DeleteFunc(p.Spec.Ledger, func(e v1alpha1.LedgerEntry) bool { return e.Origin == v1alpha1.OriginUnknown })
}

// GapAdvice says how to live with the gap, and how to end it.
func GapAdvice(namespace, domain, id string) string {
	return "Until then add new MX hosts beside the old ones. " + GapWord(namespace, domain, id)
}

// GapWord says how to end the gap.
func GapWord(namespace, domain, id string) string {
	return fmt.Sprintf("If you know for how many seconds at most senders keep what was announced: kubectl -n %[1]s annotate --overwrite mtastspublication %[2]s %[3]s=%[4]s/SECONDS; "+
		"if they keep nothing: kubectl -n %[1]s annotate --overwrite mtastspublication %[2]s %[3]s=%[4]s", namespace, domain, v1alpha1.DiscardGapAnnotation, id)
}

// ShownID names an id, or what came before all.
func ShownID(id string) string {
	if id == "" {
		return "the beginning"
	}
	return "id " + id
}

// liveMX are the live MX hosts, as they may be recorded. What looks like a pattern stands for one host only
// in DNS, and for many to whoever reads it as a pattern.
func (p *pass) liveMX() []string {
	var out []string
	if mx := p.o.MX; mx != nil && mx.Answer == Found {
		for _, host := range mx.Hosts {
			if host != "" && len(host) <= maxPattern && !strings.HasPrefix(host, "*") {
				out = append(out, host)
			}
		}
	}
	return out[:min(len(out), mtasts.MaxMXPatterns)]
}

// standing keeps of the gap's live hosts those that are live still: a host that comes back later is new to
// whoever cached a policy meanwhile. Only an answer with hosts tells. A gap that was entered while there was none
// is filled by the first one that comes within moments.
func (p *pass) standing() bool {
	gap, mx := Gap(p.Spec), p.o.MX
	if gap == nil {
		return true
	}
	young := p.now.Sub(mtasts.ID(gap.ID).Time()).Abs() < p.t.MXPatience
	answered := mx != nil && mx.Answer == Found && len(mx.Hosts) > 0
	switch {
	case len(gap.LiveMX) > 0 && answered:
		gap.LiveMX = both(gap.LiveMX, mx.Hosts)
	case len(gap.LiveMX) > 0 || !young:
	case answered && !mx.At.Before(mtasts.ID(gap.ID).Time()):
		gap.LiveMX = p.liveMX()
	case mx != nil && !mx.At.After(p.now) && p.now.Sub(mx.At) < p.retryMX():
		p.again(mx.At.Add(p.retryMX()).Sub(p.now))
	default:
		return p.need(NeedMX)
	}
	return true
}

// both are those of a that b has as well.
func both(a, b []string) []string {
	var out []string
	for _, s := range a {
		if slices.Contains(b, s) {
			out = append(out, s)
		}
	}
	return out
}
