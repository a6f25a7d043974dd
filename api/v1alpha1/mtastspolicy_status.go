package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// State says in one word where a domain stands between wanted and in force.
//
// +kubebuilder:validation:Enum=Pending;Held;Serving;Announcing;InForce;Retiring;Removing;Orphaned;Conflict
type State string

// The states a domain goes through.
const (
	// StatePending: nothing is published yet, because it is not clear whether somebody else does.
	StatePending State = "Pending"
	// StateHeld: the wanted policy may not be published yet; what was published stays.
	StateHeld State = "Held"
	// StateServing: the policy is being brought to every server; DNS does not announce it yet.
	StateServing State = "Serving"
	// StateAnnouncing: its id has been handed to DNS, which does not answer it everywhere yet.
	StateAnnouncing State = "Announcing"
	// StateInForce: every server serves it and DNS answers its id.
	StateInForce State = "InForce"
	// StateRetiring: the policy object is gone; mode none is published until no sender holds an older policy.
	StateRetiring State = "Retiring"
	// StateRemoving: nothing is cached any more; records and children are being removed.
	StateRemoving State = "Removing"
	// StateOrphaned: the policy object is gone and everything stays until the publication is deleted.
	StateOrphaned State = "Orphaned"
	// StateConflict: another object or namespace publishes this domain, or this one may not.
	StateConflict State = "Conflict"
)

// States are all states, in the order in which a domain goes through them.
func States() []State {
	return []State{
		StatePending, StateHeld, StateServing, StateAnnouncing, StateInForce, StateRetiring, StateRemoving, StateOrphaned, StateConflict,
	}
}

// RecordState compares a DNS record with what should be there.
//
// +kubebuilder:validation:Enum=NotYet;Missing;Differs;Published;Unknown
type RecordState string

// The states of a record.
const (
	// RecordNotYet: it is too early to publish this record. Do not create it by hand yet.
	RecordNotYet RecordState = "NotYet"
	// RecordMissing: it should be published, and DNS does not answer it.
	RecordMissing RecordState = "Missing"
	// RecordDiffers: DNS answers something else.
	RecordDiffers RecordState = "Differs"
	// RecordPublished: DNS answers exactly this.
	RecordPublished RecordState = "Published"
	// RecordUnknown: DNS has not been asked, or gave no usable answer.
	RecordUnknown RecordState = "Unknown"
)

// MTASTSPolicyStatus mirrors the publication for people and tools.
type MTASTSPolicyStatus struct {
	// conditions are Ready, PolicyServed, Exposed, CertificateReady,
	// PolicyReachable, DNSPublished, MXAligned; Reconciling and Stalled are
	// present only while true. Every reason, and what to do about it:
	// https://github.com/mta-sts-operator/mta-sts-operator/blob/main/docs/troubleshooting.md
	//
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// observedGeneration is the generation that the operator has seen; -1 before the first look.
	//
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// state says in one word where the domain stands.
	//
	// +optional
	State State `json:"state,omitempty"`

	// policy is what is being served now.
	//
	// +optional
	Policy *ServedPolicy `json:"policy,omitempty"`

	// policyURL is where senders fetch the policy.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=320
	PolicyURL string `json:"policyURL,omitempty"`

	// records are the DNS records that belong to the policy, exactly as DNS should
	// answer them. With dns.provider Manual these are to be published by hand,
	// each as soon as its state is not NotYet.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=24
	Records []Record `json:"records,omitempty"`

	// mx lists the live MX hosts as senders see them, and those that the policy names beside them.
	//
	// +optional
	// +listType=map
	// +listMapKey=host
	// +kubebuilder:validation:MaxItems=100
	MX []MXHost `json:"mx,omitempty"`

	// certificateNotAfter is when the policy host's certificate ends.
	//
	// +optional
	CertificateNotAfter *metav1.Time `json:"certificateNotAfter,omitempty"`
}

// ServedPolicy is one instance as served.
type ServedPolicy struct {
	// id of the instance.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=32
	ID string `json:"id,omitempty"`

	// mode of the instance.
	//
	// +required
	Mode Mode `json:"mode,omitempty"`

	// mx patterns of the instance.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=100
	// +kubebuilder:validation:items:MaxLength=253
	MX []string `json:"mx,omitempty"`

	// maxAgeSeconds of the instance.
	//
	// +required
	// +kubebuilder:validation:Minimum=1
	MaxAgeSeconds int32 `json:"maxAgeSeconds,omitempty"`

	// body is the file exactly as senders receive it.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=10000
	Body string `json:"body,omitempty"`

	// until is when the retirement is expected to end, once that is known.
	//
	// +optional
	Until *metav1.Time `json:"until,omitempty"`
}

// Record is one DNS record.
type Record struct {
	// name is the full name without trailing dot.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`

	// type is A, AAAA, CNAME or TXT.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=8
	Type string `json:"type,omitempty"`

	// value is the data, without quotes; empty while it is not known yet.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=512
	Value string `json:"value,omitempty"`

	// ttlSeconds is the time to live.
	//
	// +optional
	TTLSeconds int32 `json:"ttlSeconds,omitempty"`

	// state compares it with what DNS answers.
	//
	// +required
	State RecordState `json:"state,omitempty"`
}
