package sender

import (
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/miekg/dns"
)

// nameServer answers from its records. With zones it is authoritative for them
// and refers to others below; without it resolves names for everybody.
type nameServer struct {
	zones       []string
	records     []string
	rcodes      map[string]int // by name: answer this and nothing else
	silent      bool           // never answer
	failingType uint16         // answer SERVFAIL to questions for it
	truncate    bool           // over UDP, answer that the answer is too long

	mu    sync.Mutex
	asked []string // "name type network"
}

func (s *nameServer) questions() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.asked)
}

func (s *nameServer) ServeDNS(w dns.ResponseWriter, question *dns.Msg) {
	q := question.Question[0]
	network := w.LocalAddr().Network()
	s.mu.Lock()
	s.asked = append(s.asked, q.Name+" "+dns.TypeToString[q.Qtype]+" "+network)
	s.mu.Unlock()
	if s.silent {
		return
	}
	answer := new(dns.Msg).SetReply(question)
	answer.Authoritative = s.zones != nil
	answer.RecursionAvailable = s.zones == nil
	switch rcode, fixed := s.rcodes[q.Name]; {
	case fixed:
		answer.Rcode = rcode
	case s.failingType == q.Qtype:
		answer.Rcode = dns.RcodeServerFailure
	case s.truncate && network == "udp":
		answer.Truncated = true
	default:
		s.fill(answer, q)
	}
	_ = w.WriteMsg(answer)
}

func (s *nameServer) fill(answer *dns.Msg, q dns.Question) {
	zone := ""
	for _, z := range s.zones {
		if dns.IsSubDomain(z, q.Name) && len(z) > len(zone) {
			zone = z
		}
	}
	if s.zones != nil && zone == "" {
		answer.Authoritative = false
		answer.Rcode = dns.RcodeRefused
		return
	}
	if s.zones != nil && s.refer(answer, zone, q.Name) {
		return
	}
	exists := false
	for _, record := range s.parsed() {
		owner, rrtype := record.Header().Name, record.Header().Rrtype
		exists = exists || dns.IsSubDomain(q.Name, owner)
		switch {
		case owner == q.Name && (rrtype == q.Qtype || rrtype == dns.TypeCNAME):
			answer.Answer = append(answer.Answer, record)
		case rrtype == dns.TypeSOA && dns.IsSubDomain(owner, q.Name):
			answer.Ns = append(answer.Ns, record)
		}
	}
	if !exists {
		answer.Rcode = dns.RcodeNameError
	}
}

func (s *nameServer) refer(answer *dns.Msg, zone, name string) bool {
	for _, record := range s.parsed() {
		owner := record.Header().Name
		if record.Header().Rrtype == dns.TypeNS && owner != zone &&
			!slices.Contains(s.zones, owner) && dns.IsSubDomain(zone, owner) && dns.IsSubDomain(owner, name) {
			answer.Authoritative = false
			answer.Ns = append(answer.Ns, record)
		}
	}
	return len(answer.Ns) > 0
}

func (s *nameServer) parsed() []dns.RR {
	records := make([]dns.RR, 0, len(s.records))
	for _, text := range s.records {
		record, err := dns.NewRR(text)
		if err != nil {
			panic(err)
		}
		records = append(records, record)
	}
	return records
}

// startDNS starts the servers on one port, the first at 127.0.0.1, the second at
// 127.0.0.2 and so on, and returns the port.
func startDNS(t *testing.T, servers ...*nameServer) uint16 {
	t.Helper()
	var port uint16
	for range 20 {
		var ok bool
		if port, ok = tryStartDNS(t, servers); ok {
			return port
		}
	}
	t.Skip("127.0.0.2 and its neighbours cannot be used here")
	return port
}

func tryStartDNS(t *testing.T, servers []*nameServer) (uint16, bool) {
	t.Helper()
	port := uint16(0)
	var started []*dns.Server
	stop := func() {
		for _, server := range started {
			_ = server.Shutdown()
		}
	}
	for i, handler := range servers {
		ip := "127.0.0." + strconv.Itoa(i+1)
		packets, err := new(net.ListenConfig).ListenPacket(t.Context(), "udp", net.JoinHostPort(ip, strconv.Itoa(int(port))))
		if err != nil {
			stop()
			return 0, false
		}
		port = packets.LocalAddr().(*net.UDPAddr).AddrPort().Port()
		listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", net.JoinHostPort(ip, strconv.Itoa(int(port))))
		if err != nil {
			_ = packets.Close()
			stop()
			return 0, false
		}
		for _, server := range []*dns.Server{
			{PacketConn: packets, Handler: handler},
			{Listener: listener, Handler: handler},
		} {
			ready := make(chan struct{})
			server.NotifyStartedFunc = func() { close(ready) }
			go func() { _ = server.ActivateAndServe() }()
			<-ready
			started = append(started, server)
		}
	}
	t.Cleanup(stop)
	return port, true
}

// world is a resolver and the authoritative servers it knows of.
type world struct {
	resolver *nameServer
	servers  []*nameServer // at 127.0.0.1, 127.0.0.2, …
}

var loopback1 = netip.MustParseAddr("127.0.0.1")

// newSender starts the world and returns a sender in it.
func (w world) newSender(t *testing.T, config Config) *Sender {
	t.Helper()
	if len(w.servers) > 0 {
		config.DNSPort = startDNS(t, w.servers...)
	}
	resolver := startDNS(t, w.resolver)
	config.Resolvers = []string{"127.0.0.1:" + strconv.Itoa(int(resolver))}
	if config.Roots == nil {
		config.Roots = testCA(t).pool
	}
	s, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// delegation is what a resolver knows about a zone with servers at 127.0.0.1 to
// 127.0.0.n, besides what is in it.
func delegation(zone string, n int) []string {
	records := make([]string, 0, 1+2*n)
	records = append(records, zone+" 3600 SOA ns1."+zone+" hostmaster."+zone+" 1 3600 600 86400 60")
	for i := range n {
		name := "ns" + strconv.Itoa(i+1) + "." + zone
		records = append(records,
			zone+" 3600 NS "+name,
			name+" 3600 A 127.0.0."+strconv.Itoa(i+1))
	}
	return records
}

func with(records []string, more ...string) []string {
	return append(slices.Clone(records), more...)
}

func askedFor(questions []string, prefix string) bool {
	return slices.ContainsFunc(questions, func(q string) bool { return strings.HasPrefix(q, prefix) })
}
