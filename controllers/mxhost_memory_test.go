package controllers

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mta-sts-operator/mta-sts-operator/controllers/internal/fair"
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

// look is one whole round with a host, which takes no time.
func (w *mxWorld) look(host string, probe sender.MXProbe) (domains []string, next time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	h := w.byName[host]
	h.round = &mxRound{began: w.now}
	domains = w.saw(h, probe, w.now)
	return domains, h.nextAt.Sub(w.now)
}

func TestADomainOfManyMXHostsDoesNotKeepTheOthersWaiting(t *testing.T) {
	w := newMXWorld(t)
	w.does = silentHosts("never")
	many := numbered("mx%03d.example.net", 500)
	w.want("greedy.example", "mail", many, nil, fair.Edit, w.now)
	w.want("modest.example", "mail", []string{"mx.example.org"}, nil, fair.Edit, w.now)
	w.run(w.now.Add(time.Minute))
	if len(w.log) != mostMXHosts+1 {
		t.Errorf("%d hosts were asked", len(w.log))
	}
	if v := w.verdict("greedy.example", many...); v.Failing != "" || !v.Asking.IsZero() || len(v.Unasked) != 0 {
		t.Errorf("hosts that were not asked hold a change: %+v", v)
	}
}

func TestAnMXHostIsAskedOnceForAllDomains(t *testing.T) {
	w := newMXWorld(t)
	mx := []string{"mx.example.net"}
	w.want("a.example", "mail", mx, nil, fair.Rest, w.now)
	w.want("b.example", "other", mx, nil, fair.Rest, w.now)
	w.run(w.now.Add(time.Hour))
	if diff := cmp.Diff([]string{"a.example", "b.example"}, w.woken); diff != "" {
		t.Error(diff)
	}
	w.want("c.example", "mail", mx, nil, fair.Edit, w.now)
	w.run(w.now.Add(18 * time.Hour))
	if len(w.log) != 1 {
		t.Errorf("asked %d times although the answer is hours old", len(w.log))
	}
	w.run(w.now.Add(10 * time.Hour))
	if len(w.log) != 2 || len(w.woken) != 2 {
		t.Errorf("asked %d times within 29 hours; %v are woken by what they knew", len(w.log), w.woken[2:])
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
	w := newMXWorld(t)
	w.want("a.example", "mail", []string{"mx.example.net"}, nil, fair.Rest, w.now)
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
		domains, _ := w.look("mx.example.net", tt.probe)
		if (len(domains) > 0) != tt.wakes {
			t.Errorf("%s wakes %v", tt.name, domains)
		}
	}
}

func TestAnMXHostThatNobodyNamesAnyMoreIsForgotten(t *testing.T) {
	w := newMXWorld(t)
	w.want("a.example", "mail", []string{"mx1.example.net", "mx2.example.net"}, nil, fair.Rest, w.now)
	w.want("b.example", "mail", []string{"mx2.example.net"}, nil, fair.Rest, w.now)
	w.want("a.example", "mail", nil, nil, fair.Rest, w.now)
	w.run(w.now.Add(time.Minute))
	if !w.askedAt("mx1.example.net").IsZero() {
		t.Error("mx1 is still asked")
	}
	if w.askedAt("mx2.example.net").IsZero() {
		t.Error("mx2, which b.example names, is not asked any more")
	}
	if w.want("b.example", "mail", nil, nil, fair.Rest, w.now); len(w.byName)+len(w.byDomain)+len(w.known) != 0 {
		t.Errorf("%v %v %v are left", w.byName, w.byDomain, w.known)
	}
}

func TestAfterARestartOnlyHostsThatDidNotWorkAreAskedAtOnce(t *testing.T) {
	w := newMXWorld(t)
	w.want("a.example", "mail", []string{"mx1.example.net", "mx2.example.net"}, map[string]bool{"mx1.example.net": true}, fair.Rest, w.now)
	w.run(w.now.Add(time.Minute))
	if !w.askedAt("mx1.example.net").IsZero() {
		t.Error("mx1 is asked at once")
	}
	if w.askedAt("mx2.example.net").IsZero() {
		t.Error("mx2 is not asked within a minute")
	}
	if w.run(w.now.Add(24 * time.Hour)); w.askedAt("mx1.example.net").IsZero() {
		t.Error("mx1 is not asked within a day")
	}
}

func TestAFailingHostIsAskedAgainLaterAndLater(t *testing.T) {
	w := newMXWorld(t)
	w.want("a.example", "mail", []string{"mx1.example.net"}, nil, fair.Rest, w.now)
	var waits []time.Duration
	for range 12 {
		_, next := w.look("mx1.example.net", probeOf("mx1.example.net", sender.Broken, sender.NoSTARTTLS))
		waits, w.now = append(waits, next), w.now.Add(next)
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
	w := newMXWorld(t)
	hosts := []string{"mx1.example.net", "mx2.example.net"}
	w.want("a.example", "mail", hosts, nil, fair.Rest, w.now)
	w.look(hosts[0], probeOf(hosts[0], sender.NoAnswer, sender.Timeout))
	if got := w.seen("a.example", hosts)[hosts[0]].starttls; got.Reason != "EgressBlocked" || got.State != "Unknown" {
		t.Errorf("the only host that was asked times out: %+v", got)
	}
	w.look(hosts[1], probeOf(hosts[1], sender.Pass, ""))
	w.look(hosts[0], probeOf(hosts[0], sender.NoAnswer, sender.Timeout))
	if got := w.seen("a.example", hosts)[hosts[0]].starttls; got.Reason != "Timeout" {
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
	since := func(age time.Duration) time.Time { return testNow.Add(-age) }
	asked := mxSeen{waiting: since(time.Minute), asking: since(time.Second)}
	waiting := mxSeen{waiting: since(time.Minute)}
	late := broken(time.Hour)
	late.waiting = since(50 * time.Minute)
	halfway := asked
	halfway.unproven = true
	both := "it is broken; it is broken"
	unasked := publication.MXVerdict{Unasked: []string{mx2}, UnaskedSince: since(time.Minute)}
	for name, tt := range map[string]struct {
		mx1, mx2 mxSeen
		want     publication.MXVerdict
	}{
		"nothing is known":                               {mxSeen{}, mxSeen{}, publication.MXVerdict{}},
		"both are broken":                                {broken(0), broken(time.Minute), publication.MXVerdict{Failing: both}},
		"one is broken, the other worked yesterday":      {broken(0), sound, publication.MXVerdict{}},
		"one is broken, the other is being asked":        {broken(0), asked, publication.MXVerdict{Asking: since(time.Second)}},
		"one is broken, the other waits for its turn":    {broken(0), waiting, unasked},
		"one is being asked, the other waits":            {asked, waiting, publication.MXVerdict{Asking: since(time.Second), Unasked: []string{mx2}, UnaskedSince: since(time.Minute)}},
		"one worked, the other is being asked":           {sound, asked, publication.MXVerdict{}},
		"one worked, the other waits for its turn":       {sound, waiting, publication.MXVerdict{}},
		"one waits, the other does not fail everywhere":  {waiting, halfway, publication.MXVerdict{}},
		"one is broken, nobody asks the other":           {broken(0), mxSeen{}, publication.MXVerdict{}},
		"one of them was broken long ago":                {broken(0), broken(time.Hour), publication.MXVerdict{}},
		"one was broken long ago and waits for its turn": {broken(0), late, publication.MXVerdict{Unasked: []string{mx2}, UnaskedSince: since(50 * time.Minute)}},
		"one was broken before the clock was set back":   {broken(0), broken(-time.Hour), publication.MXVerdict{}},
		"both were broken a while ago, and asked again":  {broken(7 * time.Minute), broken(7 * time.Minute), publication.MXVerdict{Failing: both}},
	} {
		t.Run(name, func(t *testing.T) {
			got := judgeMX([]string{mx1, mx2}, map[string]mxSeen{mx1: tt.mx1, mx2: tt.mx2}, testNow, timings)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
	if v := judgeMX(nil, nil, testNow, timings); v.Failing != "" {
		t.Errorf("no host fails by %q", v.Failing)
	}
}

func TestALongTextIsCutAtALetter(t *testing.T) {
	for text, want := range map[string]string{"short": "short", "1234567890": "1234567890", "12345678901": "1234567…", "123456äöü": "123456…"} {
		if got := shorten(text, 10); got != want {
			t.Errorf("%q became %q, want %q", text, got, want)
		}
	}
}
