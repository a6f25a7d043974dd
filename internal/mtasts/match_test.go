package mtasts_test

import (
	"testing"

	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
)

func TestMatchMX(t *testing.T) {
	tests := []struct {
		name, host, pattern string
		want                bool
	}{
		{"a wildcard is one label", "mail.example.com", "*.example.com", true},
		{"a wildcard is not zero labels", "example.com", "*.example.com", false},
		{"a wildcard is not two labels", "a.b.example.com", "*.example.com", false},
		{"a wildcard is not an empty label", ".example.com", "*.example.com", false},
		{"a wildcard ends at a dot", "mailexample.com", "*.example.com", false},
		{"a wildcard below a top-level domain", "example.com", "*.com", true},
		{"a provider's deeper name is not covered by its parent", "customer.h-v1.mx.microsoft", "*.mx.microsoft", false},
		{"a provider's deeper name is covered one level up", "customer.h-v1.mx.microsoft", "*.h-v1.mx.microsoft", true},
		{"a host matches itself", "mail.example.com", "mail.example.com", true},
		{"a host does not match its parent", "mail.example.com", "example.com", false},
		{"a host does not match its child", "example.com", "mail.example.com", false},
		{"case and trailing dot of the host do not count", "MAIL.example.com.", "mail.example.com", true},
		{"case of the pattern does not count", "mail.example.com", "MAIL.EXAMPLE.COM", true},
		{"a trailing dot with a wildcard", "mail.example.com.", "*.example.com", true},
		{"a trailing dot on the pattern", "mail.example.com", "*.Example.com.", true},
		{"letters beyond ASCII are not lowered", "mail.\u212aexample.com", "mail.kexample.com", false},
		{"a star inside is no wildcard", "mx1.example.com", "mx*.example.com", false},
		{"a star alone matches nothing", "com", "*", false},
		{"a leading dot matches nothing below", "mail.example.com", ".example.com", false},
		{"a wildcard of nothing", "com.", "*.", false},
		{"nothing does not match nothing", "", "", false},
		{"the root does not match the root", ".", ".", false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := mtasts.MatchMX(test.pattern, test.host); got != test.want {
				t.Errorf("pattern %q, host %q: got %v", test.pattern, test.host, got)
			}
		})
	}
}
