package e2e

import (
	"context"
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// In a namespace where nothing is allowed by default, our NetworkPolicy lets senders in and keeps others
// from what is not theirs.
func TestBesideDefaultDeny(t *testing.T) {
	t.Parallel()
	s := begin(t, "deny")
	s.place("deny.yaml", map[string]string{"Namespace": s.namespace})
	s.run("", "-n", s.namespace, "wait", "--for=condition=Ready", "pod/closed", "--timeout=120s")
	s.publish("enforce", "mx1")
	s.inForce()
	s.enforced("mx1")
	s.send("denied").delivered("mx1", verified)

	server := s.servers()[0]
	var policy networkingv1.NetworkPolicy
	s.must(s.Get(s.ctx, client.ObjectKey{Namespace: s.namespace, Name: "mta-sts-server"}, &policy))
	open := s.connects(server, 8080)
	if open != nil {
		t.Errorf("a policy server cannot be reached: %v", open)
	}
	if s.connects("closed", 8080) == nil {
		s.say("NetworkPolicies exist, but this cluster does not enforce any")
		return
	}
	if s.connects(server, 8081) == nil {
		t.Error("everybody gets at the metrics of the policy servers")
	}
	s.say("NetworkPolicies are enforced: ours lets senders in, and nobody at the metrics")
}

// connects tries to connect to a port of a pod from the sender's.
func (s *story) connects(pod string, port int) error {
	s.t.Helper()
	var p corev1.Pod
	s.must(s.Get(s.ctx, client.ObjectKey{Namespace: s.namespace, Name: pod}, &p))
	try := fmt.Sprintf("import socket; socket.create_connection((%q, %d), 5)", p.Status.PodIP, port)
	return until(s.ctx, short/6, func(ctx context.Context) error {
		_, err := s.kubectl(ctx, "", "-n", home, "exec", "deployment/sender", "-c", "resolver", "--", "python3", "-c", try)
		return err
	})
}
