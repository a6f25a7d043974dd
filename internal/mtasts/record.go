package mtasts

import (
	"errors"
	"fmt"
	"strings"

	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts/txtfields"
)

const (
	recordVersion = "v=STSv1"
	maxIDLength   = 32
)

// FindRecord returns these when there is not exactly one record. Senders then
// assume that the domain has no policy (RFC 8461 §3.1).
var (
	ErrNoRecord    = errors.New("no MTA-STS record (a TXT that begins with v=STSv1;)")
	ErrManyRecords = errors.New("more than one MTA-STS record")
)

// Record is the TXT record at [RecordName] (RFC 8461 §3.1). Extension fields are
// not kept.
type Record struct {
	// ID is 1 to 32 ASCII letters and digits; it need not be one of our ids.
	ID string
}

// String renders the record as one character-string, without quotes. There is no
// blank before the semicolon: senders compare the beginning literally.
func (r Record) String() string { return recordVersion + "; id=" + r.ID + ";" }

// IsRecord reports whether senders count the TXT as an MTA-STS record when they
// look for the only one. It may still be malformed.
func IsRecord(txt string) bool { return strings.HasPrefix(txt, recordVersion+";") }

// ParseRecord reads the text of a TXT record, its character-strings joined, by
// the grammar of RFC 8461 §3.1. A second id is refused: senders disagree which
// one counts.
func ParseRecord(txt string) (Record, error) {
	fields, err := txtfields.Split(txt, recordVersion)
	if err != nil {
		return Record{}, fmt.Errorf("reading MTA-STS record %.80q: %w", txt, err)
	}
	var record Record
	for _, field := range fields {
		switch {
		case field.Name != "id":
			err = field.CheckExtension()
		case record.ID != "":
			err = errors.New("more than one id")
		case len(field.Value) > maxIDLength || strings.ContainsFunc(field.Value, func(r rune) bool { return !isAlnum(r) }):
			err = fmt.Errorf("id %.80q is not 1 to %d letters and digits", field.Value, maxIDLength)
		default:
			record.ID = field.Value
		}
		if err != nil {
			return Record{}, fmt.Errorf("reading MTA-STS record %.80q: %w", txt, err)
		}
	}
	if record.ID == "" {
		return Record{}, fmt.Errorf("reading MTA-STS record %.80q: no id", txt)
	}
	return record, nil
}

// FindRecord picks the MTA-STS record from all TXT records of a name, each with
// its character-strings joined. Others are discarded; exactly one must remain, else
// the error is [ErrNoRecord] or [ErrManyRecords].
func FindRecord(txts []string) (Record, error) {
	var found []string
	for _, txt := range txts {
		if IsRecord(txt) {
			found = append(found, txt)
		}
	}
	switch len(found) {
	case 0:
		return Record{}, ErrNoRecord
	case 1:
		return ParseRecord(found[0])
	}
	return Record{}, ErrManyRecords
}
