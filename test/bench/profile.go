package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/pprof"
	"time"
)

// profile takes CPU profiles of the operator and of the world for so many seconds; the returned function waits
// for their end.
func (f *fleet) profile(ctx context.Context, name string, seconds int) func() error {
	if f.Profiles == "" {
		return func() error { return nil }
	}
	done := make(chan error, 2)
	go func() {
		content, err := f.op.get(ctx, fmt.Sprintf("/debug/pprof/profile?seconds=%d", seconds))
		if err == nil {
			err = f.save(name+".cpu", content)
		}
		done <- err
	}()
	go func() {
		var content bytes.Buffer
		err := pprof.StartCPUProfile(&content)
		if err == nil {
			err = pause(ctx, time.Duration(seconds)*time.Second)
			pprof.StopCPUProfile()
			err = errors.Join(err, f.save(name+"-world.cpu", content.Bytes()))
		}
		done <- err
	}()
	return func() error { return errors.Join(<-done, <-done) }
}

func (f *fleet) heap(ctx context.Context, name string) error {
	if f.Profiles == "" {
		return nil
	}
	content, err := f.op.get(ctx, "/debug/pprof/heap")
	if err != nil {
		return err
	}
	return f.save(name+".heap", content)
}

func (f *fleet) save(name string, content []byte) error {
	file := filepath.Join(f.Profiles, fmt.Sprintf("%d-%d-%s", f.Policies, f.Namespaces, name))
	if err := os.WriteFile(file, content, 0o644); err != nil {
		return fmt.Errorf("saving a profile: %w", err)
	}
	return nil
}
