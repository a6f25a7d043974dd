package check

import (
	"time"

	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
)

// SchemaVersion is the version of the JSON form of [Report]. Fields, checks and
// reasons may be added to a version; they are not renamed or removed.
const SchemaVersion = 1

// Status is how a result, or all of them together, turned out.
type Status string

// The statuses, from good to bad.
const (
	// OK means that senders find what they want.
	OK Status = "OK"
	// Advice means that it works and could be better, or that it fails and does
	// not matter.
	Advice Status = "Advice"
	// Unknown means that it could not be told from here.
	Unknown Status = "Unknown"
	// Fail means that senders would reject or ignore something, or that mail would
	// not be delivered under mode enforce.
	Fail Status = "Fail"
)

// Topic is what a result is about.
type Topic string

// The topics, in the order of a report.
const (
	// TopicRecord is the TXT record at _mta-sts.
	TopicRecord Topic = "Record"
	// TopicPolicy is the policy host: its addresses, TLS and HTTP.
	TopicPolicy Topic = "Policy"
	// TopicText is the text of the policy.
	TopicText Topic = "Text"
	// TopicMX is the live MX hosts and whether the policy covers them.
	TopicMX Topic = "MX"
	// TopicSTARTTLS is what the MX hosts do on port 25.
	TopicSTARTTLS Topic = "STARTTLS"
	// TopicDANE is the TLSA records of the MX hosts.
	TopicDANE Topic = "DANE"
	// TopicTLSRPT is the TXT record at _smtp._tls.
	TopicTLSRPT Topic = "TLSRPT"
)

// topics are all of them, in that order.
func topics() []Topic {
	return []Topic{TopicRecord, TopicPolicy, TopicText, TopicMX, TopicSTARTTLS, TopicDANE, TopicTLSRPT}
}

// Result is one thing that was found.
type Result struct {
	Topic  Topic  `json:"topic"`
	Status Status `json:"status"`
	// Reason is a constant of the table in docs/check.md.
	Reason string `json:"reason"`
	// Subject is what of the topic is meant: an address, a host, "line 3"; empty if
	// the topic as a whole is.
	Subject string `json:"subject,omitempty"`
	// Message is for people. It may change.
	Message string `json:"message"`
}

// Report is what was found of a domain.
type Report struct {
	// SchemaVersion is [SchemaVersion].
	SchemaVersion int       `json:"schemaVersion"`
	Domain        string    `json:"domain"`
	CheckedAt     time.Time `json:"checkedAt"`
	// Verdict is Fail if a result is, else Unknown if one is, else OK.
	Verdict Status `json:"verdict"`
	// ID is what the one valid record announces.
	ID string `json:"id,omitempty"`
	// Policy is the valid policy of the first address that serves one.
	Policy *Policy `json:"policy,omitempty"`
	// PolicyHost is each address of the policy host.
	PolicyHost []PolicyAddress `json:"policyHost,omitempty"`
	// MX is each live MX host, by preference.
	MX []MXHost `json:"mx,omitempty"`
	// RUA is where the one valid TLS-RPT record sends reports.
	RUA     []string `json:"rua,omitempty"`
	Results []Result `json:"results"`
}

// Policy is a policy as it is served.
type Policy struct {
	Mode          mtasts.Mode `json:"mode"`
	MX            []string    `json:"mx,omitempty"`
	MaxAgeSeconds int64       `json:"maxAgeSeconds"`
	Body          string      `json:"body"` // the exact text
}

// PolicyAddress is one address of the policy host.
type PolicyAddress struct {
	Address string `json:"address"`
	// CertificateNotAfter is the end of the certificate; absent without one.
	CertificateNotAfter time.Time `json:"certificateNotAfter,omitzero"`
	// HTTPStatus is absent without an answer.
	HTTPStatus int `json:"httpStatus,omitempty"`
}

// MXHost is one live MX host.
type MXHost struct {
	Host       string `json:"host"`
	Preference uint16 `json:"preference"`
	// CoveredBy are the patterns of the policy that match the host.
	CoveredBy []string `json:"coveredBy,omitempty"`
	// Addresses are absent if the host was not talked to or has none.
	Addresses []MXAddress `json:"addresses,omitempty"`
	// TLSA are the host's TLSA records for port 25.
	TLSA []string `json:"tlsa,omitempty"`
}

// MXAddress is one address of an MX host.
type MXAddress struct {
	Address             string    `json:"address"`
	TLSVersion          string    `json:"tlsVersion,omitempty"`
	CertificateNotAfter time.Time `json:"certificateNotAfter,omitzero"`
	// CertificateNames are the first 20 DNS names of the certificate.
	CertificateNames []string `json:"certificateNames,omitempty"`
	// Reply is what the server said when it refused.
	Reply string `json:"reply,omitempty"`
}

// ExitCode is 0 for OK, 1 for Fail and 2 for Unknown.
func (r Report) ExitCode() int {
	switch r.Verdict {
	case Fail:
		return 1
	case Unknown:
		return 2
	default:
		return 0
	}
}

func (r Report) count(status Status) int {
	n := 0
	for _, result := range r.Results {
		if result.Status == status {
			n++
		}
	}
	return n
}

func (r Report) verdict() Status {
	for _, status := range []Status{Fail, Unknown} {
		if r.count(status) > 0 {
			return status
		}
	}
	return OK
}
