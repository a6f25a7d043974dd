package policyserver

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
)

// patience is how long a test waits for something that must happen.
const patience = 20 * time.Second

// testID returns the n-th id of a rising sequence, minted for its body.
func testID(n int) mtasts.ID {
	at := time.Date(2026, time.January, 1, 0, 0, n, 0, time.UTC)
	id, _ := mtasts.MintID(at, "", bodyAt(at))
	return id
}

// testBody returns the body of a testID.
func testBody(id mtasts.ID) string { return bodyAt(id.Time()) }

// bodyAt returns a policy that contains the time of its id, so that a reader can
// tell whether header and body belong together.
func bodyAt(at time.Time) string {
	return "version: STSv1\r\nmode: testing\r\nmx: at-" + at.Format("150405") + ".example.com\r\nmax_age: 86400\r\n"
}

// value returns the shard value of the n-th instance.
func value(n int) string {
	return EncodeEntry(testID(n), testBody(testID(n)))
}

// shards returns the markers 0 to n-1 together with some files.
func shards(n int, files map[string]string) map[string]string {
	all := map[string]string{}
	for i := range n {
		all[MarkerKey(i)] = MarkerValue
	}
	maps.Copy(all, files)
	return all
}

// writeFiles makes dir a plain directory with some more files.
func writeFiles(t testing.TB, dir string, files map[string]string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o750); err != nil {
		t.Fatal(err)
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// project replaces the files of a volume the way the kubelet does: a new
// directory, one rename of a symlink, removal of the old directory.
func project(t testing.TB, dir string, files map[string]string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o750); err != nil {
		t.Fatal(err)
	}
	fresh, err := os.MkdirTemp(dir, "..2026_") //nolint:usetesting // it must lie beside ..data, as the kubelet's does
	if err != nil {
		t.Fatal(err)
	}
	writeFiles(t, fresh, files)
	old, _ := os.Readlink(filepath.Join(dir, dataLink))
	temporary := filepath.Join(dir, dataLink+"_tmp")
	if err := os.Symlink(filepath.Base(fresh), temporary); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(temporary, filepath.Join(dir, dataLink)); err != nil {
		t.Fatal(err)
	}
	for name := range files {
		link := filepath.Join(dir, name)
		if err := os.Symlink(filepath.Join(dataLink, name), link); err != nil && !os.IsExist(err) {
			t.Fatal(err)
		}
	}
	if old != "" {
		if err := os.RemoveAll(filepath.Join(dir, old)); err != nil {
			t.Fatal(err)
		}
	}
}

// logBuffer collects log lines.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logBuffer) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.buf.String(), text)
}

func (l *logBuffer) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// running is a server started by a test.
type running struct {
	public, admin string
	logs          *logBuffer
	cancel        context.CancelFunc
	// done receives what Run returned.
	done chan error
}

// start runs a server for dir on loopback, or the given listener, until the test ends.
func start(t testing.TB, o Options) *running {
	t.Helper()
	if o.Listener == nil {
		o.Listener = loopback(t)
	}
	o.AdminListener = loopback(t)
	if o.DrainDelay == 0 {
		o.DrainDelay = -1
	}
	s := &running{
		public: o.Listener.Addr().String(),
		admin:  o.AdminListener.Addr().String(),
		logs:   &logBuffer{},
		done:   make(chan error, 1),
	}
	o.Logger = s.logs.logger()
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		s.done <- Run(ctx, o)
	}()
	t.Cleanup(func() {
		cancel()
		<-finished
	})
	return s
}

func loopback(t testing.TB) net.Listener {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// response is what a test looks at.
type response struct {
	code   int
	proto  int
	header http.Header
	body   string
	closes bool // the server announced that it closes the connection
}

// get asks for a policy, on a connection of its own unless a client is given.
func (s *running) get(ctx context.Context, client *http.Client, host string) (response, error) {
	return fetch(ctx, client, "http://"+s.public+mtasts.PolicyPath, host)
}

func fetch(ctx context.Context, client *http.Client, url, host string) (response, error) {
	if client == nil {
		client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return response{}, err
	}
	if host != "" {
		req.Host = host
	}
	resp, err := client.Do(req)
	if err != nil {
		return response{}, err
	}
	return readAll(resp)
}

func readAll(resp *http.Response) (response, error) {
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return response{resp.StatusCode, resp.ProtoMajor, resp.Header, string(body), resp.Close}, err
}

// adminCode returns the status of a path on the admin listener, 0 if there is
// no answer.
func (s *running) adminCode(t testing.TB, path string) int {
	t.Helper()
	resp, err := fetch(context.WithoutCancel(t.Context()), nil, "http://"+s.admin+path, "")
	if err != nil {
		return 0
	}
	return resp.code
}

func (s *running) instances(t testing.TB) map[string]mtasts.ID {
	t.Helper()
	resp, err := fetch(t.Context(), nil, "http://"+s.admin+"/instances", "")
	if err != nil {
		return nil
	}
	var doc Instances
	if err := json.Unmarshal([]byte(resp.body), &doc); err != nil {
		t.Fatalf("decoding %q: %v", resp.body, err)
	}
	return doc.Hosts
}

// raw sends the bytes of a request as they are and reads one response.
func (s *running) raw(t testing.TB, method, request string) response {
	t.Helper()
	conn := s.dial(t)
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	return readRaw(t, conn, method)
}

func (s *running) dial(t testing.TB) net.Conn {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", s.public)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return conn
}

func readRaw(t testing.TB, conn net.Conn, method string) response {
	t.Helper()
	resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		t.Fatalf("reading the response: %v", err)
	}
	got, err := readAll(resp)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// eventually waits for a condition.
func eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !condition() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// digest shortens bodies in failure messages.
func digest(body string) string {
	return fmt.Sprintf("%d bytes, sha256 %x", len(body), sha256.Sum256([]byte(body)))
}
