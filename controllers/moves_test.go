package controllers

import (
	"testing"
	"time"

	"github.com/mta-sts-operator/mta-sts-operator/controllers/internal/publication"
	"github.com/mta-sts-operator/mta-sts-operator/controllers/internal/resources"
)

func TestThePolicyHostMovesOnlyToWhereThePolicyWasSeenOrFromWhereItIsProvenToBeGone(t *testing.T) {
	const there = "198.51.100.66"
	row := func(tries int, lasted time.Duration) publication.Tried {
		return publication.Tried{At: testNow, Tries: tries, Since: testNow.Add(-lasted)}
	}
	for name, tt := range map[string]struct {
		look  *publication.Public
		dns   publication.Answer
		seen  string
		moves bool
	}{
		"nobody has looked":                   {},
		"the policy is where it was":          {look: &publication.Public{Outcome: publication.Pass}},
		"the policy was seen there":           {look: &publication.Public{Outcome: publication.Pass}, seen: there, moves: true},
		"one look failed":                     {look: &publication.Public{Outcome: publication.NoAnswer, Tried: row(1, 0)}, dns: publication.Found},
		"it is silent for ten minutes":        {look: &publication.Public{Outcome: publication.NoAnswer, Tried: row(3, 10*time.Minute)}, dns: publication.Found, moves: true},
		"it is silent, and so is DNS":         {look: &publication.Public{Outcome: publication.NoAnswer, Tried: row(3, 10*time.Minute)}, dns: publication.Unknown},
		"it is broken for a moment":           {look: &publication.Public{Outcome: publication.Broken, Tried: row(2, time.Minute)}, dns: publication.Found},
		"it is broken for ten minutes":        {look: &publication.Public{Outcome: publication.Broken, Tried: row(3, 10*time.Minute)}, dns: publication.Unknown, moves: true},
		"it was broken for an older instance": {look: &publication.Public{For: "older", Outcome: publication.Broken, Tried: row(3, 10*time.Minute)}},
	} {
		t.Run(name, func(t *testing.T) {
			s := inForceScope()
			s.timings = publication.DefaultTimings()
			s.settings.Targets = []string{"192.0.2.1"}
			s.hostEndpoint = resources.NewDomain(s.publication, s.settings).HostEndpoint(s.settings.Targets)
			s.settings.Targets = []string{there}
			if s.memory.public = tt.look; tt.look != nil && tt.look.For == "" {
				tt.look.For = s.publication.Spec.Current.ID
			}
			s.memory.dns = &publication.DNS{Answer: tt.dns}
			s.memory.way.answering = tt.seen
			got := s.targets()
			if moves := len(got) == 1 && got[0] == there; moves != tt.moves {
				t.Errorf("the host points at %v", got)
			}
		})
	}
}
