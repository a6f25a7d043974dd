package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	// perPolicy bounds how long anything about all policies may take.
	perPolicy = 200 * time.Millisecond
	settling  = 5 * time.Second
)

// setup is what one run is made with.
type setup struct {
	Policies, Namespaces int
	Idle                 time.Duration `json:"-"`
	Profiles             string        `json:"-"`
}

// result is what one run measured, by the names in report.go.
type result struct {
	setup

	Values map[string]float64
	// Requests are those of the operator in the phases, by "VERB resource".
	Requests map[string]map[string]int
}

// runOnce measures one fleet from nothing to a restart, and the bare client after it.
func runOnce(ctx context.Context, s setup) (result, error) {
	r := result{setup: s, Values: map[string]float64{}, Requests: map[string]map[string]int{}}
	objects, busy, err := r.measureOperator(ctx)
	if err != nil {
		return r, err
	}
	bare, err := measureBare(ctx, s, objects)
	if err != nil {
		return r, fmt.Errorf("the bare client: %w", err)
	}
	r.Values[bareSeconds] = bare.took.Seconds()
	r.Values[onboardingRatio] = r.Values[onboardingSeconds] / bare.took.Seconds()
	r.Values[onboardingServer] = busy.Seconds() / bare.busy.Seconds()
	return r, nil
}

// measureOperator returns what the operator wrote, and the CPU time of the API server until all was in force.
func (r *result) measureOperator(ctx context.Context) (objects []client.Object, busy time.Duration, err error) {
	f, err := newFleet(ctx, r.setup)
	if err != nil {
		return nil, 0, err
	}
	defer func() { err = errors.Join(err, f.close()) }()
	for n := range f.Policies {
		f.world.DNS.SetMX(domainOf(n), mailHost)
	}
	if err := f.startOperator(ctx); err != nil {
		return nil, 0, err
	}
	before, err := f.serverCPU(ctx)
	if err != nil {
		return nil, 0, err
	}
	if err := r.onboard(ctx, f); err != nil {
		return nil, 0, fmt.Errorf("onboarding: %w", err)
	}
	after, err := f.serverAtRest(ctx)
	if err != nil {
		return nil, 0, err
	}
	if objects, err = f.written(ctx); err != nil { // before anything is edited
		return nil, 0, err
	}
	if r.Values[storedKiB], err = encodedKiB(objects, f.Policies); err != nil {
		return nil, 0, err
	}
	for _, phase := range []struct {
		name string
		do   func(context.Context, *fleet) error
	}{
		{"edits", r.edit},
		{"mass edit", r.massEdit},
		{"restart", r.restart},
		{"idle", r.rest},
	} {
		if err := phase.do(ctx, f); err != nil {
			return nil, 0, fmt.Errorf("%s: %w", phase.name, err)
		}
	}
	return objects, after - before, nil
}

// onboard measures from the first policy to the last in force.
func (r *result) onboard(ctx context.Context, f *fleet) error {
	before, err := f.op.figures(ctx)
	if err != nil {
		return err
	}
	profiled := f.profile(ctx, "onboarding", 10+f.Policies/50)
	started := time.Now()
	if err := each(ctx, f.Policies, func(ctx context.Context, n int) error { return f.api.Create(ctx, f.policy(n)) }); err != nil {
		return err
	}
	err = f.inForce(ctx, time.Minute+time.Duration(f.Policies)*perPolicy, func(ready map[string]int64) bool { return len(ready) == f.Policies })
	if err != nil {
		return err
	}
	r.Values[onboardingSeconds] = time.Since(started).Seconds()
	if err := profiled(); err != nil {
		return err
	}
	after, err := r.quiet(ctx, f, "onboarding", before)
	if err != nil {
		return err
	}
	r.Values[onboardingWrites], r.Values[onboardingReads] = per(r.Requests["onboarding"], f.Policies)
	r.Values[heapPerPolicy] = float64(after.HeapBytes-before.HeapBytes) / float64(f.Policies) / 1024
	r.Values[rssMiB] = float64(after.RSSBytes) / (1 << 20)
	r.Values[goroutines] = float64(after.Goroutines)
	r.Values[onboardingCPU] = float64((after.CPU - before.CPU).Microseconds()) / 1000 / float64(f.Policies)
	return f.heap(ctx, "onboarded")
}

// quiet waits until the operator writes nothing any more, and files its requests since before.
func (r *result) quiet(ctx context.Context, f *fleet, phase string, before figures) (figures, error) {
	last := before
	for {
		if err := pause(ctx, settling); err != nil {
			return last, err
		}
		now, err := f.op.figures(ctx)
		if err != nil {
			return last, err
		}
		still := writes(now.Requests) == writes(last.Requests)
		if last = now; still {
			r.Requests[phase] = minus(now.Requests, before.Requests)
			return now, nil
		}
	}
}

// caughtUp waits until an operator that was just started has made as many passes as there are domains: a few may
// have had two, and a few none.
func (f *fleet) caughtUp(ctx context.Context) error {
	for range int(5 * time.Minute / time.Second) {
		now, err := f.op.figures(ctx)
		if err != nil || now.Passes >= f.Policies {
			return err
		}
		if err := pause(ctx, time.Second); err != nil {
			return err
		}
	}
	return errors.New("five minutes after its start the operator has made fewer passes than there are domains")
}

// atRest waits until the operator has little left to do.
func (f *fleet) atRest(ctx context.Context) (figures, error) {
	last, err := f.op.figures(ctx)
	for range int(2 * time.Minute / settling) {
		if err != nil {
			return last, err
		}
		if err := pause(ctx, settling); err != nil {
			return last, err
		}
		before := last
		if last, err = f.op.figures(ctx); last.CPU-before.CPU < settling/5 {
			break
		}
	}
	return last, err
}

// rest watches the operator while nothing happens. It has found everything in force when it started: its looks
// are spread over an hour, and not, as after a change, made soon.
func (r *result) rest(ctx context.Context, f *fleet) error {
	before, err := f.atRest(ctx)
	if err != nil {
		return err
	}
	profiled := f.profile(ctx, "idle", 20)
	started := time.Now()
	if err := pause(ctx, f.Idle); err != nil {
		return err
	}
	if err := profiled(); err != nil {
		return err
	}
	after, err := f.op.figures(ctx)
	if err != nil {
		return err
	}
	seconds := time.Since(started).Seconds()
	r.Requests["idle"] = minus(after.Requests, before.Requests)
	r.Values[idleCPU] = (after.CPU - before.CPU).Seconds() / seconds * 100
	r.Values[idleWatch] = float64(after.WatchBytes-before.WatchBytes) / seconds
	r.Values[idleWrites], _ = per(r.Requests["idle"], 1)
	return nil
}

// restart measures what an operator does that finds everything in force, and how soon one that finds an
// edit has announced it.
func (r *result) restart(ctx context.Context, f *fleet) error {
	started := time.Now()
	if err := errors.Join(f.op.stop(), f.startOperator(ctx)); err != nil {
		return err
	}
	if err := f.caughtUp(ctx); err != nil {
		return err
	}
	r.Values[restartCaughtUp] = time.Since(started).Seconds()
	if _, err := f.atRest(ctx); err != nil {
		return err
	}
	if _, err := r.quiet(ctx, f, "restart", figures{}); err != nil {
		return err
	}
	r.Values[restartWrites], r.Values[restartReads] = per(r.Requests["restart"], 1)
	if err := f.op.stop(); err != nil {
		return err
	}
	f.op = nil
	policy := f.policy(f.Policies / 2)
	if err := f.api.Patch(ctx, policy, client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"maxAgeSeconds":2419200}}`))); err != nil {
		return err
	}
	started = time.Now()
	if err := f.startOperator(ctx); err != nil {
		return err
	}
	err := f.inForce(ctx, 5*time.Minute, func(ready map[string]int64) bool { return ready[policy.Name] >= policy.Generation })
	if err != nil {
		return err
	}
	r.Values[restartSeconds] = f.txtChanged(policy.Spec.Domain).Sub(started).Seconds()
	_, err = r.quiet(ctx, f, "restart with an edit", figures{})
	return err
}
