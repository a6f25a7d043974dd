package check

import (
	"slices"
	"strings"

	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
	"github.com/mta-sts-operator/mta-sts-operator/internal/sender"
)

// policyHost judges how the policy is served at each address (RFC 8461 §3.3).
func (j *judge) policyHost() {
	look := j.seen.Policy
	if len(look.Addresses) == 0 {
		status := Unknown
		if look.Reason == sender.DNSNotFound {
			status = Fail
		}
		j.add(TopicPolicy, status, string(look.Reason), "", "%s: no sender finds the policy there", look.Message)
		return
	}
	for _, address := range look.Addresses {
		j.policyAddress(address)
	}
	if j.Policy == nil {
		return
	}
	var differing []string
	for _, address := range look.Addresses {
		if address.Seen != nil && address.Seen.Body != j.Policy.Body {
			differing = append(differing, address.Address.String())
		}
	}
	if len(differing) > 0 {
		j.add(TopicPolicy, Fail, "AddressesDiffer", some(differing), "serves another policy than the first address: which one a sender gets is chance")
	}
}

func (j *judge) policyAddress(look sender.AddressLook) {
	subject := look.Address.String()
	address := PolicyAddress{Address: subject, CertificateNotAfter: look.NotAfter.UTC()}
	if look.Answer != nil {
		address.HTTPStatus = look.Answer.Status
	}
	j.PolicyHost = append(j.PolicyHost, address)
	if look.Seen == nil {
		j.add(TopicPolicy, j.lookStatus(look), string(look.Reason), subject, "%s%s", look.Message, destination(look.Answer))
		return
	}
	if j.Policy == nil {
		policy := look.Seen.Policy
		j.policy = &policy
		j.Policy = &Policy{Mode: policy.Mode, MX: policy.MX, MaxAgeSeconds: policy.MaxAgeSeconds, Body: look.Seen.Body}
	}
	j.add(TopicPolicy, OK, "Served", subject, "serves a policy of %s; its certificate ends %s", count(len(look.Seen.Body), "byte"), j.date(look.NotAfter))
	j.expiry(TopicPolicy, subject, look.NotAfter)
}

// lookStatus tells what the peer did from what may be the fault of the network here.
func (j *judge) lookStatus(look sender.AddressLook) Status {
	switch look.Reason {
	case sender.NoRoute:
		if slices.ContainsFunc(j.seen.Policy.Addresses, func(l sender.AddressLook) bool { return l.Reason != sender.NoRoute }) {
			return Advice
		}
		return Unknown
	case sender.Timeout, sender.ConnectionClosed, sender.ConnectionFailed:
		return Unknown
	default:
		return Fail
	}
}

func destination(answer *sender.Answer) string {
	if answer == nil || answer.Location == "" {
		return ""
	}
	return ": to " + shown(answer.Location)
}

// policyText judges what is served, whether it is a valid policy or not.
func (j *judge) policyText() {
	var judged []string
	for _, look := range j.seen.Policy.Addresses {
		if !isText(look.Answer) || slices.Contains(judged, look.Answer.Body) {
			continue
		}
		judged = append(judged, look.Answer.Body)
		where := ""
		if len(judged) > 1 {
			where = look.Address.String() + " "
		}
		j.text(where, look.Answer.Body)
	}
	if j.policy != nil && len(judged) > 0 {
		j.advise(*j.policy)
	}
}

// isText leaves out web pages, whose lines are not worth a word.
func isText(answer *sender.Answer) bool {
	return answer != nil && answer.Status == 200 &&
		(strings.HasPrefix(strings.ToLower(answer.ContentType), "text/plain") || strings.Contains(answer.Body, "STSv1"))
}

// advise is about what a valid policy says.
func (j *judge) advise(p mtasts.Policy) {
	advice := func(reason, subject, format string, args ...any) {
		j.add(TopicText, Advice, reason, subject, format, args...)
	}
	switch p.Mode {
	case mtasts.ModeTesting:
		advice("Testing", "", "mode testing: senders report what fails, and deliver all the same%s", j.since())
	case mtasts.ModeNone:
		advice("None", "", "mode none: senders act as if there were no policy%s", j.since())
		if len(p.MX) == 0 {
			advice("NoneWithoutMX", "", "no mx: some senders reject such a policy and keep the one they have, enforce perhaps; leave the mx lines in")
		}
	default:
	}
	switch {
	case p.MaxAgeSeconds < mtasts.MinMaxAgeSeconds:
		advice("MaxAgeShort", "", "max_age %d (%s): some senders ignore policies that live shorter than a day", p.MaxAgeSeconds, duration(p.MaxAgeSeconds))
	case p.MaxAgeSeconds > mtasts.MaxMaxAgeSeconds:
		advice("MaxAgeLong", "", "max_age %d: a widely used sender makes one day of exactly this value; write %d or less", p.MaxAgeSeconds, mtasts.MaxMaxAgeSeconds)
	case p.Mode == mtasts.ModeEnforce && p.MaxAgeSeconds < 7*86400:
		advice("MaxAgeShort", "", "max_age %d (%s): senders that write seldom forget the policy in between; one to four weeks is usual",
			p.MaxAgeSeconds, duration(p.MaxAgeSeconds))
	}
	if slices.Contains(p.MX, "*."+j.Domain) {
		advice("OwnWildcard", "*."+j.Domain, "every host of the domain with a certificate can pass for a mail server (RFC 8461 §10.4); name the hosts")
	}
}

// since tells the age of what is announced, as far as the id gives it away.
func (j *judge) since() string {
	made, ok := idTime(j.ID)
	if !ok || made.After(j.seen.At) {
		return ""
	}
	return "; by its id the policy was last changed on " + j.date(made)
}
