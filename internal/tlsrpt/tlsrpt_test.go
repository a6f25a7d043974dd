package tlsrpt_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mta-sts-operator/mta-sts-operator/internal/tlsrpt"
)

func TestValidRecordsReadBack(t *testing.T) {
	for name, rua := range map[string][]string{
		"one mail address":              {"mailto:tls-reports@example.com"},
		"one URL":                       {"https://reports.example.com/tls"},
		"both":                          {"mailto:a@example.com", "https://r.example.com/"},
		"a local part with signs":       {"mailto:tls+rpt_1.o'x~y-z$*@mail.example.com"},
		"a domain of A-labels":          {"mailto:a@xn--bcher-kva.example"},
		"a URL with query and port":     {"https://r.example.com:8443/v1/tls?d=example.com&k=v"},
		"a URL with encoded signs":      {"https://r.example.com/a%2Cb%21c%3Bd%20e"},
		"a URL without path":            {"https://r.example.com"},
		"a record of exactly 255 bytes": {"https://r.example.com/" + strings.Repeat("a", 255-len("v=TLSRPTv1; rua=https://r.example.com/"))},
	} {
		t.Run(name, func(t *testing.T) {
			record := tlsrpt.Record{RUA: rua}
			if err := record.Validate(); err != nil {
				t.Fatal(err)
			}
			got, err := tlsrpt.Parse(record.String())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(record, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestStringPutsRuaFirstWithoutBlanks(t *testing.T) {
	record := tlsrpt.Record{RUA: []string{"mailto:a@example.com", "https://r.example.com/tls"}}
	want := "v=TLSRPTv1; rua=mailto:a@example.com,https://r.example.com/tls"
	if diff := cmp.Diff(want, record.String()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestValidateSaysWhatToWriteInstead(t *testing.T) {
	const (
		schemes = "write mailto:tls-reports@example.com or https://reports.example.com/path"
		plain   = "write one like tls-reports@example.com"
		encode  = "write %2C for a comma, %21 for !, %3B for ;, %20 for a blank"
	)
	tests := []struct {
		name string
		rua  []string
		want []string
	}{
		{"no rua", nil, []string{"write at least one"}},
		{"an empty rua", []string{""}, []string{schemes}},
		{"a bare address", []string{"a@example.com"}, []string{schemes}},
		{"plain http", []string{"http://r.example.com/"}, []string{schemes}},
		{"another scheme", []string{"ftp://r.example.com/"}, []string{schemes}},
		{"a capital scheme", []string{"MAILTO:a@example.com"}, []string{"in lower case"}},
		{"https without slashes", []string{"https:r.example.com"}, []string{schemes}},
		{"a blank in front", []string{" mailto:a@example.com"}, []string{schemes}},
		{"a subject", []string{"mailto:a@example.com?subject=tls"}, []string{"write only what stands before the ?"}},
		{"a size limit as in DMARC", []string{"mailto:a@example.com!10m"}, []string{plain}},
		{"two addresses in one", []string{"mailto:a@example.com,b@example.com"}, []string{plain}},
		{"percent-encoding in mailto", []string{"mailto:a%2Bb@example.com"}, []string{plain}},
		{"a character that would need encoding", []string{"mailto:a/b@example.com"}, []string{plain}},
		{"a quoted local part", []string{`mailto:"a b"@example.com`}, []string{plain}},
		{"no local part", []string{"mailto:@example.com"}, []string{plain}},
		{"no domain", []string{"mailto:a@"}, []string{plain}},
		{"a domain of one label", []string{"mailto:a@localhost"}, []string{plain}},
		{"a trailing dot", []string{"mailto:a@example.com."}, []string{plain}},
		{"an address literal", []string{"mailto:a@[192.0.2.1]"}, []string{plain}},
		{"an IP address", []string{"mailto:a@192.0.2.1"}, []string{plain}},
		{"two dots in the local part", []string{"mailto:a..b@example.com"}, []string{plain}},
		{"slashes after mailto", []string{"mailto://a@example.com"}, []string{plain}},
		{"a newline", []string{"mailto:a@example.com\n"}, []string{plain}},
		{"a domain of U-labels", []string{"mailto:a@bücher.example"}, []string{`write the A-labels ("xn--…")`}},
		{"a comma in a URL", []string{"https://r.example.com/a,b"}, []string{encode}},
		{"an exclamation mark in a URL", []string{"https://r.example.com/a!b"}, []string{encode}},
		{"a semicolon in a URL", []string{"https://r.example.com/a;b"}, []string{encode}},
		{"a blank in a URL", []string{"https://r.example.com/a b"}, []string{encode}},
		{"a quote in a URL", []string{`https://r.example.com/"`}, []string{encode}},
		{"a backslash in a URL", []string{`https://r.example.com/\`}, []string{encode}},
		{"a URL beyond ASCII", []string{"https://r.example.com/ü"}, []string{encode}},
		{"broken percent-encoding", []string{"https://r.example.com/%zz"}, []string{encode}},
		{"no host", []string{"https:///tls"}, []string{"no host"}},
		{"a port without host", []string{"https://:443/tls"}, []string{"no host"}},
		{"a port that is no number", []string{"https://r.example.com:tls/"}, []string{"write a URL like"}},
		{"a password", []string{"https://u:p@r.example.com/"}, []string{"without user and password"}},
		{
			"a record of 256 bytes",
			[]string{"https://r.example.com/" + strings.Repeat("a", 256-len("v=TLSRPTv1; rua=https://r.example.com/"))},
			[]string{"256 bytes long", "write fewer or shorter rua"},
		},
		{"all faults, with their places", []string{"x", "mailto:a@example.com", "https:///"}, []string{`rua[0] "x"`, `rua[2] "https:///"`}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := tlsrpt.Record{RUA: test.rua}.Validate()
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got %q, want %q in it", err, want)
				}
			}
		})
	}
}

func TestParse(t *testing.T) {
	one := []string{"mailto:a@example.com"}
	two := []string{"mailto:a@example.com", "https://r.example.com/t?a=b"}
	tests := []struct {
		name, txt string
		want      []string // nil: refused
	}{
		{"the canonical form", "v=TLSRPTv1; rua=mailto:a@example.com", one},
		{"a semicolon at the end", "v=TLSRPTv1; rua=mailto:a@example.com;", one},
		{"no blanks", "v=TLSRPTv1;rua=mailto:a@example.com", one},
		{"two URIs", "v=TLSRPTv1; rua=mailto:a@example.com,https://r.example.com/t?a=b", two},
		{"blanks round the comma", "v=TLSRPTv1; rua=mailto:a@example.com ,\thttps://r.example.com/t?a=b", two},
		{"an extension after rua", "v=TLSRPTv1; rua=mailto:a@example.com; x=y", one},
		{"an extension before rua", "v=TLSRPTv1; x=y; rua=mailto:a@example.com", one},
		{"another scheme", "v=TLSRPTv1; rua=tel:1", []string{"tel:1"}},
		{"nothing", "", nil},
		{"letters exchanged in the version", "v=TSLRPTv1; rua=mailto:a@example.com", nil},
		{"a small version name", "v=tlsrptv1; rua=mailto:a@example.com", nil},
		{"a later version", "v=TLSRPTv10; rua=mailto:a@example.com", nil},
		{"a blank in front", " v=TLSRPTv1; rua=mailto:a@example.com", nil},
		{"a blank before the first semicolon", "v=TLSRPTv1 ; rua=mailto:a@example.com", nil},
		{"a blank at the end", "v=TLSRPTv1; rua=mailto:a@example.com ", nil},
		{"no rua", "v=TLSRPTv1; x=y", nil},
		{"no fields", "v=TLSRPTv1;", nil},
		{"an empty rua", "v=TLSRPTv1; rua=;", nil},
		{"capital RUA", "v=TLSRPTv1; RUA=mailto:a@example.com", nil},
		{"two rua", "v=TLSRPTv1; rua=mailto:a@example.com; rua=mailto:b@example.com", nil},
		{"two semicolons", "v=TLSRPTv1;; rua=mailto:a@example.com", nil},
		{"a comma at the end", "v=TLSRPTv1; rua=mailto:a@example.com,", nil},
		{"no scheme", "v=TLSRPTv1; rua=a@example.com", nil},
		{"a size limit as in DMARC", "v=TLSRPTv1; rua=mailto:a@example.com!10m", nil},
		{"a blank between URIs", "v=TLSRPTv1; rua=mailto:a@example.com mailto:b@example.com", nil},
		{"quotes", `"v=TLSRPTv1; rua=mailto:a@example.com"`, nil},
		{"an escaped semicolon", `v=TLSRPTv1\; rua=mailto:a@example.com`, nil},
		{"an extension with =", "v=TLSRPTv1; rua=mailto:a@example.com; x=y=z", nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := tlsrpt.Parse(test.txt)
			if (err == nil) != (test.want != nil) {
				t.Errorf("got error %v", err)
			}
			if diff := cmp.Diff(tlsrpt.Record{RUA: test.want}, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func FuzzParseTLSRPT(f *testing.F) {
	for _, seed := range []string{
		"v=TLSRPTv1; rua=mailto:a@example.com", "v=TLSRPTv1;rua=mailto:a@b.example , https://r.example.com/;", "v=TLSRPTv1; x=y; rua=tel:1",
		"v=TLSRPTv1; rua=mailto:a@example.com!10m", "v=TLSRPTv1; rua=https://%zz", "v=TLSRPTv1 ; rua=,",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, txt string) {
		record, err := tlsrpt.Parse(txt)
		if err == nil {
			got, err := tlsrpt.Parse(record.String())
			if err != nil || !slices.Equal(got.RUA, record.RUA) {
				t.Errorf("%q reads back as %+v, %v", record, got, err)
			}
		}
		// Whatever somebody configures, what passes Validate is read as it was meant.
		wanted := tlsrpt.Record{RUA: strings.Split(txt, " ")}
		if wanted.Validate() != nil {
			return
		}
		if got, err := tlsrpt.Parse(wanted.String()); err != nil || !slices.Equal(got.RUA, wanted.RUA) {
			t.Errorf("published %q, read %+v, %v", wanted, got, err)
		}
	})
}
