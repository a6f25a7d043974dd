package resources_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/controllers/internal/resources"
	"github.com/mta-sts-operator/mta-sts-operator/internal/config"
)

var update = flag.Bool("update", false, "rewrite the golden files")

const (
	id    = "2026112812000012345678"
	entry = id + "\nversion: STSv1\r\nmode: testing\r\nmx: mx1.example.com\r\nmax_age: 604800\r\n"
)

// scene is one set of inputs; what is built from it lies in testdata/<name>.
type scene struct {
	cfg       config.Operator
	delivery  v1alpha1.Delivery
	addresses []string // what the Ingress reports
	shards    int
	metrics   string // the namespace that may ask the metrics port
}

func scenes() map[string]scene {
	defaults := config.Default()
	defaults.Server.Image = "example/mta-sts-operator:v1"
	return map[string]scene{
		"defaults":   {cfg: withIssuer(defaults), addresses: []string{"192.0.2.1"}, shards: 1, metrics: "mta-sts-system"},
		"everything": everything(),
		"manual": {cfg: defaults, shards: 1, delivery: v1alpha1.Delivery{
			DNS:         v1alpha1.DNSSpec{Provider: v1alpha1.DNSManual},
			Exposure:    v1alpha1.ExposureSpec{Type: v1alpha1.ExposureNone},
			Certificate: v1alpha1.CertificateSpec{Source: v1alpha1.CertificateNone},
		}},
		"ingress-without-tls": {cfg: defaults, delivery: v1alpha1.Delivery{
			Certificate: v1alpha1.CertificateSpec{Source: v1alpha1.CertificateNone},
		}},
		"secret": {cfg: withIssuer(defaults), delivery: v1alpha1.Delivery{Certificate: v1alpha1.CertificateSpec{
			Source: v1alpha1.CertificateSecret, SecretRef: v1alpha1.SecretReference{Name: "wildcard"},
		}}},
		"addresses":   {cfg: defaults, addresses: []string{"2001:db8::2", "192.0.2.9", "lb.example.net", "2001:0db8::0001", "192.0.2.10", "::ffff:192.0.2.9", ""}},
		"cname":       {cfg: defaults, addresses: []string{"LB2.example.net.", "lb10.example.net"}},
		"many-shards": {cfg: defaults, shards: 5},
	}
}

func withIssuer(cfg config.Operator) config.Operator {
	cfg.Issuer.Name = "internal"
	return cfg
}

func everything() scene {
	data, err := os.ReadFile("../../../internal/config/testdata/everything.yaml")
	if err != nil {
		panic(err)
	}
	cfg, err := config.Parse(data)
	if err != nil {
		panic(err)
	}
	return scene{
		cfg: cfg, shards: 3, metrics: "operators",
		addresses: []string{"198.51.100.1"}, // the targets count instead
		delivery: v1alpha1.Delivery{
			TLSReporting: &v1alpha1.TLSReporting{RUA: []string{"mailto:tls@example.com", "https://r.example.com/tls"}, TTLSeconds: 7200},
			DNS: v1alpha1.DNSSpec{
				Provider: v1alpha1.DNSExternalDNS, TXTFormat: v1alpha1.TXTQuoted, TTLSeconds: 60,
				Targets: []string{"203.0.113.5"},
			},
			Exposure: v1alpha1.ExposureSpec{Type: v1alpha1.ExposureIngress, Ingress: v1alpha1.IngressSpec{
				ClassName: "haproxy",
				Annotations: map[string]string{
					"example.com/load-balancer-group":       "mail",
					"external-dns.kubernetes.io/controller": "dns-controller",
					v1alpha1.DomainAnnotation:               "evil.example",
				},
			}},
			Certificate: v1alpha1.CertificateSpec{
				Source:    v1alpha1.CertificateIssuer,
				IssuerRef: v1alpha1.IssuerReference{Name: "aws", Kind: "AWSPCAIssuer", Group: "awspca.cert-manager.io"},
				Annotations: map[string]string{
					"acme.cert-manager.io/http01-override-ingress-name": "mta-sts.example.com",
					v1alpha1.DomainAnnotation:                           "evil.example",
				},
			},
		},
	}
}

func publication() *v1alpha1.MTASTSPublication {
	return &v1alpha1.MTASTSPublication{
		ObjectMeta: metav1.ObjectMeta{
			Name: "example.com", Namespace: "mail", UID: "11111111-2222-3333-4444-555555555555",
			Labels: map[string]string{"app.kubernetes.io/instance": "somebody-else"},
		},
		Spec: v1alpha1.MTASTSPublicationSpec{Domain: "example.com"},
	}
}

func (s scene) domain() resources.Domain {
	return resources.NewDomain(publication(), resources.Effective(s.delivery, s.cfg))
}

func (s scene) server() resources.Server {
	return resources.Server{
		Namespace: "mail", Anchor: "66666666-7777-8888-9999-000000000000",
		Shards: s.shards, OperatorNamespace: s.metrics, Config: s.cfg.Server,
	}
}

// objects are what a reconciler would apply in the scene, by file name.
func (s scene) objects() map[string]any {
	d, all := s.domain(), map[string]any{}
	if d.Exposure == v1alpha1.ExposureIngress {
		names := resources.IngressNames(d.Name)
		all["ingress"] = d.Ingress(names[0])
		if d.ClassName != nil {
			all["ingress-in-its-place"] = d.Ingress(names[1], "/.well-known/mta-sts-way/"+resources.WayToken(names[1]))
		}
	}
	if d.Issuer.Name != "" {
		all["certificate"] = d.Certificate()
	}
	if d.Provider == v1alpha1.DNSExternalDNS {
		targets := d.Targets
		if len(targets) == 0 {
			targets = s.addresses
		}
		if host := d.HostEndpoint(targets); host != nil {
			all["dnsendpoint-host"] = host
		}
		if report := d.TLSRPTEndpoint(); report != nil {
			all["dnsendpoint-tlsrpt"] = report
		}
		all["dnsendpoint-id"] = d.TXTEndpoint(id)
	}
	if s.shards > 0 {
		server := s.server()
		all["serviceaccount"] = server.ServiceAccount()
		all["deployment"] = server.Deployment()
		all["service"] = server.Service()
		all["poddisruptionbudget"] = server.PodDisruptionBudget()
		all["networkpolicy"] = server.NetworkPolicy()
		all["configmap"] = server.Shard(s.shards-1, map[string]string{"mta-sts.example.com": entry})
	}
	return all
}

func TestGolden(t *testing.T) {
	for name, s := range scenes() {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join("testdata", name)
			compareGolden(t, dir, s.objects())
		})
	}
}

func compareGolden(t *testing.T, dir string, objects map[string]any) {
	t.Helper()
	if *update {
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(dir, 0o750); err != nil {
			t.Fatal(err)
		}
	}
	for kind, object := range objects {
		got, err := yaml.Marshal(object)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, kind+".golden.yaml")
		if *update {
			if err := os.WriteFile(path, got, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), string(got)); diff != "" {
			t.Errorf("%s: -want +got:\n%s", path, diff)
		}
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if _, ok := objects[strings.TrimSuffix(file.Name(), ".golden.yaml")]; !ok {
			t.Errorf("%s/%s is no longer built", dir, file.Name())
		}
	}
}

func TestBuildersKeepTheirInputsAsTheyAre(t *testing.T) {
	for name, s := range scenes() {
		before, err := yaml.Marshal([]any{s.cfg, s.delivery})
		if err != nil {
			t.Fatal(err)
		}
		s.objects()
		after, err := yaml.Marshal([]any{s.cfg, s.delivery})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(before), string(after)); diff != "" {
			t.Errorf("%s: -before +after:\n%s", name, diff)
		}
	}
}

func TestNothingOfThePublicationsOwnMetadataIsCopied(t *testing.T) {
	for name, s := range scenes() {
		for kind, object := range s.objects() {
			data, err := yaml.Marshal(object)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(data), "somebody-else") {
				t.Errorf("%s/%s has a label of the publication", name, kind)
			}
		}
	}
}

func TestAShardKeepsTheEntriesOfItsCaller(t *testing.T) {
	entries := map[string]string{"mta-sts.example.com": entry}
	shard := resources.Server{Namespace: "mail"}.Shard(7, entries)
	if len(entries) != 1 {
		t.Errorf("the caller's map became %v", entries)
	}
	want := map[string]string{"mta-sts.example.com": entry, "_shard-7": "mta-sts shard v1\n"}
	if diff := cmp.Diff(want, shard.Data); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if empty := (resources.Server{}).Shard(0, nil); len(empty.Data) != 1 {
		t.Errorf("an empty shard without its marker: %v", empty.Data)
	}
}

func TestServerPodLabelsWinOverTheConfiguration(t *testing.T) {
	s := resources.Server{Config: config.Server{PodLabels: map[string]string{
		v1alpha1.ManagedByLabel: "x", "app.kubernetes.io/name": "x", "team": "mail",
	}}}
	labels := s.Deployment().Spec.Template.Labels
	for key, value := range resources.ServerLabels() {
		if labels[key] != value {
			t.Errorf("%s: got %q, want %q", key, labels[key], value)
		}
	}
	if labels["team"] != "mail" {
		t.Errorf("the configured label is missing in %v", labels)
	}
}

// An operator that does not know its own namespace could not be let in.
func TestWithoutANamespaceOfItsOwnTheOperatorKeepsNobodyOut(t *testing.T) {
	server := resources.Server{Namespace: "mail", Config: config.Server{IngressNamespaces: []string{"traefik"}, MetricsNamespaces: []string{"monitoring"}}}
	for _, rule := range server.NetworkPolicy().Spec.Ingress {
		if len(rule.From) > 0 {
			t.Errorf("port %v is for %v only", *rule.Ports[0].Port, rule.From)
		}
	}
}
