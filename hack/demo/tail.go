package main

import (
	"strings"
	"sync"
)

// tail keeps the last lines of what is written to it: what to show when something fails.
type tail struct {
	mu      sync.Mutex
	written []byte
}

// tailBytes is how much a tail keeps.
const tailBytes = 16 << 10

func (t *tail) Write(data []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.written = append(t.written, data...)
	if over := len(t.written) - tailBytes; over > 0 {
		t.written = append([]byte(nil), t.written[over:]...)
	}
	return len(data), nil
}

// last returns at most n lines.
func (t *tail) last(n int) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	lines := strings.Split(strings.TrimSpace(string(t.written)), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
