package simulation

import (
	"maps"
	"slices"
	"strconv"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/controllers/internal/publication"
	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
)

// mostCopies is how many backups are kept; older ones make room at random.
const mostCopies = 12

// lives is what befalls the publication as an object: backups, restores, moves, deletions by hand.
type lives struct {
	copies []*v1alpha1.MTASTSPublicationSpec
	// restored is until when the operator may take to look at the world after a restore; fresh is set
	// until it has minted above what it found.
	restored time.Time
	fresh    bool
	// former are ids that were announced in an earlier life, of which the publication of now may know nothing.
	former map[string]bool
	// lost are ids whose instance no copy or live object told; everMinted are those that are not in minted.
	lost       map[string]bool
	everMinted map[string]v1alpha1.Instance
	// unseen is set from a restore until a policy was followed; word is what was said to let a retirement begin,
	// said is set once that was about the disappearance of now. words are all that were ever said.
	unseen, said bool
	word         string
	words        []string
	// wish is the deletion policy that the operator was told last, goneAt since when there is no policy,
	// dueAt since when nothing keeps what is to go at once.
	wish          v1alpha1.DeletionPolicy
	goneAt, dueAt time.Time
}

// backUp keeps a copy of the publication now and then, whatever it is in the middle of.
func (s *sim) backUp() {
	switch {
	case !s.chance(10):
	case len(s.copies) < mostCopies:
		s.copies = append(s.copies, s.spec.DeepCopy())
	default:
		s.copies[s.rnd.IntN(mostCopies)] = s.spec.DeepCopy()
	}
}

// restore puts an older copy in the publication's place, and now and then everything else of that
// time with it.
func (s *sim) restore() {
	if len(s.copies) == 0 {
		return
	}
	copied := s.copies[s.rnd.IntN(len(s.copies))].DeepCopy()
	whole := s.spec == nil || s.chance(2)
	s.tell("a copy of the publication is restored (current %s, announced %q, %d entries), alone: %t", idOf(copied), copied.AnnouncedID, len(copied.Ledger), !whole)
	if whole {
		s.era++
		s.shard = copied.Current
		s.replaceTXT(copied.AnnouncedID)
	}
	s.moveTo(copied)
	s.wish = copied.DeletionPolicy
	if c := copied.Current; c != nil {
		s.minted[c.ID] = *c
	}
	for _, p := range s.pods {
		if whole {
			*p = pod{name: p.name, ready: true, syncing: p.syncing, holds: s.shard, began: s.now}
		}
		// Only the policy of the greatest instance can be had: pods tell ids.
		if p.holds != nil && (copied.Current == nil || (p.holds != s.shard && !knows(copied, *p.holds))) {
			p.stale = &episode{}
		}
	}
	if c := copied.Current; c != nil {
		s.unvouch(publication.Refused(publication.PolicyOf(*c), s.mx))
	}
	s.restart(s.skew)
}

// handOver moves the publication to another namespace, with servers of its own.
func (s *sim) handOver() {
	if s.spec == nil || s.claim == nil {
		return
	}
	s.tell("the publication is handed over to another namespace")
	spec := s.spec.DeepCopy()
	spec.UID, spec.InForceID = "", ""
	spec.PolicyRef, spec.PolicyGoneAt, spec.Retirement = nil, nil, nil
	_, made := s.bounds()
	spec.TransferredFrom = &v1alpha1.Transfer{Namespace: "old", Time: metav1.NewTime(made)}
	s.era++
	s.shard = nil
	s.replaceTXT("")
	s.moveTo(spec)
	for _, p := range s.pods {
		*p = pod{name: p.name, ready: true, syncing: p.syncing, began: s.now}
	}
	s.claim = new(*s.claim)
	s.claim.UID = s.newUID("policy-")
	s.restart(s.skew)
}

// deleteByHand takes the publication away: "immediately, I know what I do".
func (s *sim) deleteByHand() {
	if s.spec == nil {
		return
	}
	s.tell("the publication is deleted by hand")
	s.begone()
}

// moveTo gives the publication another spec and another UID. What senders hold and neither the spec
// nor anything live tells is lost: no operator could know it.
func (s *sim) moveTo(spec *v1alpha1.MTASTSPublicationSpec) {
	s.goTo(spec, s.newUID("uid-"))
	s.created, s.rewound = s.now, ""
}

// goTo is what every copy has in common, whatever its UID.
func (s *sim) goTo(spec *v1alpha1.MTASTSPublicationSpec, uid string) {
	if spec.AnnouncedID == "" {
		maps.Copy(s.former, s.announcedIDs())
	}
	for _, c := range s.senders {
		expired := !c.enforces(s.now) // and yet some take it up again
		switch unknown := c.held && (expired || !s.promised(spec, c)); {
		case !unknown:
		case spec.AnnouncedID != "" && spec.TransferredFrom == nil && (c.from == nil || c.from.seen):
			c.lost = true // the gap stands for it
		default:
			c.from = &episode{}
		}
	}
	s.doubtForeign()
	s.spec, s.uid = spec, uid
	s.restored, s.fresh, s.healed = s.now.Add(patience), true, time.Time{}
	s.unseen, s.said, s.givenUp = true, false, ""
	if s.chance(2) { // the backup holds a word
		s.word = pick(s, append(s.words, birth.Format(time.RFC3339))...)
	}
	s.greatest = mtasts.ID(spec.LastID)
	for _, id := range s.liveIDs() {
		if ours := mtasts.ID(id); ours.PlausibleAfter(s.greatest, s.laterClock()) && ours.Compare(s.greatest) > 0 {
			s.greatest = ours
		}
	}
	s.loseIDs(spec)
}

// forgotten says whether a body is one of an instance that a restore has lost.
func (s *sim) forgotten(body string) bool {
	if s.spec == nil {
		return false
	}
	for id := range s.lost {
		if i, minted := s.everMinted[id]; minted && i.Body == body && !knows(s.spec, i) {
			return true
		}
	}
	return false
}

// loseIDs notes which ids neither the spec nor a live object tells.
func (s *sim) loseIDs(spec *v1alpha1.MTASTSPublicationSpec) {
	for id, i := range s.minted {
		if !knows(spec, i) && (s.shard == nil || s.shard.ID != id) {
			s.lost[id] = true
		}
		if mtasts.ID(id).Compare(s.greatest) > 0 {
			s.former[id] = true
			s.everMinted[id] = i
			delete(s.minted, id)
		}
	}
}

// doubtForeign lets the operator look once more at what somebody else serves: whether the copy knows
// of it nobody knows.
func (s *sim) doubtForeign() {
	if s.foreign != nil {
		again := &episode{}
		for _, c := range s.senders {
			if c.from == s.foreignStory {
				c.from = again
			}
		}
		s.foreignStory = again
	}
}

// promised says whether the spec knows, or the greatest live instance tells, what the sender holds.
func (s *sim) promised(spec *v1alpha1.MTASTSPublicationSpec, c *sender) bool {
	if spec.Current == nil {
		return false // without an instance of its own a publication has nothing to retire by
	}
	if s.shard != nil && s.shard.Body == c.body && mtasts.ID(s.shard.ID).Compare(mtasts.ID(spec.LastID)) > 0 {
		return true
	}
	if spec.AnnouncedID == "" && len(spec.FoundIDs) == 0 && s.txt == "" {
		return false // as if no sender had ever read an id
	}
	entries := slices.DeleteFunc(slices.Clone(spec.Ledger), func(e v1alpha1.LedgerEntry) bool { return e.Origin == v1alpha1.OriginUnknown })
	if i := spec.Current; i != nil && i.Mode == v1alpha1.ModeEnforce {
		entries = append(entries, v1alpha1.LedgerEntry{ID: i.ID, MX: i.MX, MaxAgeSeconds: i.MaxAgeSeconds})
	}
	return !slices.ContainsFunc(c.refuses, func(host string) bool {
		return !slices.ContainsFunc(entries, func(e v1alpha1.LedgerEntry) bool {
			until := s.now.Add(time.Duration(e.MaxAgeSeconds)*time.Second + s.tm.LedgerSlack)
			// A later date is a clock's that was ahead: the entry stands for it by chance only.
			if longest := until.Add(s.ttlMost); e.CachedUntil != nil && e.CachedUntil.After(longest) {
				until = longest
			} else if e.CachedUntil != nil {
				until = e.CachedUntil.Time
			}
			return !mtasts.Policy{MX: e.MX}.Covers(host) && !until.Before(c.until)
		})
	})
}

// replaceTXT is somebody's hand at the TXT object, or another object in its place.
func (s *sim) replaceTXT(id string) {
	s.txt = id
	s.publishTXT()
}

// begone takes everything away whatever senders hold. Nobody remembers them after that.
func (s *sim) begone() {
	for _, c := range s.senders {
		c.from = &episode{}
	}
	s.unvouch(hosts)
	s.forget()
}

// forget leaves nothing of the domain in the cluster.
func (s *sim) forget() {
	s.Removed++
	s.txt = ""
	s.publishTXT()
	s.era++
	s.spec, s.uid, s.shard, s.healed = nil, "", nil, time.Time{}
	maps.Copy(s.former, s.announcedIDs())
	clear(s.minted)
	s.unseen, s.said, s.word = false, false, ""
	s.greatest = "" // what nothing remembers is not exceeded by a clock that was set back
	for _, p := range s.pods {
		p.holds, p.stale = nil, nil
	}
	s.restart(s.skew)
}

func (s *sim) newUID(prefix string) string {
	s.uids++
	return prefix + strconv.Itoa(s.uids)
}
