package controllers

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/controllers/internal/publication"
)

// handOver gives the domain to the namespace that the publication's annotation names: what was promised
// is recorded there first, then everything here goes. A crash in between is resumed, because the older
// publication stays the incumbent, and its annotation with it. For a moment DNS answers no id: senders
// keep what they cached (RFC 8461 §3.3).
func (r *domainReconciler) handOver(ctx context.Context, s *scope) error {
	if err := r.trustTime(ctx, s); err != nil {
		return err
	}
	spec := s.publication.Spec.DeepCopy()
	if publication.Sane(spec, s.observation.Latest, r.Timings) != nil {
		return r.correct(ctx, s, spec)
	}
	// Without its UID the copy counts as restored: the heir looks at the world, and mints above all
	// that it finds. Nothing is in force there until its own servers have it.
	spec.UID, spec.InForceID = "", ""
	spec.PolicyRef, spec.PolicyGoneAt, spec.Retirement = nil, nil, nil
	copied := &v1alpha1.MTASTSPublication{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: s.heir.Namespace, Name: s.domain,
			Labels: map[string]string{v1alpha1.ManagedByLabel: v1alpha1.ManagedBy},
		},
		Spec: *spec,
	}
	err := r.client.Create(ctx, copied)
	if apierrors.IsAlreadyExists(err) {
		err = r.sameCopy(ctx, copied)
	}
	if err != nil {
		return fmt.Errorf("recording the publication in namespace %s: %w", s.heir.Namespace, err)
	}
	r.recorder.Eventf(s.heir, s.publication, "Normal", v1alpha1.ReasonAdopted, "Transfer", "%s is handed over from namespace %s", s.domain, s.publication.Namespace)
	return r.removeAll(ctx, s)
}

// correct writes the record down without what was planted there, before it is handed over: the heir gets neither
// ids nor dates that nobody can wait for. What is handed over is then the same after a crash, too.
func (r *domainReconciler) correct(ctx context.Context, s *scope, spec *v1alpha1.MTASTSPublicationSpec) error {
	updated := s.publication.DeepCopy()
	updated.Spec = *spec
	patch := client.MergeFromWithOptions(s.publication, client.MergeFromWithOptimisticLock{})
	if err := r.client.Patch(ctx, updated, patch); err != nil {
		return fmt.Errorf("correcting publication %s: %w", s.domain, err)
	}
	s.memory.keep(updated)
	r.recorder.Eventf(s.publication, nil, corev1.EventTypeWarning, v1alpha1.ReasonRecordCorrected, "Transfer",
		"the publication of %s held what no operator can have written, and was corrected before it is handed over", s.domain)
	return nil
}

// sameCopy makes sure that what is there already is the copy, made before a crash, and not a
// publication with a history of its own.
func (r *domainReconciler) sameCopy(ctx context.Context, copied *v1alpha1.MTASTSPublication) error {
	var existing v1alpha1.MTASTSPublication
	if err := r.live.Get(ctx, client.ObjectKeyFromObject(copied), &existing); err != nil {
		return err
	}
	if !isCopy(&existing, copied) {
		return fmt.Errorf("another publication of %s is there: delete it first", copied.Name)
	}
	return nil
}

func isCopy(a, b *v1alpha1.MTASTSPublication) bool {
	return a.Spec.LastID == b.Spec.LastID && apiequality.Semantic.DeepEqual(a.Spec.Ledger, b.Spec.Ledger)
}

// tellTransfer says once that a transfer waits: nobody watches a name that was mistyped.
func (r *domainReconciler) tellTransfer(s *scope) {
	to := ""
	if s.publication != nil {
		to = s.publication.Annotations[v1alpha1.TransferToAnnotation]
	}
	if to != "" && to != s.publication.Namespace && to != s.memory.transferTo {
		r.recorder.Eventf(s.publication, nil, corev1.EventTypeWarning, v1alpha1.ReasonTransferWaits, "Transfer",
			"no MTASTSPolicy in namespace %s may take %s over yet: it stays here until one does", to, s.domain)
	}
	s.memory.transferTo = to
}
