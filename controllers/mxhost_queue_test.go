package controllers

import (
	"fmt"
	"testing"
	"time"

	"github.com/mta-sts-operator/mta-sts-operator/controllers/internal/fair"
	"github.com/mta-sts-operator/mta-sts-operator/internal/sender"
)

// silentHosts are hosts of which those that begin like this take a minute and a half not to answer.
func silentHosts(prefix string) func(host, address string) (sender.Outcome, sender.Reason, time.Duration) {
	return func(host, _ string) (sender.Outcome, sender.Reason, time.Duration) {
		if len(host) >= len(prefix) && host[:len(prefix)] == prefix {
			return sender.NoAnswer, sender.Timeout, 90 * time.Second
		}
		return sender.Broken, sender.NoSTARTTLS, 50 * time.Millisecond
	}
}

func numbered(format string, n int) (out []string) {
	for i := range n {
		out = append(out, fmt.Sprintf(format, i))
	}
	return out
}

func TestSilentMXHostsOfOneNamespaceKeepNobodyElseWaiting(t *testing.T) {
	for name, tt := range map[string]struct {
		namespaces int
		level      fair.Level
	}{
		"one namespace": {1, fair.Edit}, "two": {2, fair.Edit}, "fifteen": {15, fair.Edit},
		"a hundred that never announced anything": {100, fair.First},
	} {
		t.Run(name, func(t *testing.T) {
			w := newMXWorld(t)
			w.does = silentHosts("tar")
			for n := range tt.namespaces {
				for d := range 5 {
					hosts := numbered(fmt.Sprintf("tar%%d.%d.%d.example", n, d), 30)
					w.want(fmt.Sprintf("d%d.%d.example", n, d), fmt.Sprintf("evil-%d", n), hosts, nil, tt.level, w.now)
				}
			}
			w.run(w.now.Add(10 * time.Minute))
			began := w.now
			w.want("victim.example", "mail", []string{"mx.victim.example"}, nil, fair.Edit, w.now)
			w.run(w.now.Add(20 * time.Second))
			if at := w.askedAt("mx.victim.example"); at.IsZero() || at.Sub(began) > 5*time.Second {
				t.Errorf("the victim's host is asked after %s", at.Sub(began))
			}
			if v := w.verdict("victim.example", "mx.victim.example"); v.Failing == "" {
				t.Errorf("nobody knows that the victim's host has no STARTTLS: %+v", v)
			}
		})
	}
}

func TestOneNamespaceHasABoundedPartOfTheQuestionsInFlight(t *testing.T) {
	w := newMXWorld(t)
	w.does = silentHosts("tar")
	w.want("a.example", "evil", numbered("tar%d.example", 20), nil, fair.Edit, w.now)
	w.run(w.now.Add(time.Hour))
	if most := w.most(func(mxAsked) string { return "" })[""]; most != mxLimits.Levels[fair.Leaving].Owner {
		t.Errorf("%d questions of one namespace were in flight", most)
	}
}

func TestNamesAtOneAddressAreAskedOneAfterTheOther(t *testing.T) {
	w := newMXWorld(t)
	many := numbered("mx%d.example.net", 20)
	for _, host := range many {
		w.at[host] = []string{"192.0.2.25"}
	}
	w.at["mx.example.org"] = []string{"192.0.2.25"}
	w.want("a.example", "evil", many, nil, fair.Edit, w.now)
	w.run(w.now.Add(5 * time.Second))
	began := w.now
	w.want("b.example", "mail", []string{"mx.example.org"}, nil, fair.Edit, w.now)
	w.run(w.now.Add(time.Minute))
	for i := range w.log[1:] {
		if pause := w.log[i+1].began.Sub(w.log[i].began); pause < w.t.STARTTLSPause {
			t.Errorf("%s is asked %s after %s at the same address", w.log[i+1].host, pause, w.log[i].host)
		}
	}
	if len(w.log) != len(many)+1 {
		t.Errorf("%d were asked", len(w.log))
	}
	if waited := w.askedAt("mx.example.org").Sub(began); waited > 2*w.t.STARTTLSPause {
		t.Errorf("who shares the address waits for %s, which is more than one turn", waited)
	}
}

func TestAHostIsAskedAtOneAddressAfterTheOther(t *testing.T) {
	w := newMXWorld(t)
	w.at["mx.example.net"] = []string{"192.0.2.1", "192.0.2.2", "192.0.2.3"}
	w.does = silentHosts("mx")
	w.want("a.example", "mail", []string{"mx.example.net"}, nil, fair.Edit, w.now)
	w.run(w.now.Add(10 * time.Minute))
	if most := w.most(func(a mxAsked) string { return a.host })["mx.example.net"]; most != 1 || len(w.log) < 3 {
		t.Errorf("%d connections at a time, %d in all", most, len(w.log))
	}
}

func TestOneAddressThatIsNotProvenToFailEndsTheHold(t *testing.T) {
	w := newMXWorld(t)
	w.at["mx.example.net"] = []string{"192.0.2.1", "192.0.2.2"}
	w.does = func(_, address string) (sender.Outcome, sender.Reason, time.Duration) {
		if address == "192.0.2.1" {
			return sender.Pass, "", time.Second
		}
		return sender.NoAnswer, sender.Timeout, 90 * time.Second
	}
	w.want("a.example", "mail", []string{"mx.example.net"}, nil, fair.Edit, w.now)
	if v := w.verdict("a.example", "mx.example.net"); len(v.Unasked) != 1 || !v.UnaskedSince.Equal(w.now) {
		t.Errorf("before it is asked: %+v", v)
	}
	w.run(w.now.Add(500 * time.Millisecond))
	if v := w.verdict("a.example", "mx.example.net"); v.Asking.IsZero() || len(v.Unasked) != 0 {
		t.Errorf("while it is asked: %+v", v)
	}
	w.run(w.now.Add(3 * time.Second))
	if v := w.verdict("a.example", "mx.example.net"); len(v.Unasked) != 0 || !v.Asking.IsZero() || v.Failing != "" {
		t.Errorf("one of its addresses works: %+v", v)
	}
	if len(w.woken) != 1 || w.woken[0] != "a.example" {
		t.Errorf("%v were woken", w.woken)
	}
}

func TestWhatNobodyWaitsForIsAskedSlowly(t *testing.T) {
	w := newMXWorld(t)
	for d := range 50 {
		w.want(fmt.Sprintf("d%d.example", d), fmt.Sprintf("n%d", d%5), numbered(fmt.Sprintf("mx%%d.d%d.example", d), 2), nil, fair.Rest, w.now)
	}
	began := w.now
	w.run(w.now.Add(10 * time.Second))
	if most := 5*mxHostsPerSecond + 10*mxHostsPerSecond; len(w.log) > most {
		t.Errorf("%d hosts are asked within ten seconds, want %d at most", len(w.log), most)
	}
	w.run(began.Add(10 * time.Minute))
	if len(w.log) != 100 {
		t.Errorf("%d of 100 hosts are asked within ten minutes", len(w.log))
	}
}

func TestAnAnswerFromBeforeAChangeWasWantedDoesNotHoldIt(t *testing.T) {
	w := newMXWorld(t)
	broken := true
	w.does = func(string, string) (sender.Outcome, sender.Reason, time.Duration) {
		if broken {
			return sender.Broken, sender.NoSTARTTLS, 30 * time.Second
		}
		return sender.Pass, "", time.Second
	}
	w.want("a.example", "mail", []string{"mx.example.net"}, nil, fair.Rest, w.now)
	w.run(w.now.Add(10 * time.Second)) // it is being asked
	w.want("a.example", "mail", []string{"mx.example.net"}, nil, fair.Edit, w.now)
	w.run(w.now.Add(25 * time.Second))
	if v := w.verdict("a.example", "mx.example.net"); v.Failing != "" || v.Asking.IsZero() {
		t.Errorf("held by what was seen before it was wanted: %+v", v)
	}
	broken = false // mended meanwhile
	w.run(w.now.Add(time.Minute))
	if v := w.verdict("a.example", "mx.example.net"); v.Failing != "" || !v.Asking.IsZero() {
		t.Errorf("held although it was mended: %+v", v)
	}
	if len(w.log) != 2 {
		t.Errorf("asked %d times", len(w.log))
	}
}

func TestAHostThatIsForgottenWhileItIsAskedIsAskedAgainIfItIsWantedAgain(t *testing.T) {
	w := newMXWorld(t)
	w.does = silentHosts("mx")
	w.want("a.example", "mail", []string{"mx.example.net"}, nil, fair.Edit, w.now)
	w.run(w.now.Add(time.Second))
	w.want("a.example", "mail", nil, nil, fair.Rest, w.now)
	w.want("b.example", "other", []string{"mx.example.net"}, nil, fair.Edit, w.now)
	w.run(w.now.Add(91 * time.Second))
	if v := w.verdict("b.example", "mx.example.net"); v.Asking.IsZero() && len(v.Unasked) == 0 {
		t.Errorf("an answer from before it was wanted counts: %+v", v)
	}
	w.run(w.now.Add(5 * time.Minute))
	if len(w.log) < 2 {
		t.Errorf("asked %d times", len(w.log))
	}
}

func TestWhoLeavesTheLineDoesNotTakeTheHostWithHim(t *testing.T) {
	w := newMXWorld(t)
	w.want("b.example", "other", []string{"mx.example.net"}, nil, fair.Rest, w.now)
	w.want("a.example", "mail", []string{"mx.example.net"}, nil, fair.Edit, w.now)
	w.want("a.example", "mail", nil, nil, fair.Rest, w.now)
	w.run(w.now.Add(time.Minute))
	if w.askedAt("mx.example.net").IsZero() {
		t.Error("the host is never asked")
	}
}

func TestOneNamespaceHasRoomForSoManyMXHosts(t *testing.T) {
	w := newMXWorld(t)
	w.does = silentHosts("mx")
	for d := range mostHostsOfNamespace/mostMXHosts + 1 {
		w.want(fmt.Sprintf("d%d.example", d), "evil", numbered(fmt.Sprintf("mx%%d.d%d.example", d), mostMXHosts), nil, fair.Edit, w.now)
	}
	if len(w.byName) != mostHostsOfNamespace {
		t.Errorf("%d hosts are remembered for one namespace", len(w.byName))
	}
	last := fmt.Sprintf("d%d.example", mostHostsOfNamespace/mostMXHosts)
	if v := w.verdict(last, numbered("mx%d."+last, mostMXHosts)...); len(v.Unasked) != mostMXHosts || !v.UnaskedSince.Equal(w.now) {
		t.Errorf("hosts without room do not hold what enforces: %+v", v)
	}
	w.want("victim.example", "mail", []string{"mx.victim.example", "mx0.d0.example"}, nil, fair.Edit, w.now)
	if v := w.seen("victim.example", []string{"mx.victim.example", "mx0.d0.example"}); len(v) != 2 {
		t.Errorf("another namespace has no room: %+v", v)
	}
	for d := range mostHostsOfNamespace/mostMXHosts + 1 {
		w.want(fmt.Sprintf("d%d.example", d), "evil", nil, nil, fair.Rest, w.now)
	}
	w.want("victim.example", "mail", nil, nil, fair.Rest, w.now)
	w.run(w.now.Add(5 * time.Minute))
	if len(w.byName)+len(w.byDomain)+len(w.known)+len(w.pausing)+w.queue.Running() != 0 || w.queue.Len(fair.Edit) != 0 {
		t.Error("something is remembered of what nobody wants to know any more")
	}
}
