package publication

import (
	"slices"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
)

// Words are the annotations by which admins tell what no program can know, as they stand on the publication.
type Words struct {
	// Restored is when the cluster's data was restored.
	Restored string
	// DiscardGap is the id of the gap that is to end, or, with a slash and seconds behind it, to be bounded.
	DiscardGap string
}

// wordAhead is how far a word may lie in the future: clocks differ. One from further ahead would void all
// later words.
const wordAhead = time.Minute

// shownWord is how much of an annotation that means nothing is shown.
const shownWord = 64

// saidRestored says whether somebody said that the cluster's data was restored, and that was not heeded yet.
func (p *pass) saidRestored() bool {
	text := p.o.Words.Restored
	if text == "" {
		return false
	}
	at, err := time.Parse(time.RFC3339, text)
	at = at.Truncate(time.Second) // as it is recorded
	switch {
	case err != nil:
		p.reject(v1alpha1.RestoredAnnotation, text, "it is not a time such as 2026-11-29T10:00:00Z")
	case at.After(p.now.Add(wordAhead)):
		p.reject(v1alpha1.RestoredAnnotation, text, "it lies in the future")
	case p.Spec.RestoreTime != nil && !at.After(p.Spec.RestoreTime.Time):
		p.reject(v1alpha1.RestoredAnnotation, text, "a restore at "+shown(p.Spec.RestoreTime.Time)+" has been heeded already; say a later time")
	case at.After(p.now):
		p.again(at.Sub(p.now))
	default:
		p.restoredAt = at
		return true
	}
	return false
}

// heedRestored records that the word was heeded. How far a retirement had come says nothing about now, and
// the word that released one was said before the restore.
func (p *pass) heedRestored() {
	p.Spec.RestoreTime = new(metav1.NewTime(p.restoredAt))
	p.Spec.PolicyGoneAt, p.Spec.Retirement = nil, nil
	p.Spent = append(p.Spent, v1alpha1.RestoredAnnotation, v1alpha1.ReleaseAnnotation)
	p.fresh = true
	p.reopenAll()
	p.warn(v1alpha1.ReasonRestored, "somebody said that the cluster's data was restored at "+shown(p.restoredAt)+": a fresh id is minted, because the recorded one may be older than what senders hold")
}

// discard ends or bounds an entry of which nobody here knows the policy, on somebody's word. The word names the
// entry's id, so it ends what it was said of and nothing else: a gap that has grown since has another.
func (p *pass) discard() bool {
	text := p.o.Words.DiscardGap
	if text == "" {
		return true
	}
	const key = v1alpha1.DiscardGapAnnotation
	id, bound, bounded := strings.Cut(text, "/")
	e := p.blank(id)
	switch seconds, err := strconv.ParseInt(bound, 10, 32); {
	case e == nil && Gap(p.Spec) != nil:
		p.reject(key, text, "the entry of origin Unknown has id "+Gap(p.Spec).ID)
	case e == nil:
		p.reject(key, text, "no entry with that id stands for a policy that is not known")
	case !bounded:
		p.spend(key)
		p.warn(v1alpha1.ReasonGapDiscarded, "somebody said that senders hold nothing of "+standsFor(*e)+": the entry is discarded")
		p.Spec.Ledger = slices.DeleteFunc(p.Spec.Ledger, func(e v1alpha1.LedgerEntry) bool { return e.ID == id })
	case err != nil || seconds < 0:
		p.reject(key, text, "what follows the slash is not a number of seconds")
	case seconds >= int64(e.MaxAgeSeconds):
		p.reject(key, text, "that is not less than the "+strconv.Itoa(int(e.MaxAgeSeconds))+" seconds that are assumed")
	default:
		p.spend(key)
		p.bound(e, int32(seconds))
	}
	return true
}

// blank is the entry with that id if it stands for what nobody here knows: the gap, or an id that was found without
// its policy. One that two entries were merged into is neither: one of them may be known.
func (p *pass) blank(id string) *v1alpha1.LedgerEntry {
	e := p.entry(id)
	if e == nil || len(e.MX) > 0 || (e.Origin != v1alpha1.OriginUnknown && e.Origin != v1alpha1.OriginFound) {
		return nil
	}
	return e
}

// standsFor names what an entry stands for of which nobody knows the policy.
func standsFor(e v1alpha1.LedgerEntry) string {
	if e.Origin == v1alpha1.OriginUnknown {
		return "what was announced after " + ShownID(e.AfterID) + " and up to id " + e.ID
	}
	return "policy " + e.ID
}

// bound shortens such an entry, whether it has a date already or not.
func (p *pass) bound(e *v1alpha1.LedgerEntry, seconds int32) {
	shorter := time.Duration(e.MaxAgeSeconds-seconds) * time.Second
	if e.CachedUntil != nil {
		e.CachedUntil = new(metav1.NewTime(e.CachedUntil.Add(-shorter)))
	}
	e.MaxAgeSeconds = seconds
	p.warn(v1alpha1.ReasonGapDiscarded, "somebody said that senders keep "+standsFor(*e)+" for "+strconv.Itoa(int(seconds))+" seconds at most")
}

// spend has the annotation removed, together with what the spec records.
func (p *pass) spend(key string) { p.Spent = append(slices.Clip(p.Spent), key) }

// reject has an annotation removed that means nothing.
func (p *pass) reject(key, text, why string) {
	p.spend(key)
	p.warn(v1alpha1.ReasonAnnotationRejected, "the annotation "+key+"="+strconv.Quote(text[:min(len(text), shownWord)])+" was removed without effect: "+why)
}
