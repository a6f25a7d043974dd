package config_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/mta-sts-operator/mta-sts-operator/internal/config"
)

var update = flag.Bool("update", false, "rewrite the golden files")

const header = "apiVersion: config.mtasts.dev/v1alpha1\nkind: OperatorConfiguration\n"

// minimal is the shortest file that works.
const minimal = header + "server: {image: example/operator:v1}\n"

func TestDefault(t *testing.T) {
	got, err := yaml.Marshal(config.Default())
	if err != nil {
		t.Fatal(err)
	}
	const golden = "testdata/default.golden.yaml"
	if *update {
		if err := os.WriteFile(golden, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestAMinimalFileIsTheDefaultWithAnImage(t *testing.T) {
	want := config.Default()
	want.Server.Image = "example/operator:v1"
	if diff := cmp.Diff(want, parse(t, minimal)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestEverythingSetReadsBack(t *testing.T) {
	data, err := os.ReadFile("testdata/everything.yaml")
	if err != nil {
		t.Fatal(err)
	}
	o := parse(t, string(data))
	again, err := yaml.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(o, parse(t, string(again))); diff != "" {
		t.Errorf("-first +second:\n%s", diff)
	}
	if got, want := o.Server.PodLabels["sidecar.istio.io/inject"], "false"; got != want {
		t.Errorf("a label of one's own took the sidecar opt-out away: %q", got)
	}
	if _, ok := o.Server.Resources.Limits[corev1.ResourceMemory]; ok {
		t.Error("resources of one's own were mixed with the default")
	}
	if got := o.Server.PodAnnotations["linkerd.io/inject"]; got != "enabled" {
		t.Errorf("the opt-out cannot be replaced: %q", got)
	}
}

func TestLoad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.yaml")
	if _, err := config.Load(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("of a missing file: got %v, want its path", err)
	}
	if err := os.WriteFile(path, []byte(header), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := config.Load(path); err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "server.image") {
		t.Errorf("of a faulty file: got %v, want its path and its fault", err)
	}
	if err := os.WriteFile(path, []byte(minimal), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := config.Load(path); err != nil {
		t.Error(err)
	}
}

func TestParseIsStrict(t *testing.T) {
	for name, test := range map[string]struct{ data, want string }{
		"an empty file":                     {"", "apiVersion: \"\" is unknown: write config.mtasts.dev/v1alpha1"},
		"another version":                   {strings.Replace(minimal, "v1alpha1", "v2", 1), "write config.mtasts.dev/v1alpha1"},
		"another kind":                      {strings.Replace(minimal, "OperatorC", "C", 1), "write OperatorConfiguration"},
		"an unknown field":                  {minimal + "isuer: {name: x}\n", `"isuer"`},
		"an unknown field further down":     {minimal + "dns: {ttl: 60}\n", `"ttl"`},
		"a repeated field":                  {minimal + "dns: {}\ndns: {}\n", `"dns"`},
		"a wrong type":                      {minimal + "dns: {ttlSeconds: soon}\n", "ttlSeconds"},
		"resources that are no quantities":  {header + "server: {image: x, resources: {limits: {memory: much}}}\n", "quantities"},
		"something else than a YAML object": {"- a\n", "array"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := config.Parse([]byte(test.data))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q in it", err, test.want)
			}
		})
	}
}

func TestValidateSaysWhatToWriteInstead(t *testing.T) {
	tests := []struct {
		name   string
		change func(*config.Operator)
		want   string
	}{
		{"an issuer without name", func(o *config.Operator) { o.Issuer.Kind = "ClusterIssuer" }, "issuer.name: is missing: write"},
		{"an issuer's name with capitals", func(o *config.Operator) { o.Issuer.Name = "LE" }, `issuer.name: "LE" is no name`},
		{"an issuer's group that is none", func(o *config.Operator) { o.Issuer = config.Issuer{Name: "a", Group: "b/c"} }, "issuer.group"},
		{"a class with a blank", func(o *config.Operator) { o.Ingress.ClassName = "my class" }, "ingress.className"},
		{"an annotation that is no key", func(o *config.Operator) { o.Ingress.Annotations = map[string]string{"a b": ""} }, `ingress.annotations: "a b" is no key: write`},
		{"an annotation of ours", func(o *config.Operator) { o.Ingress.Annotations = map[string]string{"mtasts.dev/domain": ""} }, "remove it"},
		{"a short TTL", func(o *config.Operator) { o.DNS.TTLSeconds = 59 }, "dns.ttlSeconds: 59 is out of range: write 60 to 3600"},
		{"a long TTL", func(o *config.Operator) { o.DNS.TTLSeconds = 3601 }, "dns.ttlSeconds"},
		{"a TXT format in lower case", func(o *config.Operator) { o.DNS.TXTFormat = "quoted" }, "dns.txtFormat: \"quoted\" is unknown: write Quoted or Unquoted"},
		{"a target with a trailing dot", func(o *config.Operator) { o.DNS.Targets = []string{"lb.example.net."} }, "dns.targets[0]"},
		{"a wildcard target", func(o *config.Operator) { o.DNS.Targets = []string{"*.example.net"} }, "dns.targets[0]"},
		{"a link-local target", func(o *config.Operator) { o.DNS.Targets = []string{"fe80::1%eth0"} }, "zone"},
		{"two host names", func(o *config.Operator) { o.DNS.Targets = []string{"a.example.net", "b.example.net"} }, "exactly one host name"},
		{"a host name among addresses", func(o *config.Operator) { o.DNS.Targets = []string{"192.0.2.1", "b.example.net"} }, "dns.targets[1]"},
		{"a namespace that is a pattern", func(o *config.Operator) { o.Server.MetricsNamespaces = []string{"a*"} }, `server.metricsNamespaces[0]: "a*" is no namespace`},
		{"an Ingress controller's namespaces as a pattern", func(o *config.Operator) { o.Server.IngressNamespaces = []string{"traefik", "a*"} }, `server.ingressNamespaces[1]: "a*" is no namespace`},
		{"a label value with a blank", func(o *config.Operator) { o.DNS.Labels = map[string]string{"a": "b c"} }, `dns.labels: "b c" is no label value`},
		{"a label of ours", func(o *config.Operator) { o.DNS.Labels = map[string]string{"app.kubernetes.io/managed-by": "me"} }, "remove it"},
		{"a DNS annotation that is no key", func(o *config.Operator) { o.DNS.Annotations = map[string]string{"/": ""} }, "dns.annotations"},
		{"a short TTL of reports", func(o *config.Operator) { o.TLSReporting.TTLSeconds = 1 }, "tlsReporting.ttlSeconds: 1 is out of range: write 60 to 86400"},
		{"a report domain with an address", func(o *config.Operator) { o.TLSReporting.AllowedDomains = []string{"a@example.com"} }, "tlsReporting.allowedDomains[0]"},
		{"a resolver by name", func(o *config.Operator) { o.Looks.Resolvers = []string{"dns.google"} }, "looks.resolvers[0]"},
		{"a resolver on port 0", func(o *config.Operator) { o.Looks.Resolvers = []string{"192.0.2.53:0"} }, "looks.resolvers[0]"},
		{"relative roots", func(o *config.Operator) { o.Looks.ExtraRootsFile = "ca.pem" }, "write an absolute path"},
		{"an unknown reachability", func(o *config.Operator) { o.Looks.Reachability = "" }, "write Public or Cluster"},
		{"a denied address without length", deny("203.0.113.0"), `looks.deny[0]: "203.0.113.0" is no network: write an address and the length`},
		{"a denied name", deny("192.0.2.0/24", "internal.example/24"), `looks.deny[1]: "internal.example/24" is no network`},
		{"a denied network with bits to spare", deny("203.0.113.7/24"), "write 203.0.113.0/24, or 203.0.113.7/32 for this address alone"},
		{"a denied IPv6 network with bits to spare", deny("2001:db8::7/32"), "write 2001:db8::/32, or 2001:db8::7/128"},
		{"a denied IPv4 network in IPv6", deny("::ffff:203.0.113.0/120"), "write it as IPv4"},
		{"a denied network with a zone", deny("fe80::%eth0/10"), "is no network"},
		{"a rule without namespaces", rule(nil, []string{"*"}), "domains[0].namespaces: is empty"},
		{"a rule without domains", rule([]string{"*"}, nil), "domains[0].allow: is empty"},
		{"a namespace with * in front", rule([]string{"*-mail"}, []string{"*"}), "domains[0].namespaces[0]"},
		{"a namespace with a dot", rule([]string{"a.b"}, []string{"*"}), "domains[0].namespaces[0]"},
		{"a domain in capitals", rule([]string{"a"}, []string{"Example.com"}), "domains[0].allow[0]"},
		{"a domain with * inside", rule([]string{"a"}, []string{"example.com", "a.*.com"}), "domains[0].allow[1]"},
		{"a domain with a * before no dot", rule([]string{"a"}, []string{"*example.com"}), "domains[0].allow[0]"},
		{"no image", func(o *config.Operator) { o.Server.Image = "" }, "server.image"},
		{"an image with a line break", func(o *config.Operator) { o.Server.Image = "a\n" }, "server.image"},
		{"an unknown pull policy", func(o *config.Operator) { o.Server.ImagePullPolicy = "always" }, "write Always, IfNotPresent or Never"},
		{"a pull secret without name", func(o *config.Operator) { o.Server.ImagePullSecrets = []corev1.LocalObjectReference{{}} }, "server.imagePullSecrets[0].name"},
		{"no replica", func(o *config.Operator) { o.Server.Replicas = 0 }, "server.replicas: 0 is out of range: write 1 to 100"},
		{"a pod label that selects", func(o *config.Operator) { o.Server.PodLabels["app.kubernetes.io/name"] = "x" }, "server.podLabels"},
		{"a pod annotation of ours", func(o *config.Operator) { o.Server.PodAnnotations["mtasts.dev/x"] = "x" }, "server.podAnnotations"},
		{"a node selector that is no label", func(o *config.Operator) { o.Server.NodeSelector = map[string]string{"a": "!"} }, "server.nodeSelector"},
		{"a priority class that is no name", func(o *config.Operator) { o.Server.PriorityClassName = "A" }, "server.priorityClassName"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			o := parse(t, minimal)
			test.change(&o)
			err := o.Validate()
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q in it", err, test.want)
			}
		})
	}
}

func deny(networks ...string) func(*config.Operator) {
	return func(o *config.Operator) { o.Looks.Deny = networks }
}

func TestDeniedNetworksAreReadAsTheyAreWritten(t *testing.T) {
	o := parse(t, minimal+"looks: {deny: [203.0.113.0/24, \"2001:db8:1::/48\", 198.51.100.7/32]}\n")
	var got []string
	for _, network := range o.Looks.Denied() {
		got = append(got, network.String())
	}
	if diff := cmp.Diff([]string{"203.0.113.0/24", "2001:db8:1::/48", "198.51.100.7/32"}, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestValidateJoinsAllFaults(t *testing.T) {
	err := config.Operator{}.Validate()
	if err == nil {
		t.Fatal("no error")
	}
	for _, field := range []string{"apiVersion", "kind", "dns.ttlSeconds", "dns.txtFormat", "tlsReporting.ttlSeconds", "looks.reachability", "server.image", "server.replicas"} {
		if !strings.Contains(err.Error(), field+": ") {
			t.Errorf("%s is missing in:\n%v", field, err)
		}
	}
}

func TestMayClaim(t *testing.T) {
	o := config.Operator{Domains: []config.DomainRule{
		{Namespaces: []string{"mail", "team-*"}, Allow: []string{"example.com", "*.customers.example"}},
		{Namespaces: []string{"platform"}, Allow: []string{"*"}},
		{Namespaces: []string{"*"}, Allow: []string{"shared.example"}},
	}}
	for _, test := range []struct {
		name, namespace, domain string
		want                    bool
	}{
		{"the domain named", "mail", "example.com", true},
		{"a domain below it", "mail", "sub.example.com", false},
		{"a domain that ends like it", "mail", "notexample.com", false},
		{"a domain below a wildcard", "mail", "a.customers.example", true},
		{"a domain far below a wildcard", "mail", "b.a.customers.example", true},
		{"the domain under a wildcard itself", "mail", "customers.example", false},
		{"a domain that ends like a wildcard", "mail", "acustomers.example", false},
		{"a namespace with the prefix", "team-a", "example.com", true},
		{"a namespace that is the prefix without hyphen", "team", "example.com", false},
		{"a namespace that begins like an exact one", "mail2", "example.com", false},
		{"a namespace for which everything is allowed", "platform", "any.example", true},
		{"a domain that is allowed to all", "other", "shared.example", true},
		{"a namespace without a rule for the domain", "other", "example.com", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := o.MayClaim(test.namespace, test.domain); got != test.want {
				t.Errorf("got %v", got)
			}
		})
	}
	if !config.Default().MayClaim("any", "any.example") {
		t.Error("without rules not everybody may claim everything")
	}
	for namespace, want := range map[string]bool{"team-a": true, "platform": true, "other": false} {
		if got := o.RuleAllows(namespace, "example.com"); got != want {
			t.Errorf("that a rule allows it to %s is %v", namespace, got)
		}
	}
	o.Domains = []config.DomainRule{{Namespaces: []string{"*"}, Allow: []string{"*"}}}
	if !o.MayClaim("any", "any.example") || o.RuleAllows("any", "any.example") || config.Default().RuleAllows("any", "any.example") {
		t.Error("that everybody may claim everything counts as somebody's decision")
	}
}

// placeholders are rules as a platform with a namespace for each customer writes them.
var placeholders = []config.DomainRule{
	{Namespaces: []string{"customer-*"}, Allow: []string{"{suffix}.customers.example", "*.{suffix}.customers.example"}},
	{Namespaces: []string{"team-*", "ops"}, Allow: []string{"mail.{namespace}.teams.example"}},
	{Namespaces: []string{"mail"}, Allow: []string{"example.com", "shared.example"}},
	{Namespaces: []string{"web"}, Allow: []string{"shared.example"}},
	{Namespaces: []string{"lab-*"}, Allow: []string{"*.labs.example"}},
}

func TestAPlaceholderStandsForWholeLabelsOfTheNamespaceThatClaims(t *testing.T) {
	o := config.Operator{Domains: placeholders}
	for _, test := range []struct {
		name, namespace, domain string
		want                    bool
	}{
		{"its own", "customer-one", "one.customers.example", true},
		{"one below its own", "customer-one", "mail.one.customers.example", true},
		{"one far below its own", "customer-one", "a.b.one.customers.example", true},
		{"another customer's", "customer-one", "two.customers.example", false},
		{"one below another customer's that has its name", "customer-one", "one.two.customers.example", false},
		{"one that ends like its own", "customer-one", "xone.customers.example", false},
		{"one that begins like its own", "customer-one", "one-more.customers.example", false},
		{"a suffix with a hyphen", "customer-one-more", "one-more.customers.example", true},
		{"the domain of all customers", "customer-one", "customers.example", false},
		{"a namespace whose suffix is empty", "customer-", ".customers.example", false},
		{"the whole name", "team-a", "mail.team-a.teams.example", true},
		{"the whole name of a namespace without *", "ops", "mail.ops.teams.example", true},
		{"another's whole name", "team-a", "mail.ops.teams.example", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := o.MayClaim(test.namespace, test.domain); got != test.want {
				t.Errorf("got %v", got)
			}
		})
	}
}

func TestARuleDecidesOnlyIfItLeavesOneNamespaceOfAll(t *testing.T) {
	for _, test := range []struct{ name, domain, want string }{
		{"a name and a domain", "example.com", "mail"},
		{"two names", "shared.example", ""},
		{"any number of names", "a.labs.example", ""},
		{"a suffix", "one.customers.example", "customer-one"},
		{"a suffix below a *", "mail.one.customers.example", "customer-one"},
		{"a name as label", "mail.team-a.teams.example", "team-a"},
		{"the exact name as label", "mail.ops.teams.example", "ops"},
		{"a label that is no such name", "mail.web.teams.example", ""},
		{"a domain without a rule", "example.org", ""},
		{"a domain that is shorter than the pattern", "example", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := config.Operator{Domains: placeholders}
			got, ok := o.SoleClaimant(test.domain)
			if got != test.want || ok != (test.want != "") {
				t.Errorf("got %q, %v", got, ok)
			}
			if ok && !o.MayClaim(got, test.domain) {
				t.Errorf("%s may not claim it", got)
			}
			o.Domains = append(o.Domains, config.DomainRule{Namespaces: []string{"*"}, Allow: []string{"*"}})
			if got, ok := o.SoleClaimant(test.domain); ok {
				t.Errorf("although all may claim it: %s", got)
			}
		})
	}
	if _, ok := config.Default().SoleClaimant("example.com"); ok {
		t.Error("no rule decides")
	}
}

func TestMayReportTo(t *testing.T) {
	var o config.Operator
	o.TLSReporting.AllowedDomains = []string{"example.com", "*.reports.example"}
	for _, test := range []struct {
		rua  string
		want bool
	}{
		{"mailto:tls@example.com", true},
		{"mailto:tls@Example.COM", true},
		{"mailto:tls@sub.example.com", false},
		{"mailto:tls@evil.example@example.com", true},
		{"mailto:example.com@evil.example", false},
		{"https://a.reports.example/tls", true},
		{"https://a.reports.example:8443/tls", true},
		{"https://reports.example/tls", false},
		{"https://evil.example/?a.reports.example", false},
		{"https://example.com@evil.example/", false},
		{"http://example.com/", false},
		{"https://%zz", false},
		{"", false},
	} {
		if got := o.MayReportTo(test.rua); got != test.want {
			t.Errorf("%s: got %v", test.rua, got)
		}
	}
	if !config.Default().MayReportTo("mailto:a@any.example") {
		t.Error("without a list reports may not go anywhere")
	}
}

func rule(namespaces, allow []string) func(*config.Operator) {
	return func(o *config.Operator) {
		o.Domains = []config.DomainRule{{Namespaces: namespaces, Allow: allow}}
	}
}

func parse(t *testing.T, data string) config.Operator {
	t.Helper()
	o, err := config.Parse([]byte(data))
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func TestTheManifestsFileIsRead(t *testing.T) {
	if _, err := config.Load("../../config/manager/config.yaml"); err != nil {
		t.Error(err)
	}
}
