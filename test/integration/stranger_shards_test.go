package integration

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
)

// neighbour is a namespace beside the story's, with a policy that is in force, and a client with the role edit there.
func (s *story) neighbour() (namespace string, tenant client.Client, p *v1alpha1.MTASTSPolicy) {
	s.t.Helper()
	namespace = s.newNamespace("other-")
	p = s.policy()
	p.Namespace, p.Spec.Domain = namespace, namespace+".example"
	p.Spec.MX = []string{"mx1." + p.Spec.Domain}
	s.DNS.SetMX(p.Spec.Domain, p.Spec.MX...)
	s.create(p)
	s.inForce(p)
	return namespace, s.tenant(namespace), p
}

// serverName is the name of all that makes up the policy server of a namespace, serverLabels are their labels.
const serverName = "mta-sts-server"

var serverLabels = map[string]string{
	"app.kubernetes.io/name": "mta-sts", "app.kubernetes.io/component": "server", v1alpha1.ManagedByLabel: v1alpha1.ManagedBy,
}

// shardOf is a ConfigMap with the labels of the policy server, as anybody may write them.
func shardOf(namespace, name string, data map[string]string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: serverLabels}, Data: data}
}

// events counts those of a reason in a namespace.
func (s *story) events(namespace, reason string) int {
	s.t.Helper()
	var list eventsv1.EventList
	s.Expect(s.api.List(s.ctx, &list, client.InNamespace(namespace))).To(Succeed())
	return len(slices.DeleteFunc(list.Items, func(e eventsv1.Event) bool { return e.Reason != reason }))
}

// mounted is how many shards the Deployment of a namespace names.
func (s *story) mounted(namespace string) int {
	s.t.Helper()
	var d appsv1.Deployment
	s.Expect(s.api.Get(s.ctx, client.ObjectKey{Namespace: namespace, Name: serverName}, &d)).To(Succeed())
	s.Expect(d.Spec.Template.Spec.Volumes).To(HaveLen(1))
	return len(d.Spec.Template.Spec.Volumes[0].Projected.Sources)
}

// TestStrangerNumbersShardsAsHeLikes: the numbers of shards stand in names, and anybody with edit may make up names.
func TestStrangerNumbersShardsAsHeLikes(t *testing.T) {
	s := tell(t)
	victim := s.policy()
	s.create(victim)
	s.inForce(victim)
	namespace, tenant, his := s.neighbour()
	var account corev1.ServiceAccount
	s.Expect(tenant.Get(s.ctx, client.ObjectKey{Namespace: namespace, Name: serverName}, &account)).To(Succeed())

	for _, number := range []string{"20000000", "4611686018427387905", "3000", "511", "2"} {
		cm := shardOf(namespace, "mta-sts-policies-"+number, map[string]string{"mta-sts." + his.Spec.Domain: "x"})
		cm.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "ServiceAccount", Name: account.Name, UID: account.UID}}
		s.Expect(tenant.Create(s.ctx, cm)).To(Succeed())
	}
	s.stopOperator() // what the cache hides, the one that begins reads from the API server
	s.startOperator()

	s.edit(victim, withMaxAge(86400))
	s.inForce(victim)
	s.edit(his, withMaxAge(86400)) // his own goes on, too
	s.inForce(his)
	s.Expect(s.mounted(namespace)).To(Equal(2))
	s.Eventually(func() int { return s.events(namespace, v1alpha1.ReasonForeignConfigMap) }).Should(BeNumerically(">", 0))
	s.Expect(s.events(namespace, v1alpha1.ReasonForeignConfigMap)).To(BeNumerically("<=", 2), "one from each of two operators")
}

// TestStrangerMakesTheNextShard: full of hosts that nobody publishes, each of which the API server could be asked for.
func TestStrangerMakesTheNextShard(t *testing.T) {
	s := tell(t)
	victim := s.policy()
	s.create(victim)
	s.inForce(victim)
	namespace, tenant, his := s.neighbour()
	junk := map[string]string{}
	for size, k := 0, 0; size < 900<<10; k++ {
		host := fmt.Sprintf("mta-sts.x%d.%sexample", k, strings.Repeat("label.", 30))
		junk[host] = "x"
		size += len(host) + 1
	}
	since := s.mark()
	s.Expect(tenant.Create(s.ctx, shardOf(namespace, "mta-sts-policies-1", junk))).To(Succeed())
	s.Expect(tenant.Create(s.ctx, shardOf(namespace, "mta-sts-policies-2", junk))).To(Succeed())

	s.edit(victim, withMaxAge(86400))
	s.inForce(victim)
	s.Eventually(func(g Gomega) {
		var shard corev1.ConfigMap
		g.Expect(tenant.Get(s.ctx, client.ObjectKey{Namespace: namespace, Name: "mta-sts-policies-1"}, &shard)).To(Succeed())
		g.Expect(shard.Data).To(HaveLen(1), "what the pods mount is ours alone")
	}).Should(Succeed())
	s.edit(his, withMaxAge(86400))
	s.inForce(his)
	s.Expect(s.mounted(namespace)).To(Equal(2))
	s.rest()
	s.Expect(s.cost(since).reads).To(BeNumerically("<", 150), "of %d hosts: %s", len(junk), s.cost(since))
}
