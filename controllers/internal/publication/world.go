package publication

import (
	"time"

	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
)

// World is what was published for a domain when the operator first saw it.
type World struct {
	DNS DNS
	// Policy is what the policy host served then; nil if DNS announced nothing or nothing usable was served.
	Policy *Seen
	// Stray is an id of ours that was seen there since the looks began; nil if none was.
	Stray *Stray
}

// Stray is an id of ours for a domain of which there is no publication: somebody's memory is missing.
type Stray struct {
	ID string
	// Policy is what the policy host served last while it was seen; nil if nothing usable was.
	Policy *Seen
	// Since is when it, or one before it, was seen first.
	Since time.Time
	// Gone are the looks in a row at which the domain's own name servers showed no id of ours.
	Gone Tried
}

// ours is the first plausible id of our form.
func ours(ids []string, now time.Time) string {
	for _, text := range ids {
		if mtasts.ID(text).Plausible(now) {
			return text
		}
	}
	return ""
}

// Follow makes a look the next one after before, which is nil if there was none. The policy host counts for
// noticing a stray id; for its end DNS alone does: a server that nobody announces any more may stand for ever.
func (w *World) Follow(before *World, now time.Time) {
	announced := ours(w.DNS.IDs, now)
	seen := announced
	if seen == "" && w.Policy != nil {
		seen = ours([]string{w.Policy.ID}, now)
	}
	if before != nil && before.Stray != nil {
		w.Stray = new(*before.Stray)
	} else if seen != "" {
		w.Stray = &Stray{Since: now}
	}
	if w.Stray == nil {
		return
	}
	if seen != "" {
		w.Stray.ID = seen
		if w.Policy != nil {
			w.Stray.Policy = w.Policy
		}
	}
	absent := w.DNS.Answer != Unknown && !w.DNS.Secondhand && announced == ""
	w.Stray.Gone = w.Stray.Gone.Next(now, !absent)
}
