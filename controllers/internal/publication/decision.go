package publication

import (
	"time"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
)

// Need is something the caller must find out before deciding again in the same pass.
type Need string

// The needs.
const (
	NeedNothing Need = ""
	// NeedWorld: look at what is published for the domain today.
	NeedWorld Need = "World"
	// NeedMX: look up the live MX hosts.
	NeedMX Need = "MX"
	// NeedPublic: ask the policy URL.
	NeedPublic Need = "Public"
	// NeedDNS: ask for the id's TXT record.
	NeedDNS Need = "DNS"
	// NeedConfirmation: read the publication and the pods live, and get the bytes from each pod.
	NeedConfirmation Need = "Confirmation"
	// NeedTrustedTime: learn the API server's time by a live read.
	NeedTrustedTime Need = "TrustedTime"
)

// TXTAction says what to do with the DNSEndpoint that carries the id.
type TXTAction string

// The actions.
const (
	// TXTLeave: do not touch it.
	TXTLeave TXTAction = "Leave"
	// TXTPublish: make it carry announcedID (never replacing a greater id of ours).
	TXTPublish TXTAction = "Publish"
	// TXTRemove: delete it.
	TXTRemove TXTAction = "Remove"
)

// Event is something that happened, to be told once it has been written down.
type Event struct {
	Warning bool
	// Quiet events are for the operator's log only: another one follows that people should see.
	Quiet   bool
	Reason  string
	Message string
}

// Decision is what should be true from now on.
type Decision struct {
	// Spec is the publication's spec; nil if there should be none.
	Spec *v1alpha1.MTASTSPublicationSpec
	// State is what to show.
	State v1alpha1.State
	// Reason and Message say what the domain is waiting for; empty when nothing.
	Reason, Message string
	// Stalled is set when the wait does not end by itself.
	Stalled bool
	// Minted says that the current instance has a fresh id, Overtook that somebody else's was greater before.
	Minted, Overtook bool
	// Need must be satisfied, and Decide asked again, before anything of this is carried out.
	Need Need
	// TXT says what to do with the id's record once Spec is written.
	TXT TXTAction
	// WordSpent is set once the word that lets a retirement begin has done so, or does not count.
	WordSpent bool
	// Remove: everything of the domain may go now, the publication last.
	Remove bool
	// Until is when a retirement is expected to end, once known.
	Until time.Time
	// After is when to decide again without an event; zero means no need.
	After time.Duration
	// Spent are annotations to be removed together with the writing of Spec: they were heeded, or mean nothing.
	Spent []string
	// Events happened by this decision.
	Events []Event
}

// again asks for another decision after d at the latest.
func (d *Decision) again(after time.Duration) {
	if after > 0 && (d.After == 0 || after < d.After) {
		d.After = after
	}
}

// wait sets the state and what it waits for.
func (d *Decision) wait(state v1alpha1.State, reason, message string) {
	d.State, d.Reason, d.Message = state, reason, message
}

func (d *Decision) event(reason, message string) {
	d.Events = append(d.Events, Event{Reason: reason, Message: message})
}

func (d *Decision) warn(reason, message string) {
	d.Events = append(d.Events, Event{Warning: true, Reason: reason, Message: message})
}
