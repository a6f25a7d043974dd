package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
)

// replacement takes away every operator that runs and makes others take over.
type replacement struct {
	name  string
	image string // of operators and policy servers afterwards
	mode  string // what the edit that it interrupts asks for
	// do replaces them and waits for the new ones. Just before the old ones die it calls atLast, for that
	// which takes only a second or two.
	do func(atLast func())
}

func (s *story) replacements() []replacement {
	return []replacement{
		{"killed", "mta-sts-operator:e2e", "enforce", s.killOperators},
		{"upgraded", "mta-sts-operator:e2e-next", "testing", func(atLast func()) {
			s.replaceOperators("mta-sts-operator:e2e-next", atLast, "upgrade", release, chart, "-f", s.values, "--set", "image.tag=e2e-next")
		}},
		{"rolledback", "mta-sts-operator:e2e", "enforce", func(atLast func()) {
			s.replaceOperators("mta-sts-operator:e2e", atLast, "rollback", release, "1")
		}},
	}
}

// killOperators ends them without a word.
func (s *story) killOperators(atLast func()) {
	s.t.Helper()
	atLast()
	s.run("", "-n", operatorNamespace, "delete", "pods", "--all", "--force", "--grace-period=0")
	s.must(s.available(s.ctx, operatorNamespace, release))
}

// replaceOperators lets helm do it.
func (s *story) replaceOperators(image string, atLast func(), args ...string) {
	s.t.Helper()
	done := make(chan error, 1)
	go func() { done <- s.helm(s.ctx, append(args, "--wait", "--timeout=5m")...) }()
	s.eventually(long, "helm asking for "+image, func(ctx context.Context) error {
		var d appsv1.Deployment
		err := s.Get(ctx, client.ObjectKey{Namespace: operatorNamespace, Name: release}, &d)
		if running := d.Spec.Template.Spec.Containers; err == nil && running[0].Image != image {
			err = fmt.Errorf("it asks for %s", running[0].Image)
		}
		return err
	})
	atLast()
	s.must(<-done)
}

// midst are domains of one story, each in the middle of something else when the operator is replaced.
type midst struct {
	edited   *story // changes its mode
	widened  *story // gets an MX host
	narrowed *story // loses one
	renewed  *story // gets a certificate
	deleted  *story // is about to retire
	gone     time.Time
	fresh    []*story // are published for the first time, one in each replacement
}

// The operator is killed, upgraded and rolled back, each time in the middle of all that domains go through. With
// an upgrade every policy server is replaced, too. All that was begun is completed, and no sender notices.
func TestOperatorReplacedInTheMiddle(t *testing.T) {
	t.Parallel()
	s := begin(t, "deleted")
	s.hurry(s) // before the domain that was deleted retires
	t.Cleanup(func() { s.calm(s) })
	s.publish("enforce", "mx1")
	m := &midst{
		edited: s.beside("edited"), widened: s.beside("widened"), narrowed: s.beside("narrowed"), renewed: s.beside("renewed"), deleted: s,
	}
	m.edited.publish("testing", "mx1")
	m.widened.publish("enforce", "mx1")
	m.narrowed.publish("enforce", "mx1", "mx2", "mx3", "mx4")
	m.renewed.publish("testing", "mx1")

	enforced := s.inForce()
	s.poll()
	s.enforced("mx1")
	deleted := s.deletePolicy()
	m.gone = s.missed()
	for _, d := range m.others() {
		d.inForce()
		d.poll()
	}
	m.widened.enforced("mx1")
	all := s.replacements()
	for _, r := range all {
		d := s.beside(r.name)
		d.poll()
		m.fresh = append(m.fresh, d)
	}

	s.alone(func() {
		for i, r := range all {
			m.replaced(r, i)
		}
		for _, d := range m.fresh {
			d.inForce()
		}
		m.widened.enforced("mx1", "mx2", "mx3", "mx4")
	})
	for _, d := range append(m.others(), m.fresh...) {
		d.consistent()
		d.end()
	}
	s.retires(enforced, deleted, func() {})
	s.consistent()
}

// others are those that go on.
func (m *midst) others() []*story {
	return []*story{m.edited, m.widened, m.narrowed, m.renewed}
}

// replaced begins the n-th change of each domain, replaces the operators, and waits until all is as it should be.
func (m *midst) replaced(r replacement, n int) {
	s := m.deleted
	s.t.Helper()
	before := map[*story]string{m.fresh[n]: ""}
	for _, d := range m.others() {
		before[d] = d.servedID()
	}
	serial := m.renewed.serial()
	hosts := []string{"mx1", "mx2", "mx3", "mx4"}
	m.fresh[n].publish("enforce", "mx1")
	m.edited.publish(r.mode, "mx1")
	m.widened.publish("enforce", hosts[:n+2]...)
	m.narrowed.publish("enforce", hosts[:3-n]...)
	edits := []*story{m.fresh[n], m.edited, m.widened, m.narrowed}
	for _, d := range edits {
		d.begun(before[d])
	}
	s.awaits(m.gone)

	s.say("the operator is about to be %s", r.name)
	r.do(func() {
		for _, d := range edits {
			d.say("%s", d.stage())
		}
		m.renewed.renew()
	})
	s.say("%s", r.name)
	m.renewed.renewed(serial)
	for _, d := range m.others() {
		if after := d.inForce(); (after == before[d]) != (d == m.renewed) {
			s.t.Errorf("%s: id %s after %s", d.domain, after, before[d])
		}
		d.serverImage(r.image)
	}
	m.widened.send(r.name).delivered("mx1", verified)
	s.awaits(m.gone)
}

// servedID is the id in force.
func (s *story) servedID() string {
	s.t.Helper()
	p, err := s.publication(s.ctx)
	s.must(err)
	return p.Spec.InForceID
}

// begun waits until the operator has recorded something newer than an id, and expects that it is not in force yet.
func (s *story) begun(before string) {
	s.t.Helper()
	s.eventually(long, "the edit being recorded", func(ctx context.Context) error {
		p, err := s.publication(ctx)
		switch {
		case err != nil:
			return err
		case p.Spec.Current == nil || p.Spec.Current.ID <= before:
			return errNotYet
		case p.Spec.InForceID == p.Spec.Current.ID:
			s.t.Errorf("%s: too late to be in the middle: %s is in force", s.domain, p.Spec.InForceID)
		}
		return nil
	})
}

// stage says how far an edit is.
func (s *story) stage() string {
	s.t.Helper()
	p, err := s.publication(s.ctx)
	s.must(err)
	switch p.Spec.Current.ID {
	case p.Spec.InForceID:
		return "in force"
	case p.Spec.AnnouncedID:
		return "announced"
	}
	return "recorded"
}

// missed waits until the operator has noticed that the policy is gone, and returns since when.
func (s *story) missed() time.Time {
	s.t.Helper()
	var since time.Time
	s.eventually(short, "the operator missing the policy", func(ctx context.Context) error {
		p, err := s.publication(ctx)
		if err == nil && p.Spec.PolicyGoneAt == nil {
			err = errNotYet
		}
		if err == nil {
			since = p.Spec.PolicyGoneAt.Time
		}
		return err
	})
	return since
}

// awaits expects that the publication is waiting to retire, since that time, and nothing else happened to it.
func (s *story) awaits(gone time.Time) {
	s.t.Helper()
	p, err := s.publication(s.ctx)
	s.must(err)
	if !p.Spec.PolicyGoneAt.Equal(new(metav1.NewTime(gone))) || p.Spec.Current.Mode != v1alpha1.ModeEnforce || p.Spec.Retirement != nil {
		s.t.Errorf("%s: it missed its policy at %s, and is now %+v", s.domain, gone, p.Spec)
	}
}

// serverImage waits until the policy servers run an image, and no other.
func (s *story) serverImage(image string) {
	s.t.Helper()
	s.eventually(long, "servers of "+image, func(ctx context.Context) error {
		running, err := s.kubectl(ctx, "", "-n", s.namespace, "get", "deployment", "mta-sts-server", "-o", "jsonpath={.spec.template.spec.containers[*].image}")
		if err != nil {
			return err
		}
		if running != image {
			return fmt.Errorf("they run %s", running)
		}
		_, err = s.kubectl(ctx, "", "-n", s.namespace, "rollout", "status", "deployment/mta-sts-server", "--timeout=300s")
		return err
	})
	s.say("the servers run %s", image)
}
