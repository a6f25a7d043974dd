// Command demo shows a mail domain on its way from testing to enforce, on a control plane of its own.
//
// Everything runs on loopback, needs no root and leaves nothing behind. etcd, kube-apiserver and the
// operator are the real ones; the policy servers are the real program, one listener per pod; package
// harness plays the rest of the cluster and of the world: kubelets, cert-manager, an Ingress
// controller, external-dns and DNS.
//
// The demo is a test of the promise it shows: at the moment DNS changes the policy id, it asks every
// pod what it serves. If one is behind, the demo says so and exits with 1.
//
//	make demo          once, then everything is stopped
//	make demo KEEP=1   goes on until Ctrl-C, with commands to play with
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	ctrl "sigs.k8s.io/controller-runtime"
)

// sample is what the demo applies; README.md shows the same.
const sample = "config/samples/testing.yaml"

// patience is how long an act may take on a machine that has other things to do.
const patience = 90 * time.Second

func main() {
	os.Exit(run())
}

// run returns the exit code: 0, 1 for a failure, 130 when interrupted before the end.
func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop() // until then a second Ctrl-C does not interrupt the cleaning up
	// A reader that went away, as in "make demo | head", must not kill us before etcd is stopped.
	signal.Ignore(syscall.SIGPIPE)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	ctrl.SetLogger(logr.Discard())

	out := newPrinter(os.Stdout, cancel)
	err := play(ctx, out)
	switch {
	case errors.Is(err, context.Canceled) && context.Cause(ctx) != nil:
		fmt.Fprintln(os.Stderr, "demo: stopped before the end; nothing is left running")
		return 130
	case err != nil:
		fmt.Fprintf(os.Stderr, "\ndemo: %v\n", err)
		return 1
	}
	return 0
}

// play shows all acts on one stage, and strikes it whatever happens.
func play(ctx context.Context, out *printer) (err error) {
	s, err := raise(ctx, out)
	defer func() {
		err = errors.Join(err, s.strike())
	}()
	if err != nil {
		return err
	}
	d := newDrama(s, out)
	defer d.order.watch()()
	if err := d.acts(ctx); err != nil {
		return err
	}
	if !keep() {
		out.say("\nTo play with it yourself: make demo KEEP=1")
		return nil
	}
	return d.linger(ctx)
}

// keep says whether the demo goes on until it is interrupted.
func keep() bool {
	value := os.Getenv("KEEP")
	return value != "" && value != "0"
}

// withHint adds to an error what to do about it.
func withHint(err error, hint string) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w\n\n%s", err, hint)
}
