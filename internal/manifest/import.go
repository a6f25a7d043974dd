package manifest

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/mta-sts-operator/mta-sts-operator/internal/check"
	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
	"github.com/mta-sts-operator/mta-sts-operator/internal/sender"
	"github.com/mta-sts-operator/mta-sts-operator/internal/tlsrpt"
)

// What [Import] cannot make a manifest of.
var (
	// ErrNothing means that no policy is published, or none that can be kept.
	ErrNothing = errors.New("there is nothing to import")
	// ErrUnknown means that it could not be told what is published.
	ErrUnknown = errors.New("it could not be told what is published")
)

// maxRUA is how many report addresses the schema admits.
const maxRUA = 8

// ImportOptions say what the object is to be called.
type ImportOptions struct {
	Namespace string // may be empty
	Name      string // empty means the domain with hyphens for dots
}

// Import makes a manifest of what senders find today. Comments in it tell what
// could not be kept and how to hand the domain over. It passes the schema; the
// error is [ErrNothing] or [ErrUnknown] with the reason.
func Import(seen check.Observation, options ImportOptions, schema *Schema) (string, error) {
	i := importer{seen: seen, options: options}
	if options.Name == "" {
		i.options.Name = strings.ReplaceAll(seen.Domain, ".", "-")
	}
	if err := i.readPolicy(); err != nil {
		return "", err
	}
	i.keepMX()
	i.keepMaxAge()
	i.readRecord()
	i.readTLSRPT()
	if more := i.left - mostLeft; more > 0 {
		i.remark("Left out %d more.", more)
	}
	text := i.text()
	if _, err := Read(strings.NewReader(text), schema); err != nil {
		return "", fmt.Errorf("%w that the operator could publish: %w", ErrNothing, err)
	}
	return text, nil
}

type importer struct {
	seen    check.Observation
	options ImportOptions
	body    string // as served
	policy  mtasts.Policy
	rua     []string
	remarks []string
	left    int // lines and addresses left out
}

// mostLeft is how many of them are named one by one: a policy may have thousands of lines.
const mostLeft = 20

func (i *importer) leaveOut(format string, args ...any) {
	if i.left++; i.left <= mostLeft {
		i.remark("Left out "+format, args...)
	}
}

func (i *importer) remark(format string, args ...any) {
	i.remarks = append(i.remarks, fmt.Sprintf(format, args...))
}

// readPolicy takes the first policy there is: a valid one, else what is left of
// one without its malformed lines.
func (i *importer) readPolicy() error {
	looks := i.seen.Policy.Addresses
	for _, look := range looks {
		switch {
		case look.Seen == nil:
		case i.body == "":
			i.body, i.policy = look.Seen.Body, look.Seen.Policy
		case look.Seen.Body != i.body:
			i.remark("The address %s serves another policy than the one below.", look.Address)
		}
	}
	for _, look := range looks {
		if i.body != "" || look.Answer == nil {
			continue
		}
		policy, err := leftOf(look.Answer.Body)
		if err == nil {
			i.body, i.policy = look.Answer.Body, policy
			i.remark("No strict sender accepts what is served today: %s. This is what is left of it.", i.seen.Policy.Message)
		}
	}
	if i.body == "" {
		return i.noPolicy()
	}
	i.readLines()
	return nil
}

// tooLong is a max_age that was meant to last and is refused for it (RFC 8461 §3.2).
var tooLong = regexp.MustCompile(`^max_age:[ \t]*0*[1-9][0-9]{7,}[ \t]*$`)

// leftOf is what remains of a policy without its malformed lines. A max_age beyond the limit becomes the
// longest that the operator publishes.
func leftOf(body string) (mtasts.Policy, error) {
	lines := check.Lines(body)
	text := check.WellFormed(lines)
	policy, err := mtasts.ParsePolicy([]byte(text))
	if err != nil && slices.ContainsFunc(lines, func(l check.Line) bool { return l.Fault != "" && tooLong.MatchString(l.Text) }) {
		return mtasts.ParsePolicy(fmt.Appendf(nil, "%smax_age: %d\n", text, mtasts.MaxMaxAgeSeconds))
	}
	return policy, err
}

func (i *importer) noPolicy() error {
	look := i.seen.Policy
	if look.Outcome == sender.NoAnswer && look.Reason != sender.DNSNotFound && look.Reason != sender.ConnectionRefused {
		return fmt.Errorf("%w: %s", ErrUnknown, look.Message)
	}
	return fmt.Errorf("%w: %s", ErrNothing, look.Message)
}

func (i *importer) readLines() {
	fields := map[string]bool{}
	for _, line := range check.Lines(i.body) {
		switch {
		case line.Fault != "":
			i.leaveOut("line %d: %s", line.Number, ascii(line.Text))
		case line.Extension():
			i.leaveOut("line %d, a field beyond RFC 8461, which some senders reject: %s", line.Number, ascii(line.Text))
		case line.Name != "mx" && fields[line.Name]:
			i.leaveOut("line %d, a repeated field: %s", line.Number, ascii(line.Text))
		}
		fields[line.Name] = true
	}
}

// keepMX drops what the operator does not publish, and compares with the live hosts.
func (i *importer) keepMX() {
	mx := i.seen.MX
	var kept []string
	for _, pattern := range i.policy.Canonical().MX {
		if err := mtasts.ValidatePattern(pattern); err != nil {
			i.leaveOut("an mx line: %s", ascii(err.Error()))
			continue
		}
		kept = append(kept, pattern)
	}
	if len(kept) == 0 {
		for _, host := range mx.Hosts {
			if mtasts.ValidatePattern(host.Name) == nil {
				kept = append(kept, host.Name)
			}
		}
		i.remark("The policy names no mx, which some senders reject even in mode none: these are the live MX hosts.")
	}
	i.policy.MX = kept
	i.policy = i.policy.Canonical()
	switch {
	case mx.Status != sender.Found:
		i.remark("The live MX hosts could not be compared with mx: %s.", mx.Message)
	case mx.Null:
		i.remark("The domain declares to take no mail (RFC 7505); the operator does not publish mode enforce for it.")
	}
	for _, host := range mx.Hosts {
		if !i.policy.Covers(host.Name) {
			i.remark("No mx covers the live MX host %s: senders refuse it in mode enforce. Add it, or remove its MX record.", ascii(host.Name))
		}
	}
}

func (i *importer) keepMaxAge() {
	published := i.policy.MaxAgeSeconds
	i.policy.MaxAgeSeconds = min(max(published, mtasts.MinMaxAgeSeconds), mtasts.MaxMaxAgeSeconds)
	switch {
	case published < i.policy.MaxAgeSeconds:
		i.remark("max_age was %d; some senders ignore policies that live shorter than a day.", published)
	case published > i.policy.MaxAgeSeconds:
		i.remark("max_age was %d; a widely used sender makes one day of exactly this value.", published)
	}
}

func (i *importer) readRecord() {
	record, err := mtasts.FindRecord(i.seen.Record.Records)
	switch {
	case i.seen.Record.Status == sender.Unknown:
		i.remark("The record %s could not be looked up: %s.", mtasts.RecordName(i.seen.Domain), ascii(i.seen.Record.Message))
	case err != nil:
		i.remark("No sender uses this policy today: %s at %s.", ascii(err.Error()), mtasts.RecordName(i.seen.Domain))
	default:
		i.remark("The id %s is replaced by one of the operator's own.", record.ID)
	}
}

func (i *importer) readTLSRPT() {
	name := tlsrpt.RecordName(i.seen.Domain)
	var records []string
	for _, text := range i.seen.TLSRPT.Records {
		if strings.HasPrefix(text, "v=TLSRPTv1;") {
			records = append(records, text)
		}
	}
	switch {
	case i.seen.TLSRPT.Status == sender.Unknown:
		i.remark("The record %s could not be looked up: %s.", name, ascii(i.seen.TLSRPT.Message))
		return
	case len(records) == 0:
		i.remark("There is no TLS-RPT record: add tlsReporting to learn when senders fail.")
		return
	case len(records) > 1:
		i.remark("There is more than one record at %s, so that senders send no reports: tlsReporting is left out.", name)
		return
	}
	record, err := tlsrpt.Parse(records[0])
	if err != nil {
		i.remark("tlsReporting is left out: %s.", ascii(err.Error()))
		return
	}
	for _, uri := range record.RUA {
		fault := tlsrpt.Record{RUA: []string{uri}}.Validate()
		switch {
		case fault != nil:
			i.leaveOut("a report address: %s.", ascii(fault.Error()))
		case len(i.rua) == maxRUA:
			i.leaveOut("a report address, the ninth or later: %s.", uri)
		default:
			i.rua = append(i.rua, uri)
		}
	}
}

// text writes the manifest with its comments.
func (i *importer) text() string {
	var b strings.Builder
	comment(&b, "", fmt.Sprintf("%s as senders found it on %s UTC.", i.seen.Domain, i.seen.At.UTC().Format("2006-01-02 15:04")))
	for _, remark := range i.remarks {
		comment(&b, "- ", remark)
	}
	b.WriteString("#\n")
	comment(&b, "", "To hand the domain over:")
	for n, step := range handover(i.seen.Domain, i.seen.Record.Status != sender.Absent, len(i.rua) > 0) {
		comment(&b, fmt.Sprintf("%d. ", n+1), step)
	}
	i.writeObject(&b)
	return b.String()
}

func (i *importer) writeObject(b *strings.Builder) {
	fmt.Fprintf(b, "apiVersion: mtasts.dev/v1alpha1\nkind: %s\nmetadata:\n  name: %s\n", Kind, scalar(i.options.Name))
	if i.options.Namespace != "" {
		fmt.Fprintf(b, "  namespace: %s\n", scalar(i.options.Namespace))
	}
	fmt.Fprintf(b, "spec:\n  domain: %s\n  mode: %s\n  mx:\n", scalar(i.seen.Domain), i.policy.Mode)
	for _, pattern := range i.policy.MX {
		fmt.Fprintf(b, "  - %s\n", scalar(pattern))
	}
	fmt.Fprintf(b, "  maxAgeSeconds: %d\n", i.policy.MaxAgeSeconds)
	if len(i.rua) > 0 {
		b.WriteString("  tlsReporting:\n    rua:\n")
	}
	for _, uri := range i.rua {
		fmt.Fprintf(b, "    - %s\n", scalar(uri))
	}
}

// handover keeps to the order in which nothing goes dark (RFC 8461 §8.1).
func handover(domain string, announced, reports bool) []string {
	steps := []string{
		"Apply this while the old publisher goes on. The operator remembers what senders may have cached, and reports " +
			"ForeignPublisher as long as the old record stays.",
		fmt.Sprintf("When condition PolicyServed is True, let the owner of the record %s remove it, so that the operator's takes its place.",
			mtasts.PolicyHost(domain)),
	}
	if announced {
		steps = append(steps, fmt.Sprintf("When condition PolicyReachable is True, let the owner of the TXT record %s remove it: the operator publishes its own.",
			mtasts.RecordName(domain)))
	}
	if reports {
		steps = append(steps, fmt.Sprintf("Likewise the TXT record %s.", tlsrpt.RecordName(domain)))
	}
	return append(steps, "When condition Ready is True, switch the old publisher off.")
}
