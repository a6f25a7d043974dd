package mtasts_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
)

func TestStringIsCanonical(t *testing.T) {
	tests := []struct {
		name   string
		policy mtasts.Policy
		want   string
	}{
		{
			"mx are lowered, sorted and deduplicated, without trailing dots",
			enforce(604800, "MX2.example.com.", "mx1.example.com", "*.Mail.example.net", "mx2.example.com"),
			"version: STSv1\nmode: enforce\nmx: *.mail.example.net\nmx: mx1.example.com\nmx: mx2.example.com\nmax_age: 604800\n",
		},
		{
			"mode none keeps its mx",
			mtasts.Policy{Mode: mtasts.ModeNone, MX: []string{"a.example"}, MaxAgeSeconds: 86400},
			"version: STSv1\nmode: none\nmx: a.example\nmax_age: 86400\n",
		},
		{
			"mode none without mx",
			mtasts.Policy{Mode: mtasts.ModeNone, MaxAgeSeconds: 86400},
			"version: STSv1\nmode: none\nmax_age: 86400\n",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, test.policy.String()); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			got, err := mtasts.ParsePolicy([]byte(test.policy.String()))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.policy.Canonical(), got); diff != "" {
				t.Errorf("read back, -want +got:\n%s", diff)
			}
		})
	}
}

func TestCanonicalIsACopy(t *testing.T) {
	original := enforce(86400, "b.example", "A.example")
	original.Canonical().MX[0] = "changed"
	if diff := cmp.Diff([]string{"b.example", "A.example"}, original.MX); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestEqualComparesMeaning(t *testing.T) {
	base := enforce(86400, "a.example", "b.example")
	tests := []struct {
		name  string
		other mtasts.Policy
		want  bool
	}{
		{"another order, case, repetition and trailing dot", enforce(86400, "B.example.", "a.example", "b.example"), true},
		{"another mode", mtasts.Policy{Mode: mtasts.ModeTesting, MX: base.MX, MaxAgeSeconds: 86400}, false},
		{"one mx more", enforce(86400, "a.example", "b.example", "c.example"), false},
		{"one mx less", enforce(86400, "a.example"), false},
		{"another max_age", enforce(86401, "a.example", "b.example"), false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if base.Equal(test.other) != test.want || test.other.Equal(base) != test.want {
				t.Errorf("want %v, both ways", test.want)
			}
			if same := base.String() == test.other.String(); same != test.want {
				t.Errorf("same bytes: %v, want %v", same, test.want)
			}
		})
	}
	if !(mtasts.Policy{MX: nil}).Equal(mtasts.Policy{MX: []string{}}) {
		t.Error("nil and empty mx differ")
	}
}

func TestValidateAcceptsWhatWePublish(t *testing.T) {
	_, hundred := mxLines(100)
	for name, policy := range map[string]mtasts.Policy{
		"enforce":                       enforce(604800, "mx1.example.com", "*.example.net"),
		"testing":                       {Mode: mtasts.ModeTesting, MX: []string{"a.example"}, MaxAgeSeconds: 604800},
		"none with mx":                  {Mode: mtasts.ModeNone, MX: []string{"a.example"}, MaxAgeSeconds: 86400},
		"the least max_age":             enforce(mtasts.MinMaxAgeSeconds, "a.example"),
		"the greatest max_age":          enforce(mtasts.MaxMaxAgeSeconds, "a.example"),
		"100 mx":                        enforce(86400, hundred...),
		"a body of exactly 10000 bytes": bodyOf(t, mtasts.MaxBodyBytes),
	} {
		if err := policy.Validate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestValidateSaysWhatToWriteInstead(t *testing.T) {
	_, tooMany := mxLines(101)
	tests := []struct {
		name   string
		policy mtasts.Policy
		want   []string
	}{
		{"no mode", mtasts.Policy{MX: []string{"a.example"}, MaxAgeSeconds: 86400}, []string{`mode "": write enforce, testing or none`}},
		{"a capital mode", mtasts.Policy{Mode: "Enforce", MX: []string{"a.example"}, MaxAgeSeconds: 86400}, []string{"write enforce, testing or none"}},
		{"none without mx", mtasts.Policy{Mode: mtasts.ModeNone, MaxAgeSeconds: 86400}, []string{"no mx pattern: write at least one, in every mode"}},
		{"101 mx", enforce(86400, tooMany...), []string{"101 mx patterns: write at most 100"}},
		{"max_age below a day", enforce(86399, "a.example"), []string{"max_age 86399: write 86400"}},
		{"max_age zero", enforce(0, "a.example"), []string{"max_age 0: write 86400"}},
		{"max_age of the full year", enforce(31557600, "a.example"), []string{"max_age 31557600: write 31557599"}},
		{"a bad pattern, with its place", enforce(86400, "a.example", "b.example."), []string{`mx[1]: "b.example.": drop the trailing dot: write "b.example"`}},
		{"a body of 10001 bytes", bodyOf(t, mtasts.MaxBodyBytes+1), []string{"the policy is 10001 bytes long", "write fewer or shorter mx"}},
		{
			"all faults at once",
			mtasts.Policy{Mode: "off", MX: []string{"*", "MX.example"}, MaxAgeSeconds: 1},
			[]string{`mode "off"`, "mx[0]", "mx[1]", "max_age 1"},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := test.policy.Validate()
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

func TestCovers(t *testing.T) {
	policy := enforce(86400, "mx1.example.com", "*.example.net")
	for host, want := range map[string]bool{
		"mx1.example.com": true, "MX9.example.net.": true, "mx2.example.com": false, "example.net": false, "": false,
	} {
		if got := policy.Covers(host); got != want {
			t.Errorf("%q: got %v, want %v", host, got, want)
		}
	}
}

// bodyOf returns a policy whose rendered body has n bytes: 72 lines of equal
// length and one that fills up.
func bodyOf(t *testing.T, n int) mtasts.Policy {
	t.Helper()
	policy := enforce(86400)
	for i := range 72 {
		policy.MX = append(policy.MX, fmt.Sprintf("mx%02d.%s.%s.example", i, strings.Repeat("a", 63), strings.Repeat("b", 56)))
	}
	missing := n - len(policy.String()) - len("mx: .example\n")
	policy.MX = append(policy.MX, strings.Repeat("c", missing)+".example")
	if got := len(policy.String()); got != n {
		t.Fatalf("the body has %d bytes, want %d", got, n)
	}
	return policy
}
