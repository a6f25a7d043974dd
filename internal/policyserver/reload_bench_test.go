package policyserver

import (
	"fmt"
	"testing"
)

// BenchmarkReload reads and loads 10 000 hosts of which one has changed.
func BenchmarkReload(b *testing.B) {
	files := map[string]string{}
	for i := range 10_000 {
		files[fmt.Sprintf("mta-sts.domain-%d.example", i)] = value(i)
	}
	dir := b.TempDir()
	project(b, dir, shards(1, files))
	s := newTestStore(nil)
	b.ReportAllocs()
	n := 10_000
	var buffer []byte
	for b.Loop() {
		got, _, err := readSnapshot(dir, "", readInto(&buffer))
		if err != nil {
			b.Fatal(err)
		}
		got["mta-sts.domain-0.example"] = value(n)
		n++
		if !s.Load(got).Changed() {
			b.Fatal("nothing changed")
		}
	}
}
