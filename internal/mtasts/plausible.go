package mtasts

import "time"

// Ids only rise, and none is used twice: so whoever plants one from the far future
// would end a domain's ids for good, were it believed. How far an id may be ahead
// of a clock depends on where it comes from.
const (
	// plausibleAhead is believed of any id: clocks differ, and one may be in the wrong time zone.
	plausibleAhead = 24 * time.Hour

	// conceivableAhead is believed of what the operator itself has recorded, by a
	// clock that ran ahead. No sender holds a policy for that long (RFC 8461 §3.2),
	// so that an id which is given up, because it is further ahead still, is
	// forgotten everywhere when its time comes.
	conceivableAhead = 400 * 24 * time.Hour
)

// Plausible reports whether the id is ours and was minted by a clock that is at most
// a day ahead of now. It is the one rule for ids that are met anywhere: in a shard,
// at a pod, in DNS. One that is not plausible is no fence: it is never followed, and
// may be replaced by a smaller one. Senders only ask whether an id differs.
func (id ID) Plausible(now time.Time) bool {
	return id.isBefore(now.Add(plausibleAhead))
}

// Conceivable reports whether the id is ours and at most so far ahead of now as a
// clock of ours may have been. What is further ahead no clock has minted.
func (id ID) Conceivable(now time.Time) bool {
	return id.isBefore(now.Add(conceivableAhead))
}

// PlausibleAfter is Plausible in the light of the last id that was recorded. If that
// was minted by a clock which ran ahead, so may have been the others, and none of
// them must be minted again. A last id that is inconceivable vouches for nothing.
func (id ID) PlausibleAfter(last ID, now time.Time) bool {
	ranAhead := last.Conceivable(now) && !last.Plausible(now)
	return id.Plausible(now) || (ranAhead && id.Conceivable(now))
}

// GivesWay reports whether the id may be replaced by next although that is smaller:
// only if next is the more plausible one of the two. By a clock that is far behind
// all ids are equally implausible, and then the greater one stays, as ever.
func (id ID) GivesWay(next ID, now time.Time) bool {
	return (next.Plausible(now) && !id.Plausible(now)) || (next.Conceivable(now) && !id.Conceivable(now))
}

func (id ID) isBefore(limit time.Time) bool {
	_, ours := ParseID(string(id))
	return ours && id.Time().Before(limit)
}
