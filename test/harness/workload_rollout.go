package harness

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// rollout decides which pods of one Deployment come and go. A pod on a lost node
// counts, unready, until somebody deletes it.
type rollout struct {
	desired int
	updated []*corev1.Pod // of the current template
	old     []*corev1.Pod
	ready   int // of both
}

func (r *rollout) add(pod *corev1.Pod, updated bool) {
	if updated {
		r.updated = append(r.updated, pod)
	} else {
		r.old = append(r.old, pod)
	}
	if podReady(pod) {
		r.ready++
	}
}

func (r *rollout) total() int { return len(r.updated) + len(r.old) }

// toCreate returns how many pods to create: up to the desired number, and one
// above while old ones are left.
func (r *rollout) toCreate() int {
	limit := r.desired
	if len(r.old) > 0 {
		limit++
	}
	return max(0, min(r.desired-len(r.updated), limit-r.total()))
}

// toDelete returns the pods to delete: surplus ones, and old ones as far as
// enough remain, new pods counting only once they are ready. Pods that are not
// ready go first.
func (r *rollout) toDelete() []*corev1.Pod {
	var doomed []*corev1.Pod
	ready := r.ready
	budget := r.total() - r.desired
	for _, pod := range r.updated {
		if !podReady(pod) {
			budget--
		}
	}
	for _, pod := range unreadyFirst(r.old) {
		if len(doomed) >= budget || (podReady(pod) && ready <= r.desired) {
			break
		}
		if podReady(pod) {
			ready--
		}
		doomed = append(doomed, pod)
	}
	surplus := max(0, len(r.updated)-r.desired)
	return append(doomed, unreadyFirst(r.updated)[:surplus]...)
}

func unreadyFirst(pods []*corev1.Pod) []*corev1.Pod {
	return slices.SortedStableFunc(slices.Values(pods), func(a, b *corev1.Pod) int {
		return cmp.Compare(rank(a), rank(b))
	})
}

func rank(pod *corev1.Pod) int {
	if podReady(pod) {
		return 1
	}
	return 0
}

// podReady tells whether a pod is to be sent requests.
func podReady(pod *corev1.Pod) bool {
	c := podCondition(pod, corev1.PodReady)
	return c != nil && c.Status == corev1.ConditionTrue && pod.DeletionTimestamp == nil
}

func podCondition(pod *corev1.Pod, conditionType corev1.PodConditionType) *corev1.PodCondition {
	for i := range pod.Status.Conditions {
		if pod.Status.Conditions[i].Type == conditionType {
			return &pod.Status.Conditions[i]
		}
	}
	return nil
}

// writeStatus writes the status of a Deployment, if it differs.
func (w *Workload) writeStatus(ctx context.Context, d *appsv1.Deployment, r *rollout) error {
	next := d.DeepCopy()
	next.Status.ObservedGeneration = d.Generation
	next.Status.Replicas = count(r.total())
	next.Status.UpdatedReplicas = count(len(r.updated))
	next.Status.ReadyReplicas = count(r.ready)
	next.Status.AvailableReplicas = count(r.ready)
	next.Status.UnavailableReplicas = count(max(0, r.total()-r.ready))
	available := appsv1.DeploymentCondition{
		Type: appsv1.DeploymentAvailable, Status: corev1.ConditionTrue, Reason: "MinimumReplicasAvailable",
		Message: "Deployment has minimum availability.",
	}
	if r.ready < r.desired {
		available.Status, available.Reason = corev1.ConditionFalse, "MinimumReplicasUnavailable"
		available.Message = "Deployment does not have minimum availability."
	}
	w.setCondition(next, available)
	progressing := appsv1.DeploymentCondition{
		Type: appsv1.DeploymentProgressing, Status: corev1.ConditionTrue, Reason: "ReplicaSetUpdated",
		Message: "ReplicaSet is progressing.",
	}
	if len(r.old) == 0 && len(r.updated) == r.desired && r.ready == r.desired {
		progressing.Reason, progressing.Message = "NewReplicaSetAvailable", "ReplicaSet has successfully progressed."
	}
	w.setCondition(next, progressing)
	if equality.Semantic.DeepEqual(d.Status, next.Status) {
		return nil
	}
	if err := w.client.Status().Patch(ctx, next, client.MergeFrom(d)); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("writing its status: %w", err)
	}
	return nil
}

func (w *Workload) setCondition(d *appsv1.Deployment, c appsv1.DeploymentCondition) {
	now := metav1.NewTime(w.clock.Now()).Rfc3339Copy()
	c.LastUpdateTime, c.LastTransitionTime = now, now
	for i := range d.Status.Conditions {
		old := &d.Status.Conditions[i]
		if old.Type != c.Type {
			continue
		}
		if old.Status == c.Status {
			c.LastTransitionTime = old.LastTransitionTime
		}
		if old.Status != c.Status || old.Reason != c.Reason {
			*old = c
		}
		return
	}
	d.Status.Conditions = append(d.Status.Conditions, c)
}

// writeSets scales old ReplicaSets to zero and writes the status of all.
func (w *Workload) writeSets(ctx context.Context, d *appsv1.Deployment, sets []appsv1.ReplicaSet, current *appsv1.ReplicaSet, mine []*corev1.Pod) error {
	var errs []error
	for i := range sets {
		set := &sets[i]
		if !metav1.IsControlledBy(set, d) || set.DeletionTimestamp != nil {
			continue
		}
		wanted := int32(0)
		if set.UID == current.UID {
			wanted = replicas(d)
		}
		errs = append(errs, w.scaleSet(ctx, set, wanted), w.writeSetStatus(ctx, set, mine))
	}
	return errors.Join(errs...)
}

func (w *Workload) scaleSet(ctx context.Context, set *appsv1.ReplicaSet, wanted int32) error {
	if set.Spec.Replicas != nil && *set.Spec.Replicas == wanted {
		return nil
	}
	next := set.DeepCopy()
	next.Spec.Replicas = &wanted
	if err := w.client.Patch(ctx, next, client.MergeFrom(set)); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("scaling ReplicaSet %s: %w", set.Name, err)
	}
	return nil
}

func (w *Workload) writeSetStatus(ctx context.Context, set *appsv1.ReplicaSet, mine []*corev1.Pod) error {
	next := set.DeepCopy()
	next.Status.ObservedGeneration = set.Generation
	next.Status.Replicas, next.Status.ReadyReplicas = 0, 0
	for _, pod := range mine {
		if !metav1.IsControlledBy(pod, set) {
			continue
		}
		next.Status.Replicas++
		if podReady(pod) {
			next.Status.ReadyReplicas++
		}
	}
	next.Status.FullyLabeledReplicas = next.Status.Replicas
	next.Status.AvailableReplicas = next.Status.ReadyReplicas
	if equality.Semantic.DeepEqual(set.Status, next.Status) {
		return nil
	}
	if err := w.client.Status().Patch(ctx, next, client.MergeFrom(set)); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("writing the status of ReplicaSet %s: %w", set.Name, err)
	}
	return nil
}

// collectSets deletes ReplicaSets whose Deployment is gone.
func (w *Workload) collectSets(ctx context.Context, deployments []appsv1.Deployment, sets []appsv1.ReplicaSet) error {
	alive := map[types.UID]bool{}
	for i := range deployments {
		alive[deployments[i].UID] = true
	}
	var errs []error
	for i := range sets {
		set := &sets[i]
		owner := metav1.GetControllerOf(set)
		if owner == nil || owner.Kind != "Deployment" || owner.Name != ServerName || alive[owner.UID] || set.DeletionTimestamp != nil {
			continue
		}
		gone, err := w.isGone(ctx, &appsv1.Deployment{}, set.Namespace, owner)
		if gone {
			err = client.IgnoreNotFound(w.client.Delete(ctx, set.DeepCopy(), client.PropagationPolicy(metav1.DeletePropagationBackground)))
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("collecting ReplicaSet %s: %w", set.Name, err))
		}
	}
	return errors.Join(errs...)
}

// collectPods deletes pods whose ReplicaSet is gone.
func (w *Workload) collectPods(ctx context.Context, sets []appsv1.ReplicaSet, pods []corev1.Pod) error {
	alive := map[types.UID]bool{}
	for i := range sets {
		alive[sets[i].UID] = true
	}
	var errs []error
	for i := range pods {
		pod := &pods[i]
		owner := metav1.GetControllerOf(pod)
		if owner == nil || owner.Kind != "ReplicaSet" || alive[owner.UID] || pod.DeletionTimestamp != nil || w.deleted[pod.UID] {
			continue
		}
		gone, err := w.isGone(ctx, &appsv1.ReplicaSet{}, pod.Namespace, owner)
		if gone {
			err = w.deletePod(ctx, pod)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("collecting pod %s: %w", pod.Name, err))
		}
	}
	return errors.Join(errs...)
}

// isGone asks the live API, because a client that lags behind may show a child
// before its owner.
func (w *Workload) isGone(ctx context.Context, owner client.Object, namespace string, ref *metav1.OwnerReference) (bool, error) {
	err := w.live.Get(ctx, types.NamespacedName{Namespace: namespace, Name: ref.Name}, owner)
	switch {
	case apierrors.IsNotFound(err):
		return true, nil
	case err != nil:
		return false, fmt.Errorf("looking for its owner %s: %w", ref.Name, err)
	}
	return owner.GetUID() != ref.UID, nil
}

// replicas is the number of pods a Deployment asks for.
func replicas(d *appsv1.Deployment) int32 {
	if d.Spec.Replicas == nil {
		return 1
	}
	return *d.Spec.Replicas
}

func count(n int) int32 {
	return int32(n) //nolint:gosec // a handful of pods
}
