package controllers

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/controllers/internal/publication"
	"github.com/mta-sts-operator/mta-sts-operator/controllers/internal/resources"
	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
	"github.com/mta-sts-operator/mta-sts-operator/internal/sender"
)

// hostSeen is where DNS pointed the policy host of a domain of which nothing is announced yet. It is about the
// domain: whoever makes a publication anew must not begin the looks anew.
type hostSeen struct {
	pointed

	// looked is when that was, begun when the looks began.
	looked, begun time.Time
	// same are the looks in a row that gave these addresses. What stands for them may be a tenant's to choose.
	same publication.Tried
	// alias is what the host is an alias of, aliased the looks in a row that said so.
	alias   string
	aliased publication.Tried
	// holder is the namespace that held the domain, missed the looks in a row that did not answer what it says.
	holder string
	missed publication.Tried
}

// pointed is where DNS points a policy host.
type pointed struct {
	addresses []netip.Addr
	// names are those that stand for these addresses: the host's alias, or the target if it has one of them.
	names []string
	// off is the namespace that holds the domain if this is proven not to be what it says; else empty.
	off string
}

// at says whether DNS answers what one of the targets says.
func (p pointed) at(targets []string) bool {
	return slices.ContainsFunc(targets, func(target string) bool {
		if addr, err := netip.ParseAddr(target); err == nil {
			return slices.Contains(p.addresses, addr.Unmap())
		}
		return slices.ContainsFunc(p.names, func(name string) bool { return strings.EqualFold(name, target) })
	})
}

// proven is where the host points, once looks over a while have agreed; nil before.
func (h *hostSeen) proven(t Timings) *pointed {
	if h == nil || !h.same.Proves(t) {
		return nil
	}
	out := &pointed{addresses: h.addresses}
	if h.missed.Proves(t) {
		out.off = h.holder
	}
	if h.alias != "" && h.aliased.Proves(t) {
		out.names = []string{h.alias}
	}
	return out
}

// lately is what was seen if that is not too long ago to go by; else nil.
func (h *hostSeen) lately(now time.Time, t Timings) *hostSeen {
	if h == nil || now.Sub(h.looked) > 2*t.LookInterval {
		return nil
	}
	return h
}

// after counts a look on from the one before it, nil for none; hit says whether it answered what the holder says.
func (h *hostSeen) after(before *hostSeen, hit bool) {
	h.begun = h.looked
	same, aliased, missed := publication.Tried{}, publication.Tried{}, publication.Tried{}
	if before != nil {
		h.begun = before.begun
		if slices.Equal(before.addresses, h.addresses) {
			same = before.same
		}
		if strings.EqualFold(before.alias, h.alias) {
			aliased = before.aliased
		}
		if before.holder == h.holder {
			missed = before.missed
		}
	}
	h.same, h.aliased = same.Next(h.looked, false), aliased.Next(h.looked, false)
	h.missed = missed.Next(h.looked, hit)
}

// mayOrder says whether a certificate may be ordered for the policy host. Every order counts against the one
// account with the CA that all tenants share, and a claim costs its tenant nothing: so somebody has to have
// allowed it, or DNS has to point the host here. What has a certificate, or was announced, goes on.
func (r *domainReconciler) mayOrder(s *scope) bool {
	return s.certificate != nil || s.publication.Spec.AnnouncedID != "" ||
		r.Config.RuleAllows(s.publication.Namespace, s.domain) ||
		(s.memory.host != nil && s.memory.host.at(s.targets()))
}

// orderWaits says what a certificate waits for that may not be ordered yet; "" if one may be, or none is wanted.
func (r *domainReconciler) orderWaits(s *scope) string {
	if !s.orders() || r.mayOrder(s) {
		return ""
	}
	return s.unordered()
}

// orders says whether the operator is to have a certificate issued.
func (s *scope) orders() bool {
	return s.settings.CertificateSource == v1alpha1.CertificateIssuer && s.settings.Issuer.Name != ""
}

// observeHost looks where DNS points the policy host while that decides something: whether a certificate may be
// ordered, or whose the domain is. Not before external-dns had time to write the record: an early look could
// plant "no such name" in resolvers.
func (r *domainReconciler) observeHost(ctx context.Context, s *scope) {
	if s.publication.Spec.AnnouncedID != "" || !s.publication.DeletionTimestamp.IsZero() {
		return
	}
	waits := s.orders() && !r.mayOrder(s)
	if !waits && !s.rivals(r) {
		return
	}
	if obstacle, wait := r.pointable(s); waits && obstacle != "" {
		s.again(wait)
		return
	}
	now, before := r.Clock.Now(), s.memory.host
	if before != nil && !before.looked.After(now) {
		interval := min(max(now.Sub(before.begun)/10, r.Timings.PollFirst), r.Timings.LookInterval)
		if wait := before.looked.Add(interval).Sub(now); wait > 0 {
			s.again(wait)
			return
		}
	}
	seen := r.lookHost(ctx, s)
	if ctx.Err() != nil {
		return
	}
	seen.looked, seen.holder = r.Clock.Now(), s.publication.Namespace
	seen.after(before, seen.at(s.targets()))
	s.memory.host = seen
	s.again(r.Timings.PollFirst)
}

// lookHost asks DNS. A provider may answer the addresses of a named target in its place.
func (r *domainReconciler) lookHost(ctx context.Context, s *scope) *hostSeen {
	out := &hostSeen{}
	host := r.World.LookupHost(ctx, mtasts.PolicyHost(s.domain))
	if host.Status != sender.Found {
		return out
	}
	for _, address := range host.Addresses {
		out.addresses = append(out.addresses, address.Unmap())
	}
	if host.CNAME != "" {
		out.alias, out.names = host.CNAME, append(out.names, host.CNAME)
	}
	for _, target := range s.targets() {
		if _, err := netip.ParseAddr(target); err == nil || out.at([]string{target}) {
			continue
		}
		named := r.World.LookupHost(ctx, target)
		if slices.ContainsFunc(named.Addresses, func(a netip.Addr) bool { return slices.Contains(out.addresses, a.Unmap()) }) {
			out.names = append(out.names, target)
		}
		break // one name at most: everything else would be somebody's way to have many asked for
	}
	return out
}

// rivals says whether claims of other namespaces wait for a domain that may lapse to one of them.
func (s *scope) rivals(r *domainReconciler) bool {
	for p := range s.refused {
		if p.Namespace != s.publication.Namespace && len(resources.Effective(deliveryOf(p), r.Config).Targets) > 0 {
			return true
		}
	}
	return false
}

// unordered says how the order of a certificate comes about.
func (s *scope) unordered() string {
	host, targets := mtasts.PolicyHost(s.domain), s.targets()
	if len(targets) == 0 {
		return fmt.Sprintf("the certificate is ordered once DNS answers for %s what dns.targets says: set dns.targets, which is empty", host)
	}
	message := fmt.Sprintf("the certificate is ordered once DNS answers %s for %s", several(targets), host)
	if seen := s.memory.host; seen != nil && len(seen.addresses) > 0 {
		answer := make([]string, 0, len(seen.addresses))
		for _, address := range seen.addresses {
			answer = append(answer, address.String())
		}
		return message + ", and DNS answers " + several(answer) + ": change the record, or set dns.targets to what it should be"
	}
	if s.settings.Provider == v1alpha1.DNSManual {
		return message + ": publish that record now"
	}
	return message
}
