//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// containerd starts the container runtime and loads the images.
func (n *node) containerd(ctx context.Context) error {
	config := filepath.Join(n.Dir, "containerd.toml")
	err := errors.Join(
		n.render("containerd.toml", config, n),
		n.render("cni.json", filepath.Join(n.Dir, "cni", "10-bridge.conflist"), n),
		os.WriteFile(filepath.Join(n.Dir, "resolv.conf"), nil, 0o600), // there is nobody to ask
		n.processes.start("containerd", filepath.Join(n.debian, "usr/bin/containerd"), "-c", config))
	if err != nil {
		return err
	}
	err = n.processes.wait(ctx, "containerd", func(ctx context.Context) error { return n.ctr(ctx, "version") })
	if err != nil {
		return err
	}
	for _, image := range n.images {
		if err := n.ctr(ctx, "--namespace", "k8s.io", "images", "import", image); err != nil {
			return fmt.Errorf("loading %s: %w", image, err)
		}
	}
	return nil
}

func (n *node) ctr(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, filepath.Join(n.debian, "usr/bin/ctr"), append([]string{"--address", n.Dir + "/containerd.sock"}, args...)...) //nolint:gosec // ours
	cmd.Env = n.processes.env
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("ctr %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return nil
}

// kubelet starts kubelet and kube-proxy and waits until the node is ready.
func (n *node) kubelet(ctx context.Context) error {
	kubelet, proxy := filepath.Join(n.Dir, "kubelet.yaml"), filepath.Join(n.Dir, "proxy.yaml")
	err := errors.Join(
		n.pki.server("kubelet-server", n.Name, n.IP),
		n.user("kubelet", "system:node:"+n.Name, "system:nodes"),
		n.user("proxy", "system:kube-proxy", ""),
		n.render("kubelet.yaml", kubelet, n),
		n.render("proxy.yaml", proxy, n))
	if err != nil {
		return err
	}
	err = errors.Join(
		n.processes.start("kubelet", filepath.Join(n.kubernetes, "kubelet"), "--config", kubelet,
			"--kubeconfig", n.kubeconfig("kubelet"), "--root-dir", filepath.Join(n.Dir, "kubelet"),
			"--hostname-override", n.Name, "--node-ip", n.IP, "--cert-dir", filepath.Join(n.Dir, "pki")),
		n.processes.start("kube-proxy", filepath.Join(n.kubernetes, "kube-proxy"), "--config", proxy))
	if err != nil {
		return err
	}
	return n.processes.wait(ctx, "kubelet", func(ctx context.Context) error {
		return n.kubectl(ctx, "wait", "--for=condition=Ready", "node/"+n.Name, "--timeout=1s")
	})
}

// coredns installs the cluster's DNS and waits until it is available.
func (n *node) coredns(ctx context.Context) error {
	manifest := filepath.Join(n.Dir, "coredns.yaml")
	if err := n.render("coredns.yaml", manifest, n); err != nil {
		return err
	}
	if err := n.kubectl(ctx, "apply", "--server-side", "-f", manifest); err != nil {
		return err
	}
	return n.kubectl(ctx, "--namespace", "kube-system", "wait", "--for=condition=Available", "deployment/coredns", "--timeout=120s")
}

// killContainers ends every container, pods' sandboxes included, without telling anybody, but those of
// pods whose name matches spare.
func (n *node) killContainers(ctx context.Context, spare string) error {
	all, err := n.containers(ctx, "")
	if err != nil {
		return err
	}
	var spared []string
	if spare != "" {
		if spared, err = n.containers(ctx, `labels."io.kubernetes.pod.name"~=`+strconv.Quote(spare)); err != nil {
			return err
		}
	}
	for _, id := range all {
		if slices.Contains(spared, id) {
			continue
		}
		err := n.ctr(ctx, "--namespace", "k8s.io", "tasks", "kill", "--signal", "SIGKILL", id)
		if err != nil && !strings.Contains(err.Error(), "not found") { // it ended long ago
			return err
		}
	}
	return nil
}

// containers are the ids of those that a filter of containerd matches.
func (n *node) containers(ctx context.Context, filter string) ([]string, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(n.debian, "usr/bin/ctr"), "--address", n.Dir+"/containerd.sock", //nolint:gosec // ours
		"--namespace", "k8s.io", "containers", "list", "--quiet", filter)
	cmd.Env = n.processes.env
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("listing containers: %w", err)
	}
	return strings.Fields(string(out)), nil
}
