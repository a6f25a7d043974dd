package check

import (
	"errors"
	"fmt"
	"strings"
	"unicode"

	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
)

// maxLineFaults bounds what is said about the lines of one text: it may be
// anything.
const maxLineFaults = 10

// Line is one line of a policy's text, judged by itself.
type Line struct {
	Number int    // from 1
	Text   string // without its end
	// Name and Value are those of its field; empty if it is malformed.
	Name, Value string
	// Fault is why senders reject it, empty if they do not.
	Fault string
}

// Extension reports whether the field is one that RFC 8461 does not define.
func (l Line) Extension() bool {
	switch l.Name {
	case "", "version", "mode", "mx", "max_age":
		return false
	default:
		return true
	}
}

// Lines judges the text of a policy line by line (RFC 8461 §3.2).
func Lines(body string) []Line {
	var lines []Line
	for raw := range strings.Lines(body) {
		line := Line{Number: len(lines) + 1, Text: strings.TrimRight(raw, "\r\n")}
		// A text of one line lacks fields, which is an error of line 0.
		_, err := mtasts.ParsePolicy([]byte(raw))
		if fault, ok := errors.AsType[*mtasts.SyntaxError](err); ok && fault.Line == 1 {
			line.Fault = fault.Reason
		} else {
			name, value, _ := strings.Cut(line.Text, ":")
			line.Name, line.Value = name, strings.Trim(value, " \t")
		}
		lines = append(lines, line)
	}
	return lines
}

// text judges one text; where names the address if there are several texts.
func (j *judge) text(where, body string) {
	lines := Lines(body)
	faults := 0
	for _, line := range lines {
		if line.Fault == "" {
			continue
		}
		if faults++; faults <= maxLineFaults {
			j.add(TopicText, Fail, "LineMalformed", fmt.Sprintf("%sline %d", where, line.Number), "%s", whatSendersDo(line))
		}
	}
	if faults > maxLineFaults {
		j.add(TopicText, Fail, "LineMalformed", where, "%d more lines are malformed: this is not a policy", faults-maxLineFaults)
	}
	j.fields(where, lines)
	policy, err := mtasts.ParsePolicy([]byte(WellFormed(lines)))
	switch {
	case err != nil && faults <= maxLineFaults:
		j.add(TopicText, Fail, "Incomplete", where, "%s: senders find no policy", err)
	case err == nil && faults == 0:
		j.add(TopicText, OK, "Valid", where, "mode %s, max_age %d (%s), %s",
			policy.Mode, policy.MaxAgeSeconds, duration(policy.MaxAgeSeconds), count(len(policy.MX), "mx pattern"))
	}
	if err == nil && j.policy == nil {
		j.policy = &policy
	}
	if len(body) > mtasts.MaxBodyBytes {
		j.add(TopicText, Advice, "TextLong", where, "%d bytes: some senders read no more than 10 KiB and judge what they have read; keep it below %d",
			len(body), mtasts.MaxBodyBytes)
	}
}

// fields are well-formed and yet not read the same by all.
func (j *judge) fields(where string, lines []Line) {
	seen := map[string]int{}
	for _, line := range lines {
		subject := fmt.Sprintf("%sline %d", where, line.Number)
		switch {
		case line.Extension():
			j.add(TopicText, Advice, "ExtensionField", subject, "the field %s is not of RFC 8461: most senders skip it, some reject the policy for it", line.Name)
		case line.Name == "" || line.Name == "mx":
		case seen[line.Name] > 0:
			j.add(TopicText, Advice, "FieldRepeated", subject, "%s stands on line %d already: senders differ on which counts, and some reject both",
				line.Name, seen[line.Name])
		default:
			seen[line.Name] = line.Number
		}
	}
	if len(lines) > 0 && lines[0].Name != "version" && seen["version"] > 0 {
		j.add(TopicText, Advice, "VersionNotFirst", where, "version is not the first line, where a large sender wants it")
	}
}

func whatSendersDo(line Line) string {
	switch {
	case line.Text == "":
		return "blank line: strict senders reject the policy, lenient ones skip the line"
	case strings.HasPrefix(line.Text, "#"):
		return "a policy has no comments: strict senders reject it, lenient ones skip the line"
	default:
		return fmt.Sprintf("%s: strict senders reject the policy", printable(line.Fault))
	}
}

// WellFormed is a text without its malformed lines.
func WellFormed(lines []Line) string {
	var b strings.Builder
	for _, line := range lines {
		if line.Fault == "" {
			b.WriteString(line.Text + "\n")
		}
	}
	return b.String()
}

// printable keeps the control characters of a stranger from a terminal.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, text)
}
