//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"
)

// stopPatience is how long a process may take to end before it is killed.
const stopPatience = 10 * time.Second

// processes starts and stops the programs of the node by name. Safe for concurrent use.
type processes struct {
	logs string
	env  []string

	mu      sync.Mutex
	known   map[string][]string // name -> command line
	running map[string]*process
	order   []string // of first start
}

type process struct {
	cmd  *exec.Cmd
	done chan struct{}
}

func newProcesses(logs string, env []string) *processes {
	return &processes{logs: logs, env: env, known: map[string][]string{}, running: map[string]*process{}}
}

// start starts a program under a name; its output is appended to NAME.log.
func (p *processes) start(name, program string, args ...string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, known := p.known[name]; !known {
		p.order = append(p.order, name)
	}
	p.known[name] = append([]string{program}, args...)
	return p.launch(name)
}

// again starts a program that was started before and has ended; nothing happens if it runs.
func (p *processes) again(name string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if running := p.running[name]; running != nil {
		select {
		case <-running.done:
		default:
			return nil
		}
	}
	if p.known[name] == nil {
		return fmt.Errorf("no process is called %q", name)
	}
	return p.launch(name)
}

func (p *processes) launch(name string) error {
	log, err := os.OpenFile(p.log(name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600) //nolint:gosec // a folder that we made
	if err != nil {
		return fmt.Errorf("opening the log of %s: %w", name, err)
	}
	defer log.Close() //nolint:errcheck // the process has its own descriptor
	line := p.known[name]
	cmd := exec.Command(line[0], line[1:]...) //nolint:gosec,noctx // stopped by name
	cmd.Env, cmd.Stdout, cmd.Stderr = p.env, log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for the command first
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting %s: %w", name, err)
	}
	running := &process{cmd: cmd, done: make(chan struct{})}
	p.running[name] = running
	go func() {
		_ = cmd.Wait() // how it ended stands in its log
		close(running.done)
	}()
	return nil
}

// stop ends a program, by force if it takes too long, and waits for its end.
func (p *processes) stop(name string) error { return p.end(name, syscall.SIGTERM) }

// kill ends a program without telling it, as a crash does.
func (p *processes) kill(name string) error { return p.end(name, syscall.SIGKILL) }

func (p *processes) end(name string, signal syscall.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	running := p.running[name]
	if running == nil {
		return fmt.Errorf("no process called %q is running", name)
	}
	delete(p.running, name)
	_ = running.cmd.Process.Signal(signal) // may have ended already
	select {
	case <-running.done:
	case <-time.After(stopPatience):
		_ = running.cmd.Process.Kill()
		<-running.done
	}
	return nil
}

// stopAll ends all programs, the last one first.
func (p *processes) stopAll() {
	for _, name := range slices.Backward(p.order) {
		_ = p.stop(name) // not running is as good
	}
}

func (p *processes) log(name string) string {
	return filepath.Join(p.logs, name+".log")
}

// wait tries until check returns nil. It gives up when ctx ends, patience is, or the process has
// ended, and then says what stands at the end of its log.
func (p *processes) wait(ctx context.Context, name string, check func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	p.mu.Lock()
	running := p.running[name]
	p.mu.Unlock()
	for {
		err := check(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-time.After(100 * time.Millisecond):
			continue
		case <-running.done:
			err = fmt.Errorf("it ended: %w", err)
		case <-ctx.Done():
		}
		return fmt.Errorf("waiting for %s: %w\n%s", name, err, p.tail(name))
	}
}

// tail is the end of a log.
func (p *processes) tail(name string) []byte {
	const most = 3000
	content, err := os.ReadFile(p.log(name))
	if err != nil {
		return []byte(err.Error())
	}
	return content[max(0, len(content)-most):]
}
