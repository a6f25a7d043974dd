package sender

import (
	"net/netip"
	"strconv"
	"strings"

	"github.com/miekg/dns"
)

// shownLength bounds what of a peer's text appears in messages, in bytes.
const shownLength = 120

// value returns a record's content in the form that callers see.
func value(record dns.RR) string {
	switch record := record.(type) {
	case *dns.TXT:
		// RFC 8461 §3.1: several strings are joined without blanks.
		var joined strings.Builder
		for _, part := range record.Txt {
			joined.WriteString(unescape(part))
		}
		return joined.String()
	case *dns.A:
		return addressOf(record).String()
	case *dns.AAAA:
		return addressOf(record).String()
	default:
		return strings.TrimPrefix(record.String(), record.Header().String())
	}
}

func addressOf(record dns.RR) netip.Addr {
	var address netip.Addr
	switch record := record.(type) {
	case *dns.A:
		address, _ = netip.AddrFromSlice(record.A)
	case *dns.AAAA:
		address, _ = netip.AddrFromSlice(record.AAAA)
	}
	return address.Unmap()
}

// unescape undoes the escapes of presentation format (RFC 1035 §5.1), which the
// DNS library applies to the bytes it received.
func unescape(text string) string {
	if !strings.Contains(text, `\`) {
		return text
	}
	raw := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		if text[i] != '\\' || i+1 == len(text) {
			raw = append(raw, text[i])
			continue
		}
		if i+3 < len(text) {
			if code, err := strconv.ParseUint(text[i+1:i+4], 10, 8); err == nil {
				raw = append(raw, byte(code))
				i += 3
				continue
			}
		}
		i++
		raw = append(raw, text[i])
	}
	return string(raw)
}

// display turns a fully qualified name into the form that people write.
func display(name string) string {
	if name == "." {
		return "the root"
	}
	return sanitize(plain(name))
}

func plain(name string) string {
	return strings.TrimSuffix(name, ".")
}

// sanitize makes a peer's text fit to be shown: printable ASCII, bounded.
func sanitize(text string) string {
	shown := strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, text)
	if len(shown) > shownLength {
		return shown[:shownLength] + "..."
	}
	return shown
}

func quote(text string) string {
	return `"` + strings.ReplaceAll(sanitize(text), `"`, `'`) + `"`
}
