package publication

import "time"

// Timings are all the waiting times of the operator in one place. Tests, the demo and simulations
// shorten them; users may not: each guards against somebody's cache or somebody's outage.
type Timings struct {
	// RetireGrace is how long a policy may be missing before its publication retires: a rename in
	// Git is a deletion and a creation minutes apart.
	RetireGrace time.Duration
	// UnverifiedDelay is how long a broken or silent policy URL delays an id when an older one is
	// already visible. Longer would let that older id renew senders' caches for ever.
	UnverifiedDelay time.Duration
	// AnotherPatience is how long a policy URL that served another policy, and then falls silent, is
	// taken to go on serving it to others.
	AnotherPatience time.Duration
	// MXPatience and MXTries bound how long failing MX lookups hold a change.
	MXPatience time.Duration
	MXTries    int
	// STARTTLSInterval is how often an MX host is asked for STARTTLS while all is well: it is somebody's
	// mail server. After a failure it is asked again after STARTTLSRetry, then after twice that, and so
	// on. While a change is held by a failure, that is asked again after STARTTLSRetry, and holds for no
	// longer than twice that.
	STARTTLSInterval time.Duration
	STARTTLSRetry    time.Duration
	// STARTTLSPause is the least time between two connections to one address of an MX host.
	STARTTLSPause time.Duration
	// UnaskedPatience is how long a change to enforce waits for MX hosts that nobody had time to ask, before
	// that is called a stall. It goes on waiting: senders may refuse such hosts.
	UnaskedPatience time.Duration
	// MXFresh is how old an MX lookup may be to decide a change by.
	MXFresh time.Duration
	// LookFresh is how old what was seen of the world, and of the policy URL, may be when something begins or is
	// announced by it.
	LookFresh time.Duration
	// WorldPatience and WorldTries bound how long failing lookups hold back a restored publication.
	WorldPatience time.Duration
	WorldTries    int
	// MemoryPatience is how long a domain that was published before waits for its publication to be restored,
	// where it is clear who may publish it, and without complaint where it is not.
	MemoryPatience time.Duration
	// Heartbeat is how often the leader writes its heartbeat: data that is restored is older than that, but for
	// its last few writes. One from before HeartbeatOld is too old for a leader that only took over.
	Heartbeat    time.Duration
	HeartbeatOld time.Duration
	// WitnessMargin is how much longer than the data a pod must have run to vouch for it: clocks differ.
	WitnessMargin time.Duration
	// HealInterval is the least time between two fresh ids for the same policy.
	HealInterval time.Duration
	// WayLinger is how long a former way to the policy server stays, beyond the TTL of the host's record,
	// after senders were seen to be led past it.
	WayLinger time.Duration
	// LedgerSlack is added to every date in the ledger: proxies, clocks, slow senders.
	LedgerSlack time.Duration
	// OldServers is for how long resolvers may go on asking the name servers that a zone had before it moved.
	OldServers time.Duration
	// HostDelay is how long after external-dns read the host's DNSEndpoint the host is first looked
	// up: an earlier look could plant "no such name" in resolvers for an hour.
	HostDelay time.Duration
	// ProofPeriod and ProofLooks are what it takes to call something broken that was in order.
	ProofPeriod time.Duration
	ProofLooks  int
	// PollFirst and PollMost bound the interval between looks while a change is on its way.
	PollFirst time.Duration
	PollMost  time.Duration
	// LookInterval is the interval of looks at rest, give or take a fifth.
	LookInterval time.Duration
	// RemovePatience is how long a TXT record that does not go away delays the removal of the rest.
	RemovePatience time.Duration
	// BlockedPatience is how long unanswered questions to ready pods, or to the policy URL from
	// inside the cluster, are taken for a passing trouble.
	BlockedPatience time.Duration
	// AskPending and AskRest are the intervals at which server pods are asked for their instances
	// while a change is on its way, and otherwise.
	AskPending time.Duration
	// AskPatience is how long pods that keep giving the same answer are asked at AskPending.
	AskPatience time.Duration
	AskRest     time.Duration
	// NudgeAfter is how long after a shard write the pods' annotation is touched so that kubelets refresh
	// the mount at once: the kubelet's own watch must have seen the write first. NudgeAgain is how much
	// later that is tried again, each time three times as much.
	NudgeAfter time.Duration
	NudgeAgain time.Duration
	// Coalesce is how long after an event a pass over a namespace begins: more events come with it. Changes
	// of shards that follow each other are written when no more have come for CoalesceQuiet, or when one has
	// waited for CoalesceMost; after up to three times as long if hundreds have come.
	Coalesce      time.Duration
	CoalesceQuiet time.Duration
	CoalesceMost  time.Duration
	// MintBurst ids of a domain may be minted at once, and one each MintInterval after that. Not more than
	// three in an OvertakeInterval have no other cause than a greater id of somebody else's.
	MintBurst        int
	MintInterval     time.Duration
	OvertakeInterval time.Duration
	// TellAfter is how long a change is on its way before its progress is told for the first time.
	TellAfter time.Duration
	// CRDPoll is how often a missing CRD is looked for.
	CRDPoll time.Duration
}

// DefaultTimings are the times used in production.
func DefaultTimings() Timings {
	return Timings{
		RetireGrace:      10 * time.Minute,
		UnverifiedDelay:  10 * time.Minute,
		AnotherPatience:  24 * time.Hour,
		MXPatience:       2 * time.Minute,
		MXTries:          3,
		STARTTLSInterval: 24 * time.Hour,
		STARTTLSRetry:    5 * time.Minute,
		STARTTLSPause:    2 * time.Second,
		UnaskedPatience:  15 * time.Minute,
		MXFresh:          time.Minute,
		LookFresh:        5 * time.Minute,
		WorldPatience:    2 * time.Minute,
		WorldTries:       3,
		MemoryPatience:   10 * time.Minute,
		Heartbeat:        2 * time.Minute,
		HeartbeatOld:     10 * time.Minute,
		WitnessMargin:    time.Minute,
		HealInterval:     time.Hour,
		WayLinger:        10 * time.Minute,
		LedgerSlack:      time.Hour,
		OldServers:       48 * time.Hour,
		HostDelay:        time.Minute,
		ProofPeriod:      10 * time.Minute,
		ProofLooks:       3,
		PollFirst:        2 * time.Second,
		PollMost:         time.Minute,
		LookInterval:     time.Hour,
		RemovePatience:   24 * time.Hour,
		BlockedPatience:  10 * time.Minute,
		AskPending:       2 * time.Second,
		AskPatience:      3 * time.Minute,
		AskRest:          time.Minute,
		NudgeAfter:       time.Second,
		NudgeAgain:       3 * time.Second,
		Coalesce:         200 * time.Millisecond,
		CoalesceQuiet:    500 * time.Millisecond,
		CoalesceMost:     10 * time.Second,
		MintBurst:        5,
		MintInterval:     time.Minute,
		OvertakeInterval: time.Hour,
		TellAfter:        5 * time.Second,
		CRDPoll:          10 * time.Second,
	}
}

// patientAfter is the wait before what has not been found for so long is looked for again, where nobody waits
// for it but who wants it: a quarter of that time, so that whoever mends it sees that soon enough, and that
// who never does takes little of what others need.
func (t Timings) patientAfter(lasted time.Duration) time.Duration {
	return min(lasted/4, t.LookInterval)
}

// pollAfter is the wait before try number tries+1: doubling from PollFirst to PollMost.
func (t Timings) pollAfter(tries int) time.Duration {
	wait := t.PollFirst
	for range tries {
		if wait >= t.PollMost {
			return t.PollMost
		}
		wait *= 2
	}
	return min(wait, t.PollMost)
}
