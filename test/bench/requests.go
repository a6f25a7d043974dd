package main

import (
	"slices"
	"strings"
)

// per divides requests: writes, and reads that are neither watches nor discovery.
func per(requests map[string]int, n int) (written, read float64) {
	for what, count := range requests {
		verb, resource, _ := strings.Cut(what, " ")
		if verb == "GET" && resource != "discovery" {
			read += float64(count)
		}
	}
	return float64(writes(requests)) / float64(n), read / float64(n)
}

// writes counts what asked for a change; events are counted apart, nothing waits for them.
func writes(requests map[string]int) int {
	total := 0
	for what, count := range requests {
		verb, resource, _ := strings.Cut(what, " ")
		if verb != "GET" && verb != "WATCH" && resource != "events" {
			total += count
		}
	}
	return total
}

func minus(after, before map[string]int) map[string]int {
	out := map[string]int{}
	for what, n := range after {
		if n -= before[what]; n != 0 {
			out[what] = n
		}
	}
	return out
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}
