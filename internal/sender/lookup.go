package sender

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"github.com/miekg/dns"

	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
)

// TXT is what DNS says about the TXT records of a name.
type TXT struct {
	Status LookupStatus
	// Records are the contents, character-strings joined, sorted. If servers
	// disagree they are all that any of them gave, although Status is Unknown.
	Records []string
	// Split are those of the Records that came as several character-strings.
	Split []string
	// TTL is the largest in the answers, aliases included; 0 without records.
	// From a resolver it is what was left of it.
	TTL     time.Duration
	Source  string // SourceAuthoritative or SourceResolver
	Reason  Reason // empty if Found
	Message string // empty if Found
}

// IDs returns the ids of those Records that are MTA-STS records, in their order,
// "" for a malformed one. Senders find a policy only if there is exactly one
// (RFC 8461 §3.1).
func (t TXT) IDs() []string {
	var ids []string
	for _, txt := range t.Records {
		if !mtasts.IsRecord(txt) {
			continue
		}
		record, err := mtasts.ParseRecord(txt)
		if err != nil {
			record.ID = ""
		}
		ids = append(ids, record.ID)
	}
	return ids
}

// LookupTXT asks all authoritative servers of the name's zone, which must agree,
// and follows aliases (RFC 8461 §3.1). Where no authoritative server can be
// reached it asks the resolvers; Source tells.
func (s *Sender) LookupTXT(ctx context.Context, name string) TXT {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	name = dns.CanonicalName(name)
	found := s.follow(ctx, name, true, dns.TypeTXT)
	var records []string
	if len(found.records) > 0 {
		records = values(found.records)
	}
	return TXT{
		Status: found.status, Records: records, Split: split(found.records), TTL: found.ttl, Source: found.source,
		Reason: found.reason, Message: found.explain(name, "no TXT record"),
	}
}

func split(records []dns.RR) []string {
	var several []dns.RR
	for _, record := range records {
		if txt, ok := record.(*dns.TXT); ok && len(txt.Txt) > 1 {
			several = append(several, record)
		}
	}
	if several == nil {
		return nil
	}
	return values(several)
}

// Host is what DNS says about the addresses of a name.
type Host struct {
	Status LookupStatus
	// Addresses are those of both families that any authoritative server gave,
	// sorted, IPv4 first.
	Addresses []netip.Addr
	// CNAME is the target of the name's own CNAME record, in lower case without
	// trailing dot, "" without one.
	CNAME   string
	TTL     time.Duration // as in TXT
	Source  string        // as in TXT
	Reason  Reason        // empty if Found
	Message string        // empty if Found
}

// LookupHost looks up A and AAAA records in the manner of [Sender.LookupTXT].
// Servers disagree if one has addresses and another has none, or if their
// aliases differ; different addresses are put together.
func (s *Sender) LookupHost(ctx context.Context, name string) Host {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	return s.lookupHost(ctx, name, true)
}

func (s *Sender) lookupHost(ctx context.Context, name string, authoritative bool) Host {
	name = dns.CanonicalName(name)
	found := s.follow(ctx, name, authoritative, dns.TypeA, dns.TypeAAAA)
	host := Host{
		Status: found.status, TTL: found.ttl, Source: found.source,
		Reason: found.reason, Message: found.explain(name, "no address"),
	}
	if found.firstAlias != "" {
		host.CNAME = plain(found.firstAlias)
	}
	if found.status == Found {
		for _, record := range found.records {
			host.Addresses = append(host.Addresses, addressOf(record))
		}
		slices.SortFunc(host.Addresses, netip.Addr.Compare)
		host.Addresses = slices.Compact(host.Addresses)
	}
	return host
}

// explain returns the message of a lookup of name; lacking says what an absent
// name is without.
func (c chain) explain(name, lacking string) string {
	subject := display(name)
	if c.end != name {
		subject += ", an alias of " + display(c.end) + ","
	}
	switch {
	case c.status == Found:
		return ""
	case c.status == Absent:
		return subject + " has " + lacking
	case c.reason == DNSDisagree:
		return c.message
	default:
		return subject + " could not be looked up: " + c.message
	}
}
