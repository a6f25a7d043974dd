package harness

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestVolumeHasTheLayoutOfTheKubelet(t *testing.T) {
	v := volume{dir: t.TempDir()}
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	for _, files := range []map[string]string{
		{"stays": "1", "goes": "1"},
		{"stays": "2", "comes": "2"},
		{},
		{"comes": "3"},
	} {
		if err := v.replace(files, now); err != nil {
			t.Fatal(err)
		}
		got, generations := map[string]string{}, 0
		entries, err := os.ReadDir(v.dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, entry := range entries {
			switch {
			case strings.HasPrefix(entry.Name(), "..2026_11_22_12_00_00."):
				generations++
			case entry.Type() != fs.ModeSymlink:
				t.Errorf("%s is not a link", entry.Name())
			case entry.Name() == dataLink:
			default:
				content, err := os.ReadFile(filepath.Join(v.dir, entry.Name()))
				if err != nil {
					t.Fatal(err)
				}
				got[entry.Name()] = string(content)
			}
		}
		if diff := cmp.Diff(files, got); diff != "" {
			t.Errorf("files (-want +got):\n%s", diff)
		}
		if generations != 1 {
			t.Errorf("%d directories of files, want one", generations)
		}
	}
}
