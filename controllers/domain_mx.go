package controllers

import (
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/controllers/internal/publication"
)

// mxAligned compares the live MX hosts with what is served, what they do, and what senders may still hold.
// While they cannot be looked up, those that were seen last stand for them: what is said of a host is
// about the policy of today.
func (w *statusWriter) mxAligned() {
	kind, mx := v1alpha1.ConditionMXAligned, w.observation.MX
	var live []string
	switch {
	case w.current == nil:
		return
	case mx == nil || mx.Answer == publication.Unknown:
		if live = w.lastMX(); len(live) == 0 {
			if w.was(kind) == nil {
				w.set(kind, metav1.ConditionUnknown, v1alpha1.ReasonMXLookupPending, "the MX records have not been looked up yet")
			}
			return
		}
	case mx.Null && w.current.Mode == v1alpha1.ModeEnforce:
		w.set(kind, metav1.ConditionFalse, v1alpha1.ReasonNullMX, "the domain's MX record says that it receives no mail")
		w.status.MX = nil
		return
	default:
		live = mx.Hosts
	}
	hosts := w.mxHosts(live)
	w.status.MX = presentable(hosts)
	defer func() { w.sayLeftOut(hosts[min(len(hosts), maxMXHosts):]) }()
	refused := w.refusedMX(hosts)
	switch {
	case w.current.Mode == v1alpha1.ModeEnforce && len(refused.uncovered) > 0:
		w.set(kind, metav1.ConditionFalse, v1alpha1.ReasonUncoveredMX, "senders refuse "+strings.Join(refused.uncovered, ", ")+": add to spec.mx what is missing, or set mode: testing until that is sorted out")
	case w.current.Mode == v1alpha1.ModeEnforce && len(refused.failing) > 0:
		w.set(kind, metav1.ConditionFalse, v1alpha1.ReasonSTARTTLSFailing, "senders do not deliver there: "+strings.Join(refused.failing, "; ")+"; repair it, or set mode: testing until that is sorted out")
	case len(refused.byCaches) > 0:
		w.set(kind, metav1.ConditionFalse, v1alpha1.ReasonCachedPoliciesRefuse, strings.Join(refused.byCaches, "; ")+": those senders deliver to the other MX hosts, if there are any; an MX record is safe once status.mx shows no safeAfter for its host"+w.gapAdvice())
	case len(refused.uncovered)+len(refused.failing) > 0:
		w.set(kind, metav1.ConditionTrue, v1alpha1.ReasonNotEnforced, "mode "+string(w.current.Mode)+" makes senders refuse nothing; under mode enforce: "+strings.Join(append(uncoveredMX(refused.uncovered), refused.failing...), "; "))
	default:
		w.set(kind, metav1.ConditionTrue, v1alpha1.ReasonCovered, "the policy covers every live MX host"+w.gapAdvice())
	}
}

// gapAdvice says, while nobody knows all that senders may hold, what that means and how it ends (I5).
func (w *statusWriter) gapAdvice() string {
	spec := &w.publication.Spec
	gap := publication.Gap(spec)
	if gap == nil {
		return ""
	}
	return "; what was announced after " + publication.ShownID(gap.AfterID) + " is not known since a restore, and counts as a policy that covers no new host. " +
		publication.GapAdvice(w.publication.Namespace, w.domain, gap.ID)
}

// cachedName is how a message names an entry of the ledger.
func cachedName(spec *v1alpha1.MTASTSPublicationSpec, id string) string {
	if gap := publication.Gap(spec); gap != nil && gap.ID == id {
		return "a policy that nobody knows, from after " + publication.ShownID(gap.AfterID)
	}
	return "policy " + id
}

// lastMX are the live MX hosts as the status shows them.
func (w *statusWriter) lastMX() []string {
	var out []string
	for _, h := range w.policy.Status.MX {
		if h.State != v1alpha1.MXPrepared {
			out = append(out, h.Host)
		}
	}
	return out
}

func uncoveredMX(hosts []string) []string {
	if len(hosts) == 0 {
		return nil
	}
	return []string{"senders would refuse " + strings.Join(hosts, ", ")}
}

// refusedMX is where senders that follow the policy, or an older one, do not deliver.
type refusedMX struct {
	// uncovered are hosts that no pattern covers; failing says how others fail at STARTTLS; byCaches
	// names those that cached policies refuse, and until when.
	uncovered, failing, byCaches []string
}

func (w *statusWriter) refusedMX(hosts []v1alpha1.MXHost) (out refusedMX) {
	for _, h := range hosts {
		after, open, id := publication.SafeAfter(&w.publication.Spec, h.Host)
		if h.State == v1alpha1.MXCovered && w.failsForSure(h) {
			out.failing = append(out.failing, h.STARTTLS.Message)
		}
		switch {
		case h.State == v1alpha1.MXPrepared:
		case h.State == v1alpha1.MXUncovered:
			out.uncovered = append(out.uncovered, h.Host)
		case open:
			out.byCaches = append(out.byCaches, "senders may still fetch "+cachedName(&w.publication.Spec, id)+", which refuses "+h.Host)
		case after != nil && after.After(w.now.Time):
			out.byCaches = append(out.byCaches, "senders that cached "+cachedName(&w.publication.Spec, id)+" refuse "+h.Host+" until "+after.UTC().Format(time.RFC3339))
		}
	}
	return out
}

// failsForSure says whether a host was proven to fail: once the condition is True for this instance, one
// failed look is no proof (I9). Where nothing is enforced the condition stays True, and is to warn early.
func (w *statusWriter) failsForSure(h v1alpha1.MXHost) bool {
	if h.STARTTLS == nil || h.STARTTLS.State != v1alpha1.STARTTLSFails {
		return false
	}
	was := w.was(v1alpha1.ConditionMXAligned)
	return w.current.Mode != v1alpha1.ModeEnforce || !w.inForce() || was == nil || was.Status != metav1.ConditionTrue || was.Reason == v1alpha1.ReasonNotEnforced ||
		w.mail[h.Host].Proves(w.t)
}

// mxHosts says for each live host what senders do with it, and for those that the policy names beside
// them from when on an MX record may point there.
func (w *statusWriter) mxHosts(live []string) []v1alpha1.MXHost {
	policy := publication.PolicyOf(*w.current)
	out := make([]v1alpha1.MXHost, 0, len(live)+len(policy.MX))
	for _, host := range live {
		h := v1alpha1.MXHost{Host: host, State: v1alpha1.MXCovered, STARTTLS: brief(w.starttls(host), len(live))}
		if !policy.Covers(host) {
			h.State, h.Message = v1alpha1.MXUncovered, "no pattern of spec.mx covers this host"
		}
		w.dateMX(&h)
		out = append(out, h)
	}
	for _, host := range policy.MX {
		if !strings.HasPrefix(host, "*.") && !slices.Contains(live, host) {
			h := v1alpha1.MXHost{Host: host, State: v1alpha1.MXPrepared}
			w.dateMX(&h)
			out = append(out, h)
		}
	}
	return out
}

// maxMXHosts and maxMXHostName are what the API server accepts.
const (
	maxMXHosts    = 100
	maxMXHostName = 253
)

// presentable leaves out what the API server would refuse the whole status for. A zone may name more hosts
// than that, and names of any bytes, which are longer when they are written out.
func presentable(hosts []v1alpha1.MXHost) []v1alpha1.MXHost {
	out := slices.DeleteFunc(slices.Clone(hosts), func(h v1alpha1.MXHost) bool { return len(h.Host) > maxMXHostName })
	return out[:min(len(out), maxMXHosts)]
}

// dateMX says from when on no cached policy refuses a host (I5).
func (w *statusWriter) dateMX(h *v1alpha1.MXHost) {
	after, open, id := publication.SafeAfter(&w.publication.Spec, h.Host)
	name := cachedName(&w.publication.Spec, id)
	prepared := h.State == v1alpha1.MXPrepared
	switch {
	case h.State == v1alpha1.MXUncovered && open:
	case open && prepared:
		h.Message = "do not point an MX record at this host yet: " + name + ", which senders may still fetch, refuses it"
	case open:
		h.Message = name + ", which senders may still fetch, refuses this host"
	case after == nil || !after.After(w.now.Time):
	case prepared:
		h.SafeAfter = after
		h.Message = "do not point an MX record at this host before " + after.UTC().Format(time.RFC3339) + ": " + name + ", cached by senders, refuses it"
	default:
		h.SafeAfter = after
		h.Message = name + ", cached by senders, refuses this host until " + after.UTC().Format(time.RFC3339)
	}
}

// starttls is what a host did when asked; until it is asked again, what the status says already.
func (w *statusWriter) starttls(host string) *v1alpha1.STARTTLS {
	if seen, ok := w.mail[host]; ok && !seen.At.IsZero() {
		return &seen.starttls
	}
	for _, old := range w.policy.Status.MX {
		if old.Host == host {
			return old.STARTTLS
		}
	}
	return nil
}
