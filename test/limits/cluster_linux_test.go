package limits

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	externaldnsv1alpha1 "sigs.k8s.io/external-dns/apis/v1alpha1"
	"sigs.k8s.io/yaml"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/controllers"
	"github.com/mta-sts-operator/mta-sts-operator/test/controlplane"
	"github.com/mta-sts-operator/mta-sts-operator/test/harness"
	"github.com/mta-sts-operator/mta-sts-operator/test/operator"
)

// Namespaces of the one who attacks and of somebody else.
const (
	stranger = "stranger"
	victim   = "victim"
)

// firstPatience is how long a first publication may take: it waits a minute for other people's caches of DNS.
const firstPatience = 4 * time.Minute

// cluster is an API server and a world around the operator, which is a program of its own.
type cluster struct {
	client.Client

	plane *controlplane.ControlPlane
	world *harness.World
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	thirdParty, err := controlplane.ThirdPartyCRDs()
	if err != nil {
		t.Fatal(err)
	}
	c := &cluster{}
	c.plane, err = controlplane.Start(controlplane.Options{
		CRDs: append(controlplane.OurCRDs(), thirdParty...), AdvertiseAddress: "192.0.2.1",
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stopped(t, c.plane.Stop()) })
	if c.Client, err = client.New(c.plane.Config, client.Options{Scheme: controllers.NewScheme()}); err != nil {
		t.Fatal(err)
	}
	c.world, err = harness.Start(context.WithoutCancel(t.Context()), c.plane.Config, harness.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stopped(t, c.world.Stop()) })
	// The operator asks the usual ports.
	forwardPackets(t, "127.0.0.1:53", c.world.Resolver())
	forward(t, "127.0.0.1:53", c.world.Resolver())
	forward(t, "127.0.0.1:443", fmt.Sprintf("127.0.0.1:%d", c.world.HTTPSPort()))
	for _, namespace := range []string{stranger, victim} {
		if err := c.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

func stopped(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Errorf("stopping: %v", err)
	}
}

// startOperator starts the real program with the chart's memory.
func (c *cluster) startOperator(t *testing.T) *process {
	t.Helper()
	limits, _ := shipped(t)
	dir := t.TempDir()
	settings := operator.Settings()
	settings.Looks.Resolvers = []string{"127.0.0.1"}
	settings.Looks.ExtraRootsFile = filepath.Join(dir, "roots.pem")
	config, err := yaml.Marshal(settings)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "config.yaml")
	if err := errors.Join(os.WriteFile(settings.Looks.ExtraRootsFile, c.world.RootsPEM(), 0o600), os.WriteFile(file, config, 0o600)); err != nil {
		t.Fatal(err)
	}
	return startProcess(t, newGroup(t, "operator", limits), "http://127.0.0.1:9081/readyz",
		[]string{"KUBECONFIG=" + c.plane.Kubeconfig(), "POD_NAMESPACE=mta-sts-operator"},
		filepath.Join(programs(t), "mta-sts-operator"), "manager", "--config="+file, "--leader-elect=false",
		"--metrics-listen=0", "--probes-listen=127.0.0.1:9081")
}

func policyOf(namespace, domain string) *v1alpha1.MTASTSPolicy {
	return &v1alpha1.MTASTSPolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: domain},
		Spec:       v1alpha1.MTASTSPolicySpec{Domain: domain, Mode: v1alpha1.ModeTesting, MX: []string{"mx." + domain}, MaxAgeSeconds: 86400},
	}
}

// publish makes policies and waits until they are in force.
func (c *cluster) publish(t *testing.T, policies ...*v1alpha1.MTASTSPolicy) {
	t.Helper()
	for _, p := range policies {
		c.world.DNS.SetMX(p.Spec.Domain, p.Spec.MX...)
		if err := c.Create(t.Context(), p); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range policies {
		if !eventually(t, firstPatience, p.Name+" is in force", func() bool {
			return c.Get(t.Context(), client.ObjectKeyFromObject(p), p) == nil &&
				apimeta.IsStatusConditionTrue(p.Status.Conditions, v1alpha1.ConditionReady)
		}) {
			t.Fatalf("%s: %+v", p.Name, p.Status.Conditions)
		}
	}
}

// edit changes the victim's policy and waits until the object that external-dns reads has a new id.
func (c *cluster) edit(ctx context.Context, domain string) error {
	before := c.announced(ctx, domain)
	p := &v1alpha1.MTASTSPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: victim, Name: domain}}
	if err := c.Get(ctx, client.ObjectKeyFromObject(p), p); err != nil {
		return err
	}
	p.Spec.MaxAgeSeconds++
	if err := c.Update(ctx, p); err != nil {
		return err
	}
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for deadline := time.After(patience); c.announced(ctx, domain) == before; {
		select {
		case <-deadline:
			return fmt.Errorf("%s: still %s after %s", domain, before, patience)
		case <-ticker.C:
		}
	}
	return nil
}

func (c *cluster) announced(ctx context.Context, domain string) string {
	endpoint := &externaldnsv1alpha1.DNSEndpoint{}
	key := client.ObjectKey{Namespace: victim, Name: "mta-sts-id." + domain}
	if err := c.Get(ctx, key, endpoint); err != nil || len(endpoint.Spec.Endpoints) == 0 {
		return ""
	}
	return fmt.Sprint(endpoint.Spec.Endpoints[0].Targets)
}

// forward passes connections on until the test ends.
func forward(t *testing.T, from, to string) {
	t.Helper()
	listener, err := net.Listen("tcp", from)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = conn.Close() }()
				target, err := net.Dial("tcp", to)
				if err != nil {
					return
				}
				defer func() { _ = target.Close() }()
				go func() {
					_, _ = io.Copy(target, conn)
					_ = target.(*net.TCPConn).CloseWrite()
				}()
				_, _ = io.Copy(conn, target)
			}()
		}
	}()
}

// forwardPackets passes questions on, and the answer to each back.
func forwardPackets(t *testing.T, from, to string) {
	t.Helper()
	conn, err := net.ListenPacket("udp", from)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	go func() {
		for {
			question := make([]byte, 4096)
			n, whose, err := conn.ReadFrom(question)
			if err != nil {
				return
			}
			go func() {
				target, err := net.Dial("udp", to)
				if err != nil {
					return
				}
				defer func() { _ = target.Close() }()
				_ = target.SetDeadline(time.Now().Add(5 * time.Second))
				answer := make([]byte, 64<<10)
				if _, err := target.Write(question[:n]); err != nil {
					return
				}
				if n, err := target.Read(answer); err == nil {
					_, _ = conn.WriteTo(answer[:n], whose)
				}
			}()
		}
	}()
}
