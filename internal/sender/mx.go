package sender

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/miekg/dns"
)

// MX is what DNS says about where a domain's mail goes.
type MX struct {
	// Status is Found or Unknown: a domain without MX and without addresses is
	// more likely not set up yet, or looked at from the wrong place, than meant.
	Status LookupStatus
	// Hosts are sorted by preference, then name.
	Hosts []MXHost
	// Implicit means that there is no MX record but an address, and Hosts is the
	// domain itself (RFC 5321 §5.1).
	Implicit bool
	// Null means that the domain declares to take no mail (RFC 7505); Hosts is empty.
	Null    bool
	TTL     time.Duration // of the answer; what is left of it at the resolver
	Reason  Reason        // empty if Found
	Message string        // empty if Found
}

// MXHost is one MX record.
type MXHost struct {
	Name       string // lower case, no trailing dot
	Preference uint16
}

// LookupMX asks the resolvers for the MX hosts of a domain.
func (s *Sender) LookupMX(ctx context.Context, domain string) MX {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	domain = dns.CanonicalName(domain)
	found := s.follow(ctx, domain, false, dns.TypeMX)
	switch found.status {
	case Found:
		return mxOf(found)
	case Absent:
		return s.implicitMX(ctx, domain)
	default:
		return MX{Status: Unknown, Reason: found.reason, Message: found.explain(domain, "")}
	}
}

func mxOf(found chain) MX {
	mx := MX{Status: Found, TTL: found.ttl}
	for _, record := range found.records {
		record := record.(*dns.MX)
		// A "." beside other hosts is no null MX (RFC 7505 §3) and no host either.
		if record.Mx != "." {
			name := plain(dns.CanonicalName(record.Mx))
			mx.Hosts = append(mx.Hosts, MXHost{Name: name, Preference: record.Preference})
		}
	}
	mx.Null = len(mx.Hosts) == 0
	slices.SortFunc(mx.Hosts, func(a, b MXHost) int {
		return cmp.Or(cmp.Compare(a.Preference, b.Preference), cmp.Compare(a.Name, b.Name))
	})
	mx.Hosts = slices.Compact(mx.Hosts)
	return mx
}

func (s *Sender) implicitMX(ctx context.Context, domain string) MX {
	host := s.lookupHost(ctx, domain, false)
	switch host.Status {
	case Found:
		return MX{Status: Found, Hosts: []MXHost{{Name: plain(domain)}}, Implicit: true, TTL: host.TTL}
	case Absent:
		return MX{
			Status: Unknown, Reason: DNSNotFound,
			Message: display(domain) + " has neither an MX record nor an address",
		}
	default:
		return MX{Status: Unknown, Reason: host.Reason, Message: host.Message}
	}
}

// TLSA is what DNS says about DANE of an MX host (RFC 7672).
type TLSA struct {
	Status LookupStatus
	// Records are in presentation form, sorted. Whether DNSSEC vouches for them is
	// not looked at; senders ignore them if it does not.
	Records []string
	Reason  Reason // empty if Found
	Message string // empty if Found
}

// LookupTLSA asks the resolvers for the TLSA records of an MX host's port 25.
func (s *Sender) LookupTLSA(ctx context.Context, host string) TLSA {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	name := "_25._tcp." + dns.CanonicalName(host)
	found := s.follow(ctx, name, false, dns.TypeTLSA)
	tlsa := TLSA{Status: found.status, Reason: found.reason, Message: found.explain(name, "no TLSA record")}
	if found.status == Found {
		tlsa.Records = values(found.records)
	}
	return tlsa
}
