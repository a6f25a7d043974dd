package check

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
	"github.com/mta-sts-operator/mta-sts-operator/internal/sender"
	"github.com/mta-sts-operator/mta-sts-operator/internal/tlsrpt"
)

// maxProbes is how many MX hosts are talked to at once.
const maxProbes = 4

// World is what a sender can ask. [sender.Sender] is one.
type World interface {
	LookupTXT(ctx context.Context, name string) sender.TXT
	LookupMX(ctx context.Context, domain string) sender.MX
	LookupTLSA(ctx context.Context, host string) sender.TLSA
	LookPolicy(ctx context.Context, domain string, want *sender.Instance) sender.Look
	ProbeMX(ctx context.Context, host string) sender.MXProbe
}

// Options say what to look at, beyond DNS and the policy.
type Options struct {
	// SMTP is whether to talk to the MX hosts and to look for their TLSA records.
	SMTP bool
	// Progress, if not nil, is told what is being looked at, never twice at once.
	Progress func(what string)
}

// Observation is what was seen of a domain.
type Observation struct {
	Domain string
	At     time.Time // when the looks were over
	Record sender.TXT
	Policy sender.Look
	MX     sender.MX
	// Probes and TLSA belong to MX.Hosts in this order; nil if not asked for.
	Probes []sender.MXProbe
	TLSA   []sender.TLSA
	TLSRPT sender.TXT
}

// Observe looks at a domain. The looks go on at once, but a mail host sees one
// connection at a time. now is asked when they are over.
func Observe(ctx context.Context, world World, domain string, now func() time.Time, options Options) Observation {
	seen := Observation{Domain: domain}
	tell := teller(options.Progress)
	var wg sync.WaitGroup
	wg.Go(func() {
		tell(mtasts.RecordName(domain))
		seen.Record = world.LookupTXT(ctx, mtasts.RecordName(domain))
	})
	wg.Go(func() {
		tell(mtasts.PolicyURL(domain))
		seen.Policy = world.LookPolicy(ctx, domain, nil)
	})
	wg.Go(func() {
		tell(tlsrpt.RecordName(domain))
		seen.TLSRPT = world.LookupTXT(ctx, tlsrpt.RecordName(domain))
	})
	wg.Go(func() {
		tell("the MX records of " + domain)
		seen.MX = world.LookupMX(ctx, domain)
		if options.SMTP {
			seen.probe(ctx, world, tell)
		}
	})
	wg.Wait()
	seen.At = now()
	return seen
}

func (o *Observation) probe(ctx context.Context, world World, tell func(string)) {
	var hosts []string
	for _, host := range o.MX.Hosts {
		if !slices.Contains(hosts, host.Name) { // twice with two preferences
			hosts = append(hosts, host.Name)
		}
	}
	probes, tlsa := map[string]sender.MXProbe{}, map[string]sender.TLSA{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	turns := make(chan struct{}, maxProbes)
	for _, host := range hosts {
		wg.Go(func() {
			turns <- struct{}{}
			defer func() { <-turns }()
			tell("the mail server " + host)
			p, t := world.ProbeMX(ctx, host), world.LookupTLSA(ctx, host)
			mu.Lock()
			defer mu.Unlock()
			probes[host], tlsa[host] = p, t
		})
	}
	wg.Wait()
	for _, host := range o.MX.Hosts {
		o.Probes = append(o.Probes, probes[host.Name])
		o.TLSA = append(o.TLSA, tlsa[host.Name])
	}
}

func teller(progress func(string)) func(string) {
	var mu sync.Mutex
	return func(what string) {
		if progress == nil {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		progress(what)
	}
}
