package limits

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"unsafe"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/yaml"
)

// Environment variables of this program: that somebody wants it to run, and that it is in a network of its own.
const (
	wanted = "MTASTS_LIMITS"
	inside = "MTASTS_LIMITS_INSIDE"
)

// unavailable says why nothing can be tried here.
var unavailable error

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard())
	if os.Getenv(wanted) == "" {
		unavailable = errors.New("it takes minutes and root: run `make test-limits`")
	} else if unavailable = checkGroups(); unavailable == nil && os.Getenv(inside) == "" {
		os.Exit(runInside())
	}
	if unavailable == nil {
		if err := bringLoopbackUp(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	code := m.Run()
	printTable(os.Stdout)
	os.Exit(code)
}

// need skips a test that cannot run here.
func need(t *testing.T) {
	t.Helper()
	if unavailable != nil {
		t.Skip(unavailable)
	}
}

// runInside runs this program in a network of its own: the operator asks the usual ports of DNS, HTTPS and SMTP,
// which are not ours to take otherwise.
func runInside() int {
	cmd := exec.Command(os.Args[0], os.Args[1:]...)
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	err := cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "starting again in a network of its own:", err)
		return 1
	}
	return 0
}

func bringLoopbackUp() error {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_DGRAM, 0)
	if err != nil {
		return fmt.Errorf("bringing the loopback up: %w", err)
	}
	defer func() { _ = syscall.Close(fd) }()
	request := struct {
		name  [syscall.IFNAMSIZ]byte
		flags uint16
		_     [22]byte
	}{flags: syscall.IFF_UP}
	copy(request.name[:], "lo")
	_, _, errno := syscall.Syscall(syscall.SYS_IOCTL, uintptr(fd), syscall.SIOCSIFFLAGS, uintptr(unsafe.Pointer(&request)))
	if errno != 0 {
		return fmt.Errorf("bringing the loopback up: %w", errno)
	}
	return nil
}

// shipped are the limits of the chart.
func shipped(t *testing.T) (operator, server corev1.ResourceList) {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("..", "..", "charts", "mta-sts-operator", "values.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var values struct {
		Resources corev1.ResourceRequirements `json:"resources"`
		Config    struct {
			Server struct {
				Resources corev1.ResourceRequirements `json:"resources"`
			} `json:"server"`
		} `json:"config"`
	}
	if err := yaml.Unmarshal(content, &values); err != nil {
		t.Fatal(err)
	}
	operator, server = values.Resources.Limits, values.Config.Server.Resources.Limits
	if operator.Memory().IsZero() || server.Memory().IsZero() {
		t.Fatal("the chart sets no limits")
	}
	return operator, server
}

// programs builds what the image holds, and returns the folder.
func programs(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.Command("go", "build", "-trimpath", "-o", dir+"/", ".", "./internal/policyserver/mta-sts-server")
	cmd.Dir, cmd.Env = filepath.Join("..", ".."), append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("building: %v\n%s", err, out)
	}
	return dir
}
