package e2e

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"strings"
	"time"

	cmv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"
	clientscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
	dnsv1 "sigs.k8s.io/external-dns/apis/v1alpha1"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
)

// cluster is the one of $KUBECONFIG. Everything in it is reached through its API server, so that it
// does not matter where it runs.
type cluster struct {
	client.WithWatch
	api rest.Interface
}

func newCluster() (*cluster, error) {
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(
		clientcmd.NewDefaultClientConfigLoadingRules(), nil).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("reading the kubeconfig: %w", err)
	}
	config.QPS, config.Burst = 100, 200
	scheme := clientscheme.Scheme
	for _, add := range []func() error{
		func() error { return v1alpha1.AddToScheme(scheme) },
		func() error { return cmv1.AddToScheme(scheme) },
		func() error { return dnsv1.AddToScheme(scheme) },
	} {
		if err := add(); err != nil {
			return nil, err
		}
	}
	c, err := client.NewWithWatch(config, client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("connecting to the cluster: %w", err)
	}
	set, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("connecting to the cluster: %w", err)
	}
	return &cluster{WithWatch: c, api: set.CoreV1().RESTClient()}, nil
}

// kubectl runs it with input, and returns what it prints to stdout.
func (c *cluster) kubectl(ctx context.Context, input string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "kubectl", args...)
	var out, problems bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(input), &out, &problems
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err, problems.String())
	}
	return out.String(), nil
}

// get asks the port of a pod or a service (kind "pods" or "services") over HTTP; a name that begins
// with "https:" over HTTPS. In front of a port there is a colon.
func (c *cluster) get(ctx context.Context, namespace, kind, name, path string) ([]byte, error) {
	return c.api.Get().Namespace(namespace).Resource(kind).Name(name).SubResource("proxy").Suffix(path).Do(ctx).Raw()
}

// put sends a body to the port of a pod.
func (c *cluster) put(ctx context.Context, namespace, pod, path string, body []byte) error {
	return c.api.Put().Namespace(namespace).Resource("pods").Name(pod).SubResource("proxy").Suffix(path).
		Body(body).Do(ctx).Error()
}

// address is a service's.
func (c *cluster) address(ctx context.Context, namespace, service string) (string, error) {
	var s corev1.Service
	err := c.Get(ctx, client.ObjectKey{Namespace: namespace, Name: service}, &s)
	return s.Spec.ClusterIP, err
}

// until tries do until it returns nil, or the time is over: then the error is the last one.
func until(ctx context.Context, patience time.Duration, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var last error
	for {
		err := do(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() == nil || last == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not within %s: %w", patience, last)
		case <-time.After(200 * time.Millisecond):
		}
	}
}
