package simulation

import (
	"slices"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/controllers/internal/publication"
	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
)

// announcedIDs are all ids that DNS may have shown so far.
func (s *sim) announcedIDs() map[string]bool {
	out := map[string]bool{foreignID: true}
	for id := range s.minted {
		out[id] = true
	}
	return out
}

// liveIDs are the ids in the cluster. DNS shows what the objects of now say before long.
func (s *sim) liveIDs() []string {
	if s.shard == nil {
		return []string{s.txt}
	}
	return []string{s.txt, s.shard.ID}
}

// unheardOf says whether the operator cannot know that senders may still read an id: it is of a former life.
func (s *sim) unheardOf(id string) bool {
	aware := s.spec != nil && (s.spec.AnnouncedID != "" || len(s.spec.FoundIDs) > 0)
	return s.former[id] && !aware
}

// knows says whether the publication remembers what the instance makes senders refuse.
func knows(spec *v1alpha1.MTASTSPublicationSpec, i v1alpha1.Instance) bool {
	return i.Mode != v1alpha1.ModeEnforce || idOf(spec) == i.ID || slices.ContainsFunc(spec.Ledger, func(e v1alpha1.LedgerEntry) bool {
		return e.Origin != v1alpha1.OriginUnknown && e.ID == i.ID && e.MaxAgeSeconds >= i.MaxAgeSeconds && standsFor(e, publication.Refused(publication.PolicyOf(i), hosts))
	})
}

// standsFor says whether the entry warns of all these hosts.
func standsFor(e v1alpha1.LedgerEntry, refused []string) bool {
	return !slices.ContainsFunc(refused, func(host string) bool { return mtasts.Policy{MX: e.MX}.Covers(host) })
}

func idOf(spec *v1alpha1.MTASTSPublicationSpec) string {
	if spec.Current == nil {
		return ""
	}
	return spec.Current.ID
}
