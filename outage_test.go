package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	. "github.com/onsi/gomega"
	"k8s.io/client-go/rest"
)

func TestManagerWaitsForAnAPIServerAndIsAliveMeanwhile(t *testing.T) {
	g := NewWithT(t)
	api, probes := freePort(t), freePort(t)
	returned := make(chan error, 1)
	said := make(chan string, 100)
	log := funcr.New(func(_, args string) { said <- args }, funcr.Options{})
	go func() { returned <- awaitAPIServer(t.Context(), &rest.Config{Host: "http://" + api}, probes, log) }()

	g.Eventually(func() int { return statusOf(t, probes, "/healthz") }).WithTimeout(10 * time.Second).Should(Equal(http.StatusOK))
	g.Expect(statusOf(t, probes, "/readyz")).To(Equal(http.StatusServiceUnavailable))
	g.Eventually(said).WithTimeout(10 * time.Second).Should(Receive(ContainSubstring("refused")))
	g.Expect(returned).NotTo(Receive())

	serve(t, api, http.StatusOK)
	g.Eventually(returned).WithTimeout(10 * time.Second).Should(Receive(BeNil()))
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", probes)
	g.Expect(err).NotTo(HaveOccurred(), "the manager wants the probes' address for itself")
	g.Expect(listener.Close()).To(Succeed())
}

func TestManagerNeedsNoRightToAskWhetherTheAPIServerIsReady(t *testing.T) {
	api := freePort(t)
	serve(t, api, http.StatusForbidden)
	if err := awaitAPIServer(t.Context(), &rest.Config{Host: "http://" + api}, "0", logr.Discard()); err != nil {
		t.Error(err)
	}
}

func TestManagerEndsWhenWaitingForTheAPIServerIsOfNoUse(t *testing.T) {
	api := freePort(t)
	serve(t, api, http.StatusUnauthorized)
	if err := awaitAPIServer(t.Context(), &rest.Config{Host: "http://" + api}, "0", logr.Discard()); err == nil {
		t.Error("it went on without credentials")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := awaitAPIServer(ctx, &rest.Config{Host: "http://" + freePort(t)}, "0", logr.Discard()); err == nil {
		t.Error("it went on though it was told to end")
	}
}

func TestReadsAreTriedAgainUntilThereIsAServer(t *testing.T) {
	refused := &net.OpError{Op: "dial", Err: errors.New("refused")}
	for name, tt := range map[string]struct {
		method  string
		err     error
		ended   bool
		tries   int
		success bool
	}{
		"a read that nobody took":                    {method: http.MethodGet, err: refused, tries: 3, success: true},
		"a write may have another reason to be done": {method: http.MethodPatch, err: refused, tries: 1},
		"an answer that broke off":                   {method: http.MethodGet, err: errors.New("EOF"), tries: 1},
		"a read that nobody wants any more":          {method: http.MethodGet, err: refused, ended: true, tries: 1},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if tt.ended {
				cancel()
			}
			tries := 0
			transport := patientTransport{pause: time.Millisecond, next: roundTripper(func(*http.Request) (*http.Response, error) {
				if tries++; tries < 3 {
					return nil, tt.err
				}
				return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}, nil
			})}
			request, err := http.NewRequestWithContext(ctx, tt.method, "http://api", strings.NewReader(""))
			if err != nil {
				t.Fatal(err)
			}
			answer, err := transport.RoundTrip(request)
			if err == nil {
				_ = answer.Body.Close()
			}
			if tries != tt.tries || (err == nil) != tt.success {
				t.Errorf("%d tries, error %v; want %d tries, success %t", tries, err, tt.tries, tt.success)
			}
		})
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// freePort is an address at which nobody listens.
func freePort(t *testing.T) string {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().String()
}

func serve(t *testing.T, address string, status int) {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{
		Handler:           http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }),
		ReadHeaderTimeout: time.Second,
	}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
}

// statusOf is 0 while nobody answers.
func statusOf(t *testing.T, address, path string) int {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0
	}
	defer answer.Body.Close()
	return answer.StatusCode
}
