package controllers

import (
	"testing"
	"time"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/controllers/internal/publication"
)

// A policy that is back after its id was given up waits for its own: nobody is told to publish the older one.
func TestAnIDThatWasGivenUpIsNotAskedFor(t *testing.T) {
	for name, tt := range map[string]struct {
		until *metav1.Time
		gap   []v1alpha1.LedgerEntry
		want  string
	}{
		"given up":                {new(metav1.NewTime(testNow.Add(time.Hour))), nil, v1alpha1.ReasonNotYet},
		"still on its way to DNS": {nil, nil, v1alpha1.ReasonPropagating},
		"of a restored copy": {
			nil,
			[]v1alpha1.LedgerEntry{{Origin: v1alpha1.OriginUnknown, AfterID: "20260101000000deadbeef"}},
			v1alpha1.ReasonNotYet,
		},
		"announced after what a restore lost": {
			nil,
			[]v1alpha1.LedgerEntry{{Origin: v1alpha1.OriginUnknown, AfterID: "20251231000000deadbeef"}},
			v1alpha1.ReasonPropagating,
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := inForceScope()
			s.settings.Provider = v1alpha1.DNSManual
			spec := &s.publication.Spec
			spec.AnnouncedID, spec.InForceID = "20260101000000deadbeef", ""
			spec.Ledger = []v1alpha1.LedgerEntry{{ID: spec.AnnouncedID, MaxAgeSeconds: 604800, CachedUntil: tt.until}}
			spec.Ledger = append(spec.Ledger, tt.gap...)
			s.observation.DNS = &publication.DNS{Answer: publication.Absent, Tried: failing(9, time.Hour)}
			status := s.testStatus()
			if c := apimeta.FindStatusCondition(status.Conditions, v1alpha1.ConditionDNSPublished); c == nil || c.Reason != tt.want {
				t.Errorf("condition %v, want %s", c, tt.want)
			}
			asked := false
			for _, r := range status.Records {
				asked = asked || r.Value == `v=STSv1; id=`+spec.AnnouncedID+`;`
			}
			if asked != (tt.want == v1alpha1.ReasonPropagating) {
				t.Errorf("asks for id %s: %t", spec.AnnouncedID, asked)
			}
		})
	}
}
