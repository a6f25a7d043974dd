package controllers

import (
	"slices"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/controllers/internal/fair"
)

// standing is whose a domain is and how urgent what happens to it is, by what senders see. The zero value is
// that of a domain of which nothing is known: it is nobody's.
type standing struct {
	namespace string
	// level is fair.First, fair.Edit or fair.Leaving.
	level fair.Level
	// enforces is set while senders may be told to refuse mail.
	enforces bool
}

// standing says where the domain stands after this pass.
func (s *scope) standing() standing {
	out := standing{level: fair.First}
	if s.winner != nil {
		out.namespace = s.winner.Namespace
	}
	if s.publication == nil {
		return out
	}
	out.namespace = s.publication.Namespace
	spec := s.publication.Spec
	if spec.AnnouncedID == "" {
		return out
	}
	out.level = fair.Edit
	out.enforces = spec.Current != nil && spec.Current.Mode == v1alpha1.ModeEnforce
	if spec.Current != nil && spec.InForceID != spec.Current.ID {
		// What is being replaced is still what senders see.
		open := func(e v1alpha1.LedgerEntry) bool { return e.CachedUntil == nil }
		out.enforces = out.enforces || slices.ContainsFunc(spec.Ledger, open)
	}
	if s.winner != nil && s.frozen == nil {
		out.level = out.of(s.winner)
	}
	return out
}

// in is how urgent something is that happened in a namespace. In one that does not publish the domain nothing
// is: whoever claims the domain of somebody else has not been given anything yet.
func (s standing) in(namespace string) fair.Level {
	if s.namespace != namespace {
		return fair.First
	}
	return max(s.level, fair.First)
}

// of is how urgent a policy is: leaving enforce comes before all else (I8).
func (s standing) of(p *v1alpha1.MTASTSPolicy) fair.Level {
	switch at := s.in(p.Namespace); {
	case at == fair.First:
		return at
	case s.enforces && p.Spec.Mode != v1alpha1.ModeEnforce:
		return fair.Leaving
	default:
		return fair.Edit
	}
}

// level is how urgent the next pass over the domain is if nothing happens: while a change is on its way, as
// urgent as that; at rest, not at all.
func (r *domainReconciler) level(s *scope) fair.Level {
	if r.atRest(s) && (s.decision.State != v1alpha1.StateHeld || s.decision.Stalled) {
		return fair.Rest
	}
	return s.standing().level
}
