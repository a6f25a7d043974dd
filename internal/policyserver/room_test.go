package policyserver

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
)

const (
	usualRequest = "GET " + mtasts.PolicyPath + " HTTP/1.1\r\nHost: " + hostA + "\r\n\r\n"
	otherRequest = "GET " + mtasts.PolicyPath + "?x HTTP/1.1\r\nHost: " + hostA + "\r\n\r\n"
)

// crowdKinds are what a client may do with thousands of connections, and how many the server keeps of each if it has
// 16 MiB.
var crowdKinds = map[string]struct {
	begin func(t *testing.T, conn net.Conn)
	most  int
}{
	"idle after a usual request": {asking(usualRequest), 256},
	"idle after another request": {asking(otherRequest), 106},
	"HTTP/2, idle":               {func(t *testing.T, conn net.Conn) { streams(t, conn, 1, 1<<16) }, 106},
	"HTTP/2, answers not taken":  {func(t *testing.T, conn net.Conn) { streams(t, conn, 4, 0) }, 106},
	"a header without an end": {func(_ *testing.T, conn net.Conn) {
		_, _ = io.WriteString(conn, strings.TrimSuffix(usualRequest, "\r\n")+strings.Repeat("a:\r\n", 4<<10))
	}, 20},
	"silent": {func(*testing.T, net.Conn) {}, 256 + 106},
	"a body without an end": {func(_ *testing.T, conn net.Conn) {
		_, _ = io.WriteString(conn, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n")
	}, 106},
}

func asking(request string) func(*testing.T, net.Conn) {
	return func(t *testing.T, conn net.Conn) {
		t.Helper()
		if _, err := io.WriteString(conn, request); err != nil {
			t.Fatal(err)
		}
		if got := readRaw(t, conn, http.MethodGet); got.code != http.StatusOK {
			t.Fatalf("status %d", got.code)
		}
	}
}

// streams asks n times at once with HTTP/2, and takes window bytes of each answer.
func streams(t *testing.T, conn net.Conn, n int, window uint32) {
	t.Helper()
	var out, block bytes.Buffer
	out.WriteString(http2.ClientPreface)
	framer, fields := http2.NewFramer(&out, nil), hpack.NewEncoder(&block)
	errs := []error{framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: window}), framer.WriteSettingsAck()}
	for i := range n {
		block.Reset()
		for _, f := range [][2]string{{":method", "GET"}, {":scheme", "http"}, {":path", mtasts.PolicyPath}, {":authority", hostA}} {
			errs = append(errs, fields.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]}))
		}
		errs = append(errs, framer.WriteHeaders(http2.HeadersFrameParam{
			StreamID: uint32(2*i + 1), BlockFragment: block.Bytes(), EndStream: true, EndHeaders: true,
		}))
	}
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	_, _ = conn.Write(out.Bytes()) // it may be closed by now
}

// crowdOf opens n connections, one after the other.
func (s *running) crowdOf(t *testing.T, n int, begin func(*testing.T, net.Conn)) []net.Conn {
	t.Helper()
	conns := make([]net.Conn, n)
	for i := range conns {
		conns[i] = s.dial(t)
		begin(t, conns[i])
	}
	return conns
}

// isOpen reads what there is, and tells whether the connection goes on.
func isOpen(conn net.Conn) bool {
	_ = conn.SetReadDeadline(time.Now().Add(time.Millisecond))
	_, err := io.Copy(io.Discard, conn)
	timeout, ok := errors.AsType[net.Error](err)
	return ok && timeout.Timeout()
}

func openOf(conns []net.Conn) (n int) {
	for _, conn := range conns {
		if isOpen(conn) {
			n++
		}
	}
	return n
}

// bothWays runs a test with and without the fast path.
func bothWays(t *testing.T, test func(t *testing.T, o Options)) {
	t.Helper()
	t.Run("usual requests take the fast path", func(t *testing.T) { test(t, Options{}) })
	t.Run("net/http has all", func(t *testing.T) { test(t, Options{Listener: plain{loopback(t)}}) })
}

func TestACrowdDoesNotKeepOthersOut(t *testing.T) {
	bothWays(t, func(t *testing.T, o Options) {
		o.MemoryLimit, o.limits = 16<<20, defaultLimits()
		o.limits.write = time.Second
		for name, kind := range crowdKinds {
			t.Run(name, func(t *testing.T) {
				if o.Listener != nil {
					o.Listener = plain{loopback(t)}
				}
				s := startWith(t, o, map[string]string{hostA: value(1)})
				conns := s.crowdOf(t, 500, kind.begin)
				// While net/http is answering as many as it can it turns others away.
				for _, query := range []string{"", "?x"} {
					eventually(t, "others are answered"+query, func() bool {
						got, err := fetch(t.Context(), nil, "http://"+s.public+mtasts.PolicyPath+query, hostA)
						return err == nil && got.code == http.StatusOK
					})
				}
				eventually(t, fmt.Sprintf("%d connections are left at most", kind.most), func() bool { return openOf(conns) <= kind.most })
			})
		}
	})
}

// TestThoseIdleLongestAreClosedFirst opens more connections than there is room for. The first one keeps asking.
func TestThoseIdleLongestAreClosedFirst(t *testing.T) {
	for name, request := range map[string]string{"usual requests": usualRequest, "other requests": otherRequest} {
		t.Run(name, func(t *testing.T) {
			s := startWith(t, Options{MemoryLimit: 16 << 20}, map[string]string{hostA: value(1)})
			begin := asking(request)
			busy := s.dial(t)
			conns := s.crowdOf(t, 300, func(t *testing.T, conn net.Conn) {
				begin(t, busy)
				begin(t, conn)
			})
			eventually(t, "some are closed", func() bool { return openOf(conns) <= 256 })
			open := openOf(conns)
			if open < 100 {
				t.Errorf("%d of %d are open", open, len(conns))
			}
			for i, conn := range conns {
				if got, want := isOpen(conn), i >= len(conns)-open; got != want {
					t.Errorf("connection %d of %d is open: %t, although %d are", i, len(conns), got, open)
				}
			}
			_ = busy.SetReadDeadline(time.Now().Add(patience))
			begin(t, busy)
		})
	}
}

// TestThousandsOfIdleConnections is what one pod can open without effort, with the chart's limit.
func TestThousandsOfIdleConnections(t *testing.T) {
	for name, tt := range map[string]struct {
		request string
		most    int
	}{"usual requests": {usualRequest, 2048}, "other requests": {otherRequest, 853}} {
		t.Run(name, func(t *testing.T) {
			s := startWith(t, Options{}, map[string]string{hostA: value(1)})
			begin, n := asking(tt.request), 0
			conns := s.crowdOf(t, 6000, func(t *testing.T, conn net.Conn) {
				begin(t, conn)
				if n++; n%500 == 0 && (!s.serves(t, hostA, 1) || s.adminCode(t, "/readyz") != http.StatusOK) {
					t.Errorf("with %d connections others are not answered", n)
				}
			})
			eventually(t, "not more are open than there is room for", func() bool { return openOf(conns[len(conns)-2*tt.most:]) <= tt.most })
			if isOpen(conns[0]) || !isOpen(conns[len(conns)-1]) {
				t.Error("the first connection is open, or the last is not")
			}
		})
	}
}

func TestACrowdOnTheAdminListenerDoesNotKeepTheKubeletOut(t *testing.T) {
	s := startWith(t, Options{MemoryLimit: 16 << 20}, map[string]string{hostA: value(1)})
	admin := &running{public: s.admin}
	conns := admin.crowdOf(t, 100, asking("GET /instances HTTP/1.1\r\nHost: a\r\n\r\n"))
	if code := s.adminCode(t, "/readyz"); code != http.StatusOK {
		t.Errorf("readyz %d", code)
	}
	const most = 10
	eventually(t, "few connections are left", func() bool { return openOf(conns) <= most })
}

// TestIdleConnectionsEnd looks at those that net/http has, on both listeners.
func TestIdleConnectionsEnd(t *testing.T) {
	short := defaultLimits()
	short.idleGeneral = 50 * time.Millisecond
	s := startWith(t, Options{limits: short}, map[string]string{hostA: value(1)})
	admin := &running{public: s.admin}
	for name, conn := range map[string]net.Conn{
		"public": s.crowdOf(t, 1, asking(otherRequest))[0],
		"admin":  admin.crowdOf(t, 1, asking("GET /readyz HTTP/1.1\r\nHost: a\r\n\r\n"))[0],
		"HTTP/2": s.crowdOf(t, 1, func(t *testing.T, conn net.Conn) { streams(t, conn, 1, 1<<16) })[0],
	} {
		if _, err := io.Copy(io.Discard, conn); err != nil {
			t.Errorf("%s: the connection stays: %v", name, err)
		}
	}
}

// TestABodyThatNobodyReadsIsNotWaitedFor for as long as for a request.
func TestABodyThatNobodyReadsIsNotWaitedFor(t *testing.T) {
	long := defaultLimits()
	long.read, long.write, long.idleGeneral = time.Hour, time.Hour, time.Hour
	s := startWith(t, Options{limits: long}, map[string]string{hostA: value(1)})
	for _, field := range []string{"Content-Length: 5", "Transfer-Encoding: chunked"} {
		conn := s.dial(t)
		if _, err := io.WriteString(conn, "POST "+mtasts.PolicyPath+" HTTP/1.1\r\nHost: "+hostA+"\r\n"+field+"\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(conn)
		if err != nil || !strings.HasPrefix(string(got), "HTTP/1.1 405") || !strings.Contains(string(got), "Connection: close") {
			t.Errorf("%s: %q, %v", field, got, err)
		}
	}
}

// TestAnswersThatNobodyReadsAreFew asks until the server stops to read: what it has read it has answered.
func TestAnswersThatNobodyReadsAreFew(t *testing.T) {
	bothWays(t, func(t *testing.T, o Options) {
		inner := loopback(t)
		if err := boundBuffers(inner, sendBuffer); err != nil {
			t.Fatal(err)
		}
		if _, general := o.Listener.(plain); general {
			o.Listener = plain{inner}
		} else {
			o.Listener = inner
		}
		s := startWith(t, o, map[string]string{hostA: value(1)})
		conn := s.dial(t)
		tcp := conn.(*net.TCPConn)
		if err := errors.Join(tcp.SetReadBuffer(4<<10), tcp.SetWriteBuffer(4<<10)); err != nil {
			t.Fatal(err)
		}
		if err := conn.SetWriteDeadline(time.Now().Add(500 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		sent := 0
		for range 64 << 10 {
			n, err := io.WriteString(conn, strings.Repeat(usualRequest, 16))
			if sent += n; err != nil {
				break
			}
		}
		const most = 128 << 10 // it is megabytes without a bound
		if sent > most {
			t.Errorf("the server took %d bytes of requests whose answers nobody reads", sent)
		}
	})
}
