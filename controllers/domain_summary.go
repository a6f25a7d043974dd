package controllers

import (
	"net/netip"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/controllers/internal/publication"
	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
	"github.com/mta-sts-operator/mta-sts-operator/internal/tlsrpt"
)

// records lists the DNS records of the domain. What was published keeps its state until a condition
// says otherwise, so that single failed looks do not show.
func (w *statusWriter) records() []v1alpha1.Record {
	spec := w.publication.Spec
	var out []v1alpha1.Record
	reachable := w.recordState(v1alpha1.ConditionPolicyReachable)
	for _, target := range w.targets() {
		out = append(out, v1alpha1.Record{
			Name: mtasts.PolicyHost(w.domain), Type: recordType(target), Value: target, TTLSeconds: w.settings.TTLSeconds, State: reachable,
		})
	}
	if len(w.settings.RUA) > 0 {
		out = append(out, v1alpha1.Record{
			Name: tlsrpt.RecordName(w.domain), Type: "TXT", Value: tlsrpt.Record{RUA: w.settings.RUA}.String(),
			TTLSeconds: w.settings.TLSRPTTTLSeconds, State: w.reportingState(),
		})
	}
	txt := v1alpha1.Record{Name: mtasts.RecordName(w.domain), Type: "TXT", TTLSeconds: w.settings.TTLSeconds, State: v1alpha1.RecordNotYet}
	if spec.AnnouncedID != "" && !publication.GivenUp(&spec) {
		txt.Value = mtasts.Record{ID: spec.AnnouncedID}.String()
		txt.State = w.recordState(v1alpha1.ConditionDNSPublished)
	}
	return append(out[:min(len(out), maxRecords-1)], txt)
}

// maxRecords is what the API server accepts.
const maxRecords = 24

// recordState is what a condition says about a record.
func (w *statusWriter) recordState(kind string) v1alpha1.RecordState {
	cond := apimeta.FindStatusCondition(w.status.Conditions, kind)
	switch {
	case cond == nil || cond.Status == metav1.ConditionUnknown:
		return v1alpha1.RecordUnknown
	case cond.Status == metav1.ConditionTrue:
		return v1alpha1.RecordPublished
	case kind == v1alpha1.ConditionPolicyReachable:
		return v1alpha1.RecordUnknown
	case cond.Reason == v1alpha1.ReasonMissing || cond.Reason == v1alpha1.ReasonPropagating:
		return v1alpha1.RecordMissing
	case cond.Reason == v1alpha1.ReasonLookupFailed:
		return v1alpha1.RecordUnknown
	}
	return v1alpha1.RecordDiffers
}

// reportingState compares the report record with the last answer; without one it stays what it was.
func (w *statusWriter) reportingState() v1alpha1.RecordState {
	want := tlsrpt.Record{RUA: w.settings.RUA}.String()
	if txt := w.memory.rpt; txt != nil {
		switch publication.Answer(txt.Status) {
		case publication.Absent:
			return v1alpha1.RecordMissing
		case publication.Found:
			if len(txt.Records) == 1 && txt.Records[0] == want {
				return v1alpha1.RecordPublished
			}
			return v1alpha1.RecordDiffers
		case publication.Unknown:
		}
	}
	for _, old := range w.policy.Status.Records {
		if old.Name == tlsrpt.RecordName(w.domain) && old.Value == want {
			return old.State
		}
	}
	return v1alpha1.RecordUnknown
}

func recordType(target string) string {
	switch addr, err := netip.ParseAddr(target); {
	case err != nil:
		return "CNAME"
	case addr.Unmap().Is4():
		return "A"
	}
	return "AAAA"
}

// ready summarises. While a change is on its way Ready stays what it was, for the generation it was
// proven for; Reconciling says what is awaited.
func (w *statusWriter) ready() {
	d := w.decision
	reconciling, stalled := false, d.Stalled
	switch {
	case w.frozen != nil:
		stalled = true
		w.set(v1alpha1.ConditionReady, metav1.ConditionFalse, w.frozen.reason, w.frozen.message+"; what was published before stays")
	case w.taken != "":
		stalled = true
		w.set(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonNameTaken, w.taken)
	case stalled:
		w.set(v1alpha1.ConditionReady, metav1.ConditionFalse, d.Reason, d.Message)
	case w.failed != nil:
		reconciling = true
		w.decision.Reason, w.decision.Message = v1alpha1.ReasonApplyFailed, w.failed.Error()
		if w.was(v1alpha1.ConditionReady) == nil {
			w.set(v1alpha1.ConditionReady, metav1.ConditionUnknown, v1alpha1.ReasonApplyFailed, w.failed.Error())
		}
	case d.State == v1alpha1.StateInForce:
		w.readyInForce()
	default:
		reconciling = true
		w.notYetReady()
	}
	w.toggle(v1alpha1.ConditionReconciling, reconciling)
	w.toggle(v1alpha1.ConditionStalled, stalled)
}

// notYetReady is for a policy that has not been in force. Whether others contest the domain is told only by looks
// at DNS that prove something: until then the status keeps what it says (I9).
func (w *statusWriter) notYetReady() {
	message := "the policy has not been in force yet"
	if len(w.contest) > 0 {
		message += ". " + contested(w.domain, w.publication.Namespace, w.contest)
	}
	was := w.was(v1alpha1.ConditionReady)
	told := was != nil && !w.wasRefused()
	if told && (was.Status != metav1.ConditionUnknown || was.Reason != v1alpha1.ReasonServing || w.undecidable()) {
		return
	}
	w.set(v1alpha1.ConditionReady, metav1.ConditionUnknown, v1alpha1.ReasonServing, message)
}

// undecidable says whether nothing has proven yet where DNS points the host of a domain that others claim, too.
func (w *statusWriter) undecidable() bool {
	return w.publication != nil && w.publication.Spec.AnnouncedID == "" && len(w.refused) > 0 &&
		w.memory.host.proven(w.t) == nil
}

// wasRefused says whether the status still tells why the policy was not followed.
func (w *statusWriter) wasRefused() bool {
	return w.policy.Status.State == v1alpha1.StateConflict && w.frozen == nil
}

// readyInForce is True unless something was proven to be broken.
func (w *statusWriter) readyInForce() {
	for _, kind := range []string{v1alpha1.ConditionPolicyServed, v1alpha1.ConditionPolicyReachable, v1alpha1.ConditionDNSPublished} {
		if c := apimeta.FindStatusCondition(w.status.Conditions, kind); c != nil && c.Status == metav1.ConditionFalse {
			w.set(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonBroken, c.Message)
			return
		}
	}
	w.set(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonInForce,
		"mode "+string(w.current.Mode)+" is in force under id "+w.current.ID)
}

// toggle keeps a condition that is present only while true.
func (w *statusWriter) toggle(kind string, on bool) {
	if !on {
		apimeta.RemoveStatusCondition(&w.status.Conditions, kind)
		return
	}
	reason, message := w.decision.Reason, w.decision.Message
	if ready := apimeta.FindStatusCondition(w.status.Conditions, v1alpha1.ConditionReady); kind == v1alpha1.ConditionStalled && ready != nil {
		reason, message = ready.Reason, ready.Message
	}
	if reason == "" {
		reason = v1alpha1.ReasonServing
	}
	w.set(kind, metav1.ConditionTrue, reason, message)
}
