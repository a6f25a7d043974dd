package harness

import (
	"net"
	"strings"

	"github.com/miekg/dns"
)

const (
	// nameServer is the authoritative server of every zone.
	nameServer = "ns1.harness.test."
	// negativeTTL is how long a "does not exist" may be cached (RFC 2308 §5), in
	// seconds.
	negativeTTL = 60
	// maxAliases bounds a chain of CNAME records.
	maxAliases = 8
)

// Answer answers one question and logs it; nil means that no answer comes. Both
// flags, AA and RA, are set: this is every zone's server and everybody's
// resolver.
func (d *DNS) Answer(question *dns.Msg) *dns.Msg {
	d.mu.Lock()
	defer d.mu.Unlock()
	response := new(dns.Msg).SetReply(question)
	if len(question.Question) != 1 || question.Opcode != dns.OpcodeQuery {
		response.Rcode = dns.RcodeNotImplemented
		return response
	}
	q := question.Question[0]
	d.log(q)
	name := dns.CanonicalName(q.Name)
	switch d.fault(name) {
	case ServFail:
		response.Rcode = dns.RcodeServerFailure
		return response
	case Drop:
		return nil
	case NoFault:
	}
	response.Authoritative, response.RecursionAvailable = true, true
	if opt := question.IsEdns0(); opt != nil {
		response.SetEdns0(opt.UDPSize(), false)
	}
	d.resolve(response, name, q.Qtype)
	return response
}

func (d *DNS) log(q dns.Question) {
	d.queries = append(d.queries, Query{
		Time: d.clock.Now(), Name: plainName(q.Name), Type: dns.TypeToString[q.Qtype],
	})
	if len(d.queries) > maxQueries {
		d.queries = d.queries[len(d.queries)-maxQueries:]
	}
}

func (d *DNS) fault(name string) Fault {
	if fault := d.faults[name]; fault != NoFault {
		return fault
	}
	return d.faults[AllNames]
}

// resolve fills in the answer about name, following aliases as a resolver does.
// The response code is that of the last name (RFC 6604 §3).
func (d *DNS) resolve(response *dns.Msg, name string, qtype uint16) {
	for range maxAliases {
		if rrs := d.find(name, qtype); len(rrs) > 0 {
			response.Answer = append(response.Answer, rrs...)
			return
		}
		alias := d.records[recordKey{name, dns.TypeCNAME}]
		if len(alias) == 0 {
			break
		}
		response.Answer = append(response.Answer, alias[0])
		name = alias[0].(*dns.CNAME).Target
	}
	response.Ns = []dns.RR{soa(apex(name))}
	if !d.exists(name) {
		response.Rcode = dns.RcodeNameError
	}
}

// find returns the records of a name, those of its zone's apex included.
func (d *DNS) find(name string, qtype uint16) []dns.RR {
	if rrs := d.records[recordKey{name, qtype}]; len(rrs) > 0 {
		return rrs
	}
	switch {
	case name == apex(name) && qtype == dns.TypeSOA:
		return []dns.RR{soa(name)}
	case name == apex(name) && qtype == dns.TypeNS:
		return []dns.RR{&dns.NS{Hdr: header(name, dns.TypeNS, defaultTTL), Ns: nameServer}}
	case name == nameServer && qtype == dns.TypeA:
		return []dns.RR{&dns.A{Hdr: header(name, dns.TypeA, defaultTTL), A: net.IPv4(127, 0, 0, 1)}}
	}
	return nil
}

// exists tells NODATA from NXDOMAIN: a name exists if it, or one below it, has a
// record (RFC 8020 §2).
func (d *DNS) exists(name string) bool {
	return name == apex(name) || name == nameServer || d.names[name] > 0
}

// count adds to the names at which a record set makes a name exist.
func (d *DNS) count(name string, n int) {
	for name != "" {
		if d.names[name] += n; d.names[name] == 0 {
			delete(d.names, name)
		}
		_, name, _ = strings.Cut(name, ".")
	}
}

// apex returns the apex of the zone a name lies in: its last two labels.
func apex(name string) string {
	labels := dns.SplitDomainName(name)
	if len(labels) <= 2 {
		return name
	}
	return dns.Fqdn(strings.Join(labels[len(labels)-2:], "."))
}

func soa(zone string) *dns.SOA {
	return &dns.SOA{
		Hdr: header(zone, dns.TypeSOA, negativeTTL), Ns: nameServer, Mbox: "hostmaster.harness.test.",
		Serial: 1, Refresh: 3600, Retry: 600, Expire: 86400, Minttl: negativeTTL,
	}
}
