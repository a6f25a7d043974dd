package limits

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
)

// victims are so many domains that none is edited oftener than once a minute: oftener than that ids are not minted.
const victims = int(time.Minute / editEvery)

func victimDomain(n int) string { return fmt.Sprintf("victim-%d.example", n%victims) }

func TestTheOperatorStaysWithinItsLimit(t *testing.T) {
	need(t)
	c := newCluster(t)
	op := c.startOperator(t)
	policies := []*v1alpha1.MTASTSPolicy{policyOf(stranger, "stranger.example")}
	for n := range victims {
		policies = append(policies, policyOf(victim, victimDomain(n)))
	}
	c.publish(t, policies...)
	edits := 0
	for _, tt := range []struct {
		name   string
		attack func(t *testing.T)
	}{
		{"ConfigMaps that are shard 3000, 20000000 and 2^62+1", c.strangeShards},
		{"an Ingress with a changing annotation of 200 kB", c.changingIngress},
		{"three pods that tell 55 MB of instances", c.lyingPods},
		{"200 policies with 600 kB of annotations for their Ingress", c.longAnnotations},
		{"200 policies with 250 kB of annotations of their own", c.longMetadata},
	} {
		t.Run(tt.name, func(t *testing.T) {
			op.try(t, "operator: "+tt.name, func() { tt.attack(t) }, func() error {
				edits++
				return c.edit(context.WithoutCancel(t.Context()), victimDomain(edits))
			})
		})
	}
}

// during goes on for d, or until the test ends.
func during(t *testing.T, d time.Duration) <-chan time.Time {
	t.Helper()
	timer := time.NewTimer(d)
	t.Cleanup(func() { timer.Stop() })
	return timer.C
}

func serverLabels() map[string]string {
	return map[string]string{
		v1alpha1.ManagedByLabel: v1alpha1.ManagedBy, "app.kubernetes.io/name": "mta-sts", "app.kubernetes.io/component": "server",
	}
}

// create makes an object that is gone again at the end of the attack.
func (c *cluster) create(t *testing.T, o client.Object) (remove func()) {
	t.Helper()
	if err := c.Create(t.Context(), o); err != nil {
		t.Errorf("attacking: %v", err)
	}
	return func() {
		if err := c.Delete(context.WithoutCancel(t.Context()), o, client.GracePeriodSeconds(0)); client.IgnoreNotFound(err) != nil {
			t.Errorf("cleaning up: %v", err)
		}
	}
}

// strangeShards have the names of shards that nobody needs. A killed operator meets them at its next start.
func (c *cluster) strangeShards(t *testing.T) {
	for _, number := range []string{"3000", "20000000", strconv.Itoa(1<<62 + 1)} {
		defer c.create(t, &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Namespace: stranger, Name: "mta-sts-policies-" + number, Labels: serverLabels()},
		})()
	}
	<-during(t, 15*time.Second)
}

// changingIngress needs no policy.
func (c *cluster) changingIngress(t *testing.T) {
	ingress := &networkingv1.Ingress{
		ObjectMeta: metav1.ObjectMeta{Namespace: stranger, Name: "strange", Labels: map[string]string{v1alpha1.ManagedByLabel: v1alpha1.ManagedBy}},
		Spec: networkingv1.IngressSpec{DefaultBackend: &networkingv1.IngressBackend{
			Service: &networkingv1.IngressServiceBackend{Name: "none", Port: networkingv1.ServiceBackendPort{Number: 80}},
		}},
	}
	defer c.create(t, ingress)()
	end := during(t, time.Minute)
	for range 1500 {
		select {
		case <-end:
			return
		default:
		}
		before := ingress.DeepCopy()
		ingress.Annotations = map[string]string{
			v1alpha1.DomainAnnotation: strings.Repeat(fmt.Sprintf("%016x.", rand.Uint64()), 200<<10/17) + "example",
		}
		if err := c.Patch(t.Context(), ingress, client.MergeFrom(before)); err != nil {
			t.Errorf("attacking: %v", err)
			return
		}
	}
}

// lyingPods belong to a ReplicaSet whose name begins like that of the server.
func (c *cluster) lyingPods(t *testing.T) {
	for n := range 3 {
		var body strings.Builder
		body.WriteString(`{"hosts":{"mta-sts.stranger.example":"20260101T000000"`)
		for i := 0; body.Len() < 55<<20; i++ {
			fmt.Fprintf(&body, `,"mta-sts.d%d-%d.example":"20260101T000000"`, n, i)
		}
		body.WriteString("}}")
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Error(err)
			return
		}
		server := &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte(body.String()))
		})}
		go func() { _ = server.Serve(listener) }()
		defer func() { _ = server.Close() }()
		pod := lyingPod(n, int32(listener.Addr().(*net.TCPAddr).Port))
		status := pod.Status
		defer c.create(t, pod)()
		pod.Status = status
		if err := c.Status().Update(t.Context(), pod); err != nil {
			t.Errorf("attacking: %v", err)
			return
		}
	}
	<-during(t, 20*time.Second)
}

func lyingPod(n int, port int32) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: stranger, Name: fmt.Sprintf("mta-sts-server-evil-%d", n), Labels: serverLabels(),
			OwnerReferences: []metav1.OwnerReference{{
				APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "mta-sts-server-evil", UID: "00000000-0000-0000-0000-000000000001", Controller: new(true),
			}},
		},
		Spec: corev1.PodSpec{NodeName: "node", Containers: []corev1.Container{{
			Name: "server", Image: "evil", Ports: []corev1.ContainerPort{{Name: "metrics", ContainerPort: port}, {Name: "http", ContainerPort: port}},
		}}},
		Status: corev1.PodStatus{
			Phase: corev1.PodRunning, PodIP: "127.0.0.1", PodIPs: []corev1.PodIP{{IP: "127.0.0.1"}},
			Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}},
			ContainerStatuses: []corev1.ContainerStatus{{
				Name: "server", Ready: true, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.Now()}},
			}},
		},
	}
}

// longAnnotations may be refused: then there is nothing to stand.
func (c *cluster) longAnnotations(t *testing.T) {
	c.manyPolicies(t, "exposed", func(p *v1alpha1.MTASTSPolicy, long string) {
		p.Spec.Exposure.Ingress.Annotations = map[string]string{"example.com/long": strings.Repeat(long, 3)}
	})
}

func (c *cluster) longMetadata(t *testing.T) {
	c.manyPolicies(t, "annotated", func(p *v1alpha1.MTASTSPolicy, long string) {
		p.Annotations = map[string]string{"example.com/long": long + long[:50<<10]}
	})
}

// manyPolicies makes 200 of them, with 200 kB that differ, and removes them. They claim one domain: what it takes to
// publish 200 is another matter.
func (c *cluster) manyPolicies(t *testing.T, name string, with func(p *v1alpha1.MTASTSPolicy, long string)) {
	const policies, clients = 200, 8
	var refused atomic.Int64
	ctx := context.WithoutCancel(t.Context())
	all := func(do func(p *v1alpha1.MTASTSPolicy) error) {
		var wait sync.WaitGroup
		for k := range clients {
			wait.Go(func() {
				for n := k; n < policies; n += clients {
					p := policyOf(stranger, name+".example")
					p.Name = fmt.Sprintf("%s-%d", name, n)
					if err := do(p); err != nil {
						t.Errorf("attacking: %v", err)
						return
					}
				}
			})
		}
		wait.Wait()
	}
	all(func(p *v1alpha1.MTASTSPolicy) error {
		p.Spec.DeletionPolicy = v1alpha1.DeletionImmediate
		with(p, strings.Repeat(fmt.Sprintf("%016x", rand.Uint64()), 200<<10/16))
		err := c.Create(ctx, p)
		if apierrors.IsInvalid(err) {
			refused.Add(1)
			return nil
		}
		return err
	})
	t.Logf("%d of %d policies were refused", refused.Load(), policies)
	if refused.Load() < policies {
		<-during(t, 15*time.Second)
	}
	all(func(p *v1alpha1.MTASTSPolicy) error { return client.IgnoreNotFound(c.Delete(ctx, p)) })
}
