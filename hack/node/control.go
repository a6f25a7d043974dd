//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
)

// controlAddress is where the command stops and starts the node's processes; only it can reach it.
const controlAddress = "127.0.0.1:7070"

// control serves the node's remote control until stop is called.
func (n *node) control(ctx context.Context) (stop func(), err error) {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /stop/{name}", func(w http.ResponseWriter, r *http.Request) {
		answer(w, n.processes.stop(r.PathValue("name")))
	})
	mux.HandleFunc("POST /kill/{name}", func(w http.ResponseWriter, r *http.Request) {
		answer(w, n.processes.kill(r.PathValue("name")))
	})
	mux.HandleFunc("POST /start/{name}", func(w http.ResponseWriter, r *http.Request) {
		answer(w, n.processes.again(r.PathValue("name")))
	})
	mux.HandleFunc("POST /restart", func(w http.ResponseWriter, r *http.Request) {
		answer(w, n.restart(r.Context(), r.URL.Query().Get("spare")))
	})
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", controlAddress)
	if err != nil {
		return nil, fmt.Errorf("listening for control: %w", err)
	}
	server := &http.Server{Handler: mux}       //nolint:gosec // one client, on loopback
	go func() { _ = server.Serve(listener) }() // ends when it is closed
	return func() { _ = server.Close() }, nil
}

func answer(w http.ResponseWriter, err error) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

// restart is what a reboot is for pods: kubelet and runtime go away, and no container survives. The
// control plane goes on, as that of a cluster with more nodes would, and so do pods whose name matches
// spare, if it is not empty.
func (n *node) restart(ctx context.Context, spare string) error {
	for _, name := range []string{"kubelet", "kube-proxy"} {
		if err := n.processes.stop(name); err != nil {
			return err
		}
	}
	if err := n.killContainers(ctx, spare); err != nil {
		return err
	}
	if err := n.processes.stop("containerd"); err != nil {
		return err
	}
	if err := errors.Join(n.processes.again("containerd"), n.processes.again("kube-proxy"), n.processes.again("kubelet")); err != nil {
		return err
	}
	// A kubelet that comes too early for the container runtime gives up; systemd would start it again.
	return n.processes.wait(ctx, "containerd", func(ctx context.Context) error {
		if err := n.processes.again("kubelet"); err != nil {
			return err
		}
		return healthy(ctx, "http://127.0.0.1:10248/healthz")
	})
}

func healthy(ctx context.Context, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, answer.Status)
	}
	return nil
}
