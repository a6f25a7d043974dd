package controllers

import (
	"context"
	"net/netip"
	"strings"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/mta-sts-operator/mta-sts-operator/internal/config"
	"github.com/mta-sts-operator/mta-sts-operator/internal/sender"
)

// deafWorld answers no look at a policy, and says which way it was asked.
type deafWorld struct{ World }

func (deafWorld) LookPolicy(context.Context, string, *sender.Instance) sender.Look {
	return sender.Look{Outcome: sender.NoAnswer, Message: "public"}
}

func (deafWorld) LookupHost(context.Context, string) sender.Host {
	return sender.Host{Status: sender.Unknown}
}

func (deafWorld) LookPolicyAt(_ context.Context, _ string, address netip.Addr, _ *sender.Instance) sender.Look {
	return sender.Look{Outcome: sender.NoAnswer, Message: "at " + address.String()}
}

func TestReachabilityClusterSaysWhenItHasNoAddressToDial(t *testing.T) {
	for name, tt := range map[string]struct {
		from config.Reachability
		at   networkingv1.IngressLoadBalancerIngress
		want string
	}{
		"an address":                      {config.ReachabilityCluster, networkingv1.IngressLoadBalancerIngress{IP: "192.0.2.7"}, "at 192.0.2.7"},
		"a host name":                     {config.ReachabilityCluster, networkingv1.IngressLoadBalancerIngress{Hostname: "lb.example"}, "public; the public address was asked, although"},
		"a host name, which nobody dials": {config.ReachabilityPublic, networkingv1.IngressLoadBalancerIngress{Hostname: "lb.example"}, "public"},
	} {
		t.Run(name, func(t *testing.T) {
			s := inForceScope()
			s.ingress = &networkingv1.Ingress{}
			s.ingress.Status.LoadBalancer.Ingress = []networkingv1.IngressLoadBalancerIngress{tt.at}
			cfg := config.Default()
			cfg.Looks.Reachability = tt.from
			r := &domainReconciler{Options: Options{Config: cfg, World: deafWorld{}, Clock: clocktesting.NewFakeClock(testNow)}.withDefaults()}
			look, _ := r.lookFrom(t.Context(), s, &sender.Instance{})
			got, rest, _ := strings.Cut(look.Message, " looks.reachability")
			if got != tt.want || (rest == "") == strings.HasSuffix(tt.want, "although") {
				t.Errorf("message %q, want %q", look.Message, tt.want)
			}
		})
	}
}
