package policyserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// limits bound what one connection can hold on to.
type limits struct {
	readHeader, read, write, idle time.Duration
	headerBytes                   int
}

// defaultLimits are generous for a proxy in the same cluster, whose requests
// fit into one packet, and short for anybody who sends byte by byte. Idle
// connections are the exception: a server that closes them before its proxy
// does makes the proxy answer 502 now and then, and the longest keep-alive of
// the common ones is 600 s.
func defaultLimits() limits {
	return limits{
		readHeader:  5 * time.Second,
		read:        10 * time.Second,
		write:       10 * time.Second,
		idle:        620 * time.Second,
		headerBytes: 16 << 10,
	}
}

// newServer returns a server for HTTP/1.1 and cleartext HTTP/2, both of which
// proxies speak to backends.
func newServer(handler http.Handler, l limits, logger *slog.Logger) *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{
		Handler:           handler,
		Protocols:         protocols,
		ReadHeaderTimeout: l.readHeader,
		ReadTimeout:       l.read,
		WriteTimeout:      l.write,
		IdleTimeout:       l.idle,
		MaxHeaderBytes:    l.headerBytes,
		// "OPTIONS *" is a request like any other, and gets a 404.
		DisableGeneralOptionsHandler: true,
		ErrorLog:                     slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
	}
}

// closeWhile asks clients to close their connections while draining is set, so
// that they go elsewhere before the connections are closed under them.
func closeWhile(draining *atomic.Bool, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if draining.Load() {
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
	})
}

// serve answers on l until the server is shut down. If it ends for any other
// reason it says so on failed.
func serve(server *http.Server, l net.Listener, failed chan<- error) {
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		failed <- fmt.Errorf("serving on %s: %w", l.Addr(), err)
	}
}

// shutdown lets each server finish what it has begun, one after the other and
// shutdownTimeout in total, and then cuts what is left.
func shutdown(ctx context.Context, servers ...*http.Server) error {
	ctx, cancel := context.WithTimeout(ctx, shutdownTimeout)
	defer cancel()
	var errs []error
	for _, server := range servers {
		if err := server.Shutdown(ctx); err != nil {
			errs = append(errs, fmt.Errorf("shutting down: %w", err), server.Close())
		}
	}
	return errors.Join(errs...)
}
