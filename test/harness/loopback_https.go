package harness

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"time"
)

// backendTimeout is how long the Ingress controller waits for a pod's answer.
const backendTimeout = 2 * time.Second

// httpsListener is the TLS listener in front of an Ingress.
type httpsListener struct {
	gate   *gate
	server *http.Server
	done   chan struct{}
}

// front is what the listener asks for every connection and every request, as Ingress answers.
type front interface {
	Certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error)
	Route(host, path string) (raw http.Handler, backend string, code int)
}

func serveHTTPS(ctx context.Context, routes front, logger *slog.Logger) (*httpsListener, error) {
	port, err := openGate(ctx)
	if err != nil {
		return nil, err
	}
	return serveHTTPSAt(port, routes, logger), nil
}

func serveHTTPSAt(port *gate, routes front, logger *slog.Logger) *httpsListener {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	l := &httpsListener{gate: port, done: make(chan struct{}), server: &http.Server{
		Handler:           newIngressHandler(routes),
		Protocols:         protocols,
		TLSConfig:         &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: routes.Certificate},
		ReadHeaderTimeout: backendTimeout,
		ErrorLog:          slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
	}}
	listener := port.attach()
	go func() {
		defer close(l.done)
		if err := l.server.ServeTLS(listener, "", ""); !errors.Is(err, http.ErrServerClosed) {
			logger.Error("the Ingress listener broke", "error", err)
		}
	}()
	return l
}

func (l *httpsListener) close() error {
	err := l.server.Close()
	l.gate.close()
	<-l.done
	if err != nil {
		return fmt.Errorf("closing the Ingress listener: %w", err)
	}
	return nil
}

// newIngressHandler passes requests on to where the Ingress routes them, as they
// are but for the forwarding headers.
func newIngressHandler(routes front) http.Handler {
	transport := &http.Transport{
		DialContext:           (&net.Dialer{Timeout: backendTimeout}).DialContext,
		ResponseHeaderTimeout: backendTimeout,
		IdleConnTimeout:       time.Minute,
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if name, _, err := net.SplitHostPort(host); err == nil {
			host = name
		}
		raw, backend, code := routes.Route(host, r.URL.Path)
		switch {
		case raw != nil:
			raw.ServeHTTP(w, r)
			return
		case code != 0:
			http.Error(w, http.StatusText(code), code)
			return
		}
		proxy := &httputil.ReverseProxy{
			Transport:    transport,
			ErrorHandler: gatewayError,
			Rewrite: func(p *httputil.ProxyRequest) {
				p.SetURL(&url.URL{Scheme: "http", Host: backend})
				p.Out.Host = p.In.Host
				p.SetXForwarded()
			},
		}
		proxy.ServeHTTP(w, r)
	})
}

func gatewayError(w http.ResponseWriter, _ *http.Request, err error) {
	code := http.StatusBadGateway
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
		code = http.StatusGatewayTimeout
	}
	http.Error(w, http.StatusText(code), code)
}
