package sender

// LookupStatus is what a DNS lookup established.
type LookupStatus string

const (
	// Found means that records of the wanted type exist.
	Found LookupStatus = "Found"
	// Absent means that a server said the name or the type does not exist.
	Absent LookupStatus = "Absent"
	// Unknown means that it could not be told: no server answered, a server
	// failed, or the servers disagree.
	Unknown LookupStatus = "Unknown"
)

// The values of the Source of a lookup: who answered it.
const (
	// SourceAuthoritative means that every answer, aliases included, came from
	// the authoritative servers of its zone.
	SourceAuthoritative = "authoritative"
	// SourceResolver means that at least one answer came from a configured
	// resolver and may therefore be as old as its TTL.
	SourceResolver = "resolver"
)

// Outcome is what a look at a policy host or an MX host established.
type Outcome string

const (
	// Pass means that a sender gets the wanted instance or, if none was named,
	// some valid policy; of an MX host, that a sender delivers in mode enforce.
	Pass Outcome = "Pass"
	// WrongBody means that a sender gets a valid policy which is not the wanted
	// instance, and may cache it. MX hosts never have it.
	WrongBody Outcome = "WrongBody"
	// Broken means that there is an answer and every sender rejects it.
	Broken Outcome = "Broken"
	// NoAnswer means that there is no answer to judge.
	NoAnswer Outcome = "NoAnswer"
)

// Reason explains every status but Found and every outcome but Pass. The set is
// fixed; conditions, metrics and documentation rely on it.
type Reason string

// Reasons of DNS lookups. In a look they come with NoAnswer.
const (
	// DNSNotFound means that the name, or records of the wanted type, do not exist.
	DNSNotFound Reason = "DNSNotFound"
	// DNSFailed means that no server gave a usable answer.
	DNSFailed Reason = "DNSFailed"
	// DNSDisagree means that authoritative servers of one zone answer differently.
	DNSDisagree Reason = "DNSDisagree"
	// DNSAliasChain means that CNAME records form a loop or too long a chain.
	DNSAliasChain Reason = "DNSAliasChain"
)

// Reasons of NoAnswer.
const (
	// AddressRefused means that the address is private, reserved or denied, and was not dialled.
	AddressRefused Reason = "AddressRefused"
	// ConnectionRefused means that nothing listens on the port.
	ConnectionRefused Reason = "ConnectionRefused"
	// ConnectionFailed means that connecting failed in a way no other reason names.
	ConnectionFailed Reason = "ConnectionFailed"
	// ConnectionClosed means that the peer closed the connection before its
	// answer was complete.
	ConnectionClosed Reason = "ConnectionClosed"
	// NoRoute means that the network here cannot reach the address.
	NoRoute Reason = "NoRoute"
	// Timeout means that the answer was not complete in time.
	Timeout Reason = "Timeout"
)

// Reasons of Broken.
const (
	// CertificateExpired means that a certificate is expired or not yet valid.
	CertificateExpired Reason = "CertificateExpired"
	// CertificateWrongName means that the certificate has no DNS-ID for the host.
	CertificateWrongName Reason = "CertificateWrongName"
	// CertificateUntrusted means that the chain does not lead to a trusted root.
	CertificateUntrusted Reason = "CertificateUntrusted"
	// TLSFailed means that the TLS handshake failed otherwise: an alert, a
	// version below 1.2 (but see TLSTooOld), or no TLS at all.
	TLSFailed Reason = "TLSFailed"
	// HTTPFailed means that the answer is not HTTP.
	HTTPFailed Reason = "HTTPFailed"
	// Redirect means that the answer has a 3xx status.
	Redirect Reason = "Redirect"
	// StatusNotOK means that the answer has another status than 200.
	StatusNotOK Reason = "StatusNotOK"
	// WrongContentType means that the media type is not text/plain.
	WrongContentType Reason = "WrongContentType"
	// BodyTooLarge means that the body exceeds 64 KiB.
	BodyTooLarge Reason = "BodyTooLarge"
	// NotAPolicy means that the body is not a valid policy.
	NotAPolicy Reason = "NotAPolicy"
)

// Reasons of MX hosts only. The last three come with NoAnswer, the others with Broken.
const (
	// NoSTARTTLS means that the server does not offer STARTTLS.
	NoSTARTTLS Reason = "NoSTARTTLS"
	// STARTTLSRefused means that the server offers STARTTLS and then refuses it.
	STARTTLSRefused Reason = "STARTTLSRefused"
	// TLSTooOld means that the server knows no TLS newer than 1.1 (RFC 8461 §7.2).
	TLSTooOld Reason = "TLSTooOld"
	// SessionRefused means that the server takes no mail from here, now or ever:
	// that says nothing about what it offers to others.
	SessionRefused Reason = "SessionRefused"
	// NotSMTP means that the answer is not SMTP.
	NotSMTP Reason = "NotSMTP"
	// EgressBlocked means that no MX host at all could be connected to: most
	// likely the network here does not let port 25 out. See [IsEgressBlocked].
	EgressBlocked Reason = "EgressBlocked"
)

// OtherPolicy is the reason of WrongBody: a valid policy, but not the wanted instance.
const OtherPolicy Reason = "OtherPolicy"
