package controllers

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/controllers/internal/publication"
	"github.com/mta-sts-operator/mta-sts-operator/internal/config"
	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
	"github.com/mta-sts-operator/mta-sts-operator/internal/tlsrpt"
)

// refusal is why a policy object is not followed.
type refusal struct{ reason, message string }

// claims are all policy objects of one domain, and which of them is followed (I7).
type claims struct {
	// publication of the domain; nil if there is none.
	publication *v1alpha1.MTASTSPublication
	// others are publications of the domain beside it, as a restored namespace may hold.
	others []*v1alpha1.MTASTSPublication
	// winner is the policy that the publication follows; nil if there is none.
	winner *v1alpha1.MTASTSPolicy
	// heir is the policy of another namespace to which the domain is handed over; nil if there is none.
	heir *v1alpha1.MTASTSPolicy
	// frozen is set when the winner may not be followed as it is now: what was published stays.
	frozen *refusal
	// refused are the other policies of the domain, each with the reason.
	refused map[*v1alpha1.MTASTSPolicy]refusal
}

// sortClaims decides which of a domain's policies is followed. The namespace that holds the domain's
// publication is the incumbent; without one the oldest acceptable policy wins.
func sortClaims(policies []v1alpha1.MTASTSPolicy, publications []v1alpha1.MTASTSPublication, cfg config.Operator) claims {
	c := claims{refused: map[*v1alpha1.MTASTSPolicy]refusal{}}
	if len(publications) > 0 {
		slices.SortFunc(publications, func(a, b v1alpha1.MTASTSPublication) int { return byAge(&a, &b) })
		c.publication = &publications[0]
		for i := range publications {
			if i > 0 {
				c.others = append(c.others, &publications[i])
			}
		}
	}
	var candidates []*v1alpha1.MTASTSPolicy
	for i := range policies {
		p := &policies[i]
		if !p.DeletionTimestamp.IsZero() {
			continue // foreground deletion: it is gone but for the garbage collector
		}
		switch r := acceptable(p, cfg); {
		case c.publication != nil && c.publication.Namespace == p.Namespace:
			candidates = append(candidates, p)
		case c.publication != nil:
			c.claimFromElsewhere(p, r)
		case r != nil:
			c.refused[p] = *r
		default:
			candidates = append(candidates, p)
		}
	}
	slices.SortFunc(candidates, func(a, b *v1alpha1.MTASTSPolicy) int {
		return cmp.Or(cmp.Compare(c.rank(a), c.rank(b)), byAge(a, b))
	})
	for i, p := range candidates {
		if i == 0 {
			c.winner, c.frozen = p, acceptable(p, cfg)
			continue
		}
		c.refused[p] = refusal{v1alpha1.ReasonDomainConflict, fmt.Sprintf(
			"MTASTSPolicy %s/%s already publishes %s: delete one of the two", c.winner.Namespace, c.winner.Name, p.Spec.Domain)}
	}
	return c
}

// none says that the domain has neither a policy nor a publication: nothing is remembered of it (I11).
func (c claims) none() bool { return c.publication == nil && c.winner == nil && len(c.refused) == 0 }

// rank puts the policy first that the publication already follows.
func (c claims) rank(p *v1alpha1.MTASTSPolicy) int {
	if c.publication != nil && c.publication.Spec.PolicyRef != nil && c.publication.Spec.PolicyRef.UID == string(p.UID) {
		return 0
	}
	return 1
}

func byAge(a, b client.Object) int {
	return cmp.Or(
		a.GetCreationTimestamp().Compare(b.GetCreationTimestamp().Time),
		strings.Compare(a.GetNamespace()+"/"+a.GetName(), b.GetNamespace()+"/"+b.GetName()),
	)
}

// claimFromElsewhere is a claim beside another namespace's publication, and what speaks against following
// it; nil if nothing does.
func (c *claims) claimFromElsewhere(p *v1alpha1.MTASTSPolicy, against *refusal) {
	c.refused[p] = elsewhere(p, c.publication)
	switch {
	case c.publication.Annotations[v1alpha1.TransferToAnnotation] != p.Namespace:
	case against != nil:
		c.refused[p] = *against // what is still in the way
	case c.historyIn(p.Namespace):
		c.refused[p] = refusal{v1alpha1.ReasonDomainConflict, fmt.Sprintf(
			"%[1]s is to be handed over to namespace %[2]s, where another publication of it is in the way: kubectl -n %[2]s delete mtastspublication %[1]s",
			p.Spec.Domain, p.Namespace)}
	case c.heir == nil || byAge(p, c.heir) < 0:
		c.heir = p
	}
}

// historyIn says whether a namespace has a publication of the domain with a history of its own: not the copy
// that a transfer has made there before it was interrupted.
func (c *claims) historyIn(namespace string) bool {
	return slices.ContainsFunc(c.others, func(other *v1alpha1.MTASTSPublication) bool {
		return other.Namespace == namespace && !isCopy(other, c.publication)
	})
}

// elsewhere refuses a claim from another namespace: nothing is ever inherited silently.
func elsewhere(p *v1alpha1.MTASTSPolicy, incumbent *v1alpha1.MTASTSPublication) refusal {
	return refusal{v1alpha1.ReasonDomainConflict, fmt.Sprintf(
		"%[1]s is published from namespace %[2]s. Somebody with rights there can hand it over: kubectl -n %[2]s annotate mtastspublication %[1]s %[3]s=%[4]s (or, if senders may lose mail, delete that publication)",
		p.Spec.Domain, incumbent.Namespace, v1alpha1.TransferToAnnotation, p.Namespace)}
}

// acceptable says what speaks against following a policy; nil if nothing does. Admission refuses
// almost all of it before; objects may be older than the rule.
func acceptable(p *v1alpha1.MTASTSPolicy, cfg config.Operator) *refusal {
	if !cfg.MayClaim(p.Namespace, p.Spec.Domain) {
		return &refusal{v1alpha1.ReasonDomainNotAllowed, fmt.Sprintf(
			"the operator's configuration (domains) does not let namespace %s publish %s", p.Namespace, p.Spec.Domain)}
	}
	if err := wantedPolicy(p).Validate(); err != nil {
		return &refusal{v1alpha1.ReasonInvalidPolicy, err.Error()}
	}
	if p.Spec.TLSReporting == nil {
		return nil
	}
	if err := (tlsrpt.Record{RUA: p.Spec.TLSReporting.RUA}).Validate(); err != nil {
		return &refusal{v1alpha1.ReasonInvalidPolicy, err.Error()}
	}
	for _, rua := range p.Spec.TLSReporting.RUA {
		if !cfg.MayReportTo(rua) {
			return &refusal{v1alpha1.ReasonInvalidPolicy, "the operator's configuration (tlsReporting.allowedDomains) does not let reports go to " + rua}
		}
	}
	return nil
}

// wantedPolicy is what the object asks for.
func wantedPolicy(p *v1alpha1.MTASTSPolicy) mtasts.Policy {
	return mtasts.Policy{Mode: mtasts.Mode(p.Spec.Mode), MX: p.Spec.MX, MaxAgeSeconds: int64(p.Spec.MaxAgeSeconds)}
}

// forget drops what is remembered about a domain that is not published any more.
func (r *domainReconciler) forget(ctx context.Context, domain string) {
	r.memories.forget(domain)
	r.mxHosts.want(ctx, domain, nil, nil, false, r.Clock.Now())
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
	if len(policies.Items)+len(publications.Items) == 0 {
		r.forget(ctx, domain)
		return claims{}, nil
	}
	known := r.memories.of(domain)
	for i := range policies.Items {
		policies.Items[i] = *newest(known, &policies.Items[i])
	}
	for i := range publications.Items {
		publications.Items[i] = *newest(known, &publications.Items[i])
	}
	return sortClaims(policies.Items, publications.Items, r.Config), nil
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

// incumbentElsewhere asks for publications of a policy's domain in the operator's other namespaces. Only an
// operator that is limited to some needs to: each has a cache of its own then, and one that shows all that is
// older in its namespace proves nothing about the next.
func (r *domainReconciler) incumbentElsewhere(ctx context.Context, p *v1alpha1.MTASTSPolicy) (bool, error) {
	for _, namespace := range r.Namespaces {
		if namespace == p.Namespace {
			continue
		}
		err := r.live.Get(ctx, client.ObjectKey{Namespace: namespace, Name: p.Spec.Domain}, &v1alpha1.MTASTSPublication{})
		if err == nil {
			return true, nil
		}
		if !apierrors.IsNotFound(err) {
			return false, fmt.Errorf("reading publication %s/%s: %w", namespace, p.Spec.Domain, err)
		}
	}
	return false, nil
}
