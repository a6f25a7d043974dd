package controllers

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/controllers/internal/resources"
	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
)

// tellPlanted says once where an id stood that cannot be ours, and what became of it.
func (r *domainReconciler) tellPlanted(s *scope) {
	if s.publication == nil {
		return
	}
	found := s.plantedIn()
	if found != "" && found != s.memory.planted {
		var about runtime.Object = s.publication
		if s.winner != nil {
			about = s.winner
		}
		r.recorder.Eventf(about, nil, corev1.EventTypeWarning, v1alpha1.ReasonRecordCorrected, "Publish",
			"%s, which no clock has told yet: somebody planted it. The operator does not follow it and writes its own again; find out who may write there", found)
	}
	s.memory.planted = found
}

// plantedIn says which object held an id that cannot be ours; "" if none did.
func (s *scope) plantedIn() string {
	if g := s.observation.Planted; g != nil {
		return fmt.Sprintf("a ConfigMap mta-sts-policies of namespace %s held id %s for %s", s.publication.Namespace, g.ID, s.domain)
	}
	text := s.observation.TXTObject
	id, ours := mtasts.ParseID(text)
	spec := s.publication.Spec
	if !ours || text == spec.AnnouncedID || id.PlausibleAfter(mtasts.ID(spec.LastID), s.observation.Clock) {
		return ""
	}
	return fmt.Sprintf("DNSEndpoint %s held id %s", resources.TXTEndpointName(s.domain), id)
}
