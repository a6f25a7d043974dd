package simulation

import (
	"cmp"
	"context"
	"fmt"
	"hash/fnv"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

type passKey struct{}

// luck is a number that depends on what is asked in which pass, not on when.
func (p *pass) luck(what string) uint64 {
	p.calls[what]++
	h := fnv.New64a()
	_, _ = fmt.Fprintf(h, "%d/%d/%s/%d", p.leader.sim.seed, p.serial, what, p.calls[what])
	x := h.Sum64() // FNV alone is no good mixer
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	return x
}

func passOf(ctx context.Context) *pass { return ctx.Value(passKey{}).(*pass) }

// read is a live read: it may fail, and anything may happen before it is answered.
func (l *leader) read(ctx context.Context, what string) error {
	luck := passOf(ctx).luck(what)
	l.stall(ctx, luck)
	if err := cmp.Or(l.alive(), context.Cause(ctx)); err != nil {
		return err
	}
	if l.sim.unlucky(luck >> 8) {
		return apierrors.NewInternalError(errNet)
	}
	return nil
}

// write is a write: it may fail before or after it was made, and anything may happen on its way.
func (l *leader) write(ctx context.Context, verb string, r ref, do func(st *store) error) error {
	s := l.sim
	luck := passOf(ctx).luck(verb + " " + r.String())
	if err := cmp.Or(l.alive(), context.Cause(ctx)); err != nil {
		return err
	}
	l.stall(ctx, luck) // the request is on its way already: neither crash nor timeout stop it
	bad := s.unlucky(luck >> 8)
	if bad && luck>>40%4 < 2 {
		if luck>>40%2 == 0 {
			return apierrors.NewInternalError(errNet)
		}
		return conflict(kindName[r.kind], r.name)
	}
	s.Writes++
	s.checkBusy()
	s.writing = fmt.Sprintf("%s %s %s", l.name, verb, r)
	err := do(s.store)
	s.writing = ""
	if err != nil {
		s.Refused++
	}
	if s.atRest {
		s.tell("%s %s %s: %v", l.name, verb, r, err)
	}
	if l.crashAfter > 0 {
		if l.crashAfter--; l.crashAfter == 0 {
			s.tell("%s crashes after %s %s", l.name, verb, r)
			l.end("crash")
			s.after(time.Second+s.within(time.Minute), s.recover)
		}
	}
	if l.dead {
		return errDead
	}
	if bad && err == nil {
		return apierrors.NewTimeoutError("the answer was lost", 1)
	}
	return cmp.Or(err, context.Cause(ctx))
}

// recover makes sure that somebody leads.
func (s *sim) recover() {
	if len(s.leaders) == 0 {
		s.lead(0)
	}
}

// unlucky says whether a call fails.
func (s *sim) unlucky(luck uint64) bool {
	return s.now.Before(s.unreliableUntil) && luck%8 == 0
}

// stall lets the world, other leaders and other workers go on in the middle of a pass. A pass that took
// too long is given up, but for what is on its way.
func (l *leader) stall(ctx context.Context, luck uint64) {
	s := l.sim
	if s.stalled >= 2 || !s.now.Before(s.slowUntil) || luck>>16%16 != 0 {
		return
	}
	d := []time.Duration{10 * time.Millisecond, time.Second, 20 * time.Second, 5 * time.Minute, 40 * time.Minute}[luck>>24%5]
	s.stalled++
	s.until(s.now.Add(d))
	s.stalled--
	if d > time.Minute {
		passOf(ctx).cancel(context.DeadlineExceeded)
	}
}
