package controllers

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mta-sts-operator/mta-sts-operator/controllers/internal/publication"
	"github.com/mta-sts-operator/mta-sts-operator/internal/sender"
)

// probeOf is a probe of a host with one address.
func probeOf(host string, outcome sender.Outcome, reason sender.Reason) sender.MXProbe {
	probe := sender.MXProbe{Host: host, Outcome: outcome, Reason: reason}
	if outcome != sender.Pass {
		probe.Message = host + " says " + string(reason)
	}
	probe.Addresses = []sender.MXAddress{{Address: netip.MustParseAddr("192.0.2.1"), Outcome: outcome, Reason: reason, Connected: reason != sender.Timeout}}
	return probe
}

// asked is the host that is to be asked next, "" if none is.
func (m *mxHosts) asked() string {
	select {
	case e := <-m.due:
		return e.Object.Host
	default:
		return ""
	}
}

func TestADomainOfManyMXHostsDoesNotKeepTheOthersWaiting(t *testing.T) {
	m := newMXHosts(publication.DefaultTimings())
	var many []string
	for i := range 500 {
		many = append(many, fmt.Sprintf("mx%03d.example.net", i))
	}
	m.want(t.Context(), "greedy.example", many, nil, true, testNow)
	m.want(t.Context(), "modest.example", []string{"mx.example.org"}, nil, true, testNow)
	before := 0
	for host := m.asked(); host != "mx.example.org"; host = m.asked() {
		if host == "" {
			t.Fatal("mx.example.org is never asked")
		}
		m.saw(host, probeOf(host, sender.Broken, sender.NoSTARTTLS), testNow)
		before++
	}
	if before != mostMXHosts {
		t.Errorf("%d hosts of another domain were asked before", before)
	}
	failing, asking := judgeMX(many, m.seen(many), testNow, publication.DefaultTimings())
	if failing != "" || !asking.IsZero() {
		t.Errorf("hosts that were not asked hold a change: %q since %s", failing, asking)
	}
}

func TestAnMXHostIsAskedOnceForAllDomains(t *testing.T) {
	m := newMXHosts(publication.DefaultTimings())
	ctx, mx := context.Background(), []string{"mx.example.net"}
	m.want(ctx, "a.example", mx, nil, false, testNow)
	m.want(ctx, "b.example", mx, nil, false, testNow)
	for range 2 { // the queue of the controller makes one of them
		if got := m.asked(); got != "mx.example.net" {
			t.Fatalf("asked %q", got)
		}
	}
	domains, next := m.saw("mx.example.net", probeOf("mx.example.net", sender.Pass, ""), testNow)
	if diff := cmp.Diff([]string{"a.example", "b.example"}, domains); diff != "" {
		t.Error(diff)
	}
	if next < 19*time.Hour || next > 29*time.Hour {
		t.Errorf("asked again after %s", next)
	}
	m.want(ctx, "c.example", mx, nil, true, testNow.Add(time.Hour))
	if got := m.asked(); got != "" {
		t.Errorf("%s is asked although the answer is an hour old", got)
	}
	domains, _ = m.saw("mx.example.net", probeOf("mx.example.net", sender.Pass, ""), testNow.Add(24*time.Hour))
	if len(domains) != 0 {
		t.Errorf("%v are woken by what they knew", domains)
	}
}

func TestAHostThatDoesTheSameAtOtherAddressesWakesNobody(t *testing.T) {
	at := func(tls string, addresses ...string) sender.MXProbe {
		probe := sender.MXProbe{Host: "mx.example.net", Outcome: sender.Pass}
		for _, a := range addresses {
			probe.Addresses = append(probe.Addresses, sender.MXAddress{Address: netip.MustParseAddr(a), Outcome: sender.Pass, TLSVersion: tls, Connected: true})
		}
		return probe
	}
	m := newMXHosts(publication.DefaultTimings())
	m.want(t.Context(), "a.example", []string{"mx.example.net"}, nil, false, testNow)
	for _, tt := range []struct {
		name  string
		probe sender.MXProbe
		wakes bool
	}{
		{"the first look", at("TLS 1.3", "192.0.2.1", "2001:db8::1"), true},
		{"other addresses", at("TLS 1.3", "192.0.2.7", "192.0.2.8", "2001:db8::7"), false},
		{"another version of TLS", at("TLS 1.2", "192.0.2.7"), true},
		{"no STARTTLS", probeOf("mx.example.net", sender.Broken, sender.NoSTARTTLS), true},
		{"all is well again", at("TLS 1.2", "192.0.2.7"), true},
	} {
		domains, _ := m.saw("mx.example.net", tt.probe, testNow)
		if (len(domains) > 0) != tt.wakes {
			t.Errorf("%s wakes %v", tt.name, domains)
		}
	}
}

func TestAnMXHostThatNobodyNamesAnyMoreIsForgotten(t *testing.T) {
	m := newMXHosts(publication.DefaultTimings())
	m.want(t.Context(), "a.example", []string{"mx1.example.net", "mx2.example.net"}, nil, false, testNow)
	m.want(t.Context(), "b.example", []string{"mx2.example.net"}, nil, false, testNow)
	m.want(t.Context(), "a.example", nil, nil, false, testNow)
	if _, wanted := m.dueIn("mx1.example.net", testNow); wanted {
		t.Error("mx1 is still asked")
	}
	if _, wanted := m.dueIn("mx2.example.net", testNow); !wanted {
		t.Error("mx2, which b.example names, is not asked any more")
	}
	if m.want(t.Context(), "b.example", nil, nil, false, testNow); len(m.byName)+len(m.namedBy) != 0 {
		t.Errorf("%v %v are left", m.byName, m.namedBy)
	}
}

func TestAfterARestartOnlyHostsThatDidNotWorkAreAskedAtOnce(t *testing.T) {
	m := newMXHosts(publication.DefaultTimings())
	m.want(t.Context(), "a.example", []string{"mx1.example.net", "mx2.example.net"}, map[string]bool{"mx1.example.net": true}, false, testNow)
	if wait, _ := m.dueIn("mx1.example.net", testNow); wait == 0 {
		t.Error("mx1 is asked at once")
	}
	if wait, _ := m.dueIn("mx2.example.net", testNow); wait != 0 {
		t.Errorf("mx2 is asked after %s", wait)
	}
}

func TestAFailingHostIsAskedAgainLaterAndLater(t *testing.T) {
	m := newMXHosts(publication.DefaultTimings())
	m.want(t.Context(), "a.example", []string{"mx1.example.net"}, nil, false, testNow)
	now := testNow
	var waits []time.Duration
	for range 12 {
		_, next := m.saw("mx1.example.net", probeOf("mx1.example.net", sender.Broken, sender.NoSTARTTLS), now)
		waits, now = append(waits, next), now.Add(next)
	}
	want := []time.Duration{5 * time.Minute, 10 * time.Minute, 20 * time.Minute}
	if diff := cmp.Diff(want, waits[:3]); diff != "" {
		t.Error(diff)
	}
	if last := waits[11]; last != 24*time.Hour {
		t.Errorf("the twelfth failure is followed by a wait of %s", last)
	}
}

func TestTheNetworkIsBlamedOnlyWhileNoHostAnswers(t *testing.T) {
	m := newMXHosts(publication.DefaultTimings())
	hosts := []string{"mx1.example.net", "mx2.example.net"}
	m.want(t.Context(), "a.example", hosts, nil, false, testNow)
	m.saw(hosts[0], probeOf(hosts[0], sender.NoAnswer, sender.Timeout), testNow)
	if got := m.seen(hosts)[hosts[0]].starttls; got.Reason != "EgressBlocked" || got.State != "Unknown" {
		t.Errorf("the only host that was asked times out: %+v", got)
	}
	m.saw(hosts[1], probeOf(hosts[1], sender.Pass, ""), testNow)
	m.saw(hosts[0], probeOf(hosts[0], sender.NoAnswer, sender.Timeout), testNow)
	if got := m.seen(hosts)[hosts[0]].starttls; got.Reason != "Timeout" {
		t.Errorf("another host answers: %+v", got)
	}
}

func TestMXHostsFailOnlyIfAllAreProvenTo(t *testing.T) {
	const mx1, mx2 = "mx1.example.net", "mx2.example.net"
	timings := publication.DefaultTimings()
	broken := func(age time.Duration) mxSeen {
		s := mxSeen{Tried: publication.Tried{At: testNow.Add(-age), Tries: 1}, fails: true}
		s.starttls.Message = "it is broken"
		return s
	}
	sound := mxSeen{Tried: publication.Tried{At: testNow.Add(-20 * time.Hour)}}
	waiting := mxSeen{asking: testNow.Add(-time.Second)}
	for name, tt := range map[string]struct {
		seen    map[string]mxSeen
		failing string
		asking  bool
	}{
		"nothing is known":                              {nil, "", false},
		"both are broken":                               {map[string]mxSeen{mx1: broken(0), mx2: broken(time.Minute)}, "it is broken; it is broken", false},
		"one is broken, the other worked yesterday":     {map[string]mxSeen{mx1: broken(0), mx2: sound}, "", false},
		"one is broken, the other is being asked":       {map[string]mxSeen{mx1: broken(0), mx2: waiting}, "", true},
		"one worked, the other is being asked":          {map[string]mxSeen{mx1: sound, mx2: waiting}, "", false},
		"one is broken, the other was never asked":      {map[string]mxSeen{mx1: broken(0)}, "", false},
		"one of them was broken long ago":               {map[string]mxSeen{mx1: broken(0), mx2: broken(time.Hour)}, "", false},
		"one was broken before the clock was set back":  {map[string]mxSeen{mx1: broken(0), mx2: broken(-time.Hour)}, "", false},
		"both were broken a while ago, and asked again": {map[string]mxSeen{mx1: broken(7 * time.Minute), mx2: broken(7 * time.Minute)}, "it is broken; it is broken", false},
	} {
		t.Run(name, func(t *testing.T) {
			failing, asking := judgeMX([]string{mx1, mx2}, tt.seen, testNow, timings)
			if failing != tt.failing || asking.IsZero() == tt.asking {
				t.Errorf("failing %q, asking since %v", failing, asking)
			}
		})
	}
	if failing, _ := judgeMX(nil, nil, testNow, timings); failing != "" {
		t.Errorf("no host fails by %q", failing)
	}
}

func TestALongTextIsCutAtALetter(t *testing.T) {
	for text, want := range map[string]string{"short": "short", "1234567890": "1234567890", "12345678901": "1234567…", "123456äöü": "123456…"} {
		if got := shorten(text, 10); got != want {
			t.Errorf("%q became %q, want %q", text, got, want)
		}
	}
}
