package e2e

import (
	"testing"
)

// What Postfix calls a connection to a host that a policy of mode enforce names, and one whose
// certificate is good, but which nothing demands.
const (
	verified = "Verified"
	trusted  = "Trusted"
)

// From nothing to mail that real senders refuse to deliver in the clear.
func TestDeliveryUnderEnforce(t *testing.T) {
	t.Parallel()
	s := begin(t, "delivery")

	s.send("before").delivered("mx1", trusted)

	s.publish("testing", "mx1")
	testing := s.inForce()
	s.send("testing").delivered("mx1", trusted)

	s.publish("enforce", "mx1")
	if enforce := s.inForce(); enforce <= testing {
		t.Errorf("id %s after %s", enforce, testing)
	}
	s.enforced("mx1")
	m := s.send("enforce")
	m.delivered("mx1", verified)
	if _, name := m.arrived("mx1"); name != "mx1."+s.domain {
		t.Errorf("Postfix asked for %q with SNI", name)
	}
}
