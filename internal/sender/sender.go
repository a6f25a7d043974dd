package sender

import (
	"cmp"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"
)

const (
	defaultTimeout = 10 * time.Second
	// An exchange may take this share of a look's time, 3 s of 10 s: finding the
	// zone, asking its servers in vain and falling back to a resolver still
	// leaves some of it.
	exchangeShare = 0.3
	// Servers that delay their greeting to tell spammers apart do so for up to a
	// minute; two thirds of the time for a mail server are left for it.
	defaultSMTPTimeout = 90 * time.Second
	resolvConf         = "/etc/resolv.conf"
)

// Config says how a [Sender] sees the world. The zero value sees what a sender
// on this machine would.
type Config struct {
	// Resolvers are recursive resolvers, "host:port" or an IP address (port 53),
	// asked in this order, but starting with the one that answered last. Empty
	// means those of /etc/resolv.conf.
	Resolvers []string
	// Roots are the trusted root certificates; nil means the system's.
	Roots *x509.CertPool
	// AllowPrivate permits loopback, private, link-local and other addresses
	// that are not public, for policy hosts, MX hosts and authoritative name servers.
	AllowPrivate bool
	// Deny are networks in which nothing is dialled, whatever AllowPrivate says: no policy host, not even at an
	// address that is given, no MX host and no authoritative name server. An IPv4 network means the same
	// addresses inside IPv6 as well.
	Deny []netip.Prefix
	// DNSPort is the port of authoritative name servers, 0 means 53.
	DNSPort uint16
	// HTTPSPort is the port of policy hosts, 0 means 443. The URL and the Host
	// header never show it.
	HTTPSPort uint16
	// SMTPPort is the port of MX hosts, 0 means 25.
	SMTPPort uint16
	// HELO is the name that MX hosts are greeted with. Empty means the address of
	// the connection's own end as a literal (RFC 5321 §4.1.4).
	HELO string
	// Timeout bounds one look or lookup, and connecting to an MX host; 0 means 10 s.
	// One DNS exchange may take three tenths of it.
	Timeout time.Duration
	// SMTPTimeout bounds the session with one address of an MX host, 0 means 90 s.
	// Its greeting may take two thirds of it.
	SMTPTimeout time.Duration
	// Now is the clock that certificates are checked against; nil means time.Now.
	Now func() time.Time
}

// Sender looks at DNS and policy hosts. It remembers no answers and is safe for
// concurrent use.
type Sender struct {
	resolvers       []server
	lastGood        atomic.Int32 // index of the resolver that answered last
	roots           *x509.CertPool
	allowPrivate    bool
	deny            []netip.Prefix
	dnsPort         uint16
	httpsPort       uint16
	smtpPort        uint16
	helo            string
	timeout         time.Duration
	exchangeTimeout time.Duration
	smtpTimeout     time.Duration
	now             func() time.Time
}

// New returns a Sender. It fails if there is no resolver, if a resolver is not
// an address, if HELO is no word, or if the system has no root certificates while
// Roots is nil.
func New(config Config) (*Sender, error) {
	resolvers, err := resolversOf(config.Resolvers)
	if err != nil {
		return nil, err
	}
	roots, err := rootsOf(config.Roots)
	if err != nil {
		return nil, err
	}
	// It becomes part of a command.
	if strings.ContainsFunc(config.HELO, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil, fmt.Errorf("HELO name %q: want a host name or an address literal", config.HELO)
	}
	s := &Sender{
		resolvers:    resolvers,
		roots:        roots,
		allowPrivate: config.AllowPrivate,
		deny:         config.Deny,
		dnsPort:      cmp.Or(config.DNSPort, 53),
		httpsPort:    cmp.Or(config.HTTPSPort, 443),
		smtpPort:     cmp.Or(config.SMTPPort, 25),
		helo:         config.HELO,
		timeout:      cmp.Or(config.Timeout, defaultTimeout),
		smtpTimeout:  cmp.Or(config.SMTPTimeout, defaultSMTPTimeout),
		now:          config.Now,
	}
	if s.now == nil {
		s.now = time.Now
	}
	s.exchangeTimeout = time.Duration(exchangeShare * float64(s.timeout))
	return s, nil
}

func resolversOf(configured []string) ([]server, error) {
	if len(configured) == 0 {
		system, err := dns.ClientConfigFromFile(resolvConf)
		if err != nil {
			return nil, fmt.Errorf("reading the system's resolvers: %w", err)
		}
		configured = system.Servers
	}
	if len(configured) == 0 {
		return nil, errors.New("no resolver is configured and " + resolvConf + " names none")
	}
	resolvers := make([]server, 0, len(configured))
	for _, resolver := range configured {
		address, err := resolverAddress(resolver)
		if err != nil {
			return nil, fmt.Errorf("resolver %q: %w", resolver, err)
		}
		resolvers = append(resolvers, server{label: "resolver " + resolver, address: address})
	}
	return resolvers, nil
}

func resolverAddress(resolver string) (string, error) {
	if address, err := netip.ParseAddr(resolver); err == nil {
		return net.JoinHostPort(address.String(), "53"), nil
	}
	host, port, err := net.SplitHostPort(resolver)
	if err != nil {
		return "", errors.New("want an IP address or host:port")
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil || host == "" {
		return "", errors.New("want an IP address or host:port with a numeric port")
	}
	return resolver, nil
}

func rootsOf(configured *x509.CertPool) (*x509.CertPool, error) {
	if configured != nil {
		return configured, nil
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		return nil, fmt.Errorf("reading the system's root certificates: %w", err)
	}
	// Without this every policy host would be blamed for what is missing here.
	if roots.Equal(x509.NewCertPool()) {
		return nil, errors.New("the system has no root certificates")
	}
	return roots, nil
}
