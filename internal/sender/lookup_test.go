package sender

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/miekg/dns"
)

const (
	recordA = "v=STSv1; id=20260102030405a;"
	recordB = "v=STSv1; id=20260102030406b;"
)

func txt(ttl, content string) string {
	return "_mta-sts.example.com. " + ttl + ` TXT "` + content + `"`
}

// authoritative returns a server of example.com with records in it.
func authoritative(n int, records ...string) *nameServer {
	return &nameServer{zones: []string{"example.com."}, records: with(delegation("example.com.", n), records...)}
}

func TestLookupTXT(t *testing.T) {
	t.Parallel()
	parent := delegation("example.com.", 2)
	stale := with(parent, txt("17", recordB))
	for name, test := range map[string]struct {
		world world
		want  TXT
	}{
		"authoritative servers are believed, not the cache": {
			world: world{&nameServer{records: stale}, []*nameServer{
				authoritative(2, txt("300", recordA)), authoritative(2, txt("600", recordA)),
			}},
			want: TXT{Status: Found, Records: []string{recordA}, TTL: 600 * time.Second, Source: SourceAuthoritative},
		},
		"the strings of a record are joined and escapes undone": {
			world: world{&nameServer{records: parent}, []*nameServer{
				authoritative(2, `_mta-sts.example.com. 60 TXT "v=STSv1; " "id=1; x=\"\\\200"`, txt("60", "other")),
				authoritative(2, `_mta-sts.example.com. 60 TXT "v=STSv1; id=1; x=\"\\\200"`, txt("60", "other")),
			}},
			want: TXT{
				Status: Found, Records: []string{"other", "v=STSv1; id=1; x=\"\\\xc8"},
				TTL: time.Minute, Source: SourceAuthoritative,
			},
		},
		"servers that disagree leave it unknown and are named": {
			world: world{&nameServer{records: stale}, []*nameServer{
				authoritative(2, txt("300", recordA)), authoritative(2, txt("300", recordB)),
			}},
			want: TXT{
				Status: Unknown, Records: []string{recordA, recordB}, TTL: 300 * time.Second,
				Source: SourceAuthoritative, Reason: DNSDisagree,
				Message: `the name servers of example.com disagree about _mta-sts.example.com: ` +
					`ns1.example.com (127.0.0.1) answered "` + recordA + `"; ns2.example.com (127.0.0.2) answered "` + recordB + `"`,
			},
		},
		"a server that does not have the record yet disagrees": {
			world: world{&nameServer{records: stale}, []*nameServer{authoritative(2, txt("300", recordA)), authoritative(2)}},
			want: TXT{
				Status: Unknown, Records: []string{recordA}, TTL: 300 * time.Second,
				Source: SourceAuthoritative, Reason: DNSDisagree,
				Message: `the name servers of example.com disagree about _mta-sts.example.com: ` +
					`ns1.example.com (127.0.0.1) answered "` + recordA + `"; ns2.example.com (127.0.0.2) answered nothing`,
			},
		},
		"a TTL with the top bit set is none": {
			world: world{&nameServer{records: stale}, []*nameServer{authoritative(2, txt("4294967295", recordA)), authoritative(2, txt("2147483648", recordA))}},
			want:  TXT{Status: Found, Records: []string{recordA}, Source: SourceAuthoritative},
		},
		"a lame server does not count": {
			world: world{&nameServer{records: stale}, []*nameServer{
				authoritative(2, txt("300", recordA)), {zones: []string{"example.net."}},
			}},
			want: TXT{Status: Found, Records: []string{recordA}, TTL: 300 * time.Second, Source: SourceAuthoritative},
		},
		"without usable authoritative servers the resolver is asked": {
			world: world{&nameServer{records: stale}, []*nameServer{
				{zones: []string{"example.net."}},
				{zones: []string{"example.com."}, rcodes: map[string]int{"_mta-sts.example.com.": dns.RcodeServerFailure}},
			}},
			want: TXT{Status: Found, Records: []string{recordB}, TTL: 17 * time.Second, Source: SourceResolver},
		},
		"a name that does not exist is absent": {
			world: world{&nameServer{records: stale}, []*nameServer{authoritative(2), authoritative(2)}},
			want: TXT{
				Status: Absent, Source: SourceAuthoritative, Reason: DNSNotFound,
				Message: "_mta-sts.example.com has no TXT record",
			},
		},
		"a name with other types only is absent": {
			world: world{&nameServer{records: stale}, []*nameServer{
				authoritative(2, "_mta-sts.example.com. 60 A 127.0.0.1"), authoritative(2, "_mta-sts.example.com. 60 A 127.0.0.1"),
			}},
			want: TXT{
				Status: Absent, Source: SourceAuthoritative, Reason: DNSNotFound,
				Message: "_mta-sts.example.com has no TXT record",
			},
		},
		"a silent server does not count": {
			world: world{&nameServer{records: stale}, []*nameServer{authoritative(2, txt("300", recordA)), {silent: true}}},
			want:  TXT{Status: Found, Records: []string{recordA}, TTL: 300 * time.Second, Source: SourceAuthoritative},
		},
		"with silent authoritative servers there is time left to ask the resolver": {
			world: world{&nameServer{records: stale}, []*nameServer{{silent: true}, {silent: true}}},
			want:  TXT{Status: Found, Records: []string{recordB}, TTL: 17 * time.Second, Source: SourceResolver},
		},
		"a server that does not say it is authoritative does not count": {
			world: world{&nameServer{records: stale}, []*nameServer{{records: []string{txt("300", recordA)}}, {zones: []string{"example.net."}}}},
			want:  TXT{Status: Found, Records: []string{recordB}, TTL: 17 * time.Second, Source: SourceResolver},
		},
		"an answer too long for UDP comes over TCP": {
			world: world{&nameServer{records: parent, truncate: true}, []*nameServer{
				{zones: []string{"example.com."}, records: []string{txt("60", recordA)}, truncate: true},
			}},
			want: TXT{Status: Found, Records: []string{recordA}, TTL: time.Minute, Source: SourceAuthoritative},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := test.world.newSender(t, Config{AllowPrivate: true, Timeout: 3 * time.Second})
			got := s.LookupTXT(t.Context(), "_MTA-STS.Example.com")
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("LookupTXT (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDeniedNameServersAreNotAsked(t *testing.T) {
	t.Parallel()
	resolver := &nameServer{records: with(delegation("example.com.", 1), "_mta-sts.example.com. 60 TXT stale")}
	server := &nameServer{zones: []string{"example.com."}, records: []string{`_mta-sts.example.com. 60 TXT "` + recordA + `"`}}
	asked := world{resolver, []*nameServer{server}}
	free := asked.newSender(t, Config{AllowPrivate: true}).LookupTXT(t.Context(), "_mta-sts.example.com")
	got := asked.newSender(t, Config{AllowPrivate: true, Deny: prefixes("127.0.0.0/8")}).LookupTXT(t.Context(), "_mta-sts.example.com")
	if free.Source != SourceAuthoritative || got.Source != SourceResolver || got.Status != Found {
		t.Errorf("without: %+v, denied: %+v; want the resolver's answer only where the server is denied", free, got)
	}
}

func TestLookupTXTFollowsAliasesIntoOtherZones(t *testing.T) {
	t.Parallel()
	resolver := &nameServer{records: with(with(delegation("example.com.", 1), delegation("example.net.", 1)...),
		"policy.example.net. 5 TXT stale")}
	server := &nameServer{
		zones: []string{"example.com.", "example.net."},
		records: []string{
			"_mta-sts.example.com. 900 CNAME Policy.Example.NET.",
			`policy.example.net. 60 TXT "` + recordA + `"`,
			"loop.example.com. 60 CNAME loop.example.com.",
			"gone.example.com. 60 CNAME nothing.example.net.",
		},
	}
	s := world{resolver, []*nameServer{server}}.newSender(t, Config{AllowPrivate: true})
	for name, want := range map[string]TXT{
		"_mta-sts.example.com": {Status: Found, Records: []string{recordA}, TTL: 900 * time.Second, Source: SourceAuthoritative},
		"loop.example.com": {
			Status: Unknown, TTL: time.Minute, Source: SourceAuthoritative, Reason: DNSAliasChain,
			Message: "loop.example.com could not be looked up: CNAME records form a loop or a chain of more than 8",
		},
		"gone.example.com": {
			Status: Absent, TTL: time.Minute, Source: SourceAuthoritative, Reason: DNSNotFound,
			Message: "gone.example.com, an alias of nothing.example.net, has no TXT record",
		},
	} {
		if diff := cmp.Diff(want, s.LookupTXT(t.Context(), name)); diff != "" {
			t.Errorf("LookupTXT(%s) (-want +got):\n%s", name, diff)
		}
	}
}

func TestLookupTXTFollowsReferralsAndLeavesCachesUntouched(t *testing.T) {
	t.Parallel()
	// The name is a zone of its own, delegated by a server that does not know it.
	resolver := &nameServer{records: with(delegation("example.com.", 1), "ns.example.net. 60 A 127.0.0.2")}
	parentServer := authoritative(1, "_mta-sts.example.com. 60 NS ns.example.net.")
	child := &nameServer{zones: []string{"_mta-sts.example.com."}, records: []string{txt("60", recordA)}}
	s := world{resolver, []*nameServer{parentServer, child}}.newSender(t, Config{AllowPrivate: true})

	want := TXT{Status: Found, Records: []string{recordA}, TTL: time.Minute, Source: SourceAuthoritative}
	if diff := cmp.Diff(want, s.LookupTXT(t.Context(), "_mta-sts.example.com")); diff != "" {
		t.Errorf("LookupTXT (-want +got):\n%s", diff)
	}
	if asked := resolver.questions(); askedFor(asked, "_mta-sts.") {
		t.Errorf("the resolver was asked for the name itself: %q", asked)
	}
}

func TestAZoneIsFoundAboveNamesThatDoNotExist(t *testing.T) {
	t.Parallel()
	for name, soa := range map[string]bool{"the resolver says where the zone begins": true, "the resolver does not say it": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			records := delegation("example.com.", 1)
			if !soa {
				records = records[1:]
			}
			server := authoritative(1, `_mta-sts.a.b.example.com. 60 TXT "`+recordA+`"`)
			s := world{&nameServer{records: records}, []*nameServer{server}}.newSender(t, Config{AllowPrivate: true})
			got := s.LookupTXT(t.Context(), "_mta-sts.a.b.example.com")
			if got.Status != Found || got.Source != SourceAuthoritative {
				t.Errorf("LookupTXT: %+v", got)
			}
		})
	}
}

func TestLookupsThatFailNameEveryResolver(t *testing.T) {
	t.Parallel()
	failing := world{resolver: &nameServer{rcodes: map[string]int{
		"example.com.": dns.RcodeServerFailure, "_mta-sts.example.com.": dns.RcodeServerFailure,
	}}}
	s := failing.newSender(t, Config{})
	resolver := s.resolvers[0].address
	want := TXT{
		Status: Unknown, Source: SourceResolver, Reason: DNSFailed,
		Message: "_mta-sts.example.com could not be looked up: resolver " + resolver + " answered SERVFAIL",
	}
	if diff := cmp.Diff(want, s.LookupTXT(t.Context(), "_mta-sts.example.com")); diff != "" {
		t.Errorf("SERVFAIL (-want +got):\n%s", diff)
	}

	silent := world{resolver: &nameServer{silent: true}}.newSender(t, Config{Timeout: 500 * time.Millisecond})
	second := startDNS(t, &nameServer{zones: []string{"example.net."}})
	silent.resolvers = append(silent.resolvers,
		server{label: "resolver second", address: netip.AddrPortFrom(loopback1, second).String()})
	got := silent.LookupTXT(t.Context(), "_mta-sts.example.com")
	if got.Status != Unknown || got.Reason != DNSFailed ||
		!strings.HasSuffix(got.Message, " did not answer in time, resolver second answered REFUSED") {
		t.Errorf("silent and refusing resolver: %+v", got)
	}
}

func TestASilentResolverIsReplacedByTheNext(t *testing.T) {
	t.Parallel()
	w := world{resolver: &nameServer{records: []string{txt("60", recordA)}}}
	s := w.newSender(t, Config{Timeout: 2 * time.Second})
	silent := startDNS(t, &nameServer{silent: true})
	s.resolvers = append([]server{{label: "silent", address: netip.AddrPortFrom(loopback1, silent).String()}}, s.resolvers...)
	if got := s.LookupTXT(t.Context(), "_mta-sts.example.com"); got.Status != Found {
		t.Errorf("LookupTXT: %+v", got)
	}
}

func TestPrivateNameServersAreNotAsked(t *testing.T) {
	t.Parallel()
	private := authoritative(1, txt("300", recordA))
	s := world{
		&nameServer{records: with(delegation("example.com.", 1), txt("17", recordB))}, []*nameServer{private},
	}.newSender(t, Config{})
	want := TXT{Status: Found, Records: []string{recordB}, TTL: 17 * time.Second, Source: SourceResolver}
	if diff := cmp.Diff(want, s.LookupTXT(t.Context(), "_mta-sts.example.com")); diff != "" {
		t.Errorf("LookupTXT (-want +got):\n%s", diff)
	}
	if asked := private.questions(); len(asked) > 0 {
		t.Errorf("the private server was asked %q", asked)
	}
}

func TestIDsAreThoseOfPolicyRecords(t *testing.T) {
	got := TXT{Records: []string{"heritage=external-dns", recordB, "v=STSv1; id=not an id", "v=STSv1 ;id=1", recordA}}.IDs()
	if diff := cmp.Diff([]string{"20260102030406b", "", "20260102030405a"}, got); diff != "" {
		t.Errorf("IDs (-want +got):\n%s", diff)
	}
}

func TestLookupHost(t *testing.T) {
	t.Parallel()
	address := func(records ...string) []string {
		for i := range records {
			records[i] = "mta-sts.example.com. 60 " + records[i]
		}
		return records
	}
	for name, test := range map[string]struct {
		first, second []string // records of the two servers
		want          Host
	}{
		"addresses of both families are sorted": {
			first:  address("AAAA 2001:db8::1", "A 203.0.113.9", "A 203.0.113.7"),
			second: address("A 203.0.113.7", "A 203.0.113.9", "AAAA 2001:db8::1"),
			want: Host{Status: Found, TTL: time.Minute, Source: SourceAuthoritative, Addresses: []netip.Addr{
				netip.MustParseAddr("203.0.113.7"), netip.MustParseAddr("203.0.113.9"), netip.MustParseAddr("2001:db8::1"),
			}},
		},
		"different addresses of different servers all count": {
			first:  address("A 203.0.113.9"),
			second: address("A 203.0.113.7"),
			want: Host{Status: Found, TTL: time.Minute, Source: SourceAuthoritative, Addresses: []netip.Addr{
				netip.MustParseAddr("203.0.113.7"), netip.MustParseAddr("203.0.113.9"),
			}},
		},
		"a server without addresses disagrees": {
			first: address("A 203.0.113.9"),
			want: Host{
				Status: Unknown, TTL: time.Minute, Source: SourceAuthoritative, Reason: DNSDisagree,
				Message: `the name servers of example.com disagree about mta-sts.example.com: ` +
					`ns1.example.com (127.0.0.1) answered "203.0.113.9"; ns2.example.com (127.0.0.2) answered nothing`,
			},
		},
		"different aliases disagree": {
			first:  address("CNAME a.example.com."),
			second: address("CNAME b.example.com."),
			want: Host{
				Status: Unknown, TTL: time.Minute, Source: SourceAuthoritative, Reason: DNSDisagree,
				Message: `the name servers of example.com disagree about mta-sts.example.com: ` +
					`ns1.example.com (127.0.0.1) answered a CNAME to a.example.com; ` +
					`ns2.example.com (127.0.0.2) answered a CNAME to b.example.com`,
			},
		},
		"the first of two aliases is reported": {
			first: with(address("CNAME A.example.com."), "a.example.com. 600 CNAME b.example.com.", "b.example.com. 30 A 203.0.113.7"),
			second: with(address("CNAME a.example.com."), "a.example.com. 600 CNAME b.example.com.",
				"b.example.com. 30 A 203.0.113.7"),
			want: Host{
				Status: Found, TTL: 10 * time.Minute, Source: SourceAuthoritative, CNAME: "a.example.com",
				Addresses: []netip.Addr{netip.MustParseAddr("203.0.113.7")},
			},
		},
		"a name without addresses is absent": {
			want: Host{
				Status: Absent, Source: SourceAuthoritative, Reason: DNSNotFound,
				Message: "mta-sts.example.com has no address",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := world{&nameServer{records: delegation("example.com.", 2)}, []*nameServer{
				authoritative(2, test.first...), authoritative(2, test.second...),
			}}.newSender(t, Config{AllowPrivate: true})
			got := s.LookupHost(t.Context(), "mta-sts.example.com")
			if diff := cmp.Diff(test.want, got, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
				t.Errorf("LookupHost (-want +got):\n%s", diff)
			}
		})
	}
}

func TestLookupMX(t *testing.T) {
	t.Parallel()
	soa := delegation("example.com.", 1)[0]
	for name, test := range map[string]struct {
		resolver *nameServer
		want     MX
	}{
		"hosts are sorted by preference and name": {
			resolver: &nameServer{records: []string{
				"example.com. 300 MX 20 c.example.net.", "example.com. 300 MX 10 B.Example.net.", "example.com. 300 MX 10 a.example.net.",
			}},
			want: MX{Status: Found, TTL: 300 * time.Second, Hosts: []MXHost{
				{"a.example.net", 10}, {"b.example.net", 10}, {"c.example.net", 20},
			}},
		},
		"an alias of the domain is followed": {
			resolver: &nameServer{records: []string{"example.com. 900 CNAME example.net.", "example.net. 300 MX 10 a.example.net."}},
			want:     MX{Status: Found, TTL: 900 * time.Second, Hosts: []MXHost{{"a.example.net", 10}}},
		},
		"a null MX": {
			resolver: &nameServer{records: []string{"example.com. 300 MX 0 ."}},
			want:     MX{Status: Found, TTL: 300 * time.Second, Null: true},
		},
		"a dot beside a host is no null MX": {
			resolver: &nameServer{records: []string{"example.com. 300 MX 0 .", "example.com. 300 MX 5 a.example.net."}},
			want:     MX{Status: Found, TTL: 300 * time.Second, Hosts: []MXHost{{"a.example.net", 5}}},
		},
		"without MX the domain's own address takes the mail": {
			resolver: &nameServer{records: []string{"example.com. 60 AAAA 2001:db8::1"}},
			want:     MX{Status: Found, TTL: time.Minute, Implicit: true, Hosts: []MXHost{{"example.com", 0}}},
		},
		"without MX and address it is unknown": {
			resolver: &nameServer{records: []string{soa}},
			want: MX{
				Status: Unknown, Reason: DNSNotFound,
				Message: "example.com has neither an MX record nor an address",
			},
		},
		"a domain that does not exist is unknown": {
			resolver: &nameServer{records: []string{"example.net. 60 A 203.0.113.7"}},
			want: MX{
				Status: Unknown, Reason: DNSNotFound,
				Message: "example.com has neither an MX record nor an address",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := world{resolver: test.resolver}.newSender(t, Config{})
			if diff := cmp.Diff(test.want, s.LookupMX(t.Context(), "Example.COM.")); diff != "" {
				t.Errorf("LookupMX (-want +got):\n%s", diff)
			}
		})
	}
}

func TestLookupMXOfAFailingResolverIsUnknown(t *testing.T) {
	t.Parallel()
	for name, records := range map[string][]string{
		"for the MX":      nil,
		"for the address": {"example.com. 60 CNAME example.net."},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			failing := "example.com."
			if records != nil {
				failing = "example.net."
			}
			resolver := &nameServer{records: records, rcodes: map[string]int{failing: dns.RcodeServerFailure}}
			got := world{resolver: resolver}.newSender(t, Config{}).LookupMX(t.Context(), "example.com")
			if got.Status != Unknown || got.Reason != DNSFailed || !strings.HasSuffix(got.Message, " answered SERVFAIL") {
				t.Errorf("LookupMX: %+v", got)
			}
		})
	}
}

func TestAnImplicitMXIsUnknownIfOneFamilyCannotBeLookedUp(t *testing.T) {
	t.Parallel()
	resolver := &nameServer{records: []string{"example.com. 60 A 203.0.113.7"}, failingType: dns.TypeAAAA}
	got := world{resolver: resolver}.newSender(t, Config{}).LookupMX(t.Context(), "example.com")
	if got.Status != Unknown || got.Reason != DNSFailed || got.Hosts != nil {
		t.Errorf("LookupMX: %+v", got)
	}
}

func TestRepliesThatCannotBeUsed(t *testing.T) {
	question := new(dns.Msg).SetQuestion("example.com.", dns.TypeTXT)
	reply := func(change func(*dns.Msg)) *dns.Msg {
		message := new(dns.Msg).SetReply(question)
		message.RecursionAvailable = true
		change(message)
		return message
	}
	for want, message := range map[string]*dns.Msg{
		"":                                  reply(func(*dns.Msg) {}),
		"answered another question":         reply(func(m *dns.Msg) { m.Question[0].Name = "example.net." }),
		"answered REFUSED":                  reply(func(m *dns.Msg) { m.Rcode = dns.RcodeRefused }),
		"answered with an unknown error":    reply(func(m *dns.Msg) { m.Rcode = 3000 }),
		"does not resolve names for others": reply(func(m *dns.Msg) { m.RecursionAvailable = false }),
	} {
		if got := readReply(message, server{}, "example.com.", dns.TypeTXT).failure; got != want {
			t.Errorf("failure %q, want %q", got, want)
		}
	}
}

func TestOnlyReferralsDownwardsAreFollowed(t *testing.T) {
	for owner, want := range map[string]string{
		"b.example.com.":        "b.example.com.",
		"A.B.example.com.":      "a.b.example.com.",
		"example.com.":          "",
		"com.":                  "",
		".":                     "",
		"c.example.com.":        "",
		"x.a.b.example.com.":    "",
		"b.example.com.evil.":   "",
		"notexample.com.":       "",
		"_mta-sts.example.com.": "",
	} {
		message := &dns.Msg{Ns: []dns.RR{
			&dns.NS{Hdr: dns.RR_Header{Name: owner, Rrtype: dns.TypeNS}, Ns: "NS.example.net."},
		}}
		zone, names := readReferral(message, "example.com.", "a.b.example.com.")
		if zone != want || (want != "") != (len(names) == 1 && names[0] == "ns.example.net.") {
			t.Errorf("referral to %s: %q %q, want %q", owner, zone, names, want)
		}
	}
}

func TestRecordsOfSeveralStringsAreNamed(t *testing.T) {
	t.Parallel()
	resolver := &nameServer{records: []string{txt("60", "one"), `_mta-sts.example.com. 60 TXT "v=STSv1; " "id=1;"`}}
	got := world{resolver: resolver}.newSender(t, Config{}).LookupTXT(t.Context(), "_mta-sts.example.com")
	if diff := cmp.Diff([]string{"v=STSv1; id=1;"}, got.Split); diff != "" {
		t.Errorf("Split (-want +got):\n%s", diff)
	}
}
