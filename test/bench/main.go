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
	profiles := flag.String("profiles", "", "folder for profiles of the operator and of the world around it")
	flag.Parse()
	setups, err := setupsOf(*sizes, *spread)
	if err != nil {
		return err
	}
	var all []result
	for _, s := range setups {
		s.Idle, s.Profiles = *idle, *profiles
		for run := range *runs {
			r, err := runOnce(ctx, s)
			if err != nil {
				return fmt.Errorf("%d policies in %d namespaces, run %d: %w", s.Policies, s.Namespaces, run+1, err)
			}
			all = append(all, r)
			relate(all)
			fmt.Fprintln(os.Stderr, r.line())
			if err := writeResults(*out, all); err != nil { // a long measurement may be cut short
				return err
			}
		}
	}
	fmt.Print(table(all))
	if *recorded == "" {
		return nil
	}
	before, err := readResults(*recorded)
	if err != nil {
		return err
	}
	return compare(before, all)
}

// setupsOf combines numbers of policies with numbers of namespaces.
func setupsOf(sizes, spread string) ([]setup, error) {
	policies, err := numbers(sizes)
	if err != nil {
		return nil, fmt.Errorf("-sizes: %w", err)
	}
	namespaces, err := numbers(spread)
	if err != nil {
		return nil, fmt.Errorf("-namespaces: %w", err)
	}
	var out []setup
	for _, p := range policies {
		for _, n := range namespaces {
			if n <= p {
				out = append(out, setup{Policies: p, Namespaces: n})
			}
		}
	}
	return out, nil
}

func numbers(list string) ([]int, error) {
	var out []int
	for text := range strings.SplitSeq(list, ",") {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return nil, fmt.Errorf("%q is no number of 1 or more", text)
		}
		out = append(out, n)
	}
	return out, nil
}
