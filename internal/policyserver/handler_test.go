package policyserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
)

// startWith runs a server that has loaded some files in one shard.
func startWith(t testing.TB, o Options, files map[string]string) *running {
	t.Helper()
	o.Dir = t.TempDir()
	project(t, o.Dir, shards(1, files))
	s := start(t, o)
	eventually(t, "the server is ready", func() bool { return s.adminCode(t, "/readyz") == http.StatusOK })
	return s
}

func TestAnswers(t *testing.T) {
	s := startWith(t, Options{}, map[string]string{hostA: value(1), hostB: value(2)})
	policy := func(method, host string) string {
		return method + " " + mtasts.PolicyPath + " HTTP/1.1\r\nHost: " + host + "\r\n\r\n"
	}
	target := func(target string) string {
		return "GET " + target + " HTTP/1.1\r\nHost: " + hostA + "\r\n\r\n"
	}
	one, two := testBody(testID(1)), testBody(testID(2))
	tests := map[string]struct {
		request string
		code    int
		body    string // of a 200
	}{
		"the exact host is served":                   {policy("GET", hostA), 200, one},
		"another host has its own policy":            {policy("GET", hostB), 200, two},
		"upper case is the same host":                {policy("GET", "MTA-STS.A.Example"), 200, one},
		"a port is ignored":                          {policy("GET", hostA+":443"), 200, one},
		"an empty port is ignored":                   {policy("GET", hostA+":"), 200, one},
		"one trailing dot is the same host":          {policy("GET", hostA+"."), 200, one},
		"upper case, dot and port together are":      {policy("GET", "MTA-STS.a.example.:8080"), 200, one},
		"two trailing dots are not":                  {policy("GET", hostA+".."), 404, ""},
		"a dot after the port is not":                {policy("GET", hostA+":443."), 404, ""},
		"a port that is no number is not":            {policy("GET", hostA+":https"), 404, ""},
		"two ports are not":                          {policy("GET", hostA+":1:2"), 404, ""},
		"a stranger is not found":                    {policy("GET", "mta-sts.c.example"), 404, ""},
		"the policy domain itself is not found":      {policy("GET", "a.example"), 404, ""},
		"a host below is not found":                  {policy("GET", "x."+hostA), 404, ""},
		"a longer suffix is not found":               {policy("GET", hostA+".evil.example"), 404, ""},
		"a host cut short is not found":              {policy("GET", hostA[:len(hostA)-1]), 404, ""},
		"an empty host is not found":                 {policy("GET", ""), 404, ""},
		"a lone dot is not found":                    {policy("GET", "."), 404, ""},
		"a lone port is not found":                   {policy("GET", ":80"), 404, ""},
		"an IPv4 address is not found":               {policy("GET", "127.0.0.1"), 404, ""},
		"an IPv6 address is not found":               {policy("GET", "[::1]:80"), 404, ""},
		"a marker is not a host":                     {policy("GET", MarkerKey(0)), 404, ""},
		"a host longer than any name is not found":   {policy("GET", strings.Repeat("a", 5000)), 404, ""},
		"a host that is no host is refused":          {policy("GET", "a b"), 400, ""},
		"two Host headers are refused":               {policy("GET", hostA+"\r\nHost: "+hostB), 400, ""},
		"two equal Host headers are refused":         {policy("GET", hostA+"\r\nHost: "+hostA), 400, ""},
		"HTTP/1.1 without Host is refused":           {"GET " + mtasts.PolicyPath + " HTTP/1.1\r\n\r\n", 400, ""},
		"HTTP/1.0 without Host is not found":         {"GET " + mtasts.PolicyPath + " HTTP/1.0\r\n\r\n", 404, ""},
		"HTTP/1.0 with Host is served":               {"GET " + mtasts.PolicyPath + " HTTP/1.0\r\nHost: " + hostA + "\r\n\r\n", 200, one},
		"HEAD has no body":                           {policy("HEAD", hostA), 200, ""},
		"HEAD of a stranger is not found":            {policy("HEAD", "mta-sts.c.example"), 404, ""},
		"POST is not allowed":                        {policy("POST", hostA), 405, ""},
		"PUT is not allowed":                         {policy("PUT", hostA), 405, ""},
		"OPTIONS is not allowed":                     {policy("OPTIONS", hostA), 405, ""},
		"a method of one's own is not allowed":       {policy("FETCH", hostA), 405, ""},
		"methods are case-sensitive":                 {policy("get", hostA), 405, ""},
		"POST to a stranger is not found":            {policy("POST", "mta-sts.c.example"), 404, ""},
		"a query is ignored":                         {target(mtasts.PolicyPath + "?nocache=1"), 200, one},
		"the path of a way is served, too":           {target(WayPath("0a1b2c3d4e")), 200, one},
		"a way without a token is not found":         {target(WayPath("")), 404, ""},
		"a way with a long token is not found":       {target(WayPath(strings.Repeat("a", 17))), 404, ""},
		"a way below a way is not found":             {target(WayPath("a/b")), 404, ""},
		"a way in upper case is not found":           {target(WayPath("A")), 404, ""},
		"POST to a way is not allowed":               {"POST " + WayPath("a") + " HTTP/1.1\r\nHost: " + hostA + "\r\n\r\n", 405, ""},
		"a stranger's way is not found":              {"GET " + WayPath("a") + " HTTP/1.1\r\nHost: mta-sts.c.example\r\n\r\n", 404, ""},
		"the root is not found":                      {target("/"), 404, ""},
		"another path is not found":                  {target("/.well-known/mta-sts.txt2"), 404, ""},
		"a trailing slash is another path":           {target(mtasts.PolicyPath + "/"), 404, ""},
		"upper case is another path":                 {target("/.WELL-KNOWN/mta-sts.txt"), 404, ""},
		"a double slash in front is another path":    {target("/" + mtasts.PolicyPath), 404, ""},
		"a double slash inside is another path":      {target("/.well-known//mta-sts.txt"), 404, ""},
		"a path that looks like a host is a path":    {target("//" + hostA + mtasts.PolicyPath), 404, ""},
		"a dot segment is another path":              {target("/./.well-known/mta-sts.txt"), 404, ""},
		"two dots are another path":                  {target("/x/.." + mtasts.PolicyPath), 404, ""},
		"two dots to the outside are not found":      {target("/../../etc/passwd"), 404, ""},
		"an escaped dot is another path":             {target("/%2ewell-known/mta-sts.txt"), 404, ""},
		"an escaped slash is another path":           {target("/.well-known%2Fmta-sts.txt"), 404, ""},
		"a path parameter is another path":           {target(mtasts.PolicyPath + ";x"), 404, ""},
		"a fragment is another path":                 {target(mtasts.PolicyPath + "#x"), 404, ""},
		"a malformed escape is refused":              {target("/%zz"), 400, ""},
		"an absolute target names the host":          {target("http://" + hostB + mtasts.PolicyPath), 200, two},
		"an absolute target of any scheme does":      {target("https://" + hostB + ":443" + mtasts.PolicyPath), 200, two},
		"an absolute target of a stranger is not":    {target("http://mta-sts.c.example" + mtasts.PolicyPath), 404, ""},
		"user information is not the host":           {target("http://" + hostA + "@mta-sts.c.example" + mtasts.PolicyPath), 404, ""},
		"an absolute target without path is not":     {target("http://" + hostA), 404, ""},
		"OPTIONS * is not found":                     {"OPTIONS * HTTP/1.1\r\nHost: " + hostA + "\r\n\r\n", 404, ""},
		"CONNECT is not found":                       {"CONNECT " + hostA + ":443 HTTP/1.1\r\nHost: " + hostA + "\r\n\r\n", 404, ""},
		"a header of 32 KiB is too large":            {policy("GET", hostA+"\r\nX-Long: "+strings.Repeat("x", 32<<10)), 431, ""},
		"a target of 32 KiB is too large":            {target("/" + strings.Repeat("x", 32<<10)), 431, ""},
		"a range is ignored":                         {policy("GET", hostA+"\r\nRange: bytes=0-3"), 200, one},
		"an entity tag is ignored":                   {policy("GET", hostA+"\r\nIf-None-Match: *"), 200, one},
		"a date is ignored":                          {policy("GET", hostA+"\r\nIf-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT"), 200, one},
		"compression is not offered":                 {policy("GET", hostA+"\r\nAccept-Encoding: gzip, br"), 200, one},
		"X-Forwarded-Host does not choose the host":  {policy("GET", hostA+"\r\nX-Forwarded-Host: "+hostB), 200, one},
		"an announced body is not waited for":        {policy("POST", hostA+"\r\nExpect: 100-continue\r\nContent-Length: 9999999"), 405, ""},
		"a GET with a body is answered all the same": {policy("GET", hostA+"\r\nContent-Length: 2") + "hi", 200, one},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			method, _, _ := strings.Cut(tt.request, " ")
			got := s.raw(t, method, tt.request)
			if got.code != tt.code {
				t.Fatalf("status %d, want %d; body %q", got.code, tt.code, got.body)
			}
			checkHeader(t, method, got)
			if tt.code == http.StatusOK && got.body != tt.body {
				t.Errorf("body %q, want %q", got.body, tt.body)
			}
		})
	}
}

// checkHeader compares the header with what the status promises. Statuses that
// net/http answers by itself have none of ours.
func checkHeader(t *testing.T, method string, got response) {
	t.Helper()
	want := http.Header{
		"Content-Type":           {"text/plain; charset=utf-8"},
		"Cache-Control":          {"no-store"},
		"X-Content-Type-Options": {"nosniff"},
		"Content-Length":         {fmt.Sprint(len(got.body))},
	}
	switch got.code {
	case http.StatusOK:
		id := got.header.Get(HeaderID)
		want.Set(HeaderID, id)
		if method == http.MethodHead {
			want.Set("Content-Length", fmt.Sprint(len(testBody(testID(1)))))
		} else if got.body != testBody(mtasts.ID(id)) {
			t.Errorf("id %q with body %q", id, got.body)
		}
	case http.StatusMethodNotAllowed:
		want.Set("Allow", "GET, HEAD")
	case http.StatusNotFound:
	default:
		return
	}
	if method == http.MethodHead && got.code == http.StatusNotFound {
		want.Set("Content-Length", got.header.Get("Content-Length"))
	}
	header := got.header.Clone()
	header.Del("Date")
	header.Del("Connection")
	if diff := cmp.Diff(want, header); diff != "" {
		t.Errorf("header (-want +got):\n%s", diff)
	}
}

func cleartextHTTP2() *http.Client {
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Client{Transport: &http.Transport{Protocols: protocols}}
}

func TestCleartextHTTP2(t *testing.T) {
	s := startWith(t, Options{}, map[string]string{hostA: value(1)})
	client := cleartextHTTP2()
	defer client.CloseIdleConnections()
	for host, want := range map[string]int{hostA: 200, "MTA-STS.A.example.:443": 200, "mta-sts.c.example": 404} {
		got, err := s.get(t.Context(), client, host)
		if err != nil {
			t.Fatal(err)
		}
		if got.proto != 2 || got.code != want {
			t.Errorf("%s: HTTP/%d, status %d, want %d", host, got.proto, got.code, want)
		}
		checkHeader(t, http.MethodGet, got)
	}
}

func TestKeepAliveConnectionsAreReused(t *testing.T) {
	s := startWith(t, Options{}, map[string]string{hostA: value(1)})
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	reused := 0
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) {
			if info.Reused {
				reused++
			}
		},
	})
	for _, host := range []string{hostA, "mta-sts.c.example", hostA, hostA} {
		if _, err := s.get(ctx, client, host); err != nil {
			t.Fatal(err)
		}
	}
	if reused != 3 {
		t.Errorf("%d of 3 requests reused the connection", reused)
	}
}

func TestSlowClientsAreCutOff(t *testing.T) {
	short := defaultLimits()
	short.readHeader = 100 * time.Millisecond
	short.read, short.write, short.idle, short.idleGeneral = time.Hour, time.Hour, time.Hour, time.Hour
	s := startWith(t, Options{limits: short}, map[string]string{hostA: value(1)})
	tests := map[string]string{
		"silent":                  "",
		"stuck in the first line": "GET /.well-kn",
		"stuck in the header":     "GET " + mtasts.PolicyPath + " HTTP/1.1\r\nHost: " + hostA + "\r\nX-Slow: ",
		"stuck in the preface":    "PRI * HTTP/2.0\r\n\r\nS",
	}
	for name, beginning := range tests {
		t.Run(name, func(t *testing.T) {
			conn := s.dial(t)
			if _, err := io.WriteString(conn, beginning); err != nil {
				t.Fatal(err)
			}
			if beginning != "" {
				go trickle(t.Context(), conn)
			}
			answer, err := io.ReadAll(conn)
			if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
				t.Fatal("the connection was kept open")
			}
			if strings.HasPrefix(string(answer), "HTTP/1.1 200") {
				t.Errorf("answered %q", answer)
			}
		})
	}
}

// trickle sends a byte at a time until the connection breaks.
func trickle(ctx context.Context, conn net.Conn) {
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			if _, err := conn.Write([]byte("x")); err != nil {
				return
			}
		}
	}
}

// nopWriter is a ResponseWriter that costs nothing.
type nopWriter struct {
	header http.Header
	code   int
}

func (w *nopWriter) Header() http.Header               { return w.header }
func (w *nopWriter) WriteHeader(code int)              { w.code = code }
func (w *nopWriter) Write(p []byte) (int, error)       { return len(p), nil }
func (w *nopWriter) WriteString(s string) (int, error) { return len(s), nil }

// manyHosts returns a handler with n hosts and the name of one of them.
func manyHosts(n int) (http.Handler, string) {
	files := map[string]string{}
	for i := range n {
		files[fmt.Sprintf("mta-sts.domain-%d.example", i)] = value(i)
	}
	s := newTestStore(nil)
	s.Load(shards(1, files))
	return NewHandler(s), fmt.Sprintf("mta-sts.domain-%d.example", n/2)
}

func policyRequest(tb testing.TB, host string) *http.Request {
	tb.Helper()
	r, err := http.NewRequestWithContext(tb.Context(), http.MethodGet, "http://x"+mtasts.PolicyPath, nil)
	if err != nil {
		tb.Fatal(err)
	}
	r.Host = host
	return r
}

func TestHandlerDoesNotAllocate(t *testing.T) {
	handler, host := manyHosts(10)
	for name, want := range map[string]int{
		host: 200, strings.ToUpper(host) + ".:443": 200, "mta-sts.stranger.example": 404,
	} {
		w, r := &nopWriter{header: http.Header{}}, policyRequest(t, name)
		if allocations := testing.AllocsPerRun(100, func() { handler.ServeHTTP(w, r) }); allocations != 0 {
			t.Errorf("%s: %v allocations", name, allocations)
		}
		if w.code != want {
			t.Errorf("%s: status %d, want %d", name, w.code, want)
		}
	}
}

func BenchmarkHandler(b *testing.B) {
	handler, host := manyHosts(10_000)
	for name, host := range map[string]string{"exact": host, "folded": strings.ToUpper(host) + ".:443", "stranger": "mta-sts.stranger.example"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				w, r := &nopWriter{header: http.Header{}}, policyRequest(b, host)
				for pb.Next() {
					handler.ServeHTTP(w, r)
				}
			})
		})
	}
}
