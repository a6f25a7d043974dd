package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
)

// Senders that hold the policy of a domain that was deleted keep delivering, and after ten minutes they learn that
// nothing is demanded any more.
func TestDeletionWhileMailFlows(t *testing.T) {
	t.Parallel()
	s := begin(t, "retired")
	s.publish("enforce", "mx1")
	id := s.inForce()
	s.poll()
	s.enforced("mx1")
	s.send("held by a sender").delivered("mx1", verified)

	deleted := s.deletePolicy()
	mails := 0
	s.retires(id, deleted, func() {
		if time.Since(deleted) > time.Duration(mails)*time.Minute {
			mails++
			s.together(func() { s.send(fmt.Sprintf("retiring %d", mails)).delivered("mx1", verified) })
		}
	})
	s.say("%d messages were delivered meanwhile", mails)
	s.consistent()
}

// deletePolicy deletes it as Argo CD does: in the foreground. It returns when.
func (s *story) deletePolicy() time.Time {
	s.t.Helper()
	deleted := time.Now()
	s.run("", "-n", s.namespace, "delete", "mtastspolicy", "policy", "--cascade=foreground", "--timeout=20s")
	s.say("the policy was gone after %.1f s", time.Since(deleted).Seconds())
	return deleted
}

// retires waits until a publication whose policy was deleted has made mode none of what was in force under an id,
// and senders know. As long as it has not, it calls meanwhile now and then.
func (s *story) retires(id string, deleted time.Time, meanwhile func()) {
	s.t.Helper()
	s.apart(func() {
		s.eventually(20*time.Minute, "mode none in DNS", func(ctx context.Context) error {
			p, err := s.publication(ctx)
			if err != nil {
				return err
			}
			if p.Spec.Current.Mode == v1alpha1.ModeNone && p.Spec.InForceID == p.Spec.Current.ID {
				return nil
			}
			if p.Spec.Current.Mode == v1alpha1.ModeEnforce {
				meanwhile()
			}
			return errNotYet
		})
	})
	if took := time.Since(deleted); took < 10*time.Minute {
		s.t.Errorf("it retired after %s, so a rename in Git would have switched it off", took)
	}
	s.say("mode none is in force %.0f s after the deletion", time.Since(deleted).Seconds())
	s.enforced()
	s.send("retired").delivered("mx1", trusted)

	p, err := s.publication(s.ctx)
	s.must(err)
	if p.Spec.Retirement == nil || len(p.Spec.Ledger) == 0 || p.Spec.Ledger[0].ID != id || p.Spec.Ledger[0].CachedUntil == nil {
		s.t.Errorf("the publication does not remember what senders hold: %+v", p.Spec)
	}
}
