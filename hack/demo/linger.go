package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
)

// linger leaves everything running, and goes on telling what changes, until ctx ends.
func (d *drama) linger(ctx context.Context) error {
	if err := d.startControllers(ctx); err != nil {
		return err
	}
	d.out.begin("Everything goes on until Ctrl-C. In another terminal:")
	d.out.block(plain, d.commands())
	d.out.say("\n  What changes is shown here:\n")
	d.out.restart()
	err := d.until(ctx, math.MaxInt64, func() bool { return false })
	if errors.Is(err, context.Canceled) {
		d.out.say("\nStopping everything.")
		return nil
	}
	return err
}

// startControllers starts the garbage collector if it is among the assets: without it, what a
// deletion leaves behind stays.
func (d *drama) startControllers(ctx context.Context) error {
	if _, missing := os.Stat(filepath.Join(d.assets, "kube-controller-manager")); missing != nil {
		return nil // the archives of setup-envtest do not hold it
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	return d.plane.StartControllerManager(ctx)
}

// commands is what to type to look at the demo, and to change something.
func (d *drama) commands() string {
	kubectl := "kubectl"
	if _, err := exec.LookPath(kubectl); err != nil {
		kubectl = filepath.Join(d.assets, kubectl)
	}
	host := mtasts.PolicyHost(d.order.domain)
	return fmt.Sprintf(`export KUBECONFIG=%[1]s
%[2]s -n %[3]s get mtasts,mtastspub -o wide
%[2]s -n %[3]s get mtasts %[4]s -o yaml
%[2]s -n %[3]s edit mtasts %[4]s
%[2]s -n %[3]s delete mtasts %[4]s

dig @127.0.0.1 -p %[5]d +short TXT %[6]s
curl -i --cacert %[7]s \
  --resolve %[8]s:%[9]d:127.0.0.1 \
  https://%[8]s:%[9]d%[10]s
`, d.plane.Kubeconfig(), kubectl, namespace, d.name.Name,
		d.world.DNSPort(), mtasts.RecordName(d.order.domain), d.roots, host, d.world.HTTPSPort(), mtasts.PolicyPath)
}
