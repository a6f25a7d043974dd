package controlplane

import (
	"fmt"
	"os"
	"path/filepath"
)

const howToGetAssets = "run `make test`, or `export KUBEBUILDER_ASSETS=$(hack/controlplane/build.sh)` first"

// findAssets returns the folder of KUBEBUILDER_ASSETS if it holds all of the programs.
func findAssets(programs ...string) (string, error) {
	dir := os.Getenv("KUBEBUILDER_ASSETS")
	if dir == "" {
		return "", fmt.Errorf("KUBEBUILDER_ASSETS is not set: %s", howToGetAssets)
	}
	for _, program := range programs {
		if _, err := os.Stat(filepath.Join(dir, program)); err != nil { //nolint:gosec // the folder is the caller's choice
			return "", fmt.Errorf("KUBEBUILDER_ASSETS has no %s (%w): %s", program, err, howToGetAssets)
		}
	}
	return dir, nil
}
