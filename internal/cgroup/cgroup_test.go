package cgroup

import (
	"testing"
	"testing/fstest"
)

func TestMemoryLimit(t *testing.T) {
	tests := map[string]struct {
		files map[string]string
		want  int64
	}{
		"not on Linux": {nil, 0},
		"version 2, in a container": {map[string]string{
			"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "134217728\n",
		}, 134217728},
		"version 2, without a limit": {map[string]string{
			"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "max\n",
		}, 0},
		"version 2, the root of a machine": {map[string]string{"proc/self/cgroup": "0::/\n"}, 0},
		"version 2, a group above has less": {map[string]string{
			"proc/self/cgroup":                          "0::/kubepods/pod1/c1\n",
			"sys/fs/cgroup/kubepods/memory.max":         "900\n",
			"sys/fs/cgroup/kubepods/pod1/memory.max":    "300\n",
			"sys/fs/cgroup/kubepods/pod1/c1/memory.max": "400\n",
		}, 300},
		"version 2, a group that the container does not see": {map[string]string{
			"proc/self/cgroup": "0::/kubepods/pod1/c1\n", "sys/fs/cgroup/memory.max": "300\n",
		}, 300},
		"version 2, a group outside of the namespace": {map[string]string{
			"proc/self/cgroup": "0::/../c1\n", "sys/fs/cgroup/memory.max": "300\n",
		}, 300},
		"version 1, in a container": {map[string]string{
			"proc/self/cgroup":                           "5:cpu,cpuacct:/a\n4:memory:/kubepods/c1\n0::/\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes": "536870912\n",
		}, 536870912},
		"version 1, without a limit": {map[string]string{
			"proc/self/cgroup":                           "4:memory:/\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
		}, 0},
		"nonsense": {map[string]string{
			"proc/self/cgroup": "0::/\nx\n4:memory\n", "sys/fs/cgroup/memory.max": "lots\n",
		}, 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			root := fstest.MapFS{}
			for path, content := range tt.files {
				root[path] = &fstest.MapFile{Data: []byte(content)}
			}
			if got := memoryLimit(root); got != tt.want {
				t.Errorf("got %d, want %d", got, tt.want)
			}
		})
	}
}
