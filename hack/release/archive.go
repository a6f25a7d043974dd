package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// member is a file in an archive.
type member struct {
	name    string
	mode    int64
	content []byte
}

// writeTar writes a compressed tar archive that depends on nothing but its arguments.
func writeTar(path string, files []member, made time.Time) error {
	var out bytes.Buffer
	compressed, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	w := tar.NewWriter(compressed)
	for _, f := range files {
		header := &tar.Header{Typeflag: tar.TypeReg, Name: f.name, Mode: f.mode, Size: int64(len(f.content)), ModTime: made}
		if err := w.WriteHeader(header); err != nil {
			return fmt.Errorf("writing %s: %w", path, err)
		}
		if _, err := w.Write(f.content); err != nil {
			return fmt.Errorf("writing %s: %w", path, err)
		}
	}
	if err := errors.Join(w.Close(), compressed.Close()); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return os.WriteFile(path, out.Bytes(), 0o644)
}

// writeZip does the same for Windows.
func writeZip(path string, files []member, made time.Time) error {
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for _, f := range files {
		header := &zip.FileHeader{Name: f.name, Method: zip.Deflate, Modified: made}
		header.SetMode(os.FileMode(f.mode)) //nolint:gosec // a few bits
		entry, err := w.CreateHeader(header)
		if err != nil {
			return fmt.Errorf("writing %s: %w", path, err)
		}
		if _, err := entry.Write(f.content); err != nil {
			return fmt.Errorf("writing %s: %w", path, err)
		}
	}
	if err := w.Close(); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return os.WriteFile(path, out.Bytes(), 0o644)
}

// readArchive returns the files of a compressed tar archive, in its order.
func readArchive(path string) ([]member, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close() //nolint:errcheck // only read
	compressed, err := gzip.NewReader(file)
	if err != nil {
		return nil, err
	}
	var files []member
	for r := tar.NewReader(compressed); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files, nil
		}
		if err != nil {
			return nil, err
		}
		content, err := io.ReadAll(r)
		if err != nil {
			return nil, err
		}
		files = append(files, member{header.Name, header.Mode & 0o777, content})
	}
}
