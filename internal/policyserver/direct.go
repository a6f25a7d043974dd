package policyserver

import (
	"runtime"
	"strconv"
	"sync/atomic"

	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
	"github.com/mta-sts-operator/mta-sts-operator/internal/policyserver/crowd"
	"github.com/mta-sts-operator/mta-sts-operator/internal/policyserver/wire"
)

// maxLoops bounds how many processors answer; one does more than all senders together ever ask for.
const maxLoops = 4

// wireConfig makes the usual request of senders bypass net/http.
func wireConfig(h *publicHandler, draining *atomic.Bool, l limits, own, handed *crowd.Crowd) wire.Config {
	return wire.Config{
		Path: mtasts.PolicyPath, Answer: h.appendAnswer, Draining: draining,
		First: l.readHeader, Idle: l.idle, Write: l.write,
		Crowd: own, Handed: handed,
		Loops: min(runtime.GOMAXPROCS(0), maxLoops),
	}
}

// appendAnswer appends what ServeHTTP answers to the same request, with the fields that net/http adds.
func (h *publicHandler) appendAnswer(b []byte, r wire.Request) []byte {
	body := h.notFound.body
	e := h.store.current.Load().lookupBytes(r.Host)
	if e == nil {
		h.missed.Inc()
		b = append(b, "HTTP/1.1 404 Not Found\r\n"...)
	} else {
		h.ok.Inc()
		body = e.body
		b = append(b, "HTTP/1.1 200 OK\r\nX-Mta-Sts-Id: "...)
		b = append(b, e.ids[0]...)
		b = append(b, "\r\n"...)
	}
	b = append(b, "Cache-Control: no-store\r\nContent-Type: text/plain; charset=utf-8\r\n"+
		"X-Content-Type-Options: nosniff\r\nDate: "...)
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
