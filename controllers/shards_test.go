package controllers

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/controllers/internal/publication"
	"github.com/mta-sts-operator/mta-sts-operator/controllers/internal/resources"
	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
	"github.com/mta-sts-operator/mta-sts-operator/internal/policyserver"
)

// publicationOf is a publication whose policy has so many MX patterns.
func publicationOf(domain string, patterns int, at time.Time) v1alpha1.MTASTSPublication {
	policy := mtasts.Policy{Mode: mtasts.ModeEnforce, MaxAgeSeconds: 604800}
	for i := range patterns {
		policy.MX = append(policy.MX, fmt.Sprintf("mx%d.%s", i, domain))
	}
	body := policy.String()
	pub := v1alpha1.MTASTSPublication{Spec: v1alpha1.MTASTSPublicationSpec{Domain: domain}}
	id, _ := mtasts.MintID(at, "", body)
	pub.Spec.Current = &v1alpha1.Instance{ID: string(id), Body: body}
	return pub
}

func TestHostsNeverMoveAndShardsStayWithinTheirSize(t *testing.T) {
	r, state := &serverReconciler{Options: Options{}.withDefaults(), bounds: localClock}, &serverState{}
	random := rand.New(rand.NewPCG(1, 2))
	publications := make([]v1alpha1.MTASTSPublication, 0, 2000)
	home := map[string]int{}
	for round := range 20 {
		at := testNow.Add(time.Duration(round) * time.Hour)
		for range 100 {
			publications = append(publications, publicationOf(fmt.Sprintf("d%d.example", len(publications)), 1+random.IntN(30), at))
		}
		for range 50 {
			k := random.IntN(len(publications))
			publications[k] = publicationOf(publications[k].Spec.Domain, 1+random.IntN(5), at)
		}
		p, err := r.plan(t.Context(), state, publications)
		if err != nil {
			t.Fatal(err)
		}
		state.shards = shardsOf(p)
		for i := range publications {
			host := mtasts.PolicyHost(publications[i].Spec.Domain)
			n := p.home[host]
			if was, ok := home[host]; ok && was != n {
				t.Fatalf("%s moved from shard %d to %d", host, was, n)
			}
			home[host] = n
			want := policyserver.EncodeEntry(mtasts.ID(publications[i].Spec.Current.ID), publications[i].Spec.Current.Body)
			if p.wanted[n][host] != want {
				t.Fatalf("shard %d holds %q for %s", n, p.wanted[n][host], host)
			}
		}
		for n, size := range p.size {
			if size > maxShardBytes {
				t.Errorf("shard %d has %d bytes", n, size)
			}
		}
	}
	if len(state.shards) < 2 {
		t.Errorf("%d hosts made %d shards: the test proves nothing", len(publications), len(state.shards))
	}
}

func shardsOf(p *shardPlan) map[int]*corev1.ConfigMap {
	out := map[int]*corev1.ConfigMap{}
	for n, entries := range p.wanted {
		out[n] = resources.Server{}.Shard(n, entries)
	}
	return out
}

func TestAHostWhoseShardWasDeletedGoesBackToWhereItWas(t *testing.T) {
	r, state := &serverReconciler{Options: Options{}.withDefaults(), bounds: localClock}, &serverState{homes: map[string]int{"mta-sts.d.example": 3}}
	p, err := r.plan(t.Context(), state, []v1alpha1.MTASTSPublication{publicationOf("d.example", 1, testNow)})
	if err != nil || p.home["mta-sts.d.example"] != 3 {
		t.Errorf("the host went to shard %d (%v), want 3", p.home["mta-sts.d.example"], err)
	}
}

func TestLooksAtRestAreSpreadAfterARestart(t *testing.T) {
	timings := publication.DefaultTimings()
	early := 0
	for i := range 1000 {
		m := &memory{domain: fmt.Sprintf("d%d.example", i)}
		due := m.restDue("id", true, testNow, timings)
		if due.Before(testNow) || due.After(testNow.Add(timings.LookInterval)) {
			t.Fatalf("%s is due %v after the start", m.domain, due.Sub(testNow))
		}
		if due.Before(testNow.Add(timings.LookInterval / 10)) {
			early++
		}
		m.rested(testNow, timings)
		if wait := m.lookAt.Sub(testNow); wait < timings.LookInterval*8/10 || wait > timings.LookInterval*12/10 {
			t.Fatalf("%s is looked at again after %v", m.domain, wait)
		}
	}
	if early < 50 || early > 200 {
		t.Errorf("%d of 1000 domains are due in the first tenth of the interval, want about 100", early)
	}
}

// testClock says testNow.
func testClock() time.Time { return testNow }

// localClock knows no other clock than the local one.
func localClock(now time.Time) (earlier, later time.Time) { return now, now }
