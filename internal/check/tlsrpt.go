package check

import (
	"slices"
	"strings"

	"github.com/mta-sts-operator/mta-sts-operator/internal/sender"
	"github.com/mta-sts-operator/mta-sts-operator/internal/tlsrpt"
)

// tlsrpt judges the TXT record that asks for reports (RFC 8460 §3).
func (j *judge) tlsrpt() {
	txt := j.seen.TLSRPT
	if txt.Status == sender.Unknown {
		j.add(TopicTLSRPT, Unknown, string(txt.Reason), "", "%s", txt.Message)
		return
	}
	var records []string
	for _, text := range txt.Records {
		switch {
		case strings.HasPrefix(text, "v=TLSRPTv1;"):
			records = append(records, text)
		case strings.Contains(strings.ToLower(text), "rpt"):
			j.add(TopicTLSRPT, Fail, "RecordIgnored", "", "senders ignore %s: it must begin with v=TLSRPTv1; exactly, without quotes or blanks", shown(text))
		}
	}
	switch len(records) {
	case 0:
		j.add(TopicTLSRPT, Advice, "NoRecord", "", "no TLS-RPT record: nobody tells you when senders fail to deliver securely (RFC 8460)")
	case 1:
		j.reports(records[0])
	default:
		j.add(TopicTLSRPT, Fail, "SeveralRecords", "", "%s where there may be one: senders send no reports", count(len(records), "record"))
	}
}

func (j *judge) reports(text string) {
	record, err := tlsrpt.Parse(text)
	if err != nil {
		j.add(TopicTLSRPT, Fail, "RecordMalformed", "", "%s: senders send no reports", printable(err.Error()))
		return
	}
	j.RUA = record.RUA
	uris := make([]string, len(record.RUA))
	for i, uri := range record.RUA {
		uris[i] = printable(uri)
	}
	if !slices.ContainsFunc(uris, isReportURI) {
		j.add(TopicTLSRPT, Fail, "NoUsableAddress", "", "senders send reports by mailto: and https: only, not to %s", some(uris))
		return
	}
	j.add(TopicTLSRPT, OK, "Reported", "", "reports go to %s", some(uris))
	if !slices.ContainsFunc(uris, func(uri string) bool { return strings.HasPrefix(uri, "mailto:") }) {
		j.add(TopicTLSRPT, Advice, "HTTPSOnly", "", "no mailto: address; some senders know nothing else and send no reports")
	}
	if text != record.String() && text != record.String()+";" || record.Validate() != nil {
		j.add(TopicTLSRPT, Advice, "ReadDifferently", "", "not every sender reads %s the same: %s", shown(text), better(record))
	}
}

func isReportURI(uri string) bool {
	return strings.HasPrefix(uri, "mailto:") || strings.HasPrefix(uri, "https://")
}

func better(record tlsrpt.Record) string {
	if err := record.Validate(); err != nil {
		return printable(strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	return "write " + shown(record.String())
}
