package sender

import (
	"crypto/x509"
	"strings"
	"testing"
	"time"
)

func TestNewRefusesResolversThatAreNoAddresses(t *testing.T) {
	for _, resolver := range []string{"", "dns.example.com", "10.0.0.1:", "10.0.0.1:domain", "10.0.0.1:99999", ":53", "https://1.1.1.1/dns-query"} {
		if _, err := New(Config{Resolvers: []string{resolver}, Roots: x509.NewCertPool()}); err == nil {
			t.Errorf("New accepted the resolver %q", resolver)
		}
	}
}

func TestNewFillsInTheDefaults(t *testing.T) {
	s, err := New(Config{Resolvers: []string{"192.0.2.1", "2001:db8::1", "dns:5353", "[2001:db8::1]:54"}, Roots: x509.NewCertPool()})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"192.0.2.1:53", "[2001:db8::1]:53", "dns:5353", "[2001:db8::1]:54"} {
		if got := s.resolvers[i].address; got != want {
			t.Errorf("resolver %d: %s, want %s", i, got, want)
		}
	}
	if s.dnsPort != 53 || s.httpsPort != 443 || s.timeout != 10*time.Second || s.exchangeTimeout != 3*time.Second {
		t.Errorf("ports %d and %d, timeouts %v and %v", s.dnsPort, s.httpsPort, s.timeout, s.exchangeTimeout)
	}
}

func TestWhatPeersSentIsShownShortAndPlain(t *testing.T) {
	got := quote("\x1b[31m\"\n" + strings.Repeat("é", 200))
	want := `"?[31m'?` + strings.Repeat("?", shownLength-7) + `..."`
	if got != want {
		t.Errorf("quote: %s, want %s", got, want)
	}
}
