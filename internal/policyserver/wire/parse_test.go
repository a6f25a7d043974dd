package wire

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const path = "/.well-known/mta-sts.txt"

// usual is a request as an Ingress controller sends it.
const usual = "GET " + path + " HTTP/1.1\r\nHost: mta-sts.example.com\r\nX-Request-ID: 9f3b\r\nX-Forwarded-For: 192.0.2.1, 192.0.2.2\r\n" +
	"X-Forwarded-Proto: https\r\nUser-Agent: sender (test)\r\nAccept: */*\r\n\r\n"

func TestParse(t *testing.T) {
	get := func(fields string) string { return "GET " + path + " HTTP/1.1\r\n" + fields + "\r\n" }
	host := "Host: a.example\r\n"
	known := map[string]struct {
		data string
		want Request
	}{
		"a request of a proxy":                     {usual, Request{Host: []byte("mta-sts.example.com")}},
		"the least there is":                       {get(host), Request{Host: []byte("a.example")}},
		"HEAD":                                     {strings.Replace(get(host), "GET", "HEAD", 1), Request{Host: []byte("a.example"), Head: true}},
		"the end of the connection":                {get(host + "connection: Close\r\n"), Request{Host: []byte("a.example"), Close: true}},
		"that the connection stays":                {get("CONNECTION: keep-alive\r\n" + host), Request{Host: []byte("a.example")}},
		"a host with port, dot and capitals":       {get("hOST:A.Example.:80\r\n"), Request{Host: []byte("A.Example.:80")}},
		"spaces around a value":                    {get("Host:   a.example  \r\n"), Request{Host: []byte("a.example")}},
		"an empty value":                           {get(host + "X-Empty:\r\n"), Request{Host: []byte("a.example")}},
		"names as long as those that would matter": {get(host + "Pile: 1\r\nConvention: 1\r\nExport: 1\r\nUpgrabe: 1\r\nContent-Lengthy: 1\r\nTransfer-Encodings: 1\r\n"), Request{Host: []byte("a.example")}},
	}
	for name, tt := range known {
		t.Run("knows "+name, func(t *testing.T) {
			got, size := parse([]byte(tt.data+"GET"), path)
			if diff := cmp.Diff(tt.want, got); diff != "" || size != len(tt.data) {
				t.Errorf("size %d of %d, request (-want +got):\n%s", size, len(tt.data), diff)
			}
		})
	}
	unknown := map[string]string{
		"nothing":                      "",
		"another method":               strings.Replace(usual, "GET", "POST", 1),
		"a method in lower case":       strings.Replace(usual, "GET", "get", 1),
		"HTTP/1.0":                     strings.Replace(usual, "HTTP/1.1", "HTTP/1.0", 1),
		"HTTP/2":                       "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		"another path":                 strings.Replace(usual, ".txt", ".html", 1),
		"a longer path":                strings.Replace(usual, ".txt", ".txt2", 1),
		"a query":                      strings.Replace(usual, ".txt", ".txt?x", 1),
		"an absolute target":           strings.Replace(usual, "/.well", "http://a.example/.well", 1),
		"two spaces":                   strings.Replace(usual, "GET ", "GET  ", 1),
		"no host":                      get("Accept: */*\r\n"),
		"an empty host":                get("Host:\r\n"),
		"two hosts":                    get(host + host),
		"a host that is none":          get("Host: a/b\r\n"),
		"a body":                       get(host + "Content-Length: 2\r\n"),
		"no body, said at length":      get(host + "content-length: 0\r\n"),
		"a body in chunks":             get(host + "Transfer-Encoding: chunked\r\n"),
		"an encoding in disguise":      get(host + "Transfer-Encoding : chunked\r\n"),
		"an expectation":               get(host + "Expect: 100-continue\r\n"),
		"an upgrade":                   get(host + "Upgrade: h2c\r\n"),
		"a trailer":                    get(host + "Trailer: x\r\n"),
		"connection options":           get(host + "Connection: keep-alive, X-Request-ID\r\n"),
		"close, and then something":    get(host + "Connection: close\r\nConnection: keep-alive\r\n"),
		"a line that goes on":          get(host + "X-Long: 1\r\n 2\r\n"),
		"a line feed alone":            strings.Replace(usual, "\r\nX-", "\nX-", 1),
		"a line feed alone at the end": strings.TrimSuffix(usual, "\r\n") + "\n",
		"a carriage return in a value": get(host + "X-A: 1\r2\r\n"),
		"a zero byte":                  get(host + "X-A: \x00\r\n"),
		"a tab":                        get(host + "X-A: 1\t2\r\n"),
		"more than ASCII":              get(host + "X-A: ä\r\n"),
		"a line without colon":         get(host + "X-A\r\n"),
		"a line without name":          get(host + ": 1\r\n"),
		"a name with a space":          get(host + "X A: 1\r\n"),
	}
	for cut := range len(usual) {
		unknown["cut after "+usual[:cut]] = usual[:cut]
	}
	for name, data := range unknown {
		if _, size := parse([]byte(data), path); size != 0 {
			t.Errorf("knows %s: %q", name, data)
		}
	}
}

// FuzzParse gives the same bytes to net/http's server: every request that parse knows must be one that
// the server passes to its handler, in the same place and with the same meaning.
func FuzzParse(f *testing.F) {
	f.Add([]byte(usual))
	f.Add([]byte(usual + usual))
	for _, field := range []string{
		"Connection: close", "Connection: keep-alive", "Content-Length: 5\r\n\r\nhello", "Transfer-Encoding: chunked\r\n\r\n0",
		"Host: b.example", "Expect: 100-continue", "Upgrade: h2c", "Trailer: x", "X_A: 1", "Connection:", "Content-Length : 3", "-: 1", "TE: trailers",
	} {
		f.Add([]byte("GET " + path + " HTTP/1.1\r\nHost: a.example\r\n" + field + "\r\n\r\n" + usual))
		f.Add([]byte("HEAD " + path + " HTTP/1.1\r\n" + field + "\r\nHost: A.example:80\r\n\r\n"))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var known []seen
		rest := data
		for {
			r, size := parse(rest, path)
			if size == 0 {
				break
			}
			known = append(known, seen{head: r.Head, close: r.Close, host: string(r.Host), target: path})
			if rest = rest[size:]; r.Close {
				break
			}
		}
		if len(known) == 0 {
			return
		}
		got := serveAll(data)
		if len(got) < len(known) {
			t.Fatalf("%q: net/http handled %v, parse knew %v", data, got, known)
		}
		if len(rest) == 0 && len(got) > len(known) {
			t.Fatalf("%q: net/http found more requests, %v", data, got)
		}
		if diff := cmp.Diff(known, got[:len(known)], cmp.AllowUnexported(seen{})); diff != "" {
			t.Fatalf("%q: (-parse +net/http)\n%s", data, diff)
		}
	})
}

// seen is what the meaning of a request depends on.
type seen struct {
	head, close, body, expects bool
	host, target               string
}

// serveAll returns what a server that reads data, and then the end of the connection, passes to its handler.
func serveAll(data []byte) []seen {
	var got []seen
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	server := http.Server{
		Protocols: protocols,
		Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			got = append(got, seen{
				head: r.Method == http.MethodHead, close: r.Close, host: r.Host, target: r.RequestURI,
				body: r.ContentLength != 0 || r.Body != http.NoBody, expects: r.Header.Get("Expect") != "",
			})
		}),
	}
	conn := &recorded{Reader: bytes.NewReader(data), closed: make(chan struct{})}
	l := &single{conn: conn}
	_ = server.Serve(l) // ends after the only connection
	<-conn.closed
	return got
}

// single is a listener with one connection.
type single struct{ conn net.Conn }

func (l *single) Accept() (net.Conn, error) {
	if l.conn == nil {
		return nil, io.EOF
	}
	conn := l.conn
	l.conn = nil
	return conn, nil
}
func (l *single) Close() error   { return nil }
func (l *single) Addr() net.Addr { return &net.TCPAddr{} }

// recorded is a connection whose client has sent everything and reads nothing.
type recorded struct {
	net.Conn // nil: whatever is not below is not called

	*bytes.Reader
	closed chan struct{}
}

func (c *recorded) Read(p []byte) (int, error)       { return c.Reader.Read(p) }
func (c *recorded) Write(p []byte) (int, error)      { return len(p), nil }
func (c *recorded) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (c *recorded) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (c *recorded) SetDeadline(time.Time) error      { return nil }
func (c *recorded) SetReadDeadline(time.Time) error  { return nil }
func (c *recorded) SetWriteDeadline(time.Time) error { return nil }
func (c *recorded) Close() error {
	select {
	case <-c.closed:
		return errors.New("closed already")
	default:
		close(c.closed)
		return nil
	}
}
