package integration

import (
	"bytes"
	"cmp"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	"sigs.k8s.io/yaml"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/internal/config"
	"github.com/mta-sts-operator/mta-sts-operator/test/harness"
	"github.com/mta-sts-operator/mta-sts-operator/test/operator"
)

var update = flag.Bool("update", false, "record the objects of every state anew")

// recordings is where the objects of every state lie: tools that judge health are tried on them in
// test/gitops, without a cluster.
var recordings = filepath.Join("..", "..", "config", "argocd", "resource_customizations", "mtasts.dev")

// recorded waits until an object is judged by the same as the one that was recorded for a state; or
// records it, once it shows what is looked for and has settled.
func (s *story) recorded(o client.Object, state string, shows func() bool) {
	s.t.Helper()
	s.Eventually(shows).Should(BeTrue(), func() string { return state + ": " + s.plain(o) })
	gvk, err := apiutil.GVKForObject(o, s.api.Scheme())
	s.Expect(err).NotTo(HaveOccurred())
	path := filepath.Join(recordings, gvk.Kind, "testdata", state+".yaml")
	if *update {
		s.Expect(os.MkdirAll(filepath.Dir(path), 0o750)).To(Succeed())
		s.Expect(os.WriteFile(path, []byte(s.settled(o)), 0o600)).To(Succeed())
	}
	want, err := os.ReadFile(path)
	s.Expect(err).NotTo(HaveOccurred())
	s.Eventually(func() string { return gocmp.Diff(gist(string(want)), gist(s.plain(o))) }).WithTimeout(10*time.Second).
		Should(BeEmpty(), "%s (-recorded +is): go test -update records anew", state)
}

// gist is what an object is judged by: state, mode, and the conditions, each with whether it is for the
// object as it is now. The rest of a recording is an example.
func gist(text string) []string {
	u := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(text), &u.Object); err != nil {
		return []string{text}
	}
	at := func(path ...string) any {
		value, _, _ := unstructured.NestedFieldNoCopy(u.Object, path...)
		return value
	}
	generation := at("metadata", "generation")
	out := []string{
		fmt.Sprintf("state %v, mode %v", at("status", "state"), at("status", "policy", "mode")),
		fmt.Sprintf("seen as it is now: %v", at("status", "observedGeneration") == generation),
	}
	conditions, _ := at("status", "conditions").([]any)
	for _, c := range conditions {
		c := c.(map[string]any)
		out = append(out, fmt.Sprintf("%v=%v (%v), for what it is now: %v", c["type"], c["status"], c["reason"], c["observedGeneration"] == generation))
	}
	return out
}

// settled is the object once it has not changed for a while.
func (s *story) settled(o client.Object) string {
	s.t.Helper()
	out := ""
	s.Eventually(func(g Gomega) {
		out = s.plain(o)
		g.Consistently(func() string { return s.plain(o) }).WithTimeout(1500 * time.Millisecond).Should(Equal(out))
	}).Should(Succeed())
	return out
}

// What differs from one run to the next, and stays recognisable in a recording.
var (
	anID             = regexp.MustCompile(`\b2\d{13}[0-9a-f]{8}\b`)
	aTime            = regexp.MustCompile(`\b20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ`)
	aUID             = regexp.MustCompile(`\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b`)
	aPort            = regexp.MustCompile(`(127\.0\.0\.\d+:|port )\d{4,5}\b`)
	anotherNamespace = regexp.MustCompile(`\bother-[a-z0-9]{5}\b`)
)

// plain is an object as YAML, with the names and times that every run shares, conditions in alphabetical
// order, and without what only the API server keeps.
func (s *story) plain(o client.Object) string {
	u := &unstructured.Unstructured{}
	gvk, err := apiutil.GVKForObject(o, s.api.Scheme())
	s.Expect(err).NotTo(HaveOccurred())
	u.SetGroupVersionKind(gvk)
	if err := s.api.Get(s.ctx, client.ObjectKeyFromObject(o), u); err != nil {
		return err.Error()
	}
	u.SetManagedFields(nil)
	u.SetResourceVersion("")
	if conditions, ok, _ := unstructured.NestedSlice(u.Object, "status", "conditions"); ok {
		slices.SortFunc(conditions, func(a, b any) int {
			return cmp.Compare(a.(map[string]any)["type"].(string), b.(map[string]any)["type"].(string))
		})
		s.Expect(unstructured.SetNestedSlice(u.Object, conditions, "status", "conditions")).To(Succeed())
	}
	text, err := u.MarshalJSON()
	s.Expect(err).NotTo(HaveOccurred())
	text = bytes.ReplaceAll(text, []byte(s.domain), []byte("example.com"))
	text = bytes.ReplaceAll(text, []byte(s.namespace), []byte("mail"))
	text = anotherNamespace.ReplaceAll(text, []byte("other"))
	ids := slices.Compact(slices.Sorted(slices.Values(anID.FindAllString(string(text), -1))))
	text = anID.ReplaceAllFunc(text, func(id []byte) []byte {
		return fmt.Appendf(nil, "2026112212000%d0123abcd", slices.Index(ids, string(id)))
	})
	text = aTime.ReplaceAll(text, []byte("2026-11-22T12:00:00Z"))
	text = aPort.ReplaceAll(text, []byte("${1}443"))
	text = aUID.ReplaceAll(text, []byte("00000000-0000-4000-8000-000000000000"))
	text, err = yaml.JSONToYAML(text)
	s.Expect(err).NotTo(HaveOccurred())
	return string(text)
}

// is says whether a policy has conditions of these statuses, as "Ready=True".
func (s *story) is(p *v1alpha1.MTASTSPolicy, state v1alpha1.State, conditions ...string) func() bool {
	return func() bool {
		if err := s.api.Get(s.ctx, client.ObjectKeyFromObject(p), p); err != nil || p.Status.State != state {
			return false
		}
		has := map[string]bool{}
		for _, c := range p.Status.Conditions {
			has[c.Type+"="+string(c.Status)] = true
			has[c.Type+"="+c.Reason] = true
		}
		return !slices.ContainsFunc(conditions, func(c string) bool { return !has[c] })
	}
}

// explained says whether the publication is in a state, with one condition of this type and reason.
func (s *story) explained(state v1alpha1.State, kind, reason string) func() bool {
	return func() bool {
		pub := s.publication()
		return pub != nil && pub.Status.State == state && len(pub.Status.Conditions) == 1 &&
			pub.Status.Conditions[0].Type == kind && pub.Status.Conditions[0].Reason == reason
	}
}

func TestTheStatesOfAPolicyAreAsRecorded(t *testing.T) {
	t.Run("on its way, in force, changed, broken", func(t *testing.T) {
		s := setScene(t)
		s.allowAll()
		s.ExternalDNS.SetMode(harness.Off)
		p := s.policy()
		s.create(p)
		s.recorded(p, "new", s.is(p, ""))

		s.startOperator()
		s.recorded(p, "serving", s.is(p, v1alpha1.StateServing, "PolicyServed=True", "CertificateReady=True", "Reconciling=True"))
		s.ExternalDNS.SetMode(harness.NoTXT)
		s.recorded(p, "announcing", s.is(p, v1alpha1.StateAnnouncing, "PolicyReachable=True", "DNSPublished=Missing"))
		s.ExternalDNS.SetMode(harness.Sync)
		s.inForce(p)
		s.recorded(p, "in-force", s.is(p, v1alpha1.StateInForce, "Ready=True", "MXAligned=True"))
		s.Expect(s.waits(p)).To(Succeed())

		s.DNS.SetMX(s.domain, "mx1."+s.domain, "mx2."+s.domain)
		s.lookedAgain()
		s.recorded(p, "mx-refused", s.is(p, v1alpha1.StateInForce, "Ready=True", "MXAligned=False"))
		s.DNS.SetMX(s.domain, "mx1."+s.domain)
		s.clock.Step(5 * time.Minute) // resolvers may give the old answer for as long
		s.lookedAgain()
		s.Eventually(s.is(p, v1alpha1.StateInForce, "MXAligned=True")).Should(BeTrue())

		s.stopOperator()
		s.edit(p, withMaxAge(86400))
		s.recorded(p, "edited", s.is(p, v1alpha1.StateInForce, "Ready=True"))
		s.Expect(s.waits(p)).NotTo(Succeed(), "Ready was for another generation")
		s.ExternalDNS.SetMode(harness.CreateOnlyTXT)
		s.startOperator()
		s.recorded(p, "changing", s.is(p, v1alpha1.StateAnnouncing, "Ready=True", "Reconciling=True", "DNSPublished=Differs"))
		s.Expect(s.waits(p)).NotTo(Succeed(), "Ready was for another generation")
		s.ExternalDNS.SetMode(harness.Sync)
		s.inForce(p)

		s.rest()
		s.ExternalDNS.SetMode(harness.Off)
		s.DNS.SetTXT("_mta-sts." + s.domain)
		s.recorded(p, "broken", func() bool {
			s.lookedAgain()
			return s.is(p, v1alpha1.StateInForce, "Ready=False", "DNSPublished=Missing")()
		})
	})
	t.Run("held", func(t *testing.T) {
		s := setScene(t)
		s.timings.MXPatience = time.Hour
		s.timings.MXTries = 1000
		s.startOperator()
		p := s.policy(withMode(v1alpha1.ModeTesting))
		s.create(p)
		s.inForce(p)
		s.rest()
		s.DNS.SetFault(s.domain, harness.ServFail)
		s.edit(p, withMode(v1alpha1.ModeEnforce))
		s.recorded(p, "mx-lookup-pending", s.is(p, v1alpha1.StateHeld, "Ready=True", "Reconciling=MXLookupPending"))
		s.DNS.SetFault(s.domain, harness.NoFault)
		s.DNS.SetMX(s.domain, "mx1."+s.domain, "mx2."+s.domain)
		s.recorded(p, "held", s.is(p, v1alpha1.StateHeld, "Ready=False", "Stalled=UncoveredMX"))
	})
	t.Run("not followed", func(t *testing.T) {
		s := tell(t)
		p := s.policy()
		s.create(p)
		s.inForce(p)
		other := s.policy(withName("other"))
		s.create(other)
		s.recorded(other, "conflict", s.is(other, v1alpha1.StateConflict, "Stalled=DomainConflict"))

		s.settings = new(operator.Settings())
		s.settings.Domains = []config.DomainRule{{Namespaces: []string{"*"}, Allow: []string{"elsewhere.example"}}}
		s.stopOperator()
		s.startOperator()
		s.recorded(p, "not-allowed", s.is(p, v1alpha1.StateInForce, "Ready=False", "Stalled=DomainNotAllowed"))
	})
	t.Run("not reachable", func(t *testing.T) {
		s := tell(t)
		p := s.policy(behindNAT)
		s.create(p)
		s.recorded(p, "not-reachable", s.is(p, v1alpha1.StateServing, "Stalled=NotReachableFromCluster"))
	})
}

// waits is the error of kubectl wait for a policy to be Ready.
func (s *story) waits(p *v1alpha1.MTASTSPolicy) error {
	_, err := plane.Kubectl(s.ctx, "-n", p.Namespace, "wait", "--for=condition=Ready", "--timeout=1s", "mtasts/"+p.Name)
	return err
}

// lookedAgain makes the operator look at the domain before it would do so by itself.
func (s *story) lookedAgain() {
	s.t.Helper()
	s.clock.Step(2 * s.timings.LookInterval)
	s.touch(s.ingress(), "domain", s.passes("domain"))
}

func TestTheStatesOfAPublicationAreAsRecorded(t *testing.T) {
	t.Run("followed, then retiring", func(t *testing.T) {
		s := setScene(t)
		s.timings.RetireGrace = 10 * time.Minute
		s.timings.RemovePatience = 24 * time.Hour
		s.startOperator()
		p := s.policy()
		s.create(p)
		s.inForce(p)
		pub := s.publication()
		s.recorded(pub, "in-force", s.follows)

		s.pruned(p)
		s.recorded(pub, "grace", s.explained(v1alpha1.StateInForce, v1alpha1.ConditionReconciling, v1alpha1.ReasonRetiring))
		s.ExternalDNS.SetMode(harness.Off)
		s.clock.Step(time.Hour)
		s.touch(pub, "domain", 1)
		s.recorded(pub, "retiring-stalled", s.explained(v1alpha1.StateRetiring, v1alpha1.ConditionStalled, v1alpha1.ReasonDiffers))
		s.ExternalDNS.SetMode(harness.Sync)
		s.recorded(pub, "retiring", s.explained(v1alpha1.StateRetiring, v1alpha1.ConditionReconciling, v1alpha1.ReasonRetiring))
	})
	t.Run("removed", func(t *testing.T) {
		s := setScene(t)
		s.timings.RemovePatience = 24 * time.Hour
		s.startOperator()
		p := s.policy(withMode(v1alpha1.ModeTesting))
		s.create(p)
		s.inForce(p)
		pub := s.publication()
		s.ExternalDNS.SetMode(harness.UpsertOnly)
		s.pruned(p)
		s.recorded(pub, "removing-stalled", s.explained(v1alpha1.StateRemoving, v1alpha1.ConditionStalled, v1alpha1.ReasonStillAnswered))
		s.ExternalDNS.SetMode(harness.Sync)
		s.recorded(pub, "removing", s.explained(v1alpha1.StateRemoving, v1alpha1.ConditionReconciling, v1alpha1.ReasonRetiring))
	})
	t.Run("orphaned", func(t *testing.T) {
		s := tell(t)
		p := s.policy(withDeletion(v1alpha1.DeletionOrphan))
		s.create(p)
		s.inForce(p)
		s.pruned(p)
		s.recorded(s.publication(), "orphaned", s.explained(v1alpha1.StateOrphaned, v1alpha1.ConditionReady, v1alpha1.ReasonOrphaned))
	})
	t.Run("a second one, as a restored namespace holds it", func(t *testing.T) {
		s := tell(t)
		s.create(s.policy())
		s.Eventually(s.follows).Should(BeTrue())
		first := s.publication()
		s.younger(first)
		second := &v1alpha1.MTASTSPublication{Spec: first.Spec}
		second.Namespace, second.Name, second.Labels = s.newNamespace("other-"), first.Name, first.Labels
		s.create(second)
		s.recorded(second, "conflict", func() bool {
			s.Expect(s.api.Get(s.ctx, client.ObjectKeyFromObject(second), second)).To(Succeed())
			return second.Status.State == v1alpha1.StateConflict
		})
	})
}

// follows says whether the publication is in force for a policy.
func (s *story) follows() bool {
	pub := s.publication()
	return pub != nil && pub.Spec.InForceID != "" && pub.Status.State == "" && pub.Status.ObservedGeneration == 0
}
