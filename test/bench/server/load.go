package main

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
)

//go:embed load.lua
var script []byte

// load is one way of asking.
type load struct {
	Name        string
	connections int
	keepAlive   bool
	// pause is how long a connection waits after an answer, on average: with 0 it asks as fast as it can.
	pause time.Duration
}

// loads: the first two saturate a server, the third asks all of them equally often.
var loads = []load{
	{Name: "keep-alive", connections: 64, keepAlive: true},
	{Name: "new connections", connections: 64},
	{Name: "moderate", connections: 64, keepAlive: true, pause: 8 * time.Millisecond},
}

// outcome is what the load generator saw.
type outcome struct {
	Requests, Micros, Errors int
	P50, P99                 int // microseconds
}

// generator runs wrk on one core.
type generator struct {
	binary, libraries, dir string
	core                   int
}

// prepare writes the requests for every host of w, which run reads.
func (g generator) prepare(w world) error {
	for _, l := range []load{{keepAlive: true}, {}} {
		var all bytes.Buffer
		for _, host := range w.hosts {
			all.WriteString(request(host, mtasts.PolicyPath, l.keepAlive))
			all.WriteByte(0)
		}
		if err := os.WriteFile(g.requests(l), all.Bytes(), 0o600); err != nil {
			return fmt.Errorf("writing the requests: %w", err)
		}
	}
	if err := os.WriteFile(filepath.Join(g.dir, "load.lua"), script, 0o600); err != nil {
		return fmt.Errorf("writing the script: %w", err)
	}
	return nil
}

func (g generator) requests(l load) string {
	return filepath.Join(g.dir, fmt.Sprintf("requests-%t", l.keepAlive))
}

// run asks the server at address for d.
func (g generator) run(ctx context.Context, address string, l load, d time.Duration) (outcome, error) {
	cmd := exec.CommandContext(ctx, "taskset", "-c", fmt.Sprint(g.core), g.binary, "-t1", fmt.Sprintf("-c%d", l.connections),
		fmt.Sprintf("-d%ds", int(d.Seconds())), "--timeout", "5s", "-s", filepath.Join(g.dir, "load.lua"), "http://"+address)
	cmd.Env = append(os.Environ(), "LD_LIBRARY_PATH="+g.libraries, "REQUESTS="+g.requests(l),
		fmt.Sprintf("PAUSE=%d", l.pause.Milliseconds()))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return outcome{}, fmt.Errorf("running wrk: %w: %s", err, stderr.String())
	}
	lines := bytes.Split(bytes.TrimSpace(out), []byte("\n"))
	var o outcome
	if err := json.Unmarshal(lines[len(lines)-1], &o); err != nil {
		return outcome{}, fmt.Errorf("reading what wrk says: %w", err)
	}
	return o, nil
}
