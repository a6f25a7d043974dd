package controllers

import (
	"fmt"
	"slices"
	"strings"
	"time"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/controllers/internal/publication"
	"github.com/mta-sts-operator/mta-sts-operator/controllers/internal/resources"
	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
)

// hurdle is what keeps a publication without a policy from ending. The zero value stands for nothing.
type hurdle struct {
	// reason of condition Stalled, and a sentence with the cause and the way out.
	reason, message string
	// proven is set once it has stood for so long that it is not expected to go by itself.
	proven bool
	// unseen is set when what would tell has not been observed, as after a restart.
	unseen bool
}

// retiree explains a publication that has no policy: from its promise and what this pass saw and
// decided to its one condition (I6, I9).
type retiree struct {
	*scope
	kinds *optionalKinds
	now   time.Time
	t     publication.Timings
}

// condition is the one to show, given the one shown before.
func (r *retiree) condition() metav1.Condition {
	d := r.decision
	if d.State == v1alpha1.StateOrphaned {
		return r.verdict(v1alpha1.ConditionReady, v1alpha1.ReasonOrphaned,
			"the policy is gone and everything stays as it is (deletionPolicy Orphan). A policy for the domain in this namespace takes it over. To end it, although senders may hold what is published: "+r.deletion())
	}
	h := r.hurdle()
	was := apimeta.FindStatusCondition(r.publication.Status.Conditions, v1alpha1.ConditionStalled)
	if was != nil && was.ObservedGeneration != r.publication.Generation {
		was = nil // it went on since
	}
	switch {
	case was != nil && (h.unseen || h.reason == v1alpha1.ReasonLookupFailed):
		return *was // nothing was seen that says otherwise
	case h.proven, was != nil && h.reason == was.Reason:
		return r.verdict(v1alpha1.ConditionStalled, h.reason, h.message)
	case d.Message == "":
		return r.verdict(v1alpha1.ConditionReconciling, v1alpha1.ReasonRetiring, r.graceful())
	}
	return r.verdict(v1alpha1.ConditionReconciling, d.Reason, d.Message)
}

func (r *retiree) verdict(kind, reason, message string) metav1.Condition {
	if reason == "" {
		reason = v1alpha1.ReasonRetiring
	}
	return metav1.Condition{
		Type: kind, Status: metav1.ConditionTrue, Reason: reason, Message: shorten(message, maxMessage),
		ObservedGeneration: r.publication.Generation, LastTransitionTime: metav1.NewTime(r.now),
	}
}

// graceful says what comes when the grace is over.
func (r *retiree) graceful() string {
	gone := r.publication.Spec.PolicyGoneAt
	if gone == nil {
		return ""
	}
	policy := r.publication.Spec.DeletionPolicy
	if policy == "" {
		policy = v1alpha1.DeletionDrain
	}
	return fmt.Sprintf("the policy is gone: unless one for the domain appears in this namespace, deletionPolicy %s is carried out from %s on",
		policy, gone.Add(r.t.RetireGrace).UTC().Format(time.RFC3339))
}

// hurdle finds what the retirement waits for at the step where it is.
func (r *retiree) hurdle() hurdle {
	spec := r.publication.Spec
	switch {
	case spec.Retirement == nil || spec.Current == nil:
		return hurdle{reason: r.decision.Reason, message: r.decision.Message, proven: r.decision.Stalled}
	case spec.Retirement.RemovingSince != nil:
		return r.removal()
	case spec.Retirement.AbsentSince != nil:
		return r.dark()
	case spec.AnnouncedID != spec.Current.ID:
		return r.serving()
	case spec.InForceID != spec.AnnouncedID:
		return r.announcing()
	case slices.ContainsFunc(spec.Ledger, func(e v1alpha1.LedgerEntry) bool { return e.CachedUntil == nil }):
		return r.closing()
	}
	return hurdle{}
}

// serving is before mode none is announced: pods that do not serve it, or a policy URL that does not.
func (r *retiree) serving() hurdle {
	d, servers, look := r.decision, r.observation.Servers, r.observation.Public
	if !servers.Known && servers.Obstacle == "" {
		return hurdle{unseen: true}
	}
	h := hurdle{reason: d.Reason, message: d.Message + r.wayOut(""), proven: d.Stalled}
	switch {
	case !servers.All():
		h.message = d.Message + r.wayOut(r.wayToServe())
		h.proven = h.proven || r.lastsSince(servers.Since, r.t.ProofPeriod)
	case look != nil && look.For == r.publication.Spec.Current.ID:
		h.proven = h.proven || (look.Tries > 0 && r.lastsSince(look.Since, r.t.BlockedPatience))
	default: // something that the first look waits for
		h.proven = h.proven || r.lastsSince(r.publication.Spec.Retirement.StartedAt.Time, r.t.BlockedPatience)
	}
	return h
}

// dark is while DNS answers no id of ours although the record was not taken away here: nothing is waited for but
// servers that do not serve mode none, and an object that still carries an older id.
func (r *retiree) dark() hurdle {
	o := r.observation
	switch since := r.publication.Spec.Retirement.AbsentSince.Time; {
	case !o.Servers.Known && o.Servers.Obstacle == "":
		return hurdle{unseen: true}
	case !o.Servers.All():
		return r.serving()
	case r.txtEndpoint != nil && r.failed != nil:
		return hurdle{reason: v1alpha1.ReasonApplyFailed, message: r.failed.Error() + r.wayOut(""), proven: r.lastsSince(since, r.t.ProofPeriod)}
	}
	return hurdle{}
}

// announcing is after mode none was handed to DNS, and before DNS answers it.
func (r *retiree) announcing() hurdle {
	spec, dns := r.publication.Spec, r.observation.DNS
	proven := r.lastsSince(spec.AnnouncedAt.Time, r.t.ProofPeriod)
	written := r.observation.TXTObject == spec.AnnouncedID
	switch {
	case !written && r.decision.Reason != v1alpha1.ReasonAnnouncing:
		return hurdle{reason: r.decision.Reason, message: r.decision.Message + r.wayOut(r.wayToServe()), proven: proven}
	case !written && r.unwritable() != nil:
		h := *r.unwritable()
		h.proven = proven
		return h
	case dns == nil || dns.At.Before(spec.AnnouncedAt.Time):
		return hurdle{unseen: true}
	}
	reason, message := parted(spec, dns, r.wayToPublish())
	return hurdle{reason: reason, message: message + r.wayOut(""), proven: proven || r.waitsForAPerson(dns)}
}

// waitsForAPerson says whether the record is published by hand, and DNS shows that it has not been yet:
// there is nothing to be patient for.
func (r *retiree) waitsForAPerson(dns *publication.DNS) bool {
	return r.settings.Provider == v1alpha1.DNSManual && dns.Answer != publication.Unknown
}

// closing is while mode none is in force and yet something keeps senders fetching an older policy.
func (r *retiree) closing() hurdle {
	spec, o := r.publication.Spec, r.observation
	switch {
	case o.DNS == nil || !o.Servers.Known:
		return hurdle{unseen: true}
	case !o.DNS.Exactly(spec.AnnouncedID):
		reason, message := parted(spec, o.DNS, r.wayToPublish())
		return hurdle{reason: reason, message: message + r.wayOut(""), proven: o.DNS.Proves(r.t)}
	case !o.Servers.All():
		reason, message := publication.Lag(o.Servers, spec.Current.ID)
		return hurdle{reason: reason, message: message + r.wayOut(r.wayToServe()), proven: r.lastsSince(o.Servers.Since, r.t.ProofPeriod)}
	case o.Public != nil && o.Public.Outcome == publication.WrongBody:
		return hurdle{reason: v1alpha1.ReasonWrongBody, message: o.Public.Message + r.wayOut(""), proven: o.Public.Proves(r.t)}
	}
	return hurdle{}
}

// removal is after the id's record was taken away, and before DNS has forgotten it.
func (r *retiree) removal() hurdle {
	spec, dns := r.publication.Spec, r.observation.DNS
	since := spec.Retirement.RemovingSince.Time
	proven := r.lastsSince(since, r.t.ProofPeriod)
	switch {
	case spec.Retirement.AbsentSince != nil:
		return hurdle{}
	case r.txtEndpoint != nil && r.failed != nil:
		return hurdle{reason: v1alpha1.ReasonApplyFailed, message: r.failed.Error(), proven: proven}
	case dns == nil || dns.At.Before(since):
		return hurdle{unseen: true}
	}
	tail := ". At " + r.decision.Until.UTC().Format(time.RFC3339) + " everything else is removed all the same"
	if dns.Answer == publication.Unknown {
		return hurdle{reason: v1alpha1.ReasonLookupFailed, message: "DNS gave no usable answer for " + mtasts.RecordName(r.domain) + ": " + dns.Message + tail, proven: proven}
	}
	message := "DNS still answers id " + strings.Join(publication.Ours(&spec, dns.IDs), ", ") + " at " + mtasts.RecordName(r.domain)
	if r.settings.Provider == v1alpha1.DNSExternalDNS {
		message += ", although its record was taken away"
	}
	return hurdle{reason: v1alpha1.ReasonStillAnswered, message: message + ": " + r.wayToRemove() + tail, proven: proven || r.waitsForAPerson(dns)}
}

// unwritable is why the id's record could not be handed to external-dns; nil if nothing is known of it.
func (r *retiree) unwritable() *hurdle {
	switch {
	case r.settings.Provider == v1alpha1.DNSExternalDNS && !r.kinds.installed(dnsEndpoints):
		return &hurdle{reason: v1alpha1.ReasonCRDNotInstalled, message: "external-dns' DNSEndpoint kind is not installed in this cluster any more: install external-dns with --source=crd" + r.wayOut("")}
	case r.taken != "":
		return &hurdle{reason: v1alpha1.ReasonNameTaken, message: r.taken + r.wayOut("")}
	case r.failed != nil:
		return &hurdle{reason: v1alpha1.ReasonApplyFailed, message: r.failed.Error() + r.wayOut("")}
	}
	return nil
}

// wayToServe is what to do about a pod that keeps an id waiting, beyond what is said of it anyway.
func (r *retiree) wayToServe() string {
	behind := r.observation.Servers.Behind
	if len(behind) == 0 {
		return ""
	}
	switch pod := behind[0].Pod; behind[0].Problem {
	case v1alpha1.ReasonReplicaUnreachable:
		return fmt.Sprintf(". If its node is off for good: kubectl -n %s delete pod %s --force", r.publication.Namespace, pod)
	case v1alpha1.ReasonReplicaLagging, v1alpha1.ReasonWrongBytes:
		return fmt.Sprintf(". If it stays like that: kubectl -n %s delete pod %s", r.publication.Namespace, pod)
	}
	return ""
}

// wayOut ends a message: how to go on, and how to end it without that.
func (r *retiree) wayOut(first string) string {
	held := make([]string, 0, len(r.publication.Spec.Ledger))
	for _, e := range r.publication.Spec.Ledger {
		if e.Origin == v1alpha1.OriginUnknown {
			e.ID += " (whatever that was)"
		}
		held = append(held, e.ID)
	}
	risk := ""
	if len(held) > 0 {
		risk = ", although senders go on enforcing policy " + strings.Join(held, ", ") + " for as long as they hold it"
	}
	return first + ". Or end it at once" + risk + ": " + r.deletion()
}

func (r *retiree) deletion() string {
	return fmt.Sprintf("kubectl -n %s delete mtastspublication %s", r.publication.Namespace, r.domain)
}

func (r *retiree) lastsSince(since time.Time, patience time.Duration) bool {
	return !since.IsZero() && r.now.Sub(since) >= patience
}

// wayToPublish is what it takes for the id's record to come to DNS.
func (s *scope) wayToPublish() string {
	if s.settings.Provider != v1alpha1.DNSExternalDNS {
		return fmt.Sprintf("publish TXT %q at %s, in place of what is there",
			mtasts.Record{ID: s.publication.Spec.AnnouncedID}.String(), mtasts.RecordName(s.domain))
	}
	object := fmt.Sprintf("DNSEndpoint %s/%s", s.publication.Namespace, resources.TXTEndpointName(s.domain))
	if e := s.txtEndpoint; e != nil && e.Status.ObservedGeneration == e.Generation {
		return "external-dns has read " + object + " but not carried it out: it needs --policy=sync (create-only updates nothing) and --managed-record-types=TXT, must own the record, and must be v0.22 or later to update it"
	}
	return "external-dns has not read " + object + ": start it, with --source=crd and --managed-record-types=TXT among its arguments"
}

// wayToRemove is what it takes for the id's record to leave DNS.
func (s *scope) wayToRemove() string {
	if s.settings.Provider != v1alpha1.DNSExternalDNS {
		return "remove the TXT record at " + mtasts.RecordName(s.domain)
	}
	return "external-dns must run with --source=crd, --policy=sync (upsert-only removes nothing) and --managed-record-types=TXT, and must own the record; or remove the TXT record by hand"
}
