package mtasts

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// PolicyPath is where every policy lies on its policy host (RFC 8461 §3.2).
const PolicyPath = "/.well-known/mta-sts.txt"

const (
	maxNameBytes  = 253 // a DNS name without its trailing dot, RFC 1035 §2.3.4
	maxLabelBytes = 63
	// The longest name derived from a domain is that of its TLS-RPT record,
	// "_smtp._tls." + domain (RFC 8460 §3); "mta-sts." and "_mta-sts." are shorter.
	maxDomainBytes = maxNameBytes - len("_smtp._tls.")
)

// PolicyHost returns the host that serves the policy of a domain.
func PolicyHost(domain string) string { return "mta-sts." + domain }

// PolicyURL returns the only address at which senders look for the policy.
func PolicyURL(domain string) string { return "https://" + PolicyHost(domain) + PolicyPath }

// RecordName returns the name of the TXT record that announces the policy.
func RecordName(domain string) string { return "_mta-sts." + domain }

// ValidateDomain says whether domain can be a policy domain: two labels or more,
// lower-case A-labels, no trailing dot, no underscore, no IP address, at most 242
// bytes so that every record name derived from it still fits into 253. The error
// says what to write instead.
func ValidateDomain(domain string) error {
	if strings.HasPrefix(domain, "*.") {
		return fmt.Errorf("%q: a policy is for one domain and not for those below it: write %q, and a policy for each subdomain that receives mail",
			domain, domain[2:])
	}
	if err := validateHost(domain); err != nil {
		return fmt.Errorf("%q: %w", domain, err)
	}
	if len(domain) > maxDomainBytes {
		return fmt.Errorf("%q: %d bytes are too long for the names derived from it: write a domain of at most %d", domain, len(domain), maxDomainBytes)
	}
	return nil
}

// ValidatePattern says whether we would publish an mx pattern: a full host name,
// or "*." and one, in lower-case A-labels (RFC 8461 §3.2). The error says what
// to write instead.
func ValidatePattern(pattern string) error {
	err := validateHost(strings.TrimPrefix(pattern, "*."))
	if err == nil && len(pattern) > maxNameBytes {
		err = errTooLong
	}
	if err != nil {
		return fmt.Errorf("%q: %w", pattern, err)
	}
	return nil
}

// validateHost is what we require of a host name before we publish it.
func validateHost(host string) error {
	if err := checkHost(host); err != nil {
		return err
	}
	if lower := canonicalName(host); lower != host {
		return fmt.Errorf("write it in lower case: %q", lower)
	}
	if !strings.Contains(host, ".") {
		return errors.New("a single label: write the full name, such as mx1.example.com")
	}
	return nil
}

var errTooLong = fmt.Errorf("too long: write a name of at most %d bytes", maxNameBytes)

// checkHost is the Domain of RFC 5321 §4.1.2 in any case, without addresses:
// what senders accept behind "mx:". Particular mistakes come before the general
// one, for the sake of their advice.
func checkHost(host string) error {
	switch {
	case host == "":
		return errors.New("empty: write a host name such as mx1.example.com")
	case len(host) > maxNameBytes:
		return errTooLong
	case strings.HasSuffix(host, "."):
		return fmt.Errorf("drop the trailing dot: write %q", strings.TrimRight(host, "."))
	case strings.ContainsFunc(host, func(r rune) bool { return r > '~' }):
		return errors.New(`not ASCII: write the A-labels ("xn--…") of an internationalized name`)
	case strings.Contains(host, "*"):
		return errors.New(`"*" only stands for the whole first label of an mx pattern: write "*.example.com"`)
	case strings.Contains(host, "_"):
		return errors.New("a host name has no underscore: write the name that the MX record points to")
	case isAddress(host):
		return errors.New("an IP address: write the name of the host")
	}
	for label := range strings.SplitSeq(host, ".") {
		if err := checkLabel(label); err != nil {
			return err
		}
	}
	return nil
}

func checkLabel(label string) error {
	switch {
	case label == "":
		return errors.New("an empty label: write single dots, and none in front")
	case len(label) > maxLabelBytes:
		return fmt.Errorf("label %.80q is too long: write at most %d bytes between dots", label, maxLabelBytes)
	case label[0] == '-' || label[len(label)-1] == '-':
		return fmt.Errorf("label %.80q: write it without a hyphen at either end", label)
	case strings.ContainsFunc(label, func(r rune) bool { return !isAlnum(r) && r != '-' }):
		return fmt.Errorf("label %.80q: write one bare host name of letters, digits, hyphens and dots", label)
	}
	return nil
}

// isAddress also finds what is an address to some readers only, such as "127.1":
// no top-level domain is a number.
func isAddress(host string) bool {
	if _, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		return true
	}
	last := host[strings.LastIndexByte(host, '.')+1:]
	return last != "" && strings.Trim(last, "0123456789") == ""
}

func isAlnum(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
}
