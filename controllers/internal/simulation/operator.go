package simulation

import (
	"reflect"
	"time"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/controllers/internal/publication"
	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
)

// passLooks bounds the looks of one pass: it must end.
const passLooks = 12

// busyWrites in an hour are more than any edits and faults cause.
const busyWrites = 300

// operator is the leader: what it remembers, and when it decides again.
type operator struct {
	tm publication.Timings
	// reports are what the pods answered when they were last asked; nil after a restart.
	reports map[string]report
	begun   string // UID of the publication that it has made
	world   *publication.World
	dns     *publication.DNS
	row     row
	mxSeen  *publication.MX
	public  *publication.Public
	// mxAskedFor is since when a change waits for what the MX hosts do; zero while none does.
	mxAskedFor time.Time
	rest       time.Time
	restFor    string
	wake       time.Time
	last       publication.Decision
	// crash makes the operator end right after its next write; until it returns there is none.
	crash   bool
	returns time.Time
	uids    int
	mints   publication.Mints
	// asked is what the pods told last about the instance askedFor.
	asked    publication.Servers
	askedFor string
	// exceeded is set while a live object carries a greater id than the publication knows, rivalled if that is
	// one of somebody who publishes the domain as well.
	exceeded, rivalled bool
}

// clock is the operator's, which may be wrong.
func (s *sim) clock() time.Time { return s.now.Add(s.skew) }

// restart is a new leader: it remembers nothing.
func (s *sim) restart(skew time.Duration) {
	s.setClock(skew)
	s.operator = operator{tm: s.tm, uids: s.uids, last: s.last, returns: s.returns}
	s.led = s.now
	s.ask()
	s.wakeIn(0)
}

// crashed leaves nobody to look at anything for a while.
func (s *sim) crashed(away time.Duration) {
	s.returns = s.now.Add(away)
	s.after(away, s.ask)
}

// wakeIn decides again in d at the latest.
func (s *sim) wakeIn(d time.Duration) {
	at := s.now.Add(d)
	if !s.wake.IsZero() && !at.Before(s.wake) {
		return
	}
	s.wake = at
	s.after(d, func() {
		if s.wake.Equal(at) {
			s.wake = time.Time{}
			s.pass()
		}
	})
}

// pass decides until nothing more must be known, and carries the decision out.
func (s *sim) pass() {
	if wait := s.returns.Sub(s.now); wait > 0 {
		s.wakeIn(wait)
		return
	}
	s.Passes++
	s.findHeartbeat()
	o := s.observe()
	for range passLooks {
		d := publication.Decide(s.spec, o, s.clock(), s.tm)
		switch {
		case d.Need != publication.NeedNothing:
			s.satisfy(d.Need, &o)
		case s.resting(d) && !s.clock().Before(s.restDue()):
			s.lookAtRest(&o)
		default:
			s.checkDecision(d)
			s.apply(d)
			s.heeded()
			return
		}
	}
	s.fail("the pass does not end after %d looks", passLooks)
}

func (s *sim) observe() publication.Observation {
	o := publication.Observation{
		UID: s.uid, Created: s.created, Outage: s.outage, Words: s.spoken, Begun: s.uid == s.begun, Claim: s.claim,
		World: s.world, Public: s.public, DNS: s.dns, MX: s.liveMX(),
		TXTObject: s.txt, TTLSeconds: int32(s.ttl.Seconds()), Namespace: "mail", Word: s.word,
		Clock: s.laterClock(), Pace: s.mints.Pace(s.clock(), s.tm),
	}
	if s.retirementHeld {
		o.Held = &publication.Held{}
	}
	if s.spec == nil {
		return o
	}
	if c := s.spec.Current; c != nil {
		o.Servers = s.servers(c, s.spec.AnnouncedID == c.ID)
		var before *publication.Servers
		if s.askedFor == c.ID {
			before = &s.asked
		}
		o.Servers.Follow(before, s.clock())
		s.asked, s.askedFor = o.Servers, c.ID
	}
	o.Witness = s.witness()
	o.Greater, o.Planted = s.greater(), s.planted()
	s.rivalled = o.Greater != nil || mtasts.ID(s.spec.LastID).Compare(mtasts.ID(idOf(s.spec))) > 0
	s.exceeded = s.rivalled || o.Planted != nil
	if s.certificate {
		o.Prepared = "waiting for the policy host's certificate"
	}
	return o
}

// apply writes first and acts after that (I4).
func (s *sim) apply(d publication.Decision) {
	s.last = d
	for _, e := range d.Events {
		s.tell("operator: %s: %s", e.Reason, e.Message)
		if e.Reason == v1alpha1.ReasonReannounced {
			s.Healed++
			s.checkHealed()
		}
	}
	if d.After > 0 {
		s.wakeIn(d.After)
	}
	if s.resting(d) {
		s.wakeIn(max(s.restDue().Sub(s.clock()), time.Second))
	}
	if d.Remove {
		s.remove()
		return
	}
	if d.Spec == nil {
		return
	}
	d.Spec.Domain = "example.com"
	s.heardWords(d)
	if s.claim != nil && d.Reason != v1alpha1.ReasonObserving {
		s.wish = s.claim.DeletionPolicy
		s.unseen, s.said = false, false
	}
	if s.claim != nil || d.WordSpent {
		s.word = ""
	}
	if d.Minted {
		s.mints.Note(s.clock(), d.Overtook, s.tm)
	}
	if !reflect.DeepEqual(d.Spec, s.spec) {
		s.write(d.Spec)
		if s.crash {
			s.tell("operator: crash")
			s.crashed(s.within(pick(s, time.Second, 4*time.Minute)))
			s.restart(s.skew)
			return
		}
	}
	s.serve()
	switch d.TXT {
	case publication.TXTPublish:
		if had := mtasts.ID(s.txt); had.Compare(mtasts.ID(d.Spec.AnnouncedID)) > 0 && had.PlausibleAfter(mtasts.ID(d.Spec.LastID), s.laterClock()) {
			return // the fence: a greater id of ours stays
		}
		s.setTXT(d.Spec.AnnouncedID)
	case publication.TXTRemove:
		s.setTXT("")
	case publication.TXTLeave:
	}
}

func (s *sim) write(spec *v1alpha1.MTASTSPublicationSpec) {
	s.checkWrite(s.spec, spec)
	s.countGap(s.spec, spec)
	if s.spec == nil {
		s.created = s.now
		s.uid = s.newUID("uid-")
		s.begun = s.uid
	}
	if s.chance(4) {
		s.after(s.within(pick(s, 15*time.Second, 2*time.Minute)), s.unluckyStart)
	}
	if s.spec != nil && s.spec.Current != nil && s.spec.Current.Body != spec.Current.Body && s.chance(12) {
		old := s.spec.Current
		s.after(2*time.Hour+s.within(20*time.Hour), func() { s.goBack(old) })
	}
	s.spec = spec.DeepCopy()
	if s.spec.UID == s.uid || s.spec.AnnouncedID == "" {
		s.restored = time.Time{}
	}
	s.world = nil // it was what this pass had to know
	s.backUp()
	s.snap()
	s.Writes++
	if hour := s.now.Truncate(time.Hour); !s.hour.Equal(hour) {
		s.hour, s.writesBefore = hour, s.Writes
	}
	if s.Writes-s.writesBefore > busyWrites {
		s.fail("%d writes within an hour (I9)", busyWrites)
	}
	s.wakeIn(time.Millisecond)
}

// serve writes the current instance to the shard, never over a greater one.
func (s *sim) serve() {
	c := s.spec.Current
	if i := s.shard; c == nil || (i != nil && i.ID == c.ID) {
		return
	} else if i != nil && mtasts.ID(c.ID).Compare(mtasts.ID(i.ID)) < 0 {
		have := publication.Greater{ID: mtasts.ID(i.ID), Policy: new(publication.PolicyOf(*i))}
		if !have.Replaceable(s.spec, s.laterClock()) {
			return
		}
	}
	s.shard = c.DeepCopy()
	s.Writes++
	s.syncAll()
}

func (s *sim) setTXT(id string) {
	if id == s.txt {
		return
	}
	s.checkTXT(id)
	s.tell("operator: TXT %q, was %q", id, s.txt)
	s.txt = id
	s.Writes++
	s.publishTXT()
}

// remove takes everything away, the publication last.
func (s *sim) remove() {
	s.checkGone()
	s.tell("operator: everything is removed")
	if s.wish == v1alpha1.DeletionImmediate || s.spec.Current == nil { // what somebody else published is theirs to drain
		s.begone()
		return
	}
	s.setTXT("")
	s.forget()
}

// resting says whether the domain waits for nothing but time or its owner.
func (s *sim) resting(d publication.Decision) bool {
	switch d.State {
	case v1alpha1.StateInForce, v1alpha1.StateHeld, v1alpha1.StateRetiring, v1alpha1.StateOrphaned:
		return s.spec != nil && s.spec.Current != nil
	default:
		return false
	}
}

// restDue is when to look again although nothing is asked for.
func (s *sim) restDue() time.Time {
	if s.rest.IsZero() || s.restFor != s.spec.InForceID {
		s.rest, s.restFor = s.clock().Add(time.Minute), s.spec.InForceID
	}
	return s.rest
}
