package harness

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// volume is a directory in the layout of the kubelet:
//
//	..2026_11_22_15_04_05.1234567   the files of one reading, never modified
//	..data -> ..2026_11_22_…        replaced at once, by renaming
//	name   -> ..data/name           one for every file
type volume struct {
	dir string
}

// memory is where projected volumes lie, as the kubelet has them: thousands of files on a disk that a database
// syncs take seconds. Where there is no such place it is the usual one.
func memory() string {
	const dir = "/dev/shm"
	if probe, err := os.MkdirTemp(dir, "probe-"); err != nil || os.Remove(probe) != nil {
		return ""
	}
	return dir
}

const (
	dataLink    = "..data"
	newDataLink = "..data_tmp"
)

// replace puts files in the place of all that are there. The order is the
// kubelet's: new links appear after the switch, stale ones go after it, so that
// for a moment either may dangle.
func (v volume) replace(files map[string]string, now time.Time) error {
	previous, err := os.Readlink(filepath.Join(v.dir, dataLink))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("reading the current link: %w", err)
	}
	stamped, err := os.MkdirTemp(v.dir, now.UTC().Format("..2006_01_02_15_04_05."))
	if err != nil {
		return fmt.Errorf("making a directory for the files: %w", err)
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(stamped, name), []byte(content), 0o644); err != nil {
			return fmt.Errorf("writing a file: %w", err)
		}
	}
	if err := os.Symlink(filepath.Base(stamped), filepath.Join(v.dir, newDataLink)); err != nil {
		return fmt.Errorf("making the new link: %w", err)
	}
	if err := os.Rename(filepath.Join(v.dir, newDataLink), filepath.Join(v.dir, dataLink)); err != nil {
		return fmt.Errorf("switching to the new files: %w", err)
	}
	if err := v.linkFiles(files); err != nil {
		return err
	}
	if previous == "" {
		return nil
	}
	if err := os.RemoveAll(filepath.Join(v.dir, previous)); err != nil {
		return fmt.Errorf("removing the old files: %w", err)
	}
	return nil
}

func (v volume) linkFiles(files map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(files)) {
		err := os.Symlink(filepath.Join(dataLink, name), filepath.Join(v.dir, name))
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("linking a file: %w", err)
		}
	}
	entries, err := os.ReadDir(v.dir)
	if err != nil {
		return fmt.Errorf("listing the volume: %w", err)
	}
	for _, entry := range entries {
		if _, ok := files[entry.Name()]; ok || strings.HasPrefix(entry.Name(), "..") {
			continue
		}
		if err := os.Remove(filepath.Join(v.dir, entry.Name())); err != nil {
			return fmt.Errorf("removing a stale link: %w", err)
		}
	}
	return nil
}
