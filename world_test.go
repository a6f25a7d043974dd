package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"flag"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/mta-sts-operator/mta-sts-operator/internal/sender"
	"github.com/mta-sts-operator/mta-sts-operator/test/harness"
)

var update = flag.Bool("update", false, "write the golden files anew")

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

const day = 24 * time.Hour

// loopbackWorld is DNS, policy hosts and mail servers on loopback.
type loopbackWorld struct {
	authority *harness.Authority
	caFile    string
	config    sender.Config
	resolver  string
	sessions  atomic.Int32 // of SMTP
}

// newWorld starts the servers: policy hosts at 127.0.0.1 and so on, mail servers at
// 127.0.0.11 and so on. Of the records, those of a name in failing are answered SERVFAIL.
func newWorld(t *testing.T, records []string, failing string) *loopbackWorld {
	t.Helper()
	clock := clocktesting.NewFakePassiveClock(now)
	authority, err := harness.NewAuthority(clock)
	if err != nil {
		t.Fatal(err)
	}
	w := &loopbackWorld{authority: authority, caFile: filepath.Join(t.TempDir(), "ca.pem")}
	if err := os.WriteFile(w.caFile, authority.PEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	w.resolver = serveDNS(t, records, failing)
	w.config = sender.Config{Now: func() time.Time { return now }}
	return w
}

func (w *loopbackWorld) certificate(t *testing.T, lifetime time.Duration, names ...string) *tls.Config {
	t.Helper()
	pair, err := w.authority.IssuePair(lifetime, names...)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{*pair}, MinVersion: tls.VersionTLS12}
}

// servePolicies answers at 127.0.0.1, 127.0.0.2 and so on.
func (w *loopbackWorld) servePolicies(t *testing.T, config *tls.Config, handlers ...http.HandlerFunc) {
	t.Helper()
	var port uint16
	for i, handler := range handlers {
		listener := listenAt(t, i+1, &port)
		server := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}
		go func() { _ = server.Serve(tls.NewListener(listener, config)) }()
		t.Cleanup(func() { _ = server.Close() })
	}
	w.config.HTTPSPort = port
}

// serveMail answers at 127.0.0.11, 127.0.0.12 and so on. A server without TLS offers no STARTTLS.
func (w *loopbackWorld) serveMail(t *testing.T, configs ...*tls.Config) {
	t.Helper()
	var port uint16
	for i, config := range configs {
		listener := listenAt(t, i+11, &port)
		t.Cleanup(func() { _ = listener.Close() })
		go func() {
			for {
				conn, err := listener.Accept()
				if err != nil {
					return
				}
				w.sessions.Add(1)
				go speakSMTP(conn, config)
			}
		}()
	}
	w.config.SMTPPort = port
}

func speakSMTP(conn net.Conn, config *tls.Config) {
	defer func() { _ = conn.Close() }()
	_, _ = io.WriteString(conn, "220 mail server\r\n")
	lines := bufio.NewScanner(conn)
	for lines.Scan() {
		answer := map[string]string{"EHLO": "250-mail server\r\n250 STARTTLS\r\n", "STARTTLS": "220 go ahead\r\n", "QUIT": "221 bye\r\n"}
		verb, _, _ := strings.Cut(lines.Text(), " ")
		if verb == "EHLO" && config == nil {
			answer[verb] = "250 mail server\r\n"
		}
		_, _ = io.WriteString(conn, answer[verb])
		if verb == "STARTTLS" {
			secured := tls.Server(conn, config)
			_, _ = secured.Read(make([]byte, 64)) // QUIT
			_, _ = io.WriteString(secured, answer["QUIT"])
			return
		}
	}
}

// listenAt takes a port for the first address and the same for the others.
func listenAt(t *testing.T, host int, port *uint16) net.Listener {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", net.JoinHostPort("127.0.0."+strconv.Itoa(host), strconv.Itoa(int(*port))))
	if err != nil {
		t.Skipf("this machine has no second loopback address: %v", err)
	}
	*port = listener.Addr().(*net.TCPAddr).AddrPort().Port()
	return listener
}

func serveDNS(t *testing.T, records []string, failing string) (address string) {
	t.Helper()
	known := make([]dns.RR, len(records))
	for i, text := range records {
		record, err := dns.NewRR(text)
		if err != nil {
			t.Fatal(err)
		}
		known[i] = record
	}
	packets, err := new(net.ListenConfig).ListenPacket(t.Context(), "udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	started := make(chan struct{})
	server := &dns.Server{PacketConn: packets, NotifyStartedFunc: func() { close(started) }}
	server.Handler = dns.HandlerFunc(func(out dns.ResponseWriter, question *dns.Msg) {
		answer := new(dns.Msg).SetReply(question)
		answer.RecursionAvailable = true
		q := question.Question[0]
		for _, record := range known {
			if record.Header().Name == q.Name && record.Header().Rrtype == q.Qtype {
				answer.Answer = append(answer.Answer, record)
			}
		}
		if q.Name == failing {
			answer.Rcode = dns.RcodeServerFailure
		}
		_ = out.WriteMsg(answer)
	})
	go func() { _ = server.ActivateAndServe() }()
	<-started
	t.Cleanup(func() { _ = server.Shutdown() })
	return packets.LocalAddr().String()
}

// policy answers with a text.
func policy(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		_, _ = io.WriteString(w, body)
	}
}

// run runs the program in this world, or in none if w is nil.
func (w *loopbackWorld) run(t *testing.T, in string, args ...string) (out, errors string, code int) {
	t.Helper()
	var config sender.Config
	if w != nil {
		config = w.config
		args = append(slices.Clone(args), "--resolver", w.resolver)
	}
	cmd := rootCommand(config)
	var stdout, stderr bytes.Buffer
	cmd.SetArgs(args)
	cmd.SetIn(strings.NewReader(in))
	cmd.SetOut(&stdout)
	cmd.SetErr(&stderr)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := cmd.ExecuteContext(ctx); err != nil {
		code = exit(cmd, err, &stderr)
	}
	return stdout.String(), stderr.String(), code
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s, -want +got:\n%s", path, diff)
	}
}
