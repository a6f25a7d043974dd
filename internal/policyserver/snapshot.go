package policyserver

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// dataLink is the symlink through which the kubelet replaces all files of a
// volume at once: it points to a directory that is never modified afterwards.
const dataLink = "..data"

// snapshotAttempts bounds how often a reading is repeated because the kubelet
// swapped the directory meanwhile. It does so about once a minute.
const snapshotAttempts = 5

// readAtLeast is the room that is made for what is left of a file; few policies need more at once.
const readAtLeast = 4 << 10

// readFileFunc is the signature of os.ReadFile. The content is used before the next file is read.
type readFileFunc func(name string) ([]byte, error)

// readSnapshot reads all files of one generation of dir, name to content, and
// tells which generation it was. A plain directory, without dataLink, has the
// generation "" and no protection against writers that do not replace files by
// renaming. If generation equals known and is not "", nothing is read and the
// files are nil: the content of a generation never changes.
func readSnapshot(dir, known string, readFile readFileFunc) (files map[string]string, generation string, err error) {
	for range snapshotAttempts {
		generation, err = readGeneration(dir)
		if err != nil {
			return nil, "", err
		}
		if generation != "" && generation == known {
			return nil, generation, nil
		}
		files, err = readFiles(filepath.Join(dir, generation), readFile)
		after, afterErr := readGeneration(dir)
		switch {
		case afterErr != nil:
			return nil, "", afterErr
		case after != generation || errors.Is(err, fs.ErrNotExist):
			// Swapped, or a file was removed, while we were reading.
		default:
			return files, generation, err
		}
	}
	if err == nil {
		err = errors.New("it kept changing")
	}
	return nil, "", fmt.Errorf("reading %s, %d attempts: %w", dir, snapshotAttempts, err)
}

// readGeneration returns the name of the directory that dataLink points to, ""
// if there is no such link.
func readGeneration(dir string) (string, error) {
	target, err := os.Readlink(filepath.Join(dir, dataLink))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", nil
	case err != nil:
		return "", fmt.Errorf("resolving the current generation: %w", err)
	case !filepath.IsLocal(target) || target == ".":
		return "", fmt.Errorf("resolving the current generation: %s points outside its directory: %q", dataLink, target)
	}
	return target, nil
}

// readFiles reads the files of a directory, leaving out directories and names
// that start with a dot, which belong to the kubelet or to editors.
func readFiles(dir string, readFile readFileFunc) (map[string]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("listing policies: %w", err)
	}
	files := make(map[string]string, len(entries))
	for _, e := range entries {
		if e.IsDir() || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		content, err := readFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, fmt.Errorf("reading a policy: %w", err)
		}
		files[e.Name()] = string(content)
	}
	return files, nil
}

// readInto returns a readFileFunc that reads all files into one buffer: thousands of small files would
// otherwise leave behind much more memory than they need. For the same reason it does without os.File,
// which spends more on a file than reading it takes.
func readInto(buffer *[]byte) readFileFunc {
	return func(name string) ([]byte, error) {
		fd, err := syscall.Open(name, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
		for errors.Is(err, syscall.EINTR) {
			fd, err = syscall.Open(name, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
		}
		if err != nil {
			return nil, &fs.PathError{Op: "open", Path: name, Err: err}
		}
		defer syscall.Close(fd) //nolint:errcheck // was only read
		content := (*buffer)[:0]
		for {
			content = slices.Grow(content, readAtLeast)
			n, err := syscall.Read(fd, content[len(content):cap(content)])
			switch {
			case errors.Is(err, syscall.EINTR):
			case err != nil:
				return nil, &fs.PathError{Op: "read", Path: name, Err: err}
			case n == 0:
				*buffer = content
				return content, nil
			default:
				content = content[:len(content)+n]
			}
		}
	}
}
