package policyserver

import (
	"io"
	"net/http"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
)

// publicHandler answers senders. Nothing in it depends on the request except
// method, path and host.
type publicHandler struct {
	store *Store

	notFound   answer
	notAllowed answer

	ok, missed, refused prometheus.Counter

	plainText, noStore, noSniff []string
}

// wayPrefix begins the paths at which the policy is answered as well. Senders never ask there: an Ingress
// that takes another's place routes one of them, so that an answer proves that it is the new one's.
const wayPrefix = "/.well-known/mta-sts-way/"

// WayPath is the path that only the way with this token routes: 1 to 16 digits and lower-case letters.
func WayPath(token string) string { return wayPrefix + token }

// isWay says whether a path is one that [WayPath] makes.
func isWay(path string) bool {
	token, ok := strings.CutPrefix(path, wayPrefix)
	return ok && 1 <= len(token) && len(token) <= 16 && strings.Trim(token, "0123456789abcdefghijklmnopqrstuvwxyz") == ""
}

// NewHandler returns the handler of the public listener. It answers GET and
// HEAD of the policy path and of the paths of [WayPath] for a served host, 405 to
// other methods there, and 404 to everything else. It never redirects, since senders must not follow
// (RFC 8461 §3.3); that is why no http.ServeMux, which cleans paths by
// redirecting, is in front of it.
func NewHandler(store *Store) http.Handler {
	return newPublicHandler(store)
}

func newPublicHandler(store *Store) *publicHandler {
	h := &publicHandler{
		store:      store,
		notFound:   newAnswer(http.StatusNotFound, "no MTA-STS policy here\n"),
		notAllowed: newAnswer(http.StatusMethodNotAllowed, "use GET or HEAD\n"),
		ok:         store.metrics.requests[http.StatusOK],
		missed:     store.metrics.requests[http.StatusNotFound],
		refused:    store.metrics.requests[http.StatusMethodNotAllowed],
		plainText:  []string{"text/plain; charset=utf-8"},
		noStore:    []string{"no-store"},
		noSniff:    []string{"nosniff"},
	}
	h.notAllowed.allow = []string{"GET, HEAD"}
	return h
}

func (h *publicHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e := h.find(r)
	switch {
	case e == nil:
		h.missed.Inc()
		h.write(w, h.notFound)
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		h.refused.Inc()
		h.write(w, h.notAllowed)
	default:
		h.ok.Inc()
		h.write(w, e.answer())
	}
}

// find returns what the request asks for, nil if it is not served. RawPath is
// empty only if the path was sent in its plain form, so an escaped spelling of
// the path is another path. A query is ignored: no sender sends one, but people
// and monitors append one to get past caches, and answering 404 would tell them
// that a working policy is broken.
func (h *publicHandler) find(r *http.Request) *entry {
	if (r.URL.Path != mtasts.PolicyPath && !isWay(r.URL.Path)) || r.URL.RawPath != "" {
		return nil
	}
	return h.store.current.Load().lookup(r.Host)
}

// write sends an answer. It assigns header values under their canonical names
// instead of calling Set, which would make a slice for each.
func (h *publicHandler) write(w http.ResponseWriter, a answer) {
	header := w.Header()
	header["Content-Type"] = h.plainText
	header["Content-Length"] = a.length
	header["Cache-Control"] = h.noStore
	header["X-Content-Type-Options"] = h.noSniff
	if a.id != nil {
		header["X-Mta-Sts-Id"] = a.id
	}
	if a.allow != nil {
		header["Allow"] = a.allow
	}
	w.WriteHeader(a.code)
	// net/http drops the body of an answer to HEAD. A failed write means that
	// the client is gone: nobody to tell.
	_, _ = io.WriteString(w, a.body)
}
