package controllers

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/controllers/internal/resources"
	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
)

// Each refusal of a claim says who can end it, and how.

func conflict(format string, args ...any) refusal {
	return refusal{v1alpha1.ReasonDomainConflict, fmt.Sprintf(format, args...)}
}

func notAllowed(p *v1alpha1.MTASTSPolicy) refusal {
	return refusal{v1alpha1.ReasonDomainNotAllowed, fmt.Sprintf(
		"the operator's configuration (domains) does not let namespace %s publish %s", p.Namespace, p.Spec.Domain)}
}

// secondOf refuses the second policy of a namespace. Whoever deletes the first may not know that there is another.
func secondOf(p, followed *v1alpha1.MTASTSPolicy) refusal {
	loss := ""
	if followed.Spec.Mode == v1alpha1.ModeEnforce && p.Spec.Mode != v1alpha1.ModeEnforce {
		loss = ": the domain then leaves mode enforce"
	}
	return conflict("MTASTSPolicy %s/%s already publishes %s: delete one of the two. If that one goes, this one takes over at once, with mode %s and mx %s%s",
		followed.Namespace, followed.Name, p.Spec.Domain, p.Spec.Mode, several(p.Spec.MX), loss)
}

// elsewhere refuses a claim from another namespace: nothing is ever inherited silently.
func elsewhere(p *v1alpha1.MTASTSPolicy, incumbent *v1alpha1.MTASTSPublication, g grounds) refusal {
	if incumbent.Spec.AnnouncedID == "" {
		return unproven(p, incumbent.Namespace, resources.Effective(deliveryOf(p), g.cfg).Targets)
	}
	return conflict("%s is published from namespace %s. Somebody with rights there can hand it over: %s",
		p.Spec.Domain, incumbent.Namespace, handing(p.Spec.Domain, incumbent.Namespace, p.Namespace))
}

// unproven refuses a claim beside a publication that has announced nothing: it may be anybody's, so that its own
// namespace is not the only one to turn to.
func unproven(p *v1alpha1.MTASTSPolicy, holder string, targets []string) refusal {
	dns := "DNS can decide only if this policy says where it is to point: set dns.targets"
	if len(targets) > 0 {
		dns = fmt.Sprintf("if DNS answers %s for %s, and not what the claim there or another one says, the domain passes to this one. If it answers what several of them say, it is undecided whose the domain is, and it stays there",
			several(targets), mtasts.PolicyHost(p.Spec.Domain))
	}
	return conflict("%s is published from namespace %s, and nothing is announced from there yet: %s. %s",
		p.Spec.Domain, holder, dns, handingDecision(p.Spec.Domain, holder, p.Namespace))
}

// contested tells the holder that DNS speaks for others as it does for itself.
func contested(domain, holder string, others []string) string {
	to := "NAMESPACE"
	if len(others) == 1 {
		to = others[0]
	}
	return fmt.Sprintf("DNS points the policy host where the claims from %s say, too: it is undecided whose %s is, and it stays here. %s",
		several(others), domain, handingDecision(domain, holder, to))
}

// handingDecision is how somebody with rights in the cluster decides about a domain that a namespace holds without
// having announced anything. An empty publication beside the one that exists would say nothing.
func handingDecision(domain, holder, to string) string {
	return "Somebody with rights in the whole cluster decides: by a rule of the operator's configuration (domains) that allows it to one namespace only, or by handing it over, as those with rights in namespace " +
		holder + " can: " + handing(domain, holder, to)
}

// handing is the command that hands a domain over.
func handing(domain, from, to string) string {
	return fmt.Sprintf("kubectl -n %s annotate --overwrite mtastspublication %s %s=%s", from, domain, v1alpha1.TransferToAnnotation, to)
}

// blocked refuses an heir whose namespace has a history of the domain of its own.
func blocked(p *v1alpha1.MTASTSPolicy) refusal {
	return conflict("%[1]s is to be handed over to namespace %[2]s, where another publication of it is in the way: kubectl -n %[2]s delete mtastspublication %[1]s",
		p.Spec.Domain, p.Namespace)
}

// formerly refuses a claim on a domain that another namespace published last.
func formerly(p *v1alpha1.MTASTSPolicy, last former) refusal {
	return conflict("%s was last published from namespace %s, and senders may hold that policy until %s: until then only that namespace may begin anew. %s",
		p.Spec.Domain, last.namespace, last.until.UTC().Format(time.RFC3339), decision(p.Namespace, p.Spec.Domain))
}

// undecided refuses each of several claims on a domain that nobody publishes.
func undecided(p *v1alpha1.MTASTSPolicy, namespaces []string) refusal {
	return conflict("%s is claimed from namespaces %s, and nothing in this cluster says whose it is: nobody publishes it until all but one of the policies are deleted. %s",
		p.Spec.Domain, several(slices.Sorted(slices.Values(namespaces))), decision(p.Namespace, p.Spec.Domain))
}

// decision is how somebody with rights in the cluster decides that a namespace may begin to publish a domain. The
// word is the object that is missing; no role that tenants have creates it.
func decision(namespace, domain string) string {
	return "Or somebody with rights in the whole cluster decides: by a rule of the operator's configuration (domains) that allows it to one namespace only, or by " +
		word(namespace, domain)
}

// word is the command that makes a namespace the one that holds a domain.
func word(namespace, domain string) string {
	return fmt.Sprintf(`echo '{"apiVersion":"%s","kind":"MTASTSPublication","metadata":{"namespace":"%s","name":"%[3]s"},"spec":{"domain":"%[3]s"}}' | kubectl create -f -`,
		v1alpha1.GroupVersion, namespace, domain)
}

// mostNamed is how many of anything a message names.
const mostNamed = 5

func several(names []string) string {
	if len(names) > mostNamed {
		names = append(slices.Clone(names[:mostNamed]), "…")
	}
	return strings.Join(names, ", ")
}
