package controllers

import (
	"fmt"
	"strings"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/controllers/internal/publication"
	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
)

// statusWriter computes the conditions of one policy, each from its previous value and what this pass
// observed: what was not observed keeps what was said before, so that a restart writes nothing (I9).
type statusWriter struct {
	*scope
	kinds   *optionalKinds
	now     metav1.Time
	t       publication.Timings
	status  v1alpha1.MTASTSPolicyStatus
	policy  *v1alpha1.MTASTSPolicy
	current *v1alpha1.Instance
}

// refusedStatus is the status of a policy that is not followed.
func refusedStatus(policy *v1alpha1.MTASTSPolicy, why refusal, now metav1.Time) v1alpha1.MTASTSPolicyStatus {
	w := statusWriter{policy: policy, now: now}
	old := policy.Status.Conditions
	for _, c := range []string{v1alpha1.ConditionReady, v1alpha1.ConditionStalled} {
		if prev := apimeta.FindStatusCondition(old, c); prev != nil {
			w.status.Conditions = append(w.status.Conditions, *prev)
		}
	}
	w.status.ObservedGeneration = policy.Generation
	w.status.State = v1alpha1.StateConflict
	w.set(v1alpha1.ConditionReady, metav1.ConditionFalse, why.reason, why.message)
	w.set(v1alpha1.ConditionStalled, metav1.ConditionTrue, why.reason, why.message)
	return w.status
}

// status is the winner's status after this pass.
func (s *scope) status(kinds *optionalKinds, now metav1.Time, t publication.Timings) v1alpha1.MTASTSPolicyStatus {
	w := &statusWriter{scope: s, kinds: kinds, now: now, t: t, policy: s.winner, status: *s.winner.Status.DeepCopy()}
	w.status.ObservedGeneration = s.winner.Generation
	w.status.State = s.decision.State
	w.status.PolicyURL = mtasts.PolicyURL(s.domain)
	if s.publication != nil {
		w.current = s.publication.Spec.Current
		w.setPolicy()
		w.exposed()
		w.certificateReady()
		w.policyServed()
		w.policyReachable()
		w.dnsPublished()
		w.mxAligned()
		w.status.CertificateNotAfter = s.notAfter()
		if w.status.CertificateNotAfter == nil {
			w.status.CertificateNotAfter = s.winner.Status.CertificateNotAfter
		}
		w.status.Records = w.records()
	}
	w.ready()
	w.fit()
	return w.status
}

// set writes one condition; observedGeneration is the generation it was determined for.
func (w *statusWriter) set(kind string, status metav1.ConditionStatus, reason, message string) {
	apimeta.SetStatusCondition(&w.status.Conditions, metav1.Condition{
		Type: kind, Status: status, Reason: reason, Message: shorten(message, maxMessage),
		ObservedGeneration: w.policy.Generation, LastTransitionTime: w.now,
	})
}

// maxMessage is the longest message of a condition. The API server accepts eight times as much.
const maxMessage = 4096

func (w *statusWriter) was(kind string) *metav1.Condition {
	return apimeta.FindStatusCondition(w.policy.Status.Conditions, kind)
}

func (w *statusWriter) setPolicy() {
	w.status.Policy = nil
	if c := w.current; c != nil {
		w.status.Policy = &v1alpha1.ServedPolicy{ID: c.ID, Mode: c.Mode, MX: c.MX, MaxAgeSeconds: c.MaxAgeSeconds, Body: c.Body}
	}
}

// inForce says whether the current instance has been in force before: then only proof makes a
// condition False.
func (w *statusWriter) inForce() bool {
	return w.current != nil && w.publication.Spec.InForceID == w.current.ID
}

func (w *statusWriter) exposed() {
	switch targets := w.targets(); {
	case w.taken != "":
		w.set(v1alpha1.ConditionExposed, metav1.ConditionFalse, v1alpha1.ReasonNameTaken, w.taken)
	case w.lookedUp() && len(w.former) > 0:
		w.set(v1alpha1.ConditionExposed, metav1.ConditionTrue, v1alpha1.ReasonWayChanging, w.changingWays(w.t))
	case w.moves() && len(w.wantedTargets()) > 0 && !w.mayMove(w.wantedTargets()):
		w.set(v1alpha1.ConditionExposed, metav1.ConditionTrue, v1alpha1.ReasonWayChanging, "the policy host goes on pointing at "+
			strings.Join(targets, ", ")+" until the policy was seen at "+strings.Join(w.wantedTargets(), ", ")+reason(w.memory.way.problem))
	case len(w.settings.Targets) > 0:
		w.set(v1alpha1.ConditionExposed, metav1.ConditionTrue, v1alpha1.ReasonTargetsConfigured, "the policy host points at "+strings.Join(targets, ", "))
	case len(targets) > 0:
		w.set(v1alpha1.ConditionExposed, metav1.ConditionTrue, v1alpha1.ReasonAddressAssigned, "the Ingress answers at "+strings.Join(targets, ", "))
	case w.settings.Exposure == v1alpha1.ExposureNone:
		w.set(v1alpha1.ConditionExposed, metav1.ConditionFalse, v1alpha1.ReasonNoAddress, "with exposure None, spec.dns.targets has to say where the policy host points")
	default:
		w.set(v1alpha1.ConditionExposed, metav1.ConditionFalse, v1alpha1.ReasonNoAddress, "the Ingress has no address: its controller has not written one (is there a default IngressClass?), and dns.targets is not set")
	}
}

func (w *statusWriter) certificateReady() {
	kind := v1alpha1.ConditionCertificateReady
	cond := certificateCondition(w.certificate)
	switch {
	case w.settings.CertificateSource != v1alpha1.CertificateIssuer:
		w.set(kind, metav1.ConditionTrue, v1alpha1.ReasonNotManaged, "the certificate is not the operator's business (certificate.source "+string(w.settings.CertificateSource)+")")
	case !w.kinds.installed(certificates):
		w.set(kind, metav1.ConditionFalse, v1alpha1.ReasonCRDNotInstalled, "cert-manager is not installed in this cluster: install it, or set certificate.source to Secret or None")
	case w.settings.Issuer.Name == "":
		w.set(kind, metav1.ConditionFalse, v1alpha1.ReasonNoIssuer, "no issuer is named: set spec.certificate.issuerRef, or issuer in the operator's configuration")
	case string(cond.Status) == string(metav1.ConditionTrue):
		w.set(kind, metav1.ConditionTrue, v1alpha1.ReasonIssued, "cert-manager has issued the certificate")
	case w.orderWaits != "":
		w.set(kind, metav1.ConditionFalse, v1alpha1.ReasonIssuing, w.orderWaits)
	case cond.Message != "":
		w.set(kind, metav1.ConditionFalse, v1alpha1.ReasonIssuing, "Certificate "+w.certificate.Name+": "+cond.Message)
	default:
		w.set(kind, metav1.ConditionFalse, v1alpha1.ReasonIssuing, "cert-manager has not reported on the certificate yet")
	}
}

func (w *statusWriter) policyServed() {
	if w.current == nil {
		return
	}
	kind, s := v1alpha1.ConditionPolicyServed, w.observation.Servers
	switch {
	case !s.Known && s.Obstacle == "" && !w.inForce():
		w.set(kind, metav1.ConditionUnknown, v1alpha1.ReasonNotAskedYet, "the pods of Deployment mta-sts-server have not been asked about id "+w.current.ID+" yet")
	case s.All():
		w.set(kind, metav1.ConditionTrue, v1alpha1.ReasonServed, "every server pod serves id "+w.current.ID)
	case w.inForce() && !w.servedDisproven():
		return
	default:
		reason, message := publication.Lag(s, w.current.ID)
		w.set(kind, metav1.ConditionFalse, reason, message)
	}
}

// servedDisproven says whether pods have kept the policy from being served for long enough.
func (w *statusWriter) servedDisproven() bool {
	s := w.observation.Servers
	return s.Known && !s.All() && !s.Since.IsZero() && w.now.Sub(s.Since) >= w.t.ProofPeriod
}

func (w *statusWriter) policyReachable() {
	kind, look := v1alpha1.ConditionPolicyReachable, w.observation.Public
	switch {
	case w.current == nil:
		return
	case look == nil || look.For != w.current.ID:
		if w.was(kind) == nil {
			w.set(kind, metav1.ConditionUnknown, v1alpha1.ReasonNotLookedYet, "the policy URL has not been asked yet")
		}
	case look.Outcome == publication.Pass:
		w.set(kind, metav1.ConditionTrue, v1alpha1.ReasonReachable, "the policy URL answers id "+w.current.ID)
	case w.inForce() && (look.Outcome == publication.NoAnswer || !look.Proves(w.t)):
		return
	case look.Outcome == publication.NoAnswer && look.Reason != v1alpha1.ReasonNotReachableFromCluster:
		w.set(kind, metav1.ConditionUnknown, publication.ReasonFor(look), look.Message)
	default:
		w.set(kind, metav1.ConditionFalse, publication.ReasonFor(look), look.Message)
	}
}

func (w *statusWriter) dnsPublished() {
	kind, spec, dns := v1alpha1.ConditionDNSPublished, w.publication.Spec, w.observation.DNS
	manual := w.settings.Provider == v1alpha1.DNSManual
	switch {
	case !manual && !w.kinds.installed(dnsEndpoints):
		w.set(kind, metav1.ConditionFalse, v1alpha1.ReasonCRDNotInstalled, "external-dns' DNSEndpoint kind is not installed in this cluster: install external-dns with --source=crd, or set dns.provider: Manual")
	case spec.AnnouncedID == "", publication.GivenUp(&spec):
		w.set(kind, metav1.ConditionFalse, v1alpha1.ReasonNotYet, "it is too early to announce an id")
	case dns.Exactly(spec.AnnouncedID):
		w.set(kind, metav1.ConditionTrue, v1alpha1.ReasonPublished, "DNS answers id "+spec.AnnouncedID+w.stillByExternalDNS())
	case spec.InForceID != spec.AnnouncedID:
		w.propagating(dns)
	case dns != nil && dns.Answer != publication.Unknown && dns.Proves(w.t):
		reason, message := parted(spec, dns, w.wayToPublish())
		w.set(kind, metav1.ConditionFalse, reason, message)
	case w.wasOnItsWay():
		// The operator ended after it had written down what DNS answered, and before it could show it.
		w.set(kind, metav1.ConditionTrue, v1alpha1.ReasonPublished, "DNS answers id "+spec.AnnouncedID)
	}
}

// stillByExternalDNS says, as the end of a sentence, that the switch to records by hand is not over.
func (w *statusWriter) stillByExternalDNS() string {
	kept := strings.Join(w.keptEndpoints(), " ")
	if kept == "" {
		return ""
	}
	return fmt.Sprintf("; external-dns still publishes records from before dns.provider was Manual. To take them over, "+
		"let external-dns leave them in place (stop it, or --policy=upsert-only), then: kubectl -n %s delete dnsendpoint %s",
		w.publication.Namespace, kept)
}

// wasOnItsWay says whether the status still shows the id in force as on its way to DNS.
func (w *statusWriter) wasOnItsWay() bool {
	c := w.was(v1alpha1.ConditionDNSPublished)
	return c != nil && (c.Reason == v1alpha1.ReasonNotYet || c.Reason == v1alpha1.ReasonPropagating)
}

// propagating says what DNS answers while a new id is on its way.
func (w *statusWriter) propagating(dns *publication.DNS) {
	kind, spec := v1alpha1.ConditionDNSPublished, w.publication.Spec
	if w.settings.Provider == v1alpha1.DNSManual {
		w.set(kind, metav1.ConditionFalse, v1alpha1.ReasonPropagating, "publish the TXT record that status.records shows for "+mtasts.RecordName(w.domain)+" now: every server has the policy, and DNS does not answer the id yet")
		return
	}
	if dns == nil || dns.At.Before(spec.AnnouncedAt.Time) || w.now.Sub(spec.AnnouncedAt.Time) < w.t.ProofPeriod {
		w.set(kind, metav1.ConditionFalse, v1alpha1.ReasonPropagating, "id "+spec.AnnouncedID+" was handed to DNS, which does not answer it yet")
		return
	}
	reason, message := parted(spec, dns, w.wayToPublish())
	w.set(kind, metav1.ConditionFalse, reason, message)
}

// parted says how DNS differs from what was announced, what may be the cause, and wayOut where the id's
// record has yet to come.
func parted(spec v1alpha1.MTASTSPublicationSpec, dns *publication.DNS, wayOut string) (reason, message string) {
	name := mtasts.RecordName(spec.Domain)
	var ids []string
	for _, id := range dns.IDs {
		if id != "" {
			ids = append(ids, id)
		}
	}
	if dns.Secondhand {
		wayOut += " (a resolver says so, because no name server of the domain answered the operator; if it answers otherwise than on the Internet, set looks.resolvers in the operator's configuration)"
	}
	switch {
	case dns.Answer == publication.Unknown:
		return v1alpha1.ReasonLookupFailed, "DNS gave no usable answer for " + name + ": " + dns.Message
	case len(dns.Records) > 1 && len(ids) == 1 && ids[0] == spec.AnnouncedID:
		return v1alpha1.ReasonSeveralRecords, "DNS answers other TXT records beside the id at " + name + ", which some senders do not accept: remove them (external-dns before v0.18 writes its own there: give it a --txt-prefix)"
	case len(dns.Records) > 1:
		return v1alpha1.ReasonSeveralRecords, "DNS answers several TXT records at " + name + ", which voids the policy: remove all but the one with id " + spec.AnnouncedID
	case len(ids) == 0:
		return v1alpha1.ReasonMissing, "DNS answers no policy id at " + name + ": " + wayOut
	case len(publication.Ours(&spec, ids[:1])) == 0:
		return v1alpha1.ReasonForeignPublisher, "DNS answers id " + ids[0] + " at " + name + ", which this operator never minted: somebody else publishes this domain; remove that record"
	default:
		return v1alpha1.ReasonDiffers, "DNS still answers id " + ids[0] + " at " + name + " instead of " + spec.AnnouncedID + ": " + wayOut
	}
}
