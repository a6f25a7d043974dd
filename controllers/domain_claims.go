package controllers

import (
	"context"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/controllers/internal/fair"
	"github.com/mta-sts-operator/mta-sts-operator/controllers/internal/publication"
	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
)

// wantedPolicy is what the object asks for.
func wantedPolicy(p *v1alpha1.MTASTSPolicy) mtasts.Policy {
	return mtasts.Policy{Mode: mtasts.Mode(p.Spec.Mode), MX: p.Spec.MX, MaxAgeSeconds: int64(p.Spec.MaxAgeSeconds)}
}

// forget drops what is remembered about a domain that is not published any more.
func (r *domainReconciler) forget(domain string) {
	r.memories.forget(domain)
	r.mxHosts.want(domain, "", nil, nil, fair.Rest, r.Clock.Now())
}

// claimsOf reads the claims on a domain from the cache, each in the newest version that is known.
func (r *domainReconciler) claimsOf(ctx context.Context, domain string) (claims, error) {
	var policies v1alpha1.MTASTSPolicyList
	if err := r.client.List(ctx, &policies, client.MatchingFields{domainIndex: domain}); err != nil {
		return claims{}, fmt.Errorf("listing policies of %s: %w", domain, err)
	}
	var publications v1alpha1.MTASTSPublicationList
	if err := r.client.List(ctx, &publications, client.MatchingFields{domainIndex: domain}); err != nil {
		return claims{}, fmt.Errorf("listing publications of %s: %w", domain, err)
	}
	known := r.memories.of(domain)
	r.remember(known, publications.Items)
	if len(policies.Items)+len(publications.Items) == 0 {
		r.forget(domain)
		return claims{}, nil
	}
	for i := range policies.Items {
		policies.Items[i] = *newest(known, &policies.Items[i])
	}
	for i := range publications.Items {
		publications.Items[i] = *newest(known, &publications.Items[i])
	}
	now := r.Clock.Now()
	known.host = known.host.lately(now, r.Timings)
	c := judge(policies.Items, publications.Items, grounds{
		cfg: r.Config, former: r.formers.of(domain, now), host: known.host.proven(r.Timings),
	})
	if c.publication != nil {
		known.tenure = tenureOf(c.publication, r.Timings)
	}
	return c, nil
}

// remember notes that the domain's publication has gone since the last pass, or is there again.
func (r *domainReconciler) remember(m *memory, publications []v1alpha1.MTASTSPublication) {
	switch {
	case len(publications) > 0:
		r.formers.clear(m.domain)
	case m.tenure != nil:
		r.formers.note(m.domain, m.tenure.ended(r.Clock.Now()))
		m.tenure = nil
	}
}

// trustClaim makes sure that the policy is no older than what the publication followed last. The cache of a
// leader that has just begun, or ought to have ended, may be: it would publish, under a fresh id, what the
// owner has replaced.
func (r *domainReconciler) trustClaim(ctx context.Context, s *scope) error {
	p := s.winner
	if s.publication == nil {
		return nil
	}
	if ref := s.publication.Spec.PolicyRef; ref != nil && ref.UID == string(p.UID) && ref.Generation <= p.Generation {
		return nil
	}
	var live v1alpha1.MTASTSPolicy
	if err := r.live.Get(ctx, client.ObjectKeyFromObject(p), &live); err != nil {
		return fmt.Errorf("reading policy %s/%s: %w", p.Namespace, p.Name, err) // not found is a stale cache as well
	}
	if live.UID != p.UID || live.Generation > p.Generation || !live.DeletionTimestamp.IsZero() {
		return errStaleCache
	}
	return nil
}

// observeAbsence makes sure that a missing policy is missing, and not only from the cache.
func (r *domainReconciler) observeAbsence(ctx context.Context, s *scope) error {
	if s.publication == nil {
		return nil
	}
	gone, err := r.reallyUnclaimed(ctx, s.publication.Namespace, s.domain)
	if err != nil {
		return err
	}
	if !gone {
		return errStaleCache
	}
	o := &s.observation
	o.Namespace, o.Word = s.publication.Namespace, s.publication.Annotations[v1alpha1.ReleaseAnnotation]
	o.Held, err = r.disappeared.held(ctx, r.client, s.publication.Namespace, r.Clock.Now())
	if o.Held == nil && wasHeld(s.publication) {
		o.Held = &publication.Held{}
	}
	return err
}

// wasHeld says whether the publication was shown to be held. It stays so until its own policy is back or its own
// word is said: that others of the same accident were let go says nothing about this one.
func wasHeld(pub *v1alpha1.MTASTSPublication) bool {
	c := apimeta.FindStatusCondition(pub.Status.Conditions, v1alpha1.ConditionStalled)
	return c != nil && c.Reason == v1alpha1.ReasonRetirementHeld
}

// reallyUnclaimed asks the API server whether the publication's namespace really holds no policy of
// the domain: absence from the cache is no reason to retire.
func (r *domainReconciler) reallyUnclaimed(ctx context.Context, namespace, domain string) (bool, error) {
	var policies v1alpha1.MTASTSPolicyList
	err := r.live.List(ctx, &policies, client.InNamespace(namespace), client.MatchingFields{domainIndex: domain})
	if err != nil {
		return false, fmt.Errorf("listing policies of %s in %s: %w", domain, namespace, err)
	}
	return !slices.ContainsFunc(policies.Items, func(p v1alpha1.MTASTSPolicy) bool { return p.DeletionTimestamp.IsZero() }), nil
}

// trustClaims makes sure, before a domain begins, that no publication and no claim of it is missing from the cache.
// One cache of all namespaces shows whatever is older than what it shows. An operator that is limited to some has a
// cache for each, and one that is up to date proves nothing about the next; and a claim that has waited may have
// waited beside a cache that stood still.
func (r *domainReconciler) trustClaims(ctx context.Context, s *scope) error {
	for _, namespace := range r.Namespaces {
		if namespace == s.winner.Namespace {
			continue
		}
		err := r.live.Get(ctx, client.ObjectKey{Namespace: namespace, Name: s.domain}, &v1alpha1.MTASTSPublication{})
		switch {
		case err == nil:
			return errStaleCache
		case !apierrors.IsNotFound(err):
			return fmt.Errorf("reading publication %s/%s: %w", namespace, s.domain, err)
		}
		if err := r.trustPolicies(ctx, s, namespace); err != nil {
			return err
		}
	}
	if w := s.memory.world; len(r.Namespaces) == 0 && w != nil && w.Stray != nil {
		return r.trustPolicies(ctx, s, "")
	}
	return nil
}

// trustPolicies asks the API server for claims on the domain that the cache does not show, in a namespace or, if
// that is empty, in all.
func (r *domainReconciler) trustPolicies(ctx context.Context, s *scope, namespace string) error {
	var policies v1alpha1.MTASTSPolicyList
	if err := r.live.List(ctx, &policies, client.InNamespace(namespace), client.MatchingFields{domainIndex: s.domain}); err != nil {
		return fmt.Errorf("listing policies of %s: %w", s.domain, err)
	}
	known := map[types.UID]bool{s.winner.UID: true}
	for p := range s.refused {
		known[p.UID] = true
	}
	if slices.ContainsFunc(policies.Items, func(p v1alpha1.MTASTSPolicy) bool { return p.DeletionTimestamp.IsZero() && !known[p.UID] }) {
		return errStaleCache
	}
	return nil
}
