package v1alpha1

// TroubleshootingURL is the page that explains every reason of a condition or an event; a reason in lower
// case is the fragment of its section. Instead of main it may name the Git tag of a release.
const TroubleshootingURL = "https://github.com/mta-sts-operator/mta-sts-operator/blob/main/docs/troubleshooting.md"

// Condition types of an MTASTSPolicy. All but Reconciling and Stalled are always present once
// there is something to say. Their observedGeneration is the generation they were proven for: a
// Ready=True of an older generation does not satisfy kubectl wait.
const (
	// ConditionReady is True while the wanted policy is in force: served by every server and
	// answered by DNS. It keeps its value while a change is on its way. Once True it turns False
	// only on proof: three failed looks over at least ten minutes.
	ConditionReady = "Ready"
	// ConditionPolicyServed is True when every server pod reports the current instance.
	ConditionPolicyServed = "PolicyServed"
	// ConditionExposed is True when the policy host has an address to point at.
	ConditionExposed = "Exposed"
	// ConditionCertificateReady is True when the policy host's certificate has been issued.
	ConditionCertificateReady = "CertificateReady"
	// ConditionPolicyReachable is True when the policy URL answers the current instance to a strict sender.
	ConditionPolicyReachable = "PolicyReachable"
	// ConditionDNSPublished is True when DNS answers exactly the announced id.
	ConditionDNSPublished = "DNSPublished"
	// ConditionMXAligned is True when no sender that holds the policy, or an older one, is known to refuse a live MX host.
	ConditionMXAligned = "MXAligned"
	// ConditionReconciling is present, and True, while a change is on its way.
	ConditionReconciling = "Reconciling"
	// ConditionStalled is present, and True, while nothing goes on without somebody acting.
	ConditionStalled = "Stalled"
)

// Reasons of Ready; Reconciling and Stalled bear the same reason while they are present.
const (
	// ReasonInForce: every server serves the policy and DNS answers its id.
	ReasonInForce = "InForce"
	// ReasonObserving: the operator is looking at what is published for the domain today.
	ReasonObserving = "Observing"
	// ReasonServing: the policy is being brought to every server.
	ReasonServing = "Serving"
	// ReasonAnnouncing: its id has been handed to DNS.
	ReasonAnnouncing = "Announcing"
	// ReasonBroken: what is published was proven to be broken; the other conditions say how.
	ReasonBroken = "Broken"
	// ReasonApplyFailed: the API server refused an object that belongs to the policy; the message says which and why.
	ReasonApplyFailed = "ApplyFailed"
	// ReasonDomainConflict: another policy, or another namespace, publishes this domain.
	ReasonDomainConflict = "DomainConflict"
	// ReasonDomainNotAllowed: the operator's configuration does not let this namespace claim the domain.
	ReasonDomainNotAllowed = "DomainNotAllowed"
	// ReasonChangesTooFrequent: the policy changes so often that the next change waits its turn.
	ReasonChangesTooFrequent = "ChangesTooFrequent"
	// ReasonClockOutOfRange: the operator's clock is beyond what an id can tell.
	ReasonClockOutOfRange = "ClockOutOfRange"
	// ReasonInvalidPolicy: the object passed admission but cannot be published as it is.
	ReasonInvalidPolicy = "InvalidPolicy"
)

// Reasons of PolicyServed.
const (
	// ReasonServed: every server pod reports the instance.
	ReasonServed = "Served"
	// ReasonNotAskedYet: the server pods have not been asked about the instance yet.
	ReasonNotAskedYet = "NotAskedYet"
	// ReasonNoReadyReplica: no server pod is ready.
	ReasonNoReadyReplica = "NoReadyReplica"
	// ReasonReplicaLagging: a server pod still serves an older instance.
	ReasonReplicaLagging = "ReplicaLagging"
	// ReasonReplicaUnreachable: a server pod that may still run does not answer, as on a lost node.
	ReasonReplicaUnreachable = "ReplicaUnreachable"
	// ReasonProbeBlocked: ready server pods refuse or drop the operator's questions.
	ReasonProbeBlocked = "ProbeBlocked"
	// ReasonWrongBytes: a server pod answered other bytes than the instance's.
	ReasonWrongBytes = "WrongBytes"
)

// Reasons of Exposed.
const (
	// ReasonAddressAssigned: the Ingress has an address.
	ReasonAddressAssigned = "AddressAssigned"
	// ReasonTargetsConfigured: dns.targets, or the configuration, says where the host points.
	ReasonTargetsConfigured = "TargetsConfigured"
	// ReasonWayChanging: the policy host is on its way to another Ingress or address; the former one still answers.
	ReasonWayChanging = "WayChanging"
	// ReasonNoAddress: nothing says where the policy host should point.
	ReasonNoAddress = "NoAddress"
	// ReasonNameTaken: an object of the same name exists and is not the operator's.
	ReasonNameTaken = "NameTaken"
)

// Reasons of CertificateReady.
const (
	// ReasonIssued: cert-manager has issued the certificate.
	ReasonIssued = "Issued"
	// ReasonIssuing: cert-manager is working on it.
	ReasonIssuing = "Issuing"
	// ReasonNoIssuer: neither the policy nor the configuration names an issuer.
	ReasonNoIssuer = "NoIssuer"
	// ReasonNotManaged: the certificate is somebody else's business (source Secret or None).
	ReasonNotManaged = "NotManaged"
	// ReasonCRDNotInstalled: cert-manager's, or external-dns', kind is not installed in this cluster.
	ReasonCRDNotInstalled = "CRDNotInstalled"
)

// Reasons of PolicyReachable.
const (
	// ReasonReachable: the policy URL answers the current instance at every address.
	ReasonReachable = "Reachable"
	// ReasonWrongBody: the policy URL answers another valid policy.
	ReasonWrongBody = "WrongBody"
	// ReasonBrokenAnswer: the policy URL answers something that every sender rejects.
	ReasonBrokenAnswer = "BrokenAnswer"
	// ReasonNoAnswer: the policy URL does not answer.
	ReasonNoAnswer = "NoAnswer"
	// ReasonNotReachableFromCluster: it answers at the Ingress address, but not at its public one from here.
	ReasonNotReachableFromCluster = "NotReachableFromCluster"
	// ReasonNotLookedYet: it is too early to look.
	ReasonNotLookedYet = "NotLookedYet"
)

// Reasons of DNSPublished.
const (
	// ReasonPublished: DNS answers exactly the announced id.
	ReasonPublished = "Published"
	// ReasonNotYet: it is too early to announce the id.
	ReasonNotYet = "NotYet"
	// ReasonPropagating: the id was handed to DNS a short while ago.
	ReasonPropagating = "Propagating"
	// ReasonMissing: DNS answers no id.
	ReasonMissing = "Missing"
	// ReasonDiffers: DNS answers an older id of ours.
	ReasonDiffers = "Differs"
	// ReasonSeveralRecords: DNS answers more than one TXT record, which voids the policy.
	ReasonSeveralRecords = "SeveralRecords"
	// ReasonForeignPublisher: DNS answers an id that the operator never minted; of Stalled, greater ids than the
	// operator's appear again and again.
	ReasonForeignPublisher = "ForeignPublisher"
	// ReasonLookupFailed: DNS gave no usable answer.
	ReasonLookupFailed = "LookupFailed"
)

// Reasons of MXAligned.
const (
	// ReasonCovered: the policy covers every live MX host.
	ReasonCovered = "Covered"
	// ReasonUncoveredMX: senders would refuse a live MX host under the policy.
	ReasonUncoveredMX = "UncoveredMX"
	// ReasonNullMX: the domain says that it receives no mail (RFC 7505); mode enforce makes no sense.
	ReasonNullMX = "NullMX"
	// ReasonMXLookupPending: the MX records are being looked up.
	ReasonMXLookupPending = "MXLookupPending"
	// ReasonMXCheckDelayed: MX hosts wait to be asked for STARTTLS because many others are being asked.
	ReasonMXCheckDelayed = "MXCheckDelayed"
	// ReasonSTARTTLSFailing: a live MX host does not offer TLS as mode enforce demands it; senders deliver nothing there.
	ReasonSTARTTLSFailing = "STARTTLSFailing"
	// ReasonCachedPoliciesRefuse: the policy covers every live MX host, but senders may still hold an older one that does not.
	ReasonCachedPoliciesRefuse = "CachedPoliciesRefuse"
	// ReasonNotEnforced: the mode does not make senders refuse anything.
	ReasonNotEnforced = "NotEnforced"
)

// Reasons of a publication's conditions while no policy follows it; it then has exactly one, Reconciling
// or Stalled, with these reasons or with those above, or Ready if it is orphaned.
const (
	// ReasonRetiring: the policy object is gone; the publication retires.
	ReasonRetiring = "Retiring"
	// ReasonRetirementHeld: many policies disappeared at once, or the publication is a copy that has seen none
	// yet; it stays until that is released.
	ReasonRetirementHeld = "RetirementHeld"
	// ReasonStillAnswered: DNS answers the id although its record was taken away.
	ReasonStillAnswered = "StillAnswered"
	// ReasonOrphaned: the policy object is gone, and everything stays as it is.
	ReasonOrphaned = "Orphaned"
)

// Reasons that only status.mx bears, beside those of a strict sender.
const (
	// ReasonEgressBlocked: no MX host at all can be reached at port 25 from the cluster.
	ReasonEgressBlocked = "EgressBlocked"
)

// Reasons of events that no condition bears.
const (
	// ReasonMinted: a new instance was recorded, or, as an event, one that is taken for the worst.
	ReasonMinted = "Minted"
	// ReasonAnnounced: its id was handed to DNS.
	ReasonAnnounced = "Announced"
	// ReasonAnnouncedUnverified: the id went ahead although the policy URL does not answer properly.
	ReasonAnnouncedUnverified = "AnnouncedUnverified"
	// ReasonRecordCorrected: a publication, a shard or a TXT record held what the operator cannot have written.
	ReasonRecordCorrected = "RecordCorrected"
	// ReasonReannounced: a fresh id was minted for the same policy because senders may hold another under the old one.
	ReasonReannounced = "Reannounced"
	// ReasonRemoved: everything of the domain was removed.
	ReasonRemoved = "Removed"
	// ReasonAdopted: another policy object of the same namespace took the publication over.
	ReasonAdopted = "Adopted"
	// ReasonTransferWaits: the namespace that an annotation names has no policy that may take the domain.
	ReasonTransferWaits = "TransferWaits"
	// ReasonForeignConfigMap: a ConfigMap bears the labels of the policy server and is none of its own.
	ReasonForeignConfigMap = "ForeignConfigMap"
	// ReasonRestored: the publication came from a backup; a fresh id was minted.
	ReasonRestored = "Restored"
	// ReasonGapDiscarded: somebody ended, or bounded, the ledger's entry for what nobody knows.
	ReasonGapDiscarded = "GapDiscarded"
	// ReasonAnnotationRejected: an annotation on the publication said nothing that can be done; it was removed.
	ReasonAnnotationRejected = "AnnotationRejected"
)
