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
		// Of two publications, one of them restored by somebody, each has its own row of ids until DNS shows one.
		case !known && mtasts.ID(i.ID).Compare(d.greatest) <= 0 && (!s.excused(d) || len(s.publications(d.name)) < 2):
			s.fail("minted %s after %s for %s (I3)", i.ID, d.greatest, d.name)
		case !known:
			d.minted[i.ID], d.greatest = i.Body, max(d.greatest, mtasts.ID(i.ID))
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
	handed := slices.ContainsFunc(s.publications(c.name), func(p *v1alpha1.MTASTSPublication) bool {
		before, ok := c.before.(*v1alpha1.MTASTSPublication)
		return ok && mtasts.ID(p.Spec.LastID).Compare(mtasts.ID(before.Spec.LastID)) >= 0
	})
	if c.before.GetAnnotations()[v1alpha1.TransferToAnnotation] == "" || !handed {
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
