package controllers

import (
	"regexp"
	"slices"
	"strings"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
)

// handbook is the address of the page with a section for each reason, as of the operator's own version.
type handbook string

var (
	// release is a version that has a Git tag. Any other may have a reason that no tag explains.
	release = regexp.MustCompile(`^v\d+\.\d+\.\d+$`)
	// reference is the end of a message that leads to the handbook of whatever version.
	reference = regexp.MustCompile(`; see ` + strings.Replace(regexp.QuoteMeta(v1alpha1.TroubleshootingURL), "/main/", `/[^/\s]+/`, 1) + `#[a-z0-9]+$`)
)

func handbookOf(version string) handbook {
	if !release.MatchString(version) {
		return v1alpha1.TroubleshootingURL
	}
	return handbook(strings.Replace(v1alpha1.TroubleshootingURL, "/main/", "/"+version+"/", 1))
}

// refer gives the messages of conditions in which somebody has to act a last word: where to read on. It is
// the last step of a status, so that what was kept of an older one bears no reference twice.
func (h handbook) refer(conditions []metav1.Condition) []metav1.Condition {
	out := slices.Clone(conditions)
	underWay := apimeta.IsStatusConditionTrue(out, v1alpha1.ConditionReconciling)
	for i := range out {
		c := &out[i]
		c.Message = withoutReference(c.Message)
		if asks(c, underWay) {
			see := "; see " + string(h) + "#" + strings.ToLower(c.Reason)
			c.Message = shorten(strings.TrimRight(c.Message, ". "), maxMessage-len(see)) + see
		}
	}
	return out
}

// withoutReference is a message as it is told in an event.
func withoutReference(message string) string { return reference.ReplaceAllString(message, "") }

// asks says whether a condition wants somebody to act. What a first publication or an edit passes through
// by itself does not, unless nothing is under way: then it was proven to last (I9).
func asks(c *metav1.Condition, underWay bool) bool {
	if c.Type == v1alpha1.ConditionStalled {
		return true
	}
	switch c.Reason {
	case v1alpha1.ReasonUncoveredMX, v1alpha1.ReasonSTARTTLSFailing, v1alpha1.ReasonCachedPoliciesRefuse, v1alpha1.ReasonNullMX,
		v1alpha1.ReasonDomainConflict, v1alpha1.ReasonDomainNotAllowed, v1alpha1.ReasonInvalidPolicy, v1alpha1.ReasonRetirementHeld,
		v1alpha1.ReasonApplyFailed, v1alpha1.ReasonWrongBytes, v1alpha1.ReasonChangesTooFrequent, v1alpha1.ReasonClockOutOfRange,
		v1alpha1.ReasonWayChanging, v1alpha1.ReasonNoAddress, v1alpha1.ReasonNameTaken, v1alpha1.ReasonNoIssuer, v1alpha1.ReasonCRDNotInstalled,
		v1alpha1.ReasonWrongBody, v1alpha1.ReasonNoAnswer, v1alpha1.ReasonNotReachableFromCluster,
		v1alpha1.ReasonMissing, v1alpha1.ReasonDiffers, v1alpha1.ReasonSeveralRecords, v1alpha1.ReasonForeignPublisher,
		v1alpha1.ReasonLookupFailed, v1alpha1.ReasonStillAnswered, v1alpha1.ReasonBroken:
		return true
	case v1alpha1.ReasonNoReadyReplica, v1alpha1.ReasonReplicaLagging, v1alpha1.ReasonReplicaUnreachable, v1alpha1.ReasonProbeBlocked,
		v1alpha1.ReasonBrokenAnswer, v1alpha1.ReasonObserving:
		return !underWay
	}
	return false
}
