package crd_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
	"github.com/mta-sts-operator/mta-sts-operator/internal/tlsrpt"
)

// What admission lets pass must be publishable, and what is publishable must pass: CEL and the Go
// validation are two texts of the same rules.

// admit asks the API server about a policy without creating it. The error is a refusal.
func admit(t *testing.T, change func(*v1alpha1.MTASTSPolicySpec)) error {
	t.Helper()
	policy := &v1alpha1.MTASTSPolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "example"},
		Spec: v1alpha1.MTASTSPolicySpec{
			Domain: "example.com", Mode: v1alpha1.ModeTesting, MX: []string{"mx1.example.com"}, MaxAgeSeconds: 604800,
		},
	}
	change(&policy.Spec)
	err := api.Create(t.Context(), policy, client.DryRunAll)
	if err != nil && !apierrors.IsInvalid(err) {
		t.Fatal(err)
	}
	return err
}

func compareVerdicts(t *testing.T, input any, admission, validation error) {
	t.Helper()
	if (admission == nil) != (validation == nil) {
		t.Errorf("%q\nadmission:  %v\nvalidation: %v", input, admission, validation)
	}
}

var longLabel = strings.Repeat("a", 63)

// names is for domains and MX patterns alike.
var names = []string{
	"example.com", "a.b", "a.b.c.d.e.f", "xn--bcher-kva.example", "bücher.example", "BÜCHER.example",
	"Example.com", "example.COM", "example.com.", "example.com..", ".", "..", ".example.com", "example..com",
	"localhost", "com", "1", "123", "1.2", "1.2.3.4", "127.1", "192.0.2.1", "192.0.2.1.", "192.0.2.256",
	"1.example", "example.1", "example.1a", "example.a1", "example.0x1", "1a.2b", "[192.0.2.1]", "::1", "2001:db8::1",
	"[2001:db8::1]", "::ffff:192.0.2.1", "fe80::1%eth0", "mx.example.com:25", "-a.example", "a-.example", "a.-example", "a.example-",
	"a--b.example", "-.example", "a.-", "_mta-sts.example.com", "a_b.example", "example._com", "*", "*.", "*.*", "*.com",
	"*.example.com", "*.*.example.com", "**.example.com", "*a.example.com", "a*.example.com", "mx*.b", "a.*.example.com", "a.*", "*..example.com",
	"*.192.0.2.1", "*.Example.com", "*.example.com.", "*.-a.example", "*_.example",
	"a b.example", " example.com", "example.com ", "example.com\n", "\texample.com", "example.com,example.org", "example.com;", "example.com example.org",
	"https://example.com", "https://example.com/", "example.com/x", "user@example.com", "@example.com", "a\x00.example", "a.example\x7f", "a!.example", "a'b.example",
	"a\u200b.example", "a\u212a.example", "\u0131.example", "example\u3002com", "😀.example",
	longLabel + ".example", longLabel + "a.example", "example." + longLabel, "example." + longLabel + "a", "*." + longLabel + ".example",
}

var reportAddresses = []string{
	"", "x", "mailto:", "https:", "https://", "https:///", "http://a.example", "ftp://a.example", "MAILTO:a@a.example", "HTTPS://a.example", "tls@a.example",
	"mailto:a@a.example", "mailto:a.b@a.example", "mailto:a..b@a.example", "mailto:.a@a.example", "mailto:a.@a.example", "mailto:a+b@a.example",
	"mailto:a_b~c-d$e'f*g@a.example", "mailto:a#b@a.example", "mailto:a&b@a.example", "mailto:a/b@a.example", "mailto:a=b@a.example", "mailto:a^b@a.example",
	"mailto:a%2Bb@a.example", "mailto:a!b@a.example", "mailto:a@b@a.example", "mailto:a@a.example?subject=x", "mailto:a@a.example,b@a.example",
	"mailto:a@a.example,mailto:b@a.example", "mailto:a@a.example;", "mailto: a@a.example", "mailto:a@a.example ", "mailto:\"a b\"@a.example", "mailto:ü@a.example",
	"mailto:a@bücher.example", "mailto:a@xn--bcher-kva.example", "mailto:A@A.EXAMPLE", "mailto:a@localhost", "mailto:a@a.example.", "mailto:a@[192.0.2.1]", "mailto:a@192.0.2.1",
	"mailto:a@-a.example", "mailto:a@a-.example", "mailto:a@a_b.example", "mailto:a@a..example", "mailto:a@a.1x", "mailto:@a.example", "mailto:a", "mailto://a@a.example",
	"https://a.example", "https://a.example/", "https://a.example/b?c=d", "https://a.example#b", "https://a.example/#b", "https://a.example?b", "https://localhost/",
	"https://192.0.2.1/", "https://[2001:db8::1]/", "https://[2001:db8::1", "https://[x]/", "https://a.example:443/", "https://a.example:/", "https://a.example:x/", "https://:443/",
	"https://a.example:99999/", "https://u@a.example/", "https://u:p@a.example/", "https://@a.example/", "https://a.example/u@b", "https://a.example/?u@b",
	"https://a.example/%2C", "https://a.example/%", "https://a.example/%2", "https://a.example/%zz", "https://a%2Cb.example/", "https://a_b.example/", "https://-/",
	"https://a.example/a b", "https://a.example/a,b", "https://a.example/a;b", "https://a.example/a!b", "https://a.example/ü", "https://bücher.example/", "https://a.example/\"", "https://a.example/<>", "https://a.example/{}", "https://a.example/[]",
	"https://a.example/\\", "https://a.example/\n", "https://a.example/\x7f", "https://a.example/^", "https://a.example/|", "https://a.example/`", "https:// a.example/", " https://a.example/", "https:/a.example", "https:a.example",
}

// nameOfLength returns a name of n bytes, at most 305.
func nameOfLength(n int) string {
	name := strings.Repeat(strings.Repeat("a", 50)+".", 6)[:n]
	if cut, ok := strings.CutSuffix(name, "."); ok {
		return cut + "a"
	}
	return name
}

func TestDomainsAgree(t *testing.T) {
	for _, domain := range append(names, "", nameOfLength(242), nameOfLength(243), nameOfLength(253)) {
		admission := admit(t, func(spec *v1alpha1.MTASTSPolicySpec) { spec.Domain = domain })
		compareVerdicts(t, domain, admission, mtasts.ValidateDomain(domain))
	}
}

func TestPatternsAgree(t *testing.T) {
	random := rand.New(rand.NewPCG(8461, 1))
	patterns := append(slices.Clone(names), "", nameOfLength(252), nameOfLength(253))
	for range 2000 {
		patterns = append(patterns, randomText(random, "a", "a", "b2", "b2", "com", "com", "1", "-", ".", ".", ".", ".", ".", ".", "*.", "*", "_", ":", "A", "é", " ", ",", "/", longLabel))
	}
	patterns = slices.DeleteFunc(patterns, func(pattern string) bool { return len(pattern) > 253 }) // would hide the other answers
	compareItems(t, patterns, 100, "spec.mx",
		func(spec *v1alpha1.MTASTSPolicySpec, items []string) { spec.MX = items }, mtasts.ValidatePattern)

	tooLong := nameOfLength(254)
	compareVerdicts(t, tooLong, admit(t, func(spec *v1alpha1.MTASTSPolicySpec) { spec.MX = []string{tooLong} }), mtasts.ValidatePattern(tooLong))
}

func TestReportAddressesAgree(t *testing.T) {
	addresses := slices.Clone(reportAddresses)
	random := rand.New(rand.NewPCG(8460, 1))
	for range 1500 {
		addresses = append(addresses,
			"mailto:"+randomText(random, "a", "1", ".", "@", "@a.example", "-", "+", "_", "%2B", "?", "é", " ", ",", "com", ":", "/"),
			"https://"+randomText(random, "a", "1", ".", "@", "a.example", "-", ":", ":1", "/", "%2C", "%", "?", "#", "[", "]", "::1", "é", " ", ",", ";"))
	}
	compareItems(t, addresses, 8, "spec.tlsReporting.rua", func(spec *v1alpha1.MTASTSPolicySpec, items []string) {
		spec.TLSReporting = &v1alpha1.TLSReporting{RUA: items}
	}, func(address string) error { return tlsrpt.Record{RUA: []string{address}}.Validate() })
}

func TestRecordLengthsAgree(t *testing.T) {
	address := func(n int) string {
		return "https://a.example/" + strings.Repeat("a", n-len("https://a.example/"))
	}
	for _, rua := range [][]string{
		{address(238)},
		{address(239)},
		{address(240)},
		{address(255)},
		{address(119), address(119)},
		{address(120), address(119)},
		{address(100), address(69), address(68)},
		{address(100), address(70), address(68)},
	} {
		admission := admit(t, func(spec *v1alpha1.MTASTSPolicySpec) { spec.TLSReporting = &v1alpha1.TLSReporting{RUA: rua} })
		compareVerdicts(t, rua, admission, tlsrpt.Record{RUA: rua}.Validate())
	}
}

func TestPoliciesAgree(t *testing.T) {
	hosts := func(n int) []string {
		mx := make([]string, n)
		for i := range mx {
			mx[i] = fmt.Sprintf("mx%d.example.com", i)
		}
		return mx
	}
	// bodyOf returns patterns for a body of mode testing and a max_age of six digits.
	bodyOf := func(bytes int) []string {
		var mx []string
		rest := bytes - len("version: STSv1\nmode: testing\nmax_age: 604800\n")
		for ; rest > 400; rest -= 200 {
			mx = append(mx, fmt.Sprintf("m%d.%s", 100+len(mx), nameOfLength(200-10)))
		}
		return append(mx, "x."+nameOfLength(rest/2-7), "y."+nameOfLength(rest-rest/2-7))
	}
	for _, policy := range []struct {
		name   string
		mode   v1alpha1.Mode
		mx     []string
		maxAge int32
	}{
		{"the usual", v1alpha1.ModeTesting, hosts(1), 604800},
		{"none with a host", v1alpha1.ModeNone, hosts(1), 604800},
		{"none without a host", v1alpha1.ModeNone, nil, 604800},
		{"another mode", "Enforce", hosts(1), 604800},
		{"100 hosts", v1alpha1.ModeEnforce, hosts(100), 604800},
		{"101 hosts", v1alpha1.ModeEnforce, hosts(101), 604800},
		{"a second less than a day", v1alpha1.ModeEnforce, hosts(1), 86399},
		{"a day", v1alpha1.ModeEnforce, hosts(1), 86400},
		{"a second less than a year", v1alpha1.ModeEnforce, hosts(1), 31557599},
		{"a year", v1alpha1.ModeEnforce, hosts(1), 31557600},
		{"a second more than a year", v1alpha1.ModeEnforce, hosts(1), 31557601},
		{"a negative time", v1alpha1.ModeEnforce, hosts(1), -1},
		{"9999 bytes", v1alpha1.ModeTesting, bodyOf(9999), 604800},
		{"10000 bytes", v1alpha1.ModeTesting, bodyOf(10000), 604800},
		{"10001 bytes", v1alpha1.ModeTesting, bodyOf(10001), 604800},
		{"10003 bytes with three fewer for the mode", v1alpha1.ModeNone, bodyOf(10003), 604800},
		{"10004 bytes with three fewer for the mode", v1alpha1.ModeNone, bodyOf(10004), 604800},
		{"10001 bytes with one fewer for the time", v1alpha1.ModeTesting, bodyOf(10001), 86400},
		{"10002 bytes with one fewer for the time", v1alpha1.ModeTesting, bodyOf(10002), 86400},
	} {
		t.Run(policy.name, func(t *testing.T) {
			admission := admit(t, func(spec *v1alpha1.MTASTSPolicySpec) {
				spec.Mode, spec.MX, spec.MaxAgeSeconds = policy.mode, policy.mx, policy.maxAge
			})
			validation := mtasts.Policy{Mode: mtasts.Mode(policy.mode), MX: policy.mx, MaxAgeSeconds: int64(policy.maxAge)}.Validate()
			compareVerdicts(t, policy.name, admission, validation)
		})
	}
}

// compareItems puts many inputs into one request and reads the answer for each from its index.
func compareItems(t *testing.T, inputs []string, perRequest int, path string,
	set func(*v1alpha1.MTASTSPolicySpec, []string), validate func(string) error,
) {
	t.Helper()
	slices.Sort(inputs)
	inputs = slices.Compact(inputs) // mx is a set
	accepted := 0
	for items := range slices.Chunk(inputs, perRequest) {
		refused := map[string]string{}
		for _, cause := range causes(admit(t, func(spec *v1alpha1.MTASTSPolicySpec) { set(spec, items) })) {
			refused[cause.Field] = cause.Message
		}
		for i, item := range items {
			var admission error
			if message, ok := refused[fmt.Sprintf("%s[%d]", path, i)]; ok {
				admission = fmt.Errorf("%s", message)
			} else {
				accepted++
			}
			compareVerdicts(t, item, admission, validate(item))
		}
	}
	t.Logf("%d of %d were accepted", accepted, len(inputs))
	if accepted < 20 {
		t.Error("hardly anything is accepted: this compares nothing")
	}
}

// randomText joins some of the parts.
func randomText(random *rand.Rand, parts ...string) string {
	var text strings.Builder
	for range 1 + random.IntN(7) {
		text.WriteString(parts[random.IntN(len(parts))])
	}
	return text.String()
}
