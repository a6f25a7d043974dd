package simulation

import (
	"fmt"
	"maps"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
)

// populate makes the world as it is before the first edit.
func (s *sim) populate() {
	s.issued = map[string]bool{}
	s.zone, s.nameservers = zone{}, [2]zone{{}, {}}
	s.upsertOnly = s.chance(4)
	for i, name := range []string{"example.com", "example.net"} {
		d := &domain{name: name, mx: hosts[:2], minted: map[string]string{}}
		s.domains = append(s.domains, d)
		for n, h := range []habit{renews, revives, keeps, daily, refetches} {
			s.addMailer(d, &mailer{name: fmt.Sprintf("mailer-%d%d (%s)", i, n, h), habit: h, every: pick(s, time.Hour, 4*time.Hour, 30*time.Hour)})
		}
		s.after(s.within(time.Minute), func() { s.createPolicy(d, pick(s, namespaces...), "first") })
		s.edits(d)
	}
	s.lead(0)
	s.faults()
	s.backups()
}

func (s *sim) begun() bool { return !s.over && s.now.Before(birth.Add(length)) }

// policies of a domain, live.
func (s *sim) policies(name string) []*v1alpha1.MTASTSPolicy {
	var out []*v1alpha1.MTASTSPolicy
	for _, o := range s.store.list("MTASTSPolicy") {
		if p := o.(*v1alpha1.MTASTSPolicy); p.Spec.Domain == name && p.DeletionTimestamp.IsZero() {
			out = append(out, p)
		}
	}
	return out
}

const person = "kubectl"

func (s *sim) createPolicy(d *domain, ns, name string) {
	p := &v1alpha1.MTASTSPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: d.name + "-" + name}}
	s.shape(&p.Spec)
	p.Spec.Domain = d.name
	if _, err := s.store.create(p, person); err == nil {
		s.tell("person: create policy %s/%s: %s %v %d %s", ns, p.Name, p.Spec.Mode, p.Spec.MX, p.Spec.MaxAgeSeconds, p.Spec.DeletionPolicy)
	}
}

// shape makes up what somebody may want.
func (s *sim) shape(spec *v1alpha1.MTASTSPolicySpec) {
	spec.Mode = pick(s, v1alpha1.ModeEnforce, v1alpha1.ModeEnforce, v1alpha1.ModeEnforce, v1alpha1.ModeEnforce, v1alpha1.ModeTesting, v1alpha1.ModeNone)
	spec.MaxAgeSeconds = 86400 * pick(s, int32(1), 1, 2, 4)
	spec.Preflight = pick(s, v1alpha1.PreflightRequire, v1alpha1.PreflightAdvise, v1alpha1.PreflightAdvise)
	spec.DeletionPolicy = v1alpha1.DeletionDrain
	if s.chance(12) {
		spec.DeletionPolicy = v1alpha1.DeletionImmediate
	}
	spec.TLSReporting = nil
	if s.chance(3) {
		spec.TLSReporting = &v1alpha1.TLSReporting{RUA: []string{"mailto:reports@example.org"}}
	}
	spec.MX = nil
	for _, host := range hosts[:4] {
		if s.chance(2) {
			spec.MX = append(spec.MX, host)
		}
	}
	if len(spec.MX) == 0 {
		spec.MX = []string{"*.example.com"}
	}
}

// edits lets a person do something about a domain every day or so, now and then twice within minutes.
func (s *sim) edits(d *domain) {
	next := s.about(30 * time.Hour)
	if s.chance(4) {
		next = s.within(3 * time.Minute)
	}
	s.after(time.Minute+next, func() {
		if s.begun() {
			s.edits(d)
			s.edit(d)
		}
	})
}

func (s *sim) edit(d *domain) {
	policies := s.policies(d.name)
	if len(policies) == 0 {
		s.createPolicy(d, pick(s, namespaces...), pick(s, "first", "second"))
		return
	}
	p := policies[s.rnd.IntN(len(policies))]
	switch what := s.rnd.IntN(100); {
	case what < 50:
		s.reshape(p)
	case what < 62:
		s.deletePolicy(p)
	case what < 74: // a rename in Git
		s.deletePolicy(p)
		s.after(s.within(8*time.Minute), func() { s.createPolicy(d, p.Namespace, pick(s, "first", "second", "third")) })
	case what < 90:
		s.move(d, p)
	default:
		s.createPolicy(d, pick(s, namespaces...), pick(s, "first", "second"))
	}
}

func (s *sim) reshape(p *v1alpha1.MTASTSPolicy) {
	next := p.DeepCopy()
	s.shape(&next.Spec)
	_, _ = s.store.update(next, person) // it exists, and is the newest version
	s.tell("person: edit policy %s/%s: %s %v %d %s", next.Namespace, next.Name, next.Spec.Mode, next.Spec.MX, next.Spec.MaxAgeSeconds, next.Spec.DeletionPolicy)
}

func (s *sim) deletePolicy(p *v1alpha1.MTASTSPolicy) {
	propagation := pick(s, metav1.DeletePropagationBackground, metav1.DeletePropagationForeground)
	s.tell("person: delete policy %s/%s (%s, %s)", p.Namespace, p.Name, propagation, p.Spec.DeletionPolicy)
	_ = s.store.delete(p, client.DeleteOptions{PropagationPolicy: &propagation}, person) // listed a moment ago
	if p.Spec.DeletionPolicy == v1alpha1.DeletionImmediate {
		d := s.domain(p.Spec.Domain)
		s.forced(d, time.Hour)
	}
}

// move brings a policy to another namespace, with or without the word of the old one.
func (s *sim) move(d *domain, p *v1alpha1.MTASTSPolicy) {
	to := pick(s, namespaces...)
	if to == p.Namespace {
		return
	}
	s.createPolicy(d, to, "moved")
	s.after(s.within(time.Hour), func() {
		if live := s.store.get("MTASTSPolicy", client.ObjectKeyFromObject(p)); live != nil {
			s.deletePolicy(live.(*v1alpha1.MTASTSPolicy))
		}
	})
	if s.chance(3) {
		return
	}
	s.after(s.within(2*time.Hour), func() {
		for _, pub := range s.publications(d.name) {
			if pub.Namespace == p.Namespace && s.begun() {
				s.tell("person: hand %s over to %s", d.name, to)
				next := pub.DeepCopy()
				next.Annotations = map[string]string{v1alpha1.TransferToAnnotation: to}
				_, _ = s.store.update(next, person) // it exists, and is the newest version
				s.excuse(d, time.Minute)
			}
		}
	})
}

// backups are taken now and then.
func (s *sim) backups() {
	s.after(s.about(2*day), func() {
		for _, d := range s.domains {
			d.copies = append(d.copies, s.publications(d.name)...)
		}
		s.backups()
	})
}

// restore puts an old copy of a publication back.
func (s *sim) restore(d *domain) {
	if len(d.copies) == 0 {
		return
	}
	old := d.copies[s.rnd.IntN(len(d.copies))].DeepCopy()
	live := s.store.get("MTASTSPublication", client.ObjectKeyFromObject(old))
	s.tell("person: restore %s/%s of %s, announced %q", old.Namespace, old.Name, old.ResourceVersion, old.Spec.AnnouncedID)
	s.forced(d, 2*time.Hour)
	old.ResourceVersion = ""
	if live != nil && s.chance(2) {
		old.Annotations = live.GetAnnotations()
		_, _ = s.store.update(old, "velero") // it exists
		return
	}
	if live != nil {
		_ = s.store.delete(live, client.DeleteOptions{}, "velero") // it exists
	}
	_, _ = s.store.create(old, "velero") // nothing of this name is there
}

func (s *sim) mxChange(d *domain) {
	if s.chance(3) {
		lasts := s.lasting()
		s.tell("the MX records of %s cannot be looked up for %s", d.name, lasts)
		d.mxBroken = true
		s.after(lasts, func() { d.mxBroken = false })
		return
	}
	d.mx = hosts[:1+s.rnd.IntN(4)]
	s.tell("MX of %s: %v", d.name, d.mx)
}

// deleteChild takes away something that the operator made.
func (s *sim) deleteChild(d *domain) {
	var all []client.Object
	for _, k := range kinds {
		for _, o := range s.store.list(k.Kind) {
			if k.Kind != "MTASTSPolicy" && k.Kind != "Pod" && (domainOf(o) == "" || domainOf(o) == d.name) {
				all = append(all, o)
			}
		}
	}
	if len(all) == 0 {
		return
	}
	o := all[s.rnd.IntN(len(all))]
	k := kindFor(o).Kind
	if k == "MTASTSPublication" {
		if !s.chance(4) {
			return
		}
		s.forced(d, 2*time.Hour)
	}
	s.tell("person: delete %s", refOf(o))
	if domainOf(o) == "" { // the server of the namespace: every domain in it
		for _, other := range s.domains {
			s.excuse(other, 30*time.Minute)
		}
	}
	s.excuse(d, 10*time.Minute)
	propagation := pick(s, metav1.DeletePropagationBackground, metav1.DeletePropagationForeground)
	_ = s.store.delete(o, client.DeleteOptions{PropagationPolicy: &propagation}, person) // listed a moment ago
}

// editByHand changes what the operator wrote.
func (s *sim) editByHand(d *domain) {
	known := sortedIDs(d)
	ns := pick(s, namespaces...)
	if len(known) == 0 || (len(s.publications(d.name)) > 0 && s.publications(d.name)[0].Namespace != ns) {
		return
	}
	id := known[s.rnd.IntN(len(known))]
	if s.chance(2) {
		s.editTXT(d, ns, id)
		return
	}
	s.editShard(d, ns, id)
}

func sortedIDs(d *domain) []string {
	return slices.Sorted(maps.Keys(d.minted))
}

func (s *sim) key(ns, name string) types.NamespacedName {
	return types.NamespacedName{Namespace: ns, Name: name}
}
