package config

import (
	"cmp"
	"net/url"
	"slices"
	"strings"
)

// Placeholders of a rule's domains, each a whole label.
const (
	// NamespacePlaceholder stands for the name of the namespace that claims.
	NamespacePlaceholder = "{namespace}"
	// SuffixPlaceholder stands for what the * of the rule's namespace stood for.
	SuffixPlaceholder = "{suffix}"
)

// MayClaim reports whether a policy of the namespace may be for the domain: whether some rule names
// both, or there is no rule at all. The domain is in lower case.
func (o Operator) MayClaim(namespace, domain string) bool {
	return len(o.Domains) == 0 || slices.ContainsFunc(o.Domains, func(r DomainRule) bool { return r.allows(namespace, domain) })
}

// RuleAllows reports whether somebody has written down that the namespace may claim the domain: a rule that
// lets everybody claim everything says no more than none.
func (o Operator) RuleAllows(namespace, domain string) bool {
	return slices.ContainsFunc(o.Domains, func(r DomainRule) bool {
		everything := slices.Contains(r.Namespaces, "*") && slices.Contains(r.Allow, "*")
		return !everything && r.allows(namespace, domain)
	})
}

func (r DomainRule) allows(namespace, domain string) bool {
	return slices.ContainsFunc(r.Namespaces, func(p string) bool {
		suffix, ok := matchNamespace(p, namespace)
		return ok && slices.ContainsFunc(r.Allow, func(pattern string) bool {
			nothing := suffix == "" && strings.Contains(pattern, SuffixPlaceholder)
			return !nothing && matchesDomain(filled(pattern, namespace, suffix), domain)
		})
	})
}

// SoleClaimant is the one namespace of all there may ever be that the rules let claim the domain. Only that
// decides whose it is: a rule that would let others claim it too says nothing about who does.
func (o Operator) SoleClaimant(domain string) (namespace string, ok bool) {
	for _, r := range o.Domains {
		for _, p := range r.Namespaces {
			for _, pattern := range r.Allow {
				only, many := claimant(p, pattern, domain)
				if many || (only != "" && namespace != "" && only != namespace) {
					return "", false
				}
				namespace = cmp.Or(only, namespace)
			}
		}
	}
	return namespace, namespace != ""
}

// claimant is the namespace that one pattern of a rule lets claim a domain by another one; many if any number
// of them may.
func claimant(namespaces, pattern, domain string) (only string, many bool) {
	prefix, wildcard := strings.CutSuffix(namespaces, "*")
	switch {
	case !wildcard:
		only = namespaces
	case strings.Contains(pattern, NamespacePlaceholder):
		only = labelAt(pattern, NamespacePlaceholder, domain)
	case strings.Contains(pattern, SuffixPlaceholder):
		only = prefix + labelAt(pattern, SuffixPlaceholder, domain)
	default:
		return "", matchesDomain(pattern, domain)
	}
	if !(DomainRule{Namespaces: []string{namespaces}, Allow: []string{pattern}}).allows(only, domain) {
		return "", false
	}
	return only, false
}

// labelAt is the label of a domain at the place of a placeholder, counted from the end: in front any number of
// labels may stand for a *.
func labelAt(pattern, placeholder, domain string) string {
	_, behind, _ := strings.Cut(pattern, placeholder)
	labels := strings.Split(domain, ".")
	at := len(labels) - 1 - strings.Count(behind, ".")
	if at < 0 {
		return ""
	}
	return labels[at]
}

// filled is a pattern with its placeholders replaced.
func filled(pattern, namespace, suffix string) string {
	return strings.NewReplacer(NamespacePlaceholder, namespace, SuffixPlaceholder, suffix).Replace(pattern)
}

// MayReportTo reports whether TLS reports may be sent to the URI of a rua (RFC 8460 §3). What is
// neither mailto: nor https: is only allowed where everything is.
func (o Operator) MayReportTo(rua string) bool {
	allowed := o.TLSReporting.AllowedDomains
	if len(allowed) == 0 {
		return true
	}
	host := reportHost(rua)
	return slices.ContainsFunc(allowed, func(p string) bool { return matchesDomain(p, host) })
}

// reportHost is the domain of a mailto: or https: URI in lower case, else empty.
func reportHost(rua string) string {
	if address, ok := strings.CutPrefix(rua, "mailto:"); ok {
		return strings.ToLower(address[strings.LastIndexByte(address, '@')+1:])
	}
	u, err := url.Parse(rua)
	if err != nil || u.Scheme != "https" {
		return ""
	}
	return strings.ToLower(u.Hostname())
}

// matchNamespace says whether a pattern is for a namespace, and what its * stands for there.
func matchNamespace(pattern, namespace string) (suffix string, ok bool) {
	if prefix, wildcard := strings.CutSuffix(pattern, "*"); wildcard {
		return strings.CutPrefix(namespace, prefix)
	}
	return "", pattern == namespace
}

// matchesDomain differs from an mx pattern (RFC 8461 §4.1): the * stands for any number of labels.
func matchesDomain(pattern, domain string) bool {
	switch suffix, ok := strings.CutPrefix(pattern, "*"); {
	case domain == "":
		return false
	case ok:
		return len(domain) > len(suffix) && strings.HasSuffix(domain, suffix)
	}
	return pattern == domain
}
