package check

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
)

// expiresSoon is when a certificate that is renewed by a machine should long have
// been: the usual ones are renewed a month, the shortest a few days ahead.
const expiresSoon = 14 * 24 * time.Hour

// Judge says what an observation means to senders.
func Judge(seen Observation) Report {
	j := judge{
		seen: seen, told: map[Result]int{},
		Report: Report{SchemaVersion: SchemaVersion, Domain: seen.Domain, CheckedAt: seen.At.UTC()},
	}
	j.record()
	j.policyHost()
	j.policyText()
	j.mx()
	j.starttls()
	j.dane()
	j.tlsrpt()
	j.rest()
	j.Verdict = j.verdict()
	return j.Report
}

type judge struct {
	Report

	seen Observation
	// policy is what coverage is judged by: the valid policy, or what is left of
	// one without its malformed lines; nil if there is none.
	policy *mtasts.Policy
	// told counts the results by topic, status and reason.
	told map[Result]int
}

// mostAlike is how many results of one reason are worth reading: a policy may have thousands of lines.
const mostAlike = 50

func (j *judge) add(topic Topic, status Status, reason, subject, format string, args ...any) {
	kind := Result{Topic: topic, Status: status, Reason: reason}
	if j.told[kind]++; j.told[kind] > mostAlike {
		return
	}
	j.Results = append(j.Results, Result{
		Topic: topic, Status: status, Reason: reason, Subject: subject, Message: fmt.Sprintf(format, args...),
	})
}

// rest counts, at the end of each topic, the results that were too many.
func (j *judge) rest() {
	order := topics()
	var more []Result
	for kind, n := range j.told {
		if n > mostAlike {
			kind.Message = fmt.Sprintf("%d more like these (%s)", n-mostAlike, kind.Reason)
			more = append(more, kind)
		}
	}
	slices.SortFunc(more, func(a, b Result) int {
		return cmp.Or(cmp.Compare(a.Reason, b.Reason), cmp.Compare(a.Status, b.Status))
	})
	j.Results = append(j.Results, more...)
	slices.SortStableFunc(j.Results, func(a, b Result) int {
		return cmp.Compare(slices.Index(order, a.Topic), slices.Index(order, b.Topic))
	})
}

// harm is the status of what hurts only under a policy: senders that are told
// "none" do not mind.
func (j *judge) harm() Status {
	if j.policy != nil && j.policy.Mode == mtasts.ModeNone {
		return Advice
	}
	return Fail
}

// expiry adds advice about a certificate in use that ends soon.
func (j *judge) expiry(topic Topic, subject string, notAfter time.Time) {
	left := notAfter.Sub(j.seen.At)
	if left > 0 && left < expiresSoon {
		j.add(topic, Advice, "CertificateExpiresSoon", subject, "the certificate ends %s: look whether its renewal works", j.date(notAfter))
	}
}

// date is a day and how far it is away.
func (j *judge) date(t time.Time) string {
	days := int(t.Sub(j.seen.At).Hours() / 24)
	day := t.UTC().Format(time.DateOnly)
	switch {
	case days < 0:
		return fmt.Sprintf("%s (%s ago)", day, count(-days, "day"))
	case days == 0:
		return day + " (less than a day)"
	default:
		return fmt.Sprintf("%s (in %s)", day, count(days, "day"))
	}
}

// duration writes seconds as people think of them.
func duration(seconds int64) string {
	const hour, day = 3600, 24 * 3600
	switch {
	case seconds != 0 && seconds%day == 0:
		return count(int(seconds/day), "day")
	case seconds > 2*day:
		return "about " + count(int((seconds+day/2)/day), "day")
	case seconds >= 2*hour:
		return "about " + count(int((seconds+hour/2)/hour), "hour")
	default:
		return count(int(seconds), "second")
	}
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// some joins the first few items and counts the rest.
func some(items []string) string {
	const shown = 3
	if len(items) <= shown {
		return strings.Join(items, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(items[:shown], ", "), len(items)-shown)
}

// shown makes a stranger's text fit for a terminal: printable ASCII in quotes,
// bounded.
func shown(text string) string {
	const limit = 200
	if len(text) > limit {
		return fmt.Sprintf("%+q...", text[:limit])
	}
	return fmt.Sprintf("%+q", text)
}
