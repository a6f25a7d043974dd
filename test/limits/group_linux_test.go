package limits

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// Control groups are files, in one tree (version 2) or in one for each resource (version 1).
const (
	unified = "/sys/fs/cgroup"
	memory1 = "/sys/fs/cgroup/memory"
	cpu1    = "/sys/fs/cgroup/cpu"
)

// checkGroups says why no control group for memory can be made here, nil if one can.
func checkGroups() error {
	if os.Geteuid() != 0 {
		return errors.New("it takes root")
	}
	dir, err := makeGroup(memoryRoot(), "mta-sts-limits-probe")
	if err != nil {
		return fmt.Errorf("no control group can be made: %w", err)
	}
	defer func() { _ = os.Remove(dir) }()
	if _, err := os.Stat(filepath.Join(dir, fileOf("memory.max", "memory.limit_in_bytes"))); err != nil {
		return fmt.Errorf("control groups do not bound memory here: %w", err)
	}
	return nil
}

// isVersion2 tells whether there is one tree, with memory in it.
func isVersion2() bool {
	controllers, err := os.ReadFile(filepath.Join(unified, "cgroup.controllers"))
	return err == nil && strings.Contains(string(controllers), "memory")
}

func memoryRoot() string { return fileOf(unified, memory1) }

func fileOf(version2, version1 string) string {
	if isVersion2() {
		return version2
	}
	return version1
}

func makeGroup(root, name string) (string, error) {
	if isVersion2() {
		if err := os.WriteFile(filepath.Join(root, "cgroup.subtree_control"), []byte("+memory +cpu"), 0); err != nil {
			return "", err
		}
	}
	dir := filepath.Join(root, name)
	return dir, os.Mkdir(dir, 0o755)
}

// group is a control group with limits.
type group struct {
	memory string
	// all are the folders of the group, one for each tree.
	all   []string
	limit int64
}

func newGroup(t *testing.T, name string, limits corev1.ResourceList) *group {
	t.Helper()
	name = fmt.Sprintf("mta-sts-limits-%d-%s", os.Getpid(), name)
	g := &group{limit: limits.Memory().Value()}
	g.memory = g.add(t, memoryRoot(), name)
	g.write(t, g.memory, fileOf("memory.max", "memory.limit_in_bytes"), g.limit)
	if !isVersion2() { // which counts the buffers of sockets apart, and only if they have a limit
		g.write(t, g.memory, "memory.kmem.tcp.limit_in_bytes", g.limit)
	}
	if cpu := limits.Cpu().MilliValue(); cpu > 0 {
		const period = 100_000
		if isVersion2() {
			g.write(t, g.memory, "cpu.max", cpu*period/1000)
		} else {
			g.write(t, g.add(t, cpu1, name), "cpu.cfs_quota_us", cpu*period/1000)
		}
	}
	return g
}

func (g *group) add(t *testing.T, root, name string) string {
	t.Helper()
	dir, err := makeGroup(root, name)
	if err != nil {
		t.Fatalf("making a control group: %v", err)
	}
	t.Cleanup(func() {
		if err := os.Remove(dir); err != nil {
			t.Errorf("removing a control group: %v", err)
		}
	})
	g.all = append(g.all, dir)
	return dir
}

func (g *group) write(t *testing.T, dir, file string, value int64) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, file), strconv.AppendInt(nil, value, 10), 0); err != nil {
		t.Fatalf("setting a limit: %v", err)
	}
}

// used is the memory of the group that the kernel cannot take back at will, sockets included.
func (g *group) used(t *testing.T) int64 {
	t.Helper()
	if isVersion2() {
		return g.number(t, "memory.current") - g.value(t, "memory.stat", "inactive_file") - g.value(t, "memory.stat", "active_file")
	}
	return g.number(t, "memory.usage_in_bytes") + g.number(t, "memory.kmem.tcp.usage_in_bytes") -
		g.value(t, "memory.stat", "total_inactive_file") - g.value(t, "memory.stat", "total_active_file")
}

// killed is how often the kernel has killed for lack of memory.
func (g *group) killed(t *testing.T) int64 {
	t.Helper()
	return g.value(t, fileOf("memory.events", "memory.oom_control"), "oom_kill")
}

func (g *group) number(t *testing.T, file string) int64 {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(g.memory, file))
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(content)), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// value is one line of a file with names and numbers.
func (g *group) value(t *testing.T, file, name string) int64 {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(g.memory, file))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(content)) {
		if rest, ok := strings.CutPrefix(line, name+" "); ok {
			if n, err := strconv.ParseInt(strings.TrimSpace(rest), 10, 64); err == nil {
				return n
			}
		}
	}
	t.Fatalf("%s has no %s", file, name)
	return 0
}
