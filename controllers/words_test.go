package controllers

import (
	"testing"
	"time"

	"golang.org/x/time/rate"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/controllers/internal/publication"
)

func TestTheWordOfARestoreIsHeededBeforeAnythingEndsOrMoves(t *testing.T) {
	enforced := &v1alpha1.Instance{ID: "20260301000000aaaaaaaa", Mode: v1alpha1.ModeEnforce}
	for name, tt := range map[string]struct {
		said    bool
		before  int // domains that have their turn before it
		current *v1alpha1.Instance
		mode    v1alpha1.Mode
		heir    bool
		// heeded is set if the word is heeded now; moves if the domain is handed over in this pass.
		heeded, waits, moves bool
	}{
		"it is its turn":                        {said: true, heeded: true},
		"twenty come before it":                 {said: true, before: 20, waits: true},
		"twenty come before who leaves enforce": {said: true, before: 20, current: enforced, mode: v1alpha1.ModeTesting, heeded: true},
		"twenty come before who enforces":       {said: true, before: 20, current: enforced, mode: v1alpha1.ModeEnforce, waits: true},
		"the domain has an heir":                {said: true, heir: true, heeded: true},
		"an heir, and nothing was said":         {heir: true, moves: true},
		"an heir, and twenty before it":         {said: true, heir: true, before: 20, waits: true},
	} {
		t.Run(name, func(t *testing.T) {
			r := &domainReconciler{restLooks: rate.NewLimiter(restLooksPerSecond, 2*restLooksPerSecond)}
			r.Clock, r.Timings = clocktesting.NewFakeClock(testNow), publication.DefaultTimings()
			for range tt.before {
				r.takeTurn(newMemory("before.example"), testNow)
			}
			pub, p := announced("mail", "p"), testPolicy("mail", "p", 1)
			pub.Spec.Current = tt.current
			if tt.said {
				pub.Annotations = map[string]string{v1alpha1.RestoredAnnotation: testNow.Format(time.RFC3339)}
			}
			s := &scope{domain: testDomain, memory: newMemory(testDomain)}
			s.publication = &pub
			if tt.heir {
				s.heir = &p
			} else {
				p.Spec.Mode = tt.mode
				s.winner = &p
			}
			r.observeWords(s)
			heeded, waits := s.observation.Words.Restored != "", s.turnIn > 0
			if heeded != tt.heeded || waits != tt.waits || (!waits && s.handsOver() != tt.moves) {
				t.Errorf("heeded %t, waits %t, moves %t", heeded, waits, s.handsOver())
			}
		})
	}
}
