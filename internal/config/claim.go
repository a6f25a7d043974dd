package config

import (
	"net/url"
	"slices"
	"strings"
)

// MayClaim reports whether a policy of the namespace may be for the domain: whether some rule names
// both, or there is no rule at all. The domain is in lower case.
func (o Operator) MayClaim(namespace, domain string) bool {
	return len(o.Domains) == 0 || slices.ContainsFunc(o.Domains, func(r DomainRule) bool {
		return slices.ContainsFunc(r.Namespaces, func(p string) bool { return matchesNamespace(p, namespace) }) &&
			slices.ContainsFunc(r.Allow, func(p string) bool { return matchesDomain(p, domain) })
	})
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

func matchesNamespace(pattern, namespace string) bool {
	if prefix, ok := strings.CutSuffix(pattern, "*"); ok {
		return strings.HasPrefix(namespace, prefix)
	}
	return pattern == namespace
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
