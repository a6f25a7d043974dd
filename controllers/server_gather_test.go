package controllers

import (
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/controllers/internal/resources"
)

// writes are when shards are written for edits that come at these times.
func writes(g *gathering, edits ...time.Duration) (at []time.Duration) {
	timings := DefaultTimings()
	var fleet atomic.Int64
	var came []time.Duration
	for now := time.Duration(0); now < 2*time.Minute; now += 100 * time.Millisecond {
		for len(edits) > 0 && edits[0] <= now {
			came, edits = append(came, edits[0]), edits[1:]
		}
		if len(came) > 0 && g.wait(testNow.Add(now), pending{hosts: len(came)}, &fleet, timings) == 0 {
			at, came = append(at, now), nil
			g.writtenAt = testNow.Add(now)
			g.done(&fleet)
		}
	}
	return at
}

func TestShardsAreWrittenLessOftenWhileEditsKeepComing(t *testing.T) {
	const s, ms = time.Second, time.Millisecond
	flow := func(n int, every time.Duration) (edits []time.Duration) {
		for i := range n {
			edits = append(edits, time.Duration(i)*every)
		}
		return edits
	}
	for _, c := range []struct {
		name        string
		edits, want []time.Duration
	}{
		{"one", []time.Duration{0}, []time.Duration{0}},
		{"two, a minute apart", []time.Duration{0, 60 * s}, []time.Duration{0, 60 * s}},
		{"two that follow each other", []time.Duration{0, 2 * s}, []time.Duration{0, 2500 * ms}},
		{"a burst", []time.Duration{0, 200 * ms, 400 * ms, 900 * ms}, []time.Duration{0, 1400 * ms}},
		{"two at once", []time.Duration{0, 0}, []time.Duration{500 * ms}},
		{"four a second", flow(200, 250*ms), []time.Duration{0, 10300 * ms, 20500 * ms, 30800 * ms, 41 * s, 50300 * ms}},
		{"600 with a pause", append(flow(300, 10*ms), flow(600, 14*ms)[300:]...), []time.Duration{0, 9900 * ms}},
		{"1 000 within ten seconds", flow(1000, 10*ms), []time.Duration{0, 11500 * ms}},
		{"5 000 within a minute", flow(5000, 12*ms), []time.Duration{0, 30100 * ms, 60200 * ms}},
	} {
		if diff := cmp.Diff(c.want, writes(&gathering{}, c.edits...)); diff != "" {
			t.Errorf("%s: written (-want +is)\n%s", c.name, diff)
		}
	}
}

func TestShardsWaitForAMassEditThatIsMostlyElsewhere(t *testing.T) {
	timings := DefaultTimings()
	var fleet atomic.Int64
	elsewhere, here := gathering{}, gathering{}
	if wait := elsewhere.wait(testNow, pending{hosts: 2 * patientHosts}, &fleet, timings); wait != 3*timings.CoalesceQuiet {
		t.Errorf("the mass edit waits for %s", wait)
	}
	if wait := here.wait(testNow, pending{hosts: 1}, &fleet, timings); wait != 3*timings.CoalesceQuiet {
		t.Errorf("a part of it in another namespace waits for %s", wait)
	}
	elsewhere.done(&fleet)
	here.done(&fleet)
	if wait := here.wait(testNow, pending{hosts: 1}, &fleet, timings); wait != 0 {
		t.Errorf("a single edit after it waits for %s", wait)
	}
}

func TestTheFirstShardOfANamespaceWaitsForNobody(t *testing.T) {
	s := &shardServer{
		random: rand.New(rand.NewPCG(1, 2)), left: -1,
		shards: map[int][]*corev1.ConfigMap{}, publications: map[string][]*v1alpha1.MTASTSPublication{},
	}
	o := s.newOperator()
	o.r.Timings, o.r.Clock = DefaultTimings(), clocktesting.NewFakeClock(testNow)
	o.r.changedHosts.Add(2 * patientHosts)
	publications := []v1alpha1.MTASTSPublication{publicationOf("first.example", 1, testNow)}
	for _, c := range []struct {
		host string
		want time.Duration
	}{
		{"mta-sts.first.example", 0},
		{"mta-sts.second.example", 3 * DefaultTimings().CoalesceQuiet},
	} {
		wait, err := o.r.renderShards(t.Context(), resources.Server{Namespace: "mail", Anchor: "anchor"}, o.state, publications)
		if err != nil || wait != c.want {
			t.Fatalf("%s waits for %s and fails with %v, want %s", c.host, wait, err, c.want)
		}
		if _, written := last(s.shards[0]).Data[c.host]; written != (c.want == 0) {
			t.Errorf("%s is written: %t", c.host, written)
		}
		publications = append(publications, publicationOf("second.example", 1, testNow))
	}
}
