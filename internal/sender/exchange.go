package sender

import (
	"context"
	"errors"
	"math"
	"net"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/miekg/dns"
)

// udpSize avoids fragments, as agreed on DNS flag day 2020.
const udpSize = 1232

// server is a DNS server that can be asked.
type server struct {
	label   string // how messages name it
	address string // host:port
	zone    string // the zone it is authoritative for; "" for a resolver
}

// reply is what one server says about one name. With failure set, the rest is
// empty: the server gave no usable answer.
type reply struct {
	records []dns.RR      // of the wanted types, owned by the name itself
	alias   string        // target of the name's CNAME; records are empty then
	ttl     time.Duration // largest of records and CNAME
	soa     string        // owner of the SOA record of a negative answer
	// A referral: the servers of a zone below the one asked.
	referral      string
	referralNames []string
	failure       string // the end of a sentence that starts with the server
}

// ask asks one server for all types of a name at once. The name is fully
// qualified and in lower case, as are all names below.
func (s *Sender) ask(ctx context.Context, srv server, name string, types ...uint16) reply {
	replies := make([]reply, len(types))
	var wg sync.WaitGroup
	for i, qtype := range types {
		wg.Go(func() { replies[i] = s.askType(ctx, srv, name, qtype) })
	}
	wg.Wait()
	return merge(replies)
}

func merge(replies []reply) reply {
	var merged reply
	for _, r := range replies {
		if r.failure != "" || r.referral != "" {
			return r
		}
		merged.records = append(merged.records, r.records...)
		merged.ttl = max(merged.ttl, r.ttl)
		if merged.alias == "" {
			merged.alias = r.alias
		}
		if merged.soa == "" {
			merged.soa = r.soa
		}
	}
	if len(merged.records) > 0 {
		merged.alias = ""
	}
	return merged
}

func (s *Sender) askType(ctx context.Context, srv server, name string, qtype uint16) reply {
	question := new(dns.Msg).SetQuestion(name, qtype)
	question.RecursionDesired = srv.zone == ""
	question.SetEdns0(udpSize, false)
	message, err := s.exchange(ctx, srv, question)
	if err != nil {
		return reply{failure: exchangeFailure(err)}
	}
	return readReply(message, srv, name, qtype)
}

func readReply(message *dns.Msg, srv server, name string, qtype uint16) reply {
	if !answers(message, name, qtype) {
		return reply{failure: "answered another question"}
	}
	if message.Rcode != dns.RcodeSuccess && message.Rcode != dns.RcodeNameError {
		code, known := dns.RcodeToString[message.Rcode]
		if !known {
			code = "with an unknown error"
		}
		return reply{failure: "answered " + code}
	}
	if message.Authoritative {
		return readRecords(message, name, qtype)
	}
	if srv.zone == "" {
		if !message.RecursionAvailable {
			return reply{failure: "does not resolve names for others"}
		}
		return readRecords(message, name, qtype)
	}
	if zone, names := readReferral(message, srv.zone, name); zone != "" {
		return reply{referral: zone, referralNames: names}
	}
	return reply{failure: "is not authoritative for " + display(srv.zone)}
}

func answers(message *dns.Msg, name string, qtype uint16) bool {
	return message.Response && len(message.Question) == 1 &&
		message.Question[0].Qtype == qtype && strings.EqualFold(message.Question[0].Name, name)
}

// readRecords takes only what the name itself owns: the rest of an alias chain
// belongs to other zones, whose servers are asked in their turn.
func readRecords(message *dns.Msg, name string, qtype uint16) reply {
	var r reply
	for _, record := range message.Answer {
		header := record.Header()
		if !strings.EqualFold(header.Name, name) {
			continue
		}
		switch cname, isAlias := record.(*dns.CNAME); {
		case header.Rrtype == qtype:
			r.records = append(r.records, record)
		case isAlias:
			r.alias = dns.CanonicalName(cname.Target)
		default:
			continue
		}
		r.ttl = max(r.ttl, ttlOf(header.Ttl))
	}
	if len(r.records) > 0 {
		r.alias = ""
	}
	for _, record := range message.Ns {
		if soa, ok := record.(*dns.SOA); ok {
			r.soa = dns.CanonicalName(soa.Hdr.Name)
		}
	}
	return r
}

// readReferral returns the zone below parent that name lies in and the names of
// its servers, or "".
func readReferral(message *dns.Msg, parent, name string) (zone string, names []string) {
	if message.Rcode != dns.RcodeSuccess || len(message.Answer) > 0 {
		return "", nil
	}
	for _, record := range message.Ns {
		ns, ok := record.(*dns.NS)
		if !ok {
			continue
		}
		owner := dns.CanonicalName(ns.Hdr.Name)
		if owner == parent || !dns.IsSubDomain(parent, owner) || !dns.IsSubDomain(owner, name) {
			continue
		}
		if zone == "" {
			zone = owner
		}
		if owner == zone {
			names = append(names, dns.CanonicalName(ns.Ns))
		}
	}
	return zone, names
}

// exchange asks over UDP and, if the answer is truncated or does not come, over
// TCP. Half of the time is left for that.
func (s *Sender) exchange(ctx context.Context, srv server, question *dns.Msg) (*dns.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, s.exchangeTimeout)
	defer cancel()
	dialer := new(net.Dialer)
	if srv.zone != "" {
		dialer = s.guardedDialer()
	}
	udpContext, cancelUDP := context.WithTimeout(ctx, s.exchangeTimeout/2)
	defer cancelUDP()
	udp := dns.Client{Net: "udp", Dialer: dialer, Timeout: s.exchangeTimeout}
	answer, _, err := udp.ExchangeContext(udpContext, question, srv.address)
	if err == nil && !answer.Truncated {
		return answer, nil
	}
	if errors.Is(err, errRefused) {
		return nil, err
	}
	tcp := dns.Client{Net: "tcp", Dialer: dialer, Timeout: s.exchangeTimeout}
	answer, _, err = tcp.ExchangeContext(ctx, question, srv.address)
	return answer, err
}

func exchangeFailure(err error) string {
	switch {
	case isTimeout(err):
		return "did not answer in time"
	case errors.Is(err, errDenied):
		return "is in a network that the operator's configuration denies, and is not asked"
	case errors.Is(err, errRefused):
		return "has a private or reserved address, which is not asked"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "refused the connection"
	default:
		return "could not be asked"
	}
}

func isTimeout(err error) bool {
	var netErr net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) ||
		(errors.As(err, &netErr) && netErr.Timeout())
}

// values returns the contents of the records, sorted and each once.
func values(records []dns.RR) []string {
	contents := make([]string, len(records))
	for i, record := range records {
		contents[i] = value(record)
	}
	slices.Sort(contents)
	return slices.Compact(contents)
}

// ttlOf is a TTL as resolvers take it: one with the top bit set is none (RFC 2181 §8).
func ttlOf(seconds uint32) time.Duration {
	if seconds > math.MaxInt32 {
		return 0
	}
	return time.Duration(seconds) * time.Second
}
