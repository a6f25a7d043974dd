package harness

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	edns "sigs.k8s.io/external-dns/apis/v1alpha1"
	"sigs.k8s.io/external-dns/endpoint"
)

const stsName = "_mta-sts.example.com"

// externalDNSFixture is external-dns on a client of its own.
type externalDNSFixture struct {
	*ExternalDNS
	t     *testing.T
	dns   *DNS
	clock *clocktesting.FakePassiveClock
	api   client.Client
}

func newExternalDNSFixture(t *testing.T) *externalDNSFixture {
	d, clk := newTestDNS()
	api := fake.NewClientBuilder().WithScheme(newScheme()).WithStatusSubresource(&edns.DNSEndpoint{}).Build()
	return &externalDNSFixture{NewExternalDNS(api, d, clk, time.Second), t, d, clk, api}
}

// put creates or replaces the object name with one endpoint; none deletes it.
func (f *externalDNSFixture) put(name string, endpoints ...*endpoint.Endpoint) {
	f.t.Helper()
	object := &edns.DNSEndpoint{ObjectMeta: metav1.ObjectMeta{
		Namespace: "mail", Name: name, UID: types.UID(name), Generation: 1,
	}}
	err := f.api.Get(f.t.Context(), client.ObjectKeyFromObject(object), object)
	object.Spec.Endpoints = endpoints
	switch {
	case len(endpoints) == 0:
		err = f.api.Delete(f.t.Context(), object)
	case err != nil:
		err = f.api.Create(f.t.Context(), object)
	default:
		object.Generation++
		err = f.api.Update(f.t.Context(), object)
	}
	if err != nil {
		f.t.Fatalf("writing DNSEndpoint %s: %v", name, err)
	}
}

// sync steps until everything that was read is applied, and returns the last
// error.
func (f *externalDNSFixture) sync() error {
	var last error
	for range 6 {
		if err := f.Step(f.t.Context()); err != nil {
			last = err
		}
		f.clock.SetTime(f.clock.Now().Add(time.Second))
	}
	return last
}

func txt(ttl int64, targets ...string) *endpoint.Endpoint {
	return &endpoint.Endpoint{DNSName: stsName, RecordType: "TXT", RecordTTL: endpoint.TTL(ttl), Targets: targets}
}

func address(rtype string, targets ...string) *endpoint.Endpoint {
	return &endpoint.Endpoint{DNSName: "mta-sts.example.com", RecordType: rtype, Targets: targets}
}

func TestExternalDNSAppliesWhatItReadALagLater(t *testing.T) {
	f := newExternalDNSFixture(t)
	step := func() {
		t.Helper()
		if err := f.Step(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	f.put("sts", txt(300, `"one"`))
	step()
	var seen edns.DNSEndpoint
	if err := f.api.Get(t.Context(), client.ObjectKey{Namespace: "mail", Name: "sts"}, &seen); err != nil {
		t.Fatal(err)
	}
	if seen.Status.ObservedGeneration != seen.Generation || len(f.dns.Records(stsName, "TXT")) != 0 {
		t.Errorf("observedGeneration %d of %d, records %q: want it seen and not applied",
			seen.Status.ObservedGeneration, seen.Generation, f.dns.Records(stsName, "TXT"))
	}
	f.put("sts", txt(300, `"two"`))
	f.clock.SetTime(f.clock.Now().Add(time.Second))
	step()
	if diff := cmp.Diff([]string{"one"}, f.dns.Records(stsName, "TXT")); diff != "" {
		t.Errorf("after the lag, what was read before the edit (-want +got):\n%s", diff)
	}
	if err := f.sync(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"two"}, f.dns.Records(stsName, "TXT")); diff != "" {
		t.Errorf("after the next synchronisation (-want +got):\n%s", diff)
	}
}

// Each case publishes first, then again, and compares what DNS holds then.
func TestExternalDNSModes(t *testing.T) {
	first := []*endpoint.Endpoint{txt(300, `"one"`), address("A", "192.0.2.1")}
	second := []*endpoint.Endpoint{txt(300, `"two"`), address("A", "192.0.2.2")}
	for name, tc := range map[string]struct {
		mode          ExternalDNSMode
		first, second []*endpoint.Endpoint
		txt, a, cname []string
	}{
		"Sync updates":                         {mode: Sync, first: first, second: second, txt: []string{"two"}, a: []string{"192.0.2.2"}},
		"Sync deletes":                         {mode: Sync, first: first},
		"UpsertOnly updates":                   {mode: UpsertOnly, first: first, second: second, txt: []string{"two"}, a: []string{"192.0.2.2"}},
		"UpsertOnly does not delete":           {mode: UpsertOnly, first: first, txt: []string{"one"}, a: []string{"192.0.2.1"}},
		"CreateOnlyTXT does not update TXT":    {mode: CreateOnlyTXT, first: first, second: second, txt: []string{"one"}, a: []string{"192.0.2.2"}},
		"CreateOnlyTXT does not delete TXT":    {mode: CreateOnlyTXT, first: first, txt: []string{"one"}},
		"NoTXT leaves TXT out":                 {mode: NoTXT, first: first, second: second, a: []string{"192.0.2.2"}},
		"Off does nothing":                     {mode: Off, first: first, second: second},
		"Sync turns an address into an alias":  {mode: Sync, first: first, second: []*endpoint.Endpoint{address("CNAME", "lb.example.net")}, cname: []string{"lb.example.net."}},
		"UpsertOnly cannot make room for one":  {mode: UpsertOnly, first: first, second: []*endpoint.Endpoint{address("CNAME", "lb.example.net")}, txt: []string{"one"}, a: []string{"192.0.2.1"}},
		"an alias gives way to an address":     {mode: Sync, first: []*endpoint.Endpoint{address("CNAME", "lb.example.net"), address("A", "192.0.2.1")}, second: []*endpoint.Endpoint{address("CNAME", "lb.example.net"), address("A", "192.0.2.1")}, a: []string{"192.0.2.1"}},
		"a difference in letter case is none":  {mode: Sync, first: []*endpoint.Endpoint{txt(300, `"id=a1"`)}, second: []*endpoint.Endpoint{txt(300, `"id=A1"`)}, txt: []string{"id=a1"}},
		"a record type in lower case is none":  {mode: Sync, first: []*endpoint.Endpoint{address("a", "192.0.2.1")}, second: []*endpoint.Endpoint{address("a", "192.0.2.1")}},
		"several targets are several records":  {mode: Sync, first: first, second: []*endpoint.Endpoint{txt(300, `"two"`, `"one"`)}, txt: []string{"one", "two"}},
		"several strings stay one TXT record":  {mode: Sync, first: first, second: []*endpoint.Endpoint{txt(300, `"on" "e\"more"`)}, txt: []string{`one"more`}},
		"a mail record is not managed":         {mode: Sync, first: []*endpoint.Endpoint{address("MX", "10 mx.example.com")}},
		"an address of the wrong family fails": {mode: Sync, first: []*endpoint.Endpoint{address("AAAA", "192.0.2.1")}},
	} {
		t.Run(name, func(t *testing.T) {
			f := newExternalDNSFixture(t)
			f.SetMode(tc.mode)
			f.put("all", tc.first...)
			_ = f.sync() // what a refusal says is not the subject here
			f.put("all", tc.second...)
			_ = f.sync()
			for rtype, want := range map[string][]string{"A": tc.a, "CNAME": tc.cname} {
				if diff := cmp.Diff(want, f.dns.Records("mta-sts.example.com", rtype)); diff != "" {
					t.Errorf("%s (-want +got):\n%s", rtype, diff)
				}
			}
			if diff := cmp.Diff(tc.txt, f.dns.Records(stsName, "TXT")); diff != "" {
				t.Errorf("TXT (-want +got):\n%s", diff)
			}
		})
	}
}

func TestExternalDNSMergesObjects(t *testing.T) {
	f := newExternalDNSFixture(t)
	f.put("mine", txt(300, `"b"`))
	f.put("theirs", txt(300, `"a"`))
	if err := f.sync(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"a", "b"}, f.dns.Records(stsName, "TXT")); diff != "" {
		t.Errorf("equal TTLs (-want +got):\n%s", diff)
	}
	f.put("mine", txt(60, `"b"`))
	if err := f.sync(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"a"}, f.dns.Records(stsName, "TXT")); diff != "" {
		t.Errorf("different TTLs (-want +got):\n%s", diff)
	}
}

func TestExternalDNSNeverTouchesForeignRecords(t *testing.T) {
	for name, foreign := range map[string]func(*DNS){
		"a TXT record": func(d *DNS) { d.SetTXT(stsName, "theirs") },
		"an alias":     func(d *DNS) { d.SetCNAME(stsName, "elsewhere.example.net") },
		"an address":   func(d *DNS) { d.SetA(stsName, "192.0.2.1") },
	} {
		t.Run(name, func(t *testing.T) {
			f := newExternalDNSFixture(t)
			foreign(f.dns)
			before := f.dns.History(stsName)
			f.put("sts", txt(300, `"ours"`))
			if err := f.sync(); err != nil {
				t.Fatal(err)
			}
			f.put("sts")
			if err := f.sync(); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(before, f.dns.History(stsName)); diff != "" {
				t.Errorf("history (-want +got):\n%s", diff)
			}
		})
	}
}

func TestExternalDNSRepairsItsOwnRecords(t *testing.T) {
	f := newExternalDNSFixture(t)
	f.put("sts", txt(300, `"ours"`))
	if err := f.sync(); err != nil {
		t.Fatal(err)
	}
	f.dns.SetTXT(stsName, "edited by hand")
	if err := f.sync(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"ours"}, f.dns.Records(stsName, "TXT")); diff != "" {
		t.Errorf("after an edit (-want +got):\n%s", diff)
	}
	changes := len(f.dns.History(stsName))
	if err := f.sync(); err != nil {
		t.Fatal(err)
	}
	if got := len(f.dns.History(stsName)); got != changes {
		t.Errorf("%d changes without a cause", got-changes)
	}
}

func TestTXTProviders(t *testing.T) {
	const quoted, plain = `"v=STSv1; id=1;"`, `v=STSv1; id=1;`
	for name, tc := range map[string]struct {
		provider TXTProvider
		target   string
		want     []string
		fails    bool
	}{
		"a quoted target is unquoted":               {provider: Quoted, target: quoted, want: []string{plain}},
		"an unquoted target is refused":             {provider: Quoted, target: plain, fails: true},
		"an unquoted rest is refused":               {provider: Quoted, target: `"a" b`, fails: true},
		"an open quotation mark is refused":         {provider: Quoted, target: `"a`, fails: true},
		"a string too long is refused":              {provider: Quoted, target: `"` + string(make([]byte, 256)) + `"`, fails: true},
		"a quoted target is one string":             {provider: Splitting, target: quoted, want: []string{plain}},
		"an unquoted target is split at its spaces": {provider: Splitting, target: plain, want: []string{"v=STSv1;", "id=1;"}},
		"quotes become part of the record":          {provider: Verbatim, target: quoted, want: []string{quoted}},
		"an unquoted target is taken as it is":      {provider: Verbatim, target: plain, want: []string{plain}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := tc.provider.characterStrings(tc.target)
			if (err != nil) != tc.fails {
				t.Fatalf("error %v, want one: %t", err, tc.fails)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("strings (-want +got):\n%s", diff)
			}
		})
	}
}
