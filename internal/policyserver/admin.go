package policyserver

import (
	"bytes"
	"io"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// NewAdminHandler returns the handler of the admin listener, which strangers
// must not reach:
//
//   - /healthz: always 200;
//   - /readyz: 200 while ready returns true, else 503;
//   - /instances: the Instances document, with an ETag, 304 to If-None-Match;
//   - /metrics: what metrics gathers.
func NewAdminHandler(store *Store, metrics prometheus.Gatherer, ready func() bool) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "ok\n")
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if !ready() {
			http.Error(w, "no shard loaded yet, or shutting down", http.StatusServiceUnavailable)
			return
		}
		_, _ = io.WriteString(w, "ok\n")
	})
	mux.HandleFunc("GET /instances", func(w http.ResponseWriter, r *http.Request) {
		t := store.current.Load()
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("ETag", t.etag)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(t.instances))
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{}))
	return mux
}
