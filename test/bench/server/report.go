package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// measurement is one load on one server.
type measurement struct {
	Load         string
	Requests     int
	Errors       int
	PerSecond    float64 // as the load generator saw it
	PerCPUSecond float64 // per second of the server's CPU time, kernel included
	Busy         float64 // share of its core that the server used
	P50Micros    int
	P99Micros    int
}

// turn is all that was measured on one start of one contender.
type turn struct {
	Contender string
	Hosts     int
	Loads     []measurement
	PSSKiB    int
	RSSKiB    int
	Reloads   reloads
}

func (t turn) String() string {
	out := make([]string, 0, len(t.Loads))
	for _, m := range t.Loads {
		out = append(out, fmt.Sprintf("%s %.0f/CPU-s (%.0f/s, busy %.2f) p50 %d p99 %d µs errors %d",
			m.Load, m.PerCPUSecond, m.PerSecond, m.Busy, m.P50Micros, m.P99Micros, m.Errors))
	}
	return strings.Join(out, " · ") + fmt.Sprintf(" · PSS %d RSS %d KiB · reloads %v ms, lost %d of %d",
		t.PSSKiB, t.RSSKiB, t.Reloads.Millis, t.Reloads.Lost, t.Reloads.Requests)
}

// summary is the median of the turns of one contender with one number of hosts, and how ours compares
// with it, by name of the load.
type summary struct {
	Contender    string
	Hosts        int
	Loads        []measurement
	PSSKiB       int
	RSSKiB       int
	ReloadMillis float64
	Lost, Asked  int // over all rounds

	PerCPUSecondOfOurs map[string]float64 // ours divided by theirs: more is better for ours
	P99OfOurs          map[string]float64 // ours divided by theirs: less is better for ours
	MemoryOfOurs       float64            // ours divided by theirs: less is better for ours
}

// report is the whole result.
type report struct {
	When     time.Time
	Machine  string
	Versions map[string]string
	Turns    []turn
	Medians  []summary
}

func newReport(debian string) *report {
	r := &report{When: time.Now().UTC().Truncate(time.Second), Machine: machine(), Versions: map[string]string{}}
	data, _ := os.ReadFile(filepath.Join(debian, "versions.txt")) // debian.sh wrote it
	for line := range strings.Lines(string(data)) {
		if name, version, ok := strings.Cut(strings.TrimSpace(line), " "); ok {
			r.Versions[name] = version
		}
	}
	return r
}

// machine describes processor and kernel.
func machine() string {
	model := runtime.GOARCH
	data, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(data)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			model = strings.TrimSpace(value)
			break
		}
	}
	kernel, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	return fmt.Sprintf("%d × %s, Linux %s, %s", runtime.NumCPU(), model, strings.TrimSpace(string(kernel)), runtime.Version())
}

// triplet names the folder of shared libraries on Debian.
func triplet() string {
	if runtime.GOARCH == "arm64" {
		return "aarch64-linux-gnu"
	}
	return "x86_64-linux-gnu"
}

// median returns the middle value of what pick finds in the turns.
func median(turns []turn, pick func(turn) float64) float64 {
	values := make([]float64, 0, len(turns))
	for _, t := range turns {
		values = append(values, pick(t))
	}
	slices.Sort(values)
	n := len(values)
	if n == 0 {
		return 0
	}
	return (values[(n-1)/2] + values[n/2]) / 2
}

// summarize fills Medians, in the order in which contenders had their first turn.
func (r *report) summarize() {
	grouped := map[string][]turn{}
	var order []string
	for _, t := range r.Turns {
		key := fmt.Sprint(t.Hosts, t.Contender)
		if grouped[key] == nil {
			order = append(order, key)
		}
		grouped[key] = append(grouped[key], t)
	}
	var reference summary
	for _, key := range order {
		s := medians(grouped[key])
		if reference.Hosts != s.Hosts {
			reference = s // ours is first
		}
		s.compare(reference)
		r.Medians = append(r.Medians, s)
	}
}

func medians(turns []turn) summary {
	s := summary{Contender: turns[0].Contender, Hosts: turns[0].Hosts}
	for i, l := range turns[0].Loads {
		pick := func(of func(measurement) float64) float64 {
			return median(turns, func(t turn) float64 { return of(t.Loads[i]) })
		}
		m := measurement{
			Load:         l.Load,
			Requests:     int(pick(func(m measurement) float64 { return float64(m.Requests) })),
			PerSecond:    pick(func(m measurement) float64 { return m.PerSecond }),
			PerCPUSecond: pick(func(m measurement) float64 { return m.PerCPUSecond }),
			Busy:         pick(func(m measurement) float64 { return m.Busy }),
			P50Micros:    int(pick(func(m measurement) float64 { return float64(m.P50Micros) })),
			P99Micros:    int(pick(func(m measurement) float64 { return float64(m.P99Micros) })),
		}
		for _, t := range turns {
			m.Errors += t.Loads[i].Errors
		}
		s.Loads = append(s.Loads, m)
	}
	s.PSSKiB = int(median(turns, func(t turn) float64 { return float64(t.PSSKiB) }))
	s.RSSKiB = int(median(turns, func(t turn) float64 { return float64(t.RSSKiB) }))
	var millis []turn
	for _, t := range turns {
		s.Lost += t.Reloads.Lost
		s.Asked += t.Reloads.Requests
		for _, ms := range t.Reloads.Millis {
			millis = append(millis, turn{Reloads: reloads{Millis: []float64{ms}}})
		}
	}
	s.ReloadMillis = median(millis, func(t turn) float64 { return t.Reloads.Millis[0] })
	return s
}

// compare sets the ratios to ours.
func (s *summary) compare(ours summary) {
	s.PerCPUSecondOfOurs, s.P99OfOurs = map[string]float64{}, map[string]float64{}
	for i, m := range s.Loads {
		s.PerCPUSecondOfOurs[m.Load] = ours.Loads[i].PerCPUSecond / m.PerCPUSecond
		s.P99OfOurs[m.Load] = float64(ours.Loads[i].P99Micros) / float64(m.P99Micros)
	}
	s.MemoryOfOurs = float64(ours.PSSKiB) / float64(s.PSSKiB)
}

// markdown returns one table per number of hosts. The ratios in it are ours to theirs.
func (r *report) markdown() string {
	var b strings.Builder
	hosts := 0
	for _, s := range r.Medians {
		if s.Hosts != hosts {
			hosts = s.Hosts
			fmt.Fprintf(&b, "\n%d hosts:\n\n", hosts)
			b.WriteString("| | Requests per CPU second, keep-alive | new connections | p50 / p99 keep-alive, µs | new connections | moderate | Memory, MiB | Reload, ms | Lost |\n")
			b.WriteString("|---|---|---|---|---|---|---|---|---|\n")
		}
		fmt.Fprintf(&b, "| %s |", s.Contender)
		for _, m := range s.Loads[:2] {
			fmt.Fprintf(&b, " %.0f (%.2f) |", m.PerCPUSecond, s.PerCPUSecondOfOurs[m.Load])
		}
		for _, m := range s.Loads {
			fmt.Fprintf(&b, " %d / %d (%.2f) |", m.P50Micros, m.P99Micros, s.P99OfOurs[m.Load])
		}
		fmt.Fprintf(&b, " %.1f (%.2f) | %.1f | %d of %d |\n",
			float64(s.PSSKiB)/1024, s.MemoryOfOurs, s.ReloadMillis, s.Lost, s.Asked)
	}
	return b.String()
}
