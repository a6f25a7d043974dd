package controllers

import (
	"context"
	"time"
	"unicode/utf8"

	"golang.org/x/time/rate"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/internal/sender"
)

// mxHostKey is a mail server, whoever's mail it takes.
type mxHostKey struct{ Host string }

// String is for logs.
func (k mxHostKey) String() string { return k.Host }

const (
	// mxHostsPerSecond bounds how many mail servers of others are troubled, as after a restart.
	mxHostsPerSecond = 2
	// mxHostWorkers is how many hosts are asked at once: each may take minutes to answer.
	mxHostWorkers = 8
	// probeTimeout bounds one host: eight addresses that each take a minute and a half.
	probeTimeout = 15 * time.Minute
)

// mxHostReconciler asks MX hosts for STARTTLS as a sender does, one connection at a time to each, however
// many policies name it, and wakes the domains for which the answer changed.
type mxHostReconciler struct {
	Options

	hosts   *mxHosts
	limiter *rate.Limiter
	wake    func(ctx context.Context, domain string)
}

// Reconcile asks one host if that is due.
func (r *mxHostReconciler) Reconcile(ctx context.Context, key mxHostKey) (reconcile.Result, error) {
	wait, wanted := r.hosts.dueIn(key.Host, r.Clock.Now())
	if !wanted || wait > 0 {
		return reconcile.Result{RequeueAfter: wait}, nil
	}
	if err := r.limiter.Wait(ctx); err != nil {
		return reconcile.Result{}, nil //nolint:nilerr // the operator is being stopped
	}
	probe := r.World.ProbeMX(ctx, key.Host)
	if ctx.Err() != nil {
		return reconcile.Result{RequeueAfter: r.Timings.STARTTLSRetry}, nil //nolint:nilerr // cut short: it proves nothing
	}
	domains, next := r.hosts.saw(key.Host, probe, r.Clock.Now())
	for _, domain := range domains {
		r.wake(ctx, domain)
	}
	return reconcile.Result{RequeueAfter: next}, nil
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
