//go:build linux

// Command node runs a command beside a real Kubernetes node of its own: etcd, the control plane, a
// kubelet with containerd, kube-proxy and CoreDNS, in namespaces of their own on a bare Linux machine.
// Needs root, and nothing that listens on this machine: the network of the node is not connected to
// anything. When the command ends, everything ends, and nothing is left behind. run.sh builds what the
// flags want.
//
//	node -assets DIR -kubernetes DIR -debian DIR -image TAR... COMMAND ARGUMENT...
//
// The command finds in its environment:
//
//	KUBECONFIG      an administrator's
//	MTASTS_NODE     URL of the processes of the node: POST /stop/NAME, /kill/NAME and /start/NAME,
//	                where NAME is kube-apiserver, kubelet, containerd, …; or POST /restart?spare=REGEX for
//	                all of the node but the pods whose name matches
//	MTASTS_LOGS     folder of their logs
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
)

// inside marks the process that runs in the namespaces.
const inside = "MTASTS_NODE_DIR"

// programs is where the node's programs are, and which images it starts with.
type programs struct {
	assets, kubernetes, debian string
	images                     list
}

type list []string

func (l *list) String() string { return strings.Join(*l, " ") }

func (l *list) Set(value string) error {
	*l = append(*l, value)
	return nil
}

func main() {
	var p programs
	flag.StringVar(&p.assets, "assets", "", "folder with etcd, kube-apiserver, kube-controller-manager, kubectl")
	flag.StringVar(&p.kubernetes, "kubernetes", "", "folder with kubelet, kube-proxy, kube-scheduler")
	flag.StringVar(&p.debian, "debian", "", "folder with containerd, runc, CNI plugins and nft")
	flag.Var(&p.images, "image", "image archive to load; repeatable")
	flag.Parse()
	if flag.NArg() == 0 {
		fmt.Fprintln(os.Stderr, "usage: node [flags] COMMAND ARGUMENT...")
		os.Exit(2)
	}
	code, err := run(p, flag.Args())
	if err != nil {
		fmt.Fprintf(os.Stderr, "node: %v\n", err)
	}
	os.Exit(code)
}

// run returns the exit code of the command, or 1.
func run(p programs, command []string) (int, error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	var err error
	if dir := os.Getenv(inside); dir != "" {
		err = host(ctx, p, dir, command)
	} else {
		err = enclose(ctx)
	}
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return max(exit.ExitCode(), 1), nil
	}
	if err != nil {
		return 1, err
	}
	return 0, nil
}

// host brings the node up and runs the command beside it.
func host(ctx context.Context, p programs, dir string, command []string) error {
	if err := isolate(dir); err != nil {
		return err
	}
	n, err := newNode(p, dir)
	if err != nil {
		return err
	}
	defer n.processes.stopAll()
	if err := n.start(ctx); err != nil {
		return err
	}
	stop, err := n.control(ctx)
	if err != nil {
		return err
	}
	defer stop()
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) } // it may clean up
	cmd.WaitDelay = stopPatience
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), "KUBECONFIG="+n.kubeconfig("admin"), "MTASTS_NODE=http://"+controlAddress,
		"MTASTS_LOGS="+n.processes.logs, "PATH="+p.assets+":"+os.Getenv("PATH"))
	return cmd.Run()
}
