package mtasts

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts/txtfields"
)

const (
	// maxFetchedBytes is the size RFC 8461 §3.3 suggests to senders as a limit.
	maxFetchedBytes = 64 << 10
	// maxWireMaxAge is the greatest max_age of RFC 8461 §3.2: a year of 365.25 days.
	maxWireMaxAge = 31557600
)

// SyntaxError says why a text is not a policy.
type SyntaxError struct {
	// Line counts from 1; 0 means the text as a whole.
	Line   int
	Reason string
}

// Error puts the line, if there is one, in front of the reason.
func (e *SyntaxError) Error() string {
	if e.Line == 0 {
		return e.Reason
	}
	return fmt.Sprintf("line %d: %s", e.Line, e.Reason)
}

// ParsePolicy reads a policy body by the grammar of RFC 8461 §3.2, as the
// strictest sender does; what it accepts, every sender that follows the RFC
// accepts. Of repeated fields the first counts, but all must be well-formed,
// because some senders take the last. Patterns come back in lower case and in
// the order of the body. Every error is a *[SyntaxError] and short,
// for what was fetched may be a whole web page.
func ParsePolicy(body []byte) (Policy, error) {
	if len(body) > maxFetchedBytes {
		return Policy{}, &SyntaxError{Reason: fmt.Sprintf("%d bytes long, senders read at most %d", len(body), maxFetchedBytes)}
	}
	r := policyReader{seen: map[string]bool{}}
	n := 0
	for line := range strings.Lines(string(body)) {
		n++
		if text, ended := strings.CutSuffix(line, "\n"); ended {
			line = strings.TrimSuffix(text, "\r")
		}
		if err := r.line(line); err != nil {
			return Policy{}, &SyntaxError{Line: n, Reason: err.Error()}
		}
	}
	if err := r.complete(); err != nil {
		return Policy{}, &SyntaxError{Reason: err.Error()}
	}
	return r.policy, nil
}

type policyReader struct {
	policy Policy
	seen   map[string]bool
}

func (r *policyReader) line(line string) error {
	name, value, found := strings.Cut(line, ":")
	switch {
	case line == "":
		return errors.New("blank line")
	case strings.HasPrefix(line, "\ufeff"):
		return errors.New("byte order mark")
	case !found:
		return fmt.Errorf("%.80q has no colon", line)
	case strings.Trim(name, " \t") != name:
		return fmt.Errorf("blank before or after the field name %.80q", strings.Trim(name, " \t"))
	case !txtfields.ValidName(name):
		return fmt.Errorf("%.80q is not a field name", name)
	}
	value = strings.Trim(value, " \t")
	if value == "" {
		return fmt.Errorf("%s has no value", name)
	}
	if err := r.field(name, value); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	r.seen[name] = true
	return nil
}

func (r *policyReader) field(name, value string) error {
	first := !r.seen[name]
	switch name {
	case "version":
		if value != "STSv1" {
			return fmt.Errorf("%.80q is not STSv1", value)
		}
	case "mode":
		mode := Mode(value)
		if !mode.known() {
			return fmt.Errorf("%.80q is not enforce, testing or none", value)
		}
		if first {
			r.policy.Mode = mode
		}
	case "mx":
		if err := checkHost(strings.TrimPrefix(value, "*.")); err != nil {
			return fmt.Errorf("%.80q: %w", value, err)
		}
		r.policy.MX = append(r.policy.MX, canonicalName(value))
	case "max_age":
		seconds, err := parseMaxAge(value)
		if err != nil {
			return err
		}
		if first {
			r.policy.MaxAgeSeconds = seconds
		}
	default:
		return checkExtension(value)
	}
	return nil
}

func (r *policyReader) complete() error {
	for _, name := range []string{"version", "mode", "max_age"} {
		if !r.seen[name] {
			return fmt.Errorf("no %s field", name)
		}
	}
	if r.policy.Mode != ModeNone && !r.seen["mx"] {
		return fmt.Errorf("no mx field in mode %s", r.policy.Mode)
	}
	return nil
}

// parseMaxAge allows leading zeros, as the grammar does, but no sign.
func parseMaxAge(value string) (int64, error) {
	if len(value) > 10 || strings.Trim(value, "0123456789") != "" {
		return 0, fmt.Errorf("%.80q is not 1 to 10 digits", value)
	}
	seconds, err := strconv.ParseInt(value, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("reading %.80q: %w", value, err)
	}
	if seconds > maxWireMaxAge {
		return 0, fmt.Errorf("%d is more than %d", seconds, maxWireMaxAge)
	}
	return seconds, nil
}

// checkExtension allows visible ASCII, spaces between, and UTF-8.
func checkExtension(value string) error {
	control := func(r rune) bool { return r < ' ' || r == 0x7f }
	if !utf8.ValidString(value) || strings.ContainsFunc(value, control) {
		return fmt.Errorf("%.80q has characters that are not allowed", value)
	}
	return nil
}
