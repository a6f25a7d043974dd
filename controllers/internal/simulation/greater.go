package simulation

import (
	"time"

	"github.com/mta-sts-operator/mta-sts-operator/controllers/internal/publication"
	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
)

// greater is the greatest id of ours in a live object that the publication does not know.
func (s *sim) greater() *publication.Greater {
	var out *publication.Greater
	recorded := mtasts.ID(s.spec.LastID)
	last := recorded
	believed := func(id mtasts.ID) bool { return id.PlausibleAfter(recorded, s.laterClock()) }
	if i := s.shard; i != nil && mtasts.ID(i.ID).Compare(last) > 0 && believed(mtasts.ID(i.ID)) {
		out, last = &publication.Greater{ID: mtasts.ID(i.ID), Policy: new(publication.PolicyOf(*i))}, mtasts.ID(i.ID)
	}
	told := []string{s.txt}
	for _, r := range s.reports {
		if !r.silent {
			told = append(told, r.id)
		}
	}
	for _, text := range told {
		if id := mtasts.ID(text); id.Compare(last) > 0 && believed(id) {
			out, last = above(out, id, false), id
		}
	}
	if s.dns == nil {
		return out
	}
	for _, text := range s.dns.IDs {
		if id := mtasts.ID(text); id.Compare(last) > 0 && believed(id) {
			out, last = above(out, id, out == nil || out.OnlyDNS), id
		}
	}
	return out
}

// above is the greater id. Senders may have read it, and fetched the policy of the one before.
func above(before *publication.Greater, id mtasts.ID, onlyDNS bool) *publication.Greater {
	out := &publication.Greater{ID: id, OnlyDNS: onlyDNS}
	if before != nil {
		out.Policy = before.Policy
	}
	return out
}

// planted is what stands in the shard under an id that cannot be ours.
func (s *sim) planted() *publication.Greater {
	i := s.shard
	if i == nil || i.ID == idOf(s.spec) || mtasts.ID(i.ID).Compare(mtasts.ID(s.spec.LastID)) <= 0 ||
		mtasts.ID(i.ID).PlausibleAfter(mtasts.ID(s.spec.LastID), s.laterClock()) {
		return nil
	}
	return &publication.Greater{ID: mtasts.ID(i.ID), Policy: new(publication.PolicyOf(*i))}
}

// laterClock is the later one of the operator's clock and the API server's.
func (s *sim) laterClock() time.Time {
	_, later := s.bounds()
	return later
}
