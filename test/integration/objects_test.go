package integration

import (
	"fmt"
	"strings"

	. "github.com/onsi/gomega"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	externaldnsv1alpha1 "sigs.k8s.io/external-dns/apis/v1alpha1"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
)

// policy is a policy for the story's domain, changed by the edits.
func (s *story) policy(edits ...func(*v1alpha1.MTASTSPolicy)) *v1alpha1.MTASTSPolicy {
	p := &v1alpha1.MTASTSPolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "policy"},
		Spec: v1alpha1.MTASTSPolicySpec{
			Domain: s.domain, Mode: v1alpha1.ModeEnforce, MX: []string{"mx1." + s.domain},
			TLSReporting: &v1alpha1.TLSReporting{RUA: []string{"mailto:tls-reports@" + s.domain}},
		},
	}
	for _, edit := range edits {
		edit(p)
	}
	return p
}

func withMode(m v1alpha1.Mode) func(*v1alpha1.MTASTSPolicy) {
	return func(p *v1alpha1.MTASTSPolicy) { p.Spec.Mode = m }
}

func withMaxAge(seconds int32) func(*v1alpha1.MTASTSPolicy) {
	return func(p *v1alpha1.MTASTSPolicy) { p.Spec.MaxAgeSeconds = seconds }
}

func withName(name string) func(*v1alpha1.MTASTSPolicy) {
	return func(p *v1alpha1.MTASTSPolicy) { p.Name = name }
}

func inNamespace(namespace string) func(*v1alpha1.MTASTSPolicy) {
	return func(p *v1alpha1.MTASTSPolicy) { p.Namespace = namespace }
}

func (s *story) create(objects ...client.Object) {
	s.t.Helper()
	for _, o := range objects {
		s.Expect(s.api.Create(s.ctx, o)).To(Succeed())
	}
}

// edit changes a policy, again and again until nobody else's write comes between.
func (s *story) edit(p *v1alpha1.MTASTSPolicy, edits ...func(*v1alpha1.MTASTSPolicy)) {
	s.t.Helper()
	s.Eventually(func() error {
		if err := s.api.Get(s.ctx, client.ObjectKeyFromObject(p), p); err != nil {
			return err
		}
		for _, edit := range edits {
			edit(p)
		}
		return s.api.Update(s.ctx, p)
	}).Should(Succeed())
}

// publication reads the domain's publication; nil if there is none.
func (s *story) publication() *v1alpha1.MTASTSPublication {
	var list v1alpha1.MTASTSPublicationList
	s.Expect(s.api.List(s.ctx, &list, client.MatchingFields{"metadata.name": s.domain})).To(Succeed())
	if len(list.Items) == 0 {
		return nil
	}
	return &list.Items[0]
}

// inForce waits until a policy is Ready for its newest generation, and returns the id in force.
func (s *story) inForce(p *v1alpha1.MTASTSPolicy) string {
	s.t.Helper()
	s.Eventually(func() string { return s.readiness(p) }).Should(Equal("InForce"))
	return p.Status.Policy.ID
}

// readiness is "InForce", or everything that there is to know about why not.
func (s *story) readiness(p *v1alpha1.MTASTSPolicy) string {
	if err := s.api.Get(s.ctx, client.ObjectKeyFromObject(p), p); err != nil {
		return err.Error()
	}
	ready := apimeta.FindStatusCondition(p.Status.Conditions, v1alpha1.ConditionReady)
	if ready != nil && ready.Status == metav1.ConditionTrue && ready.ObservedGeneration == p.Generation && p.Status.State == v1alpha1.StateInForce {
		return "InForce"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "generation %d, state %q\n", p.Generation, p.Status.State)
	for _, c := range p.Status.Conditions {
		fmt.Fprintf(&b, "%s=%s (%s, generation %d): %s\n", c.Type, c.Status, c.Reason, c.ObservedGeneration, c.Message)
	}
	return b.String()
}

// condition reads one condition of a policy as "Status/Reason: message".
func (s *story) condition(p *v1alpha1.MTASTSPolicy, kind string) func() string {
	return func() string {
		if err := s.api.Get(s.ctx, client.ObjectKeyFromObject(p), p); err != nil {
			return err.Error()
		}
		c := apimeta.FindStatusCondition(p.Status.Conditions, kind)
		if c == nil {
			return "absent"
		}
		return string(c.Status) + "/" + c.Reason + ": " + c.Message
	}
}

// txt is what DNS answers for the domain's id.
func (s *story) txt() []string { return s.DNS.Records(mtasts.RecordName(s.domain), "TXT") }

// announces is the TXT record of an id.
func announces(id string) []string { return []string{mtasts.Record{ID: id}.String()} }

// body fetches the policy as a strict sender; the error's text if that fails.
func (s *story) body() string {
	resp, err := s.Fetch(s.ctx, mtasts.PolicyHost(s.domain))
	if err != nil {
		return err.Error()
	}
	return resp.Body
}

func (s *story) endpoint(name string) *externaldnsv1alpha1.DNSEndpoint {
	e := &externaldnsv1alpha1.DNSEndpoint{}
	s.Expect(s.api.Get(s.ctx, client.ObjectKey{Namespace: s.namespace, Name: name}, e)).To(Succeed())
	return e
}
