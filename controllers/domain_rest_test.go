package controllers

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"golang.org/x/time/rate"
)

// inLine plays a thousand domains that are due at once, each of which comes back when it was told to. It
// returns when the last was looked at, and how often they asked altogether.
func inLine(r *domainReconciler) (end time.Time, asked int) {
	memories := make([]*memory, 1000)
	for i := range memories {
		memories[i] = &memory{domain: fmt.Sprintf("d%d.example", i), lookAt: testNow}
	}
	for now := testNow; len(memories) > 0; now = now.Add(100 * time.Millisecond) {
		memories = slices.DeleteFunc(memories, func(m *memory) bool {
			if m.lookAt.After(now) {
				return false
			}
			asked++
			return r.takeTurn(m, now)
		})
		end = now
	}
	return end, asked
}

func TestDomainsThatAreDueTogetherTakeTurns(t *testing.T) {
	r := &domainReconciler{restLooks: rate.NewLimiter(restLooksPerSecond, 2*restLooksPerSecond)}
	end, asked := inLine(r)
	if asked > 2500 {
		t.Errorf("a thousand domains asked %d times whether it is their turn", asked)
	}
	if took := end.Sub(testNow); took < 97*time.Second || took > 2*time.Minute {
		t.Errorf("a thousand looks at ten a second took %s", took)
	}
}
