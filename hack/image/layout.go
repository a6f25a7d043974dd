package image

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// descriptor names a blob of an OCI image layout.
type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int64             `json:"size"`
	Platform    map[string]string `json:"platform,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

const (
	typeIndex    = "application/vnd.oci.image.index.v1+json"
	typeManifest = "application/vnd.oci.image.manifest.v1+json"
	typeConfig   = "application/vnd.oci.image.config.v1+json"
	typeLayer    = "application/vnd.oci.image.layer.v1.tar+gzip"
)

// WriteLayout assembles one image for several architectures and writes it as an OCI image layout into a
// folder, which must not exist yet, under a tag. It returns the digest, sha256:…, that a registry will
// know it by.
func WriteLayout(dir, tag string, images []Image) (digest string, err error) {
	blobs := filepath.Join(dir, "blobs", "sha256")
	if err := os.MkdirAll(filepath.Dir(blobs), 0o755); err != nil {
		return "", fmt.Errorf("creating the layout: %w", err)
	}
	if err := os.Mkdir(blobs, 0o755); err != nil {
		return "", fmt.Errorf("creating the layout: %w", err)
	}
	manifests := make([]descriptor, len(images))
	for n := range images {
		if manifests[n], err = images[n].writeManifest(blobs); err != nil {
			return "", fmt.Errorf("writing the image for %s: %w", images[n].Architecture, err)
		}
	}
	index, err := writeJSON(blobs, typeIndex, map[string]any{"schemaVersion": 2, "mediaType": typeIndex, "manifests": manifests})
	if err != nil {
		return "", err
	}
	index.Annotations = map[string]string{"org.opencontainers.image.ref.name": tag}
	top, err := json.Marshal(map[string]any{"schemaVersion": 2, "mediaType": typeIndex, "manifests": []descriptor{index}})
	if err != nil {
		return "", fmt.Errorf("encoding the layout: %w", err)
	}
	return index.Digest, errors.Join(
		os.WriteFile(filepath.Join(dir, "index.json"), top, 0o644),
		os.WriteFile(filepath.Join(dir, "oci-layout"), []byte(`{"imageLayoutVersion":"1.0.0"}`), 0o644),
	)
}

// writeManifest writes one image's layers, configuration and manifest.
func (i *Image) writeManifest(blobs string) (descriptor, error) {
	layers, err := i.layers()
	if err != nil {
		return descriptor{}, err
	}
	written := make([]descriptor, len(layers))
	for n, l := range layers {
		if written[n], err = l.compress(blobs); err != nil {
			return descriptor{}, fmt.Errorf("writing layer %d: %w", n, err)
		}
	}
	configuration := i.config(layers)
	config, err := writeJSON(blobs, typeConfig, configuration)
	if err != nil {
		return descriptor{}, err
	}
	manifest, err := writeJSON(blobs, typeManifest, map[string]any{
		"schemaVersion": 2, "mediaType": typeManifest, "config": config, "layers": written, "annotations": i.Labels,
	})
	manifest.Platform = map[string]string{"os": "linux", "architecture": configuration["architecture"].(string)}
	return manifest, err
}

// compress writes the layer as a blob.
func (l layer) compress(blobs string) (descriptor, error) {
	content, err := l.open()
	if err != nil {
		return descriptor{}, err
	}
	defer content.Close()
	var out bytes.Buffer
	w, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		return descriptor{}, err
	}
	if _, err := io.Copy(w, content); err != nil {
		return descriptor{}, err
	}
	if err := w.Close(); err != nil {
		return descriptor{}, err
	}
	return writeBlob(blobs, typeLayer, out.Bytes())
}

func writeJSON(blobs, mediaType string, v any) (descriptor, error) {
	content, err := json.Marshal(v)
	if err != nil {
		return descriptor{}, fmt.Errorf("encoding a blob: %w", err)
	}
	return writeBlob(blobs, mediaType, content)
}

func writeBlob(blobs, mediaType string, content []byte) (descriptor, error) {
	sum := sha256.Sum256(content)
	name := hex.EncodeToString(sum[:])
	return descriptor{MediaType: mediaType, Digest: "sha256:" + name, Size: int64(len(content))},
		os.WriteFile(filepath.Join(blobs, name), content, 0o644)
}
