package controllers

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/controllers/internal/publication"
	"github.com/mta-sts-operator/mta-sts-operator/controllers/internal/resources"
	"github.com/mta-sts-operator/mta-sts-operator/internal/config"
	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
	"github.com/mta-sts-operator/mta-sts-operator/internal/policyserver"
	"github.com/mta-sts-operator/mta-sts-operator/internal/sender"
)

// observeWays reads the domain's Ingresses. The host's DNSEndpoint has been read before.
func (r *domainReconciler) observeWays(ctx context.Context, s *scope) error {
	var have [2]*networkingv1.Ingress
	for i, name := range resources.IngressNames(s.domain) {
		o, err := get(ctx, r.client, s.publication.Namespace, name, &networkingv1.Ingress{})
		if err != nil {
			return err
		}
		have[i] = o
	}
	s.ways = waysOf(s.domain, have, s.settings, resources.HostTargets(s.hostEndpoint))
	return nil
}

// wantedTargets is where the policy host is to point: what the policy or the configuration says, else the
// addresses of the Ingress.
func (s *scope) wantedTargets() []string {
	if len(s.settings.Targets) > 0 {
		return s.settings.Targets
	}
	return addressesOf(s.ingress)
}

// targets is where the policy host points. While senders get the policy where it points now, that changes
// only once the policy was seen to answer at the new place as well.
func (s *scope) targets() []string {
	wanted := s.wantedTargets()
	if s.moves() && (len(wanted) == 0 || !s.mayMove(wanted)) {
		return resources.HostTargets(s.hostEndpoint)
	}
	return wanted
}

// moves says whether the policy host of a domain that senders look up is to point elsewhere than it does.
func (s *scope) moves() bool {
	if !s.lookedUp() || s.hostEndpoint == nil || (len(s.wantedTargets()) == 0 && len(s.former) == 0) {
		return false
	}
	wanted := resources.HostTargets(resources.NewDomain(s.publication, s.settings).HostEndpoint(s.wantedTargets()))
	return !slices.Equal(wanted, resources.HostTargets(s.hostEndpoint))
}

// mayMove says whether the policy was seen at the new place, or was proven not to be had at the present one.
func (s *scope) mayMove(wanted []string) bool {
	if s.memory.way.answering == strings.Join(wanted, " ") {
		return true
	}
	look, dns, current := s.memory.public, s.memory.dns, s.publication.Spec.Current
	if look == nil || current == nil || look.For != current.ID || look.Outcome == publication.Pass || !look.Proves(s.timings) {
		return false
	}
	// Silence proves something only while the operator itself sees DNS.
	return look.Outcome != publication.NoAnswer || (dns != nil && dns.Answer != publication.Unknown)
}

// lookedUp says whether senders may look the domain's policy host up.
func (s *scope) lookedUp() bool {
	return s.publication != nil && s.publication.Spec.AnnouncedID != "" &&
		(s.publication.Spec.Retirement == nil || s.publication.Spec.Retirement.RemovingSince == nil)
}

// changesWays says whether one way is to take another's place.
func (s *scope) changesWays() bool { return s.lookedUp() && (len(s.former) > 0 || s.moves()) }

// lookWays finds out how far a change of ways is.
func (r *domainReconciler) lookWays(ctx context.Context, s *scope) {
	if !s.changesWays() || s.publication.Spec.Current == nil {
		s.memory.way = wayMemory{}
		return
	}
	way, now := &s.memory.way, r.Clock.Now()
	way.at, way.problem = now, ""
	if wanted := s.wantedTargets(); len(wanted) > 0 && s.moves() && !s.mayMove(wanted) {
		if way.problem = r.unanswered(ctx, s, wanted, mtasts.PolicyPath); way.problem == "" && ctx.Err() == nil {
			way.answering = strings.Join(wanted, " ")
		}
		return // DNS has yet to be told
	}
	if len(s.former) == 0 {
		return
	}
	led, problem := r.leads(ctx, s)
	switch {
	case ctx.Err() != nil:
	case !led:
		way.ledSince, way.problem = time.Time{}, problem
	case way.ledSince.IsZero():
		way.ledSince = now
	}
}

// leads says whether senders are led to the wanted way, by a path that no other way routes.
func (r *domainReconciler) leads(ctx context.Context, s *scope) (bool, string) {
	targets := []string{""}
	if r.Config.Looks.Reachability == config.ReachabilityCluster && s.ingress != nil {
		targets = addressesOf(s.ingress)
		if len(targets) == 0 {
			return false, "its controller has not written an address yet"
		}
	}
	problem := r.unanswered(ctx, s, targets, s.wayPath())
	return problem == "", problem
}

// wayPath is the path that only the wanted way routes.
func (s *scope) wayPath() string {
	if s.settings.Exposure != v1alpha1.ExposureIngress {
		return policyserver.WayPath(resources.ExternalWay)
	}
	return policyserver.WayPath(resources.WayToken(s.ingressName))
}

// mostTargets bounds how many targets one look asks.
const mostTargets = 4

// unanswered says what is wrong with the policy at a path of these targets; "" if it answers at all of them.
func (r *domainReconciler) unanswered(ctx context.Context, s *scope, targets []string, path string) string {
	current := s.publication.Spec.Current
	ours := addressesOf(s.ingress)
	for _, target := range targets[:min(len(targets), mostTargets)] {
		_, err := netip.ParseAddr(target)
		vouched := err == nil && len(s.settings.Targets) == 0 && slices.Contains(ours, target)
		look := r.World.LookWay(ctx, s.domain, sender.Way{Target: target, Vouched: vouched, Path: path},
			&sender.Instance{ID: current.ID, Body: current.Body})
		if look.Outcome != sender.Pass {
			return look.Message
		}
	}
	return ""
}

// manualTTL is how long resolvers may remember an address that a person has published, at least.
const manualTTL = time.Hour

// formerMayGo says whether nobody needs the former ways any more: senders cannot look the host up, or resolvers
// have had the time to forget where it was.
func (s *scope) formerMayGo(now time.Time, t publication.Timings) bool {
	return !s.lookedUp() || (!s.memory.way.ledSince.IsZero() && now.Sub(s.memory.way.ledSince) >= s.lingering(t))
}

// lingering is how long a former way stays after DNS was seen to lead to the wanted one.
func (s *scope) lingering(t publication.Timings) time.Duration {
	ttl := time.Duration(s.publication.Spec.TTLMaxSeconds) * time.Second
	if s.settings.Provider == v1alpha1.DNSManual {
		ttl = max(ttl, manualTTL)
	}
	return ttl + t.WayLinger
}

// ensureIngress makes the wanted way, and takes away those that are not needed any more.
func (r *domainReconciler) ensureIngress(ctx context.Context, s *scope, d resources.Domain) error {
	if err := r.children.remove(ctx, present(s.surplus)); err != nil {
		return err
	}
	var paths []string
	if len(s.former) > 0 && s.formerMayGo(r.Clock.Now(), r.Timings) {
		if err := r.removeIngresses(ctx, s.former); err != nil {
			return err
		}
	} else if len(s.former) > 0 {
		paths = []string{s.wayPath()}
	}
	if s.ingressName == "" {
		return nil
	}
	return r.applyChild(ctx, s, d.Ingress(s.ingressName, paths...), present(s.ingress))
}

func (r *domainReconciler) removeIngresses(ctx context.Context, ingresses []*networkingv1.Ingress) error {
	for _, o := range ingresses {
		if err := r.children.remove(ctx, o); err != nil {
			return err
		}
	}
	return nil
}

// changingWays says how far a change of ways is, and what it waits for.
func (s *scope) changingWays(t publication.Timings) string {
	way := s.memory.way
	old := make([]string, 0, len(s.former))
	for _, o := range s.former {
		old = append(old, o.Name)
	}
	stay := "Ingress " + strings.Join(old, " and ") + " stays"
	if len(old) > 1 {
		stay = "Ingresses " + strings.Join(old, " and ") + " stay"
	}
	switch {
	case s.settings.Exposure == v1alpha1.ExposureIngress && s.ingressName == "":
		return fmt.Sprintf("%s, and a third one is wanted: delete the one that DNS does not lead to (kubectl -n %s delete ingress NAME), "+
			"and the new one is made in its place", stay, s.publication.Namespace)
	case !way.ledSince.IsZero():
		return fmt.Sprintf("%s until %s: senders are led elsewhere, and resolvers may remember the former address until then",
			stay, way.ledSince.Add(s.lingering(t)).UTC().Format(time.RFC3339))
	case s.settings.Exposure != v1alpha1.ExposureIngress:
		return fmt.Sprintf("%s until your own route was seen to answer %s%s. "+
			"If your route leads no other path than the policy's to Service %s, delete the former route yourself "+
			"once yours works: kubectl -n %s delete ingress %s",
			stay, "https://"+mtasts.PolicyHost(s.domain)+s.wayPath(), reason(way.problem), resources.ServerName, s.publication.Namespace, strings.Join(old, " "))
	case len(addressesOf(s.ingress)) == 0:
		return fmt.Sprintf("%[1]s until the successor %[2]s has an address: no controller has written one "+
			"(is there an Ingress controller for the class of %[2]s?)", stay, s.ingressName)
	}
	return fmt.Sprintf("%s until senders are led to the successor %s%s", stay, s.ingressName, reason(way.problem))
}

// reason is a problem as the end of a sentence.
func reason(problem string) string {
	if problem == "" {
		return ""
	}
	return " (" + problem + ")"
}
