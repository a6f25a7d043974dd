package integration

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/test/controlplane"
	"github.com/mta-sts-operator/mta-sts-operator/test/operator"
)

// cost is what the operator asked of the API server. Watches do not count: they are few, and stay.
type cost struct {
	reads, writes int
	// by counts every kind of request, as "patch mtastspolicies/status".
	by map[string]int
}

func (c cost) String() string {
	lines := make([]string, 0, len(c.by))
	for _, what := range slices.Sorted(maps.Keys(c.by)) {
		lines = append(lines, fmt.Sprintf("%d× %s", c.by[what], what))
	}
	return strings.Join(lines, ", ")
}

// mark waits until the audit log has everything that was answered so far, and returns its length.
func (s *story) mark() int {
	s.t.Helper()
	name := fmt.Sprintf("mark-%d", time.Now().UnixNano())
	err := s.api.Get(s.ctx, client.ObjectKey{Namespace: s.namespace, Name: name}, &corev1.ConfigMap{})
	s.Expect(apierrors.IsNotFound(err)).To(BeTrue())
	at := -1
	s.Eventually(func() int {
		at = slices.IndexFunc(s.audit(), func(e controlplane.AuditEvent) bool { return e.ObjectRef.Name == name })
		return at
	}).Should(BeNumerically(">=", 0), "the audit log never showed a request")
	return at
}

func (s *story) audit() []controlplane.AuditEvent {
	events, err := controlplane.ReadAudit(auditLog)
	s.Expect(err).NotTo(HaveOccurred())
	return events
}

// cost counts the operator's requests since a mark.
func (s *story) cost(since int) cost {
	s.t.Helper()
	upTo := s.mark()
	out := cost{by: map[string]int{}}
	for _, e := range s.audit()[since:upTo] {
		if e.User.Username != operatorUser || e.Verb == "watch" {
			continue
		}
		if e.Writes() {
			out.writes++
		} else {
			out.reads++
		}
		what := e.Verb + " " + e.ObjectRef.Resource
		if e.ObjectRef.Subresource != "" {
			what += "/" + e.ObjectRef.Subresource
		}
		if e.ResponseStatus.Code >= 400 {
			what += fmt.Sprintf(" (%d)", e.ResponseStatus.Code)
		}
		out.by[what]++
	}
	return out
}

// operatorUser is whom the operator connects as.
const operatorUser = "operator"

// rest waits until the operator has asked the API server for nothing for a while.
func (s *story) rest() {
	s.t.Helper()
	s.Eventually(func(g Gomega) {
		g.Consistently(s.link.Requests).WithTimeout(800 * time.Millisecond).WithPolling(20 * time.Millisecond).Should(Equal(s.link.Requests()))
	}).Should(Succeed())
}

// passes is how often a controller of this process was run.
func (s *story) passes(controller string) int {
	n, err := operator.Passes(controller)
	s.Expect(err).NotTo(HaveOccurred())
	return n
}

// touch annotates an object as somebody who is not the operator, and waits for the pass that this causes.
func (s *story) touch(o client.Object, controller string, value int) {
	s.t.Helper()
	before := s.passes(controller)
	patch := fmt.Sprintf(`{"metadata":{"annotations":{"example.com/touched":"%d"}}}`, value)
	s.Expect(s.api.Patch(s.ctx, o, client.RawPatch(types.MergePatchType, []byte(patch)))).To(Succeed())
	s.Eventually(func() int { return s.passes(controller) }).WithPolling(time.Millisecond).Should(BeNumerically(">", before))
}

func (s *story) ingress() *networkingv1.Ingress {
	i := &networkingv1.Ingress{}
	i.Namespace, i.Name = s.namespace, "mta-sts."+s.domain
	return i
}

func TestAtRestNothingIsWritten(t *testing.T) {
	s := tell(t)
	p := s.policy()
	s.create(p)
	s.inForce(p)
	s.rest()
	shard := &corev1.ConfigMap{}
	shard.Namespace, shard.Name = s.namespace, "mta-sts-policies"
	pub := &v1alpha1.MTASTSPublication{}
	pub.Namespace, pub.Name = s.namespace, s.domain
	since, domains, servers := s.mark(), s.passes("domain"), s.passes("server")

	for n := range 50 {
		s.touch(s.ingress(), "domain", n)
		s.touch(pub, "domain", n)
		s.touch(shard, "server", n)
	}
	s.stopOperator()
	s.startOperator()
	s.Eventually(func() int { return s.passes("domain") }).Should(BeNumerically(">", domains+100))
	s.rest()

	s.Expect(s.passes("domain") - domains).To(BeNumerically(">=", 101))
	s.Expect(s.passes("server") - servers).To(BeNumerically(">=", 51))
	s.Expect(s.cost(since).writes).To(BeZero(), s.cost(since).String())
	s.Expect(s.condition(p, v1alpha1.ConditionReady)()).To(HavePrefix("True/InForce"))
}

// TestWhatAPublicationCostsTheAPIServer bounds the requests of everything that happens often. The
// bounds leave room for passes that come in another order, and for nothing else.
func TestWhatAPublicationCostsTheAPIServer(t *testing.T) {
	s := setScene(t)
	p, second := s.policy(), s.policy(withName("second"))
	second.Spec.Domain = "second." + s.domain
	second.Spec.MX = []string{"mx1." + s.domain}
	s.DNS.SetMX(second.Spec.Domain, second.Spec.MX...)
	s.startOperator()
	s.rest()
	steps := []struct {
		name                  string
		reads, writes, passes int // at most
		act                   func()
	}{
		{"first publication in a namespace", 16, 38, 30, func() { s.create(p); s.inForce(p) }},
		{"second domain in the namespace", 10, 30, 25, func() { s.create(second); s.inForce(second) }},
		{"edit", 8, 24, 25, func() { s.edit(p, withMaxAge(86400)); s.inForce(p) }},
		{"resync", 0, 0, 3, func() { s.touch(s.ingress(), "domain", 1) }},
		{"restart", 8, 0, 12, func() { s.stopOperator(); s.startOperator() }},
	}
	var table strings.Builder
	for _, step := range steps {
		since, passes := s.mark(), s.passes("domain")
		step.act()
		s.rest()
		c := s.cost(since)
		passes = s.passes("domain") - passes
		line := fmt.Sprintf("%-34s %3d reads %3d writes %3d passes: %s\n", step.name, c.reads, c.writes, passes, c)
		table.WriteString(line)
		if c.reads > step.reads || c.writes > step.writes || passes > step.passes {
			t.Errorf("more than %d reads, %d writes, %d passes: %s", step.reads, step.writes, step.passes, line)
		}
	}
	t.Logf("requests of the operator:\n%s", table.String())
}
