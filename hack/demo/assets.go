package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// toRoot makes the checkout's root the working folder, so that the demo runs from anywhere in it.
func toRoot() error {
	dir, err := os.Getwd()
	for err == nil {
		if _, missing := os.Stat(filepath.Join(dir, sample)); missing == nil {
			return os.Chdir(dir)
		}
		if dir == filepath.Dir(dir) {
			err = errors.New("there is no " + sample + " here or above: run the demo inside a checkout of mta-sts-operator")
		}
		dir = filepath.Dir(dir)
	}
	return err
}

// findAssets sets KUBEBUILDER_ASSETS, unless somebody has, to what hack/assets.sh finds or builds.
func findAssets(ctx context.Context) (string, error) {
	if dir := os.Getenv("KUBEBUILDER_ASSETS"); dir != "" {
		return dir, nil
	}
	script := exec.CommandContext(ctx, "bash", filepath.Join("hack", "assets.sh"))
	script.Stderr = os.Stderr // shows the progress of a first build
	answer, err := script.Output()
	if err != nil {
		return "", withHint(fmt.Errorf("getting a control plane with hack/assets.sh: %w", err),
			"Set KUBEBUILDER_ASSETS to a folder with etcd, kube-apiserver and kubectl, or run\n"+
				"hack/controlplane/build.sh by itself: what it prints says what is missing.")
	}
	dir := strings.TrimSpace(string(answer))
	return dir, os.Setenv("KUBEBUILDER_ASSETS", dir)
}
