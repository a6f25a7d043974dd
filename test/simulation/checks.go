package simulation

import (
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	externaldnsv1alpha1 "sigs.k8s.io/external-dns/apis/v1alpha1"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
	"github.com/mta-sts-operator/mta-sts-operator/internal/policyserver"
	"github.com/mta-sts-operator/mta-sts-operator/internal/sender"
)

// hosts are all MX hosts that anybody asks about; no policy covers the last one.
var hosts = []string{"mx1.example.com", "mx2.example.com", "mx3.example.com", "mx.example.net", "nobody.example.org"}

// domain is a mail domain: what the world knows of it, and what the operators have promised.
type domain struct {
	name     string
	mx       []string
	mxBroken bool
	fault    sender.Outcome
	// faultSince is when the policy URL became what it is.
	faultSince time.Time
	mailers    []*mailer

	// minted are the bodies of all ids that a publication ever recorded, greatest the greatest of them.
	minted   map[string]string
	greatest mtasts.ID
	// announced: an id went to DNS since there was no publication, or was left there by the last one; the
	// operator may not see DNS later on.
	announced bool
	// excusedUntil is until when somebody's hand explains what would be a breach.
	excusedUntil time.Time
	// copies are backups of the publication.
	copies []*v1alpha1.MTASTSPublication
}

func (s *sim) domain(name string) *domain {
	for _, d := range s.domains {
		if d.name == name {
			return d
		}
	}
	return &domain{name: name}
}

// excuse says that somebody's hand has broken something about a domain.
func (s *sim) excuse(d *domain, lasts time.Duration) {
	if until := s.now.Add(lasts); until.After(d.excusedUntil) {
		d.excusedUntil = until
	}
}

func (s *sim) excused(d *domain) bool { return s.now.Before(d.excusedUntil) }

// forced says that a person took the publication away or replaced it: nobody knows any more what is out there.
func (s *sim) forced(d *domain, lasts time.Duration) {
	s.excuse(d, lasts)
	for _, m := range d.mailers {
		m.excused = true
	}
}

// publications of a domain, live.
func (s *sim) publications(name string) []*v1alpha1.MTASTSPublication {
	var out []*v1alpha1.MTASTSPublication
	for _, o := range s.store.list("MTASTSPublication") {
		if p := o.(*v1alpha1.MTASTSPublication); p.Spec.Domain == name {
			out = append(out, p)
		}
	}
	return out
}

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

// busyWrites in an hour are more than any edits and faults cause.
const busyWrites = 400

// checkBusy makes sure that writes come to an end (I9).
func (s *sim) checkBusy() {
	// Two that lead with different views undo each other's writes for as long as there are two.
	if hour := s.now.Truncate(time.Hour); !s.hour.Equal(hour) || len(s.leaders) > 1 {
		s.hour, s.writesBefore = hour, s.Writes
	}
	if s.Writes-s.writesBefore > busyWrites {
		s.fail("%d writes within an hour (I9)", busyWrites)
	}
}

// checkWrite sees every write of an operator.
func (s *sim) checkWrite(c change) {
	switch c.kind {
	case "MTASTSPublication":
		s.checkPublication(c)
	case "ConfigMap":
		s.checkShard(c)
	case "DNSEndpoint":
		if strings.HasPrefix(c.name, "mta-sts-id.") {
			s.checkTXT(c)
			return
		}
		if c.after == nil && strings.HasPrefix(c.name, "mta-sts.") {
			s.checkNeeded(domainOf(c.before), "the address of the policy host is removed")
		}
	case "Ingress", "Certificate":
		if c.after == nil {
			s.checkNeeded(domainOf(c.before), "the "+c.kind+" is removed")
		}
	}
}

// checkPublication sees what is recorded.
func (s *sim) checkPublication(c change) {
	if c.after == nil {
		s.Removed++
		s.domain(c.name).announced = len(s.publications(c.name)) > 0 || s.answered(c.name)
		s.checkRemoved(c)
		return
	}
	after, d := c.after.(*v1alpha1.MTASTSPublication), s.domain(c.name)
	if before, ok := c.before.(*v1alpha1.MTASTSPublication); ok {
		if mtasts.ID(after.Spec.LastID).Compare(mtasts.ID(before.Spec.LastID)) < 0 {
			s.fail("lastID of %s goes back from %s to %s (I3)", d.name, before.Spec.LastID, after.Spec.LastID)
		}
		was, is := before.Spec.PolicyRef, after.Spec.PolicyRef
		if was != nil && is != nil && was.UID == is.UID && is.Generation < was.Generation {
			s.fail("%s follows generation %d of its policy again after %d (I3)", d.name, is.Generation, was.Generation)
		}
	}
	if i := after.Spec.Current; i != nil {
		body, known := d.minted[i.ID]
		switch {
		case known && body != i.Body:
			s.fail("id %s names two bodies (I3)", i.ID)
		case !known && mtasts.ID(i.ID).Compare(d.greatest) <= 0:
			s.fail("minted %s after %s for %s (I3)", i.ID, d.greatest, d.name)
		case !known:
			d.minted[i.ID], d.greatest = i.Body, mtasts.ID(i.ID)
		}
	}
	if after.Spec.AnnouncedID == "" && s.excused(d) {
		return
	}
	for _, m := range d.mailers {
		if m.enforces(s.now) && !m.excused && !s.excused(d) {
			s.checkRemembered(d, m)
		}
	}
}

// checkRemoved makes sure that nobody needs a publication that is gone, or that another one knows what it knew.
func (s *sim) checkRemoved(c change) {
	if len(s.publications(c.name)) == 0 {
		s.checkNeeded(c.name, "the publication is removed")
		return
	}
	d := s.domain(c.name)
	if c.before.GetAnnotations()[v1alpha1.TransferToAnnotation] == "" {
		s.excuse(d, 2*time.Hour) // a copy that somebody restored beside it takes over, as old as it is
		return
	}
	for _, m := range d.mailers {
		if m.enforces(s.now) && !m.excused && !s.excused(d) {
			s.checkRemembered(d, m)
		}
	}
}

// checkShard sees every value that is served from now on.
func (s *sim) checkShard(c change) {
	if c.after == nil {
		return
	}
	var before map[string]string
	if cm, ok := c.before.(*corev1.ConfigMap); ok {
		before = cm.Data
	}
	after := c.after.(*corev1.ConfigMap).Data
	for _, d := range s.domains {
		host := mtasts.PolicyHost(d.name)
		had, _, hadErr := policyserver.DecodeEntry(before[host])
		id, body, err := policyserver.DecodeEntry(after[host])
		_, stays := after[host]
		if recorded, ok := d.minted[string(id)]; stays && err == nil && after[host] != before[host] && (!ok || recorded != body) {
			s.fail("%s gets id %s of %s, which no publication ever recorded (I4)", c.name, id, d.name)
		}
		if hadErr != nil {
			continue
		}
		if !stays {
			s.checkDropped(c, d)
		} else if id.Compare(had) < 0 {
			s.fail("%s goes back from id %s to %s of %s (I3)", c.name, had, id, d.name)
		}
	}
}

// checkDropped makes sure that a host leaves a shard only after its publication.
func (s *sim) checkDropped(c change, d *domain) {
	publications := s.publications(d.name)
	for _, p := range publications {
		if p.Namespace == c.namespace {
			s.fail("%s loses %s, which has a publication (I4)", c.name, d.name)
		}
	}
	if len(publications) > 0 {
		return // it is published from elsewhere
	}
	s.checkNeeded(d.name, "the policy is no longer served")
}

// checkTXT sees every write of an id by an operator.
func (s *sim) checkTXT(c change) {
	name := strings.TrimPrefix(c.name, "mta-sts-id.")
	d := s.domain(name)
	if c.after == nil {
		s.checkNeeded(name, "the id's record is removed")
		return
	}
	id := idOf(c.after.(*externaldnsv1alpha1.DNSEndpoint))
	first := !d.announced
	d.announced = true // also when a person excused it: senders may hold it all the same
	if before, ok := c.before.(*externaldnsv1alpha1.DNSEndpoint); ok {
		had := idOf(before)
		if _, ours := d.minted[had]; had == id || (ours && mtasts.ID(id).Compare(mtasts.ID(had)) < 0) {
			if had != id {
				s.fail("TXT of %s goes back from id %s to %s (I3)", name, had, id)
			}
			return
		}
	}
	live, _ := s.store.get("MTASTSPublication", types.NamespacedName{Namespace: c.namespace, Name: name}).(*v1alpha1.MTASTSPublication)
	if live == nil || live.Spec.AnnouncedID != id {
		s.fail("id %s of %s goes to DNS before it is recorded as announced (I4)", id, name)
		return
	}
	if live.Spec.InForceID == id || s.excused(d) {
		return // put back at any time: a dark record protects nobody
	}
	for _, p := range s.pods {
		if p.namespace == c.namespace && p.running && s.counted(p) && p.serves[name].id != id {
			s.fail("id %s of %s goes to DNS while %s serves %q (I1)", id, name, p.name, p.serves[name].id)
		}
	}
	if look := s.look(d, nil); first && look.Outcome != sender.Pass && s.now.Sub(d.faultSince) > 10*time.Minute {
		s.fail("the first id of %s goes to DNS although the policy URL is %s (I2)", name, look.Outcome)
	}
}

// counted says whether a pod may answer senders, now or later (I1).
func (s *sim) counted(p *pod) bool {
	o := s.object(p)
	return o != nil && (o.DeletionTimestamp.IsZero() || ready(o))
}

// checkCollected sees what the garbage collector takes.
func (s *sim) checkCollected(c change) {
	name := domainOf(c.before)
	own := c.kind == "MTASTSPolicy" || c.kind == "MTASTSPublication"
	if name == "" || own || s.excused(s.domain(name)) {
		return
	}
	for _, p := range s.publications(name) {
		if p.Namespace == c.namespace {
			s.fail("the garbage collector takes %s, whose publication stands (I6)", c.ref)
		}
	}
}

// checkNeeded makes sure that no sender needs what is taken away (I6), unless a person wanted it so.
func (s *sim) checkNeeded(name, what string) {
	d := s.domain(name)
	if s.excused(d) || s.handedOver(name) {
		return
	}
	for _, m := range d.mailers {
		if m.enforces(s.now) && !m.excused {
			s.fail("%s although %s holds id %s of %s (%v) until %s (I6)", what, m.name, m.id, name, m.policy.MX, m.until)
		}
	}
}

// handedOver says whether somebody else goes on with what is taken away.
func (s *sim) handedOver(name string) bool {
	publications := s.publications(name)
	for _, p := range publications {
		if p.Annotations[v1alpha1.TransferToAnnotation] != "" {
			return true
		}
	}
	return len(publications) > 1
}
