package mtasts

import "strings"

// MatchMX reports whether an mx pattern matches an MX host (RFC 8461 §4.1). A
// leading "*." stands for exactly one label: "*.example.com" matches neither
// "example.com" nor "a.b.example.com". Case and one trailing dot do not count.
func MatchMX(pattern, host string) bool {
	pattern, host = canonicalName(pattern), canonicalName(host)
	parent, wildcard := strings.CutPrefix(pattern, "*.")
	if !wildcard {
		return host != "" && host == pattern
	}
	label, rest, _ := strings.Cut(host, ".")
	return label != "" && rest != "" && rest == parent
}

// canonicalName lowers ASCII letters only, as DNS does: Unicode lowering would
// make the Kelvin sign an ASCII k.
func canonicalName(name string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, strings.TrimSuffix(name, "."))
}
