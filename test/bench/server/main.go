// Command server compares the policy server with nginx, HAProxy and Caddy: the same bodies for the same
// hosts, asked for by the same load on the same core, one after the other. Run it from the root of the
// repository, best with `make bench-server`, on a machine with two cores or more and nothing else to do.
//
// A server has core 0, the load generator core 1. What counts is how many requests a server answers per
// second of its own CPU time, kernel included: that stays comparable when the load generator is the slower
// of the two. Every contender has its turn in every round, and the result is the median of the rounds.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// options are what may be chosen.
type options struct {
	binary, out, only string
	hosts             []int
	rounds, reloads   int
	duration          time.Duration
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	var o options
	flag.StringVar(&o.binary, "binary", "bin/mta-sts-operator", "the operator")
	flag.StringVar(&o.out, "out", "dist/bench", "folder for server.json and server.md")
	flag.StringVar(&o.only, "only", "", "names of contenders with commas between (default all)")
	flag.Func("hosts", "numbers of hosts with commas between (default 1,1000,10000)", o.setHosts)
	flag.IntVar(&o.rounds, "rounds", 3, "rounds, of which the median counts")
	flag.IntVar(&o.reloads, "reloads", 5, "changes per round")
	flag.DurationVar(&o.duration, "duration", 5*time.Second, "how long each load lasts")
	flag.Parse()
	err := run(ctx, o)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func (o *options) setHosts(list string) error {
	for part := range strings.SplitSeq(list, ",") {
		n, err := strconv.Atoi(part)
		if err != nil {
			return err
		}
		o.hosts = append(o.hosts, n)
	}
	return nil
}

func run(ctx context.Context, o options) error {
	if o.hosts == nil {
		o.hosts = []int{1, 1000, 10000}
	}
	debian, err := find(ctx)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "bench-server-")
	if err != nil {
		return fmt.Errorf("making a folder: %w", err)
	}
	defer os.RemoveAll(dir) //nolint:errcheck // temporary
	// nginx drops root in its worker.
	if err := os.Chmod(dir, 0o755); err != nil {
		return fmt.Errorf("opening the folder: %w", err)
	}
	libraries := filepath.Join(debian, "usr/lib", triplet())
	b := bench{
		options:   o,
		dir:       dir,
		generator: generator{binary: filepath.Join(debian, "usr/bin/wrk"), libraries: libraries, dir: dir, core: 1},
		env:       []string{"LD_LIBRARY_PATH=" + libraries},
		report:    newReport(debian),
	}
	all := contenders(o.binary, debian)
	if o.only != "" {
		all = slices.DeleteFunc(all, func(c contender) bool { return !slices.Contains(strings.Split(o.only, ","), c.name) })
	}
	for _, n := range o.hosts {
		for round := range o.rounds {
			for _, c := range all {
				fmt.Fprintf(os.Stderr, "bench: %d hosts, round %d: %s\n", n, round+1, c.name)
				if err := b.turn(ctx, c, n); err != nil {
					return fmt.Errorf("%s with %d hosts: %w", c.name, n, err)
				}
			}
		}
	}
	return b.write()
}

// bench collects what the turns measure.
type bench struct {
	options

	dir       string
	generator generator
	env       []string
	report    *report
}

// turn starts one contender, measures it, and stops it.
func (b *bench) turn(ctx context.Context, c contender, hosts int) (err error) {
	s, err := newSite(ctx, b.dir, c.name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(s.dir)) }()
	if err := os.Chmod(s.dir, 0o755); err != nil {
		return fmt.Errorf("opening the folder: %w", err)
	}
	w := newWorld(hosts, 0)
	if err := errors.Join(c.arrange(s, w), b.generator.prepare(w)); err != nil {
		return err
	}
	p, err := start(ctx, 0, b.env, c.command(s)...)
	if err != nil {
		return err
	}
	defer p.stop()
	if err := await(ctx, s, p, w); err != nil {
		return err
	}
	result := turn{Contender: c.name, Hosts: hosts}
	for _, l := range loads {
		m, err := b.measure(ctx, p, s, l)
		if err != nil {
			return err
		}
		result.Loads = append(result.Loads, m)
	}
	if b.reloads > 0 {
		if result.Reloads, err = measureReloads(ctx, c, s, p, hosts, b.reloads); err != nil {
			return err
		}
	}
	held, err := p.usage()
	if err != nil {
		return err
	}
	result.PSSKiB, result.RSSKiB = held.pss, held.rss
	b.report.Turns = append(b.report.Turns, result)
	fmt.Fprintln(os.Stderr, "  "+result.String())
	return nil
}

// measure returns what one load cost the server.
func (b *bench) measure(ctx context.Context, p *process, s site, l load) (measurement, error) {
	before, err := p.usage()
	if err != nil {
		return measurement{}, err
	}
	o, err := b.generator.run(ctx, s.address, l, b.duration)
	if err != nil {
		return measurement{}, err
	}
	after, err := p.usage()
	if err != nil {
		return measurement{}, err
	}
	cpu := after.cpu - before.cpu
	return measurement{
		Load: l.Name, Requests: o.Requests, Errors: o.Errors, P50Micros: o.P50, P99Micros: o.P99,
		PerSecond:    float64(o.Requests) / (float64(o.Micros) / 1e6),
		PerCPUSecond: float64(o.Requests) / cpu.Seconds(),
		Busy:         cpu.Seconds() / (float64(o.Micros) / 1e6),
	}, nil
}

func (b *bench) write() error {
	if err := os.MkdirAll(b.out, 0o755); err != nil {
		return fmt.Errorf("making the folder for the result: %w", err)
	}
	b.report.summarize()
	encoded, err := json.MarshalIndent(b.report, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding the result: %w", err)
	}
	table := b.report.markdown()
	fmt.Print(table)
	return files(b.out, map[string]string{"server.json": string(encoded) + "\n", "server.md": table})
}
