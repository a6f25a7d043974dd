package simulation

import (
	"maps"
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"
	externaldnsv1alpha1 "sigs.k8s.io/external-dns/apis/v1alpha1"

	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
)

// record is one record set of the zone.
type record struct {
	values []string
	ttl    time.Duration
	// by is the DNSEndpoint that external-dns made it of.
	by string
}

// zone is all record sets, by type and name. It is replaced, never changed.
type zone map[string]record

// internet is what the world sees.
type internet struct {
	domains []*domain
	// zone is what external-dns has written; the name servers follow it, each in its own time.
	zone        zone
	serial      int
	nameservers [2]zone
	serials     [2]int
	stuck       [2]bool
	// externalDNSDue is set while a round is on its way; stopped while external-dns is down.
	externalDNSDue, stopped, upsertOnly bool
	// unresolvable keeps the operators, and only them, from seeing DNS.
	unresolvable bool
	issued       map[string]bool
	// dirty: something changed that the promises are about.
	dirty bool
}

// externalDNS has a round made soon, or once it is up again.
func (s *sim) externalDNS(wait time.Duration) {
	if s.externalDNSDue {
		return
	}
	s.externalDNSDue = true
	s.after(wait+s.within(time.Minute), func() {
		s.externalDNSDue = false
		if !s.stopped {
			s.applyEndpoints()
		}
	})
}

// applyEndpoints is one round of external-dns.
func (s *sim) applyEndpoints() {
	wanted := zone{}
	for _, o := range s.store.list("DNSEndpoint") {
		e := o.(*externaldnsv1alpha1.DNSEndpoint)
		by := client.ObjectKeyFromObject(e).String()
		for _, endpoint := range e.Spec.Endpoints {
			key := endpoint.RecordType + " " + endpoint.DNSName
			// Of two objects for one name the one that has it keeps it.
			if other, taken := wanted[key]; taken && (other.by == s.zone[key].by || s.zone[key].by != by) {
				continue
			}
			wanted[key] = record{values: slices.Clone(endpoint.Targets), ttl: time.Duration(endpoint.RecordTTL) * time.Second, by: by}
		}
		if e.Status.ObservedGeneration != e.Generation {
			next := e.DeepCopy()
			next.Status.ObservedGeneration = e.Generation
			s.store.updateStatus(next, "external-dns")
		}
	}
	if s.upsertOnly {
		for key, r := range s.zone {
			if _, stays := wanted[key]; !stays {
				wanted[key] = r
			}
		}
	}
	same := maps.EqualFunc(s.zone, wanted, func(a, b record) bool { return slices.Equal(a.values, b.values) && a.ttl == b.ttl && a.by == b.by })
	if !same {
		s.zone = wanted
		s.serial++
		s.transfer()
	}
}

// transfer lets every name server fetch the zone.
func (s *sim) transfer() {
	for i := range s.nameservers {
		s.after(s.within(pick(s, 2*time.Second, 30*time.Second, 10*time.Minute)), func() {
			if s.stuck[i] || s.serials[i] == s.serial {
				return
			}
			s.nameservers[i], s.serials[i] = s.zone, s.serial
			s.dirty = true
		})
	}
}

// ids are the policy ids that a name server answers for a domain.
func ids(z zone, domain string) (out []string, ttl time.Duration) {
	r := z["TXT "+mtasts.RecordName(domain)]
	for _, value := range r.values {
		if parsed, err := mtasts.ParseRecord(strings.Trim(value, `"`)); err == nil {
			out = append(out, parsed.ID)
		}
	}
	return out, r.ttl
}

// answered says whether any name server answers an id for the domain.
func (s *sim) answered(domain string) bool {
	return slices.ContainsFunc(s.nameservers[:], func(z zone) bool {
		found, _ := ids(z, domain)
		return len(found) > 0
	})
}

// hasAddress says whether a name server answers an address for the domain's policy host.
func hasAddress(z zone, domain string) bool {
	return len(z["A "+mtasts.PolicyHost(domain)].values) > 0
}

// resolver is a resolver's memory of the id's record.
type resolver struct {
	id    string
	until time.Time
}

// resolve answers the id from the cache while that lives, else from one of the name servers.
func (s *sim) resolve(d *domain, r *resolver) string {
	if s.now.Before(r.until) {
		return r.id
	}
	r.id, r.until = "", s.now.Add(5*time.Minute)
	found, ttl := ids(s.nameservers[s.rnd.IntN(2)], d.name)
	if len(found) == 1 {
		r.id, r.until = found[0], s.now.Add(ttl)
		s.dirty = true
	}
	return r.id
}
