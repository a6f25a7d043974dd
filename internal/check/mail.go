package check

import (
	"fmt"
	"slices"
	"strings"

	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
	"github.com/mta-sts-operator/mta-sts-operator/internal/sender"
)

// mx judges the live MX hosts against the policy, and the other way round.
func (j *judge) mx() {
	mx := j.seen.MX
	switch {
	case mx.Status != sender.Found:
		j.add(TopicMX, Unknown, string(mx.Reason), "", "%s", mx.Message)
		return
	case mx.Null:
		j.add(TopicMX, Advice, "NullMX", "", "the domain takes no mail (RFC 7505): a policy protects nothing")
		return
	case mx.Implicit:
		j.add(TopicMX, OK, "ImplicitMX", "", "no MX record: mail goes to the address of the domain itself (RFC 5321 §5.1)")
	}
	for _, host := range mx.Hosts {
		j.mxHost(host)
	}
	if j.policy == nil {
		return
	}
	for _, pattern := range slices.Compact(slices.Sorted(slices.Values(j.policy.MX))) {
		if !slices.ContainsFunc(mx.Hosts, func(h sender.MXHost) bool { return mtasts.MatchMX(pattern, h.Name) }) {
			j.add(TopicMX, Advice, "PatternUnused", pattern, "no live MX host matches this pattern: right while an MX change is under way, else a leftover")
		}
	}
}

func (j *judge) mxHost(host sender.MXHost) {
	found := MXHost{Host: host.Name, Preference: host.Preference}
	if j.policy != nil {
		for _, pattern := range j.policy.MX {
			if mtasts.MatchMX(pattern, host.Name) {
				found.CoveredBy = append(found.CoveredBy, pattern)
			}
		}
	}
	j.MX = append(j.MX, found)
	subject := host.Name
	switch {
	case j.policy == nil:
		j.add(TopicMX, OK, "Live", subject, "preference %d", host.Preference)
	case len(found.CoveredBy) > 0:
		j.add(TopicMX, OK, "Covered", subject, "preference %d, covered by mx: %s", host.Preference, some(found.CoveredBy))
	case j.policy.Mode == mtasts.ModeEnforce:
		j.add(TopicMX, Fail, "Uncovered", subject, "preference %d, not covered by any mx line: senders do not deliver to it", host.Preference)
	case j.policy.Mode == mtasts.ModeTesting:
		j.add(TopicMX, Fail, "Uncovered", subject,
			"preference %d, not covered by any mx line: senders report it now, and would not deliver to it in mode enforce", host.Preference)
	default:
		j.add(TopicMX, Advice, "Uncovered", subject, "preference %d, not covered by any mx line, which does no harm in mode none", host.Preference)
	}
}

// starttls judges what the MX hosts do (RFC 8461 §4.2).
func (j *judge) starttls() {
	blocked := sender.IsEgressBlocked(j.seen.Probes)
	if blocked {
		j.add(TopicSTARTTLS, Unknown, string(sender.EgressBlocked), "",
			"no MX host accepts a connection on port 25 from here in time: networks of clouds and homes often block it; check from elsewhere, or without SMTP")
	}
	for i, probe := range j.seen.Probes {
		j.mxProbe(&j.MX[i], probe, blocked)
	}
}

// mxProbe says nothing of the addresses if all are blocked, for that has been said.
func (j *judge) mxProbe(found *MXHost, probe sender.MXProbe, blocked bool) {
	if probe.CNAME != "" {
		j.add(TopicSTARTTLS, Advice, "MXIsAlias", probe.Host, "is an alias of %s, which an MX host must not be (RFC 5321 §5.1); policy and certificate need the name in the MX record",
			printable(probe.CNAME))
	}
	if len(probe.Addresses) == 0 {
		status := Unknown
		if probe.Reason == sender.DNSNotFound {
			status = Fail
		}
		j.add(TopicSTARTTLS, status, string(probe.Reason), probe.Host, "%s", probe.Message)
	}
	for _, address := range probe.Addresses {
		found.Addresses = append(found.Addresses, MXAddress{
			Address: address.Address.String(), TLSVersion: address.TLSVersion, CertificateNotAfter: address.NotAfter.UTC(),
			CertificateNames: address.Names, Reply: address.Reply,
		})
		if !blocked {
			j.mxAddress(probe, address)
		}
	}
	if probe.Unasked > 0 && !blocked {
		j.add(TopicSTARTTLS, Advice, "AddressesNotAsked", probe.Host, "addresses that were not asked: %d; what is said of this host is about the other %d",
			probe.Unasked, len(probe.Addresses))
	}
}

func (j *judge) mxAddress(probe sender.MXProbe, address sender.MXAddress) {
	subject := probe.Host + " " + address.Address.String()
	if address.EarlyPlaintext {
		j.add(TopicSTARTTLS, Advice, "EarlyPlaintext", subject,
			"more text in the clear follows the consent to STARTTLS: the server, or somebody on the way, tries to smuggle in commands or replies")
	}
	switch address.Outcome {
	case sender.Pass:
		j.add(TopicSTARTTLS, OK, "Secured", subject, "%s; certificate for %s ends %s", address.TLSVersion, some(address.Names), j.date(address.NotAfter))
		j.expiry(TopicSTARTTLS, subject, address.NotAfter)
	case sender.Broken:
		j.add(TopicSTARTTLS, j.harm(), string(address.Reason), subject, "%s%s", address.Message, j.ending(address))
	default:
		status := Unknown
		if address.Reason == sender.NoRoute && probe.Outcome == sender.Pass {
			status = Advice // the other address family will do
		}
		j.add(TopicSTARTTLS, status, string(address.Reason), subject, "%s%s", address.Message, said(address.Reply))
	}
}

// ending says when a certificate that is refused ends, or what was said instead.
func (j *judge) ending(address sender.MXAddress) string {
	if address.NotAfter.IsZero() {
		if address.Reason == sender.NoSTARTTLS {
			return "" // the reply is the list of what it does offer
		}
		return said(address.Reply)
	}
	if address.NotAfter.Before(j.seen.At) {
		return fmt.Sprintf("; it ended %s", j.date(address.NotAfter))
	}
	return fmt.Sprintf("; it ends %s", j.date(address.NotAfter))
}

func said(reply string) string {
	if reply == "" {
		return ""
	}
	return fmt.Sprintf(": %q", reply)
}

// dane only says that there is something else to get right (RFC 8461 §2).
func (j *judge) dane() {
	for i, tlsa := range j.seen.TLSA {
		host := j.MX[i].Host
		switch tlsa.Status {
		case sender.Found:
			j.MX[i].TLSA = tlsa.Records
			j.add(TopicDANE, Advice, "TLSA", host,
				"has %s: senders that know DANE hold the certificate to them, others to MTA-STS; renewals must satisfy both. They count only under DNSSEC, which is not looked at here",
				count(len(tlsa.Records), "TLSA record"))
		case sender.Unknown:
			j.add(TopicDANE, Advice, string(tlsa.Reason), host, "%s", strings.TrimSpace(tlsa.Message))
		default:
		}
	}
}
