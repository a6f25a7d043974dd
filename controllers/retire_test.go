package controllers

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	externaldnsv1alpha1 "sigs.k8s.io/external-dns/apis/v1alpha1"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/controllers/internal/publication"
	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
)

const deletesIt = "kubectl -n mail delete mtastspublication " + testDomain

// retiringScope is a domain whose policy is gone for two hours: mode none was announced an hour ago,
// and DNS still answers the enforce policy's id, which is in the ledger.
func retiringScope() *scope {
	s := inForceScope()
	s.winner = nil
	spec := &s.publication.Spec
	older := spec.Current.ID
	body := mtasts.Policy{Mode: mtasts.ModeNone, MX: spec.Current.MX, MaxAgeSeconds: 86400}.String()
	minted, _ := mtasts.MintID(testNow.Add(-time.Hour), mtasts.ID(older), body)
	id := string(minted)
	spec.Ledger = []v1alpha1.LedgerEntry{{ID: older, MX: spec.Current.MX, MaxAgeSeconds: 604800, Origin: v1alpha1.OriginSuperseded}}
	spec.Current = &v1alpha1.Instance{ID: id, Mode: v1alpha1.ModeNone, MX: spec.Current.MX, MaxAgeSeconds: 86400, Body: body}
	spec.LastID, spec.AnnouncedID = id, id
	spec.PolicyGoneAt = new(metav1.NewTime(testNow.Add(-2 * time.Hour)))
	spec.Retirement = &v1alpha1.Retirement{StartedAt: metav1.NewTime(testNow.Add(-110 * time.Minute))}
	s.txtEndpoint = &externaldnsv1alpha1.DNSEndpoint{}
	s.txtEndpoint.Generation, s.txtEndpoint.Status.ObservedGeneration = 2, 2
	s.observation.TXTObject = id
	s.observation.DNS.Tried = failing(9, time.Hour)
	s.observation.Public.For = id
	s.decision = publication.Decision{State: v1alpha1.StateRetiring, Reason: v1alpha1.ReasonAnnouncing, Message: "waiting", Spec: spec}
	return s
}

// removingScope is one whose record was taken away an hour ago, and whose DNS still answers it.
func removingScope() *scope {
	s := retiringScope()
	spec := &s.publication.Spec
	spec.Ledger, spec.InForceID = nil, spec.AnnouncedID
	spec.Retirement.RemovingSince = new(metav1.NewTime(testNow.Add(-time.Hour)))
	s.txtEndpoint, s.observation.TXTObject = nil, ""
	s.observation.DNS.IDs = []string{spec.AnnouncedID}
	s.decision.State, s.decision.Reason = v1alpha1.StateRemoving, v1alpha1.ReasonRetiring
	s.decision.Until = testNow.Add(23 * time.Hour)
	return s
}

func (s *scope) testCondition(kinds *optionalKinds) metav1.Condition {
	return (&retiree{scope: s, kinds: kinds, now: testNow, t: publication.DefaultTimings()}).condition()
}

// servesOlder makes a pod lag behind mode none, which then is not announced yet.
func servesOlder(problem string, since time.Duration) func(*scope) {
	return func(s *scope) {
		spec := &s.publication.Spec
		spec.AnnouncedID = spec.Ledger[0].ID
		s.observation.TXTObject = spec.AnnouncedID
		s.observation.Servers = publication.Servers{
			Known: true, Ready: 1, Since: testNow.Add(-since),
			Behind: []publication.Behind{{Pod: "pod-b", Node: "n2", Problem: problem, ID: spec.AnnouncedID}},
		}
		s.decision.Reason, s.decision.Message = publication.Lag(s.observation.Servers, spec.Current.ID)
	}
}

func inForceNone(s *scope) {
	spec := &s.publication.Spec
	spec.InForceID = spec.AnnouncedID
	s.observation.DNS.IDs = []string{spec.AnnouncedID}
	s.observation.DNS.Records = []string{mtasts.Record{ID: spec.AnnouncedID}.String()}
	s.observation.DNS.Tried = publication.Tried{At: testNow}
	s.decision.Reason, s.decision.Message = v1alpha1.ReasonRetiring, "senders may hold"
}

// inTheDark is when DNS answers no id any more, although mode none was never announced.
func inTheDark(s *scope) {
	spec := &s.publication.Spec
	spec.AnnouncedID, spec.InForceID = spec.Ledger[0].ID, ""
	spec.Retirement.AbsentSince = new(metav1.NewTime(testNow.Add(-time.Hour)))
	s.observation.DNS = &publication.DNS{Answer: publication.Absent, Tried: failing(9, time.Hour), Gone: failing(9, time.Hour)}
	s.decision.Reason, s.decision.Message = v1alpha1.ReasonRetiring, "senders may hold"
}

func TestARetirementThatCannotEndSaysWhyAndTheWayOut(t *testing.T) {
	manual := func(s *scope) { s.settings.Provider, s.txtEndpoint = v1alpha1.DNSManual, nil }
	none := retiringScope().publication.Spec.AnnouncedID
	for name, tt := range map[string]struct {
		scope  *scope
		change func(*scope)
		kinds  *optionalKinds
		want   string
		hints  []string
	}{
		"DNS has ten minutes' time": {change: func(s *scope) {
			s.publication.Spec.AnnouncedAt = new(metav1.NewTime(testNow.Add(-9 * time.Minute)))
		}, want: "Reconciling/Announcing", hints: []string{"waiting"}},
		"external-dns does not read its objects": {
			change: func(s *scope) { s.txtEndpoint.Status.ObservedGeneration = 1 },
			want:   "Stalled/Differs", hints: []string{"has not read DNSEndpoint mail/mta-sts-id." + testDomain, "start it, with --source=crd", deletesIt},
		},
		"external-dns reads its objects and does nothing": {
			want: "Stalled/Differs", hints: []string{"has read DNSEndpoint mail/", "own the record", "v0.22", "--policy=sync", "go on enforcing policy", deletesIt},
		},
		"the person did not change the record": {
			change: manual, want: "Stalled/Differs",
			hints: []string{`publish TXT "v=STSv1; id=` + none + `;" at _mta-sts.` + testDomain, deletesIt},
		},
		"the person is told at once": {
			change: func(s *scope) {
				manual(s)
				s.publication.Spec.AnnouncedAt = new(metav1.NewTime(testNow.Add(-9 * time.Second)))
			},
			want: "Stalled/Differs", hints: []string{"publish TXT"},
		},
		"the person's DNS gives no answer for a moment": {
			change: func(s *scope) {
				manual(s)
				s.publication.Spec.AnnouncedAt = new(metav1.NewTime(testNow.Add(-9 * time.Second)))
				s.observation.DNS.Answer = publication.Unknown
			},
			want: "Reconciling/Announcing",
		},
		"somebody else publishes the domain": {
			change: func(s *scope) { s.observation.DNS.IDs = []string{"theirs"} },
			want:   "Stalled/ForeignPublisher", hints: []string{"theirs", deletesIt},
		},
		"DNS gives no answer": {
			change: func(s *scope) {
				*s.observation.DNS = publication.DNS{Answer: publication.Unknown, Message: "SERVFAIL", Tried: failing(9, time.Hour)}
			},
			want: "Stalled/LookupFailed", hints: []string{"SERVFAIL", deletesIt},
		},
		"external-dns' kind is gone": {
			change: func(s *scope) { s.txtEndpoint, s.observation.TXTObject = nil, "" },
			kinds:  &optionalKinds{}, want: "Stalled/CRDNotInstalled", hints: []string{"install external-dns", deletesIt},
		},
		"an object in the way": {
			change: func(s *scope) { s.observation.TXTObject, s.taken = "", "DNSEndpoint x exists" },
			want:   "Stalled/NameTaken", hints: []string{"DNSEndpoint x exists", deletesIt},
		},
		"an Ingress in the way of nothing": {
			change: func(s *scope) { s.taken = "Ingress x exists" }, want: "Stalled/Differs",
		},
		"pods that lag for a moment": {
			change: servesOlder(v1alpha1.ReasonReplicaLagging, time.Minute), want: "Reconciling/ReplicaLagging", hints: []string{"pod-b"},
		},
		"pods that lag for long": {
			change: servesOlder(v1alpha1.ReasonReplicaLagging, time.Hour), want: "Stalled/ReplicaLagging",
			hints: []string{"pod-b", "kubectl -n mail delete pod pod-b", deletesIt},
		},
		"a pod on a lost node": {
			change: servesOlder(v1alpha1.ReasonReplicaUnreachable, time.Hour), want: "Stalled/ReplicaUnreachable",
			hints: []string{"node n2", "kubectl -n mail delete pod pod-b --force", deletesIt},
		},
		"another policy at the URL": {
			change: func(s *scope) {
				s.publication.Spec.AnnouncedID = s.publication.Spec.Ledger[0].ID
				s.observation.Public.Outcome, s.observation.Public.Tried = publication.WrongBody, failing(9, time.Hour)
				s.decision.Reason, s.decision.Message = v1alpha1.ReasonWrongBody, "another policy"
			},
			want: "Stalled/WrongBody", hints: []string{"another policy. Or", deletesIt},
		},
		"nothing but time": {change: inForceNone, want: "Reconciling/Retiring", hints: []string{"senders may hold"}},
		"DNS that went back": {
			change: func(s *scope) {
				inForceNone(s)
				s.observation.DNS.IDs, s.observation.DNS.Tried = []string{s.publication.Spec.Ledger[0].ID}, failing(4, time.Hour)
			},
			want: "Stalled/Differs", hints: []string{deletesIt},
		},
		"pods that went back": {
			change: func(s *scope) {
				servesOlder(v1alpha1.ReasonReplicaLagging, time.Hour)(s)
				s.publication.Spec.AnnouncedID = none
				inForceNone(s)
			},
			want: "Stalled/ReplicaLagging", hints: []string{"pod-b", deletesIt},
		},
		"DNS that went away when every date is known": {
			change: func(s *scope) {
				inForceNone(s)
				s.publication.Spec.Ledger[0].CachedUntil = new(metav1.NewTime(testNow.Add(time.Hour)))
				s.observation.DNS.IDs, s.observation.DNS.Tried = nil, failing(4, time.Hour)
			},
			want: "Reconciling/Retiring",
		},
		"records that went before the policy": {
			change: func(s *scope) { inTheDark(s) }, want: "Reconciling/Retiring", hints: []string{"senders may hold"},
		},
		"records that went before the policy, and a pod that lags": {
			change: func(s *scope) {
				servesOlder(v1alpha1.ReasonReplicaLagging, time.Hour)(s)
				s.publication.Spec.Retirement.AbsentSince = new(metav1.NewTime(testNow.Add(-time.Hour)))
			},
			want: "Stalled/ReplicaLagging", hints: []string{"pod-b", deletesIt},
		},
		"records that went before the policy, and an object that does not": {
			change: func(s *scope) { inTheDark(s); s.failed = errors.New("no endpoints available for service") },
			want:   "Stalled/ApplyFailed", hints: []string{"no endpoints", deletesIt},
		},
		"a record that was just taken away": {
			scope: removingScope(),
			change: func(s *scope) {
				s.publication.Spec.Retirement.RemovingSince = new(metav1.NewTime(testNow.Add(-time.Minute)))
			},
			want: "Reconciling/Retiring", hints: []string{"waiting"},
		},
		"a record that external-dns does not remove": {
			scope: removingScope(), want: "Stalled/StillAnswered",
			hints: []string{none, "--policy=sync", "upsert-only", "2026-03-02T11:00:00Z everything else is removed"},
		},
		"a record that the person does not remove": {
			scope: removingScope(), change: manual, want: "Stalled/StillAnswered", hints: []string{"remove the TXT record at _mta-sts." + testDomain},
		},
		"a record that the person has not removed yet": {
			scope: removingScope(),
			change: func(s *scope) {
				manual(s)
				s.publication.Spec.Retirement.RemovingSince = new(metav1.NewTime(testNow.Add(-9 * time.Second)))
			},
			want: "Stalled/StillAnswered", hints: []string{"at _mta-sts." + testDomain + ": remove the TXT record"},
		},
		"a record that is gone": {
			scope: removingScope(),
			change: func(s *scope) {
				s.publication.Spec.Retirement.AbsentSince = new(metav1.NewTime(testNow))
			},
			want: "Reconciling/Retiring",
		},
		"many policies that disappeared": {
			change: func(s *scope) {
				s.publication.Spec.Retirement = nil
				s.decision.Reason, s.decision.Message, s.decision.Stalled = v1alpha1.ReasonRetirementHeld, "annotate it", true
			},
			want: "Stalled/RetirementHeld", hints: []string{"annotate it"},
		},
		"the grace": {
			change: func(s *scope) {
				s.publication.Spec.Retirement, s.decision.Message, s.decision.Reason = nil, "", ""
				s.publication.Spec.PolicyGoneAt = new(metav1.NewTime(testNow))
			},
			want: "Reconciling/Retiring", hints: []string{"deletionPolicy Drain", "from 2026-03-01T12:10:00Z on"},
		},
		"an orphan": {
			change: func(s *scope) { s.decision.State, s.decision.Reason = v1alpha1.StateOrphaned, "" },
			want:   "Ready/Orphaned", hints: []string{"everything stays", deletesIt},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, kinds := tt.scope, tt.kinds
			if s == nil {
				s = retiringScope()
			}
			if kinds == nil {
				kinds = allKinds()
			}
			if tt.change != nil {
				tt.change(s)
			}
			c := s.testCondition(kinds)
			if got := c.Type + "/" + c.Reason; got != tt.want {
				t.Errorf("condition %s, want %s: %s", got, tt.want, c.Message)
			}
			for _, hint := range tt.hints {
				if !strings.Contains(c.Message, hint) {
					t.Errorf("no %q in %q", hint, c.Message)
				}
			}
		})
	}
}

func TestAStallEndsOnlyWithWhatEndsIt(t *testing.T) {
	for name, tt := range map[string]struct {
		before, after func(*scope)
		ends          bool
	}{
		"a restart that has not looked at DNS yet": {after: func(s *scope) { s.observation = publication.Observation{TXTObject: s.publication.Spec.AnnouncedID} }},
		"a lookup that fails": {after: func(s *scope) {
			*s.observation.DNS = publication.DNS{Answer: publication.Unknown, Tried: failing(1, 0)}
		}},
		"a restart that has not asked the pods yet": {
			before: servesOlder(v1alpha1.ReasonReplicaLagging, time.Hour),
			after:  func(s *scope) { s.observation.Servers = publication.Servers{} },
		},
		"a restart that has just met the pods that lag": {
			before: servesOlder(v1alpha1.ReasonReplicaLagging, time.Hour),
			after:  servesOlder(v1alpha1.ReasonReplicaLagging, 0),
		},
		"pods that serve it": {
			before: servesOlder(v1alpha1.ReasonReplicaLagging, time.Hour),
			after: func(s *scope) {
				s.observation.Servers = publication.Servers{Known: true, Ready: 2}
				s.decision.Reason, s.decision.Message = v1alpha1.ReasonServing, "once more"
			},
			ends: true,
		},
		"an id that was announced, and DNS was not asked since": {
			before: servesOlder(v1alpha1.ReasonReplicaLagging, time.Hour),
			after: func(s *scope) {
				s.publication.Spec.AnnouncedID, s.publication.Spec.AnnouncedAt = s.publication.Spec.Current.ID, new(metav1.NewTime(testNow))
				s.publication.Generation++
				s.observation = publication.Observation{}
				s.decision.Reason, s.decision.Message = v1alpha1.ReasonAnnouncing, "waiting"
			},
			ends: true,
		},
		"DNS that answers": {after: func(s *scope) { inForceNone(s); s.publication.Generation++ }, ends: true},
	} {
		t.Run(name, func(t *testing.T) {
			s := retiringScope()
			if tt.before != nil {
				tt.before(s)
			}
			before := only(nil, s.testCondition(allKinds()))
			if before[0].Type != v1alpha1.ConditionStalled {
				t.Fatalf("condition %v, want Stalled", before[0])
			}
			s.publication.Status.Conditions = before
			tt.after(s)
			after := only(before, s.testCondition(allKinds()))
			switch {
			case tt.ends && after[0].Type != v1alpha1.ConditionReconciling:
				t.Errorf("condition %v, want Reconciling", after[0])
			case !tt.ends && !cmp.Equal(before, after):
				t.Errorf("it changed (-before +after):\n%s", cmp.Diff(before, after))
			}
			if len(after) != 1 || apimeta.FindStatusCondition(after, after[0].Type).LastTransitionTime.IsZero() {
				t.Errorf("conditions %v, want one with the time of its transition", after)
			}
		})
	}
}

func TestTheAPIServersDateBoundsTheLocalClockFromBothSides(t *testing.T) {
	var d apiDate
	if earlier, later := d.bounds(testNow); earlier != testNow || later != testNow {
		t.Errorf("bounds are %s and %s before any answer, want the local clock", earlier, later)
	}
	answer := roundTripper(func(*http.Request) (*http.Response, error) {
		return &http.Response{Header: http.Header{"Date": {testNow.Format(http.TimeFormat)}}}, nil
	})
	if _, err := d.Wrap(answer).RoundTrip(&http.Request{}); err != nil { //nolint:bodyclose // it has none
		t.Fatal(err)
	}
	for _, skew := range []time.Duration{-time.Hour, 0, time.Hour} {
		local := testNow.Add(skew)
		earlier, later := d.bounds(local)
		if wantEarlier, wantLater := testNow.Add(min(skew, 0)), testNow.Add(max(skew, 0)); !earlier.Equal(wantEarlier) || !later.Equal(wantLater) {
			t.Errorf("with a clock off by %s the bounds are %s and %s, want %s and %s", skew, earlier, later, wantEarlier, wantLater)
		}
	}
}
