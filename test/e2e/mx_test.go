package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
)

// An MX host shows a certificate for another name: the very attack that MTA-STS is for.
func TestWrongCertificate(t *testing.T) {
	t.Parallel()
	s := begin(t, "certificate")
	s.certify("mx1", "somebody-else.test")
	s.publish("testing", "mx1")
	s.inForce()
	s.send("testing").delivered("mx1", trusted)

	// It is said before it hurts, and again when somebody is about to make it hurt.
	warning := s.condition(long, v1alpha1.ConditionMXAligned, metav1.ConditionTrue, v1alpha1.ReasonNotEnforced)
	s.say("MXAligned under testing: %s", warning)
	if !strings.Contains(warning, "mx1."+s.domain) || !strings.Contains(warning, "somebody-else.test") {
		t.Errorf("the message does not name the host and the certificate's name: %s", warning)
	}
	s.publish("enforce", "mx1")
	s.say("held: %s", s.condition(long, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonSTARTTLSFailing))

	s.publishWith("preflight: Advise", "enforce", "mx1")
	s.inForce()
	s.say("MXAligned under enforce: %s", s.condition(long, v1alpha1.ConditionMXAligned, metav1.ConditionFalse, v1alpha1.ReasonSTARTTLSFailing))
	s.enforced("mx1")
	m := s.send("enforce")
	if lines := m.becomes("deferred"); !strings.Contains(lines, "Server certificate not verified") {
		t.Errorf("deferred for another reason: %s", lines)
	}

	s.certify("mx1", "mx1."+s.domain)
	m.delivered("mx1", verified)
}

// A second MX host is added in the wrong order and then in the right one; the first one leaves.
func TestMXHostsComeAndGo(t *testing.T) {
	t.Parallel()
	s := begin(t, "move")
	s.publish("enforce", "mx1")
	s.inForce()

	// The record comes first: senders that hold the policy refuse the new host.
	s.addMX("mx2")
	s.must(s.setRecords(s.ctx, s.domain, "MX", "10 mx1."+s.domain+".", "20 mx2."+s.domain+"."))
	s.publish("enforce", "mx1", "mx3") // any edit makes the operator look at once
	held := s.condition(long, v1alpha1.ConditionMXAligned, metav1.ConditionFalse, v1alpha1.ReasonUncoveredMX)
	s.say("MXAligned=False: %s", held)
	if !strings.Contains(held, "mx2."+s.domain) {
		t.Errorf("the message does not name the host: %s", held)
	}

	// The policy follows: the host is safe once the last copy of the policy without it is gone.
	s.publish("enforce", "mx1", "mx2")
	s.inForce()
	s.eventually(long, "a date for mx2", func(ctx context.Context) error {
		mx, err := s.mxStatus(ctx, "mx2")
		if err != nil {
			return err
		}
		if mx.State != v1alpha1.MXCovered || mx.SafeAfter == nil {
			return fmt.Errorf("%+v", mx)
		}
		// TTL, max_age and an hour after the earlier policy was left behind.
		if left := time.Until(mx.SafeAfter.Time); left < 24*time.Hour || left > 25*time.Hour+10*time.Minute {
			return fmt.Errorf("safe after %s, in %s", mx.SafeAfter, left)
		}
		s.say("mx2 is covered, and safe after %s", mx.SafeAfter)
		return nil
	})
	if mx, err := s.mxStatus(s.ctx, "mx1"); err != nil || mx.SafeAfter != nil {
		t.Errorf("mx1 was covered all the time, but: %+v, %v", mx, err)
	}

	// The first host leaves in the wrong order: the policy may not drop it while it is live.
	s.publish("enforce", "mx2")
	s.condition(long, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonUncoveredMX)
	s.must(s.setRecords(s.ctx, s.domain, "MX", "20 mx2."+s.domain+"."))
	s.inForce()
	s.enforced("mx2")
	s.send("to mx2").delivered("mx2", verified)
}
