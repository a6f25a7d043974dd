package e2e

import (
	"bytes"
	"context"
	"embed"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/template"
	"time"

	"k8s.io/utils/clock"

	"github.com/mta-sts-operator/mta-sts-operator/test/harness"
)

//go:embed manifests
var manifests embed.FS

// home is the namespace of everything that is not cert-manager or the operator.
const home = "e2e-world"

// world is everything around the stories: who serves, certifies, resolves and sends.
type world struct {
	*cluster
	*peace
	*collector
	authority // of the zone "test"
	ca        *harness.Authority
	started   time.Time
	applied   []string // manifests, for those who come after us
	values    string   // file with those of the operator's chart

	// Of services; the manifests use them, and Roots and CABundle.
	Authority, Resolver, Ingress, Pebble string
	// Roots are the certificate authorities that senders trust, PEM; CABundle is ours alone, in base 64.
	Roots, CABundle string
	ExternalDNS     []externalDNS
}

// externalDNS is one instance of it.
type externalDNS struct {
	Name string
	Args []string
}

// frozen is the domain whose external-dns creates records and never updates them, textless the one whose
// external-dns does not manage TXT records. They are told apart by their namespaces: PowerDNS' provider
// filters zones, and the zone is everybody's.
const (
	frozen   = "frozen.test"
	textless = "textless.test"
)

func newWorld() (*world, error) {
	c, err := newCluster()
	if err != nil {
		return nil, err
	}
	ca, err := harness.NewAuthority(clock.RealClock{})
	if err != nil {
		return nil, fmt.Errorf("creating a certificate authority: %w", err)
	}
	return &world{
		cluster: c, peace: newPeace(), collector: newCollector(), authority: authority{c}, ca: ca, started: time.Now(),
		CABundle: base64.StdEncoding.EncodeToString(ca.PEM()),
		ExternalDNS: []externalDNS{
			{Name: "external-dns", Args: []string{"--policy=sync", "--managed-record-types=TXT", "--domain-filter=test", "--exclude-domains=" + frozen, "--exclude-domains=" + textless}},
			{Name: "external-dns-frozen", Args: []string{"--policy=create-only", "--managed-record-types=TXT", "--domain-filter=test", "--namespace=e2e-frozen"}},
			{Name: "external-dns-textless", Args: []string{"--policy=sync", "--domain-filter=test", "--namespace=e2e-textless"}},
		},
	}, nil
}

// install brings everything up, in the order in which it needs each other.
func (w *world) install(ctx context.Context) error {
	for _, step := range []struct {
		name string
		do   func(context.Context) error
	}{
		{"addresses", w.installServices},
		{"DNS (PowerDNS, unbound)", w.installDNS},
		{"certificate authority (Pebble)", w.installPebble},
		{"external-dns, Postfix", w.installSender},
		{"cert-manager, Traefik", w.installIngress},
		{"operator", w.installOperator},
	} {
		if err := step.do(ctx); err != nil {
			return fmt.Errorf("installing the %s: %w", step.name, err)
		}
		fmt.Fprintf(os.Stderr, "e2e: %s up after %.0f s\n", step.name, time.Since(w.started).Seconds())
	}
	return nil
}

func (w *world) installServices(ctx context.Context) error {
	if err := errors.Join(w.apply(ctx, "services.yaml", w), w.apply(ctx, "nudge.yaml", w)); err != nil {
		return err
	}
	for service, address := range map[string]*string{
		"authority": &w.Authority, "resolver": &w.Resolver, "traefik": &w.Ingress, "pebble": &w.Pebble,
	} {
		var err error
		if *address, err = w.address(ctx, home, service); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) installDNS(ctx context.Context) error {
	if err := w.apply(ctx, "dns.yaml", w); err != nil {
		return err
	}
	if err := w.available(ctx, home, "dns"); err != nil {
		return err
	}
	return errors.Join(
		w.setRecords(ctx, "ns1.test", "A", w.Authority),
		w.setRecords(ctx, "pebble.test", "A", w.Pebble))
}

// installPebble ends with the roots that everybody trusts: Pebble's, and the one of the MX hosts.
func (w *world) installPebble(ctx context.Context) error {
	cert, key, err := w.ca.Issue(24*time.Hour, "pebble.test", "localhost")
	if err != nil {
		return err
	}
	err = errors.Join(w.applyText(ctx, secret(home, "pebble", cert, key)), w.apply(ctx, "pebble.yaml", w))
	if err != nil {
		return err
	}
	if err := w.available(ctx, home, "pebble"); err != nil {
		return err
	}
	return until(ctx, time.Minute, func(ctx context.Context) error {
		root, err := w.get(ctx, home, "services", "https:pebble:15000", "roots/0")
		w.Roots = string(root) + string(w.ca.PEM())
		return err
	})
}

func (w *world) installSender(ctx context.Context) error {
	if err := w.applyFolder(ctx, os.Getenv("E2E_EXTERNAL_DNS_CRDS")); err != nil {
		return err
	}
	err := errors.Join(w.applyText(ctx, configMap(home, "roots", "roots.pem", w.Roots)),
		w.apply(ctx, "external-dns.yaml", w), w.apply(ctx, "sender.yaml", w))
	if err != nil {
		return err
	}
	return w.available(ctx, home, "external-dns", "external-dns-frozen", "external-dns-textless", "sender")
}

func (w *world) installIngress(ctx context.Context) error {
	if err := w.applyFolder(ctx, os.Getenv("E2E_CERT_MANAGER_CRDS")); err != nil {
		return err
	}
	if err := errors.Join(w.apply(ctx, "cert-manager.yaml", w), w.apply(ctx, "traefik.yaml", w)); err != nil {
		return err
	}
	return errors.Join(w.available(ctx, "cert-manager", "cert-manager"), w.available(ctx, home, "traefik"))
}

// apply applies a manifest after filling in data.
func (w *world) apply(ctx context.Context, name string, data any) error {
	text, err := fill(name, data)
	if err != nil {
		return err
	}
	return w.applyText(ctx, text)
}

func fill(name string, data any) (string, error) {
	t, err := template.ParseFS(manifests, "manifests/"+name)
	if err != nil {
		return "", err
	}
	var text bytes.Buffer
	if err := t.Execute(&text, data); err != nil {
		return "", fmt.Errorf("filling in %s: %w", name, err)
	}
	return text.String(), nil
}

// applyText tries again for a while: a kind is known only some time after its CRD was accepted.
func (w *world) applyText(ctx context.Context, manifest string) error {
	w.applied = append(w.applied, manifest)
	return w.try(ctx, manifest)
}

func (w *world) try(ctx context.Context, manifest string) error {
	return until(ctx, 20*time.Second, func(ctx context.Context) error {
		_, err := w.kubectl(ctx, manifest, "apply", "--server-side", "--force-conflicts", "-f", "-")
		return err
	})
}

func (w *world) applyFolder(ctx context.Context, folder string) error {
	files, err := filepath.Glob(filepath.Join(folder, "*.yaml"))
	if err != nil {
		return err
	}
	if folder == "" || len(files) == 0 {
		return fmt.Errorf("no CRDs in %q", folder)
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if err := w.applyText(ctx, string(content)); err != nil {
			return err
		}
	}
	return nil
}

// available waits for Deployments.
func (w *world) available(ctx context.Context, namespace string, names ...string) error {
	for _, name := range names {
		if _, err := w.kubectl(ctx, "", "-n", namespace, "rollout", "status", "deployment/"+name, "--timeout=180s"); err != nil {
			pods, _ := w.kubectl(ctx, "", "-n", namespace, "describe", "pods")
			logs, _ := w.kubectl(ctx, "", "-n", namespace, "logs", "deployment/"+name, "--all-containers", "--tail=20")
			return fmt.Errorf("%w\n%s\n%s", err, last(pods, 3000), last(logs, 3000))
		}
	}
	return nil
}

// remove takes away what was applied, the last first, unless the cluster ends with us anyway.
func (w *world) remove() {
	if os.Getenv("E2E_REMOVE") == "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	if _, err := w.kubectl(ctx, "", "delete", "namespaces", "-l", "e2e=story", "--ignore-not-found", "--timeout=120s"); err != nil {
		fmt.Fprintf(os.Stderr, "e2e: removing what stories left: %v\n", err)
	}
	if err := w.helm(ctx, "uninstall", release, "--ignore-not-found", "--wait"); err != nil {
		fmt.Fprintf(os.Stderr, "e2e: removing the operator: %v\n", err)
	}
	if _, err := w.kubectl(ctx, "", "delete", "namespace", operatorNamespace, "--ignore-not-found"); err != nil {
		fmt.Fprintf(os.Stderr, "e2e: removing the operator: %v\n", err)
	}
	for _, manifest := range slices.Backward(w.applied) {
		if _, err := w.kubectl(ctx, manifest, "delete", "--ignore-not-found", "-f", "-"); err != nil {
			fmt.Fprintf(os.Stderr, "e2e: removing what was installed: %v\n", err)
		}
	}
}

func last(text string, n int) string {
	return text[max(0, len(text)-n):]
}

// indent makes text the value of a block scalar.
func indent(text string) string {
	return "    " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n    ")
}

func configMap(namespace, name, key, value string) string {
	return fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s, namespace: %s}\ndata:\n  %s: |\n%s\n",
		name, namespace, key, indent(value))
}

func secret(namespace, name string, cert, key []byte) string {
	return fmt.Sprintf("apiVersion: v1\nkind: Secret\nmetadata: {name: %s, namespace: %s}\ntype: kubernetes.io/tls\nstringData:\n  tls.crt: |\n%s\n  tls.key: |\n%s\n",
		name, namespace, indent(string(cert)), indent(string(key)))
}
