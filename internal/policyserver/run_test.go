package policyserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
)

// serves tells whether host is served with the n-th instance.
func (s *running) serves(t testing.TB, host string, n int) bool {
	t.Helper()
	got, err := s.get(t.Context(), nil, host)
	return err == nil && got.code == http.StatusOK && got.header.Get(HeaderID) == string(testID(n)) && got.body == testBody(testID(n))
}

// metric returns the sample of one series, "" if there is none.
func (s *running) metric(t testing.TB, series string) string {
	t.Helper()
	resp, err := fetch(t.Context(), nil, "http://"+s.admin+"/metrics", "")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(resp.body) {
		if sample, ok := strings.CutPrefix(line, series+" "); ok {
			return strings.TrimSpace(sample)
		}
	}
	return ""
}

func TestReadinessWaitsForTheFirstShard(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "volume")
	s := start(t, Options{Dir: dir, RescanInterval: 10 * time.Millisecond})
	failed := `mtasts_server_reloads_total{result="error"}`
	eventually(t, "the missing directory is noticed twice", func() bool {
		return s.adminCode(t, "/healthz") == http.StatusOK && s.metric(t, failed) > "1"
	})
	if code := s.adminCode(t, "/readyz"); code != http.StatusServiceUnavailable {
		t.Errorf("without a directory: readyz %d", code)
	}
	if n := s.logs.count("reading policies failed"); n != 1 {
		t.Errorf("the missing directory was logged %d times", n)
	}
	writeFiles(t, dir, map[string]string{hostA: value(1)})
	eventually(t, "the host is served", func() bool { return s.serves(t, hostA, 1) })
	if code := s.adminCode(t, "/readyz"); code != http.StatusServiceUnavailable {
		t.Errorf("without a marker: readyz %d", code)
	}
	writeFiles(t, dir, map[string]string{MarkerKey(0): MarkerValue})
	eventually(t, "the server is ready", func() bool { return s.adminCode(t, "/readyz") == http.StatusOK })
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the loss of the directory is noticed", func() bool { return s.logs.count("reading policies failed") == 2 })
	if code := s.adminCode(t, "/readyz"); code != http.StatusOK || !s.serves(t, hostA, 1) {
		t.Errorf("after the directory was lost: readyz %d, instances %v", code, s.instances(t))
	}
	project(t, dir, shards(1, map[string]string{hostA: value(2)}))
	eventually(t, "the new directory is loaded", func() bool { return s.serves(t, hostA, 2) })
}

// TestRestartsShowNoMomentOf404 has a request wait for the server before it starts.
func TestRestartsShowNoMomentOf404(t *testing.T) {
	files := map[string]string{hostA: value(1)}
	for i := range 1000 {
		files[fmt.Sprintf("mta-sts.domain-%d.example", i)] = value(i)
	}
	dir := t.TempDir()
	project(t, dir, shards(1, files))
	l := loopback(t)
	early := &running{public: l.Addr().String()}
	conn := early.dial(t)
	if _, err := io.WriteString(conn, "GET "+mtasts.PolicyPath+" HTTP/1.1\r\nHost: "+hostA+"\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	start(t, Options{Dir: dir, Listener: l})
	if got := readRaw(t, conn, http.MethodGet); got.code != http.StatusOK {
		t.Errorf("the first answer has status %d", got.code)
	}
}

// TestNotificationsAndRescansBothReload rules out that one hides a failure of
// the other: the interval is too long to help, or there is no notification.
func TestNotificationsAndRescansBothReload(t *testing.T) {
	t.Run("a notification is enough", func(t *testing.T) {
		dir := t.TempDir()
		project(t, dir, shards(1, map[string]string{hostA: value(1)}))
		s := start(t, Options{Dir: dir, RescanInterval: time.Hour})
		eventually(t, "the first instance", func() bool { return s.serves(t, hostA, 1) })
		for n := 2; n < 5; n++ {
			project(t, dir, shards(1, map[string]string{hostA: value(n)}))
			eventually(t, "the next instance", func() bool { return s.serves(t, hostA, n) })
		}
	})
	t.Run("a rescan is enough", func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "volume")
		s := start(t, Options{Dir: dir, RescanInterval: 10 * time.Millisecond})
		eventually(t, "the server looks", func() bool { return s.logs.count("reading policies failed") == 1 })
		// The directory could not be watched, so nothing tells of this.
		project(t, dir, shards(1, map[string]string{hostA: value(1)}))
		eventually(t, "the first instance", func() bool { return s.serves(t, hostA, 1) })
	})
}

func TestMetricsCountFaults(t *testing.T) {
	dir := t.TempDir()
	project(t, dir, shards(2, map[string]string{hostA: value(2), hostB: value(2), "mta-sts.c.example": value(1)}))
	s := start(t, Options{Dir: dir})
	eventually(t, "the first load", func() bool { return s.serves(t, hostA, 2) })
	project(t, dir, shards(1, map[string]string{hostA: value(1), hostB: "oops"}))
	eventually(t, "the second load", func() bool { return s.logs.count("policy entry refused") == 2 })
	for _, host := range []string{"mta-sts.stranger.example", hostB} {
		if _, err := s.get(t.Context(), nil, host); err != nil {
			t.Fatal(err)
		}
	}
	s.raw(t, http.MethodPost, "POST "+mtasts.PolicyPath+" HTTP/1.1\r\nHost: "+hostA+"\r\n\r\n")
	eventually(t, "the second load is counted", func() bool {
		return s.metric(t, `mtasts_server_entries_kept{reason="shard_missing"}`) == "1"
	})
	for series, want := range map[string]string{
		`mtasts_server_hosts`:                            "3",
		`mtasts_server_entries_kept{reason="older_id"}`:  "1",
		`mtasts_server_entries_kept{reason="malformed"}`: "1",
		`mtasts_server_requests_total{code="404"}`:       "1",
		`mtasts_server_requests_total{code="405"}`:       "1",
		`mtasts_server_reloads_total{result="changed"}`:  "1",
		`mtasts_server_reloads_total{result="error"}`:    "0",
	} {
		if got := s.metric(t, series); got != want {
			t.Errorf("%s is %q, want %q", series, got, want)
		}
	}
	if s.metric(t, `mtasts_server_requests_total{code="200"}`) == "0" || s.metric(t, "mtasts_server_last_load_timestamp_seconds") == "0" {
		t.Error("successes were not counted")
	}
}

func TestInstancesAreCheapToPoll(t *testing.T) {
	dir := t.TempDir()
	project(t, dir, shards(1, map[string]string{hostA: value(1)}))
	s := start(t, Options{Dir: dir})
	poll := func(etag string) response {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+s.admin+"/instances", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("If-None-Match", etag)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		got, err := readAll(resp)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	first := poll(`"other"`)
	var doc Instances
	if err := json.Unmarshal([]byte(first.body), &doc); err != nil || first.code != http.StatusOK {
		t.Fatalf("status %d, %v", first.code, err)
	}
	if diff := cmp.Diff(map[string]mtasts.ID{hostA: testID(1)}, doc.Hosts); diff != "" {
		t.Errorf("instances (-want +got):\n%s", diff)
	}
	if got := poll(first.header.Get("ETag")); got.code != http.StatusNotModified || got.body != "" {
		t.Errorf("unchanged: status %d, body %q", got.code, got.body)
	}
	project(t, dir, shards(1, map[string]string{hostA: value(2)}))
	eventually(t, "the second instance", func() bool { return s.serves(t, hostA, 2) })
	if got := poll(first.header.Get("ETag")); got.code != http.StatusOK || !strings.Contains(got.body, string(testID(2))) {
		t.Errorf("changed: status %d, body %q", got.code, got.body)
	}
}

func TestReloadUnderLoadIsNeverSeenHalfDone(t *testing.T) {
	const hosts, generations, clients = 5000, 4, 4
	generation := func(n int) map[string]string {
		files := make(map[string]string, hosts)
		for i := range hosts {
			files[fmt.Sprintf("mta-sts.domain-%d.example", i)] = value(n)
		}
		return shards(2, files)
	}
	dir := t.TempDir()
	project(t, dir, generation(1))
	s := start(t, Options{Dir: dir})
	eventually(t, "the server is ready", func() bool { return s.adminCode(t, "/readyz") == http.StatusOK })

	var requests atomic.Int64
	stop := make(chan struct{})
	var group sync.WaitGroup
	for c := range clients {
		group.Go(func() {
			client := &http.Client{Transport: &http.Transport{}}
			if c%2 == 1 {
				client = cleartextHTTP2()
			}
			defer client.CloseIdleConnections()
			last := map[string]string{}
			for i := c; ; i += 7 {
				select {
				case <-stop:
					return
				default:
				}
				requests.Add(1)
				host := fmt.Sprintf("mta-sts.domain-%d.example", i%hosts)
				if err := s.check(t.Context(), client, host, last); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for n := 2; n <= generations; n++ {
		project(t, dir, generation(n))
		eventually(t, "the generation is served", func() bool { return s.serves(t, "mta-sts.domain-0.example", n) })
		assertOneID(t, s.instances(t), testID(n), hosts)
	}
	close(stop)
	group.Wait()
	if requests.Load() < 100 {
		t.Errorf("only %d requests were made", requests.Load())
	}
}

// check makes one request that must succeed, with header and body of one
// instance that is not older than the last one of the host.
func (s *running) check(ctx context.Context, client *http.Client, host string, last map[string]string) error {
	got, err := s.get(ctx, client, host)
	id := got.header.Get(HeaderID)
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w", host, err)
	case got.code != http.StatusOK:
		return fmt.Errorf("%s: status %d", host, got.code)
	case got.body != testBody(mtasts.ID(id)):
		return fmt.Errorf("%s: id %s with body %q", host, id, got.body)
	case id < last[host]:
		return fmt.Errorf("%s: went back from %s to %s", host, last[host], id)
	}
	last[host] = id
	return nil
}

func assertOneID(t *testing.T, instances map[string]mtasts.ID, want mtasts.ID, hosts int) {
	t.Helper()
	if len(instances) != hosts {
		t.Errorf("%d instances", len(instances))
	}
	for host, id := range instances {
		if id != want {
			t.Errorf("%s has %s, want %s like the others", host, id, want)
			return
		}
	}
}

// TestShutdownLosesNoRequest plays a cluster: clients go on until they hear that
// the server is no longer ready, and a while longer.
func TestShutdownLosesNoRequest(t *testing.T) {
	s := startWith(t, Options{DrainDelay: time.Second}, map[string]string{hostA: value(1)})
	stop := make(chan struct{})
	var requests atomic.Int64
	var group sync.WaitGroup
	for c := range 6 {
		group.Go(func() {
			client := &http.Client{Transport: &http.Transport{DisableKeepAlives: c%3 == 0}}
			if c%3 == 1 {
				client = cleartextHTTP2()
			}
			defer client.CloseIdleConnections()
			for {
				select {
				case <-stop:
					return
				default:
				}
				requests.Add(1)
				if err := s.check(context.Background(), client, hostA, map[string]string{}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	eventually(t, "requests are being made", func() bool { return requests.Load() > 50 })
	s.cancel()
	eventually(t, "readiness is withdrawn", func() bool { return s.adminCode(t, "/readyz") == http.StatusServiceUnavailable })
	if code := s.adminCode(t, "/healthz"); code != http.StatusOK {
		t.Errorf("healthz %d while draining", code)
	}
	draining := requests.Load()
	eventually(t, "requests are still being made", func() bool { return requests.Load() > draining+50 })
	got, err := s.get(context.Background(), nil, hostA)
	if err != nil || got.code != http.StatusOK {
		t.Errorf("a new connection while draining: status %d, error %v", got.code, err)
	}
	close(stop)
	group.Wait()
	if err := <-s.done; err != nil {
		t.Errorf("Run returned %v", err)
	}
}

func TestDrainingServersAskClientsToLeave(t *testing.T) {
	s := startWith(t, Options{DrainDelay: time.Second}, map[string]string{hostA: value(1)})
	request := "GET " + mtasts.PolicyPath + " HTTP/1.1\r\nHost: " + hostA + "\r\n\r\n"
	if got := s.raw(t, http.MethodGet, request); got.closes {
		t.Error("the connection was closed while serving")
	}
	s.cancel()
	eventually(t, "readiness is withdrawn", func() bool { return s.adminCode(t, "/readyz") == http.StatusServiceUnavailable })
	if got := s.raw(t, http.MethodGet, request); !got.closes || got.code != http.StatusOK {
		t.Errorf("while draining: status %d, closes: %t", got.code, got.closes)
	}
}

func TestShutdownFinishesRequestsInFlight(t *testing.T) {
	clients := map[string]*http.Client{"HTTP/1.1": {Transport: &http.Transport{}}, "HTTP/2": cleartextHTTP2()}
	for name, client := range clients {
		t.Run(name, func(t *testing.T) {
			defer client.CloseIdleConnections()
			begun, finish := make(chan struct{}), make(chan struct{})
			handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				close(begun)
				<-finish
				_, _ = io.WriteString(w, "finished")
			})
			server, l := newPublicServer(handler, defaultLimits(), slog.New(slog.DiscardHandler)), loopback(t)
			failed := make(chan error, 1)
			go serve(server, l, failed)

			var got response
			var err error
			var group sync.WaitGroup
			group.Go(func() { got, err = fetch(t.Context(), client, "http://"+l.Addr().String(), "") })
			<-begun
			stopped := make(chan error, 1)
			go func() { stopped <- shutdown(t.Context(), server) }()
			eventually(t, "new connections are refused", func() bool {
				conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", l.Addr().String())
				if err == nil {
					_ = conn.Close()
				}
				return err != nil
			})
			close(finish)
			group.Wait()
			if err != nil || got.body != "finished" {
				t.Errorf("body %q, error %v", got.body, err)
			}
			if err := <-stopped; err != nil {
				t.Errorf("shutdown returned %v", err)
			}
			if len(failed) != 0 {
				t.Errorf("serve reported %v", <-failed)
			}
		})
	}
}

func TestRunReportsListenersThatFail(t *testing.T) {
	taken := loopback(t)
	defer taken.Close()
	t.Run("at the start", func(t *testing.T) {
		err := Run(t.Context(), Options{Dir: t.TempDir(), Addr: "127.0.0.1:0", AdminAddr: taken.Addr().String()})
		if err == nil || !strings.Contains(err.Error(), "admin listener") {
			t.Errorf("got error %v", err)
		}
	})
	t.Run("later", func(t *testing.T) {
		broken := loopback(t)
		if err := broken.Close(); err != nil {
			t.Fatal(err)
		}
		err := Run(t.Context(), Options{Dir: t.TempDir(), Listener: broken, AdminAddr: "127.0.0.1:0"})
		if !errors.Is(err, net.ErrClosed) {
			t.Errorf("got error %v", err)
		}
	})
}

func TestManyServersInOneProcess(t *testing.T) {
	const servers = 24
	all := make([]*running, servers)
	for i := range all {
		all[i] = startWith(t, Options{}, map[string]string{hostA: value(i)})
	}
	for i, s := range all {
		if !s.serves(t, hostA, i) {
			t.Errorf("server %d does not serve its own instance", i)
		}
		if got := s.metric(t, `mtasts_server_requests_total{code="200"}`); got != "1" {
			t.Errorf("server %d counted %s requests", i, got)
		}
	}
}

func TestFaultsOfClientsAreLoggedAtDebugLevel(t *testing.T) {
	logs := &logBuffer{}
	handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusOK)
		w.WriteHeader(http.StatusOK) // net/http complains about the second one
	})
	server := httptest.NewUnstartedServer(handler)
	server.Config = newServer(handler, defaultLimits(), logs.logger())
	server.Start()
	defer server.Close()
	if _, err := fetch(t.Context(), nil, server.URL, ""); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the complaint", func() bool { return logs.count("level=DEBUG") == 1 })
}
