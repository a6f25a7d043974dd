package image

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// WriteArchive assembles the image and writes what `docker save` would to file; nothing is left of one
// that fails.
func (i *Image) WriteArchive(file string) error {
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

// archive writes what `docker save` would: manifest, configuration, layers.
func (i *Image) archive(out io.Writer, config []byte, layers []layer) error {
	w := tar.NewWriter(out)
	sum := sha256.Sum256(config)
	configName := hex.EncodeToString(sum[:]) + ".json"
	names := make([]string, len(layers))
	for n, l := range layers {
		names[n] = l.digest + "/layer.tar"
	}
	manifest, err := json.Marshal([]map[string]any{{"Config": configName, "RepoTags": []string{i.Name}, "Layers": names}})
	if err != nil {
		return err
	}
	if err := addBytes(w, "manifest.json", 0o644, manifest, i.created()); err != nil {
		return err
	}
	if err := addBytes(w, configName, 0o644, config, i.created()); err != nil {
		return err
	}
	for n, l := range layers {
		if err := l.copyTo(w, names[n], i.created()); err != nil {
			return err
		}
	}
	return w.Close()
}

func (l layer) copyTo(w *tar.Writer, name string, made time.Time) error {
	if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: l.size, ModTime: made}); err != nil {
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
