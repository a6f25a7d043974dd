package controllers

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/controllers/internal/publication"
)

// policyMetrics shows every policy and publication at each scrape, from the cache: what is gone from the
// cluster is gone from the metrics, and nothing is counted twice after a restart. Labels are names of
// objects and constants of the API.
type policyMetrics struct {
	reader client.Reader
	// elected is closed once this replica leads: the others show nothing, so that no policy shows twice.
	elected <-chan struct{}

	states, undecided, info, ready, problem, pending, notAfter, mx, refused, ledger, gap, until, stalled *prometheus.Desc
}

// Reasons why senders refuse a live MX host, as a label.
const (
	refusedUncovered = "uncovered"
	refusedSTARTTLS  = "starttls"
	refusedCached    = "cached"
)

func newPolicyMetrics(reader client.Reader, elected <-chan struct{}) *policyMetrics {
	policy := func(name, help string, more ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, append([]string{"namespace", "name", "domain"}, more...), nil)
	}
	publication := func(name, help string, more ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, append([]string{"namespace", "domain"}, more...), nil)
	}
	return &policyMetrics{
		reader: reader, elected: elected,
		states: prometheus.NewDesc("mtasts_publications", "Publications by state.", []string{"state"}, nil),
		undecided: prometheus.NewDesc("mtasts_domains_undecided",
			"Domains that policies claim and nobody publishes, because it is not decided whose they are.", nil, nil),
		info:     policy("mtasts_policy_info", "1 for every policy, with its state and the mode that is served.", "state", "mode"),
		ready:    policy("mtasts_policy_ready", "1 if the policy as it is written is in force, else 0."),
		problem:  policy("mtasts_policy_problem", "1 for every condition that is False, with its reason.", "condition", "reason"),
		pending:  policy("mtasts_policy_pending_since_timestamp_seconds", "Unix time since when a change waits, or is held; absent while none does."),
		notAfter: policy("mtasts_policy_certificate_not_after_timestamp_seconds", "Unix time at which the policy host's certificate ends."),
		mx:       policy("mtasts_policy_mx_hosts", "Live MX hosts of the domain."),
		refused:  policy("mtasts_policy_mx_refused", "Live MX hosts that senders refuse, or would refuse under mode enforce, by why: uncovered, starttls or cached.", "why"),
		ledger:   publication("mtasts_publication_ledger_entries", "Superseded enforce policies that senders may still hold."),
		gap:      publication("mtasts_publication_unknown_policies", "1 while senders may hold policies that nobody knows since a restore."),
		until:    publication("mtasts_publication_until_timestamp_seconds", "Unix time at which a retirement is expected to go on or end; absent while there is none."),
		stalled:  publication("mtasts_publication_stalled", "1 for every publication that does not go on without somebody, with its reason.", "reason"),
	}
}

// Describe implements prometheus.Collector.
func (m *policyMetrics) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		m.states, m.undecided, m.info, m.ready, m.problem, m.pending, m.notAfter, m.mx, m.refused, m.ledger, m.gap, m.until, m.stalled,
	} {
		out <- d
	}
}

// scrapeTimeout bounds a scrape whose cache has not been filled yet.
const scrapeTimeout = 5 * time.Second

// Collect implements prometheus.Collector.
func (m *policyMetrics) Collect(out chan<- prometheus.Metric) {
	select {
	case <-m.elected:
	default:
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout)
	defer cancel()
	var policies v1alpha1.MTASTSPolicyList
	var publications v1alpha1.MTASTSPublicationList
	for _, list := range []client.ObjectList{&policies, &publications} {
		// Nothing below changes an object.
		if err := m.reader.List(ctx, list, client.UnsafeDisableDeepCopy); err != nil {
			out <- prometheus.NewInvalidMetric(m.states, err)
			return
		}
	}
	told := map[string]v1alpha1.State{}
	for i := range policies.Items {
		p := &policies.Items[i]
		m.collectPolicy(out, p)
		told[string(p.UID)] = p.Status.State
	}
	m.collectPublications(out, publications.Items, told)
	out <- prometheus.MustNewConstMetric(m.undecided, prometheus.GaugeValue, float64(undecidedDomains(policies.Items, publications.Items)))
}

// undecidedDomains counts the domains without a publication whose policies wait for somebody to say whose they are.
func undecidedDomains(policies []v1alpha1.MTASTSPolicy, publications []v1alpha1.MTASTSPublication) int {
	domains := map[string]bool{}
	for i := range policies {
		p := &policies[i]
		stalled := apimeta.FindStatusCondition(p.Status.Conditions, v1alpha1.ConditionStalled)
		if stalled != nil && (p.Status.State == v1alpha1.StatePending || stalled.Reason == v1alpha1.ReasonDomainConflict) {
			domains[p.Spec.Domain] = true
		}
	}
	for i := range publications {
		delete(domains, publications[i].Spec.Domain)
	}
	return len(domains)
}

func (m *policyMetrics) collectPolicy(out chan<- prometheus.Metric, p *v1alpha1.MTASTSPolicy) {
	gauge := func(d *prometheus.Desc, value float64, more ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, append([]string{p.Namespace, p.Name, p.Spec.Domain}, more...)...)
	}
	mode := ""
	if p.Status.Policy != nil {
		mode = string(p.Status.Policy.Mode)
	}
	gauge(m.info, 1, string(p.Status.State), mode)
	ready := 0.0
	for _, c := range p.Status.Conditions {
		current := c.ObservedGeneration == p.Generation && c.Status == metav1.ConditionTrue
		switch {
		case c.Status == metav1.ConditionFalse:
			gauge(m.problem, 1, c.Type, c.Reason)
		case c.Type == v1alpha1.ConditionReady && current:
			ready = 1
		case c.Type == v1alpha1.ConditionReconciling || c.Type == v1alpha1.ConditionStalled:
			gauge(m.pending, seconds(c.LastTransitionTime))
		}
	}
	gauge(m.ready, ready)
	if p.Status.CertificateNotAfter != nil {
		gauge(m.notAfter, seconds(*p.Status.CertificateNotAfter))
	}
	live, refused := countMX(p.Status.MX)
	gauge(m.mx, float64(live))
	for why, n := range refused {
		gauge(m.refused, float64(n), why)
	}
}

// countMX counts the live hosts, and those that senders refuse, by why.
func countMX(hosts []v1alpha1.MXHost) (live int, refused map[string]int) {
	refused = map[string]int{refusedUncovered: 0, refusedSTARTTLS: 0, refusedCached: 0}
	for _, h := range hosts {
		if h.State == v1alpha1.MXPrepared {
			continue
		}
		live++
		switch {
		case h.State == v1alpha1.MXUncovered:
			refused[refusedUncovered]++
		case h.STARTTLS != nil && h.STARTTLS.State == v1alpha1.STARTTLSFails:
			refused[refusedSTARTTLS]++
		case h.SafeAfter != nil:
			refused[refusedCached]++
		}
	}
	return live, refused
}

// collectPublications takes the states of those that have a policy from what that tells: by UID.
func (m *policyMetrics) collectPublications(out chan<- prometheus.Metric, publications []v1alpha1.MTASTSPublication, told map[string]v1alpha1.State) {
	states := map[v1alpha1.State]int{}
	for i := range publications {
		p := &publications[i]
		state := p.Status.State
		if state == "" && p.Spec.PolicyRef != nil {
			state = told[p.Spec.PolicyRef.UID]
		}
		states[state]++
		out <- prometheus.MustNewConstMetric(m.ledger, prometheus.GaugeValue, float64(len(p.Spec.Ledger)), p.Namespace, p.Spec.Domain)
		if publication.Gap(&p.Spec) != nil {
			out <- prometheus.MustNewConstMetric(m.gap, prometheus.GaugeValue, 1, p.Namespace, p.Spec.Domain)
		}
		if p.Status.Until != nil {
			out <- prometheus.MustNewConstMetric(m.until, prometheus.GaugeValue, seconds(*p.Status.Until), p.Namespace, p.Spec.Domain)
		}
		if c := apimeta.FindStatusCondition(p.Status.Conditions, v1alpha1.ConditionStalled); c != nil && c.Status == metav1.ConditionTrue {
			out <- prometheus.MustNewConstMetric(m.stalled, prometheus.GaugeValue, 1, p.Namespace, p.Spec.Domain, c.Reason)
		}
	}
	for _, state := range v1alpha1.States() {
		out <- prometheus.MustNewConstMetric(m.states, prometheus.GaugeValue, float64(states[state]), string(state))
	}
}

func seconds(t metav1.Time) float64 { return float64(t.Unix()) }
