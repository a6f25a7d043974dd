package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/mta-sts-operator/mta-sts-operator/internal/policyserver"
)

// ours is the policy server as the operator's Deployment runs it.
func ours(binary string) contender {
	return contender{
		name:    "mta-sts-operator",
		arrange: func(s site, w world) error { return project(filepath.Join(s.dir, "policies"), w, func() {}) },
		command: func(s site) []string {
			return []string{
				binary, "serve", "--shards=" + filepath.Join(s.dir, "policies"), "--listen=" + s.address,
				"--metrics-listen=" + s.admin, "--log-level=warn",
			}
		},
		change: func(_ context.Context, c change) error {
			return project(filepath.Join(c.dir, "policies"), c.next, c.begin)
		},
	}
}

// project replaces the files of a volume as the kubelet does: a new folder, one rename of a link to it, and
// the old folder is removed. It calls begin right before the rename.
func project(dir string, w world, begin func()) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("making the volume: %w", err)
	}
	fresh, err := os.MkdirTemp(dir, "..2026_")
	if err != nil {
		return fmt.Errorf("making a generation: %w", err)
	}
	content := map[string]string{policyserver.MarkerKey(0): policyserver.MarkerValue}
	for i, host := range w.hosts {
		content[host] = policyserver.EncodeEntry(w.id(i), w.bodies[i])
	}
	if err := files(fresh, content); err != nil {
		return err
	}
	data := filepath.Join(dir, "..data")
	old, _ := os.Readlink(data) // none the first time
	if err := os.Symlink(filepath.Base(fresh), data+"_tmp"); err != nil {
		return fmt.Errorf("linking the generation: %w", err)
	}
	begin()
	if err := os.Rename(data+"_tmp", data); err != nil {
		return fmt.Errorf("switching to the generation: %w", err)
	}
	if old == "" {
		return nil
	}
	if err := os.RemoveAll(filepath.Join(dir, old)); err != nil {
		return fmt.Errorf("removing the old generation: %w", err)
	}
	return nil
}
