package controllers

import (
	"context"
	"sync"
	"time"
	"unicode/utf8"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/internal/sender"
)

// mxHostAsker asks MX hosts for STARTTLS as a sender does, one connection at a time to each, however many
// policies name it, and wakes the domains for which the answer changed. No pass over a domain waits for it.
type mxHostAsker struct {
	Options

	hosts *mxHosts
	wake  func(ctx context.Context, domain string)
}

// Start implements manager.Runnable: it asks for as long as the operator leads.
func (a *mxHostAsker) Start(ctx context.Context) error {
	var asking sync.WaitGroup
	defer asking.Wait()
	for {
		q, ok, wait := a.hosts.next(a.Clock.Now())
		if ok {
			asking.Go(func() { a.ask(ctx, q) })
			continue
		}
		var later <-chan time.Time
		if wait > 0 {
			later = a.Clock.After(wait)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-a.hosts.wake:
		case <-later:
		}
	}
}

// ask asks one question. An answer that was cut short proves nothing, and nobody is left to hear it.
func (a *mxHostAsker) ask(ctx context.Context, q mxQuestion) {
	began := a.Clock.Now()
	var domains []string
	if q.address.IsValid() {
		did := a.World.ProbeMXAddress(ctx, q.host, q.address)
		if ctx.Err() != nil {
			return
		}
		domains = a.hosts.asked(q, did, began, a.Clock.Now())
	} else {
		at := a.World.ResolveMX(ctx, q.host)
		if ctx.Err() != nil {
			return
		}
		domains = a.hosts.resolved(q, at, a.Clock.Now())
	}
	for _, domain := range domains {
		a.wake(ctx, domain)
	}
}

// starttlsOf is a probe as it is shown.
func starttlsOf(probe sender.MXProbe, egressBlocked bool) v1alpha1.STARTTLS {
	out := v1alpha1.STARTTLS{
		State: stateOf(probe.Outcome), Reason: string(probe.Reason), Message: shorten(probe.Message, maxMXMessage),
	}
	if egressBlocked {
		out.Reason, out.Message = v1alpha1.ReasonEgressBlocked, egressMessage
	}
	for _, a := range probe.Addresses {
		address := v1alpha1.MXAddress{
			Address: a.Address.String(), State: stateOf(a.Outcome), Reason: string(a.Reason), TLSVersion: a.TLSVersion,
		}
		if !a.NotAfter.IsZero() {
			address.CertificateNotAfter = new(metav1.NewTime(a.NotAfter.Truncate(time.Second)))
		}
		if a.Outcome == sender.Broken {
			address.CertificateNames = a.Names[:min(len(a.Names), maxCertificateNames)]
		}
		out.Addresses = append(out.Addresses, address)
	}
	return out
}

const (
	// maxMXMessage and maxCertificateNames are what the API server accepts.
	maxMXMessage        = 1024
	maxCertificateNames = 5
	egressMessage       = "no MX host can be reached at port 25 from here: either the host is down, or the cluster's network does not let SMTP out; senders elsewhere may well reach it"
)

func stateOf(outcome sender.Outcome) v1alpha1.STARTTLSState {
	switch outcome {
	case sender.Pass:
		return v1alpha1.STARTTLSWorks
	case sender.Broken:
		return v1alpha1.STARTTLSFails
	default:
		return v1alpha1.STARTTLSUnknown
	}
}

// shorten cuts a text that is too long for its field, at the beginning of a letter.
func shorten(text string, most int) string {
	if len(text) <= most {
		return text
	}
	cut := most - len("…")
	for !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut] + "…"
}
