package image

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A container engine believes nothing it is told: the configuration must name every layer by the digest
// of its bytes, in order, and the manifest must name the configuration by its own.
func TestAnArchiveIsWhatAnEngineSaves(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, mode os.FileMode, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	i := Image{
		Name: "example.com/x:1", Base: write("base.tar", 0o600, "not looked into"), User: "1:1",
		Files:      []File{{write("binary", 0o755, "program"), "/usr/bin/x"}, {write("data", 0o644, "text"), "/usr/share/x"}},
		Labels:     map[string]string{"a": "b=c"},
		Entrypoint: []string{"/usr/bin/x", "serve"},
	}
	out := filepath.Join(dir, "out.tar")
	if err := i.WriteArchive(out); err != nil {
		t.Fatal(err)
	}
	archive := read(t, out)

	var manifest []struct {
		Config           string
		RepoTags, Layers []string
	}
	decode(t, archive["manifest.json"], &manifest)
	if len(manifest) != 1 || len(manifest[0].Layers) != 2 || len(manifest[0].RepoTags) != 1 || manifest[0].RepoTags[0] != i.Name {
		t.Fatalf("manifest.json is %s", archive["manifest.json"])
	}
	var config struct {
		Config struct {
			User       string
			Entrypoint []string
			Labels     map[string]string
		}
		RootFS struct {
			DiffIDs []string `json:"diff_ids"`
		}
	}
	text := archive[manifest[0].Config]
	decode(t, text, &config)
	if manifest[0].Config != digest(text)+".json" {
		t.Errorf("the configuration is called %s, and its digest is %s", manifest[0].Config, digest(text))
	}
	for n, layer := range manifest[0].Layers {
		if want := "sha256:" + digest(archive[layer]); config.RootFS.DiffIDs[n] != want {
			t.Errorf("layer %d has digest %s, and the configuration says %s", n, want, config.RootFS.DiffIDs[n])
		}
	}
	if c := config.Config; c.User != "1:1" || c.Labels["a"] != "b=c" || !cmp.Equal(c.Entrypoint, i.Entrypoint) {
		t.Errorf("the configuration is %+v", c)
	}
	layer := filepath.Join(dir, "layer.tar")
	if err := os.WriteFile(layer, archive[manifest[0].Layers[1]], 0o600); err != nil {
		t.Fatal(err)
	}
	want := map[string][]byte{"tmp/": nil, "usr/": nil, "usr/bin/": nil, "usr/share/": nil, "usr/bin/x": []byte("program"), "usr/share/x": []byte("text")}
	if diff := cmp.Diff(want, read(t, layer)); diff != "" {
		t.Errorf("the files are (-want +got):\n%s", diff)
	}
}

func TestNothingIsLeftOfAnImageThatFails(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out.tar")
	if err := (&Image{Files: []File{{filepath.Join(t.TempDir(), "missing"), "/x"}}}).WriteArchive(out); err == nil {
		t.Error("a file that is not there was copied")
	}
	if _, err := os.Stat(out); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("an archive was written: %v", err)
	}
}

// read returns the files of a tar archive by name; those of folders are nil.
func read(t *testing.T, path string) map[string][]byte {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	files := map[string][]byte{}
	for r := tar.NewReader(f); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		files[header.Name] = bytes.Clone(content)
		if header.Typeflag == tar.TypeDir {
			files[header.Name] = nil
		}
	}
}

func decode(t *testing.T, content []byte, into any) {
	t.Helper()
	if err := json.Unmarshal(content, into); err != nil {
		t.Fatal(err)
	}
}

func digest(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}
