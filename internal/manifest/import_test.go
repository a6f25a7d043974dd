package manifest_test

import (
	"errors"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mta-sts-operator/mta-sts-operator/internal/check"
	"github.com/mta-sts-operator/mta-sts-operator/internal/manifest"
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

const body = "version: STSv1\nmode: enforce\nmx: mx1.example.com\nmx: *.mail.example.net\nmax_age: 604800\n"

// published is a domain with this policy at each address.
func published(bodies ...string) check.Observation {
	seen := check.Observation{
		Domain: "example.com", At: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC),
		Record: sender.TXT{Status: sender.Found, Records: []string{"v=STSv1; id=20250101T000000Z"}},
		Policy: sender.Look{Outcome: sender.Pass},
		MX: sender.MX{Status: sender.Found, Hosts: []sender.MXHost{
			{Name: "mx1.example.com", Preference: 10}, {Name: "a.mail.example.net", Preference: 20},
		}},
		TLSRPT: sender.TXT{Status: sender.Found, Records: []string{"v=TLSRPTv1; rua=mailto:tls-reports@example.com"}},
	}
	for n, text := range bodies {
		look := sender.AddressLook{
			Address: netip.AddrFrom4([4]byte{203, 0, 113, byte(n + 1)}),
			Answer:  &sender.Answer{Status: 200, ContentType: "text/plain", Body: text},
		}
		if policy, err := mtasts.ParsePolicy([]byte(text)); err == nil {
			look.Seen = &sender.SeenPolicy{Body: text, Policy: policy}
		} else {
			seen.Policy.Outcome, seen.Policy.Message = sender.Broken, "mta-sts.example.com at 203.0.113.1: answers with no valid policy: "+err.Error()
		}
		seen.Policy.Addresses = append(seen.Policy.Addresses, look)
	}
	return seen
}

func TestImport(t *testing.T) {
	replaced := func(old, replacement string) string { return strings.Replace(body, old, replacement, 1) }
	for name, test := range map[string]struct {
		seen    check.Observation
		change  func(*check.Observation)
		options manifest.ImportOptions
	}{
		"as it is":               {seen: published(body, body)},
		"with a name of its own": {seen: published(body), options: manifest.ImportOptions{Namespace: "mail", Name: "imported"}},
		"with everything that cannot be kept": {
			seen: published(replaced("max_age: 604800\n", "mx: localhost\nmode: testing\nnote: \u202eby \"hand\"\nmax_age: 3600\n"), body),
			change: func(o *check.Observation) {
				o.Record.Records = append(o.Record.Records, "v=STSv1; id=2")
				o.MX.Hosts = append(o.MX.Hosts, sender.MXHost{Name: "backup.example.org", Preference: 30})
				o.TLSRPT.Records = []string{"v=TLSRPTv1; rua=mailto:a@example.com?subject=x, https://reports.example.com/, ftp://x/"}
			},
		},
		"mode none without mx": {
			seen: published("version: STSv1\nmode: none\nmax_age: 31557600\n"),
			change: func(o *check.Observation) {
				o.Record, o.TLSRPT = sender.TXT{Status: sender.Absent}, sender.TXT{Status: sender.Absent}
			},
		},
		"malformed": {
			seen: published(replaced("mx: mx1", "\n# hosts\nmx: mx1")),
			change: func(o *check.Observation) {
				o.Record = sender.TXT{Status: sender.Unknown, Message: "silence"}
				o.MX = sender.MX{Status: sender.Unknown, Message: "silence"}
				o.TLSRPT = sender.TXT{Status: sender.Unknown, Message: "silence"}
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if test.change != nil {
				test.change(&test.seen)
			}
			text, err := manifest.Import(test.seen, test.options, schema(t))
			if err != nil {
				t.Fatal(err)
			}
			golden(t, "import-"+strings.ReplaceAll(name, " ", "-")+".yaml", text)
			// Import has read it back; comments and all, it is plain text.
			if strings.ContainsFunc(text, func(r rune) bool { return r != '\n' && (r < ' ' || r > '~') }) {
				t.Errorf("not plain: %q", text)
			}
		})
	}
}

func TestImportShortensAMaxAgeBeyondTheLimit(t *testing.T) {
	for was, want := range map[string]bool{"63072000": true, "0099999999999": true, "a year": false, "-63072000": false} {
		seen := published(strings.Replace(body, "604800", was, 1))
		text, err := manifest.Import(seen, manifest.ImportOptions{}, schema(t))
		if (err == nil) != want {
			t.Errorf("max_age %s: %v", was, err)
		}
		if want && (!strings.Contains(text, "maxAgeSeconds: 31557599\n") || !strings.Contains(text, "max_age: "+was)) {
			t.Errorf("max_age %s became\n%s", was, text)
		}
	}
}

func TestImportNamesTheFirstOfManyLinesThatItLeavesOut(t *testing.T) {
	text, err := manifest.Import(published(body+strings.Repeat("note: x\n", 3000)), manifest.ImportOptions{}, schema(t))
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(text, "- Left out line"); n != 20 || !strings.Contains(text, "- Left out 2980 more.\n") {
		t.Errorf("%d lines are named in\n%.3000s", n, text)
	}
}

func TestImportedPoliciesMeanTheSame(t *testing.T) {
	text, err := manifest.Import(published(body), manifest.ImportOptions{}, schema(t))
	if err != nil {
		t.Fatal(err)
	}
	documents, err := manifest.Read(strings.NewReader(text), schema(t))
	if err != nil {
		t.Fatal(err)
	}
	got, err := mtasts.ParsePolicy([]byte(manifest.Body(documents[0].Policy.Spec)))
	if err != nil {
		t.Fatal(err)
	}
	want, _ := mtasts.ParsePolicy([]byte(body))
	if !got.Equal(want) {
		t.Errorf("published %+v, imported %+v", want, got)
	}
}

func TestImportNeedsSomethingToImport(t *testing.T) {
	outcome := func(o sender.Outcome, reason sender.Reason) check.Observation {
		seen := published()
		seen.Policy = sender.Look{Outcome: o, Reason: reason, Message: "it is " + string(reason)}
		return seen
	}
	none := published("version: STSv1\nmode: none\nmax_age: 86400\n")
	none.MX = sender.MX{Status: sender.Unknown, Message: "silence"}
	for name, test := range map[string]struct {
		seen    check.Observation
		options manifest.ImportOptions
		want    error
		message string
	}{
		"no policy host":          {seen: outcome(sender.NoAnswer, sender.DNSNotFound), want: manifest.ErrNothing, message: "it is DNSNotFound"},
		"nobody listens":          {seen: outcome(sender.NoAnswer, sender.ConnectionRefused), want: manifest.ErrNothing},
		"a redirect":              {seen: outcome(sender.Broken, sender.Redirect), want: manifest.ErrNothing},
		"no answer":               {seen: outcome(sender.NoAnswer, sender.Timeout), want: manifest.ErrUnknown, message: "it is Timeout"},
		"a web page":              {seen: published("<html>\n"), want: manifest.ErrNothing},
		"no mx and no MX host":    {seen: none, want: manifest.ErrNothing, message: "spec.mx"},
		"a name that is no name":  {seen: published(body), options: manifest.ImportOptions{Name: "A b"}, want: manifest.ErrNothing, message: "metadata.name"},
		"a namespace that is bad": {seen: published(body), options: manifest.ImportOptions{Namespace: "a.b"}, want: manifest.ErrNothing, message: "metadata.namespace"},
	} {
		text, err := manifest.Import(test.seen, test.options, schema(t))
		if !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.message) || text != "" {
			t.Errorf("%s: got %q, %v", name, text, err)
		}
	}
}
