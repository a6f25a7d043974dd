package e2e

import (
	"testing"
)

// Two replicas get an edit when their kubelets please; a sender that looks ten times a second must
// never find a new id with an old policy.
func TestEditWhileSendersLook(t *testing.T) {
	t.Parallel()
	s := begin(t, "order")
	s.publish("testing", "mx1")
	id := s.inForce()
	s.poll()

	for _, edit := range []struct {
		what, mode string
		mx         []string
	}{
		{"testing to enforce", "enforce", []string{"mx1"}},
		{"a second MX pattern", "enforce", []string{"mx1", "mx2"}},
		{"back to testing", "testing", []string{"mx1", "mx2"}},
	} {
		watch := s.watch(id)
		s.publish(edit.mode, edit.mx...)
		watch.print(edit.what)
		id = s.inForce()
	}

	if r := s.consistent(); r.Pairs[len(r.Pairs)-1].ID != id {
		t.Errorf("at the end the sender saw %s instead of %s", r.Pairs[len(r.Pairs)-1].ID, id)
	}
}

// The same edits twice: kubelets take their time, then the operator makes them hurry.
func TestEditWithAndWithoutTheNudge(t *testing.T) {
	t.Parallel()
	s := begin(t, "nudge", "e2e-nudge=refused")
	s.publish("testing", "mx1")
	id := s.inForce()
	for _, edit := range []struct{ title, mode, label string }{
		{"edit 1 without the nudge", "enforce", ""},
		{"edit 2 without the nudge", "testing", ""},
		{"edit 1 with the nudge", "enforce", "e2e-nudge-"},
		{"edit 2 with the nudge", "testing", ""},
	} {
		if edit.label != "" {
			s.run("", "label", "namespace", s.namespace, edit.label)
		}
		watch := s.watch(id)
		s.publish(edit.mode, "mx1")
		watch.print(edit.title)
		id = s.inForce()
	}
}
