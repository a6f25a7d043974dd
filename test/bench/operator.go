package main

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/client-go/tools/clientcmd"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/mta-sts-operator/mta-sts-operator/controllers"
	"github.com/mta-sts-operator/mta-sts-operator/internal/config"
	"github.com/mta-sts-operator/mta-sts-operator/test/operator"
)

// operatorCommand makes this program the operator under measurement.
const operatorCommand = "operator"

// surroundings tell the operator's process where the world is: a file in JSON.
type surroundings struct {
	Kubeconfig       string
	ResolverAddress  string
	DNS, HTTPS, SMTP uint16
	RootsPEM         []byte
	// Profiled says that somebody wants to see where memory goes.
	Profiled bool
}

func (s surroundings) Resolver() string  { return s.ResolverAddress }
func (s surroundings) DNSPort() uint16   { return s.DNS }
func (s surroundings) HTTPSPort() uint16 { return s.HTTPS }
func (s surroundings) SMTPPort() uint16  { return s.SMTP }
func (s surroundings) Roots() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(s.RootsPEM)
	return pool
}

// figures are what the operator's process says of itself. All but the memory count from its start.
type figures struct {
	// Requests are counted by "VERB resource", watches apart.
	Requests map[string]int
	// Passes are those over domains; 0 if the metrics do not tell.
	Passes int
	// WatchBytes came in over watches.
	WatchBytes int64
	// HeapBytes is what is reachable, after a collection; RSSBytes is the process'.
	HeapBytes, RSSBytes int64
	Goroutines          int
	CPU                 time.Duration
}

// runOperator runs the operator until its standard input ends, and says on standard output where it
// answers questions about itself.
func runOperator(ctx context.Context) error {
	runtime.MemProfileRate = 0
	var world surroundings
	if err := json.NewDecoder(os.Stdin).Decode(&world); err != nil {
		return fmt.Errorf("reading the surroundings: %w", err)
	}
	if world.Profiled {
		runtime.MemProfileRate = 16 << 10 // fine enough to see what one policy costs
	}
	ctrl.SetLogger(logr.FromSlogHandler(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError})))
	cfg, err := clientcmd.BuildConfigFromFlags("", world.Kubeconfig)
	if err != nil {
		return fmt.Errorf("reading the kubeconfig: %w", err)
	}
	count := &counter{requests: map[string]int{}}
	cfg.Wrap(count.wrap)
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listening: %w", err)
	}
	go func() { _ = http.Serve(listener, count.handler()) }() //nolint:gosec // on loopback, for our parent
	timings := controllers.DefaultTimings()
	timings.HostDelay = time.Nanosecond // it waits for other people's caches, which are empty here
	settings := operator.Settings()
	// Without a rule a certificate is ordered by a pass of its own, once DNS points the host here.
	settings.Domains = []config.DomainRule{{Namespaces: []string{"*"}, Allow: []string{"*.example"}}}
	op, err := operator.Start(ctx, operator.Options{
		Config: cfg, World: world, Timings: timings, Settings: &settings,
		Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError})),
	})
	if err != nil {
		return err
	}
	fmt.Println(listener.Addr())
	_, err = io.Copy(io.Discard, os.Stdin)
	return errors.Join(err, op.Stop())
}

// counter counts requests to the API server.
type counter struct {
	mu       sync.Mutex
	requests map[string]int
	watched  int64
	// collecting is the CPU time of the collections that were asked for.
	collecting time.Duration
}

func (c *counter) wrap(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(req *http.Request) (*http.Response, error) {
		verb := req.Method
		if req.URL.Query().Get("watch") == "true" {
			verb = "WATCH"
		}
		c.mu.Lock()
		c.requests[verb+" "+resourceOf(req.URL.Path)]++
		c.mu.Unlock()
		resp, err := next.RoundTrip(req)
		if err == nil && verb == "WATCH" {
			resp.Body = &countedBody{resp.Body, c}
		}
		return resp, err
	})
}

// resourceOf is "resource" or "resource/status" of a path of the API server.
func resourceOf(path string) string {
	parts := strings.Split(strings.Trim(path, "/"), "/")
	if len(parts) > 0 && parts[0] == "apis" {
		parts = parts[1:]
	}
	parts = parts[min(2, len(parts)):] // group, or "api", and version
	if len(parts) >= 3 && parts[0] == "namespaces" {
		parts = parts[2:]
	}
	switch len(parts) {
	case 0:
		return "discovery"
	case 3:
		return parts[0] + "/" + parts[2]
	default:
		return parts[0]
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

type countedBody struct {
	io.ReadCloser
	c *counter
}

func (b *countedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.c.mu.Lock()
	b.c.watched += int64(n)
	b.c.mu.Unlock()
	return n, err
}

func (c *counter) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/figures", func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode(c.figures()) })
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	return mux
}

func (c *counter) figures() figures {
	c.mu.Lock()
	f := figures{Requests: map[string]int{}, WatchBytes: c.watched, Goroutines: runtime.NumGoroutine()}
	maps.Copy(f.Requests, c.requests)
	c.mu.Unlock()
	f.Passes, _ = operator.Passes("domain")
	used := usedCPU()
	f.RSSBytes = residentBytes()
	debug.FreeOSMemory()
	c.mu.Lock()
	f.CPU = used - c.collecting
	c.collecting += usedCPU() - used
	c.mu.Unlock()
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	f.HeapBytes = int64(memory.HeapAlloc) //nolint:gosec // no heap is that large
	return f
}

// usedCPU is the CPU time of this process.
func usedCPU() time.Duration {
	var usage syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &usage) != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// residentBytes reads VmRSS; 0 where there is no /proc.
func residentBytes() int64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		var kib int64
		if _, err := fmt.Sscanf(line, "VmRSS: %d kB", &kib); err == nil {
			return kib << 10
		}
	}
	return 0
}

// process is the operator as its parent sees it.
type process struct {
	cmd     *exec.Cmd
	input   io.WriteCloser
	address string
}

// startOperator starts the operator as a process of its own.
func (f *fleet) startOperator(ctx context.Context) (err error) {
	f.op, err = startProcess(ctx, surroundings{
		Kubeconfig: f.plane.Kubeconfig(), ResolverAddress: f.world.Resolver(), DNS: f.world.DNSPort(), HTTPS: f.world.HTTPSPort(),
		SMTP: f.world.SMTPPort(), RootsPEM: f.world.RootsPEM(), Profiled: f.Profiles != "",
	})
	return err
}

func startProcess(ctx context.Context, world surroundings) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("finding this program: %w", err)
	}
	p := &process{cmd: exec.CommandContext(ctx, self, operatorCommand)}
	p.cmd.Stderr = os.Stderr
	if p.input, err = p.cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("starting the operator: %w", err)
	}
	output, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("starting the operator: %w", err)
	}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting the operator: %w", err)
	}
	if err := json.NewEncoder(p.input).Encode(world); err != nil {
		return nil, errors.Join(fmt.Errorf("telling the operator where the world is: %w", err), p.stop())
	}
	if _, err := fmt.Fscanln(output, &p.address); err != nil {
		return nil, errors.Join(fmt.Errorf("starting the operator: %w", err), p.stop())
	}
	return p, nil
}

func (p *process) stop() error {
	_ = p.input.Close()
	if err := p.cmd.Wait(); err != nil {
		return fmt.Errorf("stopping the operator: %w", err)
	}
	return nil
}

func (p *process) figures(ctx context.Context) (figures, error) {
	var f figures
	content, err := p.get(ctx, "/figures")
	if err == nil {
		err = json.Unmarshal(content, &f)
	}
	return f, err
}

func (p *process) get(ctx context.Context, path string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.address+path, http.NoBody)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("asking the operator: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	var content bytes.Buffer
	_, err = content.ReadFrom(resp.Body)
	return content.Bytes(), err
}
