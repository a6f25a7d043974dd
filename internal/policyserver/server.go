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

// limits bound what one connection can hold on to. idle is how long connections that package wire answers may be
// silent between two requests, and idleGeneral those of net/http.
type limits struct {
	readHeader, read, write, idle, idleGeneral time.Duration
	headerBytes                                int
}

// defaultLimits are generous for a proxy in the same cluster, whose requests
// fit into one packet, and short for anybody who sends byte by byte. Idle
// connections of proxies are the exception: a server that closes them before its
// proxy does makes the proxy answer 502 now and then, and the longest keep-alive
// of the common ones is 600 s. A few KB each they cost little, and those idle
// longest go first when there are many. What net/http has takes ten times as
// much, and only what is unusual gets there: it is kept a little longer than by
// those proxies that keep connections for 60 or 90 s.
func defaultLimits() limits {
	return limits{
		readHeader:  5 * time.Second,
		read:        10 * time.Second,
		write:       10 * time.Second,
		idle:        620 * time.Second,
		idleGeneral: 100 * time.Second,
		headerBytes: 16 << 10,
	}
}

// headerSlop is how much more than its MaxHeaderBytes net/http reads.
const headerSlop = 4 << 10

// newServer returns a server for HTTP/1.1.
func newServer(handler http.Handler, l limits, logger *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           closeAfterBody(handler),
		ReadHeaderTimeout: l.readHeader,
		ReadTimeout:       l.read,
		WriteTimeout:      l.write,
		IdleTimeout:       l.idleGeneral,
		MaxHeaderBytes:    l.headerBytes,
		ConnState:         follow,
		// "OPTIONS *" is a request like any other, and gets a 404.
		DisableGeneralOptionsHandler: true,
		ErrorLog:                     slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
	}
}

// newPublicServer speaks cleartext HTTP/2 as well, as some proxies do to backends. No client has to send more
// than a header, so what is kept of a connection is the least that there can be.
func newPublicServer(handler http.Handler, l limits, logger *slog.Logger) *http.Server {
	server := newServer(handler, l, logger)
	server.Protocols = new(http.Protocols)
	server.Protocols.SetHTTP1(true)
	server.Protocols.SetUnencryptedHTTP2(true)
	server.HTTP2 = &http.HTTP2Config{
		MaxConcurrentStreams:          32,
		MaxReadFrameSize:              16 << 10,
		MaxReceiveBufferPerConnection: 64 << 10,
		MaxReceiveBufferPerStream:     4 << 10,
	}
	return server
}

// bodyPatience is how long a client may take to send what nobody reads.
const bodyPatience = time.Second

// closeAfterBody ends connections after a request with a body. Nobody has a use for one, and net/http would wait
// for its end as long as for a body that somebody reads.
func closeAfterBody(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor == 1 && r.ContentLength != 0 {
			w.Header().Set("Connection", "close")
			_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyPatience))
		}
		next.ServeHTTP(w, r)
	})
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
