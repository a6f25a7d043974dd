package controllers

import (
	"context"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/controllers/internal/publication"
)

// HeartbeatName is the name of the ConfigMap in the operator's namespace that tells until when an operator
// has written the cluster's data.
const HeartbeatName = "mta-sts-operator-heartbeat"

// Keys of the heartbeat: when it was written last, and the outage that was found last.
const (
	heartbeatTime  = "time"
	heartbeatSince = "outage-since"
	heartbeatUntil = "outage-until"
)

const (
	// heartbeatRetry is how soon a heartbeat that could not be written is tried again.
	heartbeatRetry = 10 * time.Second
	// outageForgotten is when an outage says nothing any more: what it may have lost lived for a year at most.
	outageForgotten = 400 * 24 * time.Hour
)

// heartbeat notices that the cluster's data may be from before: what an operator wrote last is either long
// ago, or older than what this one knows to have written itself. It is a help and no proof: nothing is
// concluded from a heartbeat that is young.
type heartbeat struct {
	client  client.Client
	live    client.Reader
	options Options

	mu sync.Mutex
	// known is set once the heartbeat was read; wrote is what this operator wrote into it last.
	known bool
	wrote time.Time
	// found is the outage that was found last; nil if there is none.
	found *publication.Outage
}

// NeedLeaderElection implements manager.LeaderElectionRunnable: only the leader's word counts.
func (h *heartbeat) NeedLeaderElection() bool { return true }

// Start implements manager.Runnable.
func (h *heartbeat) Start(ctx context.Context) error {
	for {
		wait := h.options.Timings.Heartbeat
		if err := h.beat(ctx); err != nil && ctx.Err() == nil {
			log.FromContext(ctx).Error(err, "writing the heartbeat: without it a restored cluster is not noticed")
			wait = min(wait, heartbeatRetry)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
	}
}

// outage is the one that was found last; nil if none was. The first caller reads the heartbeat: nothing may be
// decided before. An operator that may not read it goes on without.
func (h *heartbeat) outage(ctx context.Context) (*publication.Outage, error) {
	if h == nil {
		return nil, nil //nolint:nilnil // none was found
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.known {
		if _, err := h.read(ctx); err != nil && !apierrors.IsForbidden(err) {
			return nil, err
		}
		h.known = true
	}
	return h.found, nil
}

// beat writes the heartbeat.
func (h *heartbeat) beat(ctx context.Context) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	object, err := h.read(ctx)
	if err != nil {
		return err
	}
	h.known = true
	now := h.options.Clock.Now()
	object.Data = map[string]string{heartbeatTime: now.UTC().Format(time.RFC3339Nano)}
	if h.found != nil {
		object.Data[heartbeatSince] = h.found.Since.UTC().Format(time.RFC3339)
		object.Data[heartbeatUntil] = h.found.Until.UTC().Format(time.RFC3339)
	}
	if object.ResourceVersion == "" {
		err = h.client.Create(ctx, object)
	} else {
		err = h.client.Update(ctx, object)
	}
	if err != nil {
		return fmt.Errorf("writing ConfigMap %s: %w", HeartbeatName, err)
	}
	h.wrote = now
	return nil
}

// read gets the heartbeat live, or a new one, and notes an outage that it tells.
func (h *heartbeat) read(ctx context.Context) (*corev1.ConfigMap, error) {
	object := &corev1.ConfigMap{}
	key := client.ObjectKey{Namespace: h.options.OperatorNamespace, Name: HeartbeatName}
	err := h.live.Get(ctx, key, object)
	switch {
	case apierrors.IsNotFound(err):
		return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{
			Namespace: key.Namespace, Name: key.Name, Labels: map[string]string{v1alpha1.NoBackupLabel: "true"},
		}}, nil
	case err != nil:
		return nil, fmt.Errorf("reading ConfigMap %s: %w", HeartbeatName, err)
	}
	h.found = h.judge(object.Data, h.options.Clock.Now())
	return object, nil
}

// judge is the outage that a heartbeat tells: the one that it reports, or the one that it is the beginning
// of. Of several the longest stretch counts: a pod must have lived through all of it to prove anything.
func (h *heartbeat) judge(data map[string]string, now time.Time) *publication.Outage {
	found := h.found
	if since, until := beatAt(data, heartbeatSince), beatAt(data, heartbeatUntil); found == nil && !since.IsZero() && until.After(since) {
		found = &publication.Outage{Since: since, Until: until}
	}
	last := beatAt(data, heartbeatTime)
	late := !h.known && now.Sub(last) > h.options.Timings.HeartbeatOld
	wentBack := last.Before(h.wrote)
	if !last.IsZero() && (late || wentBack) {
		out := publication.Outage{Since: last, Until: now}
		if found != nil && found.Since.Before(out.Since) {
			out.Since = found.Since
		}
		found = &out
	}
	switch {
	case found == nil || now.Sub(found.Until) > outageForgotten:
		return nil
	case found.Until.After(now): // another clock was ahead: what is minted from now on is from after the outage
		found = &publication.Outage{Since: found.Since, Until: now}
	}
	return found
}

// beatAt is a time in the heartbeat; zero if there is none.
func beatAt(data map[string]string, key string) time.Time {
	at, err := time.Parse(time.RFC3339Nano, data[key])
	if err != nil {
		return time.Time{}
	}
	return at
}
