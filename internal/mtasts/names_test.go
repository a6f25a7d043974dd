package mtasts_test

import (
	"strings"
	"testing"

	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
)

// ofLength returns a valid host name of n bytes.
func ofLength(n int) string {
	return strings.Repeat("a.", n/2-1) + "bcd"[:2+n%2]
}

func TestValidHostNames(t *testing.T) {
	for _, name := range []string{
		"example.com", "mx1.mail.example.com", "xn--bcher-kva.example", "a.b", "1.example", "a--b.example", "3com.com", "a.1b",
		strings.Repeat("a", 63) + ".example", ofLength(242),
	} {
		if err := mtasts.ValidateDomain(name); err != nil {
			t.Error(err)
		}
		for _, pattern := range []string{name, "*." + name} {
			if err := mtasts.ValidatePattern(pattern); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestInvalidHostNamesSayWhatToWrite(t *testing.T) {
	tests := []struct{ name, host, want string }{
		{"nothing", "", "write a host name such as"},
		{"a trailing dot", "example.com.", `drop the trailing dot: write "example.com"`},
		{"the root", ".", "drop the trailing dot"},
		{"U-labels", "bücher.example", `write the A-labels ("xn--…")`},
		{"an ideographic dot", "example。com", "A-labels"},
		{"capitals", "Example.COM", `write it in lower case: "example.com"`},
		{"an underscore", "_dmarc.example.com", "no underscore"},
		{"one label", "mx1", "write the full name"},
		{"an IPv4 address", "192.0.2.1", "write the name of the host"},
		{"a short IPv4 address", "127.1", "write the name of the host"},
		{"an IPv4 literal", "[192.0.2.1]", "write the name of the host"},
		{"an IPv6 address", "2001:db8::1", "write the name of the host"},
		{"a star inside", "a.*.example.com", `write "*.example.com"`},
		{"a star within a label", "mx*.example.com", `write "*.example.com"`},
		{"a star without dot", "*example.com", `write "*.example.com"`},
		{"a star alone", "*", `write "*.example.com"`},
		{"two stars", "*.*.example.com", ""},
		{"a leading dot", ".example.com", "none in front"},
		{"two dots", "a..example.com", "write single dots"},
		{"a leading hyphen", "-a.example.com", "without a hyphen at either end"},
		{"a trailing hyphen", "a-.example.com", "without a hyphen at either end"},
		{"an unfinished A-label", "xn--.example", "without a hyphen at either end"},
		{"a URL", "https://example.com/", "write one bare host name"},
		{"an address", "postmaster@example.com", "write one bare host name"},
		{"a list", "a.example,b.example", "write one bare host name"},
		{"a blank", "a.example b.example", "write one bare host name"},
		{"a newline", "a.example\nb.example", "write one bare host name"},
		{"a label of 64 bytes", strings.Repeat("a", 64) + ".example", "at most 63 bytes"},
		{"a name of 254 bytes", ofLength(254), "at most 253 bytes"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for what, err := range map[string]error{
				"domain":  mtasts.ValidateDomain(test.host),
				"pattern": mtasts.ValidatePattern(test.host),
			} {
				if err == nil {
					t.Errorf("accepted as %s", what)
				} else if !strings.Contains(err.Error(), test.want) {
					t.Errorf("%s: got %q, want %q in it", what, err, test.want)
				}
			}
		})
	}
}

func TestDomainLeavesRoomForDerivedNames(t *testing.T) {
	if err := mtasts.ValidateDomain(ofLength(243)); err == nil || !strings.Contains(err.Error(), "at most 242") {
		t.Errorf("243 bytes: got %v", err)
	}
	if err := mtasts.ValidatePattern(ofLength(253)); err != nil {
		t.Errorf("a pattern of 253 bytes: %v", err)
	}
	if err := mtasts.ValidatePattern("*." + ofLength(252)); err == nil {
		t.Error("accepted a pattern of 254 bytes")
	}
}

func TestDomainIsNoWildcard(t *testing.T) {
	err := mtasts.ValidateDomain("*.example.com")
	if err == nil || !strings.Contains(err.Error(), `write "example.com"`) {
		t.Errorf("got %v", err)
	}
}
