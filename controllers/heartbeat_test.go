package controllers

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/mta-sts-operator/mta-sts-operator/controllers/internal/publication"
)

// beating is an operator's heartbeat on an API server, and its clock.
func beating(api client.Client, now time.Time) (*heartbeat, *clocktesting.FakeClock) {
	clock := clocktesting.NewFakeClock(now)
	o := Options{OperatorNamespace: "mta-sts-system", Clock: clock, Timings: DefaultTimings()}
	return &heartbeat{client: api, live: api, options: o}, clock
}

func beatOf(t *testing.T, api client.Client) *corev1.ConfigMap {
	t.Helper()
	object := &corev1.ConfigMap{}
	if err := api.Get(t.Context(), client.ObjectKey{Namespace: "mta-sts-system", Name: HeartbeatName}, object); err != nil {
		t.Fatal(err)
	}
	return object
}

func TestAnOldHeartbeatTellsOfAnOutageFromOneLeaderToTheNext(t *testing.T) {
	api := fake.NewClientBuilder().WithScheme(NewScheme()).Build()
	wantOutage := func(h *heartbeat, want *publication.Outage) {
		t.Helper()
		got, err := h.outage(t.Context())
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Fatalf("(-want +got):\n%s%v", diff, err)
		}
	}
	beat := func(h *heartbeat) {
		t.Helper()
		if err := h.beat(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	first, clock := beating(api, testNow)
	wantOutage(first, nil) // there is nothing to compare with
	beat(first)
	clock.Step(2 * time.Minute)
	beat(first)
	snapshot := beatOf(t, api)

	second, _ := beating(api, testNow.Add(10*time.Minute))
	wantOutage(second, nil)
	beat(second)

	weekend := testNow.Add(60 * time.Hour)
	third, clock := beating(api, weekend)
	off := &publication.Outage{Since: testNow.Add(10 * time.Minute), Until: weekend}
	wantOutage(third, off)
	beat(third)
	wantOutage(third, off)

	fourth, clock4 := beating(api, weekend.Add(time.Minute))
	wantOutage(fourth, off) // what the third one found it may not have lived to deal with
	beat(fourth)

	// The data goes back while an operator runs: to before the outage that was known.
	clock4.Step(time.Minute)
	live := beatOf(t, api)
	live.Data = snapshot.Data
	if err := api.Update(t.Context(), live); err != nil {
		t.Fatal(err)
	}
	beat(fourth)
	wantOutage(fourth, &publication.Outage{Since: testNow.Add(2 * time.Minute), Until: clock4.Now()})

	behind, clock5 := beating(api, weekend.Add(-time.Hour))
	wantOutage(behind, &publication.Outage{Since: testNow.Add(2 * time.Minute), Until: clock5.Now()})

	much, _ := beating(api, weekend.Add(2*time.Minute))
	much.options.Timings.HeartbeatOld = 1000 * 24 * time.Hour
	much.options.Clock = clocktesting.NewFakeClock(weekend.Add(401 * 24 * time.Hour))
	wantOutage(much, nil) // senders hold nothing of that any more
	_ = clock
}

func TestAHeartbeatThatMeansNothingIsWrittenAnew(t *testing.T) {
	for name, data := range map[string]map[string]string{
		"empty":          nil,
		"not a time":     {heartbeatTime: "yesterday"},
		"in the future":  {heartbeatTime: testNow.Add(48 * time.Hour).Format(time.RFC3339)},
		"half an outage": {heartbeatTime: testNow.Format(time.RFC3339), heartbeatUntil: testNow.Format(time.RFC3339)},
		"an outage that ends before it begins": {
			heartbeatTime: testNow.Format(time.RFC3339), heartbeatSince: testNow.Format(time.RFC3339), heartbeatUntil: testNow.Add(-time.Hour).Format(time.RFC3339),
		},
	} {
		t.Run(name, func(t *testing.T) {
			api := fake.NewClientBuilder().WithScheme(NewScheme()).WithObjects(&corev1.ConfigMap{
				ObjectMeta: metav1.ObjectMeta{Namespace: "mta-sts-system", Name: HeartbeatName}, Data: data,
			}).Build()
			h, _ := beating(api, testNow)
			if out, err := h.outage(t.Context()); out != nil || err != nil {
				t.Errorf("outage %+v, %v", out, err)
			}
			if err := h.beat(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := beatAt(beatOf(t, api).Data, heartbeatTime); !got.Equal(testNow) {
				t.Errorf("wrote %s", got)
			}
		})
	}
}

// refusing is an API server that answers every read with an error.
type refusing struct {
	client.Client

	err error
}

func (r refusing) Get(context.Context, client.ObjectKey, client.Object, ...client.GetOption) error {
	return r.err
}

func TestAHeartbeatThatCannotBeReadHoldsPassesUnlessItMayNotBe(t *testing.T) {
	resource := schema.GroupResource{Resource: "configmaps"}
	for name, tt := range map[string]struct {
		err   error
		holds bool
	}{
		"the API server is away": {apierrors.NewServiceUnavailable("away"), true},
		"the role is missing":    {apierrors.NewForbidden(resource, HeartbeatName, nil), false},
	} {
		t.Run(name, func(t *testing.T) {
			h, _ := beating(refusing{err: tt.err}, testNow)
			if _, err := h.outage(t.Context()); (err != nil) != tt.holds {
				t.Errorf("error %v", err)
			}
			if err := h.beat(t.Context()); err == nil {
				t.Error("nobody is told that there is no heartbeat")
			}
		})
	}
	var none *heartbeat
	if out, err := none.outage(t.Context()); out != nil || err != nil {
		t.Errorf("without a namespace: %+v, %v", out, err)
	}
}
