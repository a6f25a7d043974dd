package controllers

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/controllers/internal/publication"
	"github.com/mta-sts-operator/mta-sts-operator/controllers/internal/resources"
	"github.com/mta-sts-operator/mta-sts-operator/internal/config"
	"github.com/mta-sts-operator/mta-sts-operator/internal/tlsrpt"
)

// refusal is why a policy object is not followed.
type refusal struct{ reason, message string }

// grounds are what the claims on a domain are judged by beside themselves.
type grounds struct {
	cfg config.Operator
	// former is the namespace whose publication of the domain was seen to go; nil if none was, or senders
	// have forgotten it.
	former *former
	// host is where DNS was proven to point the policy host; nil if that is not known.
	host *pointed
}

// former is who published a domain last, and until when senders may hold what was published.
type former struct {
	namespace string
	until     time.Time
}

// claims are all policy objects of one domain, and which of them is followed (I7).
type claims struct {
	// publication of the domain; nil if there is none.
	publication *v1alpha1.MTASTSPublication
	// others are publications of the domain beside it, as a restored namespace may hold.
	others []*v1alpha1.MTASTSPublication
	// winner is the policy that the publication follows, or that it begins with; nil if there is none.
	winner *v1alpha1.MTASTSPolicy
	// title is what entitles the winner to begin, where there is no publication.
	title publication.Title
	// heir is the policy of another namespace that gets the domain; nil if there is none. lapsed says why, unless
	// somebody's word hands it over.
	heir   *v1alpha1.MTASTSPolicy
	lapsed string
	// contest are the namespaces that DNS speaks for as it does for the publication's, which has announced nothing.
	contest []string
	// frozen is set when the winner may not be followed as it is now: what was published stays.
	frozen *refusal
	// refused are the other policies of the domain, each with the reason.
	refused map[*v1alpha1.MTASTSPolicy]refusal
}

// none says that the domain has neither a policy nor a publication: nothing is remembered of it (I11).
func (c claims) none() bool { return c.publication == nil && c.winner == nil && len(c.refused) == 0 }

// judge decides which of a domain's policies is followed, by what was published and not by who came first: a
// claim that stood refused for months must not win because the one before it has gone (I7).
func judge(policies []v1alpha1.MTASTSPolicy, publications []v1alpha1.MTASTSPublication, g grounds) claims {
	c := claims{refused: map[*v1alpha1.MTASTSPolicy]refusal{}}
	slices.SortFunc(publications, func(a, b v1alpha1.MTASTSPublication) int { return incumbency(&a, &b) })
	for i := range publications {
		if i == 0 {
			c.publication = &publications[0]
			continue
		}
		c.others = append(c.others, &publications[i])
	}
	var standing []*v1alpha1.MTASTSPolicy
	for i := range policies {
		if policies[i].DeletionTimestamp.IsZero() { // else it is gone but for the garbage collector
			standing = append(standing, &policies[i])
		}
	}
	slices.SortFunc(standing, func(a, b *v1alpha1.MTASTSPolicy) int { return byAge(a, b) })
	if c.publication == nil {
		c.judgeBeginners(standing, g)
		return c
	}
	own, rivals := split(standing, c.publication.Namespace)
	c.follow(own, g)
	c.judgeRivals(rivals, g)
	return c
}

// split parts the policies of a namespace from the others.
func split(policies []*v1alpha1.MTASTSPolicy, namespace string) (own, others []*v1alpha1.MTASTSPolicy) {
	for _, p := range policies {
		if p.Namespace == namespace {
			own = append(own, p)
		} else {
			others = append(others, p)
		}
	}
	return own, others
}

// incumbency puts the publication first whose namespace holds the domain. One that has announced nothing has
// promised nothing: it is no match for one that has, such as a restore brings back.
func incumbency(a, b *v1alpha1.MTASTSPublication) int {
	promised := func(p *v1alpha1.MTASTSPublication) int {
		if p.Spec.AnnouncedID != "" {
			return 0
		}
		return 1
	}
	return cmp.Or(cmp.Compare(promised(a), promised(b)), byAge(a, b))
}

// byAge puts the older object first.
func byAge(a, b client.Object) int {
	return cmp.Or(
		a.GetCreationTimestamp().Compare(b.GetCreationTimestamp().Time),
		strings.Compare(a.GetNamespace()+"/"+a.GetName(), b.GetNamespace()+"/"+b.GetName()),
	)
}

// follow chooses among the policies of the namespace that holds the domain.
func (c *claims) follow(own []*v1alpha1.MTASTSPolicy, g grounds) {
	slices.SortStableFunc(own, func(a, b *v1alpha1.MTASTSPolicy) int { return cmp.Compare(c.rank(a), c.rank(b)) })
	for i, p := range own {
		if i == 0 {
			c.winner, c.frozen = p, acceptable(p, g.cfg)
			continue
		}
		c.refused[p] = secondOf(p, c.winner)
	}
}

// rank puts the policy first that the publication already follows.
func (c *claims) rank(p *v1alpha1.MTASTSPolicy) int {
	if c.publication != nil && c.publication.Spec.PolicyRef != nil && c.publication.Spec.PolicyRef.UID == string(p.UID) {
		return 0
	}
	return 1
}

// judgeBeginners is for a domain without a publication.
func (c *claims) judgeBeginners(standing []*v1alpha1.MTASTSPolicy, g grounds) {
	var candidates []*v1alpha1.MTASTSPolicy
	var namespaces []string
	for _, p := range standing {
		if against := acceptable(p, g.cfg); against != nil {
			c.refused[p] = *against
			continue
		}
		candidates = append(candidates, p)
		if !slices.Contains(namespaces, p.Namespace) {
			namespaces = append(namespaces, p.Namespace)
		}
	}
	if len(candidates) == 0 {
		return
	}
	entitled, title := g.entitled(candidates[0].Spec.Domain, namespaces)
	var own []*v1alpha1.MTASTSPolicy
	for _, p := range candidates {
		switch {
		case p.Namespace == entitled:
			own = append(own, p)
		case title == publication.ByHistory:
			c.refused[p] = formerly(p, *g.former)
		default:
			c.refused[p] = undecided(p, namespaces)
		}
	}
	c.title = title
	c.follow(own, g)
}

// entitled is the namespace that may begin to publish a domain, of those that claim it, and by what title; none
// if that is not decided. The configuration can decide it for good; it says no more than who may claim as long as
// others may, too. Then history decides; and without any, a claim has to be the only one.
func (g grounds) entitled(domain string, namespaces []string) (string, publication.Title) {
	if f := g.former; f != nil && g.cfg.MayClaim(f.namespace, domain) {
		return f.namespace, publication.ByHistory
	}
	if sole, ok := g.cfg.SoleClaimant(domain); ok {
		return sole, publication.ByRule
	}
	if len(namespaces) == 1 {
		return namespaces[0], publication.Untitled
	}
	return "", publication.Untitled
}

// judgeRivals is for the claims beside another namespace's publication. One of them gets the domain if somebody's
// word hands it over, or if the publication has lapsed and no two namespaces are after it.
func (c *claims) judgeRivals(rivals []*v1alpha1.MTASTSPolicy, g grounds) {
	var lapsedTo []*v1alpha1.MTASTSPolicy
	for _, p := range rivals {
		c.refused[p] = elsewhere(p, c.publication, g)
		against := acceptable(p, g.cfg)
		switch {
		case c.publication.Annotations[v1alpha1.TransferToAnnotation] != p.Namespace:
			switch {
			case against != nil:
			case c.lapse(p, g) != "":
				lapsedTo = append(lapsedTo, p)
			case c.tied(p, g) && !slices.Contains(c.contest, p.Namespace):
				c.contest = append(c.contest, p.Namespace)
			}
		case against != nil:
			c.refused[p] = *against // what is still in the way
		case c.historyIn(p.Namespace):
			c.refused[p] = blocked(p)
		case c.heir == nil:
			c.heir = p
		}
	}
	if c.heir != nil || len(lapsedTo) == 0 {
		return
	}
	first := lapsedTo[0]
	if _, others := split(lapsedTo, first.Namespace); len(others) == 0 && !c.historyIn(first.Namespace) {
		c.heir, c.lapsed = first, c.lapse(first, g)
	}
}

// lapse says why a publication that has announced nothing yields to a claim of another namespace; "" if it does
// not. It has promised nobody anything, and must not hold a name for ever with nothing to show.
func (c *claims) lapse(p *v1alpha1.MTASTSPolicy, g grounds) string {
	spec, holder := &c.publication.Spec, c.publication.Namespace
	if spec.AnnouncedID != "" {
		return ""
	}
	if sole, ok := g.cfg.SoleClaimant(p.Spec.Domain); ok && sole == p.Namespace {
		return fmt.Sprintf("nothing was announced from namespace %s, which the operator's configuration (domains) does not let publish it", holder)
	}
	if g.host == nil || c.pointedAt(g) {
		return ""
	}
	if g.host.at(resources.Effective(deliveryOf(p), g.cfg).Targets) {
		return fmt.Sprintf("nothing was announced from namespace %s, and DNS points the policy host where policy %s/%s says", holder, p.Namespace, p.Name)
	}
	return ""
}

// pointedAt says whether DNS may point the policy host where the publication's namespace says, be it by the address
// that its Ingress got. A look that failed must not cost an honest holder the domain.
func (c *claims) pointedAt(g grounds) bool {
	return g.host.off != c.publication.Namespace || g.host.at(resources.Effective(c.publication.Spec.Delivery, g.cfg).Targets)
}

// tied says whether DNS answers what a claim says and what the publication's namespace says, which has announced
// nothing. Anybody can copy what DNS answers: that decides for neither, and stops nobody.
func (c *claims) tied(p *v1alpha1.MTASTSPolicy, g grounds) bool {
	return c.publication.Spec.AnnouncedID == "" && g.host != nil && c.pointedAt(g) &&
		g.host.at(resources.Effective(deliveryOf(p), g.cfg).Targets)
}

// historyIn says whether a namespace has a publication of the domain with a history of its own: not the copy
// that a transfer has made there before it was interrupted.
func (c *claims) historyIn(namespace string) bool {
	return slices.ContainsFunc(c.others, func(other *v1alpha1.MTASTSPublication) bool {
		return other.Namespace == namespace && !isCopy(other, c.publication)
	})
}

// acceptable says what speaks against following a policy; nil if nothing does. Admission refuses
// almost all of it before; objects may be older than the rule.
func acceptable(p *v1alpha1.MTASTSPolicy, cfg config.Operator) *refusal {
	if !cfg.MayClaim(p.Namespace, p.Spec.Domain) {
		return new(notAllowed(p))
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
