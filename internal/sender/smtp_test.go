package sender

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// mailServer is an SMTP server that does what a test says, the usual where it says nothing.
type mailServer struct {
	greeting, hello, consent string // whole replies
	early                    string // sent in the clear with the consent
	silentAt                 string // the command that is never answered; "greeting" means not even that
	closeAt                  string // likewise, closing the connection
	tls                      *tls.Config
	noTLS                    string // written instead of a handshake

	mu      sync.Mutex
	heard   []string // commands; those inside TLS with a "+" in front
	open    int
	maxOpen int
}

func (m *mailServer) serve(raw net.Conn) {
	m.note("", 1)
	// The client may be gone, and back, before this function returns.
	leave := sync.OnceFunc(func() { m.note("", -1) })
	defer leave()
	if !m.say(raw, "greeting", m.greeting, "220-mx.example.com has\r\n220 time\r\n") {
		return
	}
	reader := bufio.NewReader(raw)
	for {
		line, err := reader.ReadString('\n')
		if err != nil {
			return
		}
		command := strings.TrimSpace(line)
		m.note(command, 0)
		switch verb, _, _ := strings.Cut(command, " "); verb {
		case "EHLO":
			if !m.say(raw, verb, m.hello, "250-mx.example.com\r\n250-SIZE 1000\r\n250 starttls\r\n") {
				return
			}
		case "STARTTLS":
			if !m.say(raw, verb, m.consent, "220 go ahead\r\n"+m.early) {
				return
			}
			if m.consent == "" {
				m.serveTLS(raw, leave)
				return
			}
		case "QUIT":
			leave()
			_, _ = io.WriteString(raw, "221 bye\r\n")
			return
		default:
			_, _ = io.WriteString(raw, "500 what?\r\n")
		}
	}
}

func (m *mailServer) serveTLS(raw net.Conn, leave func()) {
	if m.noTLS != "" {
		_, _ = raw.Read(make([]byte, 1)) // the client has begun
		_, _ = io.WriteString(raw, m.noTLS)
		_, _ = io.Copy(io.Discard, raw)
		return
	}
	conn := tls.Server(raw, m.tls)
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err == nil {
		m.note("+"+strings.TrimSpace(line), 0)
		leave()
		_, _ = io.WriteString(conn, "221 bye\r\n")
	}
	_ = conn.Close()
}

// say reports whether the conversation goes on.
func (m *mailServer) say(conn net.Conn, at, text, usual string) bool {
	switch {
	case m.closeAt == at:
		return false
	case m.silentAt == at:
		_, _ = io.Copy(io.Discard, conn)
		return false
	case text == "":
		text = usual
	}
	_, err := io.WriteString(conn, text)
	return err == nil
}

func (m *mailServer) note(command string, opened int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if command != "" {
		m.heard = append(m.heard, command)
	}
	m.open += opened
	m.maxOpen = max(m.maxOpen, m.open)
}

func (m *mailServer) commands() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.heard)
}

// atMX returns a sender for whom mx.example.com has the addresses of the servers.
func atMX(t *testing.T, config Config, servers ...*mailServer) *Sender {
	t.Helper()
	handlers := make([]func(net.Conn), len(servers))
	resolver := &nameServer{}
	for i, server := range servers {
		handlers[i] = server.serve
		resolver.records = append(resolver.records, fmt.Sprintf("mx.example.com. 60 A 127.0.0.%d", i+1))
	}
	config.SMTPPort = listen(t, handlers...)
	config.AllowPrivate = true
	return world{resolver: resolver}.newSender(t, config)
}

func TestProbeMXFindsEachFault(t *testing.T) {
	t.Parallel()
	ca, stranger := testCA(t), testCA(t)
	good := ca.issue(t, time.Now().Add(time.Hour), "mx.example.com")
	with := func(certificate tls.Certificate, change func(*tls.Config)) *tls.Config {
		config := &tls.Config{Certificates: []tls.Certificate{certificate}}
		if change != nil {
			change(config)
		}
		return config
	}
	usual := with(good, nil)
	for name, test := range map[string]struct {
		server  *mailServer
		outcome Outcome
		reason  Reason
		message string
		reply   string
		early   bool
		last    string // the last command that was heard
	}{
		"nothing": {server: &mailServer{tls: usual}, outcome: Pass, last: "+QUIT"},
		"TLS 1.2 at most": {
			server:  &mailServer{tls: with(good, func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 })},
			outcome: Pass, last: "+QUIT",
		},
		"a wildcard certificate": {
			server:  &mailServer{tls: with(ca.issue(t, time.Now().Add(time.Hour), "*.example.com"), nil)},
			outcome: Pass, last: "+QUIT",
		},
		"a greeting that refuses for good": {
			server:  &mailServer{greeting: "554-no\r\n554 5.7.1 your address has a bad name\r\n", tls: usual},
			outcome: NoAnswer, reason: SessionRefused, message: "refuses sessions from here with 554",
			reply: "554 no 5.7.1 your address has a bad name", last: "QUIT",
		},
		"a greeting that refuses for now": {
			server:  &mailServer{greeting: "421 busy\r\n", tls: usual},
			outcome: NoAnswer, reason: SessionRefused, message: "refuses sessions from here with 421", reply: "421 busy", last: "QUIT",
		},
		"no greeting": {
			server:  &mailServer{silentAt: "greeting"},
			outcome: NoAnswer, reason: Timeout, message: "accepts connections, but does not greet in time",
		},
		"a greeting that is not SMTP": {
			server:  &mailServer{greeting: "SSH-2.0-x\r\n"},
			outcome: NoAnswer, reason: NotSMTP, message: "does not greet in SMTP",
		},
		"a greeting without end": {
			server:  &mailServer{greeting: strings.Repeat("220-more\r\n", maxTalk/10+1)},
			outcome: NoAnswer, reason: NotSMTP, message: "does not greet in SMTP",
		},
		"a connection that is closed at once": {
			server:  &mailServer{closeAt: "greeting"},
			outcome: NoAnswer, reason: ConnectionClosed, message: "closes the connection rather than greet",
		},
		"EHLO refused": {
			server:  &mailServer{hello: "550 bad name\r\n"},
			outcome: NoAnswer, reason: SessionRefused, message: "answers EHLO with 550", reply: "550 bad name", last: "QUIT",
		},
		"no STARTTLS": {
			server:  &mailServer{hello: "250-STARTTLS.example.com\r\n250 SIZE\r\n"},
			outcome: Broken, reason: NoSTARTTLS, message: "does not offer STARTTLS", reply: "250 STARTTLS.example.com SIZE", last: "QUIT",
		},
		"STARTTLS as a name only": {
			server:  &mailServer{hello: "250 STARTTLS\r\n"},
			outcome: Broken, reason: NoSTARTTLS, message: "does not offer STARTTLS", reply: "250 STARTTLS", last: "QUIT",
		},
		"STARTTLS refused": {
			server:  &mailServer{consent: "454 4.7.0 not now\r\n"},
			outcome: Broken, reason: STARTTLSRefused, message: "offers STARTTLS, but answers it with 454",
			reply: "454 4.7.0 not now", last: "QUIT",
		},
		"STARTTLS refused because the server is about to end": {
			server:  &mailServer{consent: "421 4.3.2 closing\r\n"},
			outcome: NoAnswer, reason: SessionRefused, message: "offers STARTTLS, but answers it with 421 for now",
			reply: "421 4.3.2 closing", last: "QUIT",
		},
		"STARTTLS refused to who comes for the first time": {
			server:  &mailServer{consent: "450 4.2.0 greylisted\r\n"},
			outcome: NoAnswer, reason: SessionRefused, message: "offers STARTTLS, but answers it with 450 for now",
			reply: "450 4.2.0 greylisted", last: "QUIT",
		},
		"EHLO refused to who comes for the first time": {
			server:  &mailServer{hello: "451 4.7.1 greylisted\r\n"},
			outcome: NoAnswer, reason: SessionRefused, message: "answers EHLO with 451", reply: "451 4.7.1 greylisted", last: "QUIT",
		},
		"no answer to STARTTLS": {
			server:  &mailServer{silentAt: "STARTTLS"},
			outcome: NoAnswer, reason: Timeout, message: "accepts connections, but does not answer STARTTLS in time", last: "STARTTLS",
		},
		"text in the clear behind the consent": {
			server:  &mailServer{early: "250 injected\r\n", tls: usual},
			outcome: Pass, early: true, last: "+QUIT",
		},
		"no TLS after the consent": {
			server:  &mailServer{noTLS: "250 what do you mean?\r\n"},
			outcome: Broken, reason: TLSFailed, last: "STARTTLS",
			message: "fails the TLS handshake; it must offer TLS 1.2 or 1.3 for mx.example.com",
		},
		"TLS 1.1 at most": {
			server: &mailServer{tls: with(good, func(c *tls.Config) {
				c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
			})},
			outcome: Broken, reason: TLSTooOld, message: "knows no newer TLS than TLS 1.1; senders want 1.2 or 1.3", last: "+QUIT",
		},
		"an expired certificate": {
			server:  &mailServer{tls: with(ca.issue(t, time.Now().Add(-time.Hour), "mx.example.com"), nil)},
			outcome: Broken, reason: CertificateExpired, message: "presents an expired certificate", last: "+QUIT",
		},
		"a certificate for another name": {
			server:  &mailServer{tls: with(ca.issue(t, time.Now().Add(time.Hour), "mail.example.com", "a.example"), nil)},
			outcome: Broken, reason: CertificateWrongName,
			message: `presents a certificate for "mail.example.com" and 1 more names, not for mx.example.com`, last: "+QUIT",
		},
		"a certificate of a stranger": {
			server:  &mailServer{tls: with(stranger.issue(t, time.Now().Add(time.Hour), "mx.example.com"), nil)},
			outcome: Broken, reason: CertificateUntrusted, last: "+QUIT",
			message: "presents a certificate chain that does not lead to a trusted root: " +
				"a private or staging authority, or a missing intermediate certificate",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := test.server
			config := Config{Roots: ca.pool, HELO: "probe.example.org"}
			if test.reason == Timeout {
				config.SMTPTimeout = 300 * time.Millisecond
			}
			probe := atMX(t, config, server).ProbeMX(t.Context(), "MX.example.com.")
			seen := probe.Addresses[0]
			want := []any{test.outcome, test.reason, test.message, test.reply, test.early, true}
			got := []any{seen.Outcome, seen.Reason, seen.Message, seen.Reply, seen.EarlyPlaintext, seen.Connected}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if probe.Host != "mx.example.com" || probe.Outcome != test.outcome || probe.Reason != test.reason {
				t.Errorf("the host is %s, %s %s", probe.Host, probe.Outcome, probe.Reason)
			}
			heard := server.commands()
			if len(heard) > 1 && heard[0] != "EHLO probe.example.org" {
				t.Errorf("greeted with %q", heard[0])
			}
			if last := append([]string{""}, heard...)[len(heard)]; last != test.last {
				t.Errorf("the last command was %q, want %q", last, test.last)
			}
		})
	}
}

func TestProbeMXReadsTheCertificate(t *testing.T) {
	t.Parallel()
	ca := testCA(t)
	notAfter := time.Now().Add(-time.Hour).Truncate(time.Second).UTC()
	names := []string{"a.example", "b.example"}
	server := &mailServer{tls: &tls.Config{Certificates: []tls.Certificate{ca.issue(t, notAfter, names...)}}}
	probe := atMX(t, Config{Roots: ca.pool}, server).ProbeMX(t.Context(), "mx.example.com")
	want := MXAddress{
		Address: loopback1, Outcome: Broken, Reason: CertificateExpired, Message: "presents an expired certificate",
		Connected: true, TLSVersion: "TLS 1.3", NotAfter: notAfter, Names: names,
	}
	if diff := cmp.Diff(want, probe.Addresses[0], cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if got := server.commands()[0]; got != "EHLO [127.0.0.1]" {
		t.Errorf("greeted with %q", got)
	}
}

func TestProbeMXAsksEveryAddressOneAfterTheOther(t *testing.T) {
	t.Parallel()
	ca := testCA(t)
	good := &tls.Config{Certificates: []tls.Certificate{ca.issue(t, time.Now().Add(time.Hour), "mx.example.com")}}
	// One server at both addresses counts what is open at once.
	server := &mailServer{tls: good}
	lax := &mailServer{hello: "250 mx\r\n"}
	probe := atMX(t, Config{Roots: ca.pool}, server, server, lax).ProbeMX(t.Context(), "mx.example.com")
	server.mu.Lock()
	defer server.mu.Unlock()
	if server.maxOpen != 1 {
		t.Errorf("%d connections were open at once", server.maxOpen)
	}
	if probe.Outcome != Broken || probe.Reason != NoSTARTTLS || len(probe.Addresses) != 3 ||
		probe.Message != "mx.example.com at 127.0.0.3: does not offer STARTTLS" {
		t.Errorf("got %+v", probe)
	}
}

func TestProbeMXSaysHowManyAddressesItDidNotAsk(t *testing.T) {
	t.Parallel()
	ca := testCA(t)
	server := &mailServer{tls: &tls.Config{Certificates: []tls.Certificate{ca.issue(t, time.Now().Add(time.Hour), "mx.example.com")}}}
	for addresses, unasked := range map[int]int{8: 0, 10: 2} {
		probe := atMX(t, Config{Roots: ca.pool}, slices.Repeat([]*mailServer{server}, addresses)...).ProbeMX(t.Context(), "mx.example.com")
		if probe.Unasked != unasked || len(probe.Addresses) != 8 || probe.Outcome != Pass {
			t.Errorf("of %d addresses %d were asked and %d not: %+v", addresses, len(probe.Addresses), probe.Unasked, probe)
		}
	}
}

func TestProbeMXWithoutAServer(t *testing.T) {
	t.Parallel()
	resolver := &nameServer{records: []string{
		"refused.example.com. 60 A 127.0.0.1", "public.example.com. 60 CNAME refused.example.com.",
	}}
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = listener.Close()
	port := listener.Addr().(*net.TCPAddr).AddrPort().Port()
	open := world{resolver: resolver}.newSender(t, Config{AllowPrivate: true, SMTPPort: port})
	guarded := world{resolver: resolver}.newSender(t, Config{SMTPPort: port})
	denied := world{resolver: resolver}.newSender(t, Config{AllowPrivate: true, Deny: prefixes("127.0.0.0/8"), SMTPPort: port})
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for name, test := range map[string]struct {
		ctx    context.Context //nolint:containedctx // a test case
		s      *Sender
		host   string
		reason Reason
		cname  string
	}{
		"nobody listens":                 {t.Context(), open, "refused.example.com", ConnectionRefused, ""},
		"the address is private":         {t.Context(), guarded, "refused.example.com", AddressRefused, ""},
		"the address is denied":          {t.Context(), denied, "refused.example.com", AddressRefused, ""},
		"the name is an alias":           {t.Context(), open, "public.example.com", ConnectionRefused, "refused.example.com"},
		"the name does not exist":        {t.Context(), open, "none.example.com", DNSNotFound, ""},
		"the context has already ended.": {ended, open, "refused.example.com", DNSFailed, ""},
	} {
		t.Run(name, func(t *testing.T) {
			probe := test.s.ProbeMX(test.ctx, test.host)
			if probe.Outcome != NoAnswer || probe.Reason != test.reason || probe.CNAME != test.cname || probe.Message == "" {
				t.Errorf("got %+v", probe)
			}
		})
	}
}

func TestEgressIsBlockedOnlyIfNobodyCanBeConnectedTo(t *testing.T) {
	timeout := MXAddress{Outcome: NoAnswer, Reason: Timeout}
	noRoute := MXAddress{Outcome: NoAnswer, Reason: NoRoute}
	slow := MXAddress{Outcome: NoAnswer, Reason: Timeout, Connected: true}
	refused := MXAddress{Outcome: NoAnswer, Reason: ConnectionRefused}
	probe := func(addresses ...MXAddress) MXProbe { return MXProbe{Addresses: addresses} }
	for name, test := range map[string]struct {
		probes []MXProbe
		want   bool
	}{
		"every address of every host times out":   {[]MXProbe{probe(timeout, timeout), probe(timeout)}, true},
		"one family has no route besides":         {[]MXProbe{probe(timeout, noRoute)}, true},
		"a host without addresses does not count": {[]MXProbe{probe(), probe(timeout)}, true},
		"no route alone":                          {[]MXProbe{probe(noRoute)}, false},
		"one host greets too late":                {[]MXProbe{probe(timeout), probe(slow)}, false},
		"one address refuses":                     {[]MXProbe{probe(timeout, refused)}, false},
		"one host passes":                         {[]MXProbe{probe(timeout), probe(MXAddress{Outcome: Pass, Connected: true})}, false},
		"no host":                                 {nil, false},
		"no address":                              {[]MXProbe{probe()}, false},
	} {
		if got := IsEgressBlocked(test.probes); got != test.want {
			t.Errorf("%s: got %t", name, got)
		}
	}
}

func TestEveryMXFailsOnlyByProof(t *testing.T) {
	broken := MXAddress{Outcome: Broken, Reason: NoSTARTTLS}
	probe := func(addresses ...MXAddress) MXProbe { return MXProbe{Addresses: addresses} }
	for name, test := range map[string]struct {
		probes []MXProbe
		want   bool
	}{
		"every address of every host":                 {[]MXProbe{probe(broken, broken), probe(broken)}, true},
		"one address could not be told":               {[]MXProbe{probe(broken, MXAddress{Outcome: NoAnswer}), probe(broken)}, false},
		"one host passes":                             {[]MXProbe{probe(broken), probe(MXAddress{Outcome: Pass})}, false},
		"one host has no address":                     {[]MXProbe{probe(broken), probe()}, false},
		"no host":                                     {nil, false},
		"one host has more addresses than were asked": {[]MXProbe{{Addresses: []MXAddress{broken}, Unasked: 1}}, false},
	} {
		if got := EveryMXFails(test.probes); got != test.want {
			t.Errorf("%s: got %t", name, got)
		}
	}
}

func TestLookupTLSA(t *testing.T) {
	t.Parallel()
	resolver := &nameServer{records: []string{
		"_25._tcp.mx.example.com. 60 TLSA 3 1 1 00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff",
		"mx2.example.com. 60 A 192.0.2.1",
	}}
	s := world{resolver: resolver}.newSender(t, Config{})
	for host, want := range map[string]TLSA{
		"mx.example.com": {Status: Found, Records: []string{"3 1 1 00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"}},
		"mx2.example.com": {
			Status: Absent, Reason: DNSNotFound, Message: "_25._tcp.mx2.example.com has no TLSA record",
		},
	} {
		if diff := cmp.Diff(want, s.LookupTLSA(t.Context(), host)); diff != "" {
			t.Errorf("%s, -want +got:\n%s", host, diff)
		}
	}
}

func TestNewRefusesAHELOThatIsNoWord(t *testing.T) {
	for _, name := range []string{"two words", "a\r\nMAIL FROM:<>", "grüße"} {
		if _, err := New(Config{Resolvers: []string{"192.0.2.1"}, Roots: testCA(t).pool, HELO: name}); err == nil {
			t.Errorf("New accepted the HELO name %q", name)
		}
	}
}
