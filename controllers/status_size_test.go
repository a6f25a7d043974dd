package controllers

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apimeta "k8s.io/apimachinery/pkg/api/meta"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/internal/sender"
)

// crowded is a scope with so many live MX hosts, each with eight addresses that do the same.
func crowded(hosts int, outcome sender.Outcome, why sender.Reason) *scope {
	s := inForceScope()
	s.mail = map[string]mxSeen{}
	s.observation.MX.Hosts = nil
	s.publication.Spec.Current.MX = []string{"*.example.com"}
	for k := range hosts {
		host := fmt.Sprintf("%s%03d.example.com", strings.Repeat("m", 40), k)
		probe := sender.MXProbe{Host: host, Outcome: outcome, Reason: why}
		if outcome != sender.Pass {
			probe.Message = strings.Repeat("what is wrong, and where; ", 60)
		}
		for n := range 8 {
			probe.Addresses = append(probe.Addresses, sender.MXAddress{
				Address: netip.MustParseAddr(fmt.Sprintf("2001:db8:1111:2222:3333:4444:%x:%x", k+1, n+1)), Outcome: outcome, Reason: why,
				TLSVersion: "TLS 1.3", NotAfter: testNow.Add(time.Hour),
				Names: []string{strings.Repeat("a", 60) + ".example", strings.Repeat("b", 60) + ".example", "c.example", "d.example", "e.example"},
			})
		}
		s.observation.MX.Hosts = append(s.observation.MX.Hosts, host)
		s.mail[host] = mxSeen{Tried: failing(3, time.Hour), fails: outcome == sender.Broken, starttls: starttlsOf(probe, false)}
	}
	return s
}

func TestAStatusFitsWhateverAZoneNames(t *testing.T) {
	for _, tt := range []struct {
		name    string
		hosts   int
		outcome sender.Outcome
		why     sender.Reason
		shown   int
		says    string
	}{
		{"a hundred hosts that work", 100, sender.Pass, "", 100, ""},
		{"a hundred hosts that fail", 100, sender.Broken, sender.NoSTARTTLS, 100, ""},
		{"three hundred hosts", 300, sender.Pass, "", 100, "status.mx has no room for mmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmm100.example.com and 199 more"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := crowded(tt.hosts, tt.outcome, tt.why)
			status := s.testStatus()
			if bytes := encodedBytes(status); bytes > 64<<10 {
				t.Errorf("it has %d bytes", bytes)
			}
			if len(status.MX) != tt.shown {
				t.Errorf("%d hosts are shown, want %d", len(status.MX), tt.shown)
			}
			aligned := apimeta.FindStatusCondition(status.Conditions, v1alpha1.ConditionMXAligned)
			if !strings.Contains(aligned.Message, tt.says) {
				t.Errorf("MXAligned says %q", aligned.Message)
			}
			if did := status.MX[0].STARTTLS; len(did.Addresses) > 0 || did.Message == "" {
				t.Errorf("of the first host is shown %+v", did)
			}
			if n := len(s.mail[status.MX[0].Host].starttls.Addresses); n != 8 {
				t.Errorf("%d addresses are remembered", n)
			}
			// At rest nothing is written: the next pass, and the one of a new operator, say the same.
			s.winner.Status = status
			if diff := cmp.Diff(status, s.testStatus()); diff != "" {
				t.Errorf("the next pass says something else:\n%s", diff)
			}
			s.mail = nil
			if diff := cmp.Diff(status, s.testStatus()); diff != "" {
				t.Errorf("after a restart:\n%s", diff)
			}
		})
	}
}

func TestAStatusLeavesOutWholeHostsLast(t *testing.T) {
	s := crowded(100, sender.Broken, sender.NoSTARTTLS)
	s.publication.Spec.Current.Body = strings.Repeat("x", 40<<10) // more than the API accepts
	status := s.testStatus()
	if bytes := encodedBytes(status); bytes > 64<<10 {
		t.Errorf("it has %d bytes", bytes)
	}
	aligned := apimeta.FindStatusCondition(status.Conditions, v1alpha1.ConditionMXAligned)
	left := 100 - len(status.MX)
	if want := fmt.Sprintf("and %d more", left-1); left == 0 || !strings.Contains(aligned.Message, want) {
		t.Errorf("%d hosts are left out, and MXAligned says %q", left, aligned.Message)
	}
}

func TestASmallStatusShowsEverything(t *testing.T) {
	s := crowded(5, sender.Pass, "")
	for _, host := range s.testStatus().MX {
		if len(host.STARTTLS.Addresses) != 8 || host.STARTTLS.Message != "" {
			t.Errorf("%s: %+v", host.Host, host.STARTTLS)
		}
	}
}
