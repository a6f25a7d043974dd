package controllers

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/internal/config"
)

const testDomain = "example.com"

var testNow = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// testPolicy is a policy of example.com that is so many minutes old.
func testPolicy(namespace, name string, minutesOld int) v1alpha1.MTASTSPolicy {
	return v1alpha1.MTASTSPolicy{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, Name: name, UID: types.UID(namespace + "/" + name), Generation: 1,
			CreationTimestamp: metav1.NewTime(testNow.Add(-time.Duration(minutesOld) * time.Minute)),
		},
		Spec: v1alpha1.MTASTSPolicySpec{
			Domain: testDomain, Mode: v1alpha1.ModeEnforce, MX: []string{"mx1.example.com"}, MaxAgeSeconds: 604800,
		},
	}
}

func testPublication(namespace, follows string) v1alpha1.MTASTSPublication {
	return v1alpha1.MTASTSPublication{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: testDomain, UID: "pub", Generation: 1},
		Spec: v1alpha1.MTASTSPublicationSpec{
			Domain: testDomain, PolicyRef: &v1alpha1.PolicyReference{Name: follows, UID: namespace + "/" + follows},
		},
	}
}

func TestOnePolicyOfADomainIsFollowed(t *testing.T) {
	gone := testPolicy("a", "gone", 90)
	gone.DeletionTimestamp = new(metav1.NewTime(testNow))
	odd := testPolicy("a", "odd", 90)
	odd.Spec.MaxAgeSeconds = 5
	onlyB := config.Default()
	onlyB.Domains = []config.DomainRule{{Namespaces: []string{"b"}, Allow: []string{"*"}}}

	handed := testPublication("b", "p")
	handed.Annotations = map[string]string{v1alpha1.TransferToAnnotation: "a"}

	for name, tt := range map[string]struct {
		policies     []v1alpha1.MTASTSPolicy
		publications []v1alpha1.MTASTSPublication
		cfg          config.Operator
		winner       string
		frozen       string
		refused      map[string]string
	}{
		"the only one": {
			policies: []v1alpha1.MTASTSPolicy{testPolicy("a", "p", 1)}, winner: "a/p",
		},
		"the older one where nothing is published": {
			policies: []v1alpha1.MTASTSPolicy{testPolicy("a", "young", 1), testPolicy("b", "old", 2)},
			winner:   "b/old", refused: map[string]string{"a/young": v1alpha1.ReasonDomainConflict},
		},
		"by namespace and name where both are of one age": {
			policies: []v1alpha1.MTASTSPolicy{testPolicy("b", "p", 1), testPolicy("a", "p", 1)},
			winner:   "a/p", refused: map[string]string{"b/p": v1alpha1.ReasonDomainConflict},
		},
		"the publication's own, though another is older": {
			policies:     []v1alpha1.MTASTSPolicy{testPolicy("a", "old", 9), testPolicy("a", "own", 1)},
			publications: []v1alpha1.MTASTSPublication{testPublication("a", "own")},
			winner:       "a/own", refused: map[string]string{"a/old": v1alpha1.ReasonDomainConflict},
		},
		"the next of the namespace when the publication's own is gone": {
			policies:     []v1alpha1.MTASTSPolicy{testPolicy("a", "next", 1), gone},
			publications: []v1alpha1.MTASTSPublication{testPublication("a", "gone")},
			winner:       "a/next",
		},
		"none of another namespace, even when the publication's own is gone": {
			policies:     []v1alpha1.MTASTSPolicy{testPolicy("b", "waiting", 99), gone},
			publications: []v1alpha1.MTASTSPublication{testPublication("a", "gone")},
			refused:      map[string]string{"b/waiting": v1alpha1.ReasonDomainConflict},
		},
		"one that may claim the domain": {
			policies: []v1alpha1.MTASTSPolicy{testPolicy("a", "p", 9), testPolicy("b", "p", 1)}, cfg: onlyB,
			winner: "b/p", refused: map[string]string{"a/p": v1alpha1.ReasonDomainNotAllowed},
		},
		"what is in the way of an heir, once the domain is handed over": {
			policies:     []v1alpha1.MTASTSPolicy{testPolicy("a", "heir", 9), testPolicy("b", "p", 1)},
			publications: []v1alpha1.MTASTSPublication{handed}, cfg: onlyB,
			winner: "b/p", refused: map[string]string{"a/heir": v1alpha1.ReasonDomainNotAllowed},
		},
		"but frozen, if it may no longer claim what it publishes": {
			policies:     []v1alpha1.MTASTSPolicy{testPolicy("a", "p", 9)},
			publications: []v1alpha1.MTASTSPublication{testPublication("a", "p")}, cfg: onlyB,
			winner: "a/p", frozen: v1alpha1.ReasonDomainNotAllowed,
		},
		"but frozen, if it is no longer valid": {
			policies:     []v1alpha1.MTASTSPolicy{odd},
			publications: []v1alpha1.MTASTSPublication{testPublication("a", "odd")},
			winner:       "a/odd", frozen: v1alpha1.ReasonInvalidPolicy,
		},
	} {
		t.Run(name, func(t *testing.T) {
			if tt.cfg.Kind == "" {
				tt.cfg = config.Default()
			}
			c := sortClaims(tt.policies, tt.publications, tt.cfg)
			winner, frozen := "", ""
			if c.winner != nil {
				winner = c.winner.Namespace + "/" + c.winner.Name
			}
			if c.frozen != nil {
				frozen = c.frozen.reason
			}
			refused := map[string]string{}
			for p, why := range c.refused {
				refused[p.Namespace+"/"+p.Name] = why.reason
			}
			if tt.refused == nil {
				tt.refused = map[string]string{}
			}
			if diff := cmp.Diff([]any{tt.winner, tt.frozen, tt.refused}, []any{winner, frozen, refused}); diff != "" {
				t.Errorf("winner, frozen, refused (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAClaimFromAnotherNamespaceIsToldHowToGetTheDomain(t *testing.T) {
	c := sortClaims([]v1alpha1.MTASTSPolicy{testPolicy("new", "p", 1)}, []v1alpha1.MTASTSPublication{testPublication("old", "p")}, config.Default())
	for _, why := range c.refused {
		if want := "kubectl -n old annotate mtastspublication example.com mtasts.dev/transfer-to=new"; !strings.Contains(why.message, want) {
			t.Errorf("message %q does not contain %q", why.message, want)
		}
	}
}

func TestATransferThatWaitsIsToldOnce(t *testing.T) {
	s, recorder := inForceScope(), events.NewFakeRecorder(10)
	r := &domainReconciler{recorder: recorder}
	for _, to := range []string{"", "mail", "typo", "typo", "", "typo"} {
		s.publication.Annotations = map[string]string{v1alpha1.TransferToAnnotation: to}
		r.tellTransfer(s)
	}
	close(recorder.Events)
	told := 0
	for e := range recorder.Events {
		if !strings.Contains(e, "namespace typo") {
			t.Errorf("told %q", e)
		}
		told++
	}
	if told != 2 {
		t.Errorf("told %d times, not once for each time that it was asked for", told)
	}
}

func TestAPolicyIsNotFollowedBackwards(t *testing.T) {
	policy := func(uid string, generation int64) *v1alpha1.MTASTSPolicy {
		p := testPolicy("mail", "p", 60)
		p.UID, p.Generation = types.UID(uid), generation
		return &p
	}
	terminating := policy("u", 2)
	terminating.DeletionTimestamp, terminating.Finalizers = new(metav1.NewTime(testNow)), []string{metav1.FinalizerDeleteDependents}
	for name, tt := range map[string]struct {
		recorded     v1alpha1.PolicyReference
		cached, live *v1alpha1.MTASTSPolicy
		stale        bool
	}{
		"the one that was followed last":            {v1alpha1.PolicyReference{UID: "u", Generation: 2}, policy("u", 2), nil, false},
		"an edit":                                   {v1alpha1.PolicyReference{UID: "u", Generation: 2}, policy("u", 3), nil, false},
		"recorded without a generation":             {v1alpha1.PolicyReference{UID: "u"}, policy("u", 2), nil, false},
		"the cache is behind":                       {v1alpha1.PolicyReference{UID: "u", Generation: 3}, policy("u", 2), policy("u", 3), true},
		"the cluster's history went back":           {v1alpha1.PolicyReference{UID: "u", Generation: 3}, policy("u", 2), policy("u", 2), false},
		"another one of the name, in its place":     {v1alpha1.PolicyReference{UID: "t", Generation: 3}, policy("u", 1), policy("u", 1), false},
		"one that was replaced long ago":            {v1alpha1.PolicyReference{UID: "v", Generation: 1}, policy("u", 5), policy("v", 1), true},
		"one that was deleted":                      {v1alpha1.PolicyReference{UID: "v", Generation: 1}, policy("u", 5), nil, true},
		"one that its deletion has not removed yet": {v1alpha1.PolicyReference{UID: "u", Generation: 3}, policy("u", 2), terminating, true},
	} {
		t.Run(name, func(t *testing.T) {
			s := inForceScope()
			s.winner, s.publication.Spec.PolicyRef = tt.cached, &tt.recorded
			b := fake.NewClientBuilder().WithScheme(NewScheme())
			if tt.live != nil {
				b.WithObjects(tt.live)
			}
			if err := (&domainReconciler{live: b.Build()}).trustClaim(t.Context(), s); stale(err) != tt.stale || (err != nil && !tt.stale) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestADomainIsNotHandedOverOntoAnotherPublication(t *testing.T) {
	incumbent, there := testPublication("old", "p"), testPublication("new", "p")
	incumbent.Annotations = map[string]string{v1alpha1.TransferToAnnotation: "new"}
	incumbent.Spec.LastID = "20260301120000aaaaaaaa"
	there.CreationTimestamp = metav1.NewTime(incumbent.CreationTimestamp.Add(time.Hour))
	for lastID, heir := range map[string]bool{incumbent.Spec.LastID: true, "20260201120000bbbbbbbb": false} {
		there.Spec.LastID = lastID
		c := sortClaims([]v1alpha1.MTASTSPolicy{testPolicy("new", "p", 1)}, []v1alpha1.MTASTSPublication{incumbent, there}, config.Default())
		if (c.heir != nil) != heir {
			t.Errorf("with last id %s there the heir is %v", lastID, c.heir)
		}
		for _, why := range c.refused {
			if want := "kubectl -n new delete mtastspublication example.com"; !heir && !strings.Contains(why.message, want) {
				t.Errorf("message %q does not contain %q", why.message, want)
			}
		}
	}
}
