package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	. "github.com/onsi/gomega"
)

// TestTheImageStarts starts the image as a pod would, without a container engine: nothing but its own files
// to see, its own user, and a folder where a ConfigMap would be mounted.
func TestTheImageStarts(t *testing.T) {
	root, config := unpacked(t)
	if err := os.Mkdir(filepath.Join(root, "policies"), 0o755); err != nil {
		t.Fatal(err)
	}
	for dir := root; dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	container := func(args ...string) *exec.Cmd {
		command := exec.CommandContext(t.Context(), config.Entrypoint[0], args...)
		command.Env, command.Dir = []string{}, "/"
		var uid, gid int
		if _, err := fmt.Sscanf(config.User, "%d:%d", &uid, &gid); err != nil {
			t.Fatal(err)
		}
		command.SysProcAttr = &syscall.SysProcAttr{Chroot: root, Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
		if os.Geteuid() != 0 {
			// Root of a user namespace of one's own, in which the image's user is the one who runs the test.
			command.SysProcAttr.Credential.NoSetGroups = true
			command.SysProcAttr.Cloneflags = syscall.CLONE_NEWUSER
			command.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: uid, HostID: os.Geteuid(), Size: 1}}
			command.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: gid, HostID: os.Getegid(), Size: 1}}
		}
		return command
	}
	said, err := output(container("--version"))
	if errors.Is(err, syscall.EPERM) && os.Geteuid() != 0 {
		t.Skipf("this machine lets nobody but root change the root folder: %v", err)
	}
	if err != nil || said != project+" version "+made.version {
		t.Fatalf("it says %q (%v)", said, err)
	}

	public, admin := freeAddress(t), freeAddress(t)
	server := container("serve", "--listen", public, "--metrics-listen", admin)
	var log strings.Builder
	server.Stderr = &log
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	g := NewWithT(t)
	g.Eventually(func() (string, error) {
		response, err := http.Get("http://" + admin + "/healthz")
		if err != nil {
			return "", err
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		return response.Status + " " + strings.TrimSpace(string(body)), err
	}, 30*time.Second, 20*time.Millisecond).Should(HavePrefix("200 OK"))
	running, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", server.Process.Pid))
	if err != nil || filepath.Base(running) != "mta-sts-server" {
		t.Errorf("what serves is %q, with the memory of the whole operator (%v)", running, err)
	}
	if err := server.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := server.Wait(); err != nil {
		t.Errorf("it ended with %v: %s", err, log.String())
	}
}
