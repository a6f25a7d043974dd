//go:build linux

package main

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"text/template"
	"time"
)

const (
	nodeName = "node-1"
	// nodeIP is private to the namespace: the kubelet and the API server refuse a loopback address.
	nodeIP = "10.77.0.1"
	// patience is for a step of the start, on a machine that has other things to do.
	patience = 2 * time.Minute
)

//go:embed files
var files embed.FS

// node is the machine and the control plane on it.
type node struct {
	programs

	// Exported for the templates in files: Dir is the folder of everything, CNI that of the network
	// plugins, Runc the program.
	Dir, IP, Name, CNI, Runc string

	pki       *pki
	processes *processes
}

func newNode(p programs, dir string) (*node, error) {
	for _, sub := range []string{"logs", "pki", "cni", "etcd", "kubelet"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o700); err != nil { //nolint:gosec // a folder that we made
			return nil, fmt.Errorf("creating the node's folders: %w", err)
		}
	}
	authority, err := newPKI(filepath.Join(dir, "pki"))
	if err != nil {
		return nil, fmt.Errorf("creating the certificate authority: %w", err)
	}
	n := &node{programs: p, Dir: dir, IP: nodeIP, Name: nodeName, pki: authority}
	n.CNI, n.Runc = filepath.Join(p.debian, "usr/lib/cni"), filepath.Join(p.debian, "usr/sbin/runc")
	triplet := map[string]string{"amd64": "x86_64", "arm64": "aarch64"}[runtime.GOARCH] + "-linux-gnu"
	libraries := filepath.Join(p.debian, "usr/lib", triplet) + ":" + filepath.Join(p.debian, "lib", triplet)
	path := filepath.Join(p.debian, "usr/bin") + ":" + filepath.Join(p.debian, "usr/sbin") + ":" + os.Getenv("PATH")
	env := append(os.Environ(), "PATH="+path, "LD_LIBRARY_PATH="+libraries)
	n.processes = newProcesses(filepath.Join(dir, "logs"), env)
	return n, nil
}

// start brings everything up and returns when the node is ready for pods.
func (n *node) start(ctx context.Context) error {
	begin := time.Now()
	for _, step := range []struct {
		name string
		do   func(context.Context) error
	}{
		{"control plane", n.controlPlane},
		{"container runtime", n.containerd},
		{"kubelet and kube-proxy", n.kubelet},
		{"cluster DNS", n.coredns},
	} {
		if err := step.do(ctx); err != nil {
			return fmt.Errorf("starting the %s: %w", step.name, err)
		}
		fmt.Fprintf(os.Stderr, "node: %s up after %.1f s\n", step.name, time.Since(begin).Seconds())
	}
	return nil
}

// user issues a client certificate and writes a kubeconfig with it.
func (n *node) user(name, user, group string) error {
	if err := n.pki.client(name, user, group); err != nil {
		return err
	}
	return n.render("kubeconfig.yaml", n.kubeconfig(name), map[string]string{"Dir": n.pki.dir, "IP": n.IP, "User": name})
}

func (n *node) kubeconfig(name string) string {
	return filepath.Join(n.Dir, name+".kubeconfig")
}

// render writes a template from files.
func (n *node) render(name, path string, data any) error {
	t, err := template.ParseFS(files, "files/"+name)
	if err != nil {
		return fmt.Errorf("reading template %s: %w", name, err)
	}
	var text strings.Builder
	if err := t.Execute(&text, data); err != nil {
		return fmt.Errorf("rendering %s: %w", name, err)
	}
	return os.WriteFile(path, []byte(text.String()), 0o600)
}

// kubectl runs kubectl as administrator.
func (n *node) kubectl(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, filepath.Join(n.assets, "kubectl"), append([]string{"--kubeconfig", n.kubeconfig("admin")}, args...)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return nil
}

// controlPlane starts etcd, the API server, the controllers and the scheduler.
func (n *node) controlPlane(ctx context.Context) error {
	err := errors.Join(
		n.pki.server("apiserver", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "10.96.0.1", n.IP),
		n.pki.client("apiserver-kubelet", "kube-apiserver-kubelet", "system:masters"),
		n.user("admin", "admin", "system:masters"),
		n.user("scheduler", "system:kube-scheduler", ""))
	if err != nil {
		return fmt.Errorf("issuing certificates: %w", err)
	}
	const etcd = "http://127.0.0.1:2379"
	err = n.processes.start("etcd", filepath.Join(n.assets, "etcd"), "--data-dir", filepath.Join(n.Dir, "etcd"),
		"--unsafe-no-fsync", "--listen-client-urls", etcd, "--advertise-client-urls", etcd, "--log-level", "warn")
	if err != nil {
		return err
	}
	if err := n.apiserver(ctx, etcd); err != nil {
		return err
	}
	// As administrator: with an account for each controller it starts five seconds later.
	return errors.Join(
		n.processes.start("kube-controller-manager", filepath.Join(n.assets, "kube-controller-manager"),
			"--kubeconfig", n.kubeconfig("admin"), "--use-service-account-credentials=false", "--leader-elect=false",
			"--service-account-private-key-file", n.pki.path("sa.key"), "--root-ca-file", n.pki.path("ca.crt"),
			// To the one that is left, an outage of the API server looks like the end of every node: after it
			// services would lose their pods until the kubelet has been heard.
			"--node-monitor-grace-period", "5m",
			"--bind-address", "127.0.0.1", "--cert-dir", filepath.Join(n.Dir, "pki")),
		n.processes.start("kube-scheduler", filepath.Join(n.kubernetes, "kube-scheduler"),
			"--kubeconfig", n.kubeconfig("scheduler"), "--leader-elect=false",
			"--bind-address", "127.0.0.1", "--cert-dir", filepath.Join(n.Dir, "pki")))
}

func (n *node) apiserver(ctx context.Context, etcd string) error {
	err := n.processes.start("kube-apiserver", filepath.Join(n.assets, "kube-apiserver"),
		"--etcd-servers", etcd, "--bind-address", n.IP, "--advertise-address", n.IP, "--cert-dir", filepath.Join(n.Dir, "pki"),
		"--tls-cert-file", n.pki.path("apiserver.crt"), "--tls-private-key-file", n.pki.path("apiserver.key"),
		"--client-ca-file", n.pki.path("ca.crt"), "--authorization-mode", "Node,RBAC", "--enable-admission-plugins", "NodeRestriction",
		"--service-account-key-file", n.pki.path("sa.pub"), "--service-account-signing-key-file", n.pki.path("sa.key"),
		"--service-account-issuer", "https://kubernetes.default.svc", "--service-cluster-ip-range", "10.96.0.0/16",
		"--kubelet-client-certificate", n.pki.path("apiserver-kubelet.crt"), "--kubelet-client-key", n.pki.path("apiserver-kubelet.key"),
		"--kubelet-preferred-address-types", "InternalIP", "--allow-privileged=true")
	if err != nil {
		return err
	}
	return n.processes.wait(ctx, "kube-apiserver", func(ctx context.Context) error {
		return n.kubectl(ctx, "get", "--raw", "/readyz")
	})
}
