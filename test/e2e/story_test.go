package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
)

// Waiting times of stories, with a loaded machine in mind. What is measured is measured apart.
const (
	short = time.Minute
	long  = 5 * time.Minute
)

// story is one mail domain with a namespace and an MX host of its own.
type story struct {
	*world
	t                 *testing.T
	ctx               context.Context
	namespace, domain string
	started           time.Time
	prefix            string // of its lines, if the story has several domains
	ended             bool
}

// begin creates the namespace e2e-NAME, with labels KEY=VALUE, and the domain NAME.test with an MX host
// mx1 that has a good certificate. When the story went well, the parsers and checks of others are asked
// about its domain, and its remains are removed.
func begin(t *testing.T, name string, labels ...string) *story {
	t.Helper()
	if shared == nil {
		t.Skip("make e2e runs this")
	}
	s := &story{world: shared, t: t, ctx: t.Context(), namespace: "e2e-" + name, domain: name + ".test", started: time.Now()}
	s.join()
	t.Cleanup(s.leave)
	s.settle(labels...)
	return s
}

// beside begins another domain of the same story.
func (s *story) beside(name string) *story {
	s.t.Helper()
	other := &story{
		world: s.world, t: s.t, ctx: s.ctx, namespace: "e2e-" + name, domain: name + ".test", started: s.started,
		prefix: name + ": ",
	}
	other.settle()
	return other
}

func (s *story) settle(labels ...string) {
	s.t.Helper()
	text := "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: " + s.namespace + "\n  labels:\n    e2e: story\n"
	for _, label := range labels {
		text += "    " + strings.Replace(label, "=", ": ", 1) + "\n"
	}
	s.run(text, "apply", "--server-side", "-f", "-")
	s.t.Cleanup(s.end)
	s.addMX("mx1")
	s.must(s.setRecords(s.ctx, s.domain, "MX", "10 mx1."+s.domain+"."))
}

// end saves what may explain a failure, and removes what is left otherwise. A domain of several may end before the
// others.
func (s *story) end() {
	if s.ended {
		return
	}
	s.ended = true
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	defer cancel()
	if !s.t.Failed() && !s.t.Skipped() {
		if err := errors.Join(s.parsed(ctx), s.checked(ctx)); err != nil {
			s.t.Errorf("asking others about what was published: %v", err)
		}
	}
	if s.t.Failed() {
		s.explain(ctx)
		if os.Getenv("E2E_REMOVE") == "" {
			return
		}
	}
	_, err := s.kubectl(ctx, "", "delete", "namespace", s.namespace, "--wait=false")
	err = errors.Join(err, s.setRecords(ctx, s.domain, "MX"))
	if err != nil {
		s.t.Errorf("cleaning up: %v", err)
	}
}

func (s *story) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// say prints a line of the story with its time.
func (s *story) say(format string, args ...any) {
	s.t.Helper()
	s.t.Logf("%6.1f s  %s%s", time.Since(s.started).Seconds(), s.prefix, fmt.Sprintf(format, args...))
}

// run runs kubectl and returns what it prints.
func (s *story) run(input string, args ...string) string {
	s.t.Helper()
	out, err := s.kubectl(s.ctx, input, args...)
	s.must(err)
	return out
}

// eventually waits until do returns nil.
func (s *story) eventually(patience time.Duration, what string, do func(context.Context) error) {
	s.t.Helper()
	if err := until(s.ctx, patience, do); err != nil {
		s.t.Fatalf("%s: %v", what, err)
	}
}

// addMX starts an MX host NAME.DOMAIN with a good certificate and publishes its address.
func (s *story) addMX(name string) {
	s.t.Helper()
	s.place("mx.yaml", map[string]string{"Name": name, "Namespace": s.namespace})
	s.run("", "-n", s.namespace, "wait", "--for=condition=Ready", "pod/"+name, "--timeout=120s")
	address, err := s.address(s.ctx, s.namespace, name)
	s.must(err)
	s.must(s.setRecords(s.ctx, name+"."+s.domain, "A", address))
	s.certify(name, name+"."+s.domain)
}

// place applies a manifest in the story's namespace.
func (s *story) place(name string, data map[string]string) {
	s.t.Helper()
	text, err := fill(name, data)
	s.must(err)
	s.must(s.try(s.ctx, text))
}

// certify gives an MX host a certificate for the names.
func (s *story) certify(mx string, names ...string) {
	s.t.Helper()
	cert, key, err := s.ca.Issue(24*time.Hour, names...)
	s.must(err)
	s.must(s.put(s.ctx, s.namespace, mx+":8080", "certificate", append(cert, key...)))
}

// publish applies the policy, as a user does. An MX host is NAME.DOMAIN.
func (s *story) publish(mode string, mx ...string) {
	s.t.Helper()
	s.publishWith("preflight: Require", mode, mx...)
}

// publishWith adds a line to the policy's spec.
func (s *story) publishWith(line, mode string, mx ...string) {
	s.t.Helper()
	names := make([]string, len(mx))
	for i := range mx {
		names[i] = mx[i] + "." + s.domain
	}
	s.run(fmt.Sprintf(`apiVersion: mtasts.dev/v1alpha1
kind: MTASTSPolicy
metadata: {name: policy, namespace: %s}
spec:
  domain: %s
  mode: %s
  mx: [%s]
  maxAgeSeconds: 86400
  %s
  tlsReporting: {rua: ["mailto:tls@%[2]s"]}
`, s.namespace, s.domain, mode, strings.Join(names, ", "), line), "apply", "--server-side", "-f", "-")
}

func (s *story) policy(ctx context.Context) (*v1alpha1.MTASTSPolicy, error) {
	policy := new(v1alpha1.MTASTSPolicy)
	return policy, s.Get(ctx, client.ObjectKey{Namespace: s.namespace, Name: "policy"}, policy)
}

func (s *story) publication(ctx context.Context) (*v1alpha1.MTASTSPublication, error) {
	publication := new(v1alpha1.MTASTSPublication)
	return publication, s.Get(ctx, client.ObjectKey{Namespace: s.namespace, Name: s.domain}, publication)
}

// inForce waits until the policy as it is written now is in force, and returns its id. What DNS has and
// what senders get must agree with what the status says.
func (s *story) inForce() string {
	s.t.Helper()
	s.condition(long, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonInForce)
	policy, err := s.policy(s.ctx)
	s.must(err)
	id, err := s.publishedID(s.ctx, s.domain)
	s.must(err)
	if policy.Status.Policy == nil || policy.Status.Policy.ID != id {
		s.t.Fatalf("the status says %+v, DNS says %s", policy.Status.Policy, id)
	}
	s.say("in force: %s, id %s", policy.Status.Policy.Mode, id)
	return id
}

// condition waits for a condition of the policy as it is written now. It returns its message.
func (s *story) condition(patience time.Duration, kind string, status metav1.ConditionStatus, reason string) string {
	s.t.Helper()
	var message string
	s.eventually(patience, fmt.Sprintf("condition %s=%s %s", kind, status, reason), func(ctx context.Context) error {
		policy, err := s.policy(ctx)
		if err != nil {
			return err
		}
		c := apimeta.FindStatusCondition(policy.Status.Conditions, kind)
		if c == nil || c.Status != status || c.Reason != reason || c.ObservedGeneration != policy.Generation {
			return fmt.Errorf("generation %d, state %s, conditions %s", policy.Generation, policy.Status.State, conditions(policy.Status.Conditions))
		}
		message = c.Message
		return nil
	})
	return message
}

func conditions(list []metav1.Condition) string {
	var text strings.Builder
	for _, c := range list {
		fmt.Fprintf(&text, "\n  %s=%s %s (%d): %s", c.Type, c.Status, c.Reason, c.ObservedGeneration, c.Message)
	}
	return text.String()
}

// explain saves the story's objects and all logs, and prints the lines about its domain.
func (s *story) explain(ctx context.Context) {
	dir := filepath.Join(os.Getenv("E2E_LOGS"), s.t.Name(), s.domain)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		s.t.Log(err)
		return
	}
	for _, what := range []struct {
		file string
		tail int // lines about the domain to print
		args []string
	}{
		{"objects.yaml", 0, []string{
			"-n", s.namespace, "get", "-o", "yaml", "--show-managed-fields=false",
			"mtastspolicies,mtastspublications,dnsendpoints,certificates,ingresses,challenges,configmaps,deployments,pods,events",
		}},
		{"operator.log", 25, []string{"-n", operatorNamespace, "logs", "-l", "app.kubernetes.io/name=mta-sts-operator", "--tail=-1", "--prefix"}},
		{"operator-before.log", 0, []string{"-n", operatorNamespace, "logs", "-l", "app.kubernetes.io/name=mta-sts-operator", "--tail=-1", "--prefix", "--previous"}},
		{"postfix.log", 25, []string{"-n", home, "logs", "deployment/sender", "-c", "postfix"}},
		{"resolver.log", 10, []string{"-n", home, "logs", "deployment/sender", "-c", "resolver"}},
		{"external-dns.log", 10, []string{"-n", home, "logs", "deployment/external-dns"}},
		{"external-dns-frozen.log", 0, []string{"-n", home, "logs", "deployment/external-dns-frozen"}},
		{"external-dns-textless.log", 0, []string{"-n", home, "logs", "deployment/external-dns-textless"}},
		{"cert-manager.log", 10, []string{"-n", "cert-manager", "logs", "deployment/cert-manager"}},
		{"traefik.log", 0, []string{"-n", home, "logs", "deployment/traefik"}},
		{"server.log", 0, []string{"-n", s.namespace, "logs", "-l", "app.kubernetes.io/name=mta-sts", "--tail=-1", "--prefix"}},
	} {
		text, err := s.kubectl(ctx, "", what.args...)
		if err != nil {
			text += err.Error()
		}
		if err := os.WriteFile(filepath.Join(dir, what.file), []byte(text), 0o644); err != nil {
			s.t.Log(err)
		}
		if lines := about(text, s.domain, what.tail); lines != "" {
			s.t.Logf("%s, of this domain:\n%s", what.file, lines)
		}
	}
	s.t.Logf("everything is in %s", dir)
	if policy, err := s.policy(ctx); err == nil {
		s.t.Logf("the policy: state %s%s", policy.Status.State, conditions(policy.Status.Conditions))
	}
	if publication, err := s.publication(ctx); err == nil {
		spec, _ := json.MarshalIndent(publication.Spec, "", "  ")
		s.t.Logf("the publication: %s", spec)
	}
}

// about are the last n lines with word in them, shortened.
func about(text, word string, n int) string {
	var lines []string
	for line := range strings.Lines(text) {
		if strings.Contains(line, word) {
			lines = append(lines, line[:min(len(line), 300)])
		}
	}
	return strings.Join(lines[max(0, len(lines)-n):], "")
}
