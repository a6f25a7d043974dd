package publication

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
)

// hosts are all MX hosts that SafeAfter is asked about; no policy covers the last one.
var hosts = []string{mx1, mx2, mx3, "mx4.example.com", "mx.example.net", "nobody.example.org"}

// senders knows what the senders of the world may hold, at worst: whoever reads an id while some pod
// serves a body may have paired the two, and keeps the body for max_age after that id was last read.
type senders struct {
	w *world
	// goneAt is until when resolvers may answer an id; zero while DNS answers it.
	goneAt map[string]time.Time
	// pairs are the ids under which an enforce body may be held.
	pairs map[string]map[string]bool
	// bodies are the enforce policies by their key.
	bodies map[string]mtasts.Policy
	ttl    time.Duration
	// looking is set by a restore, until the operator has looked at the world.
	looking bool
	// lost are the ids that a restored copy does not know, unknown the bodies: the gap stands for them, but
	// does not warn of hosts to which mail went all the time.
	lost    map[string]bool
	unknown map[string]bool
	// forgive is set by the restore of a copy that had announced nothing: nobody can tell it from a beginning.
	forgive bool
}

func (s *senders) look() {
	w := s.w
	s.ttl = max(s.ttl, time.Duration(w.ttl)*time.Second)
	visible := map[string]bool{}
	for _, r := range w.records {
		if id, ok := idOf(r); ok {
			visible[id] = true
			s.goneAt[id] = time.Time{}
		}
	}
	for id, gone := range s.goneAt {
		if !visible[id] && gone.IsZero() {
			s.goneAt[id] = w.now.Add(s.ttl)
		}
	}
	// What only resolvers still answer, of a publication that is gone, a new one cannot see.
	aware := w.spec != nil && (w.spec.AnnouncedID != "" || len(w.spec.FoundIDs) > 0)
	for _, seen := range w.served() {
		// A pod that tells a lost id which no clock has told yet may be anybody's; it tells no policy either.
		if seen.Policy.Mode != mtasts.ModeEnforce || (s.lost[seen.ID] && !mtasts.ID(seen.ID).Plausible(w.laterClock())) {
			continue
		}
		key := seen.ID + " " + seen.Policy.String()
		s.unknown[key] = s.unknown[key] || s.lost[seen.ID]
		for id, gone := range s.goneAt {
			if gone.IsZero() || (gone.After(w.now) && aware) {
				if s.pairs[key] == nil {
					s.pairs[key], s.bodies[key] = map[string]bool{}, seen.Policy
				}
				s.pairs[key][id] = true
			}
		}
	}
}

// heldUntil is when the last sender drops a body.
func (s *senders) heldUntil(key string) time.Time {
	var last time.Time
	for id := range s.pairs[key] {
		until := s.goneAt[id]
		if until.IsZero() {
			until = s.w.now
		}
		if until.After(last) {
			last = until
		}
	}
	return last.Add(time.Duration(s.bodies[key].MaxAgeSeconds) * time.Second)
}

// check makes sure that for every body that some sender may hold, the ledger refuses the hosts that
// the body refuses for long enough (I5).
func (s *senders) check(spec *v1alpha1.MTASTSPublicationSpec) {
	if s.looking && spec.UID != s.w.uid {
		return
	}
	for key, body := range s.bodies {
		until := s.heldUntil(key)
		if !until.After(s.w.now) || (s.forgive && !represented(spec, body)) {
			delete(s.bodies, key)
			delete(s.pairs, key)
			continue
		}
		for _, host := range hosts {
			if gap := Gap(spec); body.Covers(host) || (gap != nil && s.unknown[key] && slices.Contains(gap.LiveMX, host)) {
				continue
			}
			after, open, _ := SafeAfter(spec, host)
			if open || (after != nil && !after.Time.Before(until)) {
				continue
			}
			s.w.t.Fatalf("senders may hold %q until %s, but mail to %s is called safe after %v\nledger %s", key, until, host, after, cmp.Diff(nil, spec.Ledger))
		}
	}
	s.forgive, s.looking = false, false
}

// restored notes what the operator cannot know after a restore.
func (s *senders) restored(minted map[string]v1alpha1.Instance) {
	s.looking, s.forgive = true, s.w.spec.AnnouncedID == ""
	for key, body := range s.bodies {
		s.unknown[key] = s.unknown[key] || !represented(s.w.spec, body)
	}
	known := map[string]bool{}
	for _, e := range s.w.spec.Ledger {
		known[e.ID] = true
	}
	for _, i := range []*v1alpha1.Instance{s.w.spec.Current, s.w.shard} {
		if i != nil {
			known[i.ID] = true
		}
	}
	for id := range minted {
		s.lost[id] = s.lost[id] || !known[id]
	}
}

// represented says whether something that the publication knows stands for the body.
func represented(spec *v1alpha1.MTASTSPublicationSpec, body mtasts.Policy) bool {
	stands := func(mx []string, maxAge int32) bool {
		p := mtasts.Policy{MX: mx}
		return int64(maxAge) >= body.MaxAgeSeconds &&
			!slices.ContainsFunc(hosts, func(host string) bool { return p.Covers(host) && !body.Covers(host) })
	}
	if i := spec.Current; i != nil && i.Mode == v1alpha1.ModeEnforce && stands(i.MX, i.MaxAgeSeconds) {
		return true
	}
	return slices.ContainsFunc(spec.Ledger, func(e v1alpha1.LedgerEntry) bool {
		return e.Origin != v1alpha1.OriginUnknown && e.CachedUntil == nil && stands(e.MX, e.MaxAgeSeconds)
	})
}

// chaos is one random history of one domain.
type chaos struct {
	*world
	rnd      *rand.Rand
	senders  *senders
	minted   map[string]v1alpha1.Instance
	greatest mtasts.ID
	copies   []*v1alpha1.MTASTSPublicationSpec
	trace    []string
}

func newChaos(t *testing.T, seed uint64) *chaos {
	c := &chaos{world: newWorld(t), rnd: rand.New(rand.NewPCG(seed, 1)), minted: map[string]v1alpha1.Instance{}}
	c.quick, c.restEvery = true, 12*time.Hour
	// Long outages are looked at less often, so that many histories fit into few seconds.
	c.tm.PollMost, c.tm.AskPending, c.tm.MXFresh = time.Hour, time.Hour, time.Hour
	c.senders = &senders{w: c.world, goneAt: map[string]time.Time{}, pairs: map[string]map[string]bool{}, bodies: map[string]mtasts.Policy{}, lost: map[string]bool{}, unknown: map[string]bool{}}
	c.pods = append(c.pods, &pod{name: "pod-c", node: "node-c", ready: true})
	c.onTick = c.senders.look
	c.onSpec = c.checkSpec
	c.onTXT = c.checkTXT
	c.onGone = c.checkGone
	if c.rnd.IntN(3) == 0 { // somebody else publishes the domain already
		c.records, c.foreign = []string{record("20160831085700Z")}, &Seen{Policy: enforce(mx1)}
	}
	return c
}

// checkSpec sees every write of the publication.
func (c *chaos) checkSpec(before, after *v1alpha1.MTASTSPublicationSpec) {
	if i := after.Current; i != nil {
		known, seen := c.minted[i.ID]
		switch {
		case seen && cmp.Diff(known, *i) != "":
			c.t.Fatalf("id %s names two instances (I3):\n%s", i.ID, cmp.Diff(known, *i))
		case c.givesWay(c.greatest, i.ID):
			c.minted[i.ID], c.gaveUp, c.greatest = *i.DeepCopy(), max(c.gaveUp, c.greatest), mtasts.ID(i.ID)
		case !seen && mtasts.ID(i.ID).Compare(c.greatest) <= 0 && mtasts.ID(i.ID).Compare(c.gaveUp) > 0:
			c.t.Fatalf("minted %s after %s (I3)", i.ID, c.greatest)
		case seen && mtasts.ID(i.ID).Compare(c.gaveUp) <= 0: // another copy knows of it, and it is the same instance
		case seen && before != nil && (before.Current == nil || before.Current.ID != i.ID):
			c.t.Fatalf("id %s is used again (I3)", i.ID)
		case !seen:
			c.minted[i.ID] = *i.DeepCopy()
			c.greatest = mtasts.ID(i.ID)
		}
	}
	if before != nil && mtasts.ID(after.AnnouncedID).Compare(mtasts.ID(before.AnnouncedID)) < 0 && !c.givesWay(mtasts.ID(before.AnnouncedID), after.AnnouncedID) {
		c.t.Fatalf("announced %s after %s", after.AnnouncedID, before.AnnouncedID)
	}
	if known := slices.DeleteFunc(slices.Clone(after.Ledger), func(e v1alpha1.LedgerEntry) bool { return e.Origin == v1alpha1.OriginUnknown }); len(known) > maxLedger || len(after.Ledger) > len(known)+1 {
		c.t.Fatalf("%d ledger entries, %d of them known", len(after.Ledger), len(known))
	}
	c.senders.check(after)
}

// givesWay says whether an id from the future, which a copy of an older time cannot tell from a planted one,
// is rightly given up.
func (c *chaos) givesWay(had mtasts.ID, next string) bool {
	return had.GivesWay(mtasts.ID(next), c.laterClock())
}

// checkTXT sees every write of the TXT object by the operator.
func (c *chaos) checkTXT(_, after string) {
	// What was in force is put back at any time: a dark record protects nobody (I2).
	if after == "" || after == c.spec.InForceID {
		return
	}
	for _, p := range c.pods {
		if p.counted() && p.id() != after {
			c.t.Fatalf("id %s goes to DNS while %s serves %q (I1)", after, p.name, p.id())
		}
	}
}

// checkGone sees everything being removed.
func (c *chaos) checkGone() {
	if c.spec.Current == nil {
		// Nothing of ours was ever served; what somebody else published is theirs to drain.
		c.setFault("")
		clear(c.senders.bodies)
		clear(c.senders.pairs)
	}
	for key := range c.senders.bodies {
		if until := c.senders.heldUntil(key); until.After(c.now) {
			c.t.Fatalf("removed although senders may hold %q until %s (I6)", key, until)
		}
	}
	c.dnsBroken = false
	// Ids that nothing remembers are not exceeded by a clock that was set back.
	c.greatest = ""
	c.copies = slices.DeleteFunc(c.copies, func(s *v1alpha1.MTASTSPublicationSpec) bool { return mtasts.ID(s.LastID).Time().After(c.now) })
}

func (c *chaos) tell(format string, args ...any) {
	c.trace = append(c.trace, c.now.Format("01-02T15:04:05 ")+fmt.Sprintf(format, args...)+" ["+string(c.last.State)+"]")
}

func (c *chaos) pick(of ...string) string { return of[c.rnd.IntN(len(of))] }

func (c *chaos) randomPolicy() mtasts.Policy {
	p := mtasts.Policy{Mode: mtasts.ModeEnforce, MaxAgeSeconds: int64(86400 * (1 + c.rnd.IntN(7)))}
	switch c.rnd.IntN(6) {
	case 0:
		p.Mode = mtasts.ModeTesting
	case 1:
		p.Mode = mtasts.ModeNone
	}
	for _, host := range hosts[:5] {
		if c.rnd.IntN(2) == 0 {
			p.MX = append(p.MX, host)
		}
	}
	if len(p.MX) == 0 {
		p.MX = []string{"*.example.com"}
	}
	return p
}

// step does one random thing, and lets a random time pass.
func (c *chaos) step() {
	w := c.world
	switch what := c.rnd.IntN(100); {
	case what < 25:
		w.want(c.randomPolicy())
		w.claim.Preflight = v1alpha1.Preflight(c.pick("Require", "Require", "Advise"))
		w.claim.DeletionPolicy = v1alpha1.DeletionPolicy(c.pick("Drain", "Drain", "Drain", "Orphan"))
		c.tell("want %s %v %d", w.claim.Wanted.Mode, w.claim.Wanted.MX, w.claim.Wanted.MaxAgeSeconds)
	case what < 29 && w.claim != nil:
		c.tell("the policy is deleted")
		w.deletePolicy()
	case what < 33 && w.claim != nil:
		c.tell("the policy is renamed")
		w.claim = new(*w.claim)
		w.claim.Name, w.claim.UID, w.wake = c.pick("a", "b"), c.pick("1", "2", "3"), w.now
	case what < 40:
		w.podLag, w.dnsLag = time.Duration(c.rnd.IntN(120))*time.Second, time.Duration(c.rnd.IntN(600))*time.Second
		c.tell("pods lag %s, DNS %s", w.podLag, w.dnsLag)
	case what < 46:
		c.podFault()
	case what < 52:
		w.setFault(Outcome(c.pick("", "", string(Broken), string(NoAnswer), string(WrongBody))))
		if w.foreign != nil && (w.spec == nil || w.spec.Current == nil || w.last.State == v1alpha1.StateRemoving) {
			w.setFault(Broken) // nobody would look, so nobody could know
		}
		if w.foreign != nil {
			w.foreign.Policy = c.randomPolicy()
			w.lookPublic() // the operator sees it before any sender does
		}
		w.wake = w.now
		c.tell("the policy URL is %q", w.fault)
	case what < 58:
		w.dnsStuck, w.dnsBroken = c.rnd.IntN(3) == 0, c.rnd.IntN(3) == 0
		if w.spec == nil {
			w.dnsBroken = false // what cannot be seen at first sight stays unknown
		}
		c.tell("DNS stuck %t, broken %t", w.dnsStuck, w.dnsBroken)
	case what < 63:
		w.mxBroken, w.nullMX = c.rnd.IntN(3) == 0, c.rnd.IntN(5) == 0
		w.mx = hosts[:1+c.rnd.IntN(4)]
		c.tell("MX %v, broken %t, null %t", w.mx, w.mxBroken, w.nullMX)
	case what < 70:
		c.tell("the next write is followed by a crash")
		w.crash = true
	case what < 74:
		skew := time.Duration(c.rnd.IntN(45)) * day * time.Duration(c.rnd.IntN(2))
		c.tell("a new leader, whose clock is %s ahead", skew)
		w.restart(skew)
	case what < 78 && w.spec != nil:
		c.tell("a copy is made")
		c.copies = append(c.copies, w.spec.DeepCopy())
	case what < 80 && w.spec != nil && len(c.copies) > 0:
		c.tell("an old copy is restored")
		w.setFault("") // nobody would look at the policy URL before every pod serves
		w.restore(c.copies[c.rnd.IntN(len(c.copies))])
		c.senders.restored(c.minted)
	case what < 84 && w.spec != nil:
		c.hand()
	case what < 86:
		w.ttl = int32(60 + c.rnd.IntN(3600))
		w.wake = w.now
		c.tell("the TTL is %d", w.ttl)
	case what < 88:
		w.retirementHeld = !w.retirementHeld
		c.tell("retirements held %t", w.retirementHeld)
	}
	// A fault is seen before time passes: what nobody sees nobody can enter.
	w.advance(time.Second)
	if c.rnd.IntN(12) == 0 {
		w.advance(time.Duration(c.rnd.IntN(72)) * time.Hour)
		return
	}
	w.advance(time.Duration(c.rnd.IntN(300)) * time.Second)
}

// podFault makes a pod silent, replaces it, or brings back one with an old mount.
func (c *chaos) podFault() {
	w := c.world
	p := w.pods[c.rnd.IntN(len(w.pods))]
	w.wake = w.now
	switch c.rnd.IntN(5) {
	case 0:
		p.silent, p.silentSince, p.ready = true, w.clock(), c.rnd.IntN(2) == 0
		c.tell("%s is silent, ready %t", p.name, p.ready)
	case 1:
		p.terminating, p.ready = true, c.rnd.IntN(2) == 0
		c.tell("%s terminates, ready %t", p.name, p.ready)
	case 2:
		// Only what the ledger still knows, or what refuses nothing: of others a pod tells only the id.
		if w.spec == nil || p.silent || !p.ready {
			return
		}
		var old []string
		for _, id := range slices.Sorted(maps.Keys(c.minted)) {
			known := c.minted[id].Mode != v1alpha1.ModeEnforce || w.entry(id) != nil
			if known && w.shard != nil && mtasts.ID(id).Compare(mtasts.ID(w.shard.ID)) < 0 {
				old = append(old, id)
			}
		}
		if len(old) > 0 && p.due.IsZero() && p.instance != nil {
			p.instance = new(c.minted[old[c.rnd.IntN(len(old))]])
			p.next, p.due = w.shard, w.now.Add(time.Duration(1+c.rnd.IntN(600))*time.Second)
			c.tell("%s comes back with %s", p.name, p.id())
			w.pass() // seen at once
		}
	default:
		p.silent, p.terminating, p.ready = false, false, true
		c.tell("%s is well", p.name)
	}
}

// hand edits what only the operator should write, or restores a DNS zone.
func (c *chaos) hand() {
	w := c.world
	w.wake = w.now
	switch c.rnd.IntN(3) {
	case 0:
		c.tell("the TXT object is deleted by hand")
		w.txt, w.dnsDue = "", w.now.Add(w.dnsLag)
	case 1:
		w.txt, w.dnsDue = c.pick("abc", "20200101000000deadbeef", w.spec.InForceID), w.now.Add(w.dnsLag)
		c.tell("the TXT object is edited by hand: %s", w.txt)
	case 2:
		// A greater id of our form: it must be exceeded, never followed.
		last := mtasts.ID(w.spec.LastID).Time()
		if last.IsZero() || w.txt == "" {
			return
		}
		w.txt, w.dnsDue = last.Add(time.Hour).Format("20060102150405")+"deadbeef", w.now.Add(w.dnsLag)
		c.tell("the TXT object is edited by hand: %s", w.txt)
	}
}

// calm ends all faults.
func (c *chaos) calm() {
	w := c.world
	w.fault, w.foreign, w.dnsStuck, w.dnsBroken, w.mxBroken, w.nullMX, w.crash, w.retirementHeld = "", nil, false, false, false, false, false, false
	w.podLag, w.dnsLag = 5*time.Second, 20*time.Second
	for _, p := range w.pods {
		p.silent, p.terminating, p.ready = false, false, true
	}
	if w.dnsDue.IsZero() {
		w.dnsDue = w.now // external-dns finds and repairs whatever differs
	}
	w.restart(0)
}

func TestRandomHistoriesKeepTheInvariantsAndConverge(t *testing.T) {
	seeds, steps := uint64(150), 150
	if testing.Short() {
		seeds = 40
	}
	if n, err := strconv.ParseUint(os.Getenv("PUBLICATION_SEEDS"), 10, 32); err == nil {
		seeds = n // for a long run by hand
	}
	reached := map[v1alpha1.State]int{}
	reasons := map[string]int{}
	for seed := range seeds {
		ok := t.Run(fmt.Sprint(seed), func(t *testing.T) {
			c := newChaos(t, seed)
			t.Cleanup(func() {
				if t.Failed() {
					t.Logf("history:\n%s", strings.Join(c.trace[max(0, len(c.trace)-180):], "\n"))
				}
			})
			for range steps {
				c.step()
				reached[c.last.State]++
				if c.spec != nil && !c.senders.looking {
					c.senders.check(c.spec)
				}
			}
			c.converge()
			for _, e := range c.events {
				reasons[e.Reason]++
			}
		})
		if !ok {
			return
		}
	}
	// A history that never gets anywhere proves nothing.
	for _, state := range []v1alpha1.State{"Held", "Serving", "Announcing", "InForce", "Retiring", "Orphaned"} {
		if reached[state] < int(seeds) {
			t.Errorf("state %s was met only %d times: %v", state, reached[state], reached)
		}
	}
	for _, reason := range []string{"Announced", "InForce", "Reannounced", "Restored", "AnnouncedUnverified", "Retiring"} {
		if reasons[reason] < int(seeds)/4 {
			t.Errorf("event %s happened only %d times: %v", reason, reasons[reason], reasons)
		}
	}
}

// converge makes sure that without faults everything comes to its end and rests there.
func (c *chaos) converge() {
	w := c.world
	c.calm()
	if c.rnd.IntN(2) == 0 {
		w.want(policy(mtasts.ModeEnforce, 2*86400, w.mx...))
		w.claim.DeletionPolicy = v1alpha1.DeletionDrain
		w.advance(3 * time.Hour)
		if w.last.State != v1alpha1.StateInForce || !PolicyOf(*w.spec.Current).Equal(w.claim.Wanted) || w.txt != w.spec.Current.ID || !slices.Equal(w.records, []string{record(w.txt)}) {
			w.t.Fatalf("without faults it ends in %s (%s: %s), TXT %s, DNS %v", w.last.State, w.last.Reason, w.last.Message, w.txt, w.records)
		}
		for _, e := range w.spec.Ledger {
			if e.CachedUntil == nil {
				w.t.Fatalf("entry %s stays open without a cause", e.ID)
			}
		}
		for len(w.spec.Ledger) > 0 && w.spec.Ledger[0].CachedUntil.Before(stamped(w.now.Add(90*day))) {
			w.advance(12 * time.Hour)
		}
		w.quietUnlessPruned()
		return
	}
	if w.spec != nil && w.claim == nil && w.spec.DeletionPolicy == v1alpha1.DeletionOrphan {
		w.want(trial(w.mx...))
	}
	if w.claim != nil {
		w.claim.DeletionPolicy = v1alpha1.DeletionDrain
		w.advance(10 * time.Minute)
		w.deletePolicy()
	}
	for end := w.now.Add(500 * day); w.spec != nil; w.advance(12 * time.Hour) {
		c.senders.check(w.spec)
		if w.last.Reason == v1alpha1.ReasonRetirementHeld { // a copy that was restored in the last moment
			w.word = w.clock().UTC().Format(time.RFC3339)
		}
		if w.now.After(end) {
			w.t.Fatalf("never removed: %s (%s: %s)", w.last.State, w.last.Reason, w.last.Message)
		}
	}
}

// quietUnlessPruned makes sure that nothing is written, but for entries that come to their date.
func (w *world) quietUnlessPruned() {
	if len(w.spec.Ledger) == 0 {
		w.stayQuiet(2 * day)
	}
}
