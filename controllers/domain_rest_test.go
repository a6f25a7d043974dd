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
func inLine(r *domainReconciler, lasts time.Duration) (end time.Time, asked int) {
	memories := make([]*memory, 1000)
	for i := range memories {
		memories[i] = &memory{domain: fmt.Sprintf("d%d.example", i), lookAt: testNow}
	}
	var busy []time.Time // until when each look lasts
	for now := testNow; len(memories) > 0; now = now.Add(100 * time.Millisecond) {
		for len(busy) > 0 && !busy[0].After(now) {
			busy = busy[1:]
			r.endTurn()
		}
		memories = slices.DeleteFunc(memories, func(m *memory) bool {
			if m.lookAt.After(now) {
				return false
			}
			asked++
			if !r.takeTurn(m, now) {
				return false
			}
			busy = append(busy, now.Add(lasts))
			return true
		})
		end = now
	}
	return end, asked
}

func TestDomainsThatAreDueTogetherTakeTurns(t *testing.T) {
	r := &domainReconciler{restLooks: rate.NewLimiter(restLooksPerSecond, 2*restLooksPerSecond), restSlots: make(chan struct{}, 8)}
	end, asked := inLine(r, 200*time.Millisecond)
	if asked > 2500 {
		t.Errorf("a thousand domains asked %d times whether it is their turn", asked)
	}
	if took := end.Sub(testNow); took < 97*time.Second || took > 2*time.Minute {
		t.Errorf("a thousand looks at ten a second took %s", took)
	}
}

// While DNS is silent, looks last; the other workers are for those that want something.
func TestLooksThatLastDoNotTakeEveryWorker(t *testing.T) {
	r := &domainReconciler{restLooks: rate.NewLimiter(restLooksPerSecond, 2*restLooksPerSecond), restSlots: make(chan struct{}, 8)}
	end, asked := inLine(r, 20*time.Second)
	took := end.Sub(testNow)
	if perSecond := float64(asked) / took.Seconds(); perSecond > 1.5*restLooksPerSecond {
		t.Errorf("%.1f passes a second are spent on waiting", perSecond)
	}
	if took < 1000/8*20*time.Second-20*time.Second || took > 2*time.Hour {
		t.Errorf("a thousand looks of 20 s, eight at once, took %s", took)
	}
}
