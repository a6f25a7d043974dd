package simulation

import (
	"testing"

	"github.com/mta-sts-operator/mta-sts-operator/test/mutation"
)

func TestEveryMutantStillFitsTheSource(t *testing.T) {
	suite().Fits(t)
}

// suite has the histories of this package look for every mutant.
func suite() mutation.Suite {
	return mutation.Suite{
		Root: "../../..", Test: "TestMonthsOfEditsAndFaultsBreakNoPromise", Seeds: "300",
		Mutants: published(mutants), Equivalents: published(equivalents),
	}
}

// mutant is one mistake in package publication.
type mutant struct {
	// promise is the invariant that the mistake breaks, name what is wrong with it.
	promise, name string
	// file is in package publication; old, which must be there exactly once, becomes new.
	file, old, new string
}

func published(mutants []mutant) (out []mutation.Mutant) {
	for _, m := range mutants {
		edit := mutation.Edit{File: "controllers/internal/publication/" + m.file, Old: m.old, New: m.new}
		out = append(out, mutation.Mutant{Promise: m.promise, Name: m.name, Edits: []mutation.Edit{edit}})
	}
	return out
}

// mutants are the mistakes that the simulation must be able to see. A check that finds none of them
// proves nothing. `make mutants` tries them all.
var mutants = []mutant{
	{
		promise: "I7", name: "a claim begins beside an id that somebody else may remember", file: "begin.go",
		old: "	if p.strayed() {\n", new: "	if false {\n",
	},
	{
		promise: "I1", name: "an id goes to DNS without anybody asking the pods", file: "spread.go",
		old: "if !p.served() || !p.reachable() || !p.confirmed() {", new: "if !p.reachable() {",
	},
	{
		promise: "I1", name: "the live pods are not asked once more before the announcement", file: "spread.go",
		old: "if !p.served() || !p.reachable() || !p.confirmed() {", new: "if !p.served() || !p.reachable() {",
	},
	{
		promise: "I1", name: "a pod on a lost node does not count", file: "observation.go",
		old: "return s.Known && s.Ready > 0 && len(s.Behind) == 0 }",
		new: "for _, b := range s.Behind { if b.Problem != \"ReplicaUnreachable\" { return false } }; return s.Known && s.Ready > 0 }",
	},
	{
		promise: "I1", name: "a ready pod that does not answer does not count", file: "observation.go",
		old: "return s.Known && s.Ready > 0 && len(s.Behind) == 0 }",
		new: "for _, b := range s.Behind { if b.Problem != \"ProbeBlocked\" { return false } }; return s.Known && s.Ready > 0 }",
	},
	{
		promise: "I1", name: "what pods said of the instance before counts for the new one", file: "spread.go",
		old: "if p.minted {", new: "if p.minted && false {",
	},
	{
		promise: "I1", name: "an announcement resumed after a crash does not ask the pods again", file: "spread.go",
		old: "if !p.served() || !p.confirmed() {", new: "if false {",
	},
	{
		promise: "I1", name: "another valid policy at the URL is no obstacle", file: "spread.go",
		old: "case look.Outcome != NoAnswer:\n\t\treturn false, \"\"", new: "case look.Outcome != NoAnswer:\n\t\treturn true, \"\"",
	},
	{
		promise: "I2", name: "the first id needs no look that passes", file: "spread.go",
		old: "visible := p.visible()", new: "visible := true",
	},
	{
		promise: "I2", name: "what was visible once counts as visible for ever", file: "spread.go",
		old: "visible := p.visible()", new: "visible := p.everVisible()",
	},
	{
		promise: "I2", name: "the older id is taken out of DNS while a newer instance spreads", file: "spread.go",
		old: "\t\tp.TXT = TXTPublish\n\t}\n}\n\n// served waits", new: "\t\tp.TXT = TXTRemove\n\t}\n}\n\n// served waits",
	},
	{
		promise: "I2", name: "an id that no URL ever answers is stuck", file: "spread.go",
		old: "if failing && p.now.Sub(look.Since) >= p.t.UnverifiedDelay {", new: "if failing && false {",
	},
	{
		promise: "I3", name: "an id is used again for the same policy", file: "decide.go",
		old: "	p.supersede()\n	p.Spec.Current = &v1alpha1.Instance{",
		new: "	for _, e := range p.Spec.Ledger { if mtasts.ID(e.ID).Names(body) { id = mtasts.ID(e.ID) } }\n	p.supersede()\n	p.Spec.Current = &v1alpha1.Instance{",
	},
	{
		promise: "I3", name: "A, B, A: the announced id is taken up again", file: "decide.go",
		old: "	p.supersede()\n	p.Spec.Current = &v1alpha1.Instance{",
		new: "	if a := mtasts.ID(p.Spec.AnnouncedID); a.Names(body) { id = a }\n	p.supersede()\n	p.Spec.Current = &v1alpha1.Instance{",
	},
	{
		promise: "I3", name: "an id does not exceed the last one", file: "decide.go",
		old: "mtasts.MintID(p.now, p.greatest(), body)", new: "mtasts.MintID(p.now, \"\", body)",
	},
	{
		promise: "I3", name: "the record of a stale leader is believed against a greater id in a live object", file: "gap.go",
		old: "return g != nil && g.ID", new: "return g != nil && false && g.ID",
	},
	{
		promise: "I3", name: "a restored copy goes on as if nothing had happened", file: "decide.go",
		old: "copied := p.Spec.UID != p.o.UID && !p.o.Begun", new: "copied := false",
	},
	{
		promise: "I3", name: "a restored copy needs no fresh id", file: "decide.go",
		old: "p.fresh, p.copied = true, true", new: "p.copied = true",
	},
	{
		promise: "I6", name: "a restored copy goes on with the retirement it was in", file: "decide.go",
		old: "	p.Spec.PolicyGoneAt, p.Spec.Retirement = nil, nil\n	if p.Spec.AnnouncedID", new: "	if p.Spec.AnnouncedID",
	},
	{
		promise: "I6", name: "of a restored copy only the time is forgotten since when its policy is gone", file: "decide.go",
		old: "	p.Spec.PolicyRef = nil\n	p.Spec.PolicyGoneAt", new: "	p.Spec.PolicyGoneAt",
	},
	{
		promise: "I6", name: "a word about another disappearance counts", file: "retire.go",
		old: "	return err == nil && !gone.After(by)\n", new: "	_ = by\n	return err == nil\n",
	},
	{
		promise: "I3", name: "an id of the far future is believed", file: "sane.go",
		old: "	return id.PlausibleAfter(mtasts.ID(p.Spec.LastID), p.clock)\n", new: "	_ = id\n	return true\n",
	},
	{
		promise: "I3", name: "ids of a clock that ran ahead are given up", file: "sane.go",
		old: "if last := mtasts.ID(spec.LastID); last != \"\" && !last.Conceivable(clock) {", new: "if last := mtasts.ID(spec.LastID); last != \"\" && !last.Plausible(clock) {",
	},
	{
		promise: "I3", name: "there is no pace", file: "pace.go",
		old: "	if wait <= 0 {\n", new: "	if wait <= time.Minute {\n",
	},
	{
		promise: "I3", name: "somebody else's ids are exceeded for ever", file: "pace.go",
		old: "if o := p.o.Pace.Overtake; o.After(next) &&", new: "if o := p.o.Pace.Overtake; false &&",
	},
	{
		promise: "I8", name: "leaving enforce waits for its turn", file: "pace.go",
		old: "	if leaving || p.copied {\n", new: "	if (leaving && false) || p.copied {\n",
	},
	{
		promise: "I5", name: "what was planted in a shard is replaced before it is on record", file: "sane.go",
		old: "	return g.Policy == nil || g.Policy.Mode", new: "	return true || g.Policy.Mode",
	},
	{
		promise: "I3", name: "every new leader mints a fresh id", file: "decide.go",
		old: "copied := p.Spec.UID != p.o.UID && !p.o.Begun", new: "copied := p.Spec.UID != p.o.UID && !p.o.Begun || p.o.DNS == nil && p.o.Public == nil",
	},
	{
		promise: "I3", name: "a policy of another name gets a fresh id", file: "decide.go",
		old: "p.adopt(ref.Name)", new: "p.fresh = true; p.adopt(ref.Name)",
	},
	{
		promise: "I4", name: "the id that was minted last is not recorded", file: "decide.go",
		old: "	p.Spec.LastID = string(id)\n	p.fresh, p.minted", new: "	p.fresh, p.minted",
	},
	{
		promise: "I5", name: "what is superseded is not entered", file: "ledger.go",
		old: "p.open(p.Spec.Current.ID, *current, v1alpha1.OriginSuperseded)", new: "_ = current",
	},
	{
		promise: "I5", name: "what was served but never announced is not entered", file: "ledger.go",
		old: "if current == nil || !p.everVisible() {", new: "if current == nil || p.Spec.AnnouncedID != p.Spec.Current.ID {",
	},
	{
		promise: "I5", name: "what is superseded is dated at once", file: "ledger.go",
		old: "	p.open(p.Spec.Current.ID, *current, v1alpha1.OriginSuperseded)\n",
		new: "	p.open(p.Spec.Current.ID, *current, v1alpha1.OriginSuperseded)\n	if e := p.entry(p.Spec.Current.ID); e != nil { e.CachedUntil = new(metav1.NewTime(p.now.Add(p.cachedFor(*e)))) }\n",
	},
	{
		promise: "I5", name: "entries are dated whatever DNS answers", file: "ledger.go",
		old: "return p.Spec.InForceID == id && p.o.DNS.Exactly(id) &&", new: "return p.Spec.AnnouncedID == id &&",
	},
	{
		promise: "I5", name: "the TTL is left out of the date", file: "ledger.go",
		old: "return time.Duration(spec.TTLMaxSeconds)*time.Second + time", new: "return time",
	},
	{
		promise: "I5", name: "max_age is left out of the date", file: "ledger.go",
		old: "*time.Second + time.Duration(e.MaxAgeSeconds)*time.Second + t", new: "*time.Second + t",
	},
	{
		promise: "I5", name: "the slack is left out of the date", file: "ledger.go",
		old: "*time.Second + t.LedgerSlack", new: "*time.Second",
	},
	{
		promise: "I5", name: "only the TTL of now counts", file: "begin.go",
		old: "	p.seenTTL(time.Duration(p.o.TTLSeconds) * time.Second)\n", new: "	p.Spec.TTLMaxSeconds = p.o.TTLSeconds\n",
	},
	{
		promise: "I5", name: "an overflow covers what either entry covers", file: "ledger.go",
		old: "	out.MX = nil\n	for _, pattern := range b.MX {\n		if slices.Contains(a.MX, pattern) {\n",
		new: "	for _, pattern := range a.MX {\n		if !slices.Contains(b.MX, pattern) {\n",
	},
	{
		promise: "I5", name: "an overflow takes the earlier date", file: "ledger.go",
		old: "case a.CachedUntil.After(b.CachedUntil.Time):", new: "case b.CachedUntil.After(a.CachedUntil.Time):",
	},
	{
		promise: "I5", name: "an overflow drops the oldest entry", file: "ledger.go",
		old: "	p.Spec.Ledger[second] = merge(p.Spec.Ledger[first], p.Spec.Ledger[second])\n", new: "	_ = second\n",
	},
	{
		promise: "I5", name: "nothing is entered at first sight", file: "begin.go",
		old: "	p.Spec = &v1alpha1.MTASTSPublicationSpec{}\n	p.enterFound()\n", new: "	p.Spec = &v1alpha1.MTASTSPublicationSpec{}\n",
	},
	{
		promise: "I5", name: "an announced policy that cannot be fetched is taken for none", file: "begin.go",
		old: "p.open(id, mtasts.Policy{Mode: mtasts.ModeEnforce, MaxAgeSeconds: unknownMaxAge}, v1alpha1.OriginFound)", new: "",
	},
	{
		promise: "I5", name: "an instance from long ago at a pod does not open its entry", file: "ledger.go",
		old: "	if e != nil {\n		e.CachedUntil = nil\n", new: "	if e != nil && false {\n		e.CachedUntil = nil\n",
	},
	{
		promise: "I5", name: "DNS that goes back opens nothing", file: "heal.go",
		old: "	p.relapse()\n", new: "",
	},
	{
		promise: "I5", name: "DNS needs not be silent for long", file: "dark.go",
		old: "dns.Gone.Proves(p.t)", new: "dns.Gone.Tries >= p.t.ProofLooks",
	},
	{
		promise: "I5", name: "two looks prove that DNS has left us", file: "dark.go",
		old: "dns.Gone.Proves(p.t)", new: "dns.Gone.Tries >= 2 && dns.Gone.At.Sub(dns.Gone.Since) >= p.t.ProofPeriod",
	},
	{
		promise: "I5", name: "any look that does not find the id counts for the proof that DNS has left us", file: "dark.go",
		old: "dns.Gone.Proves(p.t)", new: "dns.Proves(p.t)",
	},
	{
		promise: "I5", name: "a resolver proves that DNS has left us", file: "dark.go",
		old: "gone := d.Answer != Unknown && !d.Secondhand &&", new: "gone := d.Answer != Unknown &&",
	},
	{
		promise: "I5", name: "a look that fails does not end the row of those that found nothing", file: "dark.go",
		old: "	d.Gone = before.Gone.Next(now, !gone)\n", new: "	if d.Gone = before.Gone; d.Answer != Unknown {\n		d.Gone = before.Gone.Next(now, !gone)\n	}\n",
	},
	{
		promise: "I5", name: "resolvers that ask the servers of before a move are forgotten", file: "ledger.go",
		old: "p.cachedFor(e) + p.elsewhere()", new: "p.cachedFor(e)",
	},
	{
		promise: "I6", name: "an id that was given up is put back into its object", file: "dark.go",
		old: "	p.Spec.InForceID = \"\"\n", new: "",
	},
	{
		promise: "I9", name: "what another publisher announces opens the ledger of who retires in the dark", file: "ledger.go",
		old: "case p.dark() && len(maybeOurs", new: "case false && len(maybeOurs",
	},
	{
		promise: "I5", name: "the current instance does not count", file: "ledger.go",
		old: "if c := spec.Current; c != nil && c.Mode", new: "if c := spec.Current; c != nil && false && c.Mode",
	},
	{
		promise: "I5", name: "an open entry does not count", file: "ledger.go",
		old: "		if e.CachedUntil == nil {\n			return nil, true, e.ID\n		}\n", new: "		if e.CachedUntil == nil {\n			continue\n		}\n",
	},
	{
		promise: "I5", name: "the operator's own clock drops entries", file: "ledger.go",
		old: "if !e.CachedUntil.After(p.o.Trusted) {", new: "if !e.CachedUntil.After(p.now) {",
	},
	{
		promise: "I5", name: "a pod that is younger than the data is a witness", file: "gap.go",
		old: "w.Since.Add(p.t.WitnessMargin).Before(o.Since)", new: "!w.Since.IsZero()",
	},
	{
		promise: "I3", name: "the old id of a copy is put back into its object", file: "decide.go",
		old: "if p.o.TXTObject != p.Spec.AnnouncedID {\n\t\tp.Spec.InForceID = \"\"", new: "if false {\n\t\tp.Spec.InForceID = \"\"",
	},
	{
		promise: "I5", name: "DNS alone clears a copy", file: "gap.go",
		old: "case copied && recorded && !p.transferred():", new: "case copied && recorded && !p.transferred() && !p.o.World.DNS.Exactly(p.Spec.LastID):",
	},
	{
		promise: "I5", name: "a copy loses nothing", file: "gap.go",
		old: "case copied && recorded && !p.transferred():", new: "case false:",
	},
	{
		promise: "I5", name: "DNS alone clears the word that the data was restored", file: "gap.go",
		old: "case said && recorded && !copied && !p.witnessed():", new: "case said && recorded && !copied && !p.witnessed() && !p.o.World.DNS.Exactly(p.Spec.LastID):",
	},
	{
		promise: "I5", name: "an id that a live object knows leaves no gap", file: "gap.go",
		old: "case p.ahead() && !g.OnlyDNS:", new: "case false:",
	},
	{
		promise: "I5", name: "a backup of a transfer's copy counts as the transfer", file: "gap.go",
		old: ".Abs() < time.Hour", new: ".Abs() < 1e6*time.Hour",
	},
	{
		promise: "I5", name: "an outage is no reason to look", file: "gap.go",
		old: "return wrote.Before(p.o.Outage.Until", new: "return false && wrote.Before(p.o.Outage.Until",
	},
	{
		promise: "I3", name: "an outage mints", file: "decide.go",
		old: "	if c := p.Spec.Current; c != nil && (c.ID", new: "	if c := p.Spec.Current; c != nil && (p.doubted() || c.ID",
	},
	{
		promise: "I5", name: "the gap is merged when the ledger overflows", file: "ledger.go",
		old: "		if p.Spec.Ledger[i].Origin != v1alpha1.OriginUnknown {", new: "		if p.Spec.Ledger[i].ID != \"\" {",
	},
	{
		promise: "I5", name: "an id in the gap that a pod serves does not open it", file: "ledger.go",
		old: "if e == nil && p.inGap(id) {", new: "if e == nil && false {",
	},
	{
		promise: "I3", name: "a copy's UID is written before what follows from it", file: "decide.go",
		old: "	said := p.saidRestored()\n", new: "	said := p.saidRestored()\n	if copied {\n		p.Spec.UID = p.o.UID\n		return false\n	}\n",
	},
	{
		promise: "I5", name: "a gap that grows forgets where it began", file: "gap.go",
		old: "			gap.AfterID = old.AfterID\n", new: "",
	},
	{
		promise: "I5", name: "the gap's first live hosts stay for ever", file: "gap.go",
		old: "		gap.LiveMX = both(gap.LiveMX, mx.Hosts)\n", new: "",
	},
	{
		promise: "I5", name: "the gap covers every host", file: "ledger.go",
		old: "|| (mtasts.Policy{MX: e.LiveMX}).Covers(host) {", new: "|| e.Origin == v1alpha1.OriginUnknown {",
	},
	{
		promise: "I5", name: "a word about the gap discards what is known", file: "gap.go",
		old: "return e.Origin == v1alpha1.OriginUnknown })\n}\n\n// GapAdvice", new: "return true })\n}\n\n// GapAdvice",
	},
	{
		promise: "I6", name: "a retirement that an outage interrupted goes on", file: "retire.go",
		old: "	if p.doubted() && !p.stillNothing() {\n", new: "	if false {\n",
	},
	{
		promise: "I6", name: "the record goes although senders hold something", file: "retire.go",
		old: "	if p.mayBeCached() || (p", new: "	if false || (p",
	},
	{
		promise: "I6", name: "the ledger is emptied when the policy is gone", file: "retire.go",
		old: "	p.retiring = true\n", new: "	p.retiring, p.Spec.Ledger = true, nil\n",
	},
	{
		promise: "I6", name: "a policy in force counts as held by nobody", file: "decide.go",
		old: "return len(p.Spec.Ledger) > 0 || (p.everVisible() && current != nil && current.Mode == mtasts.ModeEnforce)", new: "_ = current; return len(p.Spec.Ledger) > 0",
	},
	{
		promise: "I6", name: "mode none is never published", file: "decide.go",
		old: "if !p.retiring || current == nil || !p.mayBeCached() {", new: "if true {",
	},
	{
		promise: "I6", name: "mode none has no mx lines", file: "decide.go",
		old: "mtasts.Policy{Mode: mtasts.ModeNone, MX: current.MX, MaxAgeSeconds", new: "mtasts.Policy{Mode: mtasts.ModeNone, MaxAgeSeconds",
	},
	{
		promise: "I6", name: "everything goes while DNS still answers the id", file: "retire.go",
		old: "	if r.AbsentSince == nil && !p.absent(r) {\n		return false\n	}\n", new: "	if r.AbsentSince == nil {\n		r.AbsentSince = p.stamp()\n	}\n",
	},
	{
		promise: "I6", name: "everything goes while resolvers still answer the id", file: "retire.go",
		old: "	if wait := p.Until.Sub(p.now); wait > 0 {", new: "	if wait := time.Duration(0); wait > 0 {",
	},
	{
		promise: "I6", name: "the removal waits for ever for a record that stays in DNS", file: "retire.go",
		old: "	if !p.now.Before(p.Until) {", new: "	if false {",
	},
	{
		promise: "I6", name: "there is no grace", file: "retire.go",
		old: "if wait := p.Spec.PolicyGoneAt.Add(p.t.RetireGrace).Sub(p.now); wait > 0 {\n		p.again(wait)\n		return true\n", new: "if wait := p.Spec.PolicyGoneAt.Sub(p.now); wait > 0 {\n		p.again(wait)\n		return true\n",
	},
	{
		promise: "I6", name: "the operator's own clock ends the grace", file: "retire.go",
		old: "	trusted := p.o.Trusted\n", new: "	trusted := p.now\n",
	},
	{
		promise: "I6", name: "everything goes while DNS answers an older id", file: "retire.go",
		old: "len(Ours(p.Spec, dns.IDs)) == 0", new: "!slices.Contains(dns.IDs, p.Spec.AnnouncedID)",
	},
	{
		promise: "I6", name: "a held retirement begins", file: "retire.go",
		old: "(p.o.Held != nil || p.unfollowed()) && !p.released()", new: "p.unfollowed() && !p.released()",
	},
	{
		promise: "I6", name: "Orphan retires", file: "retire.go",
		old: "	case orphan:\n		return true\n", new: "	case orphan && false:\n		return true\n",
	},
	{
		promise: "I6", name: "Immediate drains", file: "retire.go",
		old: "case p.Spec.DeletionPolicy == v1alpha1.DeletionImmediate:", new: "case false:",
	},
	{
		promise: "I6", name: "a policy that comes back does not end the retirement", file: "decide.go",
		old: "	p.Spec.PolicyGoneAt, p.Spec.Retirement = nil, nil\n	return true", new: "	return true",
	},
	{
		promise: "I6", name: "the deletion policy is not remembered", file: "decide.go",
		old: "	p.Spec.DeletionPolicy = c.DeletionPolicy\n", new: "",
	},
	{
		promise: "I8", name: "no change is ever held", file: "hold.go",
		old: "	p.held = &held{reason: reason, message: message, stalled: true}\n	p.again(p.t.MXFresh)\n	return true, true\n", new: "	_ = message\n	return false, true\n",
	},
	{
		promise: "I8", name: "what the current policy refuses already holds the cure", file: "hold.go",
		old: "	if !worse && !longer {", new: "	if !worse && !longer && current == nil {",
	},
	{
		promise: "I8", name: "a longer max_age for a policy that refuses live hosts is not held", file: "hold.go",
		old: "	if !worse && !longer {", new: "	if !worse || (longer && false) {",
	},
	{
		promise: "I8", name: "only a longer max_age is held", file: "hold.go",
		old: "	if !worse && !longer {", new: "	if !longer || (worse && false) {",
	},
	{
		promise: "I8", name: "leaving enforce is held", file: "hold.go",
		old: "if wanted.Mode != mtasts.ModeEnforce || p.o.Claim", new: "if p.o.Claim",
	},
	{
		promise: "I8", name: "a failing lookup holds for ever", file: "hold.go",
		old: "if mx.Tries >= p.t.MXTries || p.now.Sub(mx.Since) >= p.t.MXPatience {", new: "if false {",
	},
	{
		promise: "I8", name: "what nobody had time to ask is no obstacle", file: "hold.go",
		old: "	if len(mx.Unasked) == 0 {\n		return false", new: "	if true {\n		return false",
	},
	{
		promise: "I8", name: "what nobody had time to ask holds for a moment only", file: "hold.go",
		old: "	if len(mx.Unasked) == 0 {\n", new: "	if len(mx.Unasked) == 0 || p.now.Sub(mx.UnaskedSince) >= p.t.MXPatience {\n",
	},
	{
		promise: "I8", name: "what nobody had time to ask is no obstacle where a fresh id is due", file: "hold.go",
		old: "	if len(mx.Unasked) == 0 {\n", new: "	if len(mx.Unasked) == 0 || p.fresh {\n",
	},
	{
		promise: "I8", name: "what nobody had time to ask keeps what enforces already from being mended", file: "hold.go",
		old: "(begins && p.holdUnasked(mx))", new: "((begins || true) && p.holdUnasked(mx))",
	},
	{
		promise: "I8", name: "a null MX is no obstacle", file: "hold.go",
		old: "	if mx.Null {", new: "	if false {",
	},
	{
		promise: "I8", name: "a lookup of long ago is good enough", file: "hold.go",
		old: "&& !mx.At.After(p.now) && p.now.Sub(mx.At) < p.t.MXFresh", new: "",
	},
	{
		promise: "I9", name: "times are stamped anew", file: "decide.go",
		old: "	p.Spec.PolicyGoneAt, p.Spec.Retirement = nil, nil\n	return true", new: "	p.Spec.PolicyGoneAt, p.Spec.Retirement = nil, nil\n	if p.Spec.AnnouncedAt != nil { p.Spec.AnnouncedAt = p.stamp() }\n	return true",
	},
	{
		promise: "I9", name: "a dated entry is dated again", file: "ledger.go",
		old: "if e.CachedUntil == nil && left {", new: "if left {",
	},
	{
		promise: "I9", name: "the DNS object is removed and written in turn", file: "spread.go",
		old: "	if p.Spec.InForceID == p.Spec.AnnouncedID {\n		p.State", new: "	if p.Spec.InForceID == p.Spec.AnnouncedID {\n		if p.o.TXTObject != \"\" { p.TXT = TXTRemove }\n		p.State",
	},
	{
		promise: "I10", name: "nothing is ever healed", file: "heal.go",
		old: "	if p.Spec.Contamination == nil || orphaned ||", new: "	if true || orphaned ||",
	},
	{
		promise: "I10", name: "healed while a pod is behind", file: "heal.go",
		old: "if !p.o.Servers.All() || p.wrongBody() {", new: "if p.wrongBody() {",
	},
	{
		promise: "I10", name: "healed while the URL serves another policy", file: "heal.go",
		old: "if !p.o.Servers.All() || p.wrongBody() {", new: "if !p.o.Servers.All() {",
	},
	{
		promise: "I10", name: "healed more often than once an hour", file: "heal.go",
		old: "if wait := p.Spec.AnnouncedAt.Add(p.t.HealInterval).Sub(p.now); wait > 0 {", new: "if wait := time.Duration(0); wait > 0 {",
	},
	{
		promise: "I10", name: "an older instance at a pod is no matter", file: "heal.go",
		old: "		seen = true\n		p.reopen(id)\n", new: "		p.reopen(id)\n",
	},
	{
		promise: "I10", name: "another policy at the URL is no matter", file: "heal.go",
		old: "		seen = seen || p.wrongBody()\n", new: "",
	},
	{
		promise: "I10", name: "another policy at the URL is not entered", file: "heal.go",
		old: "		p.open(look.Seen.ID, look.Seen.Policy, v1alpha1.OriginSeen)\n	}\n	return seen", new: "	}\n	return seen",
	},
	{
		promise: "I10", name: "what was seen is forgotten before it is healed", file: "heal.go",
		old: "	if !p.o.Servers.All() || p.wrongBody() {\n		return true\n", new: "	if !p.o.Servers.All() || p.wrongBody() {\n		p.Spec.Contamination = nil\n		return true\n",
	},
}

// equivalents are no mistakes by themselves: something else makes up for them, as their name says.
var equivalents = []mutant{
	{
		promise: "I3", name: "a restored copy enters nothing of what DNS and the policy URL show: shard and pods tell the same in these histories; TestARestoredPublicationMintsAboveWhatDNSShows has one in which they do not", file: "decide.go",
		old: "	if copied || said {\n		p.enterFound()\n", new: "	if said {\n		p.enterFound()\n",
	},
	{
		promise: "I5", name: "what DNS tells of a restored copy's future hides what the shard tells: in these histories the shard is read first; TestWhatAShardTellsIsEnteredAlthoughDNSTellsItsID has one in which it is not", file: "decide.go",
		old: "	if unknown { //", new: "	if unknown && Gap(p.Spec) == nil { //",
	},
	{
		promise: "I5", name: "entries are dated although pods are behind: what such a pod serves opens its entry at every look, and is a contamination, which keeps all of them open", file: "ledger.go",
		old: "p.o.DNS.Exactly(id) && p.o.Servers.All() &&", new: "p.o.DNS.Exactly(id) &&",
	},
	{
		promise: "I5", name: "entries are dated although DNS went back since: each look at it opens them again, and while DNS differs looks come within minutes", file: "ledger.go",
		old: "p.o.DNS.Exactly(id) && p.o.Servers.All() &&", new: "p.o.Servers.All() &&",
	},
}
