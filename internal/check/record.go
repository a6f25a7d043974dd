package check

import (
	"strings"
	"time"

	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
	"github.com/mta-sts-operator/mta-sts-operator/internal/sender"
)

// record judges the TXT record that announces the policy (RFC 8461 §3.1).
func (j *judge) record() {
	txt := j.seen.Record
	if txt.Status == sender.Unknown {
		j.add(TopicRecord, Unknown, string(txt.Reason), "", "%s", txt.Message)
		return
	}
	if txt.Status == sender.Absent {
		j.add(TopicRecord, Fail, "NoRecord", "", "%s: senders take it that the domain has no policy", txt.Message)
		return
	}
	var records []string
	for _, text := range txt.Records {
		switch {
		case mtasts.IsRecord(text):
			records = append(records, text)
		case strings.Contains(strings.ToLower(text), "stsv1"):
			j.add(TopicRecord, Fail, "RecordIgnored", "", "senders ignore %s: it must begin with v=STSv1; exactly, without quotes or blanks", shown(text))
		default:
			j.add(TopicRecord, Advice, "OtherText", "", "%s stands beside it; some senders then see no policy: keep this name for MTA-STS", shown(text))
		}
	}
	j.recordOf(records)
	for _, text := range txt.Split {
		if mtasts.IsRecord(text) {
			j.add(TopicRecord, Advice, "RecordSplit", "", "%s is split into several strings; write it as one", shown(text))
		}
	}
}

// recordOf judges what senders do not discard.
func (j *judge) recordOf(records []string) {
	switch len(records) {
	case 0:
		j.add(TopicRecord, Fail, "NoRecord", "", "no record that begins with v=STSv1; is among %s: senders take it that the domain has no policy",
			count(len(j.seen.Record.Records), "TXT record"))
		return
	case 1:
	default:
		quoted := make([]string, len(records))
		for i, text := range records {
			quoted[i] = shown(text)
		}
		j.add(TopicRecord, Fail, "SeveralRecords", "", "%s where there may be one, so that senders take it that the domain has no policy: %s",
			count(len(records), "record"), some(quoted))
		return
	}
	record, err := mtasts.ParseRecord(records[0])
	if err != nil {
		j.add(TopicRecord, Fail, "RecordMalformed", "", "%s: senders take it that the domain has no policy", printable(err.Error()))
		return
	}
	j.ID = record.ID
	how := ""
	if j.seen.Record.Source == sender.SourceResolver {
		how = " (by a resolver: the authoritative servers could not be asked)"
	}
	j.add(TopicRecord, OK, "Announced", "", "announces the id %s%s", record.ID, how)
}

// idTime is when an id was made, if it looks like a time, as most do.
func idTime(id string) (time.Time, bool) {
	for _, layout := range []string{"20060102150405", "20060102T150405", "200601021504", "20060102"} {
		if len(id) < len(layout) {
			continue
		}
		t, err := time.Parse(layout, id[:len(layout)])
		if err == nil && t.Year() >= 2015 && t.Year() < 2100 { // MTA-STS is younger than that
			return t, true
		}
	}
	return time.Time{}, false
}
