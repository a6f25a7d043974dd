package controllers

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
	externaldnsv1alpha1 "sigs.k8s.io/external-dns/apis/v1alpha1"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/controllers/internal/resources"
)

// report writes the status of every claim and of the publication, where it differs, and tells what
// happened: first to the owner, who must not wait for those who claim the domain as well (I11).
func (r *domainReconciler) report(ctx context.Context, s *scope) error {
	err := r.reportFollowed(ctx, s)
	if err == nil {
		err = r.reportOthers(ctx, s)
	}
	r.reportRefused(ctx, s)
	return err
}

// reportFollowed tells how the domain fares that is published, or begins to be.
func (r *domainReconciler) reportFollowed(ctx context.Context, s *scope) error {
	if s.winner != nil && (s.publication == nil || s.publication.DeletionTimestamp.IsZero()) {
		if err := r.reportWinner(ctx, s); err != nil {
			return err
		}
	}
	if s.publication != nil && s.publication.DeletionTimestamp.IsZero() && !s.decision.Remove && s.decision.Spec != nil {
		return r.reportPublication(ctx, s)
	}
	return nil
}

// reportOthers tells publications of the same domain in other namespaces, as a restored namespace may
// hold, that they publish nothing: two id records would void the policy.
func (r *domainReconciler) reportOthers(ctx context.Context, s *scope) error {
	for _, other := range s.others {
		txt, err := get(ctx, r.client, other.Namespace, resources.TXTEndpointName(s.domain), &externaldnsv1alpha1.DNSEndpoint{})
		if err != nil {
			return err
		}
		if err := r.children.remove(ctx, present(txt)); err != nil {
			return err
		}
		if other.UID == s.memory.begun && other.Spec.AnnouncedID == "" {
			// Made a moment ago, while the cache did not show the older one: nobody has been promised anything.
			if err := r.children.remove(ctx, other); err != nil {
				return err
			}
			continue
		}
		updated := other.DeepCopy()
		updated.Status.State = v1alpha1.StateConflict
		updated.Status.ObservedGeneration = other.Generation
		updated.Status.Conditions = handbookOf(r.Version).refer(only(other.Status.Conditions, metav1.Condition{
			Type: v1alpha1.ConditionStalled, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonDomainConflict,
			Message: fmt.Sprintf("%[1]s is published from namespace %[2]s: delete this publication (kubectl -n %[3]s delete mtastspublication %[1]s)",
				s.domain, s.publication.Namespace, other.Namespace),
			ObservedGeneration: other.Generation, LastTransitionTime: s.now(r),
		}))
		if apiequality.Semantic.DeepEqual(other.Status, updated.Status) {
			continue
		}
		if err := r.client.Status().Patch(ctx, updated, client.MergeFrom(other)); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("reporting publication %s/%s: %w", other.Namespace, other.Name, err)
		}
	}
	return nil
}

func (s *scope) now(r *domainReconciler) metav1.Time { return metav1.NewTime(r.Clock.Now()) }

// reportWinner tells how the policy fares that is followed; of a change that goes on by itself not every step.
func (r *domainReconciler) reportWinner(ctx context.Context, s *scope) error {
	now := s.now(r)
	status := r.withReferences(s.status(r.kinds, now, r.Timings))
	if !underway(status) {
		s.memory.progress = progress{}
	} else if s.tellIn = r.silence(s, status, now.Time); s.tellIn > 0 {
		return nil
	}
	wrote, err := r.reportPolicy(ctx, s.memory, s.winner, status)
	if wrote {
		s.memory.progress.told(now.Time, r.Timings.PollMost)
	}
	return err
}

// withReferences is a status whose conditions lead to the handbook where a person has to act.
func (r *domainReconciler) withReferences(status v1alpha1.MTASTSPolicyStatus) v1alpha1.MTASTSPolicyStatus {
	status.Conditions = handbookOf(r.Version).refer(status.Conditions)
	return status
}

// reportPolicy writes a status if it differs, and says whether it did.
func (r *domainReconciler) reportPolicy(ctx context.Context, m *memory, policy *v1alpha1.MTASTSPolicy, status v1alpha1.MTASTSPolicyStatus) (wrote bool, err error) {
	if apiequality.Semantic.DeepEqual(policy.Status, status) {
		return false, nil
	}
	updated := policy.DeepCopy()
	updated.Status = status
	patch := client.MergeFromWithOptions(policy, client.MergeFromWithOptimisticLock{})
	switch err := r.client.Status().Patch(ctx, updated, patch); {
	case apierrors.IsNotFound(err):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("reporting policy %s/%s: %w", policy.Namespace, policy.Name, err)
	}
	m.keep(updated)
	r.tellTurns(policy, updated)
	return true, nil
}

// tellTurns records an event when something that people should hear of was found to be wrong, and when it
// is right again.
func (r *domainReconciler) tellTurns(before, after *v1alpha1.MTASTSPolicy) {
	for _, kind := range []string{v1alpha1.ConditionReady, v1alpha1.ConditionMXAligned} {
		was, is := apimeta.FindStatusCondition(before.Status.Conditions, kind), apimeta.FindStatusCondition(after.Status.Conditions, kind)
		wasWrong := was != nil && was.Status == metav1.ConditionFalse
		switch {
		case is == nil:
		case is.Status == metav1.ConditionFalse && !wasWrong:
			r.recorder.Eventf(after, nil, corev1.EventTypeWarning, is.Reason, "Watch", "%s", shorten(withoutReference(is.Message), maxNote))
		case is.Status == metav1.ConditionTrue && wasWrong:
			r.recorder.Eventf(after, nil, corev1.EventTypeNormal, is.Reason, "Watch", "%s", shorten(withoutReference(is.Message), maxNote))
		}
	}
}

// maxNote is what the API server accepts as the note of an event.
const maxNote = 1024

// reportPublication tells where a publication stands that has no policy; a policy's own status tells more.
func (r *domainReconciler) reportPublication(ctx context.Context, s *scope) error {
	var status v1alpha1.MTASTSPublicationStatus
	if s.winner == nil {
		status = r.unfollowedStatus(s)
	}
	if apiequality.Semantic.DeepEqual(s.publication.Status, status) {
		return nil
	}
	updated := s.publication.DeepCopy()
	updated.Status = status
	// Display only: without the lock it does not collide with the record written a moment ago.
	if err := r.client.Status().Patch(ctx, updated, client.MergeFrom(s.publication)); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("reporting publication %s: %w", s.domain, err)
	}
	r.tellStall(s, s.publication.Status.Conditions, status.Conditions)
	s.publication = updated
	s.memory.keep(updated)
	return nil
}

// unfollowedStatus is that of a publication without a policy, with the one condition that explains it.
func (r *domainReconciler) unfollowedStatus(s *scope) v1alpha1.MTASTSPublicationStatus {
	why := &retiree{scope: s, kinds: r.kinds, now: r.Clock.Now(), t: r.Timings}
	status := v1alpha1.MTASTSPublicationStatus{
		State:              s.decision.State,
		ObservedGeneration: s.publication.Generation,
		Conditions:         handbookOf(r.Version).refer(only(s.publication.Status.Conditions, why.condition())),
	}
	if !s.decision.Until.IsZero() {
		status.Until = new(metav1.NewTime(s.decision.Until))
	}
	return status
}

// only is c alone, with the time of its transition.
func only(before []metav1.Condition, c metav1.Condition) []metav1.Condition {
	var out []metav1.Condition
	if was := apimeta.FindStatusCondition(before, c.Type); was != nil {
		out = append(out, *was)
	}
	apimeta.SetStatusCondition(&out, c)
	return out
}

// tellStall records that a retirement has come to a stall, or goes on.
func (r *domainReconciler) tellStall(s *scope, before, after []metav1.Condition) {
	was, is := apimeta.FindStatusCondition(before, v1alpha1.ConditionStalled), apimeta.FindStatusCondition(after, v1alpha1.ConditionStalled)
	switch {
	case s.winner != nil:
	case was == nil && is != nil:
		r.recorder.Eventf(s.publication, nil, corev1.EventTypeWarning, is.Reason, "Retire", "%s", shorten("the retirement cannot go on: "+withoutReference(is.Message), maxNote))
	case was != nil && is == nil:
		r.recorder.Eventf(s.publication, nil, corev1.EventTypeNormal, v1alpha1.ReasonRetiring, "Retire", "the retirement goes on")
	}
}

// tell records events for what happened in this pass, on the policy while there is one.
func (r *domainReconciler) tell(ctx context.Context, s *scope) {
	if s.publication == nil {
		return
	}
	for _, e := range s.decision.Events {
		kind := corev1.EventTypeNormal
		if e.Warning {
			kind = corev1.EventTypeWarning
		}
		switch {
		case e.Quiet:
		case s.winner != nil:
			r.recorder.Eventf(s.winner, s.publication, kind, e.Reason, "Publish", "%s", shorten(e.Message, maxNote))
		default:
			r.recorder.Eventf(s.publication, nil, kind, e.Reason, "Retire", "%s", shorten(e.Message, maxNote))
		}
		log.FromContext(ctx).Info(e.Message, "reason", e.Reason, "domain", s.domain, "namespace", s.publication.Namespace)
	}
}
