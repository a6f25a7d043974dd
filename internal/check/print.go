package check

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
	"github.com/mta-sts-operator/mta-sts-operator/internal/tlsrpt"
)

// mark is how a status looks: a word, and the colour of a terminal (ECMA-48 SGR).
type mark struct{ word, colour string }

var marks = map[Status]mark{
	OK:      {"ok", "32"},
	Advice:  {"advice", "36"},
	Unknown: {"unknown", "33"},
	Fail:    {"FAIL", "1;31"},
}

// Print writes the report as text, a table per topic.
func (r Report) Print(w io.Writer, colour bool) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s as senders see it on %s UTC\n", r.Domain, r.CheckedAt.Format("2006-01-02 15:04"))
	for _, topic := range topics() {
		r.printTopic(&b, topic, colour)
	}
	fmt.Fprintf(&b, "\n%s\n", r.summary(colour))
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	return nil
}

func (r Report) printTopic(b *strings.Builder, topic Topic, colour bool) {
	results := slices.DeleteFunc(slices.Clone(r.Results), func(result Result) bool { return result.Topic != topic })
	if len(results) == 0 {
		return
	}
	width := 0
	for _, result := range results {
		width = max(width, len(result.Subject))
	}
	fmt.Fprintf(b, "\n%s\n", r.title(topic))
	for _, result := range results {
		subject := ""
		if result.Subject != "" {
			subject = fmt.Sprintf("%-*s  ", width, result.Subject)
		}
		fmt.Fprintf(b, "  %s  %s%s\n", result.Status.paint(fmt.Sprintf("%-7s", marks[result.Status].word), colour), subject, result.Message)
	}
}

func (r Report) title(topic Topic) string {
	switch topic {
	case TopicRecord:
		return "TXT record " + mtasts.RecordName(r.Domain)
	case TopicPolicy:
		return "Policy at " + mtasts.PolicyURL(r.Domain)
	case TopicText:
		return "Text of the policy"
	case TopicMX:
		return "MX hosts"
	case TopicSTARTTLS:
		return "Mail servers, port 25"
	case TopicTLSRPT:
		return "TLS reports, TXT record " + tlsrpt.RecordName(r.Domain)
	default:
		return string(topic)
	}
}

func (r Report) summary(colour bool) string {
	verdict := map[Status]string{OK: "fine", Unknown: "could not tell everything", Fail: "would fail"}[r.Verdict]
	var counts []string
	if n := r.count(Fail); n > 0 {
		counts = append(counts, count(n, "failure"))
	}
	if n := r.count(Unknown); n > 0 {
		counts = append(counts, fmt.Sprintf("%d unknown", n))
	}
	if n := r.count(Advice); n > 0 {
		counts = append(counts, count(n, "piece")+" of advice")
	}
	line := "Result: " + r.Verdict.paint(verdict, colour)
	if len(counts) > 0 {
		line += " (" + strings.Join(counts, ", ") + ")"
	}
	return line
}

func (s Status) paint(text string, colour bool) string {
	if !colour {
		return text
	}
	return "\x1b[" + marks[s].colour + "m" + text + "\x1b[0m"
}
