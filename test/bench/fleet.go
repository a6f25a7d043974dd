package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/controllers"
	"github.com/mta-sts-operator/mta-sts-operator/test/controlplane"
	"github.com/mta-sts-operator/mta-sts-operator/test/harness"
)

// clients is how many requests the measurement has under way, as the operator has domains.
const clients = 32

// mailHost is the mail server of every domain: a provider's.
const mailHost = "mx.provider.example"

// fleet is a cluster with many policies.
type fleet struct {
	setup

	plane *controlplane.ControlPlane
	world *harness.World
	api   client.Client
	op    *process
	stop  []func() error

	mu      sync.Mutex
	ready   map[string]int64     // generation in force, by policy
	changed chan struct{}        // closed and replaced when ready changes
	txt     map[string]time.Time // when DNS changed last, by name
}

// newFleet starts everything but the operator.
func newFleet(ctx context.Context, s setup) (*fleet, error) {
	f := &fleet{setup: s, ready: map[string]int64{}, changed: make(chan struct{}), txt: map[string]time.Time{}}
	if err := f.start(ctx); err != nil {
		return nil, errors.Join(err, f.close())
	}
	return f, nil
}

func (f *fleet) start(ctx context.Context) error {
	thirdParty, err := controlplane.ThirdPartyCRDs()
	if err != nil {
		return err
	}
	if f.plane, err = controlplane.Start(controlplane.Options{CRDs: append(controlplane.OurCRDs(), thirdParty...)}); err != nil {
		return err
	}
	f.stop = append(f.stop, f.plane.Stop)
	if f.api, err = client.New(f.plane.Config, client.Options{Scheme: controllers.NewScheme()}); err != nil {
		return err
	}
	f.world, err = harness.StartFleet(ctx, f.plane.Config, harness.Options{
		Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
		// As quick as a node whose pods were nudged; probes are for nobody here.
		Kubelet: harness.KubeletTiming{SyncPeriod: time.Minute, ProbePeriod: time.Second},
	})
	if err != nil {
		return err
	}
	f.stop = append(f.stop, f.world.Stop)
	if err := f.world.Mail.Add(ctx, mailHost); err != nil {
		return err
	}
	f.world.DNS.OnChange(func(c harness.Change) {
		f.mu.Lock()
		defer f.mu.Unlock()
		if c.Type == "TXT" {
			f.txt[c.Name] = c.Time
		}
	})
	for n := range f.Namespaces {
		if err := f.api.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: f.namespace(n)}}); err != nil {
			return err
		}
	}
	return f.watch(ctx)
}

func (f *fleet) close() error {
	var errs []error
	if f.op != nil {
		errs = append(errs, f.op.stop())
	}
	for i := range f.stop {
		errs = append(errs, f.stop[len(f.stop)-1-i]())
	}
	return errors.Join(errs...)
}

// watch notes which policies are in force.
func (f *fleet) watch(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	policies, err := cache.New(f.plane.Config, cache.Options{Scheme: f.api.Scheme(), DefaultTransform: func(o any) (any, error) {
		if p, ok := o.(*v1alpha1.MTASTSPolicy); ok {
			c := apimeta.FindStatusCondition(p.Status.Conditions, v1alpha1.ConditionReady)
			slim := &v1alpha1.MTASTSPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: p.Namespace, Name: p.Name}}
			if c != nil && c.Status == metav1.ConditionTrue {
				slim.Generation = c.ObservedGeneration
			}
			return slim, nil
		}
		return o, nil
	}})
	if err != nil {
		cancel()
		return err
	}
	informer, err := policies.GetInformer(ctx, &v1alpha1.MTASTSPolicy{}, cache.BlockUntilSynced(false))
	if err != nil {
		cancel()
		return err
	}
	note := func(o any) {
		p, ok := o.(*v1alpha1.MTASTSPolicy)
		if !ok || p.Generation == 0 {
			return
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		f.ready[p.Name] = p.Generation
		close(f.changed)
		f.changed = make(chan struct{})
	}
	if _, err := informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{AddFunc: note, UpdateFunc: func(_, now any) { note(now) }}); err != nil {
		cancel()
		return err
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = policies.Start(ctx)
	}()
	f.stop = append(f.stop, func() error { cancel(); <-ended; return nil })
	return nil
}

func (f *fleet) namespace(n int) string { return fmt.Sprintf("mail-%02d", n) }

func domainOf(n int) string { return fmt.Sprintf("d%05d.example", n) }

// policy is number n of the fleet.
func (f *fleet) policy(n int) *v1alpha1.MTASTSPolicy {
	return &v1alpha1.MTASTSPolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: f.namespace(n % f.Namespaces), Name: fmt.Sprintf("d%05d", n)},
		Spec: v1alpha1.MTASTSPolicySpec{
			Domain: domainOf(n), Mode: v1alpha1.ModeEnforce, MX: []string{mailHost}, MaxAgeSeconds: 604800,
			TLSReporting: &v1alpha1.TLSReporting{RUA: []string{"mailto:tls@" + domainOf(n)}},
		},
	}
}

// each calls do for 0 to n-1, as many at once as there are clients.
func each(ctx context.Context, n int, do func(context.Context, int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wait sync.WaitGroup
	next := make(chan int)
	for range clients {
		wait.Go(func() {
			for i := range next {
				if err := do(ctx, i); err != nil {
					cancel(err)
				}
			}
		})
	}
	for i := range n {
		select {
		case next <- i:
		case <-ctx.Done():
		}
	}
	close(next)
	wait.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}

// inForce waits until done says of the generations in force that all is there.
func (f *fleet) inForce(ctx context.Context, patience time.Duration, done func(ready map[string]int64) bool) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		f.mu.Lock()
		ok, changed, n := done(f.ready), f.changed, len(f.ready)
		f.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("%d of %d policies are in force: %w", n, f.Policies, ctx.Err())
		}
	}
}

// txtChanged is when DNS began to answer what it answers for a domain's policy id.
func (f *fleet) txtChanged(domain string) time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.txt["_mta-sts."+domain]
}

// pause waits for d, or returns the error of a context that ends before.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
