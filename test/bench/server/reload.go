package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
)

// change is another generation of the world on its way to a running server.
type change struct {
	site

	server *process
	next   world
	begin  func()
}

// leader is the program itself: taskset has become it.
func (c change) leader() int { return c.server.cmd.Process.Pid }

// signalHangup is what `nginx -s reload` does.
func (c change) signalHangup() error {
	if err := syscall.Kill(c.leader(), syscall.SIGHUP); err != nil {
		return fmt.Errorf("asking for a reload: %w", err)
	}
	return nil
}

// commandReload gives the master of HAProxy the command to reload; a signal could get lost in the last one.
func (c change) commandReload(ctx context.Context) error {
	conn, err := new(net.Dialer).DialContext(ctx, "unix", filepath.Join(c.dir, "master.sock"))
	if err != nil {
		return fmt.Errorf("asking for a reload: %w", err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "reload\n"); err != nil {
		return fmt.Errorf("asking for a reload: %w", err)
	}
	_, _ = io.ReadAll(conn) // ends when the master starts anew
	return nil
}

// postConfig is what `caddy reload` does.
func (c change) postConfig(ctx context.Context, config string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+c.admin+"/load", strings.NewReader(config))
	if err != nil {
		return fmt.Errorf("asking for a reload: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Cache-Control", "must-revalidate")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("asking for a reload: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(resp.Body)
		return fmt.Errorf("asking for a reload: %s: %s", resp.Status, text)
	}
	return nil
}

// reloads is what several changes under load cost.
type reloads struct {
	Millis   []float64 // from telling the server to the first new body
	Requests int
	Lost     int // requests without a complete answer of 200
}

// client asks for one policy after another, and knows when one was lost.
type client struct {
	address   string
	keepAlive bool
	conn      net.Conn
	reader    *bufio.Reader
}

var errLost = errors.New("the request got no answer")

// ask returns the body for host. A connection that the server said it would close is replaced; one that it
// closes without a word, after the request was sent, has lost the request.
func (c *client) ask(ctx context.Context, host string) (string, error) {
	if c.conn == nil {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", c.address)
		if err != nil {
			return "", errors.Join(errLost, err)
		}
		c.conn, c.reader = conn, bufio.NewReader(conn)
	}
	body, closes, err := c.roundTrip(host)
	if err != nil || closes {
		c.close()
	}
	if err != nil {
		return "", errors.Join(errLost, err)
	}
	return body, nil
}

func (c *client) roundTrip(host string) (body string, closes bool, err error) {
	if err := c.conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return "", true, fmt.Errorf("setting a deadline: %w", err)
	}
	if _, err := io.WriteString(c.conn, request(host, mtasts.PolicyPath, c.keepAlive)); err != nil {
		return "", true, fmt.Errorf("sending: %w", err)
	}
	resp, err := http.ReadResponse(c.reader, nil)
	if err != nil {
		return "", true, fmt.Errorf("reading the header: %w", err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", true, fmt.Errorf("reading the body: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return "", true, fmt.Errorf("status %s", resp.Status)
	}
	return string(text), resp.Close || !c.keepAlive, nil
}

func (c *client) close() {
	if c.conn != nil {
		_ = c.conn.Close()
		c.conn = nil
	}
}

const reloadClients = 16

// measureReloads changes the first policy several times while clients ask for all of them.
func measureReloads(ctx context.Context, c contender, s site, server *process, hosts, times int) (reloads, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	asking, stop := context.WithCancel(ctx)
	var requests, lost atomic.Int64
	var first atomic.Pointer[error]
	var group sync.WaitGroup
	all := newWorld(hosts, 0).hosts
	for n := range reloadClients {
		group.Go(func() {
			client := client{address: s.address, keepAlive: n%2 == 0}
			defer client.close()
			for i := n; asking.Err() == nil; i += 7 {
				requests.Add(1)
				if _, err := client.ask(ctx, all[i%hosts]); err != nil {
					lost.Add(1)
					first.CompareAndSwap(nil, &err)
				}
			}
		})
	}
	var out reloads
	var err error
	for generation := 1; generation <= times && err == nil; generation++ {
		var took time.Duration
		took, err = changeOnce(ctx, c, change{site: s, server: server, next: newWorld(hosts, generation)})
		out.Millis = append(out.Millis, float64(took.Microseconds())/1000)
	}
	stop()
	group.Wait()
	out.Requests, out.Lost = int(requests.Load()), int(lost.Load())
	if e := first.Load(); e != nil {
		fmt.Fprintf(os.Stderr, "  %s: the first request that was lost: %v\n", c.name, *e)
	}
	return out, err
}

// changeOnce returns how long it took until the new body was served to a new connection.
func changeOnce(ctx context.Context, c contender, ch change) (time.Duration, error) {
	var begun atomic.Pointer[time.Time]
	ch.begin = func() { begun.CompareAndSwap(nil, new(time.Now())) }
	changed := make(chan error, 1)
	go func() { changed <- c.change(ctx, ch) }()
	watcher := client{address: ch.address}
	for {
		body, err := watcher.ask(ctx, ch.next.hosts[0])
		if ctx.Err() != nil {
			return 0, fmt.Errorf("waiting for the new policy: %w", ctx.Err())
		}
		if err == nil && body == ch.next.bodies[0] {
			took := time.Since(*begun.Load())
			if err := <-changed; err != nil {
				return 0, err
			}
			return took, settle(ctx)
		}
		time.Sleep(200 * time.Microsecond)
	}
}

// settle lets old workers end and notifications of removed folders arrive before the next change.
func settle(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(300 * time.Millisecond):
		return nil
	}
}

// await waits until the server answers every kind of question rightly.
func await(ctx context.Context, s site, p *process, w world) error {
	deadline := time.Now().Add(30 * time.Second)
	c := client{address: s.address, keepAlive: true}
	defer c.close()
	for {
		body, err := c.ask(ctx, w.hosts[len(w.hosts)-1])
		if err == nil && body == w.bodies[len(w.hosts)-1] {
			break
		}
		select {
		case <-p.ended:
			return fmt.Errorf("the server ended: %s", p.stderr)
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("the server does not answer: body %q, %w: %s", body, err, p.stderr)
		}
	}
	for i, host := range w.hosts {
		if body, err := c.ask(ctx, host); err != nil || body != w.bodies[i] {
			return fmt.Errorf("%s: got %q, %w", host, bytes.TrimSpace([]byte(body)), err)
		}
	}
	if _, err := c.ask(ctx, "mta-sts.stranger.example"); err == nil || !strings.Contains(err.Error(), "404") {
		return fmt.Errorf("a stranger's host is not answered 404: %w", err)
	}
	return nil
}

// find returns the programs of debian.sh.
func find(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "test/bench/server/debian.sh").Output()
	if err != nil {
		if e, ok := errors.AsType[*exec.ExitError](err); ok {
			return "", fmt.Errorf("getting the Debian packages: %w: %s", err, e.Stderr)
		}
		return "", fmt.Errorf("getting the Debian packages (run from the root of the repository): %w", err)
	}
	return filepath.Clean(strings.TrimSpace(string(out))), nil
}
