package controllers

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// writes are when shards are written for edits that come at these times.
func writes(g *gathering, edits ...time.Duration) (at []time.Duration) {
	timings := DefaultTimings()
	var came []time.Duration
	for now := time.Duration(0); now < 2*time.Minute; now += 100 * time.Millisecond {
		for len(edits) > 0 && edits[0] <= now {
			came, edits = append(came, edits[0]), edits[1:]
		}
		if len(came) > 0 && g.wait(testNow.Add(now), pending{hosts: len(came)}, timings) == 0 {
			at, came = append(at, now), nil
			g.writtenAt = testNow.Add(now)
			g.done()
		}
	}
	return at
}

func TestShardsAreWrittenLessOftenWhileEditsKeepComing(t *testing.T) {
	var half []time.Duration
	for n := range 300 {
		half = append(half, time.Duration(n)*100*time.Millisecond)
	}
	const s, ms = time.Second, time.Millisecond
	for _, c := range []struct {
		name        string
		edits, want []time.Duration
	}{
		{"one", []time.Duration{0}, []time.Duration{0}},
		{"two, a minute apart", []time.Duration{0, 60 * s}, []time.Duration{0, 60 * s}},
		{"two that follow each other", []time.Duration{0, 2 * s}, []time.Duration{0, 2500 * ms}},
		{"a burst", []time.Duration{0, 200 * ms, 400 * ms, 900 * ms}, []time.Duration{0, 1400 * ms}},
		{"300 within half a minute", half, []time.Duration{0, 10 * s, 20 * s, 30 * s}},
	} {
		if diff := cmp.Diff(c.want, writes(&gathering{}, c.edits...)); diff != "" {
			t.Errorf("%s: written (-want +is)\n%s", c.name, diff)
		}
	}
}
