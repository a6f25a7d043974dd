package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is a running server with all its children: they share a session.
type process struct {
	cmd    *exec.Cmd
	ended  chan struct{}
	stderr *bytes.Buffer
}

// usage is what a server has cost so far, or holds now.
type usage struct {
	cpu time.Duration // user and system, of all processes
	pss int           // KiB, shared pages counted once
	rss int           // KiB, sum over the processes
}

// ticksPerSecond is the unit of CPU times in /proc on Linux.
const ticksPerSecond = 100

// start runs argv on one core.
func start(ctx context.Context, core int, env []string, argv ...string) (*process, error) {
	args := append([]string{"-c", strconv.Itoa(core)}, argv...)
	p := &process{cmd: exec.CommandContext(ctx, "taskset", args...), ended: make(chan struct{}), stderr: new(bytes.Buffer)}
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stderr = p.stderr
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", argv[0], err)
	}
	go func() {
		_ = p.cmd.Wait() // what a server says when it ends is on its stderr
		close(p.ended)
	}()
	return p, nil
}

// stop ends the process and all its children.
func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(3 * time.Second):
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
		<-p.ended
	}
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) // children that outlive it
}

// usage sums over the processes of the session.
func (p *process) usage() (usage, error) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return usage{}, fmt.Errorf("listing processes: %w", err)
	}
	var sum usage
	for _, path := range stats {
		data, err := os.ReadFile(path)
		if err != nil {
			continue // ended meanwhile
		}
		_, rest, _ := strings.Cut(string(data), ") ")
		fields := strings.Fields(rest) // from the third one, the state
		if len(fields) < 14 || fields[3] != strconv.Itoa(p.cmd.Process.Pid) {
			continue
		}
		user, userErr := strconv.Atoi(fields[11])
		system, systemErr := strconv.Atoi(fields[12])
		if err := errors.Join(userErr, systemErr); err != nil {
			return usage{}, fmt.Errorf("reading %s: %w", path, err)
		}
		sum.cpu += time.Duration(user+system) * time.Second / ticksPerSecond
		pss, rss, err := memory(filepath.Join(filepath.Dir(path), "smaps_rollup"))
		if err != nil {
			return usage{}, err
		}
		sum.pss += pss
		sum.rss += rss
	}
	if sum.cpu == 0 && sum.rss == 0 {
		return usage{}, fmt.Errorf("the server is gone: %s", p.stderr)
	}
	return sum, nil
}

// memory reads what the pages of one process add up to, in KiB.
func memory(path string) (pss, rss int, err error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return 0, 0, fmt.Errorf("reading memory: %w", err)
	}
	for line := range strings.Lines(string(data)) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		switch fields[0] {
		case "Pss:":
			pss, err = strconv.Atoi(fields[1])
		case "Rss:":
			rss, err = strconv.Atoi(fields[1])
		}
		if err != nil {
			return 0, 0, fmt.Errorf("reading %s: %w", path, err)
		}
	}
	return pss, rss, nil
}
