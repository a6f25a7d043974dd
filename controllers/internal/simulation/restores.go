package simulation

import (
	"slices"
	"strconv"
	"time"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/controllers/internal/publication"
)

// longestAge is the longest max_age that anybody publishes here, in seconds.
const longestAge = 20 * 86400

// snapshot is all the cluster's data at one time, as a backup of etcd holds it.
type snapshot struct {
	at    time.Time
	spec  *v1alpha1.MTASTSPublicationSpec
	uid   string
	txt   string
	shard *v1alpha1.Instance
}

// restores is what restores have lost, and what admins say about it.
type restores struct {
	snapshots []snapshot
	spoken    publication.Words
	outage    *publication.Outage
	// silentSince is since when there was no heartbeat, as the next leader finds it; zero if there was.
	silentSince time.Time
	// created is when the publication was made.
	created time.Time
	// rewound is the last id that the data knew after it went back: until something is minted, or said, nobody
	// can know.
	rewound string
}

// snap takes a snapshot now and then.
func (s *sim) snap() {
	if !s.chance(10) {
		return
	}
	taken := snapshot{at: s.now, spec: s.spec.DeepCopy(), uid: s.uid, txt: s.txt, shard: s.shard}
	if len(s.snapshots) < mostCopies {
		s.snapshots = append(s.snapshots, taken)
		return
	}
	s.snapshots[s.rnd.IntN(mostCopies)] = taken
}

// restoreStore puts all the cluster's data back to a snapshot, UIDs included. Senders and pods do not go back;
// external-dns may act before the operator does.
func (s *sim) restoreStore() {
	if len(s.snapshots) == 0 || s.spec == nil {
		return
	}
	old := s.snapshots[s.rnd.IntN(len(s.snapshots))]
	if old.spec.AnnouncedID == "" {
		return // as if there had been no domain: it is looked at as such
	}
	live, away := s.chance(2), s.within(30*time.Minute)
	said := s.now.Sub(old.at) < 2*s.tm.HeartbeatOld || !s.chance(3)
	s.tell("the cluster's data goes back to %s (current %s, announced %q), pods live on: %t, somebody will say so: %t", old.at.Format(time.DateTime), idOf(old.spec), old.spec.AnnouncedID, live, said)
	s.Restored++
	s.era++
	s.shard, s.txt = old.shard, old.txt
	if !s.chance(3) { // external-dns is quicker than the operator
		s.zone = []string{old.txt}
		s.nameservers[0], s.nameservers[1] = s.zone, s.zone
	}
	s.publishTXT()
	s.goTo(old.spec.DeepCopy(), old.uid)
	s.wish = old.spec.DeletionPolicy
	s.unseen = old.spec.PolicyRef == nil // its UID is its own: it is no copy, unless it was one then
	if c := old.spec.Current; c != nil {
		s.minted[c.ID] = *c
	}
	for _, p := range s.pods {
		if !live || !p.began.Before(old.at) {
			*p = pod{name: p.name, ready: true, syncing: p.syncing, holds: s.shard, began: s.now.Add(away / 2)}
		} else if p.holds != nil && p.holds != s.shard {
			p.stale = &episode{}
		}
	}
	s.rewound, s.fresh, s.calmSince, s.ripeSince = old.spec.LastID, false, time.Time{}, time.Time{}
	if s.silentSince.IsZero() {
		s.silentSince = old.at.Add(-s.within(s.tm.Heartbeat))
	}
	s.crashed(away)
	s.restart(s.skew)
	if said {
		s.after(away+s.within(time.Hour), s.sayRestored)
	}
}

// sayRestored is an admin's word. Until then the operator may be quicker.
func (s *sim) sayRestored() {
	if s.spec == nil {
		return
	}
	s.tell("somebody says that the data was restored")
	s.spoken.Restored = s.clock().Truncate(time.Second).UTC().Format(time.RFC3339)
	s.fresh = true
	s.wakeIn(0)
}

// powerOff leaves nobody to do anything for hours.
func (s *sim) powerOff() {
	d := pick(s, 5*time.Minute, time.Hour, 8*time.Hour)
	s.tell("the power is off for %s", d)
	if d > s.tm.HeartbeatOld && s.silentSince.IsZero() {
		s.silentSince = s.now.Add(-s.within(s.tm.Heartbeat))
	}
	for _, p := range s.pods {
		p.began = s.now.Add(d)
	}
	s.crashed(d)
	s.restart(s.skew)
}

// findHeartbeat is what a leader does first.
func (s *sim) findHeartbeat() {
	if s.outage != nil && s.outage.Until.After(s.clock()) { // another clock was ahead
		s.outage = &publication.Outage{Since: s.outage.Since, Until: s.clock()}
	}
	if s.silentSince.IsZero() {
		return
	}
	found := publication.Outage{Since: s.silentSince.Add(s.skew), Until: s.clock()}
	if s.outage != nil && s.outage.Since.Before(found.Since) {
		found.Since = s.outage.Since
	}
	s.outage, s.silentSince = &found, time.Time{}
}

// witness is the pod that has served the last id for longest, as far as pods were asked.
func (s *sim) witness() (out publication.Witness) {
	for _, p := range s.pods {
		r, asked := s.reports[p.name]
		if asked && !r.silent && p.counted() && r.id == s.spec.LastID && (out.ID == "" || p.began.Before(out.Since)) {
			out = publication.Witness{ID: r.id, Since: p.began.Add(s.skew)}
		}
	}
	return out
}

// heardWords counts and clears what was said, with the write that records it.
func (s *sim) heardWords(d publication.Decision) {
	for _, word := range d.Spent {
		switch word {
		case v1alpha1.RestoredAnnotation:
			s.spoken.Restored = ""
		case v1alpha1.DiscardGapAnnotation:
			s.spoken.DiscardGap = ""
		}
	}
	for _, e := range d.Events {
		if e.Reason == v1alpha1.ReasonGapDiscarded {
			s.Discarded++
		}
	}
}

// countGap sees every write, and lets somebody who knows bound what nobody else does.
func (s *sim) countGap(before, after *v1alpha1.MTASTSPublicationSpec) {
	gap := publication.Gap(after)
	var old *v1alpha1.LedgerEntry
	if before != nil {
		old = publication.Gap(before)
	}
	entered := gap != nil && (old == nil || old.ID != gap.ID)
	if entered {
		s.Gaps++
		if id := gap.ID; s.chance(2) {
			s.after(s.within(3*day), func() {
				s.spoken.DiscardGap = id + "/" + strconv.Itoa(longestAge)
				s.tell("somebody bounds gap %s", id)
				s.wakeIn(0)
			})
		}
	}
	if s.rewound != "" && before != nil && before.LastID == s.rewound && after.LastID != s.rewound {
		s.rewound = ""
		if !entered {
			s.Witnessed++
		}
	}
}

// excused says whether no gap has to warn of the host: mail went there all the time; or nothing was minted yet,
// and nobody has said that the data is from before.
func (s *sim) excused(c *sender, host string) bool {
	if !c.lost {
		return false
	}
	gap := publication.Gap(s.spec)
	return s.rewound == s.spec.LastID || (gap != nil && slices.Contains(gap.LiveMX, host))
}
