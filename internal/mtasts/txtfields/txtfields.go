// Package txtfields splits the TXT records of RFC 8461 §3.1 and RFC 8460 §3, which
// share their outer grammar: a version, then name=value fields, with semicolons
// between and perhaps one at the end.
package txtfields

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

const blanks = " \t"

var (
	nameSyntax      = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,31}$`)
	extensionSyntax = regexp.MustCompile(`^[!-:<>-~]+$`)
)

// Field is one name=value; neither is empty.
type Field struct{ Name, Value string }

// ValidName reports whether a field may have the name. Policy fields obey the
// same rule (RFC 8461 §3.2).
func ValidName(name string) bool { return nameSyntax.MatchString(name) }

// CheckExtension returns an error unless the value is one an unknown field may
// have: visible ASCII without "=" and ";".
func (f Field) CheckExtension() error {
	if !extensionSyntax.MatchString(f.Value) {
		return fmt.Errorf("field %s: value %.80q has characters that are not allowed", f.Name, f.Value)
	}
	return nil
}

// Split returns the fields of a record that begins with version, such as
// "v=STSv1", in their order. There is at least one. Values are not judged.
func Split(txt, version string) ([]Field, error) {
	rest, found := strings.CutPrefix(txt, version)
	if !found {
		return nil, fmt.Errorf("does not begin with %s", version)
	}
	parts := strings.Split(rest, ";")
	if strings.Trim(parts[0], blanks) != "" || len(parts) == 1 {
		return nil, fmt.Errorf("no semicolon after %s", version)
	}
	parts = parts[1:]
	end := len(parts) - 1
	switch {
	case end > 0 && strings.Trim(parts[end], blanks) == "":
		parts = parts[:end]
	case strings.TrimRight(parts[end], blanks) != parts[end]:
		return nil, errors.New("blank at the end")
	}
	fields := make([]Field, 0, len(parts))
	for _, part := range parts {
		name, value, found := strings.Cut(strings.Trim(part, blanks), "=")
		if !found || value == "" || !ValidName(name) {
			return nil, fmt.Errorf("%.80q is not a field name=value", part)
		}
		fields = append(fields, Field{Name: name, Value: value})
	}
	return fields, nil
}
