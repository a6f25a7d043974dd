package controllers

import (
	"slices"
	"testing"
	"time"
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
