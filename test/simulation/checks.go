package simulation

import (
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/types"
	externaldnsv1alpha1 "sigs.k8s.io/external-dns/apis/v1alpha1"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
)

// check sees the world after every event.
func (s *sim) check() {
	if !s.dirty || s.err != nil {
		return
	}
	s.dirty = false
	for _, d := range s.domains {
		if s.excused(d) {
			continue
		}
		s.checkVisible(d, "a name server", idsAt(s.nameservers[0], d.name))
		s.checkVisible(d, "a name server", idsAt(s.nameservers[1], d.name))
		for _, m := range d.mailers {
			for _, r := range m.resolvers {
				if r.id != "" && s.now.Before(r.until) {
					s.checkVisible(d, "a resolver of "+m.name, []string{r.id})
				}
			}
		}
	}
}

func idsAt(z zone, domain string) []string {
	out, _ := ids(z, domain)
	return out
}

// checkVisible makes sure that whoever reads an id gets that policy or a newer one (I1).
func (s *sim) checkVisible(d *domain, where string, visible []string) {
	ns := s.route(d.name)
	for _, id := range visible {
		if _, ours := d.minted[id]; !ours || ns == "" {
			continue
		}
		for _, p := range s.traffic(ns) {
			got, some := p.serves[d.name]
			switch {
			case some && mtasts.ID(got.id).Compare(mtasts.ID(id)) < 0:
				s.fail("%s answers id %s of %s while %s/%s serves id %s (I1)", where, id, d.name, ns, p.name, got.id)
			case !some && s.announces(ns, d) == id:
				s.fail("%s answers id %s of %s while %s/%s serves nothing for it (I1)", where, id, d.name, ns, p.name)
			}
		}
	}
}

// announces is the id in the DNSEndpoint of a namespace; "" if there is none.
func (s *sim) announces(ns string, d *domain) string {
	e, _ := s.store.get("DNSEndpoint", types.NamespacedName{Namespace: ns, Name: "mta-sts-id." + d.name}).(*externaldnsv1alpha1.DNSEndpoint)
	return idOf(e)
}

func idOf(e *externaldnsv1alpha1.DNSEndpoint) string {
	if e == nil || len(e.Spec.Endpoints) != 1 || len(e.Spec.Endpoints[0].Targets) != 1 {
		return ""
	}
	parsed, err := mtasts.ParseRecord(strings.Trim(e.Spec.Endpoints[0].Targets[0], `"`))
	if err != nil {
		return ""
	}
	return parsed.ID
}

// checkServed makes sure that an id is the name of one body, wherever it is served (I3).
func (s *sim) checkServed(d *domain, p *pod) {
	got := p.serves[d.name]
	body, recorded := d.minted[got.id]
	if recorded && body != got.body {
		s.fail("%s serves another body under id %s than was recorded (I3)", p.name, got.id)
	}
	if !recorded && !s.excused(d) {
		s.fail("%s serves id %s of %s, which no publication ever recorded (I4)", p.name, got.id, d.name)
	}
}

// checkRefusals makes sure that no sender refuses a host that was called safe (I5).
func (s *sim) checkRefusals(d *domain, m *mailer) {
	if !m.enforces(s.now) || m.excused || s.excused(d) {
		return
	}
	s.checkRemembered(d, m)
	for _, o := range s.store.list("MTASTSPolicy") {
		p := o.(*v1alpha1.MTASTSPolicy)
		if p.Spec.Domain != d.name || p.Status.ObservedGeneration != p.Generation || p.Status.State == v1alpha1.StateConflict || !p.DeletionTimestamp.IsZero() {
			continue
		}
		for _, mx := range p.Status.MX {
			safe := mx.State == v1alpha1.MXCovered && ((mx.SafeAfter == nil && mx.Message == "") || (mx.SafeAfter != nil && s.now.After(mx.SafeAfter.Time)))
			if safe && slices.Contains(m.refuses, mx.Host) {
				s.fail("%s refuses mail to %s until %s by id %s, but the status of %s says that it is safe (I5)", m.name, mx.Host, m.until, m.id, p.Name)
			}
		}
	}
}

// checkRemembered makes sure that what a sender enforces is in some publication of the domain.
func (s *sim) checkRemembered(d *domain, m *mailer) {
	publications := s.publications(d.name)
	if len(publications) == 0 {
		s.fail("%s still enforces id %s (%v) until %s, and there is no publication of %s any more (I6)", m.name, m.id, m.policy.MX, m.until, d.name)
		return
	}
	for _, host := range m.refuses {
		if !slices.ContainsFunc(publications, func(p *v1alpha1.MTASTSPublication) bool { return s.remembers(p, host) }) {
			s.fail("%s refuses mail to %s until %s by id %s (%v), and the publication of %s does not know (I5)", m.name, host, m.until, m.id, m.policy.MX, d.name)
		}
	}
}

// remembers says whether a publication knows of an enforce policy that makes senders refuse a host.
func (s *sim) remembers(p *v1alpha1.MTASTSPublication, host string) bool {
	if c := p.Spec.Current; c != nil && c.Mode == v1alpha1.ModeEnforce && !(mtasts.Policy{MX: c.MX}).Covers(host) {
		return true
	}
	return slices.ContainsFunc(p.Spec.Ledger, func(e v1alpha1.LedgerEntry) bool {
		return !(mtasts.Policy{MX: e.MX}).Covers(host) && (e.CachedUntil == nil || e.CachedUntil.After(s.now))
	})
}
