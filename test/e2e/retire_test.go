package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
)

// The policy is deleted as Argo CD deletes: in the foreground. Senders that hold it keep delivering, and
// after ten minutes they learn that nothing is demanded any more.
func TestDeletionWhileMailFlows(t *testing.T) {
	t.Parallel()
	s := begin(t, "retired")
	s.publish("enforce", "mx1")
	id := s.inForce()
	s.poll()
	s.enforced("mx1")
	s.send("held by a sender").delivered("mx1", verified)

	deleted := time.Now()
	s.run("", "-n", s.namespace, "delete", "mtastspolicy", "policy", "--cascade=foreground", "--timeout=20s")
	s.say("the policy was gone after %.1f s", time.Since(deleted).Seconds())

	mails := 0
	s.apart(func() {
		s.eventually(20*time.Minute, "mode none in DNS", func(ctx context.Context) error {
			p, err := s.publication(ctx)
			if err != nil {
				return err
			}
			if p.Spec.Current.Mode == v1alpha1.ModeNone && p.Spec.InForceID == p.Spec.Current.ID {
				return nil
			}
			if p.Spec.Current.Mode == v1alpha1.ModeEnforce && time.Since(deleted) > time.Duration(mails)*time.Minute {
				mails++
				s.together(func() { s.send(fmt.Sprintf("retiring %d", mails)).delivered("mx1", verified) })
			}
			return errNotYet
		})
	})
	if took := time.Since(deleted); took < 10*time.Minute {
		t.Errorf("it retired after %s, so a rename in Git would have switched it off", took)
	}
	s.say("mode none is in force %.0f s after the deletion; %d messages were delivered meanwhile", time.Since(deleted).Seconds(), mails)
	s.enforced()
	s.send("retired").delivered("mx1", trusted)

	p, err := s.publication(s.ctx)
	s.must(err)
	if p.Spec.Retirement == nil || len(p.Spec.Ledger) == 0 || p.Spec.Ledger[0].ID != id || p.Spec.Ledger[0].CachedUntil == nil {
		t.Errorf("the publication does not remember what senders hold: %+v", p.Spec)
	}
	s.consistent()
}
