package sender

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

const (
	testBody  = "version: STSv1\nmode: testing\nmx: mx.example.com\nmax_age: 604800\n"
	otherBody = "version: STSv1\nmode: enforce\nmx: mx.example.com\nmax_age: 604800\n"
)

var wanted = &Instance{ID: "20260102030405a", Body: testBody}

// answering returns a handler that speaks TLS with the certificate, reads one
// request and writes the text.
func answering(certificate tls.Certificate, text string) func(net.Conn) {
	return func(raw net.Conn) {
		conn := tls.Server(raw, &tls.Config{Certificates: []tls.Certificate{certificate}})
		if _, err := http.ReadRequest(bufio.NewReader(conn)); err != nil {
			return
		}
		_, _ = io.WriteString(conn, text)
		_ = conn.Close()
	}
}

// ok is a complete answer with the body and further header lines.
func ok(body string, headers ...string) string {
	if len(headers) == 0 {
		headers = []string{"Content-Type: text/plain; charset=utf-8"}
	}
	return fmt.Sprintf("HTTP/1.1 200 OK\r\n%s\r\nContent-Length: %d\r\n\r\n%s", strings.Join(headers, "\r\n"), len(body), body)
}

func withID(id string) []string {
	return []string{"Content-Type: text/plain", "X-MTA-STS-ID: " + id}
}

// atLoopback returns a sender for whom mta-sts.example.com has the addresses of
// the handlers.
func atLoopback(t *testing.T, config Config, handlers ...func(net.Conn)) *Sender {
	t.Helper()
	config.HTTPSPort = listen(t, handlers...)
	resolver := &nameServer{}
	for i := range handlers {
		resolver.records = append(resolver.records, "mta-sts.example.com. 60 A 127.0.0."+strconv.Itoa(i+1))
	}
	return world{resolver: resolver}.newSender(t, config)
}

func TestLookPolicyJudgesTheAnswer(t *testing.T) {
	t.Parallel()
	ca := testCA(t)
	notAfter := time.Now().Add(time.Hour).Truncate(time.Second)
	certificate := ca.issue(t, notAfter, "mta-sts.example.com")
	for name, test := range map[string]struct {
		answer  string
		want    *Instance
		outcome Outcome
		reason  Reason
		message string
		seen    string // id of the seen policy
	}{
		"the wanted bytes without an id":   {answer: ok(testBody), want: wanted, outcome: Pass},
		"the wanted bytes under their id":  {answer: ok(testBody, withID(wanted.ID)...), want: wanted, outcome: Pass, seen: wanted.ID},
		"any policy when none is expected": {answer: ok(otherBody, withID("x")...), outcome: Pass, seen: "x"},
		"a media type in capitals":         {answer: ok(testBody, "Content-Type: Text/Plain"), want: wanted, outcome: Pass},
		"the largest body that is read": {
			answer: ok(padded(64 << 10)), outcome: Pass,
		},
		"an early hint before the answer": {
			answer: "HTTP/1.1 103 Early Hints\r\n\r\n" + ok(testBody), want: wanted, outcome: Pass,
		},
		"other bytes": {
			answer: ok(otherBody), want: wanted, outcome: WrongBody, reason: OtherPolicy,
			message: `serves another policy (mode enforce) without an id, want the id "20260102030405a"`,
		},
		"other bytes under the wanted id": {
			answer: ok(otherBody, withID(wanted.ID)...), want: wanted, outcome: WrongBody, reason: OtherPolicy, seen: wanted.ID,
			message: `serves another policy (mode enforce) under the id "20260102030405a", want the id "20260102030405a"`,
		},
		"the wanted bytes under another id": {
			answer: ok(testBody, withID("20250101000000c")...), want: wanted, outcome: WrongBody, reason: OtherPolicy, seen: "20250101000000c",
			message: `serves the same policy under the id "20250101000000c", want the id "20260102030405a"`,
		},
		"the wanted bytes under something that is no id": {
			answer: ok(testBody, withID("no id")...), want: wanted, outcome: WrongBody, reason: OtherPolicy,
			message: `serves the same policy under the id "", want the id "20260102030405a"`,
		},
		"a redirect": {
			answer:  "HTTP/1.1 301 Moved\r\nLocation: https://mta-sts.example.com/.well-known/mta-sts.txt\r\nContent-Length: 0\r\n\r\n",
			outcome: Broken, reason: Redirect, message: "redirects (status 301), which senders do not follow",
		},
		"a redirect to nonsense": {
			answer:  "HTTP/1.1 302 Found\r\nLocation: ht tp://[\r\nContent-Length: 0\r\n\r\n",
			outcome: Broken, reason: Redirect, message: "redirects (status 302), which senders do not follow",
		},
		"another status": {
			answer:  "HTTP/1.1 404 <script>\r\nContent-Type: text/plain\r\n\r\n" + testBody,
			outcome: Broken, reason: StatusNotOK, message: "answers with status 404, senders accept only 200",
		},
		"a partial content status": {
			answer:  "HTTP/1.1 206 Partial\r\nContent-Type: text/plain\r\n\r\n" + testBody,
			outcome: Broken, reason: StatusNotOK, message: "answers with status 206, senders accept only 200",
		},
		"a web page": {
			answer: ok(testBody, "Content-Type: text/html\x80"), outcome: Broken, reason: WrongContentType,
			message: `answers with Content-Type "text/html?", senders want text/plain`,
		},
		"no content type": {
			answer: ok(testBody, "X: y"), outcome: Broken, reason: WrongContentType,
			message: "answers with 0 Content-Type headers, senders want text/plain",
		},
		"two content types": {
			answer: ok(testBody, "Content-Type: text/plain", "Content-Type: text/html"), outcome: Broken, reason: WrongContentType,
			message: "answers with 2 Content-Type headers, senders want text/plain",
		},
		"a blank line at the end": {answer: ok(testBody + "\n"), outcome: Broken, reason: NotAPolicy},
		"an empty body":           {answer: ok(""), outcome: Broken, reason: NotAPolicy},
		"a body one byte too large": {
			answer: ok(padded(64<<10 + 1)), outcome: Broken, reason: BodyTooLarge, message: "answers with more than 65536 bytes",
		},
		"a header without end": {
			answer: "HTTP/1.1 200 OK\r\n" + strings.Repeat("X: y\r\n", 200_000), outcome: Broken, reason: HTTPFailed,
			message: "answers without end",
		},
		"interim answers without end": {
			answer: strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 50_000), outcome: Broken, reason: HTTPFailed,
			message: "answers without end",
		},
		"a body in chunks": {
			answer: "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n" +
				fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(testBody), testBody),
			want: wanted, outcome: Pass,
		},
		"a body ended by the connection": {
			answer: "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\n" + testBody, want: wanted, outcome: Pass,
		},
		"something else than HTTP": {
			answer: "220 mail.example.com ESMTP\r\n", outcome: Broken, reason: HTTPFailed,
			message: "answers with something that is not HTTP",
		},
		"nothing": {
			answer: "", outcome: NoAnswer, reason: ConnectionClosed,
			message: "closes the connection before its answer is complete",
		},
		"half a header": {
			answer: "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n", outcome: NoAnswer, reason: ConnectionClosed,
			message: "closes the connection before its answer is complete",
		},
		"half a body": {
			answer:  "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 500\r\n\r\n" + testBody,
			outcome: NoAnswer, reason: ConnectionClosed, message: "closes the connection before its answer is complete",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := atLoopback(t, Config{AllowPrivate: true, Roots: ca.pool}, answering(certificate, test.answer))
			look := s.LookPolicy(t.Context(), "Example.com.", test.want)
			if look.Outcome != test.outcome || look.Reason != test.reason {
				t.Fatalf("LookPolicy: %s %s %q, want %s %s", look.Outcome, look.Reason, look.Message, test.outcome, test.reason)
			}
			message := strings.TrimPrefix(look.Message, "mta-sts.example.com at 127.0.0.1: ")
			if test.message != "" && message != test.message || test.outcome == Pass && message != "" {
				t.Errorf("message %q, want %q", message, test.message)
			}
			if !look.NotAfter.Equal(notAfter) {
				t.Errorf("NotAfter %v, want %v", look.NotAfter, notAfter)
			}
			acceptable := test.outcome == Pass || test.outcome == WrongBody
			if (look.Seen != nil) != acceptable || acceptable && look.Seen.ID != test.seen {
				t.Errorf("seen %+v, want the id %q", look.Seen, test.seen)
			}
			if acceptable && (!strings.Contains(test.answer, look.Seen.Body) || look.Seen.Policy.Mode == "") {
				t.Errorf("seen %+v, not what was served", look.Seen)
			}
		})
	}
}

// padded returns a policy of n bytes, filled up with extension fields.
func padded(n int) string {
	body := testBody
	for n-len(body) > 1000 {
		body += "x: " + strings.Repeat("y", 500) + "\n"
	}
	return body + "x: " + strings.Repeat("y", n-len(body)-4) + "\n"
}

func TestLookPolicyJudgesTheConnection(t *testing.T) {
	t.Parallel()
	ca := testCA(t)
	later := time.Now().Add(time.Hour).Truncate(time.Second)
	good := ca.issue(t, later, "mta-sts.example.com")
	oldTLS := func(raw net.Conn) {
		_ = tls.Server(raw, &tls.Config{
			Certificates: []tls.Certificate{good}, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11,
		}).HandshakeContext(t.Context())
	}
	wantsClientCertificate := func(raw net.Conn) {
		conn := tls.Server(raw, &tls.Config{Certificates: []tls.Certificate{good}, ClientAuth: tls.RequireAnyClientCert})
		_ = conn.HandshakeContext(t.Context())
		_, _ = io.Copy(io.Discard, raw)
	}
	for name, test := range map[string]struct {
		handler  func(net.Conn)
		now      time.Time
		outcome  Outcome
		reason   Reason
		message  string
		notAfter bool // the certificate is reported
	}{
		"a wildcard certificate": {
			handler: answering(ca.issue(t, later, "*.example.com"), ok(testBody)), outcome: Pass, notAfter: true,
		},
		"a certificate for another name": {
			handler: answering(ca.issue(t, later, "ingress.local", "b", "c"), ok(testBody)),
			outcome: Broken, reason: CertificateWrongName, notAfter: true,
			message: `presents a certificate for "ingress.local" and 2 more names, not for mta-sts.example.com`,
		},
		"a certificate with a common name only": {
			handler: answering(ca.issue(t, later), ok(testBody)), outcome: Broken, reason: CertificateWrongName, notAfter: true,
			message: `presents a certificate without DNS names, not for mta-sts.example.com`,
		},
		"a wildcard of the wrong level": {
			handler: answering(ca.issue(t, later, "*.com"), ok(testBody)), outcome: Broken, reason: CertificateWrongName, notAfter: true,
			message: `presents a certificate for "*.com", not for mta-sts.example.com`,
		},
		"an expired certificate": {
			handler: answering(good, ok(testBody)), now: later.Add(time.Minute),
			outcome: Broken, reason: CertificateExpired, notAfter: true, message: "presents an expired certificate",
		},
		"a certificate from the future": {
			handler: answering(good, ok(testBody)), now: later.Add(-50 * time.Hour),
			outcome: Broken, reason: CertificateExpired, notAfter: true, message: "presents a certificate that is not valid yet",
		},
		"an unknown authority": {
			handler: answering(testCA(t).issue(t, later, "mta-sts.example.com"), ok(testBody)),
			outcome: Broken, reason: CertificateUntrusted, notAfter: true,
			message: "presents a certificate chain that does not lead to a trusted root: " +
				"a private or staging authority, or a missing intermediate certificate",
		},
		"TLS 1.1 at most": {
			handler: oldTLS, outcome: Broken, reason: TLSFailed,
			message: "fails the TLS handshake; it must offer TLS 1.2 or 1.3 for mta-sts.example.com",
		},
		"no TLS at all": {
			handler: func(conn net.Conn) { _, _ = io.WriteString(conn, "HTTP/1.1 400 Bad Request\r\n\r\n"); wait(conn) },
			outcome: Broken, reason: TLSFailed,
			message: "fails the TLS handshake; it must offer TLS 1.2 or 1.3 for mta-sts.example.com",
		},
		"a client certificate demanded": {
			handler: wantsClientCertificate, outcome: Broken, reason: TLSFailed, notAfter: true,
			message: "ends TLS with an alert instead of an answer",
		},
		"a connection that is closed at once": {
			handler: func(net.Conn) {}, outcome: NoAnswer, reason: ConnectionClosed,
			message: "closes the connection during the TLS handshake",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config := Config{AllowPrivate: true, Roots: ca.pool}
			if !test.now.IsZero() {
				config.Now = func() time.Time { return test.now }
			}
			look := atLoopback(t, config, test.handler).LookPolicy(t.Context(), "example.com", nil)
			got := []any{look.Outcome, look.Reason, strings.TrimPrefix(look.Message, "mta-sts.example.com at 127.0.0.1: ")}
			if diff := cmp.Diff([]any{test.outcome, test.reason, test.message}, got); diff != "" {
				t.Errorf("LookPolicy (-want +got):\n%s", diff)
			}
			if got := look.NotAfter.Equal(later); got != test.notAfter {
				t.Errorf("NotAfter %v, reported: %v, want %v", look.NotAfter, got, test.notAfter)
			}
		})
	}
}

// wait returns when the peer has closed its side.
func wait(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }

func TestPeersThatKeepSilentAreTimedOut(t *testing.T) {
	t.Parallel()
	ca := testCA(t)
	certificate := ca.issue(t, time.Now().Add(time.Hour), "mta-sts.example.com")
	for message, handler := range map[string]func(net.Conn){
		"accepts connections, but does not finish the TLS handshake in time": wait,
		"accepts connections, but does not finish its answer in time": func(raw net.Conn) {
			conn := tls.Server(raw, &tls.Config{Certificates: []tls.Certificate{certificate}})
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n"+testBody)
			wait(conn)
		},
	} {
		t.Run(message, func(t *testing.T) {
			t.Parallel()
			s := atLoopback(t, Config{AllowPrivate: true, Roots: ca.pool, Timeout: time.Second}, handler)
			look := s.LookPolicy(t.Context(), "example.com", wanted)
			if look.Outcome != NoAnswer || look.Reason != Timeout || !strings.HasSuffix(look.Message, ": "+message) {
				t.Errorf("LookPolicy: %s %s %q", look.Outcome, look.Reason, look.Message)
			}
		})
	}
}

func TestTheRequestIsThatOfASender(t *testing.T) {
	t.Parallel()
	ca := testCA(t)
	certificate := ca.issue(t, time.Now().Add(time.Hour), "mta-sts.example.com")
	type seen struct {
		Server, Method, Host, URI string
		Header                    http.Header
	}
	requests := make(chan seen, 1)
	s := atLoopback(t, Config{AllowPrivate: true, Roots: ca.pool}, func(raw net.Conn) {
		conn := tls.Server(raw, &tls.Config{Certificates: []tls.Certificate{certificate}})
		request, err := http.ReadRequest(bufio.NewReader(conn))
		if err != nil {
			return
		}
		requests <- seen{conn.ConnectionState().ServerName, request.Method, request.Host, request.RequestURI, request.Header}
		_, _ = io.WriteString(conn, ok(testBody))
	})
	if look := s.LookPolicy(t.Context(), "example.com", wanted); look.Outcome != Pass {
		t.Fatalf("LookPolicy: %+v", look)
	}
	want := seen{
		"mta-sts.example.com", "GET", "mta-sts.example.com", "/.well-known/mta-sts.txt",
		http.Header{"User-Agent": {userAgent}, "Connection": {"close"}},
	}
	if diff := cmp.Diff(want, <-requests); diff != "" {
		t.Errorf("request (-want +got):\n%s", diff)
	}
}

func TestEveryAddressIsAsked(t *testing.T) {
	t.Parallel()
	ca := testCA(t)
	certificate := ca.issue(t, time.Now().Add(time.Hour), "mta-sts.example.com")
	right, wrong := answering(certificate, ok(testBody)), answering(certificate, ok(otherBody, withID("b")...))
	missing := answering(certificate, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
	for name, test := range map[string]struct {
		handlers []func(net.Conn)
		outcome  Outcome
		reason   Reason
		message  string
		seen     string
	}{
		"all are right": {handlers: []func(net.Conn){right, right}, outcome: Pass, seen: testBody},
		"one is wrong": {
			handlers: []func(net.Conn){right, missing, wrong}, outcome: WrongBody, reason: OtherPolicy, seen: otherBody,
			message: `mta-sts.example.com at 127.0.0.3: serves another policy (mode enforce) under the id "b", want the id "20260102030405a"`,
		},
		"two are broken": {
			handlers: []func(net.Conn){missing, right, missing}, outcome: Broken, reason: StatusNotOK,
			message: "mta-sts.example.com at 127.0.0.1, 127.0.0.3: answers with status 404, senders accept only 200",
		},
		"one does not answer": {
			handlers: []func(net.Conn){right, func(net.Conn) {}}, outcome: NoAnswer, reason: ConnectionClosed,
			message: "mta-sts.example.com at 127.0.0.2: closes the connection during the TLS handshake",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := atLoopback(t, Config{AllowPrivate: true, Roots: ca.pool}, test.handlers...)
			look := s.LookPolicy(t.Context(), "example.com", wanted)
			seen := ""
			if look.Seen != nil {
				seen = look.Seen.Body
			}
			got := []any{look.Outcome, look.Reason, look.Message, seen, len(look.Addresses)}
			if diff := cmp.Diff([]any{test.outcome, test.reason, test.message, test.seen, len(test.handlers)}, got); diff != "" {
				t.Errorf("LookPolicy (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDeniedNetworksAreNotDialledThoughPrivateOnesAre(t *testing.T) {
	t.Parallel()
	ca := testCA(t)
	var accepted atomic.Int32
	certificate := ca.issue(t, time.Now().Add(time.Hour), "mta-sts.example.com")
	serve := answering(certificate, ok(testBody))
	count := func(conn net.Conn) { accepted.Add(1); serve(conn) }
	s := atLoopback(t, Config{AllowPrivate: true, Deny: prefixes("127.0.0.1/32"), Roots: ca.pool}, count)
	const says = "mta-sts.example.com at 127.0.0.1: is in a network that the operator's configuration denies; it was not dialled"
	for how, look := range map[string]Look{
		"by name":              s.LookPolicy(t.Context(), "example.com", wanted),
		"at a vouched address": s.LookPolicyAt(t.Context(), "example.com", netip.MustParseAddr("127.0.0.1"), wanted),
		"at it in IPv6":        s.LookPolicyAt(t.Context(), "example.com", netip.MustParseAddr("::ffff:127.0.0.1"), wanted),
	} {
		if look.Outcome != NoAnswer || look.Reason != AddressRefused || look.Message != says {
			t.Errorf("%s: %s %s %q", how, look.Outcome, look.Reason, look.Message)
		}
	}
	if accepted.Load() > 0 {
		t.Error("a connection was made")
	}
}

func TestPrivateAddressesAreNotDialled(t *testing.T) {
	t.Parallel()
	ca := testCA(t)
	var accepted atomic.Int32
	certificate := ca.issue(t, time.Now().Add(time.Hour), "mta-sts.example.com")
	serve := answering(certificate, ok(testBody))
	s := atLoopback(t, Config{Roots: ca.pool}, func(conn net.Conn) { accepted.Add(1); serve(conn) })

	look := s.LookPolicy(t.Context(), "example.com", wanted)
	want := Look{
		Outcome: NoAnswer, Reason: AddressRefused,
		Message: "mta-sts.example.com at 127.0.0.1: is a private or reserved address, " +
			"which senders on the Internet cannot reach; it was not dialled",
	}
	if diff := cmp.Diff(want, look, cmpopts.IgnoreFields(Look{}, "Addresses")); diff != "" {
		t.Errorf("LookPolicy (-want +got):\n%s", diff)
	}
	if n := accepted.Load(); n > 0 {
		t.Errorf("%d connections were made", n)
	}

	if look := s.LookPolicyAt(t.Context(), "example.com", loopback1, wanted); look.Outcome != Pass {
		t.Errorf("LookPolicyAt: %+v", look)
	}
	if n := accepted.Load(); n != 1 {
		t.Errorf("%d connections were made, want 1", n)
	}
}

func TestAWayIsAskedWhereItIsForItsOwnPath(t *testing.T) {
	t.Parallel()
	ca := testCA(t)
	certificate := ca.issue(t, time.Now().Add(time.Hour), "mta-sts.example.com")
	asked := make(chan string, 8)
	handler := func(raw net.Conn) {
		conn := tls.Server(raw, &tls.Config{Certificates: []tls.Certificate{certificate}})
		if request, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
			asked <- raw.LocalAddr().(*net.TCPAddr).IP.String() + " " + request.Host + request.RequestURI
			_, _ = io.WriteString(conn, ok(testBody))
		}
		_ = conn.Close()
	}
	port := listen(t, handler, handler)
	resolver := &nameServer{records: []string{"mta-sts.example.com. 60 A 127.0.0.1", "lb.example.net. 60 A 127.0.0.2"}}
	for name, tt := range map[string]struct {
		private bool
		way     Way
		want    string // the request; "" if none is made
	}{
		"where DNS leads":                      {true, Way{Path: "/a"}, "127.0.0.1 mta-sts.example.com/a"},
		"at a name":                            {true, Way{Target: "lb.example.net", Path: "/b"}, "127.0.0.2 mta-sts.example.com/b"},
		"at an address":                        {true, Way{Target: "127.0.0.2", Path: "/c"}, "127.0.0.2 mta-sts.example.com/c"},
		"at a private address that is vouched": {false, Way{Target: "127.0.0.2", Vouched: true, Path: "/d"}, "127.0.0.2 mta-sts.example.com/d"},
		"at a private address that is not":     {false, Way{Target: "127.0.0.2", Path: "/e"}, ""},
		"at a name with a private address":     {false, Way{Target: "lb.example.net", Path: "/f"}, ""},
		"at a name that does not exist":        {true, Way{Target: "nowhere.example.net", Path: "/g"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := world{resolver: resolver}.newSender(t, Config{AllowPrivate: tt.private, Roots: ca.pool, HTTPSPort: port})
			look := s.LookWay(t.Context(), "example.com", tt.way, wanted)
			got := ""
			if look.Outcome == Pass {
				got = <-asked
			}
			if got != tt.want || len(asked) > 0 {
				t.Errorf("%q was asked (%d more), want %q: %+v", got, len(asked), tt.want, look)
			}
		})
	}
}

func TestLookPolicyAtStillChecksTheCertificate(t *testing.T) {
	t.Parallel()
	ca := testCA(t)
	s := atLoopback(t, Config{Roots: ca.pool}, answering(ca.issue(t, time.Now().Add(time.Hour), "ingress.local"), ok(testBody)))
	look := s.LookPolicyAt(t.Context(), "example.com", netip.MustParseAddr("::ffff:127.0.0.1"), wanted)
	if look.Outcome != Broken || look.Reason != CertificateWrongName {
		t.Errorf("LookPolicyAt: %+v", look)
	}
}

func TestNothingListens(t *testing.T) {
	t.Parallel()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := listener.Addr().(*net.TCPAddr).AddrPort().Port()
	_ = listener.Close()
	s := world{resolver: &nameServer{records: []string{"mta-sts.example.com. 60 A 127.0.0.1"}}}.
		newSender(t, Config{AllowPrivate: true, HTTPSPort: port})
	look := s.LookPolicy(t.Context(), "example.com", wanted)
	want := "mta-sts.example.com at 127.0.0.1: refuses connections on port " + strconv.Itoa(int(port))
	if look.Outcome != NoAnswer || look.Reason != ConnectionRefused || look.Message != want {
		t.Errorf("LookPolicy: %+v", look)
	}
}

func TestAPolicyHostWithoutAddressGivesNoAnswer(t *testing.T) {
	t.Parallel()
	s := world{resolver: &nameServer{}}.newSender(t, Config{})
	want := Look{Outcome: NoAnswer, Reason: DNSNotFound, Message: "mta-sts.example.com has no address"}
	if diff := cmp.Diff(want, s.LookPolicy(t.Context(), "example.com", wanted)); diff != "" {
		t.Errorf("LookPolicy (-want +got):\n%s", diff)
	}
}

func TestDialErrorsHaveReasons(t *testing.T) {
	dialled := func(err error) error { return &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", err)} }
	for _, test := range []struct {
		err  error
		want Reason
	}{
		{dialled(syscall.ENETUNREACH), NoRoute},
		{dialled(syscall.EHOSTUNREACH), NoRoute},
		{dialled(syscall.EADDRNOTAVAIL), NoRoute},
		{dialled(syscall.ECONNREFUSED), ConnectionRefused},
		{dialled(syscall.ECONNRESET), ConnectionClosed},
		{dialled(syscall.ETIMEDOUT), Timeout},
		{context.DeadlineExceeded, Timeout},
		{&net.OpError{Op: "dial", Err: errRefused}, AddressRefused},
		{errors.New("something 10.0.0.1:54321"), ConnectionFailed},
	} {
		got := dialProblem(test.err, 443)
		if got.outcome != NoAnswer || got.reason != test.want || strings.Contains(got.message, "54321") {
			t.Errorf("%v: %+v, want %s", test.err, got, test.want)
		}
	}
}

func TestAFamilyWithoutARouteDoesNotBlock(t *testing.T) {
	v4, otherV4 := netip.MustParseAddr("203.0.113.7"), netip.MustParseAddr("203.0.113.8")
	v6, otherV6 := netip.MustParseAddr("2001:db8::7"), netip.MustParseAddr("2001:db8::8")
	pass := func(a netip.Addr) AddressLook { return AddressLook{Address: a, Outcome: Pass} }
	failed := func(a netip.Addr, outcome Outcome, reason Reason) AddressLook {
		return AddressLook{Address: a, Outcome: outcome, Reason: reason, Message: "is " + string(reason)}
	}
	noRoute := func(a netip.Addr) AddressLook { return failed(a, NoAnswer, NoRoute) }
	for name, test := range map[string]struct {
		looks   []AddressLook
		outcome Outcome
		reason  Reason
		message string
	}{
		"IPv6 lacks a route and IPv4 passes": {
			[]AddressLook{pass(v4), noRoute(v6), noRoute(otherV6)},
			Pass, "", "host at 2001:db8::7, 2001:db8::8: is NoRoute",
		},
		"IPv4 lacks a route and IPv6 passes": {
			[]AddressLook{noRoute(v4), pass(v6)}, Pass, "", "host at 203.0.113.7: is NoRoute",
		},
		"one address of the passing family lacks a route": {
			[]AddressLook{pass(v4), noRoute(otherV4)}, NoAnswer, NoRoute, "host at 203.0.113.8: is NoRoute",
		},
		"one address of a family lacks a route, the other times out": {
			[]AddressLook{pass(v4), noRoute(v6), failed(otherV6, NoAnswer, Timeout)},
			NoAnswer, NoRoute, "host at 2001:db8::7: is NoRoute; host at 2001:db8::8: is Timeout",
		},
		"nothing has a route": {
			[]AddressLook{noRoute(v4), noRoute(v6)}, NoAnswer, NoRoute, "host at 203.0.113.7, 2001:db8::7: is NoRoute",
		},
		"IPv6 lacks a route and IPv4 is broken": {
			[]AddressLook{failed(v4, Broken, Redirect), noRoute(v6)}, Broken, Redirect, "host at 203.0.113.7: is Redirect",
		},
		"IPv6 times out": {
			[]AddressLook{pass(v4), failed(v6, NoAnswer, Timeout)}, NoAnswer, Timeout, "host at 2001:db8::7: is Timeout",
		},
		"wrong counts more than broken": {
			[]AddressLook{failed(v4, Broken, Redirect), failed(v6, WrongBody, OtherPolicy)},
			WrongBody, OtherPolicy, "host at 2001:db8::7: is OtherPolicy",
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := combine("host", test.looks)
			want := Look{Outcome: test.outcome, Reason: test.reason, Message: test.message, Addresses: test.looks}
			if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
				t.Errorf("combine (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTheEarliestCertificateCounts(t *testing.T) {
	early, late := time.Unix(1, 0), time.Unix(2, 0)
	got := combine("host", []AddressLook{{Outcome: Pass, NotAfter: late}, {Outcome: Pass, NotAfter: early}, {Outcome: NoAnswer}})
	if !got.NotAfter.Equal(early) {
		t.Errorf("NotAfter %v, want %v", got.NotAfter, early)
	}
}

func TestLookPolicyKeepsWhatWasAnswered(t *testing.T) {
	t.Parallel()
	ca := testCA(t)
	certificate := ca.issue(t, time.Now().Add(time.Hour), "mta-sts.example.com")
	for name, test := range map[string]struct {
		answer string
		want   *Answer
	}{
		"a policy": {ok(testBody), &Answer{Status: 200, ContentType: "text/plain; charset=utf-8", Body: testBody}},
		"a body that is no policy": {
			ok("mode: never\n"), &Answer{Status: 200, ContentType: "text/plain; charset=utf-8", Body: "mode: never\n"},
		},
		"a policy of the wrong type": {
			ok(testBody, "Content-Type: text/html"), &Answer{Status: 200, ContentType: "text/html", Body: testBody},
		},
		"a redirect": {
			"HTTP/1.1 302 Found\r\nLocation: https://example.com/é\r\nContent-Length: 4\r\n\r\nbody",
			&Answer{Status: 302, Location: "https://example.com/?"},
		},
		"too much":          {ok(padded(64<<10 + 1)), &Answer{Status: 200, ContentType: "text/plain; charset=utf-8", Body: padded(64<<10 + 1)[:64<<10]}},
		"nothing like HTTP": {"220 mx\r\n", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := atLoopback(t, Config{AllowPrivate: true, Roots: ca.pool}, answering(certificate, test.answer))
			look := s.LookPolicy(t.Context(), "example.com", nil)
			if diff := cmp.Diff(test.want, look.Addresses[0].Answer); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}
