package simulation

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
	"github.com/mta-sts-operator/mta-sts-operator/internal/sender"
)

// leaderWorld is the Internet as one operator sees it.
type leaderWorld struct{ leader *leader }

const timeout = "no server answered in time"

func (w leaderWorld) blind(ctx context.Context) bool {
	return w.leader.dead || ctx.Err() != nil || w.leader.sim.unresolvable
}

// LookupTXT asks both name servers, which must agree.
func (w leaderWorld) LookupTXT(ctx context.Context, name string) sender.TXT {
	s := w.leader.sim
	if w.blind(ctx) {
		return sender.TXT{Status: sender.Unknown, Reason: sender.DNSFailed, Message: timeout}
	}
	a, b := s.nameservers[0]["TXT "+name], s.nameservers[1]["TXT "+name]
	if !slices.Equal(a.values, b.values) {
		return sender.TXT{Status: sender.Unknown, Reason: sender.DNSDisagree, Message: "the name servers disagree"}
	}
	if len(a.values) == 0 {
		return sender.TXT{Status: sender.Absent, Reason: sender.DNSNotFound, Message: name + " has no TXT record"}
	}
	out := sender.TXT{Status: sender.Found, TTL: a.ttl, Source: sender.SourceAuthoritative}
	for _, value := range a.values {
		out.Records = append(out.Records, strings.Trim(value, `"`))
	}
	return out
}

// LookupHost asks where the policy host is.
func (w leaderWorld) LookupHost(ctx context.Context, name string) sender.Host {
	s := w.leader.sim
	a, b := s.nameservers[0]["A "+name], s.nameservers[1]["A "+name]
	switch {
	case w.blind(ctx), (len(a.values) > 0) != (len(b.values) > 0):
		return sender.Host{Status: sender.Unknown, Message: timeout}
	case len(a.values) == 0:
		return sender.Host{Status: sender.Absent, Message: name + " has no address"}
	}
	out := sender.Host{Status: sender.Found, TTL: a.ttl, Source: sender.SourceAuthoritative}
	for _, value := range slices.Concat(a.values, b.values) {
		if address, err := netip.ParseAddr(value); err == nil {
			out.Addresses = append(out.Addresses, address)
		}
	}
	return out
}

// LookupMX asks where the domain's mail goes.
func (w leaderWorld) LookupMX(ctx context.Context, domain string) sender.MX {
	s := w.leader.sim
	d := s.domain(domain)
	if w.blind(ctx) || d.mxBroken {
		return sender.MX{Status: sender.Unknown, Reason: sender.DNSFailed, Message: timeout}
	}
	out := sender.MX{Status: sender.Found, TTL: time.Hour}
	for i, host := range d.mx {
		out.Hosts = append(out.Hosts, sender.MXHost{Name: host, Preference: uint16(i)})
	}
	return out
}

// ResolveMX finds every mail server at one address.
func (w leaderWorld) ResolveMX(ctx context.Context, host string) sender.MXAddresses {
	if w.blind(ctx) {
		return sender.MXAddresses{Host: host, Reason: sender.DNSFailed, Message: timeout}
	}
	return sender.MXAddresses{Host: host, Addresses: []netip.Addr{netip.AddrFrom4([4]byte{192, 0, 2, 25})}}
}

// ProbeMXAddress finds every mail server sound.
func (w leaderWorld) ProbeMXAddress(ctx context.Context, _ string, address netip.Addr) sender.MXAddress {
	if w.blind(ctx) {
		return sender.MXAddress{Address: address, Outcome: sender.NoAnswer, Reason: sender.Timeout, Message: timeout}
	}
	return sender.MXAddress{Address: address, Outcome: sender.Pass, Connected: true, TLSVersion: "TLS 1.3"}
}

// LookPolicy asks the policy URL.
func (w leaderWorld) LookPolicy(ctx context.Context, domain string, want *sender.Instance) sender.Look {
	s := w.leader.sim
	if w.blind(ctx) || !hasAddress(s.nameservers[0], domain) || !hasAddress(s.nameservers[1], domain) {
		return sender.Look{Outcome: sender.NoAnswer, Reason: sender.DNSNotFound, Message: mtasts.PolicyHost(domain) + " has no address"}
	}
	return s.look(s.domain(domain), want)
}

// LookPolicyAt asks at the Ingress.
func (w leaderWorld) LookPolicyAt(ctx context.Context, domain string, _ netip.Addr, want *sender.Instance) sender.Look {
	if w.leader.dead || ctx.Err() != nil {
		return sender.Look{Outcome: sender.NoAnswer, Message: timeout}
	}
	return w.leader.sim.look(w.leader.sim.domain(domain), want)
}

// LookWay asks by a way that only one Ingress routes; with one Ingress controller all of them are one.
func (w leaderWorld) LookWay(ctx context.Context, domain string, way sender.Way, want *sender.Instance) sender.Look {
	if way.Target == "" {
		return w.LookPolicy(ctx, domain, want)
	}
	return w.LookPolicyAt(ctx, domain, netip.Addr{}, want)
}

// look is what the policy URL answers, once it is resolved.
func (s *sim) look(d *domain, want *sender.Instance) sender.Look {
	got, outcome := s.get(d)
	if outcome != sender.Pass {
		return sender.Look{Outcome: outcome, Message: mtasts.PolicyHost(d.name) + " does not serve a policy"}
	}
	policy, err := mtasts.ParsePolicy([]byte(got.body))
	if err != nil {
		return sender.Look{Outcome: sender.Broken, Message: err.Error()}
	}
	out := sender.Look{
		Outcome: sender.Pass, NotAfter: birth.Add(400 * day),
		Seen: &sender.SeenPolicy{ID: got.id, Body: got.body, Policy: policy},
	}
	if want != nil && (got.id != want.ID || got.body != want.Body) {
		out.Outcome, out.Message = sender.WrongBody, mtasts.PolicyHost(d.name)+" serves another policy"
	}
	return out
}

// get is one GET of the policy URL: it ends at any pod that may get traffic.
func (s *sim) get(d *domain) (served, sender.Outcome) {
	ns := s.route(d.name)
	if d.fault != "" {
		return served{}, d.fault
	}
	if ns == "" || !s.serviceExists(ns) || !s.certified(ns, d.name) {
		return served{}, sender.Broken
	}
	pods := s.traffic(ns)
	if len(pods) == 0 {
		return served{}, sender.Broken
	}
	got, ok := pods[s.rnd.IntN(len(pods))].serves[d.name]
	if !ok {
		return served{}, sender.Broken
	}
	return got, sender.Pass
}

// traffic are the pods of a namespace that may get requests.
func (s *sim) traffic(namespace string) []*pod {
	var out []*pod
	for _, p := range s.pods {
		if p.namespace == namespace && s.mayGetTraffic(p) {
			out = append(out, p)
		}
	}
	return out
}
