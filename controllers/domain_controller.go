package controllers

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/time/rate"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/controllers/internal/publication"
)

// domainKey is the domain a pass is about.
type domainKey struct{ Domain string }

// String is for logs.
func (k domainKey) String() string { return k.Domain }

// domainReconciler brings one domain from wanted to in force, and out again.
type domainReconciler struct {
	Options

	client    client.Client
	live      client.Reader
	children  children
	recorder  events.EventRecorder
	instances *instances
	kinds     *optionalKinds
	memories  *memories
	patience  *patience[domainKey]
	// bounds are the earlier and the later of a local time and the API server's.
	bounds    func(now time.Time) (earlier, later time.Time)
	restLooks *rate.Limiter
	// news bounds what is told of changes that are on their way.
	news    *rate.Limiter
	mxHosts *mxHosts
	// disappeared holds retirements back when many policies are gone at once.
	disappeared *disappearances
	// formers are those who published a domain last.
	formers *formersStore
	// heartbeat notices that the cluster's data may be from before; nil where there is none.
	heartbeat *heartbeat
}

// +kubebuilder:rbac:groups=mtasts.dev,resources=mtastspolicies,verbs=get;list;watch
// +kubebuilder:rbac:groups=mtasts.dev,resources=mtastspolicies/status,verbs=get;patch
// +kubebuilder:rbac:groups=mtasts.dev,resources=mtastspublications,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups=mtasts.dev,resources=mtastspublications/status,verbs=get;patch
// +kubebuilder:rbac:groups=networking.k8s.io,resources=ingresses,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups=cert-manager.io,resources=certificates,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups=externaldns.k8s.io,resources=dnsendpoints,verbs=get;list;watch;create;update;delete
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch
// +kubebuilder:rbac:groups="",resources=events,verbs=create;patch

// Reconcile makes one pass over a domain; doc.go tells its story.
func (r *domainReconciler) Reconcile(ctx context.Context, key domainKey) (reconcile.Result, error) {
	if err := r.kinds.wait(ctx); err != nil {
		return reconcile.Result{}, err
	}
	if err := r.formers.load(ctx); err != nil {
		return reconcile.Result{}, err
	}
	s, err := r.pass(ctx, key.Domain)
	if apierrors.IsConflict(err) {
		r.memories.doubt(key.Domain)
	}
	if s != nil {
		r.memories.stands(key.Domain, s.standing())
	}
	result := reconcile.Result{Priority: new(priorityOf(r.memories.standing(key.Domain).level, false))}
	if again, wait := r.patience.tryAgain(key, err); again {
		result.RequeueAfter = wait
		return result, nil
	}
	if err != nil {
		return result, fmt.Errorf("publishing %s: %w", key.Domain, err)
	}
	result.Priority, result.RequeueAfter = new(priorityOf(r.level(s), false)), r.next(s)
	return result, nil
}

func (r *domainReconciler) pass(ctx context.Context, domain string) (*scope, error) {
	s, err := r.observe(ctx, domain)
	if err != nil {
		return nil, err
	}
	if void, err := r.heedTransfer(ctx, s); void || err != nil {
		return s, err
	}
	switch {
	case s.turnIn > 0: // for the word that the data was restored
		return s, nil
	case s.handsOver():
		return s, r.handOver(ctx, s)
	}
	if err := r.decide(ctx, s); err != nil {
		return nil, err
	}
	if err := r.apply(ctx, s); err != nil {
		return nil, err
	}
	r.tell(ctx, s)
	r.tellPlanted(s)
	r.tellTransfer(s)
	if untold(s.failed) {
		return nil, s.failed // it will be gone in a moment: nobody needs to be told
	}
	return s, errors.Join(s.failed, r.report(ctx, s))
}

// mostLooks bounds how often one pass may look at the world before it decides: each need once.
const mostLooks = 8

// decide asks Decide, and looks at what it needs to know, until nothing is missing.
func (r *domainReconciler) decide(ctx context.Context, s *scope) error {
	var spec *v1alpha1.MTASTSPublicationSpec
	if s.publication != nil {
		spec = &s.publication.Spec
		if !s.publication.DeletionTimestamp.IsZero() {
			return nil // somebody chose "immediately"; begin anew once it is gone
		}
	}
	for range mostLooks {
		s.decision = publication.Decide(spec, s.observation, r.Clock.Now(), r.Timings)
		var err error
		switch {
		case s.decision.Need != publication.NeedNothing:
			err = r.satisfy(ctx, s, s.decision.Need)
		case r.atRest(s) && r.restLook(s) <= 0:
			err = r.lookAtRest(ctx, s)
		default:
			if s.decision.Spec != nil {
				s.decision.Spec.Domain = s.domain
			}
			s.memory.heed(s.decision, r.Clock.Now())
			return nil
		}
		if err != nil {
			return err
		}
	}
	return fmt.Errorf("deciding: still missing %s after %d looks", s.decision.Need, mostLooks)
}

// next is when the domain is due again without an event.
func (r *domainReconciler) next(s *scope) time.Duration {
	after := s.decision.After
	for _, in := range []time.Duration{s.tellIn, s.wakeIn, s.turnIn} {
		if in > 0 && (after == 0 || in < after) {
			after = in
		}
	}
	if !r.atRest(s) {
		return after
	}
	if rest := r.restLook(s); after == 0 || rest < after {
		after = max(rest, time.Second)
	}
	return after
}
