package controllers

import (
	"testing"
	"time"
)

func TestProgressIsToldLessAndLessOften(t *testing.T) {
	start := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	var p progress
	var told []time.Duration
	for now := time.Duration(0); now < 2*time.Minute; now += time.Second {
		if p.wait(1, start.Add(now), 2*time.Second) == 0 {
			p.told(start.Add(now))
			told = append(told, now)
		}
	}
	if want := []time.Duration{2, 4, 8, 16, 32, 64}; len(told) != len(want) {
		t.Errorf("told at %v, want at %v seconds", told, want)
	}
	later := start.Add(2 * time.Minute)
	if got := p.wait(1, later, 2*time.Second); got != 8*time.Second {
		t.Errorf("two minutes after the beginning the news have to wait %s, want the 8 s that are left of 128", got)
	}
	if got := p.wait(2, later, 2*time.Second); got != 2*time.Second {
		t.Errorf("the news of another edit have to wait %s, want 2 s", got)
	}
}
