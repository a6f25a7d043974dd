package v1alpha1

// Labels and annotations by which the operator knows its own objects. They are fixed: nothing of
// a policy's own labels or annotations is ever copied to a child.
const (
	// ManagedByLabel carries ManagedBy on every object the operator creates; its caches select by it.
	ManagedByLabel = "app.kubernetes.io/managed-by"
	// ManagedBy is the value of ManagedByLabel.
	ManagedBy = "mta-sts-operator"
	// PublicationLabel carries the hash of the domain on the domain's children (a domain may be
	// longer than a label value).
	PublicationLabel = "mtasts.dev/publication"
	// NoBackupLabel, with value "true", keeps an object out of the backups that Velero makes. The operator makes
	// its children again from policies and publications; one from a backup would bring an old id back into DNS.
	NoBackupLabel = "velero.io/exclude-from-backup"
	// DomainAnnotation carries the domain itself on the same children.
	DomainAnnotation = "mtasts.dev/domain"
	// TransferToAnnotation, on a publication, names the namespace that may take the domain over.
	TransferToAnnotation = "mtasts.dev/transfer-to"
	// ReleaseAnnotation, on a publication, names a time: whatever policy was missed by then was meant to go,
	// although many disappeared at once, or the publication is a copy that has seen none.
	ReleaseAnnotation = "mtasts.dev/release-retirement"
	// IngressClassAnnotation, on an Ingress of the operator's, is the class that was asked for; without it that
	// was the cluster's default class, whatever the API server made of it.
	IngressClassAnnotation = "mtasts.dev/ingress-class"
	// RestoredAnnotation, on a publication, says when the cluster's data was restored from a backup (RFC 3339).
	RestoredAnnotation = "mtasts.dev/restored"
	// DiscardGapAnnotation, on a publication, ends the ledger's entry of origin Unknown that bears this id, or,
	// as ID/SECONDS, says that nobody was told to keep for longer what it stands for.
	DiscardGapAnnotation = "mtasts.dev/discard-gap"
	// AppliedAnnotation carries a hash of what the operator last applied to a child, so that a
	// field it no longer sets is noticed.
	AppliedAnnotation = "mtasts.dev/applied"
)
