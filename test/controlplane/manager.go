package controlplane

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// controllerManager is a running kube-controller-manager.
type controllerManager struct {
	cancel context.CancelFunc
	exited chan struct{} // closed when the process is gone
	log    string        // path of what it printed
}

// StartControllerManager starts kube-controller-manager with its garbage collector and its
// namespace controller, and returns once both were seen to work, or with an error when ctx ends
// before. It runs until Stop, and through RestartAPIServer.
func (c *ControlPlane) StartControllerManager(ctx context.Context) error {
	if c.manager != nil {
		return errors.New("starting kube-controller-manager: it runs already")
	}
	if _, err := findAssets("kube-controller-manager"); err != nil {
		return fmt.Errorf("starting kube-controller-manager, which the archives of setup-envtest lack: %w", err)
	}
	kubeconfig, err := c.managerKubeconfig()
	if err != nil {
		return err
	}
	manager, err := runControllerManager(c.dir, filepath.Join(c.assets, "kube-controller-manager"), kubeconfig)
	if err != nil {
		return fmt.Errorf("starting kube-controller-manager: %w", err)
	}
	c.manager = manager // from here on Stop ends it
	if err := manager.waitUntil(ctx, c.provesControllers); err != nil {
		return fmt.Errorf("waiting for kube-controller-manager: %w", err)
	}
	return nil
}

func (c *ControlPlane) managerKubeconfig() (string, error) {
	// With the rights of an administrator it starts in a second; with its own, and one service account
	// per controller, in six.
	user, err := c.addUser("system:kube-controller-manager", "system:masters")
	if err != nil {
		return "", err
	}
	content, err := user.KubeConfig()
	if err != nil {
		return "", fmt.Errorf("making the controller manager's kubeconfig: %w", err)
	}
	path := filepath.Join(c.dir, "controller-manager.kubeconfig")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		return "", fmt.Errorf("writing the controller manager's kubeconfig: %w", err)
	}
	return path, nil
}

func runControllerManager(dir, program, kubeconfig string) (*controllerManager, error) {
	log, err := os.Create(filepath.Join(dir, "kube-controller-manager.log"))
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }() // the process has its own handle
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, program,
		"--kubeconfig="+kubeconfig,
		"--controllers=garbage-collector-controller,namespace-controller",
		"--use-service-account-credentials=false",
		"--leader-elect=false",
		"--secure-port=0", // serves nothing
	)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = patience // then it is killed
	if err := cmd.Start(); err != nil {
		cancel()
		return nil, err
	}
	exited := make(chan struct{})
	go func() {
		defer close(exited)
		_ = cmd.Wait() // the log says why
	}()
	return &controllerManager{cancel: cancel, exited: exited, log: log.Name()}, nil
}

func (m *controllerManager) stop() {
	m.cancel()
	<-m.exited
}

// waitUntil runs ready, and gives up when the process ends first.
func (m *controllerManager) waitUntil(ctx context.Context, ready func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case <-m.exited:
			cancel(fmt.Errorf("it ended: %s", m.lastWords()))
		case <-ctx.Done():
		}
	}()
	err := ready(ctx)
	if cause := context.Cause(ctx); err != nil && cause != nil {
		return errors.Join(cause, err)
	}
	return err
}

// lastWords returns the end of the log.
func (m *controllerManager) lastWords() string {
	content, err := os.ReadFile(m.log)
	if err != nil {
		return err.Error()
	}
	return string(content[max(0, len(content)-2000):])
}

// provesControllers makes work for both controllers and waits until it is done: the garbage
// collector removes an object whose owner does not exist, the namespace controller empties and
// removes the namespace.
func (c *ControlPlane) provesControllers(ctx context.Context) error {
	api, err := client.New(c.Config, client.Options{})
	if err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "controller-manager-"}}
	if err := api.Create(ctx, namespace); err != nil {
		return fmt.Errorf("creating a namespace to test with: %w", err)
	}
	orphan := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{
		Namespace: namespace.Name, Name: "orphan",
		OwnerReferences: []metav1.OwnerReference{{APIVersion: "v1", Kind: "ConfigMap", Name: "nobody", UID: "none"}},
	}}
	if err := api.Create(ctx, orphan); err != nil {
		return fmt.Errorf("creating an object without its owner: %w", err)
	}
	if err := waitUntilGone(ctx, api, orphan); err != nil {
		return fmt.Errorf("waiting for the garbage collector: %w", err)
	}
	if err := api.Delete(ctx, namespace); err != nil {
		return fmt.Errorf("deleting the namespace: %w", err)
	}
	if err := waitUntilGone(ctx, api, namespace); err != nil {
		return fmt.Errorf("waiting for the namespace controller: %w", err)
	}
	return nil
}

func waitUntilGone(ctx context.Context, api client.Client, object client.Object) error {
	return wait.PollUntilContextCancel(ctx, 50*time.Millisecond, true, func(ctx context.Context) (bool, error) {
		err := api.Get(ctx, client.ObjectKeyFromObject(object), object)
		return apierrors.IsNotFound(err), client.IgnoreNotFound(err)
	})
}
