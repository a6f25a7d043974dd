package harness

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"
)

// MailFault is what is wrong with a mail server.
type MailFault int

// The faults.
const (
	// MailSound is the zero value: STARTTLS with a certificate of the harness' authority.
	MailSound MailFault = iota
	// MailNoSTARTTLS: it does not offer STARTTLS.
	MailNoSTARTTLS
	// MailWrongName: its certificate is for another name.
	MailWrongName
	// MailExpired: its certificate has expired.
	MailExpired
	// MailSilent: it takes connections and never says a word.
	MailSilent
)

// MailHosts are SMTP servers on loopback. All have the same port; what tells them apart is the
// address, 127.0.1.1 and so on, that DNS answers for their name.
type MailHosts struct {
	dns       *DNS
	authority *Authority
	port      uint16

	mu     sync.Mutex
	hosts  map[string]*mailHost
	pairs  map[string]mailPair // by the name in the certificate
	free   net.Listener        // of the first address, until there is a host
	wait   sync.WaitGroup
	ctx    context.Context //nolint:containedctx // the life of the servers
	cancel context.CancelFunc
}

// mailPair is a certificate with its key, shown during the first half of its lifetime.
type mailPair struct {
	pair         *tls.Certificate
	since, until time.Time
}

type mailHost struct {
	name     string
	listener net.Listener
	fault    MailFault
	sessions int
}

func newMailHosts(ctx context.Context, dns *DNS, authority *Authority) (*MailHosts, error) {
	m := &MailHosts{dns: dns, authority: authority, hosts: map[string]*mailHost{}, pairs: map[string]mailPair{}}
	m.ctx, m.cancel = context.WithCancel(ctx)
	first, err := m.listen(ctx, 1)
	if err != nil {
		return nil, err
	}
	m.free = first
	address, ok := first.Addr().(*net.TCPAddr)
	if !ok {
		return nil, fmt.Errorf("listening for mail: %v is no TCP address", first.Addr())
	}
	m.port = address.AddrPort().Port()
	return m, nil
}

func (m *MailHosts) listen(ctx context.Context, n byte) (net.Listener, error) {
	address := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 1, n}), m.port)
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address.String())
	if err != nil {
		return nil, fmt.Errorf("listening for mail: %w", err)
	}
	return listener, nil
}

// Add starts a mail server, 200 at most, and gives its name an address in DNS.
func (m *MailHosts) Add(ctx context.Context, name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := len(m.hosts) + 1
	h := &mailHost{name: name, listener: m.free}
	if n > 1 {
		var err error
		if h.listener, err = m.listen(ctx, byte(n)); err != nil { //nolint:gosec // 200 at most
			return err
		}
	}
	m.hosts[name] = h
	m.dns.SetA(name, fmt.Sprintf("127.0.1.%d", n))
	m.wait.Go(func() { m.serve(h) })
	return nil
}

// Break gives a mail server a fault, or mends it.
func (m *MailHosts) Break(name string, fault MailFault) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.hosts[name].fault = fault
}

// Sessions is how often a mail server was connected to.
func (m *MailHosts) Sessions(name string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.hosts[name].sessions
}

func (m *MailHosts) close() error {
	m.cancel()
	m.mu.Lock()
	errs := make([]error, 0, len(m.hosts)+1)
	errs = append(errs, m.free.Close())
	for _, h := range m.hosts {
		errs = append(errs, h.listener.Close())
	}
	m.mu.Unlock()
	m.wait.Wait()
	for _, err := range errs {
		if err != nil && !errors.Is(err, net.ErrClosed) {
			return fmt.Errorf("closing a mail server: %w", err)
		}
	}
	return nil
}

func (m *MailHosts) serve(h *mailHost) {
	for {
		conn, err := h.listener.Accept()
		if err != nil {
			return
		}
		m.mu.Lock()
		h.sessions++
		fault := h.fault
		m.mu.Unlock()
		m.wait.Go(func() {
			defer func() { _ = conn.Close() }()
			stop := context.AfterFunc(m.ctx, func() { _ = conn.Close() })
			defer stop()
			m.speak(conn, h.name, fault)
		})
	}
}

func (m *MailHosts) speak(conn net.Conn, name string, fault MailFault) {
	if fault == MailSilent {
		_, _ = io.Copy(io.Discard, conn)
		return
	}
	_, _ = io.WriteString(conn, "220 "+name+"\r\n")
	lines := bufio.NewScanner(conn)
	for lines.Scan() {
		switch verb, _, _ := strings.Cut(lines.Text(), " "); {
		case verb == "EHLO" && fault == MailNoSTARTTLS:
			_, _ = io.WriteString(conn, "250 "+name+"\r\n")
		case verb == "EHLO":
			_, _ = io.WriteString(conn, "250-"+name+"\r\n250 STARTTLS\r\n")
		case verb == "STARTTLS":
			_, _ = io.WriteString(conn, "220 go ahead\r\n")
			m.speakTLS(conn, name, fault)
			return
		default:
			_, _ = io.WriteString(conn, "221 bye\r\n")
			return
		}
	}
}

func (m *MailHosts) pair(lifetime time.Duration, name string) (*tls.Certificate, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.authority.now()
	if known := m.pairs[name]; lifetime > 0 && !now.Before(known.since) && now.Before(known.until) {
		return known.pair, nil
	}
	pair, err := m.authority.IssuePair(lifetime, name)
	if err == nil {
		m.pairs[name] = mailPair{pair, now, now.Add(lifetime / 2)}
	}
	return pair, err
}

func (m *MailHosts) speakTLS(conn net.Conn, name string, fault MailFault) {
	lifetime := 90 * 24 * time.Hour
	switch fault {
	case MailWrongName:
		name = "other.example"
	case MailExpired:
		lifetime = -time.Hour
	case MailSound, MailNoSTARTTLS, MailSilent:
	}
	pair, err := m.pair(lifetime, name)
	if err != nil {
		return // the client sees a connection that was closed
	}
	secured := tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{*pair}, MinVersion: tls.VersionTLS12})
	_, _ = secured.Read(make([]byte, 64)) // QUIT
	_, _ = io.WriteString(secured, "221 bye\r\n")
}
