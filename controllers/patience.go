package controllers

import (
	"context"
	"errors"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// errStaleCache says that the cache is behind the API server on something that matters. It is not
// an error to tell anybody: the pass is made again.
var errStaleCache = errors.New("the cache is behind the API server")

// A pass that met a stale cache is made again soon, because a moment later the cache has caught up;
// then less and less often, because a watch may stand still for an hour. Its first event wakes the
// pass anyway.
const (
	staleRetry     = 500 * time.Millisecond
	staleDoublings = 5
)

// patience counts, for each key of a controller, the passes in a row that met a stale cache.
type patience[K comparable] struct {
	mu    sync.Mutex
	tries map[K]int
}

func newPatience[K comparable]() *patience[K] { return &patience[K]{tries: map[K]int{}} }

// tryAgain says whether the pass that ended with err is made again without complaint, and after what
// time; 0 is not before the next event.
func (p *patience[K]) tryAgain(key K, err error) (again bool, wait time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !stale(err) {
		delete(p.tries, key)
		return untold(err), 0
	}
	wait = staleRetry << min(p.tries[key], staleDoublings)
	p.tries[key]++
	return true, wait
}

// stale says whether a pass failed because it knew less than the API server does.
func stale(err error) bool {
	gone := apierrors.IsNotFound(err) && !apierrors.IsUnexpectedServerError(err) // an object; a missing kind is unexpected
	return errors.Is(err, errStaleCache) || apierrors.IsConflict(err) || gone
}

// untold says whether nobody needs to be told that a pass ended with err. A namespace that is being
// terminated is left alone: whatever it holds goes, and there is nothing to add to it.
func untold(err error) bool {
	return stale(err) || apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) ||
		errors.Is(err, context.Canceled) // the operator is being stopped
}

// left is what is left of a wait that began then; nothing if the clock has gone back since.
func left(began time.Time, wait time.Duration, now time.Time) time.Duration {
	if passed := now.Sub(began); 0 <= passed && passed < wait {
		return wait - passed
	}
	return 0
}
