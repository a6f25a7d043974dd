package controllers

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	clocktesting "k8s.io/utils/clock/testing"
)

func TestNamespacesThatAreBusyTogetherRestLongerThanOneAlone(t *testing.T) {
	const ms = time.Millisecond
	for _, c := range []struct {
		name string
		// others are the namespaces that there was a pass over so long before.
		others       int
		before       time.Duration
		publications int
		want         time.Duration
	}{
		{name: "one small namespace waits for the events of a moment only", publications: 10, want: DefaultTimings().Coalesce},
		{name: "one large namespace", publications: 10000, want: 1000 * ms},
		{name: "the last of twenty", others: 19, publications: 500, want: 1000 * ms},
		{name: "a small one beside large ones", others: 19, publications: 200, want: 400 * ms},
		{name: "a large one beside small ones", others: 19, publications: 10000, want: 1950 * ms},
		{name: "after others that have been quiet since", others: 19, before: busyFor, publications: 2000, want: 200 * ms},
	} {
		t.Run(c.name, func(t *testing.T) {
			clock := clocktesting.NewFakeClock(testNow)
			r := &serverReconciler{Options: Options{Clock: clock}.withDefaults(), rests: map[string]rest{}}
			for i := range c.others {
				r.rest(string(rune('a'+i)), 500)
			}
			clock.Step(c.before)
			r.rest("this", c.publications)
			if diff := cmp.Diff(c.want, r.soon("this")); diff != "" {
				t.Errorf("after the pass an event waits (-want +is)\n%s", diff)
			}
			clock.Step(c.want)
			if diff := cmp.Diff(DefaultTimings().Coalesce, r.soon("this")); diff != "" {
				t.Errorf("after the rest an event waits (-want +is)\n%s", diff)
			}
		})
	}
}
