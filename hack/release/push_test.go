package main

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
)

// TestWhatIsPushedIsWhatWasMade pushes to a registry on this machine.
func TestWhatIsPushedIsWhatWasMade(t *testing.T) {
	crane, err := output(exec.CommandContext(t.Context(), filepath.Join(made.root, "hack", "tools", "build.sh"), "crane"))
	if err != nil {
		t.Fatal(err)
	}
	address := freeAddress(t)
	registry := exec.CommandContext(t.Context(), crane, "registry", "serve", "--address", address, "--disk", t.TempDir())
	if err := registry.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = registry.Process.Kill(); _ = registry.Wait() })
	g := NewWithT(t)
	g.Eventually(func() error {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			err = conn.Close()
		}
		return err
	}, 30*time.Second, 20*time.Millisecond).Should(Succeed())

	// Its settings are not the user's.
	push := func(dir string) (string, error) {
		command := exec.CommandContext(t.Context(), "./push.sh", dir, address+"/test")
		command.Env = append(os.Environ(), "HELM_CONFIG_HOME="+t.TempDir(), "DOCKER_CONFIG="+t.TempDir())
		return output(command)
	}
	got, err := push(made.out)
	if err != nil {
		t.Fatal(err)
	}
	_, digest, _ := strings.Cut(strings.TrimSpace(text(t, "image.txt")), "@")
	want := regexp.QuoteMeta(address+"/test/"+project+"@"+digest) + "\n" + regexp.QuoteMeta(address+"/test/charts/"+project) + "@sha256:[0-9a-f]{64}"
	g.Expect(got).To(MatchRegexp("^" + want + "$"))
	out, err := output(exec.CommandContext(t.Context(), crane, "validate", "--remote", address+"/test/"+project+":"+made.version))
	if err != nil || !strings.HasPrefix(out, "PASS") {
		t.Errorf("the registry has %q (%v)", out, err)
	}

	other := t.TempDir()
	if err := os.CopyFS(other, os.DirFS(made.out)); err != nil {
		t.Fatal(err)
	}
	lie := strings.Replace(text(t, "image.txt"), digest, "sha256:"+strings.Repeat("0", 64), 1)
	if err := os.WriteFile(filepath.Join(other, "image.txt"), []byte(lie), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := push(other); err == nil || !strings.Contains(err.Error(), "was made") {
		t.Errorf("an image of another digest was pushed: %v", err)
	}
}

// freeAddress is one that nobody listens at just now.
func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().String()
}
