package operator

import (
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
)

// errCut is what a cut link answers.
var errCut = errors.New("the link to the API server is cut")

// Link is a connection to the API server that can fail. The zero value is sound.
type Link struct {
	mu     sync.Mutex
	writes []Write
	// cutAfter is how many writes pass before the link is cut; 0 means all.
	cutAfter int
	cut      chan struct{}
	frozen   chan struct{}
	// still are what the paths of frozen watches contain; none means all.
	still    []string
	hold     *hold
	requests int
}

// hold makes one write wait.
type hold struct {
	match    func(Write) bool
	held     chan struct{}
	released chan struct{}
	answered chan struct{}
}

// Write is a request that asked for a change. Leases and events do not count: nothing is decided by
// them.
type Write struct{ Method, Path string }

// CutAfter lets n more writes reach the API server. The answer to the last of them and everything
// after it are lost: to the operator it is as if it had been killed right after that write. The channel
// is closed then.
func (l *Link) CutAfter(n int) <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cutAfter, l.cut = len(l.writes)+n, make(chan struct{})
	return l.cut
}

// Freeze stops watches from delivering: caches fall behind while reads and writes go on. Thaw lets
// them catch up. With resources, such as "configmaps", only their watches stop.
func (l *Link) Freeze(resources ...string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.still = resources
	if l.frozen == nil {
		l.frozen = make(chan struct{})
	}
}

// Thaw ends a Freeze.
func (l *Link) Thaw() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.frozen != nil {
		close(l.frozen)
		l.frozen = nil
	}
}

// Hold makes the next write that matches wait on its way to the API server: the operator is as if it
// had been paused in the middle of a pass. held is closed when the write waits; release lets it go on,
// and returns once it was answered.
func (l *Link) Hold(match func(Write) bool) (held <-chan struct{}, release func()) {
	h := &hold{match: match, held: make(chan struct{}), released: make(chan struct{}), answered: make(chan struct{})}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hold = h
	return h.held, func() {
		close(h.released)
		<-h.answered
	}
}

// Writes are the writes that reached the API server.
func (l *Link) Writes() []Write {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]Write(nil), l.writes...)
}

// Requests counts requests of every kind but watches.
func (l *Link) Requests() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.requests
}

// Wrap is a transport wrapper for rest.Config.
func (l *Link) Wrap(next http.RoundTripper) http.RoundTripper {
	return transport(func(req *http.Request) (*http.Response, error) {
		write := req.Method != http.MethodGet && !strings.Contains(req.URL.Path, "/leases/") && !strings.Contains(req.URL.Path, "/events")
		last, ok := l.admit(req, write)
		if !ok {
			return nil, errCut
		}
		if h := l.holds(Write{req.Method, req.URL.Path}, write); h != nil {
			defer close(h.answered)
			close(h.held)
			<-h.released
		}
		resp, err := next.RoundTrip(req)
		if last {
			if err == nil {
				_ = resp.Body.Close()
			}
			l.mu.Lock()
			close(l.cut)
			l.mu.Unlock()
			return nil, errCut
		}
		if err == nil && req.URL.Query().Get("watch") == "true" {
			resp.Body = &watchBody{ReadCloser: resp.Body, link: l, path: req.URL.Path, gone: req.Context().Done()}
		}
		return resp, err
	})
}

// admit counts a request, and says whether it may pass and whether it is the last that does.
func (l *Link) admit(req *http.Request, write bool) (last, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cutAfter > 0 && len(l.writes) >= l.cutAfter {
		return false, false
	}
	if req.URL.Query().Get("watch") != "true" {
		l.requests++
	}
	if !write {
		return false, true
	}
	l.writes = append(l.writes, Write{req.Method, req.URL.Path})
	return l.cutAfter > 0 && len(l.writes) == l.cutAfter, true
}

// holds is the hold that a write runs into; nil if none.
func (l *Link) holds(w Write, isWrite bool) *hold {
	l.mu.Lock()
	defer l.mu.Unlock()
	h := l.hold
	if !isWrite || h == nil || !h.match(w) {
		return nil
	}
	l.hold = nil
	return h
}

// thawed is closed when the watch of this path goes on; nil if it is not frozen.
func (l *Link) thawed(path string) <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	within := func(resource string) bool { return strings.Contains(path, resource) }
	if len(l.still) > 0 && !slices.ContainsFunc(l.still, within) {
		return nil
	}
	return l.frozen
}

// watchBody delivers nothing while the link is frozen.
type watchBody struct {
	io.ReadCloser
	link *Link
	path string
	gone <-chan struct{}
}

func (b *watchBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if thawed := b.link.thawed(b.path); thawed != nil {
		select {
		case <-thawed:
		case <-b.gone:
		}
	}
	return n, err
}

type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }
