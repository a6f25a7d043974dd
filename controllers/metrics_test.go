package controllers

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/internal/sender"
)

// listed is a cache that holds these objects.
type listed struct {
	client.Reader

	policies     []v1alpha1.MTASTSPolicy
	publications []v1alpha1.MTASTSPublication
	err          error
}

func (l listed) List(_ context.Context, list client.ObjectList, _ ...client.ListOption) error {
	switch list := list.(type) {
	case *v1alpha1.MTASTSPolicyList:
		list.Items = l.policies
	case *v1alpha1.MTASTSPublicationList:
		list.Items = l.publications
	}
	return l.err
}

func elected() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}

func TestMetricsShowEveryPolicyAsItsStatusDoes(t *testing.T) {
	s := inForceScope()
	s.cached(24 * time.Hour)
	s.winner.Status = s.testStatus()
	s.winner.Status.CertificateNotAfter = new(metav1.NewTime(time.Unix(1_800_000_000, 0)))
	s.winner.Generation++ // an edit that has not been seen yet
	retiring := testPublication("sales", "q")
	retiring.Spec.Domain = "example.org"
	retiring.Status.State, retiring.Status.Until = v1alpha1.StateRetiring, new(metav1.NewTime(time.Unix(1_800_000_000, 0)))
	retiring.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionStalled, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonNotReachableFromCluster}}
	m := newPolicyMetrics(listed{policies: []v1alpha1.MTASTSPolicy{*s.winner}, publications: []v1alpha1.MTASTSPublication{*s.publication, retiring}}, elected())
	want := `# HELP mtasts_domains_undecided Domains that policies claim and nobody publishes, because it is not decided whose they are.
# TYPE mtasts_domains_undecided gauge
mtasts_domains_undecided 0

# HELP mtasts_policy_certificate_not_after_timestamp_seconds Unix time at which the policy host's certificate ends.
# TYPE mtasts_policy_certificate_not_after_timestamp_seconds gauge
mtasts_policy_certificate_not_after_timestamp_seconds{domain="example.com",name="p",namespace="mail"} 1.8e+09
# HELP mtasts_policy_info 1 for every policy, with its state and the mode that is served.
# TYPE mtasts_policy_info gauge
mtasts_policy_info{domain="example.com",mode="enforce",name="p",namespace="mail",state="InForce"} 1
# HELP mtasts_policy_mx_hosts Live MX hosts of the domain.
# TYPE mtasts_policy_mx_hosts gauge
mtasts_policy_mx_hosts{domain="example.com",name="p",namespace="mail"} 1
# HELP mtasts_policy_mx_refused Live MX hosts that senders refuse, or would refuse under mode enforce, by why: uncovered, starttls or cached.
# TYPE mtasts_policy_mx_refused gauge
mtasts_policy_mx_refused{domain="example.com",name="p",namespace="mail",why="cached"} 1
mtasts_policy_mx_refused{domain="example.com",name="p",namespace="mail",why="starttls"} 0
mtasts_policy_mx_refused{domain="example.com",name="p",namespace="mail",why="uncovered"} 0
# HELP mtasts_policy_problem 1 for every condition that is False, with its reason.
# TYPE mtasts_policy_problem gauge
mtasts_policy_problem{condition="MXAligned",domain="example.com",name="p",namespace="mail",reason="CachedPoliciesRefuse"} 1
# HELP mtasts_policy_ready 1 if the policy as it is written is in force, else 0.
# TYPE mtasts_policy_ready gauge
mtasts_policy_ready{domain="example.com",name="p",namespace="mail"} 0
# HELP mtasts_publication_ledger_entries Superseded enforce policies that senders may still hold.
# TYPE mtasts_publication_ledger_entries gauge
mtasts_publication_ledger_entries{domain="example.com",namespace="mail"} 1
mtasts_publication_ledger_entries{domain="example.org",namespace="sales"} 0
# HELP mtasts_publication_stalled 1 for every publication that does not go on without somebody, with its reason.
# TYPE mtasts_publication_stalled gauge
mtasts_publication_stalled{domain="example.org",namespace="sales",reason="NotReachableFromCluster"} 1
# HELP mtasts_publication_until_timestamp_seconds Unix time at which a retirement is expected to go on or end; absent while there is none.
# TYPE mtasts_publication_until_timestamp_seconds gauge
mtasts_publication_until_timestamp_seconds{domain="example.org",namespace="sales"} 1.8e+09
# HELP mtasts_publications Publications by state.
# TYPE mtasts_publications gauge
mtasts_publications{state="Announcing"} 0
mtasts_publications{state="Conflict"} 0
mtasts_publications{state="Held"} 0
mtasts_publications{state="InForce"} 1
mtasts_publications{state="Orphaned"} 0
mtasts_publications{state="Pending"} 0
mtasts_publications{state="Removing"} 0
mtasts_publications{state="Retiring"} 1
mtasts_publications{state="Serving"} 0
`
	if err := testutil.CollectAndCompare(m, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
	if problems, err := testutil.CollectAndLint(m); err != nil || len(problems) > 0 {
		t.Errorf("%v %v", problems, err)
	}
}

func TestUndecidedDomainsAreCountedOnce(t *testing.T) {
	stalled := func(domain, name, reason string, state v1alpha1.State) v1alpha1.MTASTSPolicy {
		p := testPolicy("a", name, 1)
		p.Spec.Domain, p.Status.State = domain, state
		p.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionStalled, Status: metav1.ConditionTrue, Reason: reason}}
		return p
	}
	policies := []v1alpha1.MTASTSPolicy{
		stalled("two.example", "p", v1alpha1.ReasonDomainConflict, v1alpha1.StateConflict),
		stalled("two.example", "q", v1alpha1.ReasonDomainConflict, v1alpha1.StateConflict),
		stalled("waits.example", "p", v1alpha1.ReasonObserving, v1alpha1.StatePending),
		stalled(testDomain, "p", v1alpha1.ReasonDomainConflict, v1alpha1.StateConflict),
		stalled("no.example", "p", v1alpha1.ReasonDomainNotAllowed, v1alpha1.StateConflict),
		stalled("odd.example", "p", v1alpha1.ReasonInvalidPolicy, v1alpha1.StateConflict),
	}
	if n := undecidedDomains(policies, []v1alpha1.MTASTSPublication{testPublication("b", "p")}); n != 2 {
		t.Errorf("%d, want two.example and waits.example", n)
	}
}

func TestAWaitingChangeShowsSinceWhen(t *testing.T) {
	s := inForceScope()
	s.decision.State, s.decision.Reason = v1alpha1.StateServing, v1alpha1.ReasonReplicaLagging
	s.winner.Status = s.testStatus()
	m := newPolicyMetrics(listed{policies: []v1alpha1.MTASTSPolicy{*s.winner}}, elected())
	if n := testutil.CollectAndCount(m, "mtasts_policy_pending_since_timestamp_seconds"); n != 1 {
		t.Errorf("%d series", n)
	}
}

func TestOnlyTheLeaderShowsPolicies(t *testing.T) {
	m := newPolicyMetrics(listed{policies: []v1alpha1.MTASTSPolicy{testPolicy("mail", "p", 1)}}, make(chan struct{}))
	if n := testutil.CollectAndCount(m); n != 0 {
		t.Errorf("%d series", n)
	}
}

func TestACacheThatCannotBeReadFailsTheScrape(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(newPolicyMetrics(listed{err: errors.New("not synced")}, elected()))
	if _, err := reg.Gather(); err == nil || !strings.Contains(err.Error(), "not synced") {
		t.Errorf("got %v", err)
	}
}

// stillWorld answers every look with the zero value.
type stillWorld struct{ World }

func (stillWorld) LookupMX(context.Context, string) sender.MX { return sender.MX{Status: sender.Found} }

func (stillWorld) ProbeMXAddress(context.Context, string, netip.Addr) sender.MXAddress {
	return sender.MXAddress{Outcome: sender.Pass}
}

func TestEveryLookIsTimed(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	w := timed(stillWorld{}, reg)
	w.LookupMX(t.Context(), "example.com")
	w.ProbeMXAddress(t.Context(), "mx.example.com", netip.Addr{})
	w.ProbeMXAddress(t.Context(), "mx.example.com", netip.Addr{})
	if n, err := testutil.GatherAndCount(reg, "mtasts_look_duration_seconds"); n != 2 || err != nil {
		t.Errorf("%d series, %v", n, err)
	}
}
