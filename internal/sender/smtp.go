package sender

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/netip"
	"time"

	"github.com/miekg/dns"
)

const (
	// maxMXAddresses bounds the addresses of one MX host that are asked one after
	// another, each of which may take a while. Known providers have fewer.
	maxMXAddresses = 8
	// maxNames bounds the names taken from a certificate.
	maxNames = 20
)

// MXAddress is what one address of an MX host does.
type MXAddress struct {
	Address netip.Addr
	Outcome Outcome // Pass, Broken or NoAnswer
	Reason  Reason  // empty for Pass
	// Message says what the address does, such as "does not offer STARTTLS";
	// empty for Pass.
	Message string
	// Reply is what the server said when it refused, made fit to be shown; it may
	// differ from one look to the next. Empty if it refused nothing.
	Reply string
	// Connected means that the TCP connection came about.
	Connected bool
	// EarlyPlaintext means that more text followed the server's consent to TLS in
	// the clear. It was thrown away; where a sender keeps it, somebody on the way
	// can put words into the server's mouth.
	EarlyPlaintext bool
	// TLSVersion is such as "TLS 1.3"; empty if the handshake did not end well.
	TLSVersion string
	// NotAfter and Names, 20 at most, are of the leaf certificate, whether it is
	// accepted or not; zero without one.
	NotAfter time.Time
	Names    []string
}

// MXProbe is what an MX host does at its addresses together.
type MXProbe struct {
	Host    string // lower case, no trailing dot
	CNAME   string // as in Host; an MX record should not point to an alias (RFC 5321 §5.1)
	Outcome Outcome
	Reason  Reason // of the first address that decides; empty for Pass
	// Message names the host and the addresses that decide, as in [Look].
	Message   string
	NotAfter  time.Time   // the earliest of all addresses
	Addresses []MXAddress // sorted, the first 8; empty if the name could not be resolved
	Unasked   int         // addresses beyond those, of which nothing is known
}

// MXAddresses are the addresses at which an MX host is to be asked.
type MXAddresses struct {
	Host, CNAME string // as in [MXProbe]
	// Reason and Message say why the name could not be resolved; empty if it could.
	Reason    Reason
	Message   string
	Addresses []netip.Addr // sorted, the first 8
	Unasked   int          // addresses beyond those
}

// ProbeMX does with an MX host what a sender does that has a policy of mode
// enforce, up to the point where it would send mail (RFC 8461 §4.2, §5): it
// connects to each address, greets, starts TLS and holds the certificate to the
// host's name. There is one connection at a time.
func (s *Sender) ProbeMX(ctx context.Context, host string) MXProbe {
	at := s.ResolveMX(ctx, host)
	seen := make([]MXAddress, 0, len(at.Addresses))
	for _, address := range at.Addresses {
		seen = append(seen, s.ProbeMXAddress(ctx, at.Host, address))
	}
	return JudgeMX(at, seen)
}

// ResolveMX is the first step of [Sender.ProbeMX].
func (s *Sender) ResolveMX(ctx context.Context, host string) MXAddresses {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	found := s.lookupHost(ctx, host, false)
	at := MXAddresses{Host: plain(dns.CanonicalName(host)), CNAME: found.CNAME}
	if found.Status != Found {
		at.Reason, at.Message = found.Reason, found.Message
		return at
	}
	at.Addresses = found.Addresses[:min(len(found.Addresses), maxMXAddresses)]
	at.Unasked = len(found.Addresses) - len(at.Addresses)
	return at
}

// JudgeMX is the last step of [Sender.ProbeMX]: what the host does, by what was
// seen at each of its addresses.
//
// One address that is broken makes the host broken, else one without an answer
// makes it NoAnswer, with the exception for whole address families that
// [Sender.LookPolicy] makes. A server that refuses this client, or an address
// that cannot be reached, is NoAnswer: it may well serve others.
func JudgeMX(at MXAddresses, seen []MXAddress) MXProbe {
	probe := MXProbe{Host: at.Host, CNAME: at.CNAME, Addresses: seen, Unasked: at.Unasked}
	if at.Reason != "" {
		probe.Outcome, probe.Reason, probe.Message = NoAnswer, at.Reason, at.Message
		return probe
	}
	looks := make([]AddressLook, 0, len(seen))
	for _, a := range seen {
		looks = append(looks, AddressLook{Address: a.Address, Outcome: a.Outcome, Reason: a.Reason, Message: a.Message, NotAfter: a.NotAfter})
	}
	whole := combine(at.Host, looks)
	probe.Outcome, probe.Reason, probe.Message, probe.NotAfter = whole.Outcome, whole.Reason, whole.Message, whole.NotAfter
	return probe
}

// IsEgressBlocked reports whether the probes look as if the network here does not
// let SMTP out: there are addresses, and every one of all hosts fails to connect
// in time or has no route. One host alone that is down looks the same.
func IsEgressBlocked(probes []MXProbe) bool {
	timeouts := 0
	for _, probe := range probes {
		for _, address := range probe.Addresses {
			switch {
			case address.Connected || (address.Reason != Timeout && address.Reason != NoRoute):
				return false
			case address.Reason == Timeout:
				timeouts++
			}
		}
	}
	return timeouts > 0
}

// EveryMXFails reports whether senders are proven to refuse every one of the hosts
// under mode enforce: there is at least one, and all addresses of all were asked and
// are Broken.
func EveryMXFails(probes []MXProbe) bool {
	for _, probe := range probes {
		if len(probe.Addresses) == 0 || probe.Unasked > 0 {
			return false
		}
		for _, address := range probe.Addresses {
			if address.Outcome != Broken {
				return false
			}
		}
	}
	return len(probes) > 0
}

// ProbeMXAddress is what one address of an MX host does, as in [Sender.ProbeMX].
func (s *Sender) ProbeMXAddress(ctx context.Context, host string, address netip.Addr) MXAddress {
	ctx, cancel := context.WithTimeout(ctx, s.smtpTimeout)
	defer cancel()
	seen := MXAddress{Address: address, Outcome: Pass}
	dialContext, cancelDial := context.WithTimeout(ctx, s.timeout)
	defer cancelDial()
	conn, err := s.guardedDialer().DialContext(dialContext, "tcp", netip.AddrPortFrom(address, s.smtpPort).String())
	if err != nil {
		seen.blame(dialProblem(err, s.smtpPort))
		return seen
	}
	defer func() { _ = conn.Close() }()
	seen.Connected = true
	session := newSession(conn)
	refusal, failure := session.startTLS(ctx, s.greetingTime(), s.greeting(conn))
	if failure != nil {
		seen.blame(failure)
		if refusal.code != "" {
			seen.Reply = refusal.shown()
			session.quit()
		}
		return seen
	}
	seen.EarlyPlaintext = session.reader.Buffered() > 0
	s.probeTLS(ctx, host, conn, &seen)
	return seen
}

// probeTLS is the second half of a session: from the handshake on.
func (s *Sender) probeTLS(ctx context.Context, host string, raw net.Conn, seen *MXAddress) {
	conn := tls.Client(raw, &tls.Config{
		ServerName:         host, // RFC 8461 §7.1
		MinVersion:         tls.VersionTLS10,
		InsecureSkipVerify: true, //nolint:gosec // version and certificate are judged below, with more to say about them
	})
	if err := conn.HandshakeContext(ctx); err != nil {
		seen.blame(s.handshakeProblem(err, host))
		return
	}
	state := conn.ConnectionState()
	seen.TLSVersion = tls.VersionName(state.Version)
	certificate := leaf(state.PeerCertificates)
	seen.NotAfter = certificate.NotAfter
	for _, name := range certificate.DNSNames[:min(len(certificate.DNSNames), maxNames)] {
		seen.Names = append(seen.Names, sanitize(name))
	}
	if err := s.verify(state.PeerCertificates, host); err != nil {
		seen.blame(s.certificateProblem(err, host))
	} else if state.Version < tls.VersionTLS12 {
		seen.blame(&problem{Broken, TLSTooOld, "knows no newer TLS than " + seen.TLSVersion + "; senders want 1.2 or 1.3"})
	}
	newSession(conn).quit()
}

// verify is RFC 8461 §4.2: trusted, not expired, and for the host's name in a
// subjectAltName; the common name does not count.
func (s *Sender) verify(chain []*x509.Certificate, host string) error {
	intermediates := x509.NewCertPool()
	for _, certificate := range chain[1:] {
		intermediates.AddCert(certificate)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{
		DNSName: host, Roots: s.roots, Intermediates: intermediates, CurrentTime: s.now(),
	})
	return err //nolint:wrapcheck // the caller turns it into a reason
}

func (a *MXAddress) blame(p *problem) {
	a.Outcome, a.Reason, a.Message = p.outcome, p.reason, p.message
}

// greetingTime is how long a server may take to greet.
func (s *Sender) greetingTime() time.Duration { return s.smtpTimeout * 2 / 3 }

// greeting is how we name ourselves (RFC 5321 §4.1.1.1, §4.1.3).
func (s *Sender) greeting(conn net.Conn) string {
	if s.helo != "" {
		return s.helo
	}
	local, err := netip.ParseAddrPort(conn.LocalAddr().String())
	if err != nil {
		return "localhost"
	}
	address := local.Addr().Unmap().WithZone("")
	if address.Is6() {
		return "[IPv6:" + address.String() + "]"
	}
	return "[" + address.String() + "]"
}
