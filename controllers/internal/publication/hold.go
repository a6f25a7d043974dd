package publication

import (
	"slices"
	"strings"
	"time"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
)

// held is why a wanted change may not be published yet.
type held struct {
	reason, message string
	stalled         bool
}

// hold asks whether publishing wanted would make enforce lose more mail than it does now (I8). A
// change is held only if it endangers a live MX host that the current policy does not endanger, or
// prolongs a policy that already does. Leaving enforce is never held. goOn is false when the pass
// must stop to look up the MX records first.
func (p *pass) hold(current *mtasts.Policy, wanted mtasts.Policy) (isHeld, goOn bool) {
	if wanted.Mode != mtasts.ModeEnforce || p.o.Claim.Preflight == v1alpha1.PreflightAdvise {
		return false, true
	}
	mx := p.o.MX
	if !p.freshMX() && !p.holdsOn(mx, current, wanted) {
		return false, p.need(NeedMX)
	}
	if mx.Answer == Unknown {
		return p.holdUnknown(mx)
	}
	reason, message := objection(mx, current, wanted)
	if reason == "" {
		begins := current == nil || current.Mode != mtasts.ModeEnforce
		return (begins && p.holdUnasked(mx)) || p.holdAsking(mx), true
	}
	p.held = &held{reason: reason, message: message, stalled: true}
	p.again(p.t.MXFresh)
	return true, true
}

// holdsOn says whether an answer that is too old to let a change through is new enough to go on holding it:
// where senders have never seen an id, the longer it has been held, the longer it may wait for the next look.
func (p *pass) holdsOn(mx *MX, current *mtasts.Policy, wanted mtasts.Policy) bool {
	if mx == nil || mx.Answer != Found || mx.Objected.IsZero() || !p.unseen() {
		return false
	}
	if due, _ := mx.dueAfter(p.t.patientAfter(mx.At.Sub(mx.Objected)), p.now); due {
		return false
	}
	reason, _ := objection(mx, current, wanted)
	return reason != ""
}

// freshMX says whether the MX records were looked up a moment ago.
func (p *pass) freshMX() bool {
	mx := p.o.MX
	return mx != nil && !mx.At.IsZero() && !mx.At.After(p.now) && p.now.Sub(mx.At) < p.t.MXFresh
}

// retryMX is how long after a lookup that failed the MX records are looked up again.
func (p *pass) retryMX() time.Duration { return p.t.MXPatience / time.Duration(p.t.MXTries) }

// holdUnknown holds a change while the MX records cannot be looked up, but not for long: a broken
// resolver must not keep anybody from publishing.
func (p *pass) holdUnknown(mx *MX) (isHeld, goOn bool) {
	if mx.Tries >= p.t.MXTries || p.now.Sub(mx.Since) >= p.t.MXPatience {
		p.warn(v1alpha1.ReasonLookupFailed, "the MX records could not be looked up ("+mx.Message+"): the change goes ahead without knowing whether it covers them")
		return false, true
	}
	if wait := mx.At.Add(p.retryMX()).Sub(p.now); wait > 0 {
		p.held = &held{reason: v1alpha1.ReasonMXLookupPending, message: "the MX records cannot be looked up: " + mx.Message}
		p.again(wait)
		return true, true
	}
	return false, p.need(NeedMX)
}

// holdUnasked holds what begins to enforce for as long as MX hosts wait to be asked because others come first,
// whether or not a fresh id is due: who keeps the operator busy must not make it enforce what senders cannot
// meet. An answer, even one that tells nothing, ends it.
func (p *pass) holdUnasked(mx *MX) bool {
	if len(mx.Unasked) == 0 {
		return false
	}
	left := mx.UnaskedSince.Add(p.t.UnaskedPatience).Sub(p.now)
	p.held = &held{
		reason: v1alpha1.ReasonMXCheckDelayed, stalled: left <= 0,
		message: "the live MX " + plural(mx.Unasked) + " could not be asked for STARTTLS yet, because many others are being asked: " +
			"mode enforce waits for that; preflight: Advise publishes without asking",
	}
	p.again(left)
	p.again(p.t.MXPatience)
	return true
}

// holdAsking holds a change for a moment while it is being found out whether every MX host fails. Where
// a fresh id is due anyway, one for the wanted policy is better than two.
func (p *pass) holdAsking(mx *MX) bool {
	since := mx.Asking
	if len(mx.Unasked) > 0 && (since.IsZero() || mx.UnaskedSince.Before(since)) {
		since = mx.UnaskedSince
	}
	if since.IsZero() || p.fresh {
		return false
	}
	wait := since.Add(p.t.MXPatience).Sub(p.now)
	if wait <= 0 {
		return false
	}
	p.held = &held{reason: v1alpha1.ReasonMXLookupPending, message: "asking the live MX " + plural(mx.Hosts) + " for STARTTLS"}
	p.again(wait)
	return true
}

// objection names what speaks against wanted; "" if nothing does.
func objection(mx *MX, current *mtasts.Policy, wanted mtasts.Policy) (reason, message string) {
	if mx.Null {
		return v1alpha1.ReasonNullMX, "the domain's MX record says that it receives no mail: mode enforce would protect nothing; publish the MX records first, or set mode: testing"
	}
	refused := endangered(wanted, mx)
	if len(refused) == 0 {
		return "", ""
	}
	var already []string
	longer := true
	if current != nil {
		already = endangered(*current, mx)
		longer = wanted.MaxAgeSeconds > current.MaxAgeSeconds
	}
	worse := slices.ContainsFunc(refused, func(h string) bool { return !slices.Contains(already, h) })
	if !worse && !longer {
		return "", ""
	}
	const stays = "; until then what was published before stays (preflight: Advise publishes anyway)"
	if uncovered := Refused(wanted, mx.Hosts); len(uncovered) > 0 {
		return v1alpha1.ReasonUncoveredMX, "under mode enforce senders would refuse the live MX " + plural(uncovered) +
			": add " + pronoun(uncovered) + " to spec.mx, remove the MX record, or set mode: testing" + stays
	}
	return v1alpha1.ReasonSTARTTLSFailing, "under mode enforce senders would deliver to no live MX host: " + mx.Failing +
		": repair that, or set mode: testing" + stays
}

// endangered lists the live hosts that get no mail from senders that hold the policy. That a host fails
// at STARTTLS counts only if all do: senders go on to the next host, and what one look saw of one host
// must not keep anybody from publishing.
func endangered(policy mtasts.Policy, mx *MX) []string {
	if policy.Mode == mtasts.ModeEnforce && mx.Failing != "" {
		return mx.Hosts
	}
	return Refused(policy, mx.Hosts)
}

// Refused lists the hosts that senders would refuse under the policy: none unless it is enforce.
func Refused(policy mtasts.Policy, hosts []string) []string {
	if policy.Mode != mtasts.ModeEnforce {
		return nil
	}
	var out []string
	for _, host := range hosts {
		if !policy.Covers(host) {
			out = append(out, host)
		}
	}
	return out
}

// pronoun stands for what plural names.
func pronoun(hosts []string) string {
	if len(hosts) == 1 {
		return "it"
	}
	return "them"
}

// plural names one host or several, at most five of them.
func plural(hosts []string) string {
	if len(hosts) == 1 {
		return "host " + hosts[0]
	}
	if len(hosts) > 5 {
		hosts = append(slices.Clone(hosts[:5]), "…")
	}
	return "hosts " + strings.Join(hosts, ", ")
}
