package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	// edits is how many single edits one run makes, one after the other.
	edits = 7
	// massEdit is how many policies get the same edit at once, if there are twice as many.
	massEdit = 1000
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
	if f.op, err = startOperator(ctx, f.plane.Kubeconfig(), f.world); err != nil {
		return nil, 0, err
	}
	before, err := f.serverCPU(ctx)
	if err != nil {
		return nil, 0, err
	}
	for _, phase := range []struct {
		name string
		do   func(context.Context, *fleet) error
	}{
		{"onboarding", r.onboard},
		{"edits", r.edit},
		{"mass edit", r.massEdit},
		{"restart", r.restart},
		{"idle", r.rest},
	} {
		if phase.name == "edits" { // before anything is edited
			if busy, err = f.serverAtRest(ctx); err != nil {
				return nil, 0, err
			}
			if objects, err = f.written(ctx); err != nil {
				return nil, 0, err
			}
			if r.Values[storedKiB], err = encodedKiB(objects, f.Policies); err != nil {
				return nil, 0, err
			}
		}
		if err := phase.do(ctx, f); err != nil {
			return nil, 0, fmt.Errorf("%s: %w", phase.name, err)
		}
	}
	return objects, busy - before, nil
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
		select {
		case <-time.After(settling):
		case <-ctx.Done():
			return last, ctx.Err()
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

// caughtUp waits until the operator has been through everything once: that keeps it busy after a start.
func (f *fleet) caughtUp(ctx context.Context) (figures, error) {
	last, err := f.op.figures(ctx)
	for range int(2 * time.Minute / settling) {
		if err != nil {
			return last, err
		}
		select {
		case <-time.After(settling):
		case <-ctx.Done():
			return last, ctx.Err()
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
	before, err := f.caughtUp(ctx)
	if err != nil {
		return err
	}
	profiled := f.profile(ctx, "idle", 20)
	started := time.Now()
	select {
	case <-time.After(f.Idle):
	case <-ctx.Done():
		return ctx.Err()
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

// edit measures single edits of policies at rest.
func (r *result) edit(ctx context.Context, f *fleet) error {
	before, err := f.op.figures(ctx)
	if err != nil {
		return err
	}
	var announced, inForce []float64
	for i := range edits {
		a, b, err := f.editOne(ctx, i*f.Policies/edits, 86400)
		if err != nil {
			return err
		}
		announced, inForce = append(announced, a.Seconds()), append(inForce, b.Seconds())
	}
	if _, err := r.quiet(ctx, f, "edits", before); err != nil {
		return err
	}
	r.Values[editSeconds], r.Values[editInForce] = median(announced), median(inForce)
	r.Values[editWrites], r.Values[editReads] = per(r.Requests["edits"], edits)
	return nil
}

// editOne changes max_age of one policy, and says how long it took from the accepted edit until DNS had the
// new id, and until the status said so.
func (f *fleet) editOne(ctx context.Context, n int, maxAge int32) (announced, inForce time.Duration, err error) {
	policy := f.policy(n)
	if err := f.api.Get(ctx, client.ObjectKeyFromObject(policy), policy); err != nil {
		return 0, 0, err
	}
	edited := policy.DeepCopy()
	edited.Spec.MaxAgeSeconds = maxAge
	if err := f.api.Patch(ctx, edited, client.MergeFrom(policy)); err != nil {
		return 0, 0, err
	}
	accepted := time.Now()
	err = f.inForce(ctx, 2*time.Minute, func(ready map[string]int64) bool { return ready[policy.Name] >= edited.Generation })
	return f.txtChanged(policy.Spec.Domain).Sub(accepted), time.Since(accepted), err
}

// massEdit adds an MX host to many policies at once, and makes a single edit meanwhile.
func (r *result) massEdit(ctx context.Context, f *fleet) error {
	many := min(massEdit, f.Policies/2)
	before, err := f.op.figures(ctx)
	if err != nil {
		return err
	}
	profiled := f.profile(ctx, "mass-edit", 20)
	started := time.Now()
	err = each(ctx, many, func(ctx context.Context, n int) error {
		body := []byte(`{"spec":{"mx":["` + mailHost + `","mx2.provider.example"]}}`)
		return f.api.Patch(ctx, f.policy(n), client.RawPatch("application/merge-patch+json", body))
	})
	if err != nil {
		return err
	}
	single, _, err := f.editOne(ctx, f.Policies-1, 1209600)
	if err != nil {
		return err
	}
	err = f.inForce(ctx, time.Minute+time.Duration(many)*perPolicy, func(ready map[string]int64) bool {
		for n := range many {
			if ready[f.policy(n).Name] < 2 {
				return false
			}
		}
		return true
	})
	if err != nil {
		return err
	}
	r.Values[massSeconds], r.Values[massSingle] = time.Since(started).Seconds(), single.Seconds()
	if err := profiled(); err != nil {
		return err
	}
	if _, err := r.quiet(ctx, f, "mass edit", before); err != nil {
		return err
	}
	requests := r.Requests["mass edit"]
	r.Values[massConfigMaps] = float64(requests["PATCH configmaps"] + requests["PUT configmaps"] + requests["POST configmaps"])
	r.Values[massWrites], _ = per(requests, many+1)
	return nil
}

// restart measures what an operator does that finds everything in force, and how soon one that finds an
// edit has announced it.
func (r *result) restart(ctx context.Context, f *fleet) error {
	if err := f.reopen(ctx); err != nil {
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
	var err error
	started := time.Now()
	if f.op, err = startOperator(ctx, f.plane.Kubeconfig(), f.world); err != nil {
		return err
	}
	err = f.inForce(ctx, 5*time.Minute, func(ready map[string]int64) bool { return ready[policy.Name] >= policy.Generation })
	if err != nil {
		return err
	}
	r.Values[restartSeconds] = f.txtChanged(policy.Spec.Domain).Sub(started).Seconds()
	_, err = r.quiet(ctx, f, "restart with an edit", figures{})
	return err
}

// reopen ends the operator and starts another.
func (f *fleet) reopen(ctx context.Context) error {
	if err := f.op.stop(); err != nil {
		return err
	}
	var err error
	f.op, err = startOperator(ctx, f.plane.Kubeconfig(), f.world)
	return err
}
