package controllers

import (
	"slices"
	"testing"
	"time"

	"golang.org/x/time/rate"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
)

func TestProgressIsToldLessAndLessOften(t *testing.T) {
	var p progress
	var told []int
	for second := range 200 {
		now := testNow.Add(time.Duration(second) * time.Second)
		if p.wait(1, now, 2*time.Second) == 0 {
			p.told(now, time.Minute)
			told = append(told, second)
		}
	}
	if want := []int{2, 4, 8, 16, 32, 64, 124, 184}; !slices.Equal(told, want) {
		t.Errorf("told after %v seconds, want %v", told, want)
	}
	day := testNow.Add(24 * time.Hour)
	p.told(day, time.Minute)
	if got := p.wait(1, day, 2*time.Second); got != time.Minute {
		t.Errorf("after a day the news have to wait %s, want a minute", got)
	}
	if got := p.wait(2, day, 2*time.Second); got != 2*time.Second {
		t.Errorf("the news of another edit have to wait %s, want 2 s", got)
	}
}

func TestOfThousandsOfChangesOnlySomeAreTold(t *testing.T) {
	r := &domainReconciler{Options: Options{}.withDefaults(), news: rate.NewLimiter(newsPerSecond, newsBurst)}
	var scopes []*scope
	for range 3000 {
		s := inForceScope()
		s.memory.progress = progress{}
		scopes = append(scopes, s)
	}
	news := v1alpha1.MTASTSPolicyStatus{State: v1alpha1.StateAnnouncing}
	told, due := 0, make([]time.Time, len(scopes))
	for second := range 60 {
		now := testNow.Add(time.Duration(second) * time.Second)
		for i, s := range scopes {
			if now.Before(due[i]) {
				continue
			}
			wait := r.silence(s, news, now)
			if wait == 0 {
				told++
				s.memory.progress.told(now, r.Timings.PollMost)
				wait = time.Second
			}
			due[i] = now.Add(wait)
		}
	}
	quiet, later := inForceScope(), testNow.Add(2*time.Minute)
	tokens := r.news.TokensAt(later)
	r.silence(quiet, quiet.winner.Status, later)
	if wait := r.silence(quiet, quiet.winner.Status, later.Add(r.Timings.TellAfter)); wait != 0 || r.news.TokensAt(later) < tokens {
		t.Errorf("who has no news waits for %s, and takes the turn of who has", wait)
	}
	if told < newsBurst || told > newsBurst+60*newsPerSecond {
		t.Errorf("%d news in a minute, want some and %d at most", told, newsBurst+60*newsPerSecond)
	}
}
