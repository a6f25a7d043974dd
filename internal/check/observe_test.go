package check_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mta-sts-operator/mta-sts-operator/internal/check"
	"github.com/mta-sts-operator/mta-sts-operator/internal/sender"
)

// fakeWorld answers with the names it was asked for.
type fakeWorld struct {
	hosts []string

	mu    sync.Mutex
	asked []string
}

func (w *fakeWorld) note(what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked = append(w.asked, what)
}

func (w *fakeWorld) LookupTXT(_ context.Context, name string) sender.TXT {
	w.note("TXT " + name)
	return sender.TXT{Status: sender.Found, Records: []string{name}}
}

func (w *fakeWorld) LookupMX(_ context.Context, domain string) sender.MX {
	w.note("MX " + domain)
	mx := sender.MX{Status: sender.Found}
	for _, host := range w.hosts {
		mx.Hosts = append(mx.Hosts, sender.MXHost{Name: host})
	}
	return mx
}

func (w *fakeWorld) LookupTLSA(_ context.Context, host string) sender.TLSA {
	w.note("TLSA " + host)
	return sender.TLSA{Message: host}
}

func (w *fakeWorld) LookPolicy(_ context.Context, domain string, _ *sender.Instance) sender.Look {
	w.note("policy " + domain)
	return sender.Look{Message: domain}
}

func (w *fakeWorld) ProbeMX(_ context.Context, host string) sender.MXProbe {
	w.note("SMTP " + host)
	return sender.MXProbe{Host: host}
}

func TestObserveLooksAtEverythingOnce(t *testing.T) {
	world := &fakeWorld{hosts: []string{"b.example", "a.example", "b.example", "c.example", "d.example", "e.example", "f.example"}}
	var told []string
	seen := check.Observe(t.Context(), world, "example.com", func() time.Time { return now }, check.Options{
		SMTP: true, Progress: func(what string) { told = append(told, what) },
	})
	want := []string{"MX example.com", "TXT _mta-sts.example.com", "TXT _smtp._tls.example.com", "policy example.com"}
	for _, host := range []string{"a", "b", "c", "d", "e", "f"} {
		want = append(want, "SMTP "+host+".example", "TLSA "+host+".example")
	}
	slices.Sort(want)
	slices.Sort(world.asked)
	if diff := cmp.Diff(want, world.asked); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
	if len(told) != 4+6 {
		t.Errorf("told %q", told)
	}
	if seen.Record.Records[0] != "_mta-sts.example.com" || seen.TLSRPT.Records[0] != "_smtp._tls.example.com" ||
		seen.Policy.Message != "example.com" || seen.Domain != "example.com" || !seen.At.Equal(now) {
		t.Errorf("seen %+v", seen)
	}
	for i, host := range world.hosts {
		if seen.Probes[i].Host != host || seen.TLSA[i].Message != host {
			t.Errorf("host %d is %s, probed %s and %s", i, host, seen.Probes[i].Host, seen.TLSA[i].Message)
		}
	}
}

func TestObserveLeavesMailServersAloneUnlessAsked(t *testing.T) {
	world := &fakeWorld{hosts: []string{"a.example"}}
	seen := check.Observe(t.Context(), world, "example.com", time.Now, check.Options{})
	if len(world.asked) != 4 || seen.Probes != nil || seen.TLSA != nil {
		t.Errorf("asked %q", world.asked)
	}
}
