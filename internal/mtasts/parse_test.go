package mtasts_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
)

const (
	head      = "version: STSv1\nmode: enforce\n"
	canonical = head + "mx: mx1.example.com\nmax_age: 604800\n"
)

var canonicalCRLF = strings.ReplaceAll(canonical, "\n", "\r\n")

func enforce(maxAge int64, mx ...string) mtasts.Policy {
	return mtasts.Policy{Mode: mtasts.ModeEnforce, MX: mx, MaxAgeSeconds: maxAge}
}

func mxLines(n int) (lines string, hosts []string) {
	for i := range n {
		host := fmt.Sprintf("mx%d.mail.example.com", i)
		hosts = append(hosts, host)
		lines += "mx: " + host + "\n"
	}
	return lines, hosts
}

func TestParsePolicyAccepts(t *testing.T) {
	plain := enforce(604800, "mx1.example.com")
	manyLines, manyHosts := mxLines(600)
	longName := ofLength(253)
	tests := []struct {
		name, body string
		want       mtasts.Policy
	}{
		{"the canonical form", canonical, plain},
		{"no final newline", strings.TrimSuffix(canonical, "\n"), plain},
		{"CRLF", canonicalCRLF, plain},
		{"CRLF without the final one", strings.TrimSuffix(canonicalCRLF, "\r\n"), plain},
		{"LF and CRLF mixed", "version: STSv1\r\nmode: enforce\nmx: mx1.example.com\r\nmax_age: 604800\n", plain},
		{"no blank after the colon", strings.ReplaceAll(canonical, ": ", ":"), plain},
		{"a tab after the colon", strings.ReplaceAll(canonical, ": ", ":\t"), plain},
		{"blanks at the end of lines", strings.ReplaceAll(canonical, "\n", " \t\n"), plain},
		{"an extension field", canonical + "x: y\n", plain},
		{"an extension value with a colon", canonical + "link: https://example.com/\n", plain},
		{"an extension value with inner spaces", canonical + "note: one two  three\n", plain},
		{"an extension value beyond ASCII", canonical + "note: grüße\n", plain},
		{"an extension name of 32 characters", canonical + strings.Repeat("n", 32) + ": y\n", plain},
		{"the version last", "mode: enforce\nmx: mx1.example.com\nmax_age: 604800\nversion: STSv1\n", plain},
		{"max_age before mx", head + "max_age: 604800\nmx: mx1.example.com\n", plain},
		{"mode twice, the first counts", canonical + "mode: testing\n", plain},
		{"max_age twice, the first counts", canonical + "max_age: 86400\n", plain},
		{"a zero max_age first", head + "mx: a.example\nmax_age: 0\nmax_age: 86400\n", enforce(0, "a.example")},
		{"version twice", canonical + "version: STSv1\n", plain},
		{"the same mx twice", canonical + "mx: mx1.example.com\n", enforce(604800, "mx1.example.com", "mx1.example.com")},
		{"mx in the order of the body", head + "mx: b.example\nmx: a.example\nmax_age: 1\n", enforce(1, "b.example", "a.example")},
		{"mode none without mx", "version: STSv1\nmode: none\nmax_age: 86400\n", mtasts.Policy{Mode: mtasts.ModeNone, MaxAgeSeconds: 86400}},
		{
			"mode none with mx", "version: STSv1\nmode: none\nmx: a.example\nmax_age: 86400\n",
			mtasts.Policy{Mode: mtasts.ModeNone, MX: []string{"a.example"}, MaxAgeSeconds: 86400},
		},
		{
			"mode testing", "version: STSv1\nmode: testing\nmx: a.example\nmax_age: 86400\n",
			mtasts.Policy{Mode: mtasts.ModeTesting, MX: []string{"a.example"}, MaxAgeSeconds: 86400},
		},
		{"600 mx lines", head + manyLines + "max_age: 1\n", enforce(1, manyHosts...)},
		{"a name of 253 bytes", withMX(longName), enforce(1, longName)},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := mtasts.ParsePolicy([]byte(test.body))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestParsePolicyReadsPatterns(t *testing.T) {
	for text, want := range map[string]string{
		"*.example.com": "*.example.com", "*.com": "*.com", "com": "com", "xn--bcher-kva.example": "xn--bcher-kva.example",
		"a--b.example": "a--b.example", "1.example": "1.example", "1a.2b": "1a.2b", "*.MAIL.Example.COM": "*.mail.example.com",
		strings.Repeat("a", 63) + ".example": strings.Repeat("a", 63) + ".example",
	} {
		got, err := mtasts.ParsePolicy([]byte(withMX(text)))
		if err != nil {
			t.Errorf("mx %s: %v", text, err)
		}
		if diff := cmp.Diff(enforce(1, want), got); diff != "" {
			t.Errorf("mx %s, -want +got:\n%s", text, diff)
		}
	}
}

func TestParsePolicyReadsMaxAge(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "1": 1, "3600": 3600, "86400": 86400, "0604800": 604800, "0000000001": 1,
		"31557599": 31557599, "31557600": 31557600,
	} {
		got, err := mtasts.ParsePolicy([]byte(head + "mx: a.example\nmax_age: " + text + "\n"))
		if err != nil || got.MaxAgeSeconds != want {
			t.Errorf("max_age %s: got %d, %v", text, got.MaxAgeSeconds, err)
		}
	}
}

func TestParsePolicyRefuses(t *testing.T) {
	tooMany, _ := mxLines(3000)
	tests := []struct {
		name, body string
		line       int
	}{
		{"an empty body", "", 0},
		{"a lone newline", "\n", 1},
		{"two newlines at the end", canonical + "\n", 5},
		{"two CRLF at the end", canonicalCRLF + "\r\n", 5},
		{"a blank line in the middle", head + "\nmx: a.example\nmax_age: 1\n", 3},
		{"a blank line in front", "\n" + canonical, 1},
		{"a line of spaces", head + "  \nmx: a.example\nmax_age: 1\n", 3},
		{"a byte order mark", "\ufeff" + canonical, 1},
		{"a space before the name", " " + canonical, 1},
		{"a tab before the name", "\t" + canonical, 1},
		{"a space before the colon", strings.Replace(canonical, "mode:", "mode :", 1), 2},
		{"a line without colon", head + "mx a.example\nmax_age: 1\n", 3},
		{"a comment", "# our policy\n" + canonical, 1},
		{"a comment with a colon", "# policy: ours\n" + canonical, 1},
		{"a web page", "<!DOCTYPE html>\n<html></html>\n", 1},
		{"a web page in one long line", strings.Repeat("<p>", 10000), 1},
		{"a long value", "version: " + strings.Repeat("1", 10000), 1},
		{"a long name", strings.Repeat("n", 10000) + ": y", 1},
		{"a long mx with a trailing dot", withMX(strings.Repeat("m.", 10000)), 3},
		{"a long mx", withMX(strings.Repeat("m", 10000)), 3},
		{"a lone CR at the end", strings.TrimSuffix(canonical, "\n") + "\r", 4},
		{"lone CR as line ends", strings.ReplaceAll(canonical, "\n", "\r"), 1},
		{"two CR before LF", strings.ReplaceAll(canonical, "\n", "\r\r\n"), 1},
		{"capital field names", strings.NewReplacer("version", "Version", "mode", "Mode").Replace(canonical), 0},
		{"a capital mode", strings.Replace(canonical, "enforce", "Enforce", 1), 2},
		{"an unknown mode", strings.Replace(canonical, "enforce", "report", 1), 2},
		{"another version", strings.Replace(canonical, "STSv1", "STSv2", 1), 1},
		{"a lower-case version", strings.Replace(canonical, "STSv1", "stsv1", 1), 1},
		{"no version", strings.TrimPrefix(canonical, "version: STSv1\n"), 0},
		{"no mode", strings.Replace(canonical, "mode: enforce\n", "", 1), 0},
		{"no max_age", head + "mx: a.example\n", 0},
		{"testing without mx", "version: STSv1\nmode: testing\nmax_age: 86400\n", 0},
		{"enforce without mx", head + "max_age: 86400\n", 0},
		{"an empty mode", "version: STSv1\nmode:\nmx: a.example\nmax_age: 1\n", 2},
		{"a second mode that is malformed", canonical + "mode: never\n", 5},
		{"a second max_age that is malformed", canonical + "max_age: soon\n", 5},
		{"an extension without value", canonical + "x:\n", 5},
		{"an extension with a tab inside", canonical + "x: a\tb\n", 5},
		{"an extension with a control character", canonical + "x: a\x00b\n", 5},
		{"an extension that is not UTF-8", canonical + "x: \xff\n", 5},
		{"an extension name of 33 characters", canonical + strings.Repeat("n", 33) + ": y\n", 5},
		{"an extension name that begins with a hyphen", canonical + "-x: y\n", 5},
		{"an extension name beyond ASCII", canonical + "größe: y\n", 5},
		{"more than 64 KiB", head + tooMany + "max_age: 1\n", 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			wantSyntaxError(t, test.body, test.line)
		})
	}
}

func TestParsePolicyRefusesPatterns(t *testing.T) {
	for _, mx := range []string{
		"", "mx1.example.com.", "mx.bücher.example", "*", "*.", "*.*.example.com", "a.*.example.com", "mx*.example.com",
		"*example.com", ".example.com", "a..example.com", "mx_1.example.com", "-a.example.com", "a-.example.com",
		"192.0.2.1", "[192.0.2.1]", "2001:db8::1", "[IPv6:2001:db8::1]", "127.1", "a.example, b.example", "a.example b.example",
		"https://a.example", "user@a.example", strings.Repeat("a", 64) + ".example", ofLength(254),
	} {
		t.Run(mx, func(t *testing.T) { wantSyntaxError(t, withMX(mx), 3) })
	}
}

func TestParsePolicyRefusesMaxAge(t *testing.T) {
	for _, maxAge := range []string{
		"31557601", "4294967296", "9999999999", "12345678901", "00000000001", "604800s", "6.048e5", "+604800", "-1", "604_800", "0x10", "1 2", "",
	} {
		t.Run(maxAge, func(t *testing.T) { wantSyntaxError(t, head+"mx: a.example\nmax_age: "+maxAge+"\n", 4) })
	}
}

func wantSyntaxError(t *testing.T, body string, line int) {
	t.Helper()
	got, err := mtasts.ParsePolicy([]byte(body))
	syntax, ok := errors.AsType[*mtasts.SyntaxError](err)
	if !ok {
		t.Fatalf("got %+v and error %v, want a *SyntaxError", got, err)
	}
	if len(err.Error()) > 500 {
		t.Errorf("the error is %d bytes long", len(err.Error()))
	}
	if syntax.Line != line {
		t.Errorf("got line %d (%v), want %d", syntax.Line, err, line)
	}
}

func FuzzParsePolicy(f *testing.F) {
	for _, seed := range []string{
		canonical, canonicalCRLF, canonical + "\n", "\ufeff" + canonical, canonical + "x: y\n", canonical + "mode: none\n",
		"version:STSv1\r\nmode:none\r\nmax_age:0", withMX("*.EXAMPLE.com"), withMX("a..b"), head + "max_age: 31557601\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		policy, err := mtasts.ParsePolicy(body)
		if err != nil {
			return
		}
		if strings.Contains(string(body), "\n\n") {
			t.Errorf("accepted a blank line in %q", body)
		}
		got, err := mtasts.ParsePolicy([]byte(policy.String()))
		if err != nil {
			t.Fatalf("cannot read back %q: %v", policy.String(), err)
		}
		if diff := cmp.Diff(policy.Canonical(), got); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
}

// What we agree to publish must be readable, and mean what was asked for.
func FuzzValidPolicyIsReadable(f *testing.F) {
	f.Add("enforce", "mx1.example.com *.example.net", int64(604800))
	f.Add("none", "a.example b.example a.example", int64(86400))
	f.Add("testing", "a.example\nmode: none", int64(31557599))
	f.Fuzz(func(t *testing.T, mode, mx string, maxAge int64) {
		policy := mtasts.Policy{Mode: mtasts.Mode(mode), MX: strings.Split(mx, " "), MaxAgeSeconds: maxAge}
		if policy.Validate() != nil {
			return
		}
		got, err := mtasts.ParsePolicy([]byte(policy.String()))
		if err != nil {
			t.Fatal(err)
		}
		if !got.Equal(policy) {
			t.Errorf("published %+v, senders read %+v", policy, got)
		}
	})
}

func withMX(mx string) string { return head + "mx: " + mx + "\nmax_age: 1\n" }
