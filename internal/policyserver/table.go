package policyserver

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
)

// maxHostBytes bounds what lookup looks at: the longest DNS name, a trailing
// dot and a port.
const maxHostBytes = 253 + len(".:65535")

// answer is what a response says beside the fields that all have.
type answer struct {
	code int
	body string
	// length, id and allow are header values, made once, because making them for each request is most
	// of what a handler would allocate. The last two may be missing.
	length, id, allow []string
}

func newAnswer(code int, body string) answer {
	return answer{code: code, body: body, length: []string{strconv.Itoa(len(body))}}
}

// entry is one served instance. It is never modified. Ten thousand of them have to fit into little
// memory, and into the processor's caches: id and body are parts of one string, and equal lengths are shared.
type entry struct {
	host   string
	ids    [1]string // the id, as a header value
	body   string
	length []string
}

func (e *entry) id() mtasts.ID { return mtasts.ID(e.ids[0]) }

// isFrom tells whether value is what the entry was made from, as nearly all are in a reading.
func (e *entry) isFrom(value string) bool {
	id := e.ids[0]
	return len(value) == len(id)+1+len(e.body) && value[:len(id)] == id && value[len(id)] == '\n' && value[len(id)+1:] == e.body
}

func (e *entry) answer() answer {
	return answer{code: http.StatusOK, body: e.body, length: e.length, id: e.ids[:]}
}

// table is everything that one load made visible. It is never modified, so a
// request that took it sees a single state however long it runs.
type table struct {
	hosts map[string]*entry
	// instances is the encoded Instances document, etag its strong entity tag.
	instances []byte
	etag      string
}

func newTable(hosts map[string]*entry) *table {
	doc := Instances{Hosts: make(map[string]mtasts.ID, len(hosts))}
	for host, e := range hosts {
		doc.Hosts[host] = e.id()
	}
	encoded, err := json.Marshal(doc)
	if err != nil {
		panic(fmt.Sprintf("encoding a map of strings: %v", err))
	}
	sum := sha256.Sum256(encoded)
	return &table{hosts: hosts, instances: encoded, etag: `"` + hex.EncodeToString(sum[:16]) + `"`}
}

// lookup finds the entry for the value of a Host header or :authority: any
// case, optional port, at most one trailing dot (RFC 9110 §4.2.3, §7.2). It
// returns nil for hosts that are not served.
func (t *table) lookup(host string) *entry {
	if e := t.hosts[host]; e != nil {
		return e
	}
	if len(host) > maxHostBytes {
		return nil
	}
	host = strings.TrimSuffix(withoutPort(host), ".")
	var lower [maxHostBytes]byte
	for i := range len(host) {
		c := host[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		lower[i] = c
	}
	return t.hosts[string(lower[:len(host)])]
}

// lookupBytes is lookup for a host that is not a string yet; the usual case makes none of it.
func (t *table) lookupBytes(host []byte) *entry {
	if e := t.hosts[string(host)]; e != nil {
		return e
	}
	return t.lookup(string(host))
}

// withoutPort cuts off ":" and the digits after it, which may be none
// (RFC 3986 §3.2.3). Anything else stays and is then not found.
func withoutPort(host string) string {
	colon := strings.LastIndexByte(host, ':')
	if colon < 0 || strings.Trim(host[colon+1:], "0123456789") != "" {
		return host
	}
	return host[:colon]
}
