package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"runtime"
	"slices"
	"strings"
	"time"
)

// epoch is the time of every file, so that equal inputs make equal images.
var epoch = time.Unix(0, 0)

// image is what to assemble.
type image struct {
	name, base, user string
	files, labels    pairs
	entrypoint       []string
}

// layer is an uncompressed tar archive with its digest, which names it.
type layer struct {
	digest string
	size   int64
	open   func() (io.ReadCloser, error)
}

// write assembles the image and writes the archive to file; nothing is left of one that fails.
func (i *image) write(file string) error {
	layers, err := i.layers()
	if err != nil {
		return err
	}
	config, err := json.Marshal(i.config(layers))
	if err != nil {
		return fmt.Errorf("encoding the configuration: %w", err)
	}
	partial := file + ".partial"
	out, err := os.Create(partial)
	if err != nil {
		return fmt.Errorf("creating the archive: %w", err)
	}
	if err := errors.Join(i.archive(out, config, layers), out.Close()); err != nil {
		return errors.Join(fmt.Errorf("writing %s: %w", file, err), os.Remove(partial))
	}
	return os.Rename(partial, file)
}

// layers are the base, if any, and one with the files.
func (i *image) layers() ([]layer, error) {
	var layers []layer
	if i.base != "" {
		l, err := fileLayer(i.base)
		if err != nil {
			return nil, fmt.Errorf("reading the base: %w", err)
		}
		layers = append(layers, l)
	}
	if len(i.files) > 0 {
		l, err := filesLayer(i.files)
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
func filesLayer(files pairs) (layer, error) {
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	folders := []string{"tmp/"}
	if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: "tmp/", Mode: 0o1777, ModTime: epoch}); err != nil {
		return layer{}, err
	}
	for _, pair := range files {
		source, name := pair[0], strings.TrimPrefix(pair[1], "/")
		for _, folder := range above(name) {
			if slices.Contains(folders, folder) {
				continue
			}
			folders = append(folders, folder)
			if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: folder, Mode: 0o755, ModTime: epoch}); err != nil {
				return layer{}, err
			}
		}
		if err := addFile(w, source, name); err != nil {
			return layer{}, fmt.Errorf("adding %s: %w", source, err)
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

func addFile(w *tar.Writer, source, name string) error {
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
	return addBytes(w, name, mode, content)
}

func addBytes(w *tar.Writer, name string, mode int64, content []byte) error {
	header := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode, Size: int64(len(content)), ModTime: epoch}
	if err := w.WriteHeader(header); err != nil {
		return err
	}
	_, err := w.Write(content)
	return err
}

// config is the image configuration of the OCI image specification.
func (i *image) config(layers []layer) map[string]any {
	digests := make([]string, len(layers))
	for n, l := range layers {
		digests[n] = "sha256:" + l.digest
	}
	labels := map[string]string{}
	for _, pair := range i.labels {
		labels[pair[0]] = pair[1]
	}
	return map[string]any{
		"architecture": runtime.GOARCH,
		"os":           "linux",
		"config": map[string]any{
			"User":       i.user,
			"Entrypoint": i.entrypoint,
			"Labels":     labels,
			"WorkingDir": "/",
			"Env":        []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
		},
		"rootfs": map[string]any{"type": "layers", "diff_ids": digests},
	}
}

// archive writes what `docker save` would: manifest, configuration, layers.
func (i *image) archive(out io.Writer, config []byte, layers []layer) error {
	w := tar.NewWriter(out)
	sum := sha256.Sum256(config)
	configName := hex.EncodeToString(sum[:]) + ".json"
	names := make([]string, len(layers))
	for n, l := range layers {
		names[n] = l.digest + "/layer.tar"
	}
	manifest, err := json.Marshal([]map[string]any{{"Config": configName, "RepoTags": []string{i.name}, "Layers": names}})
	if err != nil {
		return err
	}
	if err := addBytes(w, "manifest.json", 0o644, manifest); err != nil {
		return err
	}
	if err := addBytes(w, configName, 0o644, config); err != nil {
		return err
	}
	for n, l := range layers {
		if err := l.copyTo(w, names[n]); err != nil {
			return err
		}
	}
	return w.Close()
}

func (l layer) copyTo(w *tar.Writer, name string) error {
	if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: l.size, ModTime: epoch}); err != nil {
		return err
	}
	content, err := l.open()
	if err != nil {
		return err
	}
	defer content.Close()
	_, err = io.Copy(w, content)
	return err
}
