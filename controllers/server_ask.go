package controllers

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/controllers/internal/publication"
	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
)

// nudgeAnnotation on a pod makes its kubelet refresh the mounted shards at once instead of within a
// minute.
const nudgeAnnotation = "mtasts.dev/shards-written"

// askPods asks every pod of the namespace's server what it serves, tells the domains for which the
// answer changed, and says when to ask next: soon while any domain waits for a pod.
func (r *serverReconciler) askPods(ctx context.Context, namespace string, state *serverState, publications []v1alpha1.MTASTSPublication) (time.Duration, error) {
	asked, err := listServers(ctx, r.client, namespace)
	if err != nil {
		return 0, err
	}
	r.instances.ask.keep(namespace, asked.pods)
	reports := r.instances.ask.all(ctx, namespace, asked, hostsWith(publications))
	if err := context.Cause(ctx); err != nil {
		return 0, err
	}
	views := make(map[string]view, len(publications))
	pending := false
	behind := map[string]bool{}
	for i := range publications {
		spec := &publications[i].Spec
		if spec.Current == nil {
			continue
		}
		servers := servedBy(reports, spec.Domain, spec.Current.ID, spec.AnnouncedID == spec.Current.ID)
		views[spec.Domain] = view{id: spec.Current.ID, servers: servers, witness: witnessOf(reports, spec.Domain, spec.LastID)}
		pending = pending || !servers.All()
		noteLagging(behind, servers)
		r.noteAhead(ctx, namespace, spec, reports)
	}
	now := r.Clock.Now()
	if r.instances.update(ctx, namespace, views) || state.changedAt.IsZero() {
		state.changedAt = now
	}
	next, err := r.nudge(ctx, state, asked.pods, behind)
	switch {
	case err != nil:
		return 0, err
	case !pending || now.Sub(state.changedAt) >= r.Timings.AskPatience:
		return r.Timings.AskRest, nil
	case left(state.nudgedAt, r.Timings.AskPending, r.Clock.Now()) > 0:
		return r.Timings.AskPending / 4, nil // most kubelets that were nudged take less than a second
	case next > 0:
		return min(next, r.Timings.AskPending), nil
	}
	return r.Timings.AskPending, nil
}

// noteAhead notes a pod that serves an instance of ours which the publication does not know: the
// cluster's data went back in time, and the pod did not.
func (r *serverReconciler) noteAhead(ctx context.Context, namespace string, spec *v1alpha1.MTASTSPublicationSpec, reports []report) {
	clock := r.laterClock()
	for _, rep := range reports {
		if id := rep.hosts[mtasts.PolicyHost(spec.Domain)]; id.Compare(mtasts.ID(spec.LastID)) > 0 && id.PlausibleAfter(mtasts.ID(spec.LastID), clock) {
			r.instances.foundAhead(ctx, namespace, spec.Domain, publication.Greater{ID: id})
		}
	}
}

// noteLagging collects the pods that answer, but with an older instance: a kubelet can help those.
func noteLagging(behind map[string]bool, servers publication.Servers) {
	for _, b := range servers.Behind {
		if b.Problem == v1alpha1.ReasonReplicaLagging {
			behind[b.Pod] = true
		}
	}
}

// maxNudges bounds how often pods are nudged per shard write.
const maxNudges = 5

// nudge touches the annotation of lagging pods: first when kubelets can have seen the write, then for those
// that had not, each time later. Where the API server was away a kubelet may take a minute to see anything.
// It returns when the next ones are due, 0 if there are none or that depends on the pods' answers.
func (r *serverReconciler) nudge(ctx context.Context, state *serverState, pods []corev1.Pod, behind map[string]bool) (time.Duration, error) {
	again := state.nudges > 0
	if (again && state.dirty) || state.nudges >= maxNudges || len(behind) == 0 {
		return 0, nil
	}
	if state.writtenAt.IsZero() {
		// The operator before this one wrote, and may have ended before it told the pods.
		state.writtenAt = r.Clock.Now()
	}
	wait, more := r.Timings.NudgeAfter, r.Timings.NudgeAgain
	for range state.nudges {
		wait += more
		more *= 3
	}
	if early := left(state.writtenAt, wait, r.Clock.Now()); early > 0 {
		return early, nil
	}
	state.nudges++
	state.nudgedAt = r.Clock.Now()
	value := strconv.FormatInt(state.writtenAt.Unix(), 10) + "-" + strconv.Itoa(state.nudges)
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": map[string]string{nudgeAnnotation: value}}})
	if err != nil {
		return 0, fmt.Errorf("encoding the nudge: %w", err)
	}
	for i := range pods {
		if !behind[pods[i].Name] {
			continue
		}
		err := r.client.Patch(ctx, pods[i].DeepCopy(), client.RawPatch(types.MergePatchType, patch))
		if client.IgnoreNotFound(err) != nil {
			return 0, fmt.Errorf("nudging pod %s/%s: %w", pods[i].Namespace, pods[i].Name, err)
		}
	}
	return 0, nil
}
