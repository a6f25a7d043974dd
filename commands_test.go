package main

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const (
	goodRecord = `_mta-sts.example.com. 60 TXT "v=STSv1; id=20260102150405e6c9c302;"`
	goodBody   = "version: STSv1\nmode: enforce\nmx: mx1.example.com\nmx: *.mail.example.net\nmax_age: 604800\n"
	goodReport = `_smtp._tls.example.com. 60 TXT "v=TLSRPTv1; rua=mailto:tls-reports@example.com"`
)

// goodWorld publishes example.com as it should be.
func goodWorld(t *testing.T, failing string) *loopbackWorld {
	t.Helper()
	w := newWorld(t, []string{
		goodRecord, goodReport, "mta-sts.example.com. 60 A 127.0.0.1",
		"example.com. 60 MX 10 mx1.example.com.", "example.com. 60 MX 20 a.mail.example.net.",
		"mx1.example.com. 60 A 127.0.0.11", "a.mail.example.net. 60 A 127.0.0.12",
		"_25._tcp.mx1.example.com. 60 TLSA 3 1 1 00ff",
	}, failing)
	w.servePolicies(t, w.certificate(t, 60*day, "mta-sts.example.com"), policy(goodBody))
	w.serveMail(t, w.certificate(t, 50*day, "mx1.example.com"), w.certificate(t, 5*day, "*.mail.example.net", "mail.example.net"))
	return w
}

func TestCheckOfAGoodDomain(t *testing.T) {
	w := goodWorld(t, "")
	out, errors, code := w.run(t, "", "check", "example.com", "--ca", w.caFile, "--allow-private")
	if code != 0 || errors != "" {
		t.Errorf("code %d, %s", code, errors)
	}
	golden(t, "check-good.txt", out)
}

func TestCheckFindsEveryFaultAtOnce(t *testing.T) {
	w := newWorld(t, []string{
		goodRecord, `_mta-sts.example.com. 60 TXT "v=STSv1; id=2;"`,
		`_smtp._tls.example.com. 60 TXT "v=TLSRPTv1; ruf=mailto:a@example.com"`,
		"mta-sts.example.com. 60 A 127.0.0.1", "mta-sts.example.com. 60 A 127.0.0.2",
		"example.com. 60 MX 10 mx1.example.com.", "example.com. 60 MX 20 mx2.example.com.", "example.com. 60 MX 30 backup.example.org.",
		"mx1.example.com. 60 A 127.0.0.11", "mx1.example.com. 60 A 127.0.0.12",
		"mx2.example.com. 60 A 127.0.0.13", "backup.example.org. 60 A 127.0.0.14",
	}, "")
	w.servePolicies(t, w.certificate(t, 60*day, "mta-sts.example.com"),
		policy("version: STSv1\nmode: enforce\n\nmx: *.example.com\nmx: old_mx.example.com\nmax_age: 604800\n"),
		func(out http.ResponseWriter, _ *http.Request) {
			out.Header().Set("Location", "https://www.example.com/")
			out.WriteHeader(http.StatusMovedPermanently)
		})
	w.serveMail(t, w.certificate(t, 50*day, "mx1.example.com"), nil,
		w.certificate(t, -day, "mx2.example.com"), w.certificate(t, 50*day, "mail.example.org"))
	args := []string{"check", "example.com", "--ca", w.caFile, "--allow-private"}
	out, errors, code := w.run(t, "", args...)
	if code != 1 || errors != "" {
		t.Errorf("code %d, %s", code, errors)
	}
	golden(t, "check-faults.txt", out)
	out, errors, code = w.run(t, "", append(args, "-o", "json")...)
	if code != 1 || errors != "" {
		t.Errorf("code %d, %s", code, errors)
	}
	golden(t, "check-faults.json", out)
}

func TestCheckTellsWhatItCouldNotTell(t *testing.T) {
	w := goodWorld(t, "_mta-sts.example.com.")
	out, errors, code := w.run(t, "", "check", "example.com", "--ca", w.caFile, "--allow-private", "--no-smtp")
	if code != 2 || errors != "" || !strings.Contains(out, "unknown  _mta-sts.example.com could not be looked up") {
		t.Errorf("code %d, %s, %s", code, errors, out)
	}
	if n := w.sessions.Load(); n != 0 || strings.Contains(out, "Mail servers") {
		t.Errorf("%d mail servers were asked in spite of --no-smtp: %s", n, out)
	}
}

func TestCheckTrustsAndDialsOnlyWhatItMay(t *testing.T) {
	w := goodWorld(t, "")
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"without --ca":            {[]string{"--allow-private"}, "does not lead to a trusted root"},
		"without --allow-private": {[]string{"--ca", w.caFile}, "is a private or reserved address"},
	} {
		out, errors, code := w.run(t, "", append([]string{"check", "example.com", "--no-smtp"}, test.args...)...)
		if code != 1 || errors != "" || !strings.Contains(out, test.want) {
			t.Errorf("%s: code %d, %s, %s", name, code, errors, out)
		}
	}
	if n := w.sessions.Load(); n != 0 {
		t.Errorf("%d private addresses were dialled", n)
	}
}

func TestImport(t *testing.T) {
	w := goodWorld(t, "")
	out, errors, code := w.run(t, "", "import", "example.com", "--ca", w.caFile, "--allow-private", "-n", "mail", "--name", "example")
	if code != 0 || errors != "" {
		t.Errorf("code %d, %s", code, errors)
	}
	golden(t, "import.yaml", out)
	if n := w.sessions.Load(); n != 0 {
		t.Errorf("%d mail servers were asked", n)
	}
	// What it prints is what render reads.
	out, errors, code = (*loopbackWorld)(nil).run(t, out, "render", "-f", "-")
	if code != 0 || errors != "" {
		t.Errorf("code %d, %s", code, errors)
	}
	golden(t, "import-render.txt", out)
}

func TestImportOfNothing(t *testing.T) {
	w := newWorld(t, []string{"example.com. 60 MX 10 mx1.example.com."}, "mta-sts.example.org.")
	for domain, want := range map[string]int{"example.com": 1, "example.org": 2} {
		out, errors, code := w.run(t, "", "import", domain)
		if code != want || out != "" || !strings.Contains(errors, "mta-sts."+domain) {
			t.Errorf("%s: code %d, %s, %s", domain, code, out, errors)
		}
	}
}

func TestRender(t *testing.T) {
	const namespace = "apiVersion: v1\nkind: Namespace\nmetadata: {name: mail}\n"
	sample, err := os.ReadFile("config/samples/enforce.yaml")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "manifests.yaml")
	if err := os.WriteFile(file, append([]byte(namespace+"---\n"), sample...), 0o600); err != nil {
		t.Fatal(err)
	}
	out, errors, code := (*loopbackWorld)(nil).run(t, "", "render", "-f", file)
	if code != 0 || errors != "document 1 is of kind \"Namespace\" and passed over\n" {
		t.Errorf("code %d, %s", code, errors)
	}
	golden(t, "render.txt", out)
	for name, in := range map[string]string{
		"a manifest that is refused": strings.Replace(string(sample), "mx1.example.org", "MX1.example.org", 1),
		"no policy at all":           namespace,
		"nothing":                    "",
	} {
		out, errors, code := (*loopbackWorld)(nil).run(t, in, "render", "-f", "-")
		if code != 1 || out != "" || errors == "" {
			t.Errorf("%s: code %d, %s, %s", name, code, out, errors)
		}
	}
}

func TestRenderReadsEveryFile(t *testing.T) {
	sample, err := os.ReadFile("config/samples/enforce.yaml")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	good, bad := filepath.Join(dir, "good.yaml"), filepath.Join(dir, "bad.yaml")
	for file, text := range map[string]string{good: string(sample), bad: strings.Replace(string(sample), "mode:", "mood:", 1)} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, files := range [][]string{{"-f", good, "-f", bad}, {"-f", bad, "-f", good}, {"-f", "-", "-f", bad}} {
		out, errors, code := (*loopbackWorld)(nil).run(t, string(sample), append([]string{"render"}, files...)...)
		if code != 1 || strings.Count(out, "# The policy") != 1 || !strings.Contains(errors, `unknown field "spec.mood"`) {
			t.Errorf("%q: code %d, %s, %s", files, code, out, errors)
		}
	}
}

func TestWhatIsNotUnderstoodSaysWhatToWrite(t *testing.T) {
	noPEM := filepath.Join(t.TempDir(), "no.pem")
	if err := os.WriteFile(noPEM, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"no domain":                {[]string{"check"}, "check DOMAIN"},
		"two domains":              {[]string{"import", "a.example", "b.example"}, "import DOMAIN"},
		"an internationalised one": {[]string{"check", "bücher.example"}, "write xn--bcher-kva.example"},
		"a mail address":           {[]string{"import", "me@example.com"}, "write example.com"},
		"an unknown flag":          {[]string{"check", "example.com", "--fast"}, "unknown flag: --fast"},
		"an unknown output":        {[]string{"check", "example.com", "-o", "yaml"}, "write text or json"},
		"a negative time":          {[]string{"check", "example.com", "--timeout", "-1s"}, "such as 30s"},
		"a resolver by name":       {[]string{"check", "example.com", "--resolver", "dns.example.com"}, "want an IP address or host:port"},
		"an empty resolver":        {[]string{"check", "example.com", "--resolver", ""}, "--resolver is empty"},
		"a directory to render":    {[]string{"render", "-f", t.TempDir()}, "is a directory"},
		"no such file of roots":    {[]string{"check", "example.com", "--ca", "/none"}, "--ca: open /none"},
		"a file without roots":     {[]string{"check", "example.com", "--ca", noPEM}, "holds no PEM certificate"},
		"no file to render":        {[]string{"render"}, "write -f"},
		"no such file to render":   {[]string{"render", "-f", "/none"}, "open /none"},
		"an argument to render":    {[]string{"render", "x"}, "render -f FILE"},
	} {
		out, errors, code := (*loopbackWorld)(nil).run(t, "", test.args...)
		if code != 2 || out != "" || !strings.Contains(errors, test.want) {
			t.Errorf("%s: code %d, %s, %s", name, code, out, errors)
		}
	}
}

func TestNoColourButOnATerminal(t *testing.T) {
	t.Setenv("TERM", "xterm")
	file, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	if coloured(file) || coloured(new(strings.Builder)) {
		t.Error("colours in a file")
	}
	if tell, done := progress(file); tell != nil {
		done()
		t.Error("progress in a file")
	}
	terminal, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0) // a character device, as a terminal is
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = terminal.Close() }()
	if !coloured(terminal) {
		t.Error("no colours on a character device")
	}
	t.Setenv("NO_COLOR", "1")
	if coloured(terminal) {
		t.Error("colours in spite of NO_COLOR")
	}
}
