package check

import (
	"fmt"
	"strings"

	"golang.org/x/net/idna"

	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
)

// ParseDomain reads a domain as a person writes it. The error says what to write
// instead; nothing is corrected in silence, for a slip of the hand may be another
// domain than the one meant.
func ParseDomain(text string) (string, error) {
	fault := mtasts.ValidateDomain(text)
	if fault == nil {
		return text, nil
	}
	if better := suggestion(text); better != "" {
		return "", fmt.Errorf("%q is not a mail domain as it stands in DNS: write %s", text, better)
	}
	return "", fmt.Errorf("this is not a mail domain: %w", fault)
}

// suggestion returns the valid domain that the text most likely means, "" if
// there is none.
func suggestion(text string) string {
	text = strings.TrimSpace(text)
	if _, rest, found := strings.Cut(text, "://"); found {
		text = rest
	}
	text, _, _ = strings.Cut(text, "/")
	text = text[strings.LastIndexByte(text, '@')+1:]
	for _, prefix := range []string{"mailto:", "_mta-sts.", "_smtp._tls.", "*."} {
		text = strings.TrimPrefix(text, prefix)
	}
	ascii, err := idna.Lookup.ToASCII(strings.TrimSuffix(text, "."))
	if err != nil || mtasts.ValidateDomain(ascii) != nil {
		return ""
	}
	return ascii
}
