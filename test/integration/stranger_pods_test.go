package integration

import (
	"bytes"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"

	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
)

// liar is a pod that answers every question with 55 MB.
type liar struct {
	*httptest.Server

	mu sync.Mutex
	// most is the longest answer that somebody took.
	most int
}

func (l *liar) longest() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.most
}

func newLiar(t *testing.T) *liar {
	t.Helper()
	l := &liar{}
	chunk := bytes.Repeat([]byte(`"mta-sts.nobody.example":"20260101000000abcdefghij",`), 1000)
	l.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		sent, _ := w.Write([]byte(`{"hosts":{`))
		for sent < 55<<20 {
			n, err := w.Write(chunk)
			sent += n
			if err != nil {
				break
			}
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		l.most = max(l.most, sent)
	}))
	t.Cleanup(l.Close)
	return l
}

// impersonate makes a pod that looks like one of the namespace's server and answers at that address, as a tenant can; that
// it runs is told by its kubelet.
func (s *story) impersonate(tenant client.Client, set *appsv1.ReplicaSet, name, address string) *corev1.Pod {
	s.t.Helper()
	host, number, err := net.SplitHostPort(address)
	s.Expect(err).NotTo(HaveOccurred())
	port, err := strconv.ParseInt(number, 10, 32)
	s.Expect(err).NotTo(HaveOccurred())
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: set.Namespace, Name: name, Labels: map[string]string{"pod-template-hash": "evil"},
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(set, appsv1.SchemeGroupVersion.WithKind("ReplicaSet"))},
		},
		Spec: corev1.PodSpec{
			ServiceAccountName: serverName, AutomountServiceAccountToken: new(false), NodeName: "a-node-of-its-own",
			Containers: []corev1.Container{{Name: "server", Image: "evil", Ports: []corev1.ContainerPort{
				{Name: "http", ContainerPort: int32(port)}, {Name: "metrics", ContainerPort: int32(port), Protocol: corev1.ProtocolUDP},
			}}},
		},
	}
	maps.Copy(pod.Labels, serverLabels)
	pod.OwnerReferences[0].BlockOwnerDeletion = nil
	s.Expect(tenant.Create(s.ctx, pod)).To(Succeed())
	pod.Status = corev1.PodStatus{
		Phase: corev1.PodRunning, PodIP: host, PodIPs: []corev1.PodIP{{IP: host}},
		Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}},
		ContainerStatuses: []corev1.ContainerStatus{{
			Name: "server", Ready: true, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.Now()}},
		}},
	}
	s.Expect(s.api.Status().Update(s.ctx, pod)).To(Succeed())
	return pod
}

// TestStrangersPodsAnswerWithoutEnd: whoever may create pods can make them look like the server's. They hold up the ids
// of his own namespace, because senders may meet them, and nobody else's.
func TestStrangersPodsAnswerWithoutEnd(t *testing.T) {
	s := tell(t)
	victim := s.policy()
	s.create(victim)
	s.inForce(victim)
	namespace, tenant, his := s.neighbour()
	set := &appsv1.ReplicaSet{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: serverName + "-evil"},
		Spec: appsv1.ReplicaSetSpec{
			Replicas: new(int32(0)), Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"evil": "yes"}},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"evil": "yes"}},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "server", Image: "evil"}}},
			},
		},
	}
	s.Expect(tenant.Create(s.ctx, set)).To(Succeed())
	l := newLiar(t)
	var pods []*corev1.Pod
	for _, name := range []string{"evil-1", "evil-2", "evil-3"} {
		pods = append(pods, s.impersonate(tenant, set, name, l.Listener.Addr().String()))
	}

	s.edit(victim, withMaxAge(86400))
	s.inForce(victim)
	s.Eventually(l.longest).Should(BeNumerically(">", 0), "nobody asked")
	s.Expect(l.longest()).To(BeNumerically("<", 16<<20), "bytes of an answer, what the sockets hold included")

	s.edit(his, withMaxAge(86400))
	s.Eventually(s.condition(his, v1alpha1.ConditionPolicyServed)).Should(ContainSubstring("evil-1"))
	for _, pod := range pods {
		s.Expect(tenant.Delete(s.ctx, pod, client.GracePeriodSeconds(0))).To(Succeed())
	}
	s.inForce(his)
}
