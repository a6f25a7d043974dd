package check_test

import (
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mta-sts-operator/mta-sts-operator/internal/check"
	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
	"github.com/mta-sts-operator/mta-sts-operator/internal/sender"
)

var (
	now  = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	late = now.AddDate(0, 2, 0)
	soon = now.AddDate(0, 0, 5)
)

const goodBody = "version: STSv1\nmode: enforce\nmx: mx1.example.com\nmx: *.mail.example.net\nmax_age: 604800\n"

func found(records ...string) sender.TXT {
	return sender.TXT{Status: sender.Found, Records: records, Source: sender.SourceAuthoritative}
}

func address(n byte) netip.Addr { return netip.AddrFrom4([4]byte{203, 0, 113, n}) }

// serves is an address of the policy host with a body that may be no policy.
func serves(n byte, body string) sender.AddressLook {
	look := sender.AddressLook{
		Address: address(n), Outcome: sender.Pass, NotAfter: late,
		Answer: &sender.Answer{Status: 200, ContentType: "text/plain", Body: body},
	}
	policy, err := mtasts.ParsePolicy([]byte(body))
	if err != nil {
		look.Outcome, look.Reason, look.Message = sender.Broken, sender.NotAPolicy, "answers with no valid policy: "+err.Error()
		return look
	}
	look.Seen = &sender.SeenPolicy{Body: body, Policy: policy}
	return look
}

func at(n byte, outcome sender.Outcome, reason sender.Reason) sender.AddressLook {
	return sender.AddressLook{Address: address(n), Outcome: outcome, Reason: reason, Message: "is " + string(reason)}
}

func looks(addresses ...sender.AddressLook) sender.Look { return sender.Look{Addresses: addresses} }

func mailServer(host string, addresses ...sender.MXAddress) sender.MXProbe {
	probe := sender.MXProbe{Host: host, Outcome: sender.Pass, Addresses: addresses}
	for _, a := range addresses {
		if a.Outcome != sender.Pass && a.Reason != sender.NoRoute {
			probe.Outcome = a.Outcome
		}
	}
	return probe
}

func secured(n byte, notAfter time.Time, names ...string) sender.MXAddress {
	return sender.MXAddress{
		Address: address(n), Outcome: sender.Pass, Connected: true, TLSVersion: "TLS 1.3", NotAfter: notAfter, Names: names,
	}
}

func mailAt(n byte, outcome sender.Outcome, reason sender.Reason) sender.MXAddress {
	return sender.MXAddress{Address: address(n), Outcome: outcome, Reason: reason, Message: "is " + string(reason)}
}

// good is a domain where everything is as it should be.
func good() check.Observation {
	return check.Observation{
		Domain: "example.com", At: now,
		Record: found("v=STSv1; id=20260102150405e6c9c302;"),
		Policy: looks(serves(1, goodBody)),
		MX: sender.MX{Status: sender.Found, Hosts: []sender.MXHost{
			{Name: "mx1.example.com", Preference: 10}, {Name: "a.mail.example.net", Preference: 20},
		}},
		Probes: []sender.MXProbe{
			mailServer("mx1.example.com", secured(11, late, "mx1.example.com")),
			mailServer("a.mail.example.net", secured(12, late, "*.mail.example.net")),
		},
		TLSA:   []sender.TLSA{{Status: sender.Absent}, {Status: sender.Absent}},
		TLSRPT: found("v=TLSRPTv1; rua=mailto:tls-reports@example.com"),
	}
}

func TestNothingToSayAboutAGoodDomain(t *testing.T) {
	report := check.Judge(good())
	if report.Verdict != check.OK || report.ExitCode() != 0 {
		t.Errorf("the verdict is %s, code %d", report.Verdict, report.ExitCode())
	}
	if diff := cmp.Diff([]string(nil), remarks(report)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestOfManyResultsThatAreAlikeTheFirstAreToldAndTheRestCounted(t *testing.T) {
	seen := good()
	seen.Policy = looks(serves(1, goodBody+strings.Repeat("note: x\n", 2000)+strings.Repeat("mode: testing\n", 2000)))
	report := check.Judge(seen)
	if n := len(report.Results); n > 150 || report.Verdict != check.OK {
		t.Fatalf("%d results, %s", n, report.Verdict)
	}
	var more []string
	topic := -1
	order := []check.Topic{check.TopicRecord, check.TopicPolicy, check.TopicText, check.TopicMX, check.TopicSTARTTLS, check.TopicDANE, check.TopicTLSRPT}
	for _, r := range report.Results {
		if strings.Contains(r.Message, "more like these") {
			more = append(more, string(r.Topic)+" "+string(r.Status)+" "+r.Message)
		}
		if at := slices.Index(order, r.Topic); at < topic {
			t.Errorf("%+v stands behind a later topic", r)
		} else {
			topic = at
		}
	}
	want := []string{"Text Advice 1950 more like these (ExtensionField)", "Text Advice 1950 more like these (FieldRepeated)"}
	if diff := cmp.Diff(want, more); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// remarks are the results that are not OK, as "status topic reason subject".
func remarks(report check.Report) []string {
	var all []string
	for _, r := range report.Results {
		if r.Status != check.OK {
			all = append(all, strings.TrimSpace(strings.Join([]string{string(r.Status), string(r.Topic), r.Reason, r.Subject}, " ")))
		}
	}
	return all
}

func TestJudge(t *testing.T) {
	body := func(old, replacement string) func(*check.Observation) {
		return func(o *check.Observation) {
			o.Policy = looks(serves(1, strings.Replace(goodBody, old, replacement, 1)))
		}
	}
	record := func(texts ...string) func(*check.Observation) {
		return func(o *check.Observation) { o.Record = found(texts...) }
	}
	policy := func(addresses ...sender.AddressLook) func(*check.Observation) {
		return func(o *check.Observation) { o.Policy = looks(addresses...) }
	}
	mx1 := func(addresses ...sender.MXAddress) func(*check.Observation) {
		return func(o *check.Observation) { o.Probes[0] = mailServer("mx1.example.com", addresses...) }
	}
	rpt := func(texts ...string) func(*check.Observation) {
		return func(o *check.Observation) { o.TLSRPT = found(texts...) }
	}
	const valid = "v=STSv1; id=1;"
	for name, test := range map[string]struct {
		change  func(*check.Observation)
		verdict check.Status
		want    []string
	}{
		"no record": {
			func(o *check.Observation) { o.Record = sender.TXT{Status: sender.Absent, Reason: sender.DNSNotFound} },
			check.Fail,
			[]string{"Fail Record NoRecord"},
		},
		"a record that could not be looked up": {
			func(o *check.Observation) {
				o.Record = sender.TXT{Status: sender.Unknown, Reason: sender.DNSFailed, Message: "silence"}
			},
			check.Unknown,
			[]string{"Unknown Record DNSFailed"},
		},
		"servers that disagree about the record": {
			func(o *check.Observation) {
				o.Record = sender.TXT{Status: sender.Unknown, Reason: sender.DNSDisagree, Records: []string{valid}}
			},
			check.Unknown,
			[]string{"Unknown Record DNSDisagree"},
		},
		"two records":                   {record(valid, "v=STSv1; id=2;"), check.Fail, []string{"Fail Record SeveralRecords"}},
		"a record without id":           {record("v=STSv1; version=1"), check.Fail, []string{"Fail Record RecordMalformed"}},
		"a blank before the semicolon":  {record("v=STSv1 ; id=1"), check.Fail, []string{"Fail Record RecordIgnored", "Fail Record NoRecord"}},
		"a record in quotes":            {record(`"v=STSv1; id=1"`), check.Fail, []string{"Fail Record RecordIgnored", "Fail Record NoRecord"}},
		"an unrelated text beside it":   {record("heritage=external-dns", valid), check.OK, []string{"Advice Record OtherText"}},
		"only an unrelated text":        {record("v=spf1 -all"), check.Fail, []string{"Advice Record OtherText", "Fail Record NoRecord"}},
		"a record of two strings":       {func(o *check.Observation) { o.Record.Split = o.Record.Records }, check.OK, []string{"Advice Record RecordSplit"}},
		"a policy host without address": {func(o *check.Observation) { o.Policy = sender.Look{Reason: sender.DNSNotFound} }, check.Fail, []string{"Fail Policy DNSNotFound"}},
		"a policy host that could not be looked up": {
			func(o *check.Observation) { o.Policy = sender.Look{Reason: sender.DNSFailed} },
			check.Unknown,
			[]string{"Unknown Policy DNSFailed"},
		},
		"an address that redirects": {
			policy(serves(1, goodBody), at(2, sender.Broken, sender.Redirect)), check.Fail, []string{"Fail Policy Redirect 203.0.113.2"},
		},
		"an address that refuses connections": {
			policy(at(1, sender.NoAnswer, sender.ConnectionRefused)), check.Fail, []string{"Fail Policy ConnectionRefused 203.0.113.1"},
		},
		"a private address": {
			policy(at(1, sender.NoAnswer, sender.AddressRefused)), check.Fail, []string{"Fail Policy AddressRefused 203.0.113.1"},
		},
		"an address that does not answer": {
			policy(at(1, sender.NoAnswer, sender.Timeout)), check.Unknown, []string{"Unknown Policy Timeout 203.0.113.1"},
		},
		"an address without a route beside one with": {
			policy(serves(1, goodBody), at(2, sender.NoAnswer, sender.NoRoute)), check.OK, []string{"Advice Policy NoRoute 203.0.113.2"},
		},
		"no route at all": {
			policy(at(1, sender.NoAnswer, sender.NoRoute)), check.Unknown, []string{"Unknown Policy NoRoute 203.0.113.1"},
		},
		"two addresses with two policies": {
			policy(serves(1, goodBody), serves(2, strings.Replace(goodBody, "604800", "704800", 1))),
			check.Fail,
			[]string{"Fail Policy AddressesDiffer 203.0.113.2"},
		},
		"a certificate of the policy host that ends soon": {
			func(o *check.Observation) { o.Policy.Addresses[0].NotAfter = soon },
			check.OK,
			[]string{"Advice Policy CertificateExpiresSoon 203.0.113.1"},
		},
		"a web page in the place of the policy": {
			policy(sender.AddressLook{
				Address: address(1), Outcome: sender.Broken, Reason: sender.WrongContentType, Message: "is html",
				Answer: &sender.Answer{Status: 200, ContentType: "text/html", Body: "<html>\n<p>\n"},
			}),
			check.Fail,
			[]string{"Fail Policy WrongContentType 203.0.113.1"},
		},
		"blank lines and comments": {
			body("mx: mx1", "# ours\n\nmx: mx1"), check.Fail,
			[]string{"Fail Policy NotAPolicy 203.0.113.1", "Fail Text LineMalformed line 3", "Fail Text LineMalformed line 4"},
		},
		"a blank line at the end": {
			body("604800\n", "604800\n\n"), check.Fail,
			[]string{"Fail Policy NotAPolicy 203.0.113.1", "Fail Text LineMalformed line 6"},
		},
		"a malformed line counts as left out": {
			body("mx: mx1", "mx mx1"), check.Fail, []string{
				"Fail Policy NotAPolicy 203.0.113.1", "Fail Text LineMalformed line 3", "Fail MX Uncovered mx1.example.com",
			},
		},
		"a field that is missing": {
			body("max_age: 604800\n", ""), check.Fail, []string{"Fail Policy NotAPolicy 203.0.113.1", "Fail Text Incomplete"},
		},
		"an extension field":      {body("max_age", "note: x\nmax_age"), check.OK, []string{"Advice Text ExtensionField line 5"}},
		"a repeated field":        {body("max_age", "mode: testing\nmax_age"), check.OK, []string{"Advice Text FieldRepeated line 5"}},
		"version as another line": {body("version: STSv1\nmode: enforce\n", "mode: enforce\nversion: STSv1\n"), check.OK, []string{"Advice Text VersionNotFirst"}},
		"a long text":             {body("max_age", "note: "+strings.Repeat("x", 10000)+"\nmax_age"), check.OK, []string{"Advice Text ExtensionField line 5", "Advice Text TextLong"}},
		"mode testing":            {body("enforce", "testing"), check.OK, []string{"Advice Text Testing"}},
		"mode none":               {body("enforce", "none"), check.OK, []string{"Advice Text None"}},
		"mode none without mx": {
			policy(serves(1, "version: STSv1\nmode: none\nmax_age: 86400\n")), check.OK, []string{
				"Advice Text None", "Advice Text NoneWithoutMX", "Advice MX Uncovered mx1.example.com", "Advice MX Uncovered a.mail.example.net",
			},
		},
		"a max_age below a day":        {body("604800", "3600"), check.OK, []string{"Advice Text MaxAgeShort"}},
		"a max_age of a day":           {body("604800", "86400"), check.OK, []string{"Advice Text MaxAgeShort"}},
		"the greatest max_age":         {body("604800", "31557600"), check.OK, []string{"Advice Text MaxAgeLong"}},
		"almost the greatest max_age":  {body("604800", "31557599"), check.OK, nil},
		"a wildcard of the own domain": {body("mx: mx1.example.com", "mx: *.example.com"), check.OK, []string{"Advice Text OwnWildcard *.example.com"}},
		"MX that could not be looked up": {
			func(o *check.Observation) {
				o.MX, o.Probes, o.TLSA = sender.MX{Status: sender.Unknown, Reason: sender.DNSFailed}, nil, nil
			},
			check.Unknown,
			[]string{"Unknown MX DNSFailed"},
		},
		"a null MX": {
			func(o *check.Observation) {
				o.MX, o.Probes, o.TLSA = sender.MX{Status: sender.Found, Null: true}, nil, nil
			},
			check.OK,
			[]string{"Advice MX NullMX"},
		},
		"an MX host that is not covered": {body("mx: mx1.example.com\n", ""), check.Fail, []string{"Fail MX Uncovered mx1.example.com"}},
		"an MX host that is not covered in mode testing": {
			body("mode: enforce\nmx: mx1.example.com\n", "mode: testing\n"), check.Fail,
			[]string{"Advice Text Testing", "Fail MX Uncovered mx1.example.com"},
		},
		"a pattern without an MX host": {body("max_age", "mx: old.example.com\nmax_age"), check.OK, []string{"Advice MX PatternUnused old.example.com"}},
		"an MX host without STARTTLS": {
			mx1(mailAt(11, sender.Broken, sender.NoSTARTTLS)), check.Fail, []string{"Fail STARTTLS NoSTARTTLS mx1.example.com 203.0.113.11"},
		},
		"an MX host without STARTTLS in mode none": {
			func(o *check.Observation) {
				body("enforce", "none")(o)
				mx1(mailAt(11, sender.Broken, sender.NoSTARTTLS))(o)
			},
			check.OK,
			[]string{"Advice Text None", "Advice STARTTLS NoSTARTTLS mx1.example.com 203.0.113.11"},
		},
		"one address that does not answer": {
			mx1(secured(11, late, "mx1.example.com"), mailAt(13, sender.NoAnswer, sender.Timeout)),
			check.Unknown,
			[]string{"Unknown STARTTLS Timeout mx1.example.com 203.0.113.13"},
		},
		"one address family without a route": {
			mx1(secured(11, late, "mx1.example.com"), mailAt(13, sender.NoAnswer, sender.NoRoute)),
			check.OK,
			[]string{"Advice STARTTLS NoRoute mx1.example.com 203.0.113.13"},
		},
		"no MX host can be connected to": {
			func(o *check.Observation) {
				o.Probes[0] = mailServer("mx1.example.com", mailAt(11, sender.NoAnswer, sender.Timeout))
				o.Probes[1] = mailServer("a.mail.example.net", mailAt(12, sender.NoAnswer, sender.Timeout))
			},
			check.Unknown,
			[]string{"Unknown STARTTLS EgressBlocked"},
		},
		"no MX host can be connected to, and one has no address": {
			func(o *check.Observation) {
				o.Probes[0] = mailServer("mx1.example.com", mailAt(11, sender.NoAnswer, sender.Timeout))
				o.Probes[1] = sender.MXProbe{Host: "a.mail.example.net", Outcome: sender.NoAnswer, Reason: sender.DNSNotFound}
			},
			check.Fail,
			[]string{"Unknown STARTTLS EgressBlocked", "Fail STARTTLS DNSNotFound a.mail.example.net"},
		},
		"an MX host without an address": {
			func(o *check.Observation) {
				o.Probes[0] = sender.MXProbe{Host: "mx1.example.com", Outcome: sender.NoAnswer, Reason: sender.DNSNotFound}
			},
			check.Fail,
			[]string{"Fail STARTTLS DNSNotFound mx1.example.com"},
		},
		"an MX host that is an alias": {
			func(o *check.Observation) { o.Probes[0].CNAME = "other.example" },
			check.OK,
			[]string{"Advice STARTTLS MXIsAlias mx1.example.com"},
		},
		"an MX host with more addresses than are asked": {
			func(o *check.Observation) { o.Probes[0].Unasked = 2 },
			check.OK,
			[]string{"Advice STARTTLS AddressesNotAsked mx1.example.com"},
		},
		"text in the clear after STARTTLS": {
			func(o *check.Observation) { o.Probes[0].Addresses[0].EarlyPlaintext = true },
			check.OK,
			[]string{"Advice STARTTLS EarlyPlaintext mx1.example.com 203.0.113.11"},
		},
		"a mail server's certificate that ends soon": {
			mx1(secured(11, soon, "mx1.example.com")), check.OK, []string{"Advice STARTTLS CertificateExpiresSoon mx1.example.com 203.0.113.11"},
		},
		"TLSA records": {
			func(o *check.Observation) {
				o.TLSA[0] = sender.TLSA{Status: sender.Found, Records: []string{"3 1 1 00"}}
			},
			check.OK,
			[]string{"Advice DANE TLSA mx1.example.com"},
		},
		"TLSA records that could not be looked up": {
			func(o *check.Observation) { o.TLSA[0] = sender.TLSA{Status: sender.Unknown, Reason: sender.DNSFailed} },
			check.OK,
			[]string{"Advice DANE DNSFailed mx1.example.com"},
		},
		"no talk to mail servers": {func(o *check.Observation) { o.Probes, o.TLSA = nil, nil }, check.OK, nil},
		"no TLS-RPT record": {
			func(o *check.Observation) { o.TLSRPT = sender.TXT{Status: sender.Absent} },
			check.OK,
			[]string{"Advice TLSRPT NoRecord"},
		},
		"a TLS-RPT record that could not be looked up": {
			func(o *check.Observation) { o.TLSRPT = sender.TXT{Status: sender.Unknown, Reason: sender.DNSFailed} },
			check.Unknown,
			[]string{"Unknown TLSRPT DNSFailed"},
		},
		"two TLS-RPT records":                {rpt("v=TLSRPTv1; rua=mailto:a@b.example", "v=TLSRPTv1; rua=mailto:c@b.example"), check.Fail, []string{"Fail TLSRPT SeveralRecords"}},
		"a TLS-RPT record with a typo":       {rpt("v=TLSRPTv1; ruf=mailto:a@b.example"), check.Fail, []string{"Fail TLSRPT RecordMalformed"}},
		"a TLS-RPT version with a typo":      {rpt("v=TSLRPTv1; rua=mailto:a@b.example"), check.Fail, []string{"Fail TLSRPT RecordIgnored", "Advice TLSRPT NoRecord"}},
		"reports by https only":              {rpt("v=TLSRPTv1; rua=https://b.example/"), check.OK, []string{"Advice TLSRPT HTTPSOnly"}},
		"reports by ftp":                     {rpt("v=TLSRPTv1; rua=ftp://b.example/"), check.Fail, []string{"Fail TLSRPT NoUsableAddress"}},
		"blanks round the comma":             {rpt("v=TLSRPTv1; rua=mailto:a@b.example, mailto:c@b.example"), check.OK, []string{"Advice TLSRPT ReadDifferently"}},
		"a subject":                          {rpt("v=TLSRPTv1; rua=mailto:a@b.example?subject=x"), check.OK, []string{"Advice TLSRPT ReadDifferently"}},
		"a semicolon at the end of a record": {rpt("v=TLSRPTv1; rua=mailto:a@b.example;"), check.OK, nil},
	} {
		t.Run(name, func(t *testing.T) {
			seen := good()
			test.change(&seen)
			report := check.Judge(seen)
			documented(t, report)
			if diff := cmp.Diff(test.want, remarks(report)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if report.Verdict != test.verdict {
				t.Errorf("the verdict is %s, want %s", report.Verdict, test.verdict)
			}
			for _, r := range report.Results {
				if r.Reason == "" || strings.Contains(r.Message, "%!") || strings.ContainsAny(r.Message, "\n\x1b") {
					t.Errorf("result %+v", r)
				}
			}
		})
	}
}

func TestAFailureOutweighsWhatCouldNotBeTold(t *testing.T) {
	seen := good()
	seen.Record = sender.TXT{Status: sender.Absent}
	seen.TLSRPT = sender.TXT{Status: sender.Unknown, Reason: sender.DNSFailed}
	if report := check.Judge(seen); report.Verdict != check.Fail || report.ExitCode() != 1 {
		t.Errorf("the verdict is %s, code %d", report.Verdict, report.ExitCode())
	}
	seen.Record = good().Record
	if report := check.Judge(seen); report.Verdict != check.Unknown || report.ExitCode() != 2 {
		t.Errorf("the verdict is %s, code %d", report.Verdict, report.ExitCode())
	}
}

func TestTheAgeOfATestingPolicyIsReadFromItsID(t *testing.T) {
	for id, want := range map[string]string{
		"20260102150405e6c9c302": "2026-01-02 (57 days ago)",
		"20260102T150405Z":       "2026-01-02 (57 days ago)",
		"20260102":               "2026-01-02 (58 days ago)",
		"20270102150405":         "",
		"2":                      "",
		"19990102150405":         "",
		"18139500144460329770":   "",
	} {
		seen := good()
		seen.Record = found("v=STSv1; id=" + id)
		seen.Policy = looks(serves(1, strings.Replace(goodBody, "enforce", "testing", 1)))
		for _, r := range check.Judge(seen).Results {
			if r.Reason == "Testing" && (want == "" && strings.Contains(r.Message, "by its id") || !strings.HasSuffix(r.Message, want)) {
				t.Errorf("id %s: %s", id, r.Message)
			}
		}
	}
}

// documented wants every reason in the documentation.
func documented(t *testing.T, report check.Report) {
	t.Helper()
	text, err := os.ReadFile("../../docs/check.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range report.Results {
		if !strings.Contains(string(text), "`"+r.Reason+"`") {
			t.Errorf("docs/check.md does not know the reason %s", r.Reason)
		}
	}
}

// What strangers publish must not reach the terminal as it is.
func TestNothingAStrangerWritesControlsTheTerminal(t *testing.T) {
	const evil = "\x1b[2J\u202e\n"
	seen := good()
	seen.Record = found("v=STSv1; id="+evil, "STSv1"+evil, evil)
	seen.Record.Split = seen.Record.Records
	seen.Policy = looks(serves(1, goodBody+"mx: "+evil+"\n"+evil+": x\nx: "+evil), sender.AddressLook{
		Address: address(2), Outcome: sender.Broken, Reason: sender.Redirect, Message: "redirects",
		Answer: &sender.Answer{Status: 301, Location: evil},
	})
	seen.Probes[0].CNAME = evil
	seen.Probes[0].Addresses[0] = sender.MXAddress{Address: address(1), Outcome: sender.NoAnswer, Reason: sender.SessionRefused, Reply: evil}
	seen.TLSRPT = found("v=TLSRPTv1; rua="+evil, "rpt"+evil)
	for _, extra := range []sender.TXT{seen.TLSRPT, found("v=TLSRPTv1; rua=" + evil)} {
		seen.TLSRPT = extra
		report := check.Judge(seen)
		for _, r := range report.Results {
			if strings.ContainsAny(r.Message+r.Subject, "\x1b\u202e\n") {
				t.Errorf("%q", r)
			}
		}
	}
}
