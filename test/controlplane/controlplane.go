package controlplane

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

// Options of Start. The zero value is a bare API.
type Options struct {
	// CRDs lists files, or folders of files, to install: see OurCRDs and ThirdPartyCRDs.
	CRDs []string
	// AuditLog is the file that gets one line per finished request, for ReadAudit; empty for none.
	AuditLog string
	// AdvertiseAddress is what kube-apiserver says of itself where there is no route that tells it.
	AdvertiseAddress string
	// Output receives what etcd and kube-apiserver print; nil discards it.
	Output io.Writer
}

// ControlPlane is a running control plane. Its methods are not safe for concurrent use.
type ControlPlane struct {
	// Config is for a member of system:masters, without client-side rate limit.
	Config *rest.Config

	env        *envtest.Environment
	dir        string
	assets     string
	kubeconfig string
	manager    *controllerManager
}

// How long a program may take to start or stop. Each needs a few seconds; the rest is for a machine that is
// compiling at the same time.
const patience = 90 * time.Second

// Start returns once the API answers and knows the CRDs. The caller must call Stop.
func Start(opts Options) (*ControlPlane, error) {
	assets, err := findAssets("etcd", "kube-apiserver")
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "controlplane-")
	if err != nil {
		return nil, fmt.Errorf("making the control plane's folder: %w", err)
	}
	c := &ControlPlane{assets: assets, dir: dir, kubeconfig: filepath.Join(dir, "admin.kubeconfig")}
	if err := c.start(opts); err != nil {
		return nil, errors.Join(fmt.Errorf("starting the control plane: %w", err), c.Stop())
	}
	return c, nil
}

func (c *ControlPlane) start(opts Options) error {
	c.env = &envtest.Environment{
		UseExistingCluster:       new(false), // whatever the environment says: never somebody's cluster
		BinaryAssetsDirectory:    c.assets,
		CRDInstallOptions:        crdOptions(opts.CRDs),
		ErrorIfCRDPathMissing:    true,
		ControlPlaneStartTimeout: patience,
		ControlPlaneStopTimeout:  patience,
	}
	// A folder of its own, because envtest deletes one that it made when etcd stops.
	c.env.ControlPlane.Etcd = &envtest.Etcd{Out: opts.Output, Err: opts.Output, DataDir: filepath.Join(c.dir, "etcd")}
	if err := os.Mkdir(c.env.ControlPlane.Etcd.DataDir, 0o700); err != nil {
		return err
	}
	c.env.ControlPlane.Etcd.Configure().Set("unsafe-no-fsync", "true")
	server := c.env.ControlPlane.GetAPIServer()
	server.Out, server.Err = opts.Output, opts.Output
	// Without it the server waits a minute for clients to end their watches.
	server.Configure().Set("shutdown-watch-termination-grace-period", "2s")
	if opts.AdvertiseAddress != "" {
		server.Configure().Set("advertise-address", opts.AdvertiseAddress)
	}
	// A folder of its own, because envtest deletes one that it made when the server stops.
	server.CertDir = filepath.Join(c.dir, "apiserver")
	if err := os.Mkdir(server.CertDir, 0o700); err != nil {
		return err
	}
	if opts.AuditLog != "" {
		if err := c.configureAudit(server, opts.AuditLog); err != nil {
			return err
		}
	}
	config, err := c.env.Start()
	if err != nil {
		return err
	}
	c.Config = config
	c.Config.QPS = -1
	if err := os.WriteFile(c.kubeconfig, c.env.KubeConfig, 0o600); err != nil {
		return fmt.Errorf("writing the kubeconfig: %w", err)
	}
	return nil
}

// Stop ends every process and removes their data. It may be called again.
func (c *ControlPlane) Stop() error {
	var faults []error
	if c.manager != nil {
		c.manager.stop()
		c.manager = nil
	}
	if c.env != nil {
		if err := c.env.Stop(); err != nil {
			faults = append(faults, fmt.Errorf("stopping the control plane: %w", err))
		}
	}
	return errors.Join(append(faults, os.RemoveAll(c.dir))...)
}

// Kubeconfig returns the path of a kubeconfig file with the rights of Config.
func (c *ControlPlane) Kubeconfig() string { return c.kubeconfig }

// Kubectl runs kubectl with the rights of Config and returns what it prints.
func (c *ControlPlane) Kubectl(ctx context.Context, args ...string) (string, error) {
	if _, err := findAssets("kubectl"); err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, filepath.Join(c.assets, "kubectl"), args...)
	// Its own cache: discovery of another control plane on the same port would be wrong.
	cmd.Env = append(os.Environ(), "KUBECONFIG="+c.kubeconfig, "KUBECACHEDIR="+filepath.Join(c.dir, "kubectl"))
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return string(out), fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err, stderr.String())
	}
	return string(out), nil
}

// UserConfig returns a configuration for a user of that name and groups, authenticated by a client
// certificate. RBAC is on: unless a role is bound to it, the user may do next to nothing.
func (c *ControlPlane) UserConfig(name string, groups ...string) (*rest.Config, error) {
	user, err := c.addUser(name, groups...)
	if err != nil {
		return nil, err
	}
	return user.Config(), nil
}

func (c *ControlPlane) addUser(name string, groups ...string) (*envtest.AuthenticatedUser, error) {
	base := &rest.Config{QPS: -1} // no client-side rate limit
	user, err := c.env.AddUser(envtest.User{Name: name, Groups: groups}, base)
	if err != nil {
		return nil, fmt.Errorf("adding user %q: %w", name, err)
	}
	return user, nil
}

// Snapshot is all the data of a control plane at one time: a folder that goes with it.
type Snapshot string

// Snapshot stops kube-apiserver and etcd, copies the data, and starts both again.
func (c *ControlPlane) Snapshot() (Snapshot, error) {
	dir, err := os.MkdirTemp(c.dir, "snapshot-")
	if err != nil {
		return "", fmt.Errorf("making the snapshot's folder: %w", err)
	}
	return Snapshot(dir), c.whileStopped(func(data string) error { return os.CopyFS(dir, os.DirFS(data)) })
}

// Restore puts the data of a snapshot in the place of all that there is, as from a backup of etcd.
func (c *ControlPlane) Restore(from Snapshot) error {
	return c.whileStopped(func(data string) error {
		if err := os.RemoveAll(data); err != nil {
			return err
		}
		if err := os.Mkdir(data, 0o700); err != nil {
			return err
		}
		return os.CopyFS(data, os.DirFS(string(from)))
	})
}

// whileStopped does something to etcd's data while nobody uses it.
func (c *ControlPlane) whileStopped(do func(data string) error) error {
	server, etcd := c.env.ControlPlane.APIServer, c.env.ControlPlane.Etcd
	if err := server.Stop(); err != nil {
		return fmt.Errorf("stopping kube-apiserver: %w", err)
	}
	if err := etcd.Stop(); err != nil {
		return fmt.Errorf("stopping etcd: %w", err)
	}
	if err := do(etcd.DataDir); err != nil {
		return fmt.Errorf("copying etcd's data: %w", err)
	}
	if err := etcd.Start(); err != nil {
		return fmt.Errorf("starting etcd again: %w", err)
	}
	if err := server.Start(); err != nil {
		return fmt.Errorf("starting kube-apiserver again: %w", err)
	}
	return nil
}

// RestartAPIServer stops kube-apiserver and starts it again with the same data, port and
// certificates: clients lose their connections and watches, and nothing else. It returns once the
// API answers.
func (c *ControlPlane) RestartAPIServer() error {
	server := c.env.ControlPlane.APIServer
	if err := server.Stop(); err != nil {
		return fmt.Errorf("stopping kube-apiserver: %w", err)
	}
	if err := server.Start(); err != nil {
		return fmt.Errorf("starting kube-apiserver again: %w", err)
	}
	return nil
}
