package fair

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func testLimits() Limits {
	return Limits{All: 32, Target: 2, Newcomers: 8, Levels: [Levels]Share{{1, 8, 4}, {2, 16, 4}, {4, 28, 4}, {8, 32, 4}}}
}

// job is a key with its duration in its name, for the test's world alone.
type job struct {
	owner  string
	n      int
	target string
}

// world runs a queue on a virtual clock: what is started ends after its time.
type world struct {
	*Queue[job]

	now    time.Duration
	ends   ends
	takes  func(job) time.Duration
	starts []Start[job]
	began  map[job]time.Duration
}

type ending struct {
	at  time.Duration
	key job
}

type ends []ending

func (e ends) Len() int           { return len(e) }
func (e ends) Less(i, j int) bool { return e[i].at < e[j].at }
func (e ends) Swap(i, j int)      { e[i], e[j] = e[j], e[i] }
func (e *ends) Push(x any)        { *e = append(*e, x.(ending)) }
func (e *ends) Pop() any          { old := *e; x := old[len(old)-1]; *e = old[:len(old)-1]; return x }

func newWorld(limits Limits, takes func(job) time.Duration) *world {
	return &world{Queue: New[job](limits), takes: takes, began: map[job]time.Duration{}}
}

// fill starts what may be started.
func (w *world) fill() {
	for {
		s, ok := w.Next()
		if !ok {
			return
		}
		w.starts = append(w.starts, s)
		w.began[s.Key] = w.now
		heap.Push(&w.ends, ending{w.now + w.takes(s.Key), s.Key})
	}
}

// step lets the next thing end.
func (w *world) step() bool {
	if len(w.ends) == 0 {
		return false
	}
	e := heap.Pop(&w.ends).(ending)
	w.now = e.at
	w.Done(e.key)
	w.fill()
	return true
}

func TestOneOwnerOfTenThousandSlowQuestionsDelaysNobody(t *testing.T) {
	w := newWorld(testLimits(), func(job) time.Duration { return 10 * time.Second })
	for i := range 10_000 {
		w.Join(job{"hog", i, ""}, "", "hog", Leaving, false) // as urgent as can be
	}
	w.fill()
	for range 100 {
		w.step()
	}
	before := len(w.starts)
	for level := Rest; level <= Leaving; level++ {
		victim := job{"victim", int(level), ""}
		w.Join(victim, "", "victim", level, false)
		w.fill()
		if began, ok := w.began[victim]; !ok || began != w.now {
			t.Errorf("a question of level %d waits although slots are free", level)
		}
	}
	if got := len(w.starts) - before; got != 4 {
		t.Errorf("%d starts, want those of the victim", got)
	}
}

// With more hogs than slots somebody has to wait: for a turn of each at most, not for their backlogs.
func TestAnUrgentQuestionStartsWithinOneTurnOfEachOwner(t *testing.T) {
	for _, hogs := range []int{1, 10, 100, 1000} {
		t.Run(fmt.Sprint(hogs), func(t *testing.T) {
			w := newWorld(testLimits(), func(job) time.Duration { return 10 * time.Second })
			for h := range hogs {
				for i := range 10_000 / hogs {
					w.Join(job{fmt.Sprint(h), i, ""}, "", fmt.Sprint(h), Level(i%Levels), false)
				}
			}
			w.fill()
			for range 200 {
				w.step()
			}
			victim, before, asked := job{"victim", 0, ""}, len(w.starts), w.now
			w.Join(victim, "", "victim", Leaving, false)
			for w.fill(); w.began[victim] == 0; {
				if !w.step() {
					t.Fatal("it is never asked")
				}
			}
			others := slices.IndexFunc(w.starts[before:], func(s Start[job]) bool { return s.Key == victim })
			most := 2*hogs + Levels // level leaving gets more than half of the starts, each owner one of them
			t.Logf("%d hogs: %d others before it, %s", hogs, others, w.began[victim]-asked)
			if others > most {
				t.Errorf("%d others come first, want %d at most", others, most)
			}
		})
	}
}

func TestWhatIsNotUrgentComesAsWell(t *testing.T) {
	limits := testLimits()
	limits.Newcomers = 0
	for l := range limits.Levels {
		limits.Levels[l].Most, limits.Levels[l].Owner = limits.All, limits.All
	}
	w := newWorld(limits, func(job) time.Duration { return time.Second })
	for l := range Levels {
		for i := range 2000 {
			w.Join(job{"a", l*10_000 + i, ""}, "", "a", Level(l), false)
		}
	}
	w.fill()
	for len(w.starts) < 1500 {
		w.step()
	}
	var got [Levels]int
	for _, s := range w.starts[:1500] {
		got[s.Level]++
	}
	for l, want := range [Levels]int{100, 200, 400, 800} {
		if diff := got[l] - want; diff < -Levels || diff > Levels {
			t.Errorf("level %d got %d of 1500 starts, want %d", l, got[l], want)
		}
	}
}

func TestWhatIsUrgentFindsSlotsThatOthersMayNotUse(t *testing.T) {
	w := newWorld(testLimits(), func(job) time.Duration { return time.Hour })
	for i := range 1000 {
		w.Join(job{fmt.Sprint(i), i, ""}, "", fmt.Sprint(i), Rest, false)
	}
	w.fill()
	if w.Running() != 8 {
		t.Errorf("%d at rest are in flight, want a quarter of the slots", w.Running())
	}
	w.Join(job{"victim", 0, ""}, "", "victim", Edit, false)
	if w.fill(); w.starts[len(w.starts)-1].Payer != "victim" {
		t.Error("an edit waits for what is at rest")
	}
}

func TestABusyTargetHoldsUpNothingElse(t *testing.T) {
	w := newWorld(testLimits(), func(job) time.Duration { return 90 * time.Second })
	for i := range 20 { // twenty names of one tar pit
		w.Join(job{"hog", i, "192.0.2.1"}, "192.0.2.1", "hog", Edit, false)
	}
	w.Join(job{"hog", 99, "192.0.2.2"}, "192.0.2.2", "hog", Edit, false)
	w.Join(job{"victim", 0, "192.0.2.1"}, "192.0.2.1", "victim", Edit, false)
	w.fill()
	if len(w.starts) != 3 {
		t.Errorf("%d are asked, want two at the one address and one at the other", len(w.starts))
	}
	// Who shares the target waits for one turn.
	w.step()
	if _, ok := w.began[job{"victim", 0, "192.0.2.1"}]; !ok {
		t.Error("the victim waits for more than one turn at the address that it shares")
	}
}

func TestTheSameQuestionIsAskedOnceForAllWhoWait(t *testing.T) {
	w := newWorld(testLimits(), func(job) time.Duration { return time.Second })
	shared := job{"", 0, ""}
	for i := range 100 {
		w.Join(job{"hog", i + 1, ""}, "", "hog", Edit, false)
	}
	w.Join(shared, "", "hog", Edit, false)
	w.Join(shared, "", "victim", Rest, false)
	w.fill()
	if _, ok := w.began[shared]; !ok {
		t.Error("it waits in the longer line")
	}
	if n := w.Len(Rest); n != 0 {
		t.Errorf("%d still wait at rest", n)
	}
	if n := w.Len(Edit); n != 96 {
		t.Errorf("%d of the other's still wait, want 96", n)
	}
}

func TestWhoMovesUpIsAskedEarlier(t *testing.T) {
	w := newWorld(testLimits(), func(job) time.Duration { return time.Second })
	for i := range 1000 {
		w.Join(job{"a", i, ""}, "", "a", Rest, false)
	}
	last := job{"a", 999, ""}
	w.Join(last, "", "a", Leaving, false)
	w.fill()
	if w.starts[0].Key != last || w.starts[0].Level != Leaving {
		t.Errorf("first is %+v", w.starts[0])
	}
	if w.Join(last, "", "a", Rest, false); w.Len(Rest) != 996 {
		t.Errorf("%d wait", w.Len(Rest))
	}
}

func TestNothingIsRememberedOfWhatLeft(t *testing.T) {
	q := New[job](testLimits())
	for i := range 10 {
		q.Join(job{"a", i, ""}, "", "a", Rest, i%2 == 0)
		q.Join(job{"a", i, ""}, "", "b", Edit, false)
	}
	for i := range 10 {
		q.Leave(job{"a", i, ""}, "a")
		if !q.Waits(job{"a", i, ""}) {
			t.Errorf("number %d is forgotten, although b waits for it", i)
		}
		q.Leave(job{"a", i, ""}, "b")
	}
	if len(q.items)+len(q.owners)+len(q.levels[Rest].lines)+q.levels[Rest].ring.Len()+q.Len(Rest)+q.Len(Edit) != 0 {
		t.Error("something is remembered of what left")
	}
}

// One's own flood does not keep one's own way out of trouble waiting, not even for one of its questions.
func TestWhatIsUrgentFindsASlotOfItsOwnOwnerFree(t *testing.T) {
	limits := testLimits()
	for l := range limits.Levels {
		limits.Levels[l].Owner = l + 1
	}
	w := newWorld(limits, func(job) time.Duration { return time.Hour })
	for i := range 10_000 {
		w.Join(job{"a", i, ""}, "", "a", First, false)
	}
	w.fill()
	if w.Running() != 2 {
		t.Fatalf("%d are in flight, want 2", w.Running())
	}
	w.Join(job{"a", 10_000, ""}, "", "a", Leaving, false)
	w.fill()
	if last := w.starts[len(w.starts)-1]; last.Level != Leaving {
		t.Errorf("%+v was started", last)
	}
}

func TestWhatJoinsAheadComesBeforeTheRestOfItsOwnLineOnly(t *testing.T) {
	limits := testLimits()
	limits.All, limits.Newcomers = 1, 0
	w := newWorld(limits, func(job) time.Duration { return time.Second })
	w.Join(job{"b", 0, ""}, "", "b", Edit, false)
	for i := range 3 {
		w.Join(job{"a", i, ""}, "", "a", Edit, false)
	}
	w.Join(job{"a", 3, ""}, "", "a", Edit, true)
	w.Join(job{"a", 4, ""}, "", "a", Edit, true)
	w.Join(job{"a", 1, ""}, "", "a", Edit, true) // waits already
	w.fill()
	for range 6 {
		w.step()
	}
	var got []string
	for _, s := range w.starts {
		got = append(got, fmt.Sprint(s.Key.owner, s.Key.n))
	}
	if want := []string{"b0", "a3", "a4", "a1", "a0", "a2"}; !slices.Equal(got, want) {
		t.Errorf("started %v, want %v", got, want)
	}
}

// model is the queue as it is seen from outside: who waits where, and what is in flight.
type model struct {
	limits  Limits
	waits   map[job]map[string]Level
	targets map[job]string
	flying  map[job]Start[job]
}

func (m *model) mayStart(key job, who string, at Level) bool {
	all, byOwner, byOwnerBelow, byTarget := 0, 0, 0, 0
	for other, s := range m.flying {
		all++
		if s.Payer == who {
			byOwner++
			if s.Level <= at {
				byOwnerBelow++
			}
		}
		if m.targets[other] == m.targets[key] {
			byTarget++
		}
	}
	below := 0
	for _, s := range m.flying {
		if s.Level <= at {
			below++
		}
	}
	switch limits := m.limits; {
	case all >= limits.All, below >= limits.Levels[at].Most:
		return false
	case byOwner >= limits.Levels[Leaving].Owner, byOwnerBelow >= limits.Levels[at].Owner:
		return false
	case byOwner > 0 && all >= limits.All-limits.Newcomers:
		return false
	default:
		return m.targets[key] == "" || byTarget < limits.Target
	}
}

// TestRandomHistoriesKeepEveryBound compares random histories with the model: no limit is ever exceeded, no
// slot stays free while anything might use it, nothing is lost or done twice, and the same history is the same.
func TestRandomHistoriesKeepEveryBound(t *testing.T) {
	for seed := range uint64(300) {
		if a, b := history(t, seed, true), history(t, seed, false); !slices.Equal(a, b) {
			t.Fatalf("seed %d: the same calls started other things", seed)
		}
	}
}

func history(t *testing.T, seed uint64, check bool) (trace []Start[job]) {
	t.Helper()
	rnd := rand.New(rand.NewPCG(seed, 1))
	limits := Limits{All: 1 + rnd.IntN(8), Target: 1 + rnd.IntN(2)}
	limits.Newcomers = rnd.IntN(limits.All)
	for l := range limits.Levels {
		limits.Levels[l] = Share{Weight: 1 << l, Most: max(1, limits.All*(l+1)/Levels), Owner: 1 + rnd.IntN(3)}
	}
	q := New[job](limits)
	m := &model{limits: limits, waits: map[job]map[string]Level{}, targets: map[job]string{}, flying: map[job]Start[job]{}}
	for range 200 {
		key := job{n: rnd.IntN(40)}
		key.target = []string{"", "", "t0", "t1", "t2"}[key.n%5]
		m.targets[key] = key.target
		who, at := fmt.Sprint("ns", rnd.IntN(6)), Level(rnd.IntN(Levels))
		switch rnd.IntN(5) {
		case 0, 1:
			q.Join(key, key.target, who, at, rnd.IntN(2) == 0)
			if _, flying := m.flying[key]; !flying {
				if m.waits[key] == nil {
					m.waits[key] = map[string]Level{}
				}
				if had, ok := m.waits[key][who]; !ok || had < at {
					m.waits[key][who] = at
				}
			}
		case 2:
			q.Leave(key, who)
			delete(m.waits[key], who)
		case 3:
			for flying := range 40 { // the first that is in flight, from a random one on
				k := job{n: (key.n + flying) % 40}
				k.target = []string{"", "", "t0", "t1", "t2"}[k.n%5]
				if _, ok := m.flying[k]; ok {
					q.Done(k)
					delete(m.flying, k)
					break
				}
			}
		}
		for {
			s, ok := q.Next()
			if !ok {
				break
			}
			if at, waits := m.waits[s.Key][s.Payer]; check && (!waits || at != s.Level || !m.mayStart(s.Key, s.Payer, s.Level)) {
				t.Fatalf("seed %d: %+v was started, waiting %v at %d, in flight %v", seed, s, waits, at, m.flying)
			}
			delete(m.waits, s.Key)
			m.flying[s.Key] = s
			trace = append(trace, s)
		}
		if !check {
			continue
		}
		for k, owners := range m.waits {
			for who, at := range owners {
				if m.mayStart(k, who, at) {
					t.Fatalf("seed %d: %v of %s might be started", seed, k, who)
				}
			}
		}
	}
	return trace
}

// BenchmarkQuestion is what one question costs: to join, to start, to end.
func BenchmarkQuestion(b *testing.B) {
	for _, owners := range []int{1, 20, 1000} {
		for _, waiting := range []int{0, 10_000, 100_000} {
			b.Run(fmt.Sprintf("owners=%d/waiting=%d", owners, waiting), func(b *testing.B) {
				q := New[job](testLimits())
				names := make([]string, owners)
				for i := range names {
					names[i] = fmt.Sprint("ns", i)
				}
				for i := range waiting {
					q.Join(job{names[i%owners], i, ""}, "", names[i%owners], Level(i%Levels), false)
				}
				var flying []job
				n := waiting
				b.ReportAllocs()
				for b.Loop() {
					q.Join(job{names[n%owners], n, ""}, "", names[n%owners], Level(n%Levels), false)
					n++
					if s, ok := q.Next(); ok {
						flying = append(flying, s.Key)
					}
					if len(flying) > 4 {
						q.Done(flying[0])
						flying = flying[1:]
					}
				}
			})
		}
	}
}

// BenchmarkWorst: every owner waits for one target that is busy, and each end looks through all of them.
func BenchmarkWorst(b *testing.B) {
	limits := testLimits()
	limits.Target = 1
	q := New[job](limits)
	for i := range 10_000 {
		who := fmt.Sprint("ns", i%1000)
		q.Join(job{who, i, "t"}, "t", who, Edit, false)
	}
	s, _ := q.Next()
	for b.Loop() {
		q.Done(s.Key)
		q.Join(s.Key, "t", s.Payer, Edit, false)
		s, _ = q.Next()
		if _, ok := q.Next(); ok {
			b.Fatal("two at one target")
		}
	}
}
