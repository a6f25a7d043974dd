package controlplane

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

// OurCRDs returns the folder of the operator's own CRDs, found from the working folder upwards.
func OurCRDs() []string {
	bases := filepath.Join("config", "crd", "bases")
	dir, err := os.Getwd()
	for err == nil && dir != filepath.Dir(dir) {
		if _, missing := os.Stat(filepath.Join(dir, "go.mod")); missing == nil {
			return []string{filepath.Join(dir, bases)}
		}
		dir = filepath.Dir(dir)
	}
	return []string{bases} // installing it says that it is not there
}

// ThirdPartyCRDs returns the CRDs of the kinds of others that the operator writes: external-dns'
// DNSEndpoint and cert-manager's Certificate, from the modules that go.mod names.
func ThirdPartyCRDs() ([]string, error) {
	files := []struct{ module, path string }{
		{"sigs.k8s.io/external-dns", "config/crd/standard/dnsendpoints.externaldns.k8s.io.yaml"},
		{"github.com/cert-manager/cert-manager", "deploy/crds/cert-manager.io_certificates.yaml"},
	}
	var paths []string
	for _, file := range files {
		out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", file.module).Output() //nolint:noctx // ends by itself, offline
		if err != nil {
			return nil, fmt.Errorf("finding module %s: %w", file.module, err)
		}
		paths = append(paths, filepath.Join(strings.TrimSpace(string(out)), filepath.FromSlash(file.path)))
	}
	return paths, nil
}

// InstallCRDs creates or updates the CRDs in files or folders, and returns once the API serves
// them. The garbage collector looks for new kinds only every 30 seconds: install them before
// StartControllerManager, or wait.
func InstallCRDs(config *rest.Config, paths ...string) error {
	options := crdOptions(paths)
	options.ErrorIfPathMissing = true
	if _, err := envtest.InstallCRDs(config, options); err != nil {
		return fmt.Errorf("installing CRDs: %w", err)
	}
	return nil
}

func crdOptions(paths []string) envtest.CRDInstallOptions {
	return envtest.CRDInstallOptions{Paths: paths, MaxTime: patience}
}
