package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestTheReadmeShowsTheSampleThatTheDemoApplies(t *testing.T) {
	root := filepath.Join("..", "..")
	text, err := os.ReadFile(filepath.Join(root, sample))
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(readme), string(text)) {
		t.Errorf("README.md does not contain %s word for word", sample)
	}
}

func TestTheVerdictOnTheOrder(t *testing.T) {
	const id = "20260102030405aabbccdd"
	start := time.Now()
	at := func(seconds int) time.Time { return start.Add(time.Duration(seconds) * time.Second) }
	tests := map[string]struct {
		order    *order
		want     string
		violated string
	}{
		"pods first, DNS last": {
			order: &order{
				served:    map[string]map[string]time.Time{id: {"server-bbbbb": at(2), "server-aaaaa": at(1)}},
				announced: map[string]time.Time{id: at(3)},
			},
			want: "pod …-aaaaa at 1.00s, then pod …-bbbbb at 2.00s, then DNS at 3.00s",
		},
		"a pod that came later is no part of it": {
			order: &order{
				served:    map[string]map[string]time.Time{id: {"server-aaaaa": at(1), "server-bbbbb": at(5)}},
				announced: map[string]time.Time{id: at(3)},
			},
			want: "pod …-aaaaa at 1.00s, then DNS at 3.00s",
		},
		"an id that DNS never showed": {
			order:    &order{served: map[string]map[string]time.Time{id: {"server-aaaaa": at(1)}}},
			violated: "was never seen",
		},
		"an id that no pod served": {
			order:    &order{announced: map[string]time.Time{id: at(3)}},
			violated: "no pod",
		},
		"a pod that was behind when DNS changed": {
			order: &order{
				served:    map[string]map[string]time.Time{id: {"server-aaaaa": at(1)}},
				announced: map[string]time.Time{id: at(3)},
				broken:    []error{errors.New("pod server-bbbbb serves nothing")},
			},
			violated: "server-bbbbb serves nothing",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			test.order.out = &printer{start: start}
			got, err := test.order.verdict(id)
			if test.violated != "" {
				if err == nil || !strings.Contains(err.Error(), test.violated) {
					t.Fatalf("verdict = %q, %v; want an error with %q", got, err, test.violated)
				}
				return
			}
			if err != nil || got != test.want {
				t.Errorf("verdict = %q, %v; want %q", got, err, test.want)
			}
		})
	}
}

func TestLinesAreWrappedBetweenWords(t *testing.T) {
	long := strings.Repeat("word ", 40)
	for _, line := range wrap(long) {
		if len(line) > textWidth || strings.HasSuffix(line, "wor") {
			t.Errorf("line %q", line)
		}
	}
	if got := strings.Join(wrap(long), " "); got != strings.TrimSpace(long) {
		t.Errorf("wrapped to %q", got)
	}
}
