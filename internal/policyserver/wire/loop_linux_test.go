//go:build amd64 || arm64

package wire

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// patience is how long a test waits for something that must happen.
const patience = 20 * time.Second

// bodyBytes makes a pipelined answer to many requests more than a socket takes.
const bodyBytes = 60 << 10

// echo answers with the host, repeated until the body is long enough to be cut somewhere.
func echo(b []byte, r Request) []byte {
	body := bytes.Repeat(append(bytes.Clone(r.Host), '\n'), bodyBytes/(len(r.Host)+1))
	b = append(b, "HTTP/1.1 200 OK\r\nDate: "...)
	b = append(b, r.Date...)
	if r.Close {
		b = append(b, "\r\nConnection: close"...)
	}
	b = append(b, "\r\nContent-Length: "...)
	b = strconv.AppendInt(b, int64(len(body)), 10)
	b = append(b, "\r\n\r\n"...)
	if r.Head {
		return b
	}
	return append(b, body...)
}

func listen(t *testing.T, c Config) net.Listener {
	t.Helper()
	inner, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c.Path, c.Answer, c.Write = path, echo, patience
	if c.First == 0 {
		c.First = patience
	}
	if c.Idle == 0 {
		c.Idle = patience
	}
	if c.Draining == nil {
		c.Draining = new(atomic.Bool)
	}
	l, err := Listen(inner, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func dial(t *testing.T, l net.Listener) net.Conn {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return conn
}

func write(t *testing.T, conn net.Conn, data string) {
	t.Helper()
	if _, err := io.WriteString(conn, data); err != nil {
		t.Fatal(err)
	}
}

// expect reads one answer, for host.
func expect(t *testing.T, r *bufio.Reader, method, host string) *http.Response {
	t.Helper()
	resp, err := http.ReadResponse(r, &http.Request{Method: method})
	if err != nil {
		t.Fatalf("reading the answer for %s: %v", host, err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("reading the body for %s: %v", host, err)
	}
	if method == http.MethodGet && (len(body) == 0 || strings.Trim(string(body), host+"\n") != "" || !strings.HasPrefix(string(body), host)) {
		t.Errorf("body of %d bytes for %s: %.60q…", len(body), host, body)
	}
	date, err := http.ParseTime(resp.Header.Get("Date"))
	if err != nil || time.Since(date).Abs() > patience {
		t.Errorf("date %v, %v", date, err)
	}
	return resp
}

func ask(method, host, fields string) string {
	return method + " " + path + " HTTP/1.1\r\nHost: " + host + "\r\n" + fields + "\r\n"
}

// TestUsualRequestsNeedNoServer never accepts: what is answered was answered without net/http.
func TestUsualRequestsNeedNoServer(t *testing.T) {
	l := listen(t, Config{Loops: 2})
	for range 8 {
		conn := dial(t, l)
		r := bufio.NewReader(conn)
		for _, host := range []string{"a.example", "b.example"} {
			write(t, conn, ask("GET", host, ""))
			if resp := expect(t, r, "GET", host); resp.Close {
				t.Error("the connection ends without need")
			}
		}
		write(t, conn, ask("HEAD", "c.example", "")+ask("GET", "d.example", "")+ask("GET", "e.example", ""))
		expect(t, r, "HEAD", "c.example")
		expect(t, r, "GET", "d.example")
		expect(t, r, "GET", "e.example")
		write(t, conn, ask("GET", "f.example", "Connection: close\r\n"))
		if resp := expect(t, r, "GET", "f.example"); !resp.Close {
			t.Error("the answer does not say that the connection ends")
		}
		if _, err := r.ReadByte(); !errors.Is(err, io.EOF) {
			t.Errorf("after the last answer: %v", err)
		}
	}
}

func TestOtherRequestsAreHandedOverWithAllThatWasRead(t *testing.T) {
	l := listen(t, Config{})
	for _, data := range []string{
		"G", "POST / HTTP/1.1\r\n\r\n", ask("GET", "a.example", "Content-Length: 5\r\n") + "hello", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "\x00",
		ask("GET", "a.example", "Connection: close\r\n") + "more",
	} {
		for _, before := range []string{"", ask("GET", "b.example", "")} {
			client := dial(t, l)
			write(t, client, before+data)
			server, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			got := make([]byte, len(data)+len(" and more"))
			write(t, client, " and more")
			if _, err := io.ReadFull(server, got); err != nil || string(got) != data+" and more" {
				t.Errorf("%q: got %q, %v", data, got, err)
			}
			write(t, server, ask("GET", "c.example", ""))
			server.Close()
			r := bufio.NewReader(client)
			if before != "" {
				expect(t, r, "GET", "b.example")
			}
			if answer, err := io.ReadAll(r); string(answer) != ask("GET", "c.example", "") {
				t.Errorf("%q: the client got %q, %v", data, answer, err)
			}
		}
	}
}

// TestAnswersWaitForSlowReaders sends requests whose answers no socket takes at once. What does not fit is
// sent later, and the requests behind it are the server's.
func TestAnswersWaitForSlowReaders(t *testing.T) {
	const requests = 200 // 12 MB of answers
	l := listen(t, Config{})
	conn := dial(t, l)
	last := ask("GET", "last.example", "")
	write(t, conn, strings.Repeat(ask("GET", "a.example", ""), requests)+last)
	left := make(chan int, 1)
	go func() {
		server, err := l.Accept() // closed at the end of the test if nobody comes
		if err != nil {
			return
		}
		defer server.Close()
		var all []byte
		for r := bufio.NewReader(server); err == nil && !strings.HasSuffix(string(all), last); {
			var line []byte
			line, err = r.ReadBytes('\n')
			all = append(all, line...)
		}
		left <- strings.Count(string(all), "Host: a.example")
	}()
	r := bufio.NewReader(conn)
	answered := 0
	for ; ; answered++ {
		if _, err := r.Peek(1); errors.Is(err, io.EOF) {
			break
		}
		expect(t, r, "GET", "a.example")
	}
	if n := <-left; answered == 0 || n == 0 || answered+n != requests {
		t.Errorf("%d were answered and %d handed over, of %d", answered, n, requests)
	}
}

func TestSilentConnectionsAreClosed(t *testing.T) {
	tests := map[string]struct {
		config Config
		sends  string
	}{
		"before the first request": {Config{First: 50 * time.Millisecond}, ""},
		"between two requests":     {Config{First: time.Second, Idle: 50 * time.Millisecond}, ask("HEAD", "a.example", "")},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn := dial(t, listen(t, tt.config))
			write(t, conn, tt.sends)
			if _, err := io.ReadAll(conn); err != nil {
				t.Errorf("the connection was not closed: %v", err)
			}
		})
	}
}

func TestDrainingEndsConnectionsWithTheirNextAnswer(t *testing.T) {
	draining := new(atomic.Bool)
	conn := dial(t, listen(t, Config{Draining: draining}))
	r := bufio.NewReader(conn)
	for _, want := range []bool{false, true} {
		draining.Store(want)
		write(t, conn, ask("GET", "a.example", ""))
		if resp := expect(t, r, "GET", "a.example"); resp.Close != want {
			t.Errorf("draining %t: closes %t", want, resp.Close)
		}
	}
	if _, err := r.ReadByte(); !errors.Is(err, io.EOF) {
		t.Errorf("after the last answer: %v", err)
	}
}

func TestCloseEndsAllConnections(t *testing.T) {
	l := listen(t, Config{Loops: 3})
	var conns []net.Conn
	for range 10 {
		conn := dial(t, l)
		write(t, conn, ask("GET", "a.example", ""))
		expect(t, bufio.NewReader(conn), "GET", "a.example")
		conns = append(conns, conn)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for _, conn := range conns {
		if rest, err := io.ReadAll(conn); err != nil || len(rest) > 0 {
			t.Errorf("after Close: %q, %v", rest, err)
		}
	}
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept after Close: %v", err)
	}
	if err := l.Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a second Close: %v", err)
	}
	if _, err := new(net.Dialer).DialContext(t.Context(), "tcp", l.Addr().String()); err == nil {
		t.Error("somebody still listens")
	}
}

func TestAnsweringDoesNotAllocate(t *testing.T) {
	l := listen(t, Config{})
	conn := dial(t, l)
	small := []byte(ask("HEAD", "a.example", ""))
	buffer := make([]byte, 1024)
	allocations := testing.AllocsPerRun(1000, func() {
		if _, err := conn.Write(small); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Read(buffer); err != nil {
			t.Fatal(err)
		}
	})
	// echo makes a body of two pieces even for HEAD.
	if allocations > 2 {
		t.Errorf("%v allocations for a request", allocations)
	}
}
