package controllers

import (
	"slices"
	"time"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/controllers/internal/resources"
)

// ways are how senders reach the policy server. Where exposure or class changes under way, the wanted way is
// made beside the former one, which goes only once DNS has led to the wanted one for as long as resolvers
// may remember: meanwhile the policy URL answers (I2).
type ways struct {
	// ingress is the wanted one; nil if none is wanted, or it is not there yet. ingressName is its name, also then;
	// "" if none is wanted, or none can be made before surplus is gone.
	ingress     *networkingv1.Ingress
	ingressName string
	// former are those whose place is taken.
	former []*networkingv1.Ingress
	// surplus was to take a place, too, before the wish changed once more.
	surplus *networkingv1.Ingress
}

// waysOf tells the wanted way from the others. written is where DNS was told that the policy host is.
func waysOf(domain string, have [2]*networkingv1.Ingress, s resources.Settings, written []string) (w ways) {
	there := slices.DeleteFunc(slices.Clone(have[:]), func(o *networkingv1.Ingress) bool { return o == nil })
	if s.Exposure != v1alpha1.ExposureIngress {
		w.former = there
		return w
	}
	names := resources.IngressNames(domain)
	for _, o := range there {
		if w.ingress == nil && resources.OfClass(o, s.ClassName) {
			w.ingress, w.ingressName = o, o.Name
		} else {
			w.former = append(w.former, o)
		}
	}
	switch {
	case w.ingress != nil:
	case len(there) == len(have):
		if w.surplus = newcomer(there, written); w.surplus != nil {
			w.former = slices.DeleteFunc(w.former, func(o *networkingv1.Ingress) bool { return o == w.surplus })
		}
	case have[0] == nil:
		w.ingressName = names[0]
	default:
		w.ingressName = names[1]
	}
	return w
}

// newcomer is the one of two Ingresses that DNS does not lead to; nil where that cannot be told.
func newcomer(two []*networkingv1.Ingress, written []string) *networkingv1.Ingress {
	switch a, b := leadsTo(written, two[0]), leadsTo(written, two[1]); {
	case a && !b:
		return two[1]
	case b && !a:
		return two[0]
	}
	return nil
}

func leadsTo(written []string, o *networkingv1.Ingress) bool {
	return slices.ContainsFunc(addressesOf(o), func(a string) bool { return slices.Contains(written, a) })
}

// addressesOf is where an Ingress answers, as its controller says.
func addressesOf(o *networkingv1.Ingress) []string {
	if o == nil {
		return nil
	}
	var out []string
	for _, lb := range o.Status.LoadBalancer.Ingress {
		switch {
		case lb.IP != "":
			out = append(out, lb.IP)
		case lb.Hostname != "":
			out = append(out, lb.Hostname)
		}
	}
	return out
}

// wayMemory is what was seen of a change of ways.
type wayMemory struct {
	// at is when it was looked at last.
	at time.Time
	// answering are targets that answered the policy, as text.
	answering string
	// ledSince is since when DNS leads to the wanted way alone; zero while it does not.
	ledSince time.Time
	// problem is why it does not, as far as that was seen.
	problem string
}

// every Ingress of the domain.
func (w *ways) every() []*networkingv1.Ingress {
	all := append(slices.Clone(w.former), w.ingress, w.surplus)
	return slices.DeleteFunc(all, func(o *networkingv1.Ingress) bool { return o == nil })
}
