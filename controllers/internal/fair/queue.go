// Package fair decides what is done next when many owners want more than may be done at once (I11).
//
// It knows nothing of what is done, of time, of goroutines or locks: the same calls give the same order, so
// that a simulation can replay it. Three rules, from the outside in:
//
//  1. Levels share the starts by weight (start-time fair queueing), so that what is urgent comes first and
//     what is not still comes. A level may use a part of the slots only, together with those below it: what
//     is urgent always finds the others free, those of its own owner among them.
//  2. Within a level the owners take turns, however much each of them wants. An owner that has as much in
//     flight as it may have keeps its place and is passed over.
//  3. Within an owner's line the targets take turns. A target that is busy is passed over in every line.
package fair

// Level is how urgent something is; greater is more urgent. It follows from what senders see, never from what
// an owner says of it: else everybody would call everything urgent.
type Level int

// The levels.
const (
	// Rest is what nobody waits for.
	Rest Level = iota
	// First is what is on its way to be seen by senders for the first time.
	First
	// Edit is a change of what senders see.
	Edit
	// Leaving is a change that stops senders from refusing mail.
	Leaving

	// Levels is how many there are.
	Levels = int(Leaving) + 1
)

// Limits bound what is in flight.
type Limits struct {
	// All is for everything together, Target for one target; the target "" has no limit.
	All, Target int
	// Newcomers are slots of All that only an owner with nothing in flight may use: a few owners whose questions
	// take long do not make the others wait for one of them to end.
	Newcomers int
	// Levels say what each level gets.
	Levels [Levels]Share
}

// Share is what a level gets.
type Share struct {
	// Weight is its part of the starts while others wait as well, 1 to 8.
	Weight int
	// Most is what this level and those below it may have in flight together, Owner what one owner may.
	Most, Owner int
}

// Queue holds what waits and what is in flight, by key. The same key is done once for all who want it.
type Queue[K comparable] struct {
	limits   Limits
	items    map[K]*item[K]
	levels   [Levels]level
	owners   map[string]*owner
	targets  map[string]int
	inFlight [Levels]int
	held     [Levels]bool
	running  int
	now      int64 // virtual time: the start tag of the last start
}

// item is one thing to do.
type item[K comparable] struct {
	key    K
	target string
	places map[string]*place[K] // in the lines of those who wait for it, by owner
	// While it is in flight: who pays, at what level.
	running bool
	payer   string
	level   Level
}

// owner is what one owner has waiting, and in flight by level.
type owner struct {
	waiting, running int
	inFlight         [Levels]int
}

// scale makes whole numbers of virtual time for weights up to 8.
const scale = 840

// New returns an empty queue.
func New[K comparable](limits Limits) *Queue[K] {
	q := &Queue[K]{limits: limits, items: map[K]*item[K]{}, owners: map[string]*owner{}, targets: map[string]int{}}
	for l := range q.levels {
		q.levels[l].lines = map[string]*line{}
	}
	return q
}

// Join has key done for an owner, unless it is in flight already. Who waits for it already moves up if the
// level is higher, and keeps its place otherwise. What joins ahead comes before all of the owner's line that
// did not.
func (q *Queue[K]) Join(key K, target, who string, at Level, ahead bool) {
	it := q.items[key]
	if it == nil {
		it = &item[K]{key: key, target: target, places: map[string]*place[K]{}}
		q.items[key] = it
	}
	if it.running {
		return
	}
	if p := it.places[who]; p != nil {
		if p.level > at || (p.level == at && (p.ahead || !ahead)) {
			return
		}
		ahead = ahead || p.ahead
		q.leave(it, who)
	}
	q.owner(who).waiting++
	it.places[who] = q.enter(it, who, at, ahead)
}

// Leave takes key out of an owner's line.
func (q *Queue[K]) Leave(key K, who string) {
	it := q.items[key]
	if it == nil {
		return
	}
	q.leave(it, who)
	if len(it.places) == 0 && !it.running {
		delete(q.items, key)
	}
}

// Waits says whether anybody waits for key.
func (q *Queue[K]) Waits(key K) bool {
	it := q.items[key]
	return it != nil && !it.running
}

// Start is what is done next, and who pays for it.
type Start[K comparable] struct {
	Key   K
	Payer string
	Level Level
}

// Next starts what is to be done next; false if nothing may be started now.
func (q *Queue[K]) Next() (Start[K], bool) {
	if q.running >= q.limits.All {
		return Start[K]{}, false
	}
	best, tag := (*place[K])(nil), int64(0)
	below := 0 // in flight at this level and below
	for l := range q.levels {
		below += q.inFlight[l]
		if q.held[l] || below >= q.limits.Levels[l].Most {
			continue
		}
		start := max(q.now, q.levels[l].finish)
		if best != nil && start > tag { // on a tie the higher level wins
			continue
		}
		if p := q.find(Level(l)); p != nil {
			best, tag = p, start
		}
	}
	if best == nil {
		return Start[K]{}, false
	}
	q.now = tag
	q.levels[best.level].finish = tag + scale/int64(q.limits.Levels[best.level].Weight)
	return q.start(best), true
}

// Done ends what was started. Whoever wants it again has to join again.
func (q *Queue[K]) Done(key K) {
	it := q.items[key]
	if it == nil || !it.running {
		return
	}
	delete(q.items, key)
	q.running--
	q.inFlight[it.level]--
	if it.target != "" {
		if q.targets[it.target]--; q.targets[it.target] == 0 {
			delete(q.targets, it.target)
		}
	}
	o := q.owners[it.payer]
	o.running--
	o.inFlight[it.level]--
	q.drop(it.payer, o)
}

// Hold keeps a level from starting anything, or no longer.
func (q *Queue[K]) Hold(at Level, held bool) { q.held[at] = held }

// Len is how much waits at a level, one for each who waits.
func (q *Queue[K]) Len(at Level) int { return q.levels[at].places }

// Running is how much is in flight.
func (q *Queue[K]) Running() int { return q.running }

// find is the first place of a level that may be started.
func (q *Queue[K]) find(at Level) *place[K] {
	for e := q.levels[at].ring.Front(); e != nil; e = e.Next() {
		line := e.Value.(*line)
		if !q.mayStart(q.owners[line.owner], at) {
			continue
		}
		for g := line.ring.Front(); g != nil; g = g.Next() {
			group := g.Value.(*group)
			// No more targets are busy than things are in flight, so that few are passed over.
			if group.target == "" || q.targets[group.target] < q.limits.Target {
				return group.places.Front().Value.(*place[K])
			}
		}
	}
	return nil
}

// mayStart says whether an owner may have one more in flight at a level.
func (q *Queue[K]) mayStart(o *owner, at Level) bool {
	if o.running > 0 && q.running >= q.limits.All-q.limits.Newcomers {
		return false
	}
	flying := 0
	for l := range at + 1 {
		flying += o.inFlight[l]
	}
	return flying < q.limits.Levels[at].Owner && o.running < q.limits.Levels[Leaving].Owner
}

func (q *Queue[K]) start(p *place[K]) Start[K] {
	it := p.item
	who := p.line.owner
	// Its line and its target's group go to the end, the others that were passed over stay in front.
	q.levels[p.level].ring.MoveToBack(p.line.at)
	p.line.ring.MoveToBack(p.group.at)
	level := p.level
	it.running, it.payer, it.level = true, who, level
	q.owners[who].running++
	q.owners[who].inFlight[level]++
	for other := range it.places {
		q.leave(it, other)
	}
	q.running++
	q.inFlight[level]++
	if it.target != "" {
		q.targets[it.target]++
	}
	return Start[K]{Key: it.key, Payer: who, Level: level}
}

func (q *Queue[K]) owner(who string) *owner {
	o := q.owners[who]
	if o == nil {
		o = &owner{}
		q.owners[who] = o
	}
	return o
}

// drop forgets an owner that has nothing waiting or in flight.
func (q *Queue[K]) drop(who string, o *owner) {
	if o.waiting == 0 && o.running == 0 {
		delete(q.owners, who)
	}
}
