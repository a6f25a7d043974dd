package sender

import (
	"cmp"
	"context"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// Zones are described by their owners, so the work they can cause is bounded.
const (
	maxReferrals   = 8
	maxNameServers = 16 // names; the root and the largest zones have 13
	maxAddresses   = 32
)

// askAuthority asks every authoritative server of the zone that name lies in,
// without the caches in between: not even a "does not exist" that the question
// provokes is remembered anywhere. ok is false if no server could be found or
// none gave a usable answer.
func (s *Sender) askAuthority(ctx context.Context, name string, types ...uint16) (found answer, ok bool) {
	// The search starts above the name, because asking a resolver about the name
	// itself could make it remember that the name does not exist. Servers refer
	// to a zone below, if there is one.
	zone, names := s.findZone(ctx, parent(name))
	for range maxReferrals {
		servers := s.nameServers(ctx, zone, names)
		if len(servers) == 0 {
			return answer{}, false
		}
		replies := s.askAll(ctx, servers, name, types)
		zone, names = deepestReferral(replies)
		if zone == "" {
			return agree(servers, replies, name, types)
		}
	}
	return answer{}, false
}

// findZone returns the zone that name lies in and the names of its servers.
func (s *Sender) findZone(ctx context.Context, name string) (zone string, names []string) {
	for {
		r := s.askResolvers(ctx, name, dns.TypeNS)
		switch {
		case r.failure != "":
			return "", nil
		case len(r.records) > 0:
			for _, record := range r.records {
				names = append(names, dns.CanonicalName(record.(*dns.NS).Ns))
			}
			return name, names
		case name == ".":
			return "", nil
		case r.soa != "" && r.soa != name && dns.IsSubDomain(r.soa, name):
			name = r.soa
		default:
			name = parent(name)
		}
	}
}

func parent(name string) string {
	next, end := dns.NextLabel(name, 0)
	if end {
		return "."
	}
	return name[next:]
}

// nameServers resolves the names of a zone's servers. What the guard refuses,
// no sender on the Internet could ask either.
func (s *Sender) nameServers(ctx context.Context, zone string, names []string) []server {
	slices.Sort(names)
	names = slices.Compact(names)
	names = names[:min(len(names), maxNameServers)]
	addressTypes := []uint16{dns.TypeA, dns.TypeAAAA}
	replies := make([]reply, len(names)*len(addressTypes))
	var wg sync.WaitGroup
	for i := range replies {
		wg.Go(func() {
			// One by one: a failure of one type must not hide the other's addresses.
			replies[i] = s.askResolvers(ctx, names[i/len(addressTypes)], addressTypes[i%len(addressTypes)])
		})
	}
	wg.Wait()

	var servers []server
	seen := map[netip.Addr]bool{}
	for i, r := range replies {
		for _, record := range r.records {
			address := addressOf(record)
			if seen[address] || s.refuses(address) != nil {
				continue
			}
			seen[address] = true
			servers = append(servers, server{
				label:   display(names[i/len(addressTypes)]) + " (" + address.String() + ")",
				address: net.JoinHostPort(address.String(), strconv.Itoa(int(s.dnsPort))),
				zone:    zone,
			})
		}
	}
	slices.SortFunc(servers, func(a, b server) int { return cmp.Compare(a.label, b.label) })
	return servers[:min(len(servers), maxAddresses)]
}

func (s *Sender) askAll(ctx context.Context, servers []server, name string, types []uint16) []reply {
	replies := make([]reply, len(servers))
	var wg sync.WaitGroup
	for i, srv := range servers {
		wg.Go(func() { replies[i] = s.ask(ctx, srv, name, types...) })
	}
	wg.Wait()
	return replies
}

// deepestReferral returns the lowest zone any server refers to, with all the
// server names given for it.
func deepestReferral(replies []reply) (zone string, names []string) {
	for _, r := range replies {
		if len(r.referral) > len(zone) {
			zone, names = r.referral, nil
		}
		if r.referral != "" && r.referral == zone {
			names = append(names, r.referralNames...)
		}
	}
	return zone, names
}

// view is one of the answers that a zone's servers give.
type view struct {
	reply   reply
	servers []string
}

// agree returns the common answer of all servers that gave a usable one, or ok
// unset if none did. Servers that do not answer do not answer senders either.
func agree(servers []server, replies []reply, name string, types []uint16) (found answer, ok bool) {
	var all reply
	var ttl time.Duration
	views := map[string]*view{}
	for i, r := range replies {
		if r.failure != "" {
			continue
		}
		key := agreementKey(r, types)
		if views[key] == nil {
			views[key] = &view{reply: r}
		}
		views[key].servers = append(views[key].servers, servers[i].label)
		all.records = append(all.records, r.records...)
		all.alias = r.alias
		ttl = max(ttl, r.ttl)
	}
	all.records, all.ttl = distinct(all.records), ttl
	if len(views) > 1 {
		return answer{
			status: Unknown, records: all.records, ttl: ttl,
			source: SourceAuthoritative, reason: DNSDisagree,
			message: "the name servers of " + display(servers[0].zone) + " disagree about " +
				display(name) + ": " + describe(views),
		}, true
	}
	return answerOf(all, SourceAuthoritative), len(views) == 1
}

// agreementKey is equal for replies that agree. Servers that balance load each
// give some of the addresses; a sender may get any of them, so all count.
func agreementKey(r reply, types []uint16) string {
	switch {
	case r.alias != "":
		return "alias " + r.alias
	case len(r.records) == 0:
		return "nothing"
	case slices.Contains(types, dns.TypeA):
		return "addresses"
	default:
		return strings.Join(values(r.records), "\n")
	}
}

func distinct(records []dns.RR) []dns.RR {
	byValue := map[string]dns.RR{}
	for _, record := range records {
		byValue[value(record)] = record
	}
	unique := make([]dns.RR, 0, len(byValue))
	for _, content := range values(records) {
		unique = append(unique, byValue[content])
	}
	return unique
}

func describe(views map[string]*view) string {
	parts := make([]string, 0, len(views))
	for _, v := range views {
		said := "nothing"
		switch {
		case v.reply.alias != "":
			said = "a CNAME to " + display(v.reply.alias)
		case len(v.reply.records) > 0:
			contents := values(v.reply.records)
			for i := range contents {
				contents[i] = quote(contents[i])
			}
			said = strings.Join(contents, ", ")
		}
		parts = append(parts, strings.Join(v.servers, ", ")+" answered "+said)
	}
	slices.Sort(parts)
	return strings.Join(parts, "; ")
}
