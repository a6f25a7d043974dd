package limits

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
	"github.com/mta-sts-operator/mta-sts-operator/internal/policyserver"
)

const (
	serverAddress  = "127.0.0.1:8080"
	serverAdmin    = "127.0.0.1:8081"
	policyHost     = "mta-sts.victim.example"
	usualRequest   = "GET " + mtasts.PolicyPath + " HTTP/1.1\r\nHost: " + policyHost + "\r\n\r\n"
	unusualRequest = "GET " + mtasts.PolicyPath + "?x HTTP/1.1\r\nHost: " + policyHost + "\r\n\r\n"
)

func TestThePolicyServerStaysWithinItsLimit(t *testing.T) {
	need(t)
	_, limits := shipped(t)
	shards := &shardFolder{dir: t.TempDir()}
	if err := shards.edit(); err != nil {
		t.Fatal(err)
	}
	server := startProcess(t, newGroup(t, "server", limits), "http://"+serverAdmin+"/readyz", nil,
		filepath.Join(programs(t), "mta-sts-server"), "--shards="+shards.dir, "--listen="+serverAddress, "--metrics-listen="+serverAdmin)
	for _, tt := range []struct {
		name, address string
		n             int
		begin         func(net.Conn)
	}{
		{"7 000 idle connections", serverAddress, 7000, asking(usualRequest)},
		{"7 000 that asked something unusual", serverAddress, 7000, asking(unusualRequest)},
		{"7 000 silent ones", serverAddress, 7000, func(net.Conn) {}},
		{"3 000 headers without an end", serverAddress, 3000, sending(manyFields(20 << 10))},
		{"3 000 bodies without an end", serverAddress, 3000, sending("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999\r\n\r\n" + strings.Repeat("x", 9999))},
		{"3 000 of HTTP/2, with 32 answers that nobody takes", serverAddress, 3000, sending(manyStreams())},
		{"1 000 that ask and do not read", serverAddress, 1000, sending(strings.Repeat(usualRequest, 2000))},
		{"3 000 on the port of metrics", serverAdmin, 3000, sending("GET /instances HTTP/1.1\r\nHost: a\r\n\r\n")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			server.try(t, "policy server: "+tt.name, func() { crowd(t, tt.address, tt.n, tt.begin) }, shards.edit)
		})
	}
}

// crowd keeps n connections open at once, as far as the server lets it, and closes them all.
func crowd(t *testing.T, address string, n int, begin func(net.Conn)) {
	conns := make([]net.Conn, 0, n)
	for range n {
		conn, err := net.DialTimeout("tcp", address, patience)
		if err != nil {
			t.Errorf("connecting: %v", err)
			break
		}
		_ = conn.SetDeadline(time.Now().Add(patience))
		begin(conn)
		conns = append(conns, conn)
	}
	for _, conn := range conns {
		_ = conn.Close()
	}
}

func asking(request string) func(net.Conn) {
	return func(conn net.Conn) {
		if _, err := io.WriteString(conn, request); err != nil {
			return
		}
		if resp, err := http.ReadResponse(bufio.NewReader(conn), nil); err == nil {
			_, _ = io.Copy(io.Discard, resp.Body)
		}
	}
}

// sending sends, and does not mind that nobody reads it all.
func sending(data string) func(net.Conn) {
	return func(conn net.Conn) {
		_ = conn.SetWriteDeadline(time.Now().Add(20 * time.Millisecond))
		_, _ = io.WriteString(conn, data)
	}
}

// manyFields is a header of many small fields that does not end.
func manyFields(size int) string {
	var b strings.Builder
	b.WriteString(strings.TrimSuffix(usualRequest, "\r\n"))
	for i := int64(0); b.Len() < size-16; i++ {
		b.WriteString(strconv.FormatInt(i, 36) + ":\r\n")
	}
	return b.String()
}

// manyStreams asks 32 times with HTTP/2, and lets no answer be sent.
func manyStreams() string {
	var out, block bytes.Buffer
	out.WriteString(http2.ClientPreface)
	framer, fields := http2.NewFramer(&out, nil), hpack.NewEncoder(&block)
	_ = framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
	_ = framer.WriteSettingsAck()
	for i := range uint32(32) {
		block.Reset()
		for _, f := range [][2]string{{":method", "GET"}, {":scheme", "http"}, {":path", mtasts.PolicyPath}, {":authority", policyHost}} {
			_ = fields.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]})
		}
		for n := range 300 {
			_ = fields.WriteField(hpack.HeaderField{Name: "x" + strconv.Itoa(n), Value: ""})
		}
		_ = framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 2*i + 1, BlockFragment: block.Bytes(), EndStream: true, EndHeaders: true})
	}
	return out.String()
}

// shardFolder is what a kubelet mounts.
type shardFolder struct {
	dir  string
	last mtasts.ID
}

// edit writes a new policy and waits until the server answers with it.
func (s *shardFolder) edit() error {
	now := time.Now()
	body := fmt.Sprintf("version: STSv1\r\nmode: testing\r\nmx: at-%d.example.com\r\nmax_age: 86400\r\n", now.UnixNano())
	id, ok := mtasts.MintID(now, s.last, body)
	if !ok {
		return fmt.Errorf("no id follows upon %s", s.last)
	}
	first := s.last == ""
	s.last = id
	for name, content := range map[string]string{
		policyserver.MarkerKey(0): policyserver.MarkerValue, policyHost: policyserver.EncodeEntry(id, body),
	} {
		fresh := filepath.Join(s.dir, "..new")
		if err := os.WriteFile(fresh, []byte(content), 0o600); err != nil {
			return err
		}
		if err := os.Rename(fresh, filepath.Join(s.dir, name)); err != nil {
			return err
		}
	}
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.After(patience)
	for !first && servedID() != string(id) {
		select {
		case <-deadline:
			return fmt.Errorf("%s is not served", id)
		case <-ticker.C:
		}
	}
	return nil
}

// servedID is the id that a sender gets the policy with, "" if it gets none.
func servedID() string {
	req, err := http.NewRequest(http.MethodGet, "http://"+serverAddress+mtasts.PolicyPath, nil)
	if err != nil {
		return ""
	}
	req.Host = policyHost
	resp, err := httpClient.Do(req)
	if err != nil {
		return ""
	}
	_ = resp.Body.Close()
	return resp.Header.Get(policyserver.HeaderID)
}
