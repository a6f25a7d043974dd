package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// operatorValues is what a user writes to install the operator from a checkout: image, configuration, and,
// because this world has a certificate authority of its own, what to trust.
const operatorValues = `image: {repository: mta-sts-operator, tag: e2e}
config:
  issuer: {name: letsencrypt, kind: ClusterIssuer}
  ingress: {className: traefik}
  dns: {ttlSeconds: 60}
  looks:
    resolvers: ["%s"]
    extraRootsFile: /roots/roots.pem
    allowPrivateAddresses: true
extraVolumes: [{name: roots, configMap: {name: roots}}]
extraVolumeMounts: [{name: roots, mountPath: /roots}]
# These clusters are thrown away, or shall be as they were before.
crds: {keep: false}
extraObjects:
- apiVersion: v1
  kind: ConfigMap
  metadata: {name: roots}
  data:
    roots.pem: |
%s
`

// operatorNamespace is where the chart is installed, as its documentation does.
const (
	operatorNamespace = "mta-sts-system"
	release           = "mta-sts-operator"
	chart             = "../../charts/mta-sts-operator"
)

// installOperator installs the chart.
func (w *world) installOperator(ctx context.Context) error {
	w.values = filepath.Join(os.Getenv("E2E_LOGS"), "values.yaml")
	values := fmt.Sprintf(operatorValues, w.Resolver, strings.ReplaceAll(indent(w.Roots), "    ", "      "))
	if err := os.WriteFile(w.values, []byte(values), 0o600); err != nil {
		return err
	}
	if err := w.helm(ctx, "install", release, chart, "--create-namespace", "-f", w.values, "--wait", "--timeout=5m"); err != nil {
		return err
	}
	return w.available(ctx, operatorNamespace, release)
}

// helm runs it in the operator's namespace.
func (c *cluster) helm(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, os.Getenv("E2E_HELM"), append([]string{"--namespace", operatorNamespace}, args...)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("helm %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return nil
}
