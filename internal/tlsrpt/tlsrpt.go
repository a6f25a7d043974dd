// Package tlsrpt holds the TXT record of RFC 8460 (SMTP TLS Reporting) by which a
// mail domain asks senders for reports.
//
// The record lies at _smtp._tls.<domain>. Once a day a sender that delivered to the
// domain sends a summary to the addresses in its rua field, by mail or by HTTPS:
// how many sessions were encrypted as the MTA-STS policy or DANE demands, and what
// went wrong in the others. It is the only sign of trouble that MTA-STS in mode
// testing gives. Reporters differ: one wants rua as the first field and splits it at
// commas without trimming, some take mail addresses literally, without decoding or
// cutting off a query, some know mailto only. What [Record.Validate] passes and
// [Record.String] writes is read the same by all.
package tlsrpt

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts/txtfields"
)

const (
	version = "v=TLSRPTv1"
	// maxStringBytes is one character-string of a TXT record (RFC 1035 §3.3.14).
	// RFC 8460 §3 allows more than one, but not every DNS provider joins them.
	maxStringBytes = 255
)

var (
	// uriSyntax is the characters of a URI (RFC 3986 §2) without "," "!" ";".
	uriSyntax = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9+.-]*:(?:[A-Za-z0-9._~:/?#\[\]@$&'()*+=-]|%[0-9A-Fa-f]{2})+$`)
	// mailtoSyntax is a dot-atom whose characters stand for themselves in a URI
	// (RFC 6068 §2), and a domain of A-labels.
	mailtoSyntax = regexp.MustCompile(`^mailto:` + atom + `(?:\.` + atom + `)*@(?:` + label + `\.)+[A-Za-z](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?$`)
)

const (
	atom  = `[A-Za-z0-9$'*+_~-]+`
	label = `[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?`
)

// Record is a TLS-RPT record (RFC 8460 §3). Extension fields are not kept.
type Record struct {
	// RUA lists the URIs that reports go to; a reporter may use one or all.
	RUA []string
}

// RecordName returns the name of the TXT record of a domain.
func RecordName(domain string) string { return "_smtp._tls." + domain }

// String renders the record as one character-string, without quotes: rua as the
// first field, no blanks round the commas.
func (r Record) String() string { return version + "; rua=" + strings.Join(r.RUA, ",") }

// Validate says whether we would publish the record: at least one URI, each a
// mailto: with a plain address or an https: with a host, all in one string of 255
// bytes. The error joins all faults, and each says what to write instead.
func (r Record) Validate() error {
	var faults []error
	if len(r.RUA) == 0 {
		faults = append(faults, errors.New("no rua: write at least one, such as mailto:tls-reports@example.com"))
	}
	for i, uri := range r.RUA {
		if err := validateURI(uri); err != nil {
			faults = append(faults, fmt.Errorf("rua[%d] %q: %w", i, uri, err))
		}
	}
	if n := len(r.String()); n > maxStringBytes {
		faults = append(faults, fmt.Errorf("the record is %d bytes long: write fewer or shorter rua so that it is at most %d", n, maxStringBytes))
	}
	return errors.Join(faults...)
}

func validateURI(uri string) error {
	switch {
	case strings.HasPrefix(uri, "mailto:"):
		return validateMailto(uri)
	case strings.HasPrefix(uri, "https://"):
		return validateHTTPS(uri)
	}
	return errors.New("write mailto:tls-reports@example.com or https://reports.example.com/path, with the scheme in lower case")
}

func validateMailto(uri string) error {
	switch {
	case strings.Contains(uri, "?"):
		return errors.New("some reporters take the query as part of the address: write only what stands before the ?")
	case strings.ContainsFunc(uri, func(r rune) bool { return r > '~' }):
		return errors.New(`not ASCII: write the A-labels ("xn--…") of the domain and a local part in ASCII`)
	case !mailtoSyntax.MatchString(uri):
		return errors.New("some reporters take the address literally: write one like tls-reports@example.com, " +
			"its local part of letters, digits and . _ ~ + - $ ' * only")
	}
	return nil
}

func validateHTTPS(uri string) error {
	if err := checkURI(uri); err != nil {
		return err
	}
	u, err := url.Parse(uri)
	switch {
	case err != nil:
		return fmt.Errorf("write a URL like https://reports.example.com/path: %w", errors.Unwrap(err))
	case u.Hostname() == "":
		return errors.New("no host: write a URL like https://reports.example.com/path")
	case u.User != nil:
		return errors.New("DNS is public: write the URL without user and password")
	}
	return nil
}

// checkURI is what RFC 8460 §3 wants of any URI in a rua field.
func checkURI(uri string) error {
	if !uriSyntax.MatchString(uri) {
		return errors.New("has characters a rua may not have: in https write %2C for a comma, %21 for !, %3B for ;, %20 for a blank")
	}
	return nil
}

// Parse reads the text of a TXT record, its character-strings joined, by the
// grammar of RFC 8460 §3. It also refuses what the RFC has reporters discard, a
// blank before the first semicolon, and a second rua. It accepts more than we
// would publish: other schemes, blanks round commas, fields before rua.
func Parse(txt string) (Record, error) {
	record, err := parse(txt)
	if err != nil {
		return Record{}, fmt.Errorf("reading TLS-RPT record %.255q: %w", txt, err)
	}
	return record, nil
}

func parse(txt string) (Record, error) {
	if !strings.HasPrefix(txt, version+";") {
		return Record{}, fmt.Errorf("does not begin with %s;", version)
	}
	fields, err := txtfields.Split(txt, version)
	if err != nil {
		return Record{}, err
	}
	var record Record
	for _, field := range fields {
		switch {
		case field.Name != "rua":
			err = field.CheckExtension()
		case record.RUA != nil:
			err = errors.New("more than one rua")
		default:
			record.RUA, err = splitURIs(field.Value)
		}
		if err != nil {
			return Record{}, err
		}
	}
	if record.RUA == nil {
		return Record{}, errors.New("no rua")
	}
	return record, nil
}

func splitURIs(value string) ([]string, error) {
	var uris []string
	for uri := range strings.SplitSeq(value, ",") {
		uri = strings.Trim(uri, " \t")
		if err := checkURI(uri); err != nil {
			return nil, fmt.Errorf("rua %.255q: %w", uri, err)
		}
		uris = append(uris, uri)
	}
	return uris, nil
}
