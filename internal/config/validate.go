package config

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
)

// Validate finds what cannot work. The error joins all faults, a line each: the field, what is wrong
// with it, and what to write instead.
func (o Operator) Validate() error {
	var f faults
	if o.APIVersion != APIVersion {
		f.add("apiVersion", "%q is unknown: write %s", o.APIVersion, APIVersion)
	}
	if o.Kind != Kind {
		f.add("kind", "%q is unknown: write %s", o.Kind, Kind)
	}
	o.Issuer.validate(&f)
	f.name("ingress.className", o.Ingress.ClassName)
	f.annotations("ingress.annotations", o.Ingress.Annotations)
	o.DNS.validate(&f)
	f.between("tlsReporting.ttlSeconds", o.TLSReporting.TTLSeconds, 60, 86400)
	for i, pattern := range o.TLSReporting.AllowedDomains {
		f.domainPattern(fmt.Sprintf("tlsReporting.allowedDomains[%d]", i), pattern)
	}
	o.Looks.validate(&f)
	for i, rule := range o.Domains {
		rule.validate(&f, fmt.Sprintf("domains[%d]", i))
	}
	o.Server.validate(&f)
	return errors.Join(f...)
}

func (i Issuer) validate(f *faults) {
	if i.Name == "" && i != (Issuer{}) {
		f.add("issuer.name", "is missing: write the issuer's name, or remove issuer")
	}
	f.name("issuer.name", i.Name)
	f.name("issuer.group", i.Group)
}

func (d DNS) validate(f *faults) {
	f.between("dns.ttlSeconds", d.TTLSeconds, 60, 3600)
	if d.TXTFormat != v1alpha1.TXTQuoted && d.TXTFormat != v1alpha1.TXTUnquoted {
		f.add("dns.txtFormat", "%q is unknown: write Quoted or Unquoted, as external-dns' provider needs it", d.TXTFormat)
	}
	f.labels("dns.labels", d.Labels)
	f.annotations("dns.annotations", d.Annotations)
	for i, target := range d.Targets {
		field := fmt.Sprintf("dns.targets[%d]", i)
		if addr, err := netip.ParseAddr(target); err == nil {
			if addr.Zone() != "" {
				f.add(field, "%q has a zone: write an address that is the same everywhere", target)
			}
			continue
		}
		// Load balancers do have names with underscores.
		if err := mtasts.ValidatePattern(strings.ReplaceAll(target, "_", "x")); err != nil || strings.HasPrefix(target, "*") {
			f.add(field, "%q is neither: write an IP address, or a host name in lower case without trailing dot", target)
		}
		if len(d.Targets) > 1 {
			f.add(field, "%q is one of several: write IP addresses only, or exactly one host name", target)
		}
	}
}

func (l Looks) validate(f *faults) {
	for i, resolver := range l.Resolvers {
		_, errAddr := netip.ParseAddr(resolver)
		port, errPort := netip.ParseAddrPort(resolver)
		if errAddr != nil && (errPort != nil || port.Port() == 0) {
			f.add(fmt.Sprintf("looks.resolvers[%d]", i), "%q is no address: write 192.0.2.53, 192.0.2.53:53 or [2001:db8::53]:53", resolver)
		}
	}
	if l.ExtraRootsFile != "" && !filepath.IsAbs(l.ExtraRootsFile) {
		f.add("looks.extraRootsFile", "%q depends on the working directory: write an absolute path", l.ExtraRootsFile)
	}
	if l.Reachability != ReachabilityPublic && l.Reachability != ReachabilityCluster {
		f.add("looks.reachability", "%q is unknown: write Public or Cluster", l.Reachability)
	}
	for i, network := range l.Deny {
		f.network(fmt.Sprintf("looks.deny[%d]", i), network)
	}
}

func (r DomainRule) validate(f *faults, field string) {
	if len(r.Namespaces) == 0 {
		f.add(field+".namespaces", "is empty: write the namespaces that may claim these domains, or * for all")
	}
	for i, pattern := range r.Namespaces {
		// Any beginning of a name is one if a letter follows it.
		name := pattern
		if prefix, ok := strings.CutSuffix(pattern, "*"); ok {
			name = prefix + "x"
		}
		if len(validation.IsDNS1123Label(name)) > 0 {
			f.add(fmt.Sprintf("%s.namespaces[%d]", field, i), "%q cannot match: write a namespace, or its beginning and a * such as team-*", pattern)
		}
	}
	if len(r.Allow) == 0 {
		f.add(field+".allow", "is empty: write the domains that these namespaces may claim, or remove the rule")
	}
	for i, pattern := range r.Allow {
		r.validateAllow(f, fmt.Sprintf("%s.allow[%d]", field, i), pattern)
	}
}

// validateAllow also makes sure that a placeholder is one whole label, and stands for something in each of the
// rule's namespaces: one that never matches would look like a fence and be none that anybody can pass.
func (r DomainRule) validateAllow(f *faults, field, pattern string) {
	for label := range strings.SplitSeq(pattern, ".") {
		switch {
		case !strings.ContainsAny(label, "{}"):
		case label == SuffixPlaceholder:
			for _, namespace := range r.Namespaces {
				if !strings.HasSuffix(namespace, "*") {
					f.add(field, "%s stands for nothing in namespace %q: write a namespace that ends with *, or %s",
						SuffixPlaceholder, namespace, NamespacePlaceholder)
				}
			}
		case label != NamespacePlaceholder:
			f.add(field, "%q is no placeholder: write %s or %s, each as a whole label such as {suffix}.customers.example",
				label, NamespacePlaceholder, SuffixPlaceholder)
			return
		}
	}
	f.domainPattern(field, filled(pattern, "x", "x"))
}

func (s Server) validate(f *faults) {
	if s.Image == "" || strings.ContainsFunc(s.Image, func(r rune) bool { return r <= ' ' }) {
		f.add("server.image", "%q is no image: write the operator's own, with its tag or digest", s.Image)
	}
	switch s.ImagePullPolicy {
	case "", corev1.PullAlways, corev1.PullIfNotPresent, corev1.PullNever:
	default:
		f.add("server.imagePullPolicy", "%q is unknown: write Always, IfNotPresent or Never", s.ImagePullPolicy)
	}
	for i, secret := range s.ImagePullSecrets {
		field := fmt.Sprintf("server.imagePullSecrets[%d].name", i)
		if secret.Name == "" {
			f.add(field, "is missing: write the name of a Secret")
		}
		f.name(field, secret.Name)
	}
	f.between("server.replicas", s.Replicas, 1, 100)
	f.labels("server.podLabels", s.PodLabels)
	f.annotations("server.podAnnotations", s.PodAnnotations)
	f.name("server.priorityClassName", s.PriorityClassName)
	for _, key := range slices.Sorted(maps.Keys(s.NodeSelector)) {
		f.label("server.nodeSelector", key, s.NodeSelector[key])
	}
	f.namespaces("server.metricsNamespaces", s.MetricsNamespaces)
	f.namespaces("server.ingressNamespaces", s.IngressNamespaces)
}

// faults collects what is wrong, in the order of the fields.
type faults []error

func (f *faults) add(field, format string, args ...any) {
	*f = append(*f, fmt.Errorf("%s: %w", field, fmt.Errorf(format, args...)))
}

func (f *faults) between(field string, value, low, high int32) {
	if value < low || value > high {
		f.add(field, "%d is out of range: write %d to %d", value, low, high)
	}
}

func (f *faults) name(field, value string) {
	if value != "" && len(validation.IsDNS1123Subdomain(value)) > 0 {
		f.add(field, "%q is no name of an object: write lower-case letters, digits, hyphens and dots", value)
	}
}

func (f *faults) namespaces(field string, names []string) {
	for i, name := range names {
		if len(validation.IsDNS1123Label(name)) > 0 {
			f.add(fmt.Sprintf("%s[%d]", field, i), "%q is no namespace: write its name", name)
		}
	}
}

// network refuses what could be meant otherwise than it would be read: an address without its length, or with more
// than the length has room for.
func (f *faults) network(field, text string) {
	network, err := netip.ParsePrefix(text)
	switch {
	case err != nil:
		f.add(field, "%q is no network: write an address and the length of its prefix, such as 203.0.113.0/24 or 2001:db8::/32", text)
	case network.Addr().Is4In6():
		f.add(field, "%q is an IPv4 network in IPv6: write it as IPv4, such as 203.0.113.0/24", text)
	case network != network.Masked():
		f.add(field, "%q is an address of a network: write %s, or %s for this address alone", text, network.Masked(),
			netip.PrefixFrom(network.Addr(), network.Addr().BitLen()))
	}
}

func (f *faults) domainPattern(field, pattern string) {
	if pattern == "*" {
		return
	}
	if err := mtasts.ValidateDomain(strings.TrimPrefix(pattern, "*.")); err != nil {
		f.add(field, `write "example.com", "*.example.com" for all below it, or "*" for all: %w`, err)
	}
}

func (f *faults) labels(field string, labels map[string]string) {
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		if isOurs(key) {
			f.add(field, "%q is set by the operator itself: remove it", key)
		}
		f.label(field, key, labels[key])
	}
}

func (f *faults) label(field, key, value string) {
	f.key(field, key)
	if len(validation.IsValidLabelValue(value)) > 0 {
		f.add(field, "%q is no label value: write at most 63 letters, digits, '-', '_' and '.'", value)
	}
}

func (f *faults) annotations(field string, annotations map[string]string) {
	for _, key := range slices.Sorted(maps.Keys(annotations)) {
		if isOurs(key) {
			f.add(field, "%q is set by the operator itself: remove it", key)
		}
		f.key(field, key)
	}
}

func (f *faults) key(field, key string) {
	if len(validation.IsQualifiedName(strings.ToLower(key))) > 0 {
		f.add(field, "%q is no key: write name or example.com/name", key)
	}
}

// isOurs tells keys by which the operator, its Services and its caches find objects.
func isOurs(key string) bool {
	switch key {
	case v1alpha1.ManagedByLabel, "app.kubernetes.io/name", "app.kubernetes.io/component":
		return true
	}
	return strings.HasPrefix(key, v1alpha1.GroupVersion.Group+"/")
}
