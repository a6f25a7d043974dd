//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
)

// enclose runs this program again in namespaces of its own and waits for it. The kernel ends every
// process in there with the first one, and with them their mounts, network and firewall rules go; what
// remains are empty control groups and a folder, which are removed here.
func enclose(ctx context.Context) (err error) {
	if os.Geteuid() != 0 {
		return errors.New("a node of its own needs root; or set KUBECONFIG to a cluster that may be used")
	}
	dir, err := os.MkdirTemp("", "mta-sts-node-")
	if err != nil {
		return fmt.Errorf("creating the node's folder: %w", err)
	}
	defer func() { err = errors.Join(err, removeCgroups(), os.RemoveAll(dir)) }()

	runtime.LockOSThread() // Pdeathsig goes by thread
	defer runtime.UnlockOSThread()
	cmd := exec.CommandContext(ctx, "/proc/self/exe", os.Args[1:]...) //nolint:gosec // this program
	cmd.Env = append(os.Environ(), inside+"="+dir)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWNET | syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC,
		Pdeathsig:  syscall.SIGKILL,
	}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	return cmd.Run()
}

// isolate makes the namespaces usable: nothing that is mounted here is seen outside, and the folders
// that the node's programs insist on are empty and forgotten afterwards.
func isolate(dir string) error {
	mounts := []struct {
		source, target, kind string
		flags                uintptr
	}{
		{"", "/", "", syscall.MS_REC | syscall.MS_PRIVATE},
		{"proc", "/proc", "proc", 0},
		{"tmpfs", "/run", "tmpfs", 0},
		{"tmpfs", "/var/lib", "tmpfs", 0},
		{"tmpfs", "/var/log", "tmpfs", 0},
		{"", "/", "", syscall.MS_REC | syscall.MS_SHARED}, // between here and the pods
	}
	for _, m := range mounts {
		if err := syscall.Mount(m.source, m.target, m.kind, m.flags, ""); err != nil {
			return fmt.Errorf("mounting %s %s: %w", m.kind, m.target, err)
		}
	}
	if err := syscall.Sethostname([]byte(nodeName)); err != nil {
		return fmt.Errorf("setting the host name: %w", err)
	}
	// kubectl and others keep caches at home.
	if err := os.Setenv("HOME", dir); err != nil {
		return err
	}
	return network()
}

// network gives the node an address on a bridge without ports. The default route makes the kernel
// route what is for service addresses before kube-proxy's rules see it. The pods' bridge, which the network
// plugin would make, gets an address of its own: it would else change whenever a pod comes or goes, and
// the others would lose their gateway for seconds.
func network() error {
	for _, args := range [][]string{
		{"link", "set", "lo", "up"},
		{"link", "add", "node0", "type", "bridge"},
		{"address", "add", nodeIP + "/24", "dev", "node0"},
		{"link", "set", "node0", "up"},
		{"route", "add", "default", "dev", "node0"},
		{"link", "add", "cni0", "address", "02:00:0a:f4:00:01", "type", "bridge"},
	} {
		if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil { //nolint:noctx // short
			return fmt.Errorf("ip %v: %w: %s", args, err, out)
		}
	}
	for file, value := range map[string]string{
		"ipv4/ip_forward": "1",
		// Without it a pod that talks to a service it is part of itself gets answers from a wrong address.
		"bridge/bridge-nf-call-iptables": "1",
		// Seconds for which an attempt to connect to a pod that died is remembered. The kernel does not forget
		// with a restart of ours, and whoever used the same port again within the usual two minutes would be
		// led to the dead pod, however long another had taken its place.
		"netfilter/nf_conntrack_tcp_timeout_syn_sent": "5",
	} {
		err := os.WriteFile("/proc/sys/net/"+file, []byte(value), 0o600)
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // the last two come with modules of the kernel
			return fmt.Errorf("setting net/%s: %w", file, err)
		}
	}
	return nil
}

// removeCgroups removes the control groups of pods. A node's kubelet always calls them kubepods.
func removeCgroups() error {
	roots, err := filepath.Glob("/sys/fs/cgroup/*/kubepods")
	if err != nil {
		return err
	}
	unified, err := filepath.Glob("/sys/fs/cgroup/kubepods")
	if err != nil {
		return err
	}
	var errs []error
	for _, root := range append(roots, unified...) {
		var groups []string
		errs = append(errs, filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
			if err == nil && entry.IsDir() {
				groups = append(groups, path)
			}
			return err
		}))
		for _, group := range slices.Backward(groups) { // inner ones first
			errs = append(errs, os.Remove(group))
		}
	}
	return errors.Join(errs...)
}
