package simulation

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/mta-sts-operator/mta-sts-operator/controllers"
)

// leader is one running operator. There may be two: one that has not noticed yet that it was deposed.
type leader struct {
	sim    *sim
	name   string
	passes *controllers.Passes
	cache  *cache

	dead bool
	// serving is set while the pass of a namespace is on its way.
	serving bool
	// crashAfter is how many more writes it lives for; 0 means no end is planned.
	crashAfter int
	// slots are its work queues: what is being worked on, and when what is due.
	slots map[slot]*work
}

// slot is a key of one of the two controllers.
type slot struct{ controller, key string }

const (
	domainController = "domain"
	serverController = "server"
)

// work is what a queue knows of a key: soon is an event, later a RequeueAfter.
type work struct {
	busy, again, soon bool
	later             time.Time
	failures          int
}

// pass is one call of a reconciler.
type pass struct {
	leader *leader
	slot   slot
	serial int
	// calls counts what was asked for how often, so that luck does not depend on the order.
	calls  map[string]int
	cancel context.CancelCauseFunc
}

// skewed is a clock that goes wrong.
type skewed struct {
	clock.Clock

	by time.Duration
}

// Now is the time of the wrong clock.
func (c skewed) Now() time.Time { return c.Clock.Now().Add(c.by) }

// lead starts an operator, whose clock is ahead by skew.
func (s *sim) lead(skew time.Duration) *leader {
	s.started++
	l := &leader{sim: s, name: fmt.Sprintf("op%d", s.started), cache: newCache(s.store, pick(s, 0, time.Second, 20*time.Second)), slots: map[slot]*work{}}
	parts := controllers.Parts{
		Client:   writer{reader: reader{l.cache, func(context.Context, string) error { return l.alive() }}, leader: l},
		Live:     reader{s.store, l.read},
		Recorder: recorder{l},
		Bounds:   s.bounds,
		Pods:     asking{l},
	}
	l.passes = controllers.NewPasses(parts, controllers.Options{
		Config: s.config, Timings: s.timings, World: leaderWorld{l}, Clock: skewed{s.clock, skew},
	})
	s.leaders = append(s.leaders, l)
	for _, k := range kinds {
		for _, o := range l.cache.list(k.Kind) {
			l.noticed(nil, o)
		}
		s.deliver(l, k.Kind)
	}
	return l
}

// bounds are the earlier and the later of an operator's time and the API server's, which tells seconds.
func (s *sim) bounds(now time.Time) (earlier, later time.Time) {
	if date := s.now.Truncate(time.Second); date.Before(now) {
		return date, now
	}
	return now, s.now.Truncate(time.Second)
}

// end takes an operator away; what it remembered is lost.
func (l *leader) end(why string) {
	if l.dead {
		return
	}
	l.dead = true
	l.sim.tell("%s ends: %s", l.name, why)
	l.sim.leaders = slices.DeleteFunc(l.sim.leaders, func(o *leader) bool { return o == l })
}

func (l *leader) alive() error {
	if l.dead {
		return errDead
	}
	return nil
}

// deliver lets a cache learn in a while what has been written by then.
func (s *sim) deliver(l *leader, kind string) {
	lag := s.within(pick(s, 30*time.Millisecond, 30*time.Millisecond, 500*time.Millisecond, 5*time.Second))
	if until := l.cache.frozen[kind]; until.After(s.now) {
		lag += until.Sub(s.now)
	}
	to := len(s.store.logs[kind])
	s.after(lag, func() {
		if !l.dead {
			l.cache.advance(s.store, kind, to, l.noticed)
		}
	})
}

// noticed puts what an event is about into the queues, as the watches of the controllers do.
func (l *leader) noticed(before, after client.Object) {
	o := after
	if o == nil {
		o = before
	}
	k := kindFor(o).Kind
	spec := before == nil || after == nil || before.GetGeneration() != after.GetGeneration()
	meta := spec || !maps.Equal(before.GetAnnotations(), after.GetAnnotations())
	switch k {
	case "MTASTSPolicy":
		l.enqueueIf(meta, slot{domainController, domainOf(o)})
	case "MTASTSPublication":
		l.enqueueIf(meta, slot{domainController, domainOf(o)})
		l.enqueueIf(spec, slot{serverController, o.GetNamespace()})
	case "Ingress", "Certificate", "DNSEndpoint":
		l.enqueueIf(domainOf(o) != "", slot{domainController, domainOf(o)})
	case "Deployment", "PodDisruptionBudget", "NetworkPolicy":
		l.enqueueIf(spec, slot{serverController, o.GetNamespace()})
	default:
		l.enqueueIf(true, slot{serverController, o.GetNamespace()})
	}
}

func (l *leader) enqueueIf(yes bool, k slot) {
	if yes {
		l.enqueue(k)
	}
}

func (l *leader) work(k slot) *work {
	if l.slots[k] == nil {
		l.slots[k] = &work{}
	}
	return l.slots[k]
}

// enqueue has a key worked on at once.
func (l *leader) enqueue(k slot) {
	w := l.work(k)
	if w.soon {
		return
	}
	w.soon = true
	l.sim.after(l.sim.within(20*time.Millisecond), func() {
		w.soon = false
		l.turn(k)
	})
}

// requeue has a key worked on after d, at the latest.
func (l *leader) requeue(k slot, d time.Duration) {
	w, at := l.work(k), l.sim.now.Add(d)
	if !w.later.IsZero() && !at.Before(w.later) {
		return
	}
	w.later = at
	l.sim.after(d, func() {
		if w.later.Equal(at) {
			w.later = time.Time{}
			l.turn(k)
		}
	})
}

// turn works on a key, unless somebody does.
func (l *leader) turn(k slot) {
	w := l.work(k)
	switch {
	case l.dead:
	case w.busy:
		w.again = true
	case k.controller != domainController && l.serving: // workers of namespaces wait for each other's lists
		l.requeue(k, time.Second)
	default:
		w.busy, w.again, l.serving = true, false, l.serving || k.controller != domainController
		l.reconcile(k, w)
		w.busy, l.serving = false, l.serving && k.controller == domainController
		if w.again {
			l.enqueue(k)
		}
	}
}

func (l *leader) reconcile(k slot, w *work) {
	s := l.sim
	s.Passes++
	p := &pass{leader: l, slot: k, serial: s.Passes, calls: map[string]int{}}
	ctx, cancel := context.WithCancelCause(context.WithValue(context.Background(), passKey{}, p))
	defer cancel(nil)
	p.cancel = cancel
	var result reconcile.Result
	var err error
	if k.controller == domainController {
		result, err = l.passes.Domain(ctx, k.key)
	} else {
		result, err = l.passes.Namespace(ctx, k.key)
	}
	if err == nil {
		l.passes.MXHosts(ctx)
	}
	if l.dead {
		return
	}
	for _, domain := range l.passes.Woken() {
		l.enqueue(slot{domainController, domain})
	}
	switch {
	case err != nil:
		if text := strings.ReplaceAll(err.Error(), "\n", " "); text != s.lastError[k] {
			s.lastError[k] = text
			s.tell("%s %s %s: %s", l.name, k.controller, k.key, text)
		}
		l.requeue(k, min(5*time.Millisecond<<min(w.failures, 20), 1000*time.Second))
		w.failures++
	case result.RequeueAfter > 0:
		w.failures = 0
		l.requeue(k, result.RequeueAfter)
	default:
		w.failures = 0
	}
}

// recorder takes the events that the operator tells.
type recorder struct{ leader *leader }

// Eventf is an event.
func (r recorder) Eventf(regarding, _ runtime.Object, _, reason, _, note string, args ...any) {
	o, _ := regarding.(client.Object)
	r.leader.sim.tell("%s %s: %s: %s", r.leader.name, refOf(o), reason, fmt.Sprintf(note, args...))
}

// asking carries the operator's questions to the pods.
type asking struct{ leader *leader }

// RoundTrip answers from a pod of this world.
func (a asking) RoundTrip(req *http.Request) (*http.Response, error) {
	if a.leader.dead {
		return nil, errDead
	}
	return a.leader.sim.askPod(req)
}
