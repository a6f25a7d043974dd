package controllers

import (
	"hash/fnv"
	"slices"
	"strings"
	"time"

	apiequality "k8s.io/apimachinery/pkg/api/equality"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/controllers/internal/publication"
)

// judgeMX says how the live MX hosts fail, if all of them do, or else what is missing to know that.
func judgeMX(hosts []string, seen map[string]mxSeen, now time.Time, t Timings) (out publication.MXVerdict) {
	var how []string
	for _, host := range hosts {
		s := seen[host]
		switch {
		case (!s.At.IsZero() && !s.fails) || s.unproven:
			return publication.MXVerdict{}
		case !s.At.IsZero() && !s.early && !s.olderThan(2*t.STARTTLSRetry, now): // what holds is asked again before that
			how = append(how, s.starttls.Message)
		case !s.asking.IsZero():
			if s.asking.After(out.Asking) {
				out.Asking = s.asking
			}
		case !s.waiting.IsZero():
			out.Unasked = append(out.Unasked, host)
			if out.UnaskedSince.IsZero() || s.waiting.Before(out.UnaskedSince) {
				out.UnaskedSince = s.waiting
			}
		}
	}
	if len(hosts) > 0 && len(how) == len(hosts) {
		out.Failing = strings.Join(how, "; ")
	}
	return out
}

// working are the hosts that worked when the status was written.
func working(hosts []v1alpha1.MXHost) map[string]bool {
	out := make(map[string]bool, len(hosts))
	for _, h := range hosts {
		out[h.Host] = h.STARTTLS != nil && h.STARTTLS.State == v1alpha1.STARTTLSWorks
	}
	return out
}

// sameButElsewhere says whether a host does at its addresses what it did at others before: large providers
// answer other ones every few minutes, and ten thousand domains need not hear of it.
func sameButElsewhere(before, after v1alpha1.STARTTLS) bool {
	if before.State != v1alpha1.STARTTLSWorks || after.State != v1alpha1.STARTTLSWorks {
		return false
	}
	was, is := found(before), found(after)
	return len(was) == 1 && apiequality.Semantic.DeepEqual(was, is)
}

// found is what was found at the addresses of a host, without saying at which.
func found(s v1alpha1.STARTTLS) []v1alpha1.MXAddress {
	var out []v1alpha1.MXAddress
	for _, a := range s.Addresses {
		a.Address = ""
		if !slices.ContainsFunc(out, func(b v1alpha1.MXAddress) bool { return apiequality.Semantic.DeepEqual(a, b) }) {
			out = append(out, a)
		}
	}
	return out
}

// allSilent says whether every host that was ever asked timed out: then the network here is the one to blame.
func (m *mxHosts) allSilent() bool {
	for _, h := range m.byName {
		if !h.At.IsZero() && !h.silent {
			return false
		}
	}
	return true
}

// spreadOf is a number in [0,1) that differs between names and does not change.
func spreadOf(name string) float64 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(name))
	return float64(h.Sum32()) / (1 << 32)
}
