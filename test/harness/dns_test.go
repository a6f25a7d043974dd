package harness

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"
	clocktesting "k8s.io/utils/clock/testing"
)

func newTestDNS() (*DNS, *clocktesting.FakePassiveClock) {
	clk := clocktesting.NewFakePassiveClock(time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC))
	return NewDNS(clk), clk
}

func ask(d *DNS, name string, qtype uint16) *dns.Msg {
	return d.Answer(new(dns.Msg).SetQuestion(dns.Fqdn(name), qtype))
}

func TestDNSAnswers(t *testing.T) {
	d, _ := newTestDNS()
	d.SetTXT("_mta-sts.Example.com", "v=STSv1; id=1;")
	d.SetA("mx.example.com", "192.0.2.1", "2001:db8::1")
	d.SetCNAME("mta-sts.example.com", "mx.example.com")
	d.SetCNAME("dangling.example.com", "gone.example.net")
	d.SetMX("example.com", "mx.example.com", "mx2.example.com")
	d.SetMX("null.example", ".")

	for name, tc := range map[string]struct {
		name  string
		qtype uint16
		rcode int
		want  []string
		soa   string
	}{
		"a TXT record in any case":                   {name: "_MTA-STS.example.COM", qtype: dns.TypeTXT, want: []string{"v=STSv1; id=1;"}},
		"an IPv4 address":                            {name: "mx.example.com", qtype: dns.TypeA, want: []string{"192.0.2.1"}},
		"an IPv6 address":                            {name: "mx.example.com", qtype: dns.TypeAAAA, want: []string{"2001:db8::1"}},
		"an alias with what it stands for":           {name: "mta-sts.example.com", qtype: dns.TypeA, want: []string{"192.0.2.1", "mx.example.com."}},
		"an alias of a name that does not exist":     {name: "dangling.example.com", qtype: dns.TypeA, want: []string{"gone.example.net."}, rcode: dns.RcodeNameError, soa: "example.net."},
		"mail hosts in order of preference":          {name: "example.com", qtype: dns.TypeMX, want: []string{"10 mx.example.com.", "20 mx2.example.com."}},
		"a null MX":                                  {name: "null.example", qtype: dns.TypeMX, want: []string{"0 ."}},
		"the name server of a zone":                  {name: "example.com", qtype: dns.TypeNS, want: []string{"ns1.harness.test."}},
		"the address of the name server":             {name: "ns1.harness.test", qtype: dns.TypeA, want: []string{"127.0.0.1"}},
		"no data of this type":                       {name: "mx.example.com", qtype: dns.TypeTXT, soa: "example.com."},
		"no data at the apex":                        {name: "example.com", qtype: dns.TypeA, soa: "example.com."},
		"no data at a name with another one below":   {name: "null.example", qtype: dns.TypeTXT, soa: "null.example."},
		"a name that does not exist":                 {name: "mta-sts.example.org", qtype: dns.TypeA, rcode: dns.RcodeNameError, soa: "example.org."},
		"a name that is only the end of another one": {name: "a-sts.example.com", qtype: dns.TypeTXT, rcode: dns.RcodeNameError, soa: "example.com."},
	} {
		t.Run(name, func(t *testing.T) {
			got := ask(d, tc.name, tc.qtype)
			if got.Rcode != tc.rcode {
				t.Errorf("answered %s, want %s", dns.RcodeToString[got.Rcode], dns.RcodeToString[tc.rcode])
			}
			if diff := cmp.Diff(tc.want, presentation(got.Answer)); diff != "" {
				t.Errorf("records (-want +got):\n%s", diff)
			}
			soa := ""
			if len(got.Ns) > 0 {
				soa = got.Ns[0].(*dns.SOA).Hdr.Name
			}
			if soa != tc.soa {
				t.Errorf("SOA of %q, want %q", soa, tc.soa)
			}
		})
	}
}

func TestDNSKnowsEmptyNonTerminals(t *testing.T) {
	d, _ := newTestDNS()
	if got := ask(d, "_tls.example.com", dns.TypeTXT).Rcode; got != dns.RcodeNameError {
		t.Errorf("answered %s before there is a name below, want NXDOMAIN", dns.RcodeToString[got])
	}
	d.SetTXT("_smtp._tls.example.com", "v=TLSRPTv1; rua=mailto:a@example.com")
	if got := ask(d, "_tls.example.com", dns.TypeTXT).Rcode; got != dns.RcodeSuccess {
		t.Errorf("answered %s with a name below, want NOERROR", dns.RcodeToString[got])
	}
}

func TestDNSFaults(t *testing.T) {
	d, _ := newTestDNS()
	d.SetTXT("a.example.com", "x")
	d.SetFault("a.example.com", ServFail)
	if got := ask(d, "a.example.com", dns.TypeTXT); got.Rcode != dns.RcodeServerFailure || len(got.Answer) > 0 {
		t.Errorf("answered %v, want SERVFAIL", got)
	}
	d.SetFault(AllNames, Drop)
	if got := ask(d, "b.example.com", dns.TypeTXT); got != nil {
		t.Errorf("answered %v, want no answer", got)
	}
	d.SetFault(AllNames, NoFault)
	d.SetFault("a.example.com", NoFault)
	if got := ask(d, "a.example.com", dns.TypeTXT); len(got.Answer) != 1 {
		t.Errorf("answered %v after the faults, want the record", got)
	}
}

func TestDNSRemembersQuestionsAndChanges(t *testing.T) {
	d, clk := newTestDNS()
	start := clk.Now()
	var seen []Change
	remove := d.OnChange(func(c Change) {
		if got := d.Records(c.Name, c.Type); !cmp.Equal(got, c.After) {
			t.Errorf("the hook of %v sees %q", c, got)
		}
		seen = append(seen, c)
	})
	ask(d, "A.example.com", dns.TypeTXT)
	d.SetTXT("a.example.com", "one")
	clk.SetTime(start.Add(time.Minute))
	d.SetTXT("a.example.com", "one") // no change
	d.SetTXT("a.example.com", "two")
	remove()
	d.Remove("a.example.com")

	want := []Change{
		{Time: start, Name: "a.example.com", Type: "TXT", After: []string{"one"}},
		{Time: start.Add(time.Minute), Name: "a.example.com", Type: "TXT", Before: []string{"one"}, After: []string{"two"}},
		{Time: start.Add(time.Minute), Name: "a.example.com", Type: "TXT", Before: []string{"two"}},
	}
	if diff := cmp.Diff(want, d.History("a.example.com")); diff != "" {
		t.Errorf("history (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want[:2], seen); diff != "" {
		t.Errorf("seen by the hook (-want +got):\n%s", diff)
	}
	wantQueries := []Query{{Time: start, Name: "a.example.com", Type: "TXT"}}
	if diff := cmp.Diff(wantQueries, d.Queries("a.example.com.")); diff != "" {
		t.Errorf("queries (-want +got):\n%s", diff)
	}
}
