package policyserver

import (
	"context"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
)

// settleDelay collects the notifications of a burst of hand-written files into one
// reload. An update by the kubelet is one notification, and needs no delay.
const settleDelay = 20 * time.Millisecond

// reloader carries a directory into a Store, whenever the directory changes and
// at least once per interval, because notifications can get lost.
type reloader struct {
	dir      string
	interval time.Duration
	store    *Store
	logger   *slog.Logger
	loaded   func() // after every load that changed something

	// buffer is for reading files.
	buffer []byte
	// generation is the last generation loaded, see readSnapshot.
	generation string
	// lastError is the text of the last failure, so that each is logged once.
	lastError string
}

// run reloads until ctx is done.
func (r *reloader) run(ctx context.Context) {
	ticker := time.NewTicker(r.interval)
	defer ticker.Stop()
	settled := time.NewTimer(settleDelay)
	defer settled.Stop()

	watcher, events := r.newWatcher()
	if watcher != nil {
		defer watcher.Close() //nolint:errcheck // nothing depends on it any more
	}
	for {
		select {
		case <-ctx.Done():
			return
		case e := <-events:
			settled.Reset(settleDelay)
			// Whatever else changes: behind this link everything is complete at once.
			if filepath.Base(e.Name) != dataLink {
				continue
			}
		case <-ticker.C:
			// The directory itself may have been replaced or created since.
			r.watch(watcher)
		case <-settled.C:
		}
		r.reload()
	}
}

// newWatcher starts to watch the directory. Without notifications, for example
// because the node is out of inotify instances, the interval has to do.
func (r *reloader) newWatcher() (*fsnotify.Watcher, <-chan fsnotify.Event) {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		r.logger.Warn("no file notifications, relying on periodic rescans", "interval", r.interval, "error", err)
		return nil, nil
	}
	r.watch(watcher)
	go func() {
		for err := range watcher.Errors {
			r.logger.Debug("file notification failed", "error", err)
		}
	}()
	return watcher, watcher.Events
}

func (r *reloader) watch(watcher *fsnotify.Watcher) {
	if watcher == nil {
		return
	}
	if err := watcher.Add(r.dir); err != nil {
		r.logger.Debug("watching the policy directory failed", "dir", r.dir, "error", err)
	}
}

// reload looks at the directory once. A failure changes nothing in the Store.
func (r *reloader) reload() {
	files, generation, err := readSnapshot(r.dir, r.generation, readInto(&r.buffer))
	if err != nil {
		r.fail(err)
		return
	}
	result := resultUnchanged
	if files != nil {
		report := r.store.Load(files)
		if report.Changed() {
			result = resultChanged
			r.loaded()
		}
		if report.KeptImplausible > 0 {
			generation = "" // looked at again: the clock may be set right meanwhile
		}
	}
	r.generation = generation
	r.store.metrics.reloads.WithLabelValues(result).Inc()
	r.store.metrics.lastLoad.SetToCurrentTime()
	if r.lastError != "" {
		r.lastError = ""
		r.logger.Info("policy directory is readable again", "dir", r.dir)
	}
}

func (r *reloader) fail(err error) {
	r.store.metrics.reloads.WithLabelValues(resultError).Inc()
	if text := err.Error(); text != r.lastError {
		r.lastError = text
		r.logger.Warn("reading policies failed, everything loaded so far stays", "dir", r.dir, "error", err)
	}
}
