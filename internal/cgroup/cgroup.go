// Package cgroup tells how much memory the kernel lets this process have, and keeps Go's heap within it.
package cgroup

import (
	"io/fs"
	"os"
	"path"
	"runtime/debug"
	"strconv"
	"strings"
)

// KeepWithinLimit makes the garbage collector work harder when percent of the container's memory limit are in use:
// without that the heap may grow to twice of what it needs, and the kernel kills what goes beyond its limit. What is
// left is for what Go does not count, sockets above all. It returns the limit, 0 if there is none. An environment
// with GOMEMLIMIT has the last word on the collector.
func KeepWithinLimit(percent int64) int64 {
	limit := memoryLimit(os.DirFS("/"))
	if limit > 0 && os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(limit / 100 * percent)
	}
	return limit
}

// memoryLimit is the least limit of the process' control group and those above it that can be seen. A container
// sees its own group as the root.
func memoryLimit(root fs.FS) int64 {
	groups, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		return 0 // no Linux
	}
	least := int64(0)
	for line := range strings.Lines(string(groups)) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		switch {
		case len(fields) != 3:
		case fields[0] == "0" && fields[1] == "":
			least = lesser(least, limitAbove(root, "sys/fs/cgroup", fields[2], "memory.max"))
		case fields[1] == "memory":
			least = lesser(least, limitAbove(root, "sys/fs/cgroup/memory", fields[2], "memory.limit_in_bytes"))
		}
	}
	return least
}

func limitAbove(root fs.FS, mount, group, file string) int64 {
	least := int64(0)
	for at := path.Join("/", group); ; at = path.Dir(at) {
		content, err := fs.ReadFile(root, path.Join(mount, at, file))
		if err == nil {
			least = lesser(least, parse(string(content)))
		}
		if at == "/" {
			return least
		}
	}
}

// parse reads a limit. Where there is none stands "max", or a number that no machine has.
func parse(content string) int64 {
	n, err := strconv.ParseInt(strings.TrimSpace(content), 10, 64)
	if err != nil || n >= 1<<60 {
		return 0
	}
	return n
}

// lesser is the lesser one of two limits, of which 0 is none.
func lesser(a, b int64) int64 {
	if a <= 0 || b > 0 && b < a {
		return b
	}
	return a
}
