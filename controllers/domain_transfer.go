package controllers

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/controllers/internal/publication"
)

// transferLasts is how long the word counts that a domain is to be handed over. Whoever registers a namespace of
// that name next year was not meant.
const transferLasts = 24 * time.Hour

// transferWord is what somebody has said about a publication, and when.
type transferWord struct {
	publication types.UID
	to          string
	said        time.Time
}

// heedTransfer takes a word that does not count, or does not count any more, off the publication, and says so.
// The pass then ends: the next one sees the publication without it.
func (r *domainReconciler) heedTransfer(ctx context.Context, s *scope) (void bool, err error) {
	pub := s.publication
	if pub == nil {
		return false, nil
	}
	if !pub.DeletionTimestamp.IsZero() || pub.Annotations[v1alpha1.TransferToAnnotation] == "" {
		s.memory.word = transferWord{}
		return false, nil
	}
	to, now := pub.Annotations[v1alpha1.TransferToAnnotation], r.Clock.Now()
	if w := s.memory.word; w.publication != pub.UID || w.to != to {
		if s.memory.word, err = r.hearTransfer(ctx, s, to); err != nil {
			return false, err
		}
	}
	said := s.memory.word.said
	why := ""
	switch {
	case pub.Spec.UID != "" && pub.Spec.UID != string(pub.UID):
		why = "the publication was restored from a copy, and nobody has said so about this one"
	case to == pub.Namespace:
		why = "it is published from there"
	case now.Sub(said) > transferLasts:
		why = "no MTASTSPolicy there took it over within a day"
	case said.Sub(now) > transferLasts:
		why = "it was said in the future"
	default:
		s.again(said.Add(transferLasts + time.Second).Sub(now))
		return false, nil
	}
	updated := pub.DeepCopy()
	delete(updated.Annotations, v1alpha1.TransferToAnnotation)
	if err := r.client.Patch(ctx, updated, client.MergeFromWithOptions(pub, client.MergeFromWithOptimisticLock{})); err != nil {
		return false, fmt.Errorf("taking back the transfer of %s: %w", s.domain, err)
	}
	s.memory.keep(updated)
	s.memory.word = transferWord{}
	r.recorder.Eventf(pub, nil, corev1.EventTypeWarning, v1alpha1.ReasonTransferWaits, "Transfer",
		"%s is not handed over to namespace %s: %s. If it still should be, annotate the publication again", s.domain, to, why)
	return true, nil
}

// hearTransfer finds out when the word was said: the cache does not hold who wrote what. Without a trace of it
// that counts as now.
func (r *domainReconciler) hearTransfer(ctx context.Context, s *scope, to string) (transferWord, error) {
	var fresh v1alpha1.MTASTSPublication
	if err := r.live.Get(ctx, client.ObjectKeyFromObject(s.publication), &fresh); err != nil {
		return transferWord{}, fmt.Errorf("reading publication %s: %w", s.domain, err)
	}
	if fresh.UID != s.publication.UID || fresh.Annotations[v1alpha1.TransferToAnnotation] != to {
		return transferWord{}, errStaleCache
	}
	return transferWord{fresh.UID, to, annotatedAt(&fresh, v1alpha1.TransferToAnnotation, r.Clock.Now())}, nil
}

// annotatedAt is when an annotation was written last by whoever wrote it; now if nothing tells.
func annotatedAt(o client.Object, annotation string, now time.Time) time.Time {
	var last time.Time
	for _, entry := range o.GetManagedFields() {
		var fields struct {
			Metadata struct {
				Annotations map[string]json.RawMessage `json:"f:annotations"`
			} `json:"f:metadata"`
		}
		if entry.Time == nil || entry.FieldsV1 == nil || json.Unmarshal(entry.FieldsV1.GetRawBytes(), &fields) != nil {
			continue
		}
		if _, wrote := fields.Metadata.Annotations["f:"+annotation]; wrote && entry.Time.After(last) {
			last = entry.Time.Time
		}
	}
	if last.IsZero() {
		return now
	}
	return last
}

// handOver gives the domain to the namespace that the publication's annotation names: what was promised
// is recorded there first, then everything here goes. A crash in between is resumed, because the older
// publication stays the incumbent, and its annotation with it. For a moment DNS answers no id: senders
// keep what they cached (RFC 8461 §3.3).
func (r *domainReconciler) handOver(ctx context.Context, s *scope) error {
	if err := r.trustTime(ctx, s); err != nil {
		return err
	}
	_, made := r.bounds(time.Time{}) // by the API server's clock, as the copy's own creationTimestamp
	spec := s.publication.Spec.DeepCopy()
	if publication.Sane(spec, s.observation.Latest, r.Timings) != nil {
		return r.correct(ctx, s, spec)
	}
	// Without its UID it counts as a copy: the heir looks at the world, and mints above all that it finds.
	// Nothing is in force there until its own servers have it. But it is as new as the original.
	spec.UID, spec.InForceID = "", ""
	spec.PolicyRef, spec.PolicyGoneAt, spec.Retirement = nil, nil, nil
	spec.TransferredFrom = &v1alpha1.Transfer{Namespace: s.publication.Namespace, Time: metav1.NewTime(made)}
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
	r.recorder.Eventf(s.heir, s.publication, corev1.EventTypeNormal, v1alpha1.ReasonAdopted, "Transfer", "%s is handed over from namespace %s: %s",
		s.domain, s.publication.Namespace, cmp.Or(s.lapsed, "somebody with rights there has said so"))
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
