// Package image assembles container images from files, without a container engine: image, layers and
// configuration are what a Dockerfile of COPY, USER, ENTRYPOINT and LABEL lines on an empty base would
// give. Equal inputs make equal images, byte for byte.
package image

import (
	"archive/tar"
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path"
	"runtime"
	"slices"
	"strings"
	"time"
)

// Image is what to assemble.
type Image struct {
	// Name is its reference.
	Name string
	// Base is a tar archive of a root file system, the first layer; empty means none.
	Base string
	// User is whom it runs as, by number.
	User string
	// Architecture it is for, as Go names it; empty means this machine's.
	Architecture string
	Files        []File
	Labels       map[string]string
	Entrypoint   []string
	// Created is the time of the image and of every file in it; zero means 1970.
	Created time.Time
}

// File is one to copy into an image.
type File struct {
	// Source is where it is now.
	Source string
	// Path is where it will be, absolute.
	Path string
}

// layer is an uncompressed tar archive with its digest, which names it.
type layer struct {
	digest string
	size   int64
	open   func() (io.ReadCloser, error)
}

// created is the time of everything in the image.
func (i *Image) created() time.Time {
	if i.Created.IsZero() {
		return time.Unix(0, 0)
	}
	return i.Created
}

// layers are the base, if any, and one with the files.
func (i *Image) layers() ([]layer, error) {
	var layers []layer
	if i.Base != "" {
		l, err := fileLayer(i.Base)
		if err != nil {
			return nil, fmt.Errorf("reading the base: %w", err)
		}
		layers = append(layers, l)
	}
	if len(i.Files) > 0 {
		l, err := filesLayer(i.Files, i.created())
		if err != nil {
			return nil, err
		}
		layers = append(layers, l)
	}
	return layers, nil
}

// fileLayer takes a tar archive as it is.
func fileLayer(file string) (layer, error) {
	f, err := os.Open(file)
	if err != nil {
		return layer{}, err
	}
	defer f.Close() //nolint:errcheck // only read
	hash := sha256.New()
	size, err := io.Copy(hash, f)
	if err != nil {
		return layer{}, err
	}
	return layer{
		digest: hex.EncodeToString(hash.Sum(nil)),
		size:   size,
		open:   func() (io.ReadCloser, error) { return os.Open(file) },
	}, nil
}

// filesLayer has the files, owned by root, with the folders above them. A sticky world-writable /tmp
// is always there.
func filesLayer(files []File, made time.Time) (layer, error) {
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	folders := []string{"tmp/"}
	if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: "tmp/", Mode: 0o1777, ModTime: made}); err != nil {
		return layer{}, err
	}
	for _, file := range files {
		name := strings.TrimPrefix(file.Path, "/")
		for _, folder := range above(name) {
			if slices.Contains(folders, folder) {
				continue
			}
			folders = append(folders, folder)
			if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: folder, Mode: 0o755, ModTime: made}); err != nil {
				return layer{}, err
			}
		}
		if err := addFile(w, file.Source, name, made); err != nil {
			return layer{}, fmt.Errorf("adding %s: %w", file.Source, err)
		}
	}
	if err := w.Close(); err != nil {
		return layer{}, err
	}
	sum := sha256.Sum256(buf.Bytes())
	return layer{
		digest: hex.EncodeToString(sum[:]),
		size:   int64(buf.Len()),
		open:   func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(buf.Bytes())), nil },
	}, nil
}

// above are the folders that name is in, outermost first.
func above(name string) []string {
	var folders []string
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		folders = append([]string{dir + "/"}, folders...)
	}
	return folders
}

func addFile(w *tar.Writer, source, name string, made time.Time) error {
	info, err := os.Stat(source)
	if err != nil {
		return err
	}
	content, err := os.ReadFile(source)
	if err != nil {
		return err
	}
	mode := int64(0o644)
	if info.Mode()&0o111 != 0 {
		mode = 0o755
	}
	return addBytes(w, name, mode, content, made)
}

func addBytes(w *tar.Writer, name string, mode int64, content []byte, made time.Time) error {
	header := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode, Size: int64(len(content)), ModTime: made}
	if err := w.WriteHeader(header); err != nil {
		return err
	}
	_, err := w.Write(content)
	return err
}

// config is the image configuration of the OCI image specification.
func (i *Image) config(layers []layer) map[string]any {
	digests := make([]string, len(layers))
	for n, l := range layers {
		digests[n] = "sha256:" + l.digest
	}
	return map[string]any{
		"architecture": cmp.Or(i.Architecture, runtime.GOARCH),
		"created":      i.created().UTC().Format(time.RFC3339),
		"os":           "linux",
		"config": map[string]any{
			"User":       i.User,
			"Entrypoint": i.Entrypoint,
			"Labels":     i.Labels,
			"WorkingDir": "/",
			"Env":        []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
		},
		"rootfs": map[string]any{"type": "layers", "diff_ids": digests},
	}
}
