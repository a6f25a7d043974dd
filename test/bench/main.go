// Command bench measures what the operator costs: how fast thousands of policies come into force, how many
// requests each takes, and what is left to do at rest. It runs the operator as a process of its own against
// a real kube-apiserver and etcd, with the world of test/harness around, and prints a table.
//
//	bench -sizes 100,1000 -runs 3 -json dist/bench.json
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	ctrl "sigs.k8s.io/controller-runtime"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	var err error
	if len(os.Args) > 1 && os.Args[1] == operatorCommand {
		err = runOperator(ctx)
	} else {
		ctrl.SetLogger(logr.Discard())
		err = measure(ctx)
	}
	stop()
	if err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func measure(ctx context.Context) error {
	sizes := flag.String("sizes", "10,100,1000,10000", "numbers of policies")
	spread := flag.String("namespaces", "1,20", "numbers of namespaces")
	runs := flag.Int("runs", 3, "runs of each size; the table has the medians")
	idle := flag.Duration("idle", time.Minute, "how long the operator is watched at rest")
	out := flag.String("json", "", "file for every figure of every run")
	recorded := flag.String("check", "", "file of an earlier -json: fail if counts or ratios are worse than there")
	profiles := flag.String("profiles", "", "folder for profiles of the operator")
	flag.Parse()
	var all []result
	for text := range strings.SplitSeq(*sizes, ",") {
		size, err := strconv.Atoi(text)
		if err != nil || size < 10 {
			return fmt.Errorf("-sizes: %q is no number of 10 or more", text)
		}
		for text := range strings.SplitSeq(*spread, ",") {
			namespaces, err := strconv.Atoi(text)
			if err != nil || namespaces < 1 {
				return fmt.Errorf("-namespaces: %q is no number of 1 or more", text)
			}
			for run := range *runs {
				r, err := runOnce(ctx, setup{Policies: size, Namespaces: namespaces, Idle: *idle, Profiles: *profiles})
				if err != nil {
					return fmt.Errorf("%d policies in %d namespaces, run %d: %w", size, namespaces, run+1, err)
				}
				all = append(all, r)
				fmt.Fprintf(os.Stderr, "%s\n", r.line())
			}
		}
	}
	relate(all)
	fmt.Print(table(all))
	if *out != "" {
		if err := writeResults(*out, all); err != nil {
			return err
		}
	}
	if *recorded == "" {
		return nil
	}
	before, err := readResults(*recorded)
	if err != nil {
		return err
	}
	return compare(before, all)
}
