package controllers

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
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
