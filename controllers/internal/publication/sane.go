package publication

import (
	"fmt"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
)

const (
	// maxTTLSeconds is a week: resolvers keep no record for longer (RFC 8767 §4).
	maxTTLSeconds = 604800
	// maxFoundID is what the API server accepts.
	maxFoundID = 255
)

// Sane takes out of a record what no operator can have written: somebody planted it, or had the
// publication handed over with it. What senders may hold stays, whatever it says: only how long they may is
// bounded. clock is the later of the clocks that are known. It returns what was wrong, as sentences.
func Sane(spec *v1alpha1.MTASTSPublicationSpec, clock time.Time, t Timings) (wrong []string) {
	if last := mtasts.ID(spec.LastID); last != "" && !last.Conceivable(clock) {
		spec.LastID = string(greatestOf(spec, clock))
		wrong = append(wrong, fmt.Sprintf("its lastID was %.40q, which no clock has told yet: the next id follows upon %q", last, spec.LastID))
	}
	if ttl := spec.TTLMaxSeconds; ttl < 0 || ttl > maxTTLSeconds {
		spec.TTLMaxSeconds = min(max(ttl, 0), maxTTLSeconds)
		wrong = append(wrong, fmt.Sprintf("its ttlMaxSeconds was %d, which no resolver keeps a record for: %d counts", ttl, spec.TTLMaxSeconds))
	}
	for i := range spec.Ledger {
		wrong = append(wrong, saneEntry(spec, &spec.Ledger[i], clock, t)...)
	}
	saneFoundIDs(spec)
	saneTimes(spec, clock)
	return wrong
}

// saneEntry bounds how long senders are taken to hold an entry. Years are far beyond what a clock that ran
// ahead has written, which settle takes back (I5).
func saneEntry(spec *v1alpha1.MTASTSPublicationSpec, e *v1alpha1.LedgerEntry, clock time.Time, t Timings) (wrong []string) {
	if age := e.MaxAgeSeconds; age < 0 || age > unknownMaxAge {
		e.MaxAgeSeconds = min(max(age, 0), unknownMaxAge)
		wrong = append(wrong, fmt.Sprintf("ledger entry %.40q was to be kept for %d seconds, which no sender does: %d count", e.ID, age, e.MaxAgeSeconds))
	}
	longest := clock.Add(cachedFor(spec, *e, t))
	if until := e.CachedUntil; until != nil && until.After(longest.AddDate(1, 0, 0)) {
		e.CachedUntil = new(metav1.NewTime(longest.Truncate(time.Second).Add(time.Second)))
		wrong = append(wrong, fmt.Sprintf("ledger entry %.40q was to be kept until %s, which no sender does: until %s", e.ID, shown(until.Time), shown(e.CachedUntil.Time)))
	}
	return wrong
}

// saneFoundIDs drops what cannot be an id, and what is too much.
func saneFoundIDs(spec *v1alpha1.MTASTSPublicationSpec) {
	var kept []string
	for _, id := range spec.FoundIDs {
		if id != "" && len(id) <= maxFoundID && len(kept) < maxLedger && !slices.Contains(kept, id) {
			kept = append(kept, id)
		}
	}
	spec.FoundIDs = kept
}

// saneTimes writes down the times that are missing beside what they are about.
func saneTimes(spec *v1alpha1.MTASTSPublicationSpec, clock time.Time) {
	if spec.AnnouncedAt == nil && (spec.AnnouncedID != "" || spec.Contamination != nil) {
		spec.AnnouncedAt = new(metav1.NewTime(clock.Truncate(time.Second)))
	}
}

// greatestOf is the greatest id in the record that may be one of ours; "" if there is none. A fresh one
// must exceed them all.
func greatestOf(spec *v1alpha1.MTASTSPublicationSpec, clock time.Time) mtasts.ID {
	last := mtasts.ID(spec.LastID)
	known := []string{spec.LastID, spec.AnnouncedID, spec.InForceID}
	if spec.Current != nil {
		known = append(known, spec.Current.ID)
	}
	for _, e := range spec.Ledger {
		known = append(known, e.ID)
	}
	var greatest mtasts.ID
	for _, text := range known {
		if id := mtasts.ID(text); id.PlausibleAfter(last, clock) && id.Compare(greatest) > 0 {
			greatest = id
		}
	}
	return greatest
}

// greatest is the id that a fresh one must exceed.
func (p *pass) greatest() mtasts.ID {
	if p.clockBehind() {
		return mtasts.ID(p.Spec.LastID)
	}
	return greatestOf(p.Spec, p.clock)
}

// sane takes out of the record what was planted there.
func (p *pass) sane() bool {
	if p.clockBehind() {
		return true
	}
	for _, wrong := range Sane(p.Spec, p.clock, p.t) {
		p.warn(v1alpha1.ReasonRecordCorrected, "the publication held what this operator cannot have written, and was corrected: "+wrong)
	}
	return true
}

// clockBehind says whether every clock is known to be wrong: they tell a time from before the publication was made.
// What the record says of later times is then no sign that somebody planted it, and nothing can be dated.
func (p *pass) clockBehind() bool {
	return !p.o.Created.IsZero() && p.clock.Before(p.o.Created.Add(-24*time.Hour))
}

// believes says whether an id may be one of ours.
func (p *pass) believes(id mtasts.ID) bool {
	return id.PlausibleAfter(mtasts.ID(p.Spec.LastID), p.clock)
}

// Replaceable says whether a smaller id of ours may take the place of this one in a shard: it cannot be ours
// (I3), and what senders may have been given under it is on record (I4).
func (g Greater) Replaceable(spec *v1alpha1.MTASTSPublicationSpec, clock time.Time) bool {
	if g.ID.PlausibleAfter(mtasts.ID(spec.LastID), clock) {
		return false
	}
	recorded := func(e v1alpha1.LedgerEntry) bool { return e.ID == string(g.ID) }
	return g.Policy == nil || g.Policy.Mode != mtasts.ModeEnforce || slices.ContainsFunc(spec.Ledger, recorded)
}

// planted enters what senders may have been given from a shard under an id that nobody can have minted. If
// they have paired it with the announced id, that is healed (I10).
func (p *pass) planted() {
	g := p.o.Planted
	if g == nil || g.Policy == nil {
		return
	}
	p.found(string(g.ID))
	p.open(string(g.ID), *g.Policy, v1alpha1.OriginSeen)
	if c := p.Spec.Current; c != nil && p.Spec.AnnouncedID == c.ID && p.Spec.Contamination == nil {
		p.Spec.Contamination = &v1alpha1.Contamination{ID: c.ID, SeenAt: *p.stamp()}
	}
}
