package mtasts

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Mode says what a sender does when an MX host fails validation (RFC 8461 §5).
type Mode string

// The modes of RFC 8461 §3.2, spelled as on the wire.
const (
	// ModeEnforce makes senders refuse delivery to hosts that fail.
	ModeEnforce Mode = "enforce"
	// ModeTesting makes senders deliver and report.
	ModeTesting Mode = "testing"
	// ModeNone makes senders act as if there were no policy.
	ModeNone Mode = "none"
)

func (m Mode) known() bool {
	return m == ModeEnforce || m == ModeTesting || m == ModeNone
}

// Limits on the policies we publish. They are narrower than RFC 8461 §3.2 because
// some senders are narrower.
const (
	// MinMaxAgeSeconds is one day: below it some senders take the policy as absent.
	MinMaxAgeSeconds = 86400
	// MaxMaxAgeSeconds is one second less than the year that RFC 8461 §3.2 allows:
	// the full year is shortened to a day by a sender that excludes the limit.
	MaxMaxAgeSeconds = 31557599
	// MaxMXPatterns bounds the list of mx patterns.
	MaxMXPatterns = 100
	// MaxBodyBytes bounds the rendered policy: the smallest buffer among senders
	// is 10 KiB, and what exceeds it is cut off in silence.
	MaxBodyBytes = 10000
)

// Policy is the meaning of an MTA-STS policy (RFC 8461 §3.2). Extension fields
// are not kept.
type Policy struct {
	Mode Mode
	// MX lists host names and "*." patterns; order and repetition mean nothing.
	MX []string
	// MaxAgeSeconds is how long senders may cache the policy.
	MaxAgeSeconds int64
}

// Canonical returns a copy with mx in lower case, without trailing dots, sorted
// and without duplicates. An empty list becomes nil.
func (p Policy) Canonical() Policy {
	if len(p.MX) == 0 {
		p.MX = nil
		return p
	}
	mx := make([]string, 0, len(p.MX))
	for _, pattern := range p.MX {
		mx = append(mx, canonicalName(pattern))
	}
	slices.Sort(mx)
	p.MX = slices.Compact(mx)
	return p
}

// String renders the canonical policy as it is served: version, mode, mx lines,
// max_age, each ended by one LF. Version stands first because one large sender
// documents that it expects it there; nothing else may vary, since a change of
// bytes without a new id is a defect (RFC 8461 §3.2).
func (p Policy) String() string {
	p = p.Canonical()
	var b strings.Builder
	b.WriteString("version: STSv1\nmode: " + string(p.Mode) + "\n")
	for _, pattern := range p.MX {
		b.WriteString("mx: " + pattern + "\n")
	}
	b.WriteString("max_age: " + strconv.FormatInt(p.MaxAgeSeconds, 10) + "\n")
	return b.String()
}

// Equal reports whether both policies mean the same to a sender: the same mode,
// set of mx patterns and max_age.
func (p Policy) Equal(q Policy) bool {
	p, q = p.Canonical(), q.Canonical()
	return p.Mode == q.Mode && p.MaxAgeSeconds == q.MaxAgeSeconds && slices.Equal(p.MX, q.MX)
}

// Covers reports whether some pattern of the policy matches the MX host.
func (p Policy) Covers(host string) bool {
	return slices.ContainsFunc(p.MX, func(pattern string) bool { return MatchMX(pattern, host) })
}

// Validate says whether we would publish the policy as it is written. The error
// joins all faults, and each says what to write instead.
//
// An mx pattern is wanted in every mode, although RFC 8461 §3.2 lets "none" do
// without: senders that reject such a policy keep the enforce policy they have.
func (p Policy) Validate() error {
	var faults []error
	fault := func(format string, args ...any) {
		faults = append(faults, fmt.Errorf(format, args...))
	}
	if !p.Mode.known() {
		fault("mode %q: write enforce, testing or none", p.Mode)
	}
	switch n := len(p.MX); {
	case n == 0:
		fault("no mx pattern: write at least one, in every mode")
	case n > MaxMXPatterns:
		fault("%d mx patterns: write at most %d, for instance one *.mail.example.com for hosts side by side", n, MaxMXPatterns)
	}
	for i, pattern := range p.MX {
		if err := ValidatePattern(pattern); err != nil {
			fault("mx[%d]: %w", i, err)
		}
	}
	switch {
	case p.MaxAgeSeconds < MinMaxAgeSeconds:
		fault("max_age %d: write %d (one day) or more", p.MaxAgeSeconds, MinMaxAgeSeconds)
	case p.MaxAgeSeconds > MaxMaxAgeSeconds:
		fault("max_age %d: write %d (one year) or less", p.MaxAgeSeconds, MaxMaxAgeSeconds)
	}
	if n := len(p.String()); n > MaxBodyBytes {
		fault("the policy is %d bytes long, some senders read only %d: write fewer or shorter mx patterns", n, MaxBodyBytes)
	}
	return errors.Join(faults...)
}
