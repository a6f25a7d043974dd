package simulation

import (
	"time"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
)

// checkGone sees everything being removed. What somebody else published is theirs to drain.
func (s *sim) checkGone() {
	switch s.wish {
	case v1alpha1.DeletionOrphan:
		if s.spec.Current != nil {
			s.fail("what was to stay is removed (I6)")
		}
	case v1alpha1.DeletionImmediate:
		s.checkGrace("everything is removed")
		if s.unseen && !s.said && s.spec.AnnouncedID != "" {
			s.fail("a copy is removed before its policy was seen (I6)")
		}
	default:
		if s.spec.Current != nil {
			s.checkNeeded("everything is removed")
			s.checkAnswers()
		}
	}
}

// checkGrace makes sure that nothing is taken away that may only have been renamed. A clock that was
// behind when it noted the policy's absence cannot know better.
func (s *sim) checkGrace(what string) {
	if gone := s.now.Sub(s.goneAt); !s.behind && (s.claim != nil || gone < s.tm.RetireGrace-time.Second) {
		s.fail("%s %s after the policy was gone (I6)", what, gone)
	}
}

// checkAnswers makes sure that nobody is sent to a policy host that is gone, unless DNS would not let go.
func (s *sim) checkAnswers() {
	r := s.spec.Retirement
	if r == nil || r.RemovingSince == nil || s.now.Sub(s.stepped) < s.tm.RemovePatience || s.clock().Sub(r.RemovingSince.Time) >= s.tm.RemovePatience {
		return
	}
	for _, c := range s.senders {
		for _, answer := range c.resolvers {
			if _, ours := mtasts.ParseID(answer.id); ours && s.now.Before(answer.until) && answer.oldAnswer == nil {
				s.fail("everything is removed although a resolver of %s answers id %s until %s (I6)", c.name, answer.id, answer.until)
			}
		}
	}
}

// checkWish makes sure that Immediate does not wait.
func (s *sim) checkWish() {
	restored := !s.restored.IsZero()
	noticed := s.claim != nil && !s.now.Before(s.returns) // a policy that came and went while nobody looked was never there
	if noticed || s.spec == nil || restored {
		s.goneAt = s.now
	}
	if s.claim != nil || s.spec == nil || restored || ((s.retirementHeld || s.unseen) && !s.said) {
		s.dueAt = s.now
	}
	if s.wish == v1alpha1.DeletionImmediate && s.now.Sub(s.dueAt) > immediately {
		s.fail("everything is still there %s after it was to go at once (I6)", s.now.Sub(s.dueAt))
	}
}

// checkNeeded makes sure that no sender needs what is taken away (I6).
func (s *sim) checkNeeded(what string) {
	for _, c := range s.senders {
		if c.enforces(s.now) && (c.from == nil || c.from.seen) {
			s.fail("%s although %s holds id %s (%v) until %s (I6)", what, c.name, c.id, c.policy.MX, c.until)
		}
	}
}

// checkRetirement makes sure that none begins that is held, or that nobody asked for (I6).
func (s *sim) checkRetirement(before, after *v1alpha1.MTASTSPublicationSpec) {
	held := (s.retirementHeld || s.unseen) && !s.said
	if begins := after.Retirement != nil && (before == nil || before.Retirement == nil); begins && (held || s.wish == v1alpha1.DeletionOrphan) {
		s.fail("a retirement begins that is held, of a copy without a policy: %t, or was not wanted (%s) (I6)", s.unseen, s.wish)
	}
}

// checkRestored makes sure that a copy is not believed in what must be new (I3, I6).
func (s *sim) checkRestored(before, after *v1alpha1.MTASTSPublicationSpec) {
	if before != nil && before.AnnouncedID != "" && before.UID != after.UID && before.UID != s.uid {
		if idOf(before) == idOf(after) {
			s.fail("a restored copy goes on under id %s (I3)", idOf(after))
		}
		if after.Retirement != nil {
			s.fail("a restored copy goes on with a retirement of %s (I6)", after.Retirement.StartedAt)
		}
	}
}
