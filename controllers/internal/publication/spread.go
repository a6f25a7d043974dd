package publication

import (
	"fmt"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
)

// spread brings the current instance to every server, then its id to DNS, and waits until DNS
// answers it: body before id (I1), and no first id before a sender can fetch the policy (I2).
func (p *pass) spread() bool {
	if p.Spec.Current == nil {
		p.wait(v1alpha1.StateRetiring, v1alpha1.ReasonRetiring, "the policy is gone before anything was published for it")
		if p.o.Claim == nil && p.retirementHeld() {
			p.showHeld()
		}
		return false
	}
	if p.dark() {
		return p.stayDark()
	}
	if p.minted {
		p.keepTXT()
		p.wait(v1alpha1.StateServing, v1alpha1.ReasonServing, "id "+p.Spec.Current.ID+" is being brought to the servers")
		return true
	}
	if p.Spec.AnnouncedID != p.Spec.Current.ID {
		p.keepTXT()
		if !p.served() || !p.reachable() || !p.confirmed() {
			return p.Need == NeedNothing
		}
		p.announce()
		return true
	}
	if p.o.TXTObject != p.Spec.AnnouncedID && (p.o.TXTObject != "" || p.Spec.InForceID != p.Spec.AnnouncedID) {
		// The crash, or the hand, came between the record and DNS: ask the pods once more.
		if !p.served() || !p.confirmed() {
			return p.Need == NeedNothing
		}
	}
	p.TXT = TXTPublish
	return p.answered()
}

// keepTXT keeps an older id that DNS may show while a newer instance is on its way.
func (p *pass) keepTXT() {
	if p.Spec.AnnouncedID == "" {
		return
	}
	if p.o.TXTObject == p.Spec.AnnouncedID || (p.o.TXTObject == "" && p.Spec.InForceID == p.Spec.AnnouncedID) {
		p.TXT = TXTPublish
	}
}

// served waits until every server pod reports the current instance.
func (p *pass) served() bool {
	s := p.o.Servers
	if s.All() {
		return true
	}
	reason, message := Lag(s, p.Spec.Current.ID)
	p.wait(v1alpha1.StateServing, reason, message)
	p.Stalled = s.Obstacle != ""
	if since := s.stuckSince(); !since.IsZero() {
		p.Stalled = p.Stalled || p.now.Sub(since) >= p.t.BlockedPatience
		p.again(max(since.Add(p.t.BlockedPatience).Sub(p.now), p.t.PollMost))
	}
	if p.o.ConfirmTried {
		p.again(p.t.PollMost) // the report that said otherwise does not change by itself
	}
	return false
}

// Lag says what the servers wait for, as a reason of condition PolicyServed and a sentence.
func Lag(s Servers, id string) (reason, message string) {
	switch {
	case s.Obstacle != "":
		return v1alpha1.ReasonApplyFailed, "the policy server of the namespace cannot be set up: " + s.Obstacle
	case len(s.Behind) > 0:
		b := s.Behind[0]
		message = fmt.Sprintf("pod %s on node %s ", b.Pod, b.Node)
		switch b.Problem {
		case v1alpha1.ReasonReplicaUnreachable:
			message += "does not answer and may still be running: id " + id + " waits until it answers, or is evicted or deleted"
		case v1alpha1.ReasonProbeBlocked:
			message += "is ready but does not answer the operator: check NetworkPolicies and service meshes between the operator and the pod's ports http and metrics"
		case v1alpha1.ReasonWrongBytes:
			message += "answers other bytes than id " + id + " stands for"
			if b.ID != id {
				message += ": it claims to serve " + orNothing(b.ID) + ", which this operator never published. Find out who runs it; the Deployment replaces a pod that is deleted"
			}
		default:
			message += "serves " + orNothing(b.ID) + ", not yet id " + id
		}
		if more := len(s.Behind) - 1; more > 0 {
			message += fmt.Sprintf(" (and %d more)", more)
		}
		return b.Problem, message
	case s.Known && s.Ready == 0:
		return v1alpha1.ReasonNoReadyReplica, "no pod of Deployment mta-sts-server is ready: kubectl get pods -l app.kubernetes.io/component=server says why"
	default:
		return v1alpha1.ReasonNotAskedYet, "the pods of Deployment mta-sts-server have not been asked about id " + id + " yet"
	}
}

func orNothing(id string) string {
	if id == "" {
		return "nothing"
	}
	return "id " + id[:min(len(id), maxFoundID)]
}

// reachable decides by the public look. While no id is visible only a policy that passes may be
// announced. Once one is visible, only another valid policy at the URL blocks: when no sender can
// accept what is there nobody can form a wrong pair, and an id that is stuck renews old caches.
func (p *pass) reachable() bool {
	if p.everVisible() && p.staleDNS() {
		return p.need(NeedDNS) // what was visible once may be gone, and then only a policy that passes will do
	}
	visible := p.visible()
	if !visible && p.o.Prepared != "" {
		p.wait(v1alpha1.StateServing, v1alpha1.ReasonServing, p.o.Prepared)
		p.again(p.o.PreparedIn)
		if p.everVisible() {
			p.again(p.t.UnverifiedDelay) // nobody tells when the id is visible again
		}
		return false
	}
	look := p.o.Public
	if look == nil || look.For != p.Spec.Current.ID || (look.Outcome == Pass && p.outdated(look.Tried)) {
		return p.need(NeedPublic)
	}
	if look.Outcome == Pass {
		return true
	}
	due, wait := p.due(look.Tried)
	if due {
		return p.need(NeedPublic)
	}
	failing, doubt := p.unusable(look)
	if !visible {
		failing, doubt = false, ""
	}
	if failing && p.now.Sub(look.Since) >= p.t.UnverifiedDelay {
		p.unverified = look.Message
		return true
	}
	p.again(wait)
	p.wait(v1alpha1.StateServing, ReasonFor(look), look.Message+doubt)
	p.Stalled = look.Outcome != NoAnswer && p.now.Sub(look.Since) >= p.t.BlockedPatience
	if look.Reason == v1alpha1.ReasonNotReachableFromCluster {
		p.Stalled = true
	}
	return false
}

// unusable says whether no sender can accept what is at the policy URL. An answer that every sender rejects
// proves that. Silence speaks for it only if the operator sees DNS, and has not lately seen another policy
// there: else it may be the operator alone that gets no answer. The doubt says so, as the end of a sentence.
func (p *pass) unusable(look *Public) (yes bool, doubt string) {
	switch {
	case look.Outcome == Broken:
		return true, ""
	case look.Outcome != NoAnswer:
		return false, ""
	case p.o.DNS == nil || p.o.DNS.Answer == Unknown:
		return false, ", and DNS does not answer the operator either: what senders get there is unknown; check the operator's way to DNS (looks.resolvers, NetworkPolicies)"
	case p.now.Sub(look.AnotherAt) < p.t.AnotherPatience:
		return false, ", and when it last answered it served another policy: find out who answers for the policy host, and make it this cluster alone"
	}
	return true, ""
}

// staleDNS says whether the last answer of DNS is too old to tell what senders see now.
func (p *pass) staleDNS() bool {
	if p.o.DNS == nil {
		return true
	}
	age := p.now.Sub(p.o.DNS.SeenAt())
	return age < 0 || age >= p.t.UnverifiedDelay
}

// visible says whether senders see an id of the domain now, as far as is known.
func (p *pass) visible() bool {
	if dns := p.o.DNS; dns != nil && dns.Answer != Unknown {
		return len(dns.IDs) > 0
	}
	return p.everVisible()
}

// ReasonFor is the reason of condition PolicyReachable for a look.
func ReasonFor(l *Public) string {
	switch l.Outcome {
	case Pass:
		return v1alpha1.ReasonReachable
	case WrongBody:
		return v1alpha1.ReasonWrongBody
	case Broken:
		return v1alpha1.ReasonBrokenAnswer
	case NoAnswer:
		if l.Reason == v1alpha1.ReasonNotReachableFromCluster {
			return l.Reason
		}
	}
	return v1alpha1.ReasonNoAnswer
}

// confirmed asks the caller, once a pass, to check at the live objects and at every pod.
func (p *pass) confirmed() bool {
	if p.o.Confirmed == p.Spec.Current.ID {
		return true
	}
	if !p.o.ConfirmTried {
		return p.need(NeedConfirmation)
	}
	p.wait(v1alpha1.StateServing, v1alpha1.ReasonServing, "something changed while the servers were being asked: once more")
	p.again(p.t.PollFirst)
	return false
}

// announce writes down that the id goes to DNS; the record follows once that is written.
func (p *pass) announce() {
	p.Spec.AnnouncedID = p.Spec.Current.ID
	p.Spec.AnnouncedAt = p.stamp()
	p.Spec.UID = p.o.UID
	p.TXT = TXTPublish
	p.wait(v1alpha1.StateAnnouncing, v1alpha1.ReasonAnnouncing, "waiting until DNS answers id "+p.Spec.AnnouncedID)
	if p.unverified != "" {
		p.warn(v1alpha1.ReasonAnnouncedUnverified, "id "+p.Spec.AnnouncedID+" goes ahead although "+p.unverified+": an older id that stays would keep older policies alive in senders")
	}
	p.event(v1alpha1.ReasonAnnounced, "every server serves id "+p.Spec.AnnouncedID+": it was handed to DNS")
	p.again(p.t.PollFirst)
}

// answered waits until DNS answers exactly the announced id.
func (p *pass) answered() bool {
	if p.Spec.InForceID == p.Spec.AnnouncedID {
		p.State = v1alpha1.StateInForce
		return true
	}
	dns := p.o.DNS
	if dns != nil && dns.SeenAt().Before(p.Spec.AnnouncedAt.Time) {
		dns = nil // it was asked about an older id
	}
	if dns.Exactly(p.Spec.AnnouncedID) {
		p.Spec.InForceID = p.Spec.AnnouncedID
		p.State = v1alpha1.StateInForce
		p.event(v1alpha1.ReasonInForce, "DNS answers id "+p.Spec.InForceID+" and every server serves it")
		return true
	}
	wait := p.Spec.AnnouncedAt.Add(p.t.PollFirst).Sub(p.now)
	due := wait <= 0
	if dns != nil {
		due, wait = dns.due(p.now, p.t)
	}
	if due {
		return p.need(NeedDNS)
	}
	p.again(wait)
	p.wait(v1alpha1.StateAnnouncing, v1alpha1.ReasonAnnouncing, "waiting until DNS answers id "+p.Spec.AnnouncedID)
	return true
}
