package controllers

import (
	"fmt"

	apimeta "k8s.io/apimachinery/pkg/api/meta"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
)

// Bounds of a status (I11): a zone may name a hundred MX hosts with eight addresses each, and the operator holds the
// status of every policy.
const (
	// mostStatusBytes leaves room for where messages lead to, up to 64 KiB.
	mostStatusBytes = 60 << 10
	// fewBytes is what is left of messages where there is no room for all.
	fewBytes = 1 << 10
	// addressesLeftOut stands for the addresses of an MX host where there is no room for all.
	addressesLeftOut = "its addresses are left out, for want of room"
)

// fit takes from a status that is too large what people miss least, and says what that is: the addresses of MX hosts,
// first of those that work; the ends of long messages; at last whole hosts.
func (w *statusWriter) fit() {
	for _, cut := range []func(){
		func() {
			w.leaveOutAddresses(func(s v1alpha1.STARTTLSState) bool { return s == v1alpha1.STARTTLSWorks })
		},
		func() { w.leaveOutAddresses(func(v1alpha1.STARTTLSState) bool { return true }) },
		w.shortenMessages,
		w.leaveOutHosts,
	} {
		if encodedBytes(w.status) <= mostStatusBytes {
			return
		}
		cut()
	}
}

// leaveOutAddresses takes the addresses from the hosts in such states.
func (w *statusWriter) leaveOutAddresses(of func(v1alpha1.STARTTLSState) bool) {
	for i := range w.status.MX {
		did := w.status.MX[i].STARTTLS
		if did == nil || len(did.Addresses) == 0 || !of(did.State) {
			continue
		}
		less := *did // what is remembered of the host stays
		less.Addresses = nil
		if less.Message == "" {
			less.Message = addressesLeftOut
		}
		w.status.MX[i].STARTTLS = &less
	}
}

func (w *statusWriter) shortenMessages() {
	for i := range w.status.Conditions {
		c := &w.status.Conditions[i]
		c.Message = shorten(c.Message, fewBytes)
	}
}

// brief is what a host did, in fewer words if so many are live: a condition repeats them, and must say the same when
// they come from the status that the last operator wrote.
func brief(did *v1alpha1.STARTTLS, live int) *v1alpha1.STARTTLS {
	if did == nil || live <= mostMXHosts {
		return did
	}
	less := *did
	less.Message = shorten(less.Message, fewBytes/8)
	return &less
}

// leaveOutHosts keeps as many MX hosts as there is room for.
func (w *statusWriter) leaveOutHosts() {
	over := encodedBytes(w.status) - mostStatusBytes
	keep := len(w.status.MX)
	for ; keep > 0 && over > 0; keep-- {
		over -= encodedBytes(w.status.MX[keep-1])
	}
	w.sayLeftOut(w.status.MX[keep:])
	w.status.MX = w.status.MX[:keep]
}

// sayLeftOut says which MX hosts the status does not show.
func (w *statusWriter) sayLeftOut(hosts []v1alpha1.MXHost) {
	aligned := apimeta.FindStatusCondition(w.status.Conditions, v1alpha1.ConditionMXAligned)
	if len(hosts) == 0 || aligned == nil {
		return
	}
	said := "; status.mx has no room for " + hosts[0].Host
	if more := len(hosts) - 1; more > 0 {
		said += fmt.Sprintf(" and %d more", more)
	}
	said = shorten(said, fewBytes)
	aligned.Message = shorten(aligned.Message, maxMessage-len(said)) + said
}
