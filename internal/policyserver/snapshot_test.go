package policyserver

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestReadIntoReadsAsOSDoes(t *testing.T) {
	dir := t.TempDir()
	var buffer []byte
	read := readInto(&buffer)
	for _, size := range []int{0, 1, readAtLeast - 1, readAtLeast, 3*readAtLeast + 1, 100} {
		name := filepath.Join(dir, strconv.Itoa(size))
		want := bytes.Repeat([]byte{byte(size), 'x'}, size)[:size]
		if err := os.WriteFile(name, want, 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := read(name); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d bytes: got %d, %v", size, len(got), err)
		}
	}
	if _, err := read(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
	if _, err := read(dir); err == nil {
		t.Error("a folder was read")
	}
}

func TestReadSnapshotOfAPlainDirectory(t *testing.T) {
	dir := t.TempDir()
	writeFiles(t, dir, map[string]string{"a": "1", "b": "2", ".swp": "x"})
	if err := os.Mkdir(filepath.Join(dir, "sub"), 0o750); err != nil {
		t.Fatal(err)
	}
	files, generation, err := readSnapshot(dir, "", os.ReadFile)
	if err != nil || generation != "" {
		t.Fatalf("generation %q, error %v", generation, err)
	}
	if diff := cmp.Diff(map[string]string{"a": "1", "b": "2"}, files); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

func TestReadSnapshotReadsAGenerationOnce(t *testing.T) {
	dir := t.TempDir()
	project(t, dir, map[string]string{"a": "1"})
	files, generation, err := readSnapshot(dir, "", os.ReadFile)
	if err != nil || files["a"] != "1" {
		t.Fatalf("files %q, error %v", files, err)
	}
	files, again, err := readSnapshot(dir, generation, func(string) ([]byte, error) {
		t.Error("read again")
		return nil, nil
	})
	if err != nil || files != nil || again != generation {
		t.Errorf("files %q, generation %q, error %v", files, again, err)
	}
}

func TestReadSnapshotStartsOverWhenSwappedDuringTheRead(t *testing.T) {
	dir := t.TempDir()
	project(t, dir, map[string]string{"a": "old", "b": "old"})
	swapped := false
	files, generation, err := readSnapshot(dir, "", func(name string) ([]byte, error) {
		content, err := os.ReadFile(name)
		if !swapped {
			swapped = true
			project(t, dir, map[string]string{"a": "new", "b": "new", "c": "new"})
		}
		return content, err
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"a": "new", "b": "new", "c": "new"}, files); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	if current, _ := os.Readlink(filepath.Join(dir, dataLink)); current != generation {
		t.Errorf("generation %q, want %q", generation, current)
	}
}

func TestReadSnapshotStartsOverWhenTheFirstGenerationAppears(t *testing.T) {
	dir := t.TempDir()
	writeFiles(t, dir, map[string]string{"a": "plain"})
	swapped := false
	files, _, err := readSnapshot(dir, "", func(name string) ([]byte, error) {
		if !swapped {
			swapped = true
			project(t, dir, map[string]string{"b": "new"})
		}
		return os.ReadFile(name)
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"b": "new"}, files); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

func TestReadSnapshotStartsOverWhenAFileIsRemovedDuringTheRead(t *testing.T) {
	dir := t.TempDir()
	writeFiles(t, dir, map[string]string{"a": "1", "b": "2"})
	files, _, err := readSnapshot(dir, "", func(name string) ([]byte, error) {
		remove(t, filepath.Join(dir, "b"))
		return os.ReadFile(name)
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"a": "1"}, files); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

func TestReadSnapshotFails(t *testing.T) {
	tests := map[string]struct {
		prepare func(t *testing.T, dir string)
		read    readFileFunc
		wantErr string
	}{
		"when the directory is missing": {
			prepare: func(t *testing.T, dir string) { t.Helper(); remove(t, dir) },
			wantErr: "no such file",
		},
		"when the link points to nothing": {
			prepare: func(t *testing.T, dir string) { t.Helper(); symlink(t, "..gone", filepath.Join(dir, dataLink)) },
			wantErr: "no such file",
		},
		"when the link leads out of the volume": {
			prepare: func(t *testing.T, dir string) { t.Helper(); symlink(t, "/etc", filepath.Join(dir, dataLink)) },
			wantErr: "outside its directory",
		},
		"when the link is not a link": {
			prepare: func(t *testing.T, dir string) { t.Helper(); writeFiles(t, dir, map[string]string{dataLink: ""}) },
			wantErr: "resolving the current generation",
		},
		"when one file is unreadable": {
			prepare: func(t *testing.T, dir string) { t.Helper(); project(t, dir, map[string]string{"a": "1", "b": "2"}) },
			read: func(name string) ([]byte, error) {
				if filepath.Base(name) == "b" {
					return nil, os.ErrPermission
				}
				return os.ReadFile(name)
			},
			wantErr: "permission denied",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			tt.prepare(t, dir)
			read := tt.read
			if read == nil {
				read = os.ReadFile
			}
			files, _, err := readSnapshot(dir, "", read)
			if err == nil && len(files) == 0 {
				t.Fatal("an unreadable directory was taken for an empty one")
			}
			if err == nil || !strings.Contains(err.Error(), tt.wantErr) {
				t.Errorf("got error %v, want one with %q", err, tt.wantErr)
			}
		})
	}
	t.Run("when it never stands still", func(t *testing.T) {
		dir := t.TempDir()
		project(t, dir, map[string]string{"a": "1"})
		_, _, err := readSnapshot(dir, "", func(name string) ([]byte, error) {
			content, err := os.ReadFile(name)
			project(t, dir, map[string]string{"a": "1"})
			return content, err
		})
		if err == nil || !strings.Contains(err.Error(), "kept changing") {
			t.Errorf("got error %v", err)
		}
	})
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
}

func symlink(t *testing.T, target, path string) {
	t.Helper()
	if err := os.Symlink(target, path); err != nil {
		t.Fatal(err)
	}
}
