package publication

import (
	"encoding/json"
	"reflect"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
)

const (
	domain = "example.com"
	mx1    = "mx1.example.com"
	mx2    = "mx2.example.com"
	mx3    = "mx3.example.com"
	week   = 604800
	day    = 24 * time.Hour
)

// world is a cluster and an Internet with one domain, small enough to be held in the head, and the
// controller's side of the bargain: it satisfies needs, writes the spec first and the TXT object
// last, and remembers looks until it restarts.
type world struct {
	t testing.TB
	// quick makes the checks that only stories can afford at every eighth pass.
	quick  bool
	passes int

	now  time.Time
	skew time.Duration
	tm   Timings

	spec           *v1alpha1.MTASTSPublicationSpec
	uid            string
	uids           int
	claim          *Claim
	txt            string
	shard          *v1alpha1.Instance
	pods           []*pod
	podLag         time.Duration
	prepared       string
	retirementHeld bool
	word           string
	byHand         bool
	ttl            int32
	created        time.Time
	outage         *Outage
	words          Words

	// records are the TXT strings that authoritative servers answer; they follow txt after dnsLag.
	records   []string
	dnsLag    time.Duration
	dnsDue    time.Time
	dnsStuck  bool
	dnsBroken bool
	// secondhand makes a resolver answer in their place.
	secondhand bool

	// fault overrides what the policy URL answers; foreign is what it serves then.
	fault   Outcome
	foreign *Seen

	mx       []string
	nullMX   bool
	mxBroken bool

	mints Mints

	memory struct {
		world  *World
		dns    *DNS
		mx     *MX
		public *Public
		begun  string
	}
	wake, rest time.Time
	restFor    string
	restEvery  time.Duration

	last   Decision
	events []Event
	looks  map[Need]int
	writes int
	// gaveUp is the greatest id from the future that was replaced by a smaller one.
	gaveUp mtasts.ID
	// heard is what the pods told last about the instance askedFor.
	heard    Servers
	askedFor string
	// minted counts the ids.
	minted int
	// crash makes the next pass that writes the spec end right after that.
	crash   bool
	removed int

	onTick func()
	onSpec func(before, after *v1alpha1.MTASTSPublicationSpec)
	onTXT  func(before, after string)
	onGone func()
}

type pod struct {
	name, node  string
	ready       bool
	terminating bool
	silent      bool
	forged      bool // it serves what somebody else wants
	silentSince time.Time
	instance    *v1alpha1.Instance
	next        *v1alpha1.Instance
	due         time.Time
	began       time.Time
}

// counted says whether the pod may answer senders, now or later (I1).
func (p *pod) counted() bool { return p.ready || !p.terminating }

func newWorld(t testing.TB) *world {
	w := &world{
		t: t, now: time.Date(2026, time.March, 1, 12, 0, 0, 250e6, time.UTC), tm: DefaultTimings(),
		podLag: 5 * time.Second, dnsLag: 20 * time.Second, ttl: 300, mx: []string{mx1, mx2},
		restEvery: time.Hour, looks: map[Need]int{},
	}
	for _, name := range []string{"a", "b"} {
		w.pods = append(w.pods, &pod{name: "pod-" + name, node: "node-" + name, ready: true, began: w.now})
	}
	return w
}

func policy(mode mtasts.Mode, maxAge int64, mx ...string) mtasts.Policy {
	return mtasts.Policy{Mode: mode, MX: mx, MaxAgeSeconds: maxAge}
}

func enforce(mx ...string) mtasts.Policy  { return policy(mtasts.ModeEnforce, week, mx...) }
func trial(mx ...string) mtasts.Policy    { return policy(mtasts.ModeTesting, week, mx...) }
func disabled(mx ...string) mtasts.Policy { return policy(mtasts.ModeNone, week, mx...) }

// want makes the policy object ask for p.
func (w *world) want(p mtasts.Policy) {
	if w.claim == nil {
		w.claim = &Claim{Name: "example-com", UID: "policy-1", Title: ByHistory, Preflight: v1alpha1.PreflightRequire, DeletionPolicy: v1alpha1.DeletionDrain}
	}
	claim := *w.claim
	claim.Wanted = p
	w.claim = &claim
	w.wake = w.now
}

// deletePolicy deletes the policy object.
func (w *world) deletePolicy() { w.claim, w.wake = nil, w.now }

func (w *world) clock() time.Time { return w.now.Add(w.skew) }

// restart forgets what the operator remembers; a new leader may have another clock.
func (w *world) restart(skew time.Duration) {
	w.memory.world, w.memory.dns, w.memory.mx, w.memory.public, w.memory.begun = nil, nil, nil, nil, ""
	w.rest, w.restFor, w.skew, w.wake, w.mints = time.Time{}, "", skew, w.now, Mints{}
}

// restore puts back a copy of the publication, as backup tools do: with another UID.
func (w *world) restore(copied *v1alpha1.MTASTSPublicationSpec) {
	w.spec = copied.DeepCopy()
	w.newUID()
	w.restart(w.skew)
}

func (w *world) newUID() {
	w.uids++
	w.uid, w.created = "uid-"+strconv.Itoa(w.uids), w.now
}

// --- what is observed ---

func (w *world) observe() Observation {
	o := Observation{
		UID: w.uid, Created: w.created, Outage: w.outage, Words: w.words,
		Begun: w.uid == w.memory.begun, Claim: w.claim, World: w.memory.world, Public: w.memory.public, DNS: w.memory.dns, MX: w.memory.mx,
		TXTObject: w.txt, Prepared: w.prepared, PreparedIn: time.Minute, TTLSeconds: w.ttl, Namespace: "mail", Word: w.word,
		Pace: w.mints.Pace(w.clock(), w.tm), Clock: w.laterClock(),
	}
	if w.retirementHeld {
		o.Held = &Held{}
	}
	if o.ByHand = w.byHand; w.byHand && w.spec != nil {
		o.TXTObject = w.spec.AnnouncedID
	}
	if w.spec == nil {
		return o
	}
	if current := w.spec.Current; current != nil {
		o.Servers = w.servers(current, w.spec.AnnouncedID == current.ID)
		var before *Servers
		if w.askedFor == current.ID {
			before = &w.heard
		}
		o.Servers.Follow(before, w.clock())
		w.heard, w.askedFor = o.Servers, current.ID
	}
	o.Witness = w.witness()
	last := mtasts.ID(w.spec.LastID)
	if w.shard != nil && mtasts.ID(w.shard.ID).Compare(last) > 0 {
		g := &Greater{ID: mtasts.ID(w.shard.ID), Policy: new(PolicyOf(*w.shard))}
		if g.ID.PlausibleAfter(last, o.Clock) {
			o.Greater = g
		} else if w.spec.Current == nil || g.ID != mtasts.ID(w.spec.Current.ID) {
			o.Planted = g
		}
	}
	seen := []string{w.txt}
	for _, p := range w.pods {
		if p.counted() && !p.silent {
			seen = append(seen, p.id())
		}
	}
	for _, text := range seen {
		id := mtasts.ID(text)
		switch {
		case !id.PlausibleAfter(last, o.Clock) || id.Compare(last) <= 0:
		case o.Greater == nil:
			o.Greater = &Greater{ID: id}
		case id.Compare(o.Greater.ID) > 0:
			o.Greater.ID = id // senders may have paired it with what the shard serves
		}
	}
	if dns := w.memory.dns; dns != nil {
		for _, text := range dns.IDs {
			id := mtasts.ID(text)
			if !id.PlausibleAfter(last, o.Clock) || id.Compare(last) <= 0 {
				continue
			}
			switch {
			case o.Greater == nil:
				o.Greater = &Greater{ID: id, OnlyDNS: true}
			case id.Compare(o.Greater.ID) > 0:
				o.Greater.ID = id
			}
		}
	}
	return o
}

// witness is the pod that runs longest of those that serve the last id.
func (w *world) witness() (out Witness) {
	for _, p := range w.pods {
		if p.counted() && !p.silent && p.id() == w.spec.LastID && (out.ID == "" || p.began.Before(out.Since)) {
			out = Witness{ID: p.id(), Since: p.began}
		}
	}
	return out
}

func (p *pod) id() string {
	if p.instance == nil {
		return ""
	}
	return p.instance.ID
}

func (w *world) servers(current *v1alpha1.Instance, announced bool) Servers {
	s := Servers{Known: true}
	for _, p := range w.pods {
		if !p.counted() {
			continue
		}
		if p.ready {
			s.Ready++
		}
		b := Behind{Pod: p.name, Node: p.node, ID: p.id(), Since: p.silentSince}
		switch {
		case p.silent && p.ready:
			b.Problem = v1alpha1.ReasonProbeBlocked
		case p.silent:
			b.Problem = v1alpha1.ReasonReplicaUnreachable
		case b.ID == current.ID:
			continue
		case mtasts.ID(b.ID).Compare(mtasts.ID(current.ID)) < 0:
			b.Problem = v1alpha1.ReasonReplicaLagging
		default:
			b.Problem = v1alpha1.ReasonWrongBytes
		}
		if !p.silent && announced && p.ready && b.ID != "" {
			s.Older = append(s.Older, b.ID)
		}
		s.Behind = append(s.Behind, b)
	}
	slices.Sort(s.Older)
	s.Older = slices.Compact(s.Older)
	return s
}

func (w *world) askDNS() DNS {
	if w.dnsBroken {
		return DNS{Answer: Unknown, Message: "ns1.example.com: timeout"}
	}
	d := DNS{Answer: Absent, Secondhand: w.secondhand}
	for _, r := range w.records {
		d.Answer, d.TTL = Found, time.Duration(w.ttl)*time.Second
		d.Records = append(d.Records, r)
		if id, ok := idOf(r); ok {
			d.IDs = append(d.IDs, id)
		}
	}
	return d
}

func record(id string) string { return "v=STSv1; id=" + id + ";" }

func idOf(r string) (string, bool) {
	const head = "v=STSv1; id="
	if len(r) <= len(head) || r[:len(head)] != head {
		return "", false
	}
	return r[len(head) : len(r)-1], true
}

// served is what the policy URL serves: one answer for each pod that gets traffic.
func (w *world) served() []Seen {
	if w.foreign != nil {
		return []Seen{*w.foreign}
	}
	var out []Seen
	for _, p := range w.pods {
		if p.ready && p.instance != nil && w.fault == "" {
			out = append(out, Seen{ID: p.instance.ID, Policy: PolicyOf(*p.instance)})
		}
	}
	return out
}

func (w *world) satisfy(need Need, o *Observation) {
	w.t.Helper()
	w.looks[need]++
	m := &w.memory
	switch need {
	case NeedWorld:
		w.lookWorld()
	case NeedMX:
		w.lookMX()
	case NeedPublic:
		w.lookPublic()
	case NeedDNS:
		w.lookDNS()
	case NeedConfirmation:
		w.confirm(o)
	case NeedTrustedTime:
		o.Trusted, o.Latest = w.clocks()
	case NeedNothing:
	}
	o.World, o.MX, o.Public, o.DNS = m.world, m.mx, m.public, m.dns
}

// clocks are the earlier and the later of the operator's clock and the API server's, which is right here.
func (w *world) clocks() (earlier, later time.Time) {
	if w.skew > 0 {
		return w.now, w.clock()
	}
	return w.clock(), w.now
}

func (w *world) laterClock() time.Time {
	_, later := w.clocks()
	return later
}

func (w *world) confirm(o *Observation) {
	o.ConfirmTried = true
	o.Trusted, o.Latest = w.clocks()
	current := w.spec.Current
	o.Servers = w.servers(current, false)
	if o.Servers.All() && !slices.ContainsFunc(w.pods, func(p *pod) bool { return p.counted() && p.id() != current.ID }) {
		o.Confirmed = current.ID
	}
}

func (w *world) lookWorld() {
	var before Tried
	if w.memory.world != nil {
		before = w.memory.world.DNS.Tried
	}
	seen := &World{DNS: w.askDNS()}
	seen.DNS.Tried = before.Next(w.clock(), seen.DNS.Answer != Unknown)
	if served := w.served(); len(served) > 0 && (len(seen.DNS.IDs) > 0 || served[0].ID == strayID) {
		seen.Policy = &served[0]
	}
	seen.Follow(w.memory.world, w.clock())
	w.memory.world = seen
}

func (w *world) lookMX() {
	var before Tried
	if w.memory.mx != nil {
		before = w.memory.mx.Tried
	}
	mx := &MX{Answer: Found, Hosts: slices.Clone(w.mx), Null: w.nullMX}
	if w.mxBroken {
		mx.Answer, mx.Hosts, mx.Message = Unknown, nil, "timeout"
	}
	mx.Tried = before.Next(w.clock(), !w.mxBroken)
	w.memory.mx = mx
}

func (w *world) lookDNS() {
	dns := w.askDNS()
	dns.Follow(w.memory.dns, w.spec, w.clock())
	w.memory.dns = &dns
}

func (w *world) lookPublic() {
	current := w.spec.Current
	look := &Public{For: current.ID, Outcome: Pass}
	switch served := w.served(); {
	case len(served) == 0:
		look.Outcome, look.Message = NoAnswer, "mta-sts.example.com does not answer"
		if w.fault != "" {
			look.Outcome = w.fault
		}
	default:
		for _, s := range served {
			if s.ID != current.ID {
				look.Outcome, look.Seen, look.Message = WrongBody, &s, "mta-sts.example.com serves another policy"
			}
		}
	}
	look.Follow(w.memory.public, w.clock())
	w.memory.public = look
}

// --- one pass ---

// pass decides until nothing is needed, and carries the decision out.
func (w *world) pass() {
	w.t.Helper()
	o := w.observe()
	w.passes++
	var d Decision
	for range 12 {
		d = w.decide(o)
		switch {
		case d.Need != NeedNothing:
			w.satisfy(d.Need, &o)
			continue
		case w.atRest(d) && !w.clock().Before(w.restDue()):
			w.lookDNS()
			w.lookPublic()
			w.lookMX()
			o.MX, o.Public, o.DNS = w.memory.mx, w.memory.public, w.memory.dns
			w.rest = w.clock().Add(w.restEvery)
			if w.memory.dns.Tries > 0 || w.memory.public.Tries > 0 {
				w.rest = w.clock().Add(w.restEvery / 18)
			}
			continue
		}
		break
	}
	if d.Need != NeedNothing {
		w.t.Fatalf("the pass does not end: after twelve looks it still needs %s", d.Need)
	}
	changed := !reflect.DeepEqual(d.Spec, w.spec)
	if changed || !w.quick || w.passes%8 == 0 {
		w.fixedPoint(d, o)
	}
	w.apply(d, changed)
}

func (w *world) decide(o Observation) Decision {
	w.t.Helper()
	if w.quick && w.passes%8 != 0 {
		return Decide(w.spec, o, w.clock(), w.tm)
	}
	spec, before := w.spec.DeepCopy(), encoded(w.t, o)
	d := Decide(w.spec, o, w.clock(), w.tm)
	if !reflect.DeepEqual(spec, w.spec) {
		w.t.Fatalf("Decide changed its input (-before +after):\n%s", cmp.Diff(spec, w.spec))
	}
	if diff := cmp.Diff(string(before), string(encoded(w.t, o))); diff != "" {
		w.t.Fatalf("Decide changed the observation (-before +after):\n%s", diff)
	}
	return d
}

func encoded(t testing.TB, v any) []byte {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// fixedPoint makes sure that the same observation, met again, asks for no further write (I9).
func (w *world) fixedPoint(d Decision, o Observation) {
	w.t.Helper()
	if d.Remove {
		return
	}
	if w.spec == nil || d.Spec.AnnouncedID != w.spec.AnnouncedID {
		o.DNS = nil // the answer is from before the announcement
	}
	if w.spec != nil && d.Spec.Current != nil && (w.spec.Current == nil || w.spec.Current.ID != d.Spec.Current.ID) {
		o.Servers = Servers{} // what pods said was about another instance
	}
	again := Decide(d.Spec, o, w.clock(), w.tm)
	if again.Need == NeedNothing && !reflect.DeepEqual(again.Spec, d.Spec) {
		w.t.Fatalf("deciding again by the same observation writes again (-first +second):\n%s", cmp.Diff(d.Spec, again.Spec))
	}
}

func (w *world) atRest(d Decision) bool {
	switch d.State {
	case v1alpha1.StateInForce, v1alpha1.StateHeld, v1alpha1.StateRetiring, v1alpha1.StateOrphaned:
		return w.spec != nil && w.spec.Current != nil
	default:
		return false
	}
}

func (w *world) restDue() time.Time {
	if w.rest.IsZero() || w.restFor != w.spec.InForceID {
		w.rest, w.restFor = w.clock().Add(time.Minute), w.spec.InForceID
	}
	return w.rest
}

func (w *world) apply(d Decision, changed bool) {
	w.t.Helper()
	w.last = d
	w.events = append(w.events, d.Events...)
	w.wake = time.Time{}
	if d.After > 0 {
		w.wake = w.now.Add(d.After)
	}
	if w.atRest(d) {
		if rest := w.restDue().Add(-w.skew); w.wake.IsZero() || rest.Before(w.wake) {
			w.wake = rest
		}
	}
	if d.Remove {
		w.remove()
		return
	}
	if d.Spec == nil {
		return
	}
	d.Spec.Domain = domain
	if len(d.Spent) > 0 {
		w.writes++
		w.words = Words{}
	}
	if changed {
		if d.Minted {
			w.mints.Note(w.clock(), d.Overtook, w.tm)
			w.minted++
		}
		w.write(d.Spec)
		if w.crash {
			w.crash = false
			w.restart(w.skew)
			return
		}
	}
	w.serve()
	switch d.TXT {
	case TXTPublish:
		if had := mtasts.ID(w.txt); had.Compare(mtasts.ID(d.Spec.AnnouncedID)) > 0 && had.PlausibleAfter(mtasts.ID(d.Spec.LastID), w.laterClock()) {
			return // the fence: a greater id of ours stays
		}
		w.setTXT(d.Spec.AnnouncedID)
	case TXTRemove:
		w.setTXT("")
	case TXTLeave:
	}
}

func (w *world) write(spec *v1alpha1.MTASTSPublicationSpec) {
	if w.onSpec != nil {
		w.onSpec(w.spec, spec)
	}
	if w.spec == nil {
		w.newUID()
		w.memory.begun = w.uid
	}
	w.spec = spec.DeepCopy()
	if w.last.WordSpent {
		w.word = ""
	}
	w.memory.world = nil // it was what this pass had to know
	w.writes++
	// A write is an event of its own: another pass follows at once.
	w.wake = w.now.Add(time.Millisecond)
}

func (w *world) remove() {
	if w.onGone != nil {
		w.onGone()
	}
	w.setTXT("")
	w.spec, w.uid, w.shard, w.wake = nil, "", nil, time.Time{}
	for _, p := range w.pods {
		p.instance, p.next, p.due = nil, nil, time.Time{}
	}
	w.removed++
	w.restart(w.skew)
}

// serve writes the current instance to the shard, from where pods take it after their lag.
func (w *world) serve() {
	current := w.spec.Current
	if current == nil || (w.shard != nil && w.shard.ID == current.ID) {
		return
	}
	if w.shard != nil && mtasts.ID(w.shard.ID).Compare(mtasts.ID(current.ID)) > 0 {
		g := Greater{ID: mtasts.ID(w.shard.ID), Policy: new(PolicyOf(*w.shard))}
		if !g.Replaceable(w.spec, w.laterClock()) {
			return
		}
		w.gaveUp = max(w.gaveUp, g.ID)
	}
	w.shard = current.DeepCopy()
	for i, p := range w.pods {
		if p.forged {
			continue
		}
		p.next, p.due = w.shard, w.now.Add(w.podLag*time.Duration(i+1))
	}
}

func (w *world) setTXT(id string) {
	if id == w.txt {
		return
	}
	if w.onTXT != nil {
		w.onTXT(w.txt, id)
	}
	w.txt = id
	w.dnsDue = w.now.Add(w.dnsLag)
	w.writes++
}

// --- time ---

// advance lets d pass, with everything that is due in it.
func (w *world) advance(d time.Duration) {
	w.t.Helper()
	end := w.now.Add(d)
	for range 200000 {
		w.now = w.nextAfter(end)
		if w.tick() || (!w.wake.IsZero() && !w.wake.After(w.now)) {
			w.pass()
		}
		if !w.now.Before(end) && (w.wake.IsZero() || w.wake.After(w.now)) {
			return
		}
	}
	w.t.Fatal("too much happens: the operator does not come to rest")
}

func (w *world) nextAfter(end time.Time) time.Time {
	next := end
	earlier := func(t time.Time) {
		if !t.IsZero() && t.Before(next) {
			next = t
		}
	}
	earlier(w.wake)
	if !w.dnsStuck {
		earlier(w.dnsDue)
	}
	for _, p := range w.pods {
		earlier(p.due)
	}
	if next.Before(w.now) {
		return w.now
	}
	return next
}

// tick lets pods and DNS take what is due, and says whether the operator hears of it.
func (w *world) tick() bool {
	heard := false
	for _, p := range w.pods {
		if !p.due.IsZero() && !p.due.After(w.now) {
			p.instance, p.due, heard = p.next, time.Time{}, true
		}
	}
	if !w.dnsStuck && !w.dnsDue.IsZero() && !w.dnsDue.After(w.now) {
		w.records, w.dnsDue = nil, time.Time{}
		if w.txt != "" {
			w.records = []string{record(w.txt)}
		}
	}
	if w.onTick != nil {
		w.onTick()
	}
	return heard
}

// --- what stories ask ---

// until lets time pass in small steps until the domain is shown in the state.
func (w *world) until(state v1alpha1.State, within time.Duration) {
	w.t.Helper()
	w.when(string(state), within, func() bool { return w.last.State == state })
}

// when lets time pass in small steps until cond holds.
func (w *world) when(what string, within time.Duration, cond func() bool) {
	w.t.Helper()
	step := max(within/200, time.Second)
	for end := w.now.Add(within); !cond(); {
		if w.now.After(end) {
			w.t.Fatalf("not %s after %s but %s: %s %s", what, within, w.last.State, w.last.Reason, w.last.Message)
		}
		w.advance(step)
	}
}

// inForce brings the policy into force and returns its id.
func (w *world) inForce(p mtasts.Policy) string {
	w.t.Helper()
	w.want(p)
	w.when("in force", 10*time.Minute, func() bool {
		return w.last.State == v1alpha1.StateInForce && PolicyOf(*w.spec.Current).Equal(p)
	})
	return w.spec.Current.ID
}

func (w *world) wantState(state v1alpha1.State, reason string) {
	w.t.Helper()
	if w.last.State != state || w.last.Reason != reason {
		w.t.Fatalf("state %s, reason %q (%s); want %s, %q", w.last.State, w.last.Reason, w.last.Message, state, reason)
	}
}

// told counts the events with the reason.
func (w *world) told(reason string) int {
	n := 0
	for _, e := range w.events {
		if e.Reason == reason {
			n++
		}
	}
	return n
}

func (w *world) entry(id string) *v1alpha1.LedgerEntry {
	if w.spec == nil {
		return nil
	}
	for i := range w.spec.Ledger {
		if w.spec.Ledger[i].ID == id {
			return &w.spec.Ledger[i]
		}
	}
	return nil
}

// stayQuiet makes sure that nothing is written for d.
func (w *world) stayQuiet(d time.Duration) {
	w.t.Helper()
	spec, writes := w.spec.DeepCopy(), w.writes
	w.advance(d)
	if w.writes != writes {
		w.t.Fatalf("%d writes at rest (-before +after):\n%s", w.writes-writes, cmp.Diff(spec, w.spec))
	}
}
