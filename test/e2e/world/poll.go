package main

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// patience is how long a sender waits for an answer.
const patience = 5 * time.Second

// Pair is an id with the policy that a sender would have kept under it.
type Pair struct {
	ID, Body string
	// Sum is the SHA-256 of the body.
	Sum         string
	First, Last time.Time
	Count       int
}

// Report is what a poller saw.
type Report struct {
	Looks int
	Pairs []*Pair
	// Failures are looks that gave no pair, in a row and for the same reason.
	Failures []*Failure
}

// Failure is what kept looks from giving a pair.
type Failure struct {
	Message     string
	First, Last time.Time
	Count       int
}

// poller looks at a domain as often as no real sender would: each time it reads the id from the
// authoritative server, then fetches the policy over a connection of its own.
type poller struct {
	domain, authority string
	client            *http.Client

	mu     sync.Mutex
	report Report
}

func newPoller(domain, authority, resolver, roots string) (*poller, error) {
	content, err := os.ReadFile(roots)
	if err != nil {
		return nil, fmt.Errorf("reading the certificate authorities: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(content) {
		return nil, fmt.Errorf("%s holds no certificate", roots)
	}
	// By its full name, or resolv.conf's search list is tried first.
	host := "mta-sts." + domain + ".:443"
	dialer := &net.Dialer{Timeout: patience, Resolver: &net.Resolver{
		PreferGo: true,
		Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, resolver)
		},
	}}
	return &poller{
		domain: domain, authority: authority,
		client: &http.Client{
			Timeout: patience,
			Transport: &http.Transport{
				DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
					return dialer.DialContext(ctx, network, host)
				},
				DisableKeepAlives: true,
				TLSClientConfig:   &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12},
			},
			CheckRedirect: func(*http.Request, []*http.Request) error { return errors.New("redirected") },
		},
	}, nil
}

func (p *poller) control() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /report", func(w http.ResponseWriter, _ *http.Request) {
		p.mu.Lock()
		defer p.mu.Unlock()
		_ = json.NewEncoder(w).Encode(p.report) // who asked has gone: nobody to tell
	})
	return mux
}

// run looks until the program ends.
func (p *poller) run(interval time.Duration) {
	for range time.Tick(interval) {
		id, body, err := p.look()
		p.note(id, body, err)
	}
}

func (p *poller) note(id, body string, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	p.report.Looks++
	if err != nil {
		p.fail(err.Error(), now)
		return
	}
	if pairs := p.report.Pairs; len(pairs) > 0 {
		if last := pairs[len(pairs)-1]; last.ID == id && last.Body == body {
			last.Last = now
			last.Count++
			return
		}
	}
	sum := sha256.Sum256([]byte(body))
	p.report.Pairs = append(p.report.Pairs, &Pair{
		ID: id, Body: body, Sum: hex.EncodeToString(sum[:]), First: now, Last: now, Count: 1,
	})
}

// ports are what differs between two failures of the same kind.
var ports = regexp.MustCompile(`:\d+->`)

func (p *poller) fail(message string, now time.Time) {
	message = ports.ReplaceAllString(message, "->")
	if n := len(p.report.Failures); n > 0 {
		if last := p.report.Failures[n-1]; last.Message == message && now.Sub(last.Last) < patience+time.Second {
			last.Last = now
			last.Count++
			return
		}
	}
	p.report.Failures = append(p.report.Failures, &Failure{Message: message, First: now, Last: now, Count: 1})
}

// look reads the id, then the policy. No id is no error: both are "".
func (p *poller) look() (id, body string, err error) {
	id, err = p.readID()
	if err != nil || id == "" {
		return "", "", err
	}
	answer, err := p.client.Get("https://mta-sts." + p.domain + "/.well-known/mta-sts.txt") //nolint:noctx // the client has a timeout
	if err != nil {
		return "", "", fmt.Errorf("fetching the policy: %w", err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return "", "", fmt.Errorf("fetching the policy: %s", answer.Status)
	}
	content, err := io.ReadAll(answer.Body)
	if err != nil {
		return "", "", fmt.Errorf("reading the policy: %w", err)
	}
	return id, string(content), nil
}

func (p *poller) readID() (string, error) {
	question := new(dns.Msg)
	question.SetQuestion("_mta-sts."+p.domain+".", dns.TypeTXT)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	answer, _, err := new(dns.Client).ExchangeContext(ctx, question, p.authority)
	if err != nil {
		return "", fmt.Errorf("asking for the id: %w", err)
	}
	if answer.Rcode == dns.RcodeNameError {
		return "", nil
	}
	if answer.Rcode != dns.RcodeSuccess {
		return "", fmt.Errorf("asking for the id: %s", dns.RcodeToString[answer.Rcode])
	}
	var ids []string
	for _, rr := range answer.Answer {
		txt, ok := rr.(*dns.TXT)
		if !ok {
			continue
		}
		if _, rest, found := strings.Cut(strings.Join(txt.Txt, ""), "v=STSv1; id="); found {
			ids = append(ids, strings.TrimRight(rest, "; "))
		}
	}
	if len(ids) > 1 {
		return "", fmt.Errorf("%d ids at once", len(ids))
	}
	return strings.Join(ids, ""), nil
}
