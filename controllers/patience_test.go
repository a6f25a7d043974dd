package controllers

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

func TestAPassThatMetAStaleCacheIsMadeAgainLessAndLessOften(t *testing.T) {
	p := newPatience[string]()
	stale := fmt.Errorf("recording: %w", errStaleCache)
	for i, want := range []time.Duration{1, 2, 4, 8, 16, 32, 32} {
		if again, wait := p.tryAgain("a", stale); !again || wait != want*staleRetry {
			t.Errorf("try %d: again %t after %s", i, again, wait)
		}
	}
	if _, wait := p.tryAgain("b", stale); wait != staleRetry {
		t.Errorf("another key waits %s", wait)
	}
	if again, _ := p.tryAgain("a", nil); again {
		t.Error("a pass that ended well is made again")
	}
	if _, wait := p.tryAgain("a", stale); wait != staleRetry {
		t.Errorf("after a pass that ended well it waits %s", wait)
	}
}

func TestWhatNobodyNeedsToBeToldOf(t *testing.T) {
	object := schema.GroupResource{Group: "mtasts.dev", Resource: "mtastspublications"}
	terminating := apierrors.NewForbidden(object, "example.com", nil)
	terminating.ErrStatus.Details.Causes = []metav1.StatusCause{{Type: corev1.NamespaceTerminatingCause}}
	for name, tt := range map[string]struct {
		err   error
		again bool
		wait  time.Duration
	}{
		"a conflict":                  {apierrors.NewConflict(object, "example.com", nil), true, staleRetry},
		"an object that is gone":      {fmt.Errorf("patching: %w", apierrors.NewNotFound(object, "example.com")), true, staleRetry},
		"a stale cache among others":  {errors.Join(errors.New("refused"), errStaleCache), true, staleRetry},
		"a namespace that is ending":  {terminating, true, 0},
		"an operator that is stopped": {context.Canceled, true, 0},
		"anything else":               {errors.New("refused"), false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			if again, wait := newPatience[string]().tryAgain("a", tt.err); again != tt.again || wait != tt.wait {
				t.Errorf("again %t after %s", again, wait)
			}
		})
	}
}

func TestNoWaitGrowsByAClockThatGoesBack(t *testing.T) {
	for name, tt := range map[string]struct{ passed, want time.Duration }{
		"just begun":        {0, time.Minute},
		"half of it passed": {30 * time.Second, 30 * time.Second},
		"over":              {time.Minute, 0},
		"two days back":     {-48 * time.Hour, 0},
	} {
		if got := left(testNow, time.Minute, testNow.Add(tt.passed)); got != tt.want {
			t.Errorf("%s: %s are left, want %s", name, got, tt.want)
		}
	}
}
