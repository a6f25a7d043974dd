package limits

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience is how long a test waits for what must happen, on a machine that has other things to do.
const patience = 60 * time.Second

// process is a program in a control group. It is started again when it was killed, as a kubelet would.
type process struct {
	*group

	command []string
	env     []string
	ready   string // a URL

	mu    sync.Mutex
	cmd   *exec.Cmd
	ended chan struct{}
	log   bytes.Buffer
}

func startProcess(t *testing.T, g *group, ready string, env []string, command ...string) *process {
	t.Helper()
	p := &process{group: g, command: command, env: env, ready: ready}
	p.start(t)
	t.Cleanup(func() { p.stop(t) })
	return p
}

func (p *process) start(t *testing.T) {
	t.Helper()
	// The shell enters the group, and becomes the program.
	script := ""
	for _, dir := range p.all {
		script += "echo $$ > " + dir + "/cgroup.procs && "
	}
	p.cmd = exec.Command("/bin/sh", append([]string{"-c", script + `exec "$@"`, "sh"}, p.command...)...)
	p.cmd.Env = append(os.Environ(), p.env...)
	p.cmd.Stderr = p
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	cmd, ended := p.cmd, make(chan struct{})
	p.ended = ended
	go func() {
		defer close(ended)
		_ = cmd.Wait()
	}()
	eventually(t, patience, "the program is ready", func() bool {
		if !p.alive() {
			t.Fatalf("the program has ended: %s\n%s", p.cmd.ProcessState, p.tail())
		}
		return answers(p.ready)
	})
}

func (p *process) alive() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

func (p *process) stop(t *testing.T) {
	t.Helper()
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(patience):
		t.Error("the program does not end")
		_ = p.cmd.Process.Kill()
		<-p.ended
	}
}

// Write keeps the end of what the program says.
func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	const most = 1 << 20
	if p.log.Len() > most {
		p.log.Next(most / 2)
	}
	return p.log.Write(b)
}

func (p *process) tail() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	b := p.log.Bytes()
	return string(b[max(0, len(b)-4<<10):])
}

var httpClient = &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}

func answers(url string) bool {
	resp, err := httpClient.Get(url)
	if err != nil {
		return false
	}
	_ = resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// eventually waits for a condition.
func eventually(t *testing.T, patience time.Duration, what string, condition func() bool) bool {
	t.Helper()
	deadline := time.After(patience)
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for !condition() {
		select {
		case <-deadline:
			t.Errorf("waited %s in vain: %s", patience, what)
			return false
		case <-t.Context().Done():
			t.Fatalf("the test ended while it waited: %s", what)
		case <-ticker.C:
		}
	}
	return true
}

// row is what came out of one trial.
type row struct {
	name                       string
	before, peak, after, limit int64
	edit                       time.Duration
	edits                      int
	verdict                    string
}

var table []row

func printTable(w io.Writer) {
	if len(table) == 0 {
		return
	}
	const mib = 1 << 20
	_, _ = fmt.Fprintf(w, "\n%-58s %7s %7s %7s %7s %6s %9s  %s\n", "MiB", "before", "peak", "after", "limit", "edits", "longest", "")
	for _, r := range table {
		_, _ = fmt.Fprintf(w, "%-58s %7d %7d %7d %7d %6d %9s  %s\n", r.name, r.before/mib, r.peak/mib, r.after/mib, r.limit/mib,
			r.edits, r.edit.Round(100*time.Millisecond), r.verdict)
	}
	_, _ = fmt.Fprintln(w)
}

// longestEdit is how long another namespace's edit may take meanwhile; the next one begins after editEvery.
const (
	longestEdit = 30 * time.Second
	editEvery   = 2 * time.Second
)

// try runs an attack until it ends, edits what belongs to somebody else meanwhile, and looks at the memory: it may
// not reach the limit, and half of it must be free again soon.
func (p *process) try(t *testing.T, name string, attack func(), edit func() error) {
	t.Helper()
	if !p.alive() {
		p.start(t)
	}
	r := row{name: name, before: p.used(t), limit: p.limit}
	killed := p.killed(t)
	done := make(chan struct{})
	go func() {
		defer close(done)
		attack()
	}()
	edits := make(chan error)
	go func() {
		var errs []error
		for begun := time.Now(); ; begun = time.Now() {
			errs = append(errs, edit())
			r.edit = max(r.edit, time.Since(begun))
			r.edits++
			select {
			case <-done:
				edits <- errors.Join(errs...)
				return
			case <-time.After(editEvery - time.Since(begun)):
			}
		}
	}()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for running := true; running; {
		select {
		case err := <-edits:
			running = false
			if err != nil {
				t.Errorf("somebody else's edit: %v", err)
			}
		case <-ticker.C:
			r.peak = max(r.peak, p.used(t))
		}
	}
	if r.edit > longestEdit {
		t.Errorf("somebody else's edit took %s", r.edit)
	}
	if n := p.killed(t) - killed; n > 0 || !p.alive() {
		t.Errorf("killed %d times for its memory; alive: %t\n%s", n, p.alive(), p.tail())
	} else {
		// Memory is given back by and by, as there is work.
		eventually(t, patience, "half of the memory is free again", func() bool {
			return edit() == nil && p.used(t) <= p.limit/2
		})
	}
	r.after = p.used(t)
	r.verdict = "ok"
	if t.Failed() {
		r.verdict = "FAILED"
	}
	table = append(table, r)
	t.Logf("%+v", r)
}
