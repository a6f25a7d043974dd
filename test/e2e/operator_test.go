package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

// overlay is what a user writes to install the operator from a checkout: image, configuration, and,
// because this world has a certificate authority of its own, what to trust.
const overlay = `apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources:
- %[1]s
images:
- name: mta-sts-operator
  newTag: e2e
configMapGenerator:
- name: mta-sts-operator
  namespace: mta-sts-system
  behavior: replace
  files: [config.yaml]
- name: roots
  namespace: mta-sts-system
  files: [roots.pem]
patches:
- patch: |
    apiVersion: apps/v1
    kind: Deployment
    metadata: {name: mta-sts-operator, namespace: mta-sts-system}
    spec:
      template:
        spec:
          volumes: [{name: roots, configMap: {name: roots}}]
          containers: [{name: manager, volumeMounts: [{name: roots, mountPath: /roots}]}]
`

const operatorConfig = `apiVersion: config.mtasts.dev/v1alpha1
kind: OperatorConfiguration
issuer: {name: letsencrypt, kind: ClusterIssuer}
ingress: {className: traefik}
dns: {ttlSeconds: 60}
looks:
  resolvers: ["%s"]
  extraRootsFile: /roots/roots.pem
  allowPrivateAddresses: true
server:
  image: mta-sts-operator:e2e
`

// operatorNamespace is the one of config/default.
const operatorNamespace = "mta-sts-system"

func (w *world) installOperator(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "e2e-operator-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }() // a few files in a temporary folder
	base, err := filepath.Abs("../../config/default")
	if err != nil {
		return err
	}
	if base, err = filepath.Rel(dir, base); err != nil {
		return err
	}
	for name, content := range map[string]string{
		"kustomization.yaml": fmt.Sprintf(overlay, base),
		"config.yaml":        fmt.Sprintf(operatorConfig, w.Resolver),
		"roots.pem":          w.Roots,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			return err
		}
	}
	manifest, err := w.kubectl(ctx, "", "kustomize", dir)
	if err != nil {
		return err
	}
	if err := w.applyText(ctx, manifest); err != nil {
		return err
	}
	return w.available(ctx, operatorNamespace, "mta-sts-operator")
}
