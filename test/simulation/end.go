package simulation

import (
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
)

// unknownMaxAge is how long what could not be seen counts.
const unknownMaxAge = 31557600

// end makes sure that without faults everything comes to its end, and that nothing is written there.
func (s *sim) end() {
	s.over = true
	s.until(s.now.Add(3 * day)) // what has begun ends by itself
	s.tell("all faults are over")
	s.unreliableUntil, s.slowUntil = time.Time{}, time.Time{}
	for _, l := range s.leaders {
		l.crashAfter = 0
	}
	keep := s.chance(2)
	for _, d := range s.domains {
		s.settleOn(d, keep)
	}
	s.until(s.now.Add(8 * day))
	s.removeByHand()
	for _, d := range s.domains {
		s.decide(d)
	}
	s.until(s.now.Add(8 * day)) // what stands in the way drains first
	if s.err != nil {
		return
	}
	for _, d := range s.domains {
		if keep {
			s.isInForce(d)
		} else {
			s.isGone(d)
		}
	}
	s.isQuiet()
}

// removeByHand takes away the records of publications that have gone, which external-dns has left, as their messages
// say.
func (s *sim) removeByHand() {
	if s.upsertOnly {
		s.tell("person: remove the records that no DNSEndpoint asks for")
		s.upsertOnly = false
		s.applyEndpoints()
	}
}

// decide says, for whom the domain was published last elsewhere, what the status asks somebody with rights in the
// whole cluster to say.
func (s *sim) decide(d *domain) {
	for _, p := range s.policies(d.name) {
		c := meta.FindStatusCondition(p.Status.Conditions, v1alpha1.ConditionReady)
		if c == nil || c.Reason != v1alpha1.ReasonDomainConflict || !strings.Contains(c.Message, "kubectl create -f -") {
			continue
		}
		s.tell("person: create publication %s/%s", p.Namespace, d.name)
		s.excuse(d, 10*time.Minute)
		word := &v1alpha1.MTASTSPublication{}
		word.Namespace, word.Name, word.Spec.Domain = p.Namespace, d.name, d.name
		_, _ = s.store.create(word, person) // it does not exist: the message would not ask for it
	}
}

// settleOn leaves exactly one policy of a domain, or none.
func (s *sim) settleOn(d *domain, keep bool) {
	policies := s.policies(d.name)
	for i, p := range policies {
		if i == 0 && keep {
			next := p.DeepCopy()
			next.Spec.Mode, next.Spec.MX, next.Spec.MaxAgeSeconds = v1alpha1.ModeEnforce, d.mx, 86400
			next.Spec.DeletionPolicy = v1alpha1.DeletionDrain
			_, _ = s.store.update(next, person) // it exists, and is the newest version
			continue
		}
		s.deletePolicy(p)
	}
	for _, p := range s.publications(d.name) {
		if p.Status.State == v1alpha1.StateConflict { // as its status tells people to
			s.tell("person: delete publication %s/%s", p.Namespace, p.Name)
			s.excuse(d, 10*time.Minute)
			_ = s.store.delete(p, client.DeleteOptions{}, person) // listed a moment ago
		}
	}
	if len(policies) == 0 && keep {
		s.createPolicy(d, namespaces[0], "last")
		s.settleOn(d, keep)
	}
}

// unknown says whether something that could not be seen holds a domain up for a year.
func (s *sim) unknown(d *domain) bool {
	for _, p := range s.publications(d.name) {
		for _, e := range p.Spec.Ledger {
			if e.MaxAgeSeconds == unknownMaxAge {
				return true
			}
		}
	}
	return false
}

func (s *sim) isInForce(d *domain) {
	if s.unknown(d) {
		return
	}
	for _, p := range s.policies(d.name) {
		c := meta.FindStatusCondition(p.Status.Conditions, v1alpha1.ConditionReady)
		if c == nil || c.Status != metav1.ConditionTrue || c.ObservedGeneration != p.Generation || p.Status.State != v1alpha1.StateInForce {
			s.fail("without faults %s/%s ends in %s: %+v", p.Namespace, p.Name, p.Status.State, p.Status.Conditions)
			return
		}
		visible := idsAt(s.nameservers[0], d.name)
		if len(visible) != 1 || visible[0] != p.Status.Policy.ID {
			s.fail("%s is in force with id %s, and DNS answers %v", p.Name, p.Status.Policy.ID, visible)
		}
		for _, pod := range s.traffic(p.Namespace) {
			if got := pod.serves[d.name]; got.id != p.Status.Policy.ID || got.body != p.Status.Policy.Body {
				s.fail("%s is in force with id %s, and %s serves %s", p.Name, p.Status.Policy.ID, pod.name, got.id)
			}
		}
		for _, pub := range s.publications(d.name) {
			if pub.Namespace == p.Namespace && len(pub.Spec.Ledger) > 0 { // a copy that somebody restored elsewhere is for somebody to delete
				s.fail("entries of the ledger of %s stay without a cause: %v", d.name, pub.Spec.Ledger)
			}
		}
	}
}

func (s *sim) isGone(d *domain) {
	if s.unknown(d) {
		return
	}
	for _, k := range kinds {
		for _, o := range s.store.list(k.Kind) {
			if domainOf(o) == d.name {
				s.fail("%s is left behind: %v", refOf(o), o)
			}
		}
	}
}

// isQuiet makes sure that nothing is written at rest, nor by an operator that starts.
func (s *sim) isQuiet() {
	if s.err != nil {
		return
	}
	s.atRest = true
	writes := s.Writes
	s.until(s.now.Add(12 * time.Hour))
	if s.err == nil && s.Writes != writes {
		s.fail("%d writes at rest (I9)", s.Writes-writes)
	}
	for len(s.leaders) > 0 {
		s.leaders[0].end("restart at rest")
	}
	writes = s.Writes
	s.lead(0)
	s.until(s.now.Add(12 * time.Hour))
	if s.err == nil && s.Writes != writes {
		s.fail("%d writes by a restart at rest (I9)", s.Writes-writes)
	}
}
