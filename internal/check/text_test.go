package check_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mta-sts-operator/mta-sts-operator/internal/check"
	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
	"github.com/mta-sts-operator/mta-sts-operator/internal/sender"
)

var update = flag.Bool("update", false, "write the golden files anew")

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s, -want +got:\n%s", path, diff)
	}
}

// troubled has something of every status and topic.
func troubled() check.Observation {
	seen := good()
	seen.Record = found("heritage=external-dns", "v=STSv1; id=20260102150405e6c9c302;")
	seen.Policy = looks(serves(1, strings.Replace(goodBody, "enforce", "testing", 1)), at(2, sender.NoAnswer, sender.Timeout))
	seen.MX.Hosts = append(seen.MX.Hosts, sender.MXHost{Name: "backup.example.org", Preference: 30})
	expired := secured(13, now.AddDate(0, 0, -3), "backup.example.org")
	expired.Outcome, expired.Reason, expired.Message = sender.Broken, sender.CertificateExpired, "presents an expired certificate"
	refusing := mailAt(14, sender.NoAnswer, sender.SessionRefused)
	refusing.Reply = "554 5.7.1 no"
	seen.Probes = append(seen.Probes, mailServer("backup.example.org", expired, refusing))
	seen.TLSA = append(seen.TLSA, sender.TLSA{Status: sender.Found, Records: []string{"3 1 1 00ff"}})
	seen.TLSRPT = found("v=TLSRPTv1; rua=https://reports.example.net/")
	return seen
}

func TestPrint(t *testing.T) {
	for name, seen := range map[string]check.Observation{"good": good(), "troubled": troubled()} {
		var plain, coloured strings.Builder
		report := check.Judge(seen)
		if err := errors.Join(report.Print(&plain, false), report.Print(&coloured, true)); err != nil {
			t.Fatal(err)
		}
		golden(t, name+".txt", plain.String())
		if !strings.Contains(coloured.String(), "\x1b[32mok     \x1b[0m") {
			t.Errorf("no colour in %q", coloured.String())
		}
	}
}

func TestReportAsJSON(t *testing.T) {
	for name, seen := range map[string]check.Observation{"good": good(), "troubled": troubled()} {
		var b bytes.Buffer
		encoder := json.NewEncoder(&b)
		encoder.SetIndent("", "  ")
		encoder.SetEscapeHTML(false)
		report := check.Judge(seen)
		if err := encoder.Encode(report); err != nil {
			t.Fatal(err)
		}
		golden(t, name+".json", b.String())
		var back check.Report
		if err := json.Unmarshal(b.Bytes(), &back); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(report, back); diff != "" {
			t.Errorf("read back, -want +got:\n%s", diff)
		}
	}
}

func TestParseDomain(t *testing.T) {
	for text, want := range map[string]string{
		"example.com":                   "",
		"xn--bcher-kva.example":         "",
		"Example.COM":                   "write example.com",
		"example.com.":                  "write example.com",
		"bücher.example":                "write xn--bcher-kva.example",
		"BÜCHER.example":                "write xn--bcher-kva.example",
		"me@example.com":                "write example.com",
		"mailto:me@example.com":         "write example.com",
		"https://example.com/x?y":       "write example.com",
		"_mta-sts.example.com":          "write example.com",
		"_smtp._tls.example.com":        "write example.com",
		"*.example.com":                 "write example.com",
		"localhost":                     "a single label",
		"192.0.2.1":                     "an IP address",
		"":                              "empty",
		"a..b":                          "an empty label",
		"-a.example":                    "without a hyphen",
		strings.Repeat("a.", 121) + "b": "too long",
	} {
		got, err := check.ParseDomain(text)
		switch {
		case want == "" && (err != nil || got != text):
			t.Errorf("%q: got %q, %v", text, got, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want) || got != ""):
			t.Errorf("%q: got %q, %v; want %q", text, got, err, want)
		}
	}
}

func TestLines(t *testing.T) {
	want := []check.Line{
		{Number: 1, Text: "version: STSv1", Name: "version", Value: "STSv1"},
		{Number: 2, Text: "mode: never", Fault: `mode: "never" is not enforce, testing or none`},
		{Number: 3, Text: "", Fault: "blank line"},
		{Number: 4, Text: "link:\thttps://a/ ", Name: "link", Value: "https://a/"},
		{Number: 5, Text: "max_age: 1", Name: "max_age", Value: "1"},
	}
	got := check.Lines("version: STSv1\r\nmode: never\n\nlink:\thttps://a/ \nmax_age: 1")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if !got[3].Extension() || got[4].Extension() || got[1].Extension() {
		t.Error("only link is an extension")
	}
}

// Line by line and as a whole, the same must be found.
func FuzzLinesAgreeWithTheParser(f *testing.F) {
	f.Add(goodBody)
	f.Add(goodBody + "\n")
	f.Add("\ufeff" + goodBody)
	f.Add("version: STSv1\r\nmode: none\r\nmax_age: 1\r")
	f.Fuzz(func(t *testing.T, body string) {
		if len(body) > 64<<10 {
			return
		}
		first := 0
		for _, line := range check.Lines(body) {
			if line.Fault != "" {
				first = line.Number
				break
			}
		}
		_, err := mtasts.ParsePolicy([]byte(body))
		fault, failed := errors.AsType[*mtasts.SyntaxError](err)
		switch {
		case first > 0 && (!failed || fault.Line != first):
			t.Errorf("line %d is at fault, the parser says %v", first, err)
		case first == 0 && failed && fault.Line != 0:
			t.Errorf("no line is at fault, the parser says %v", err)
		}
	})
}
