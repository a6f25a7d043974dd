package controllers

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/controllers/internal/resources"
	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
	"github.com/mta-sts-operator/mta-sts-operator/internal/policyserver"
)

// endless repeats some bytes, and counts how many were read.
type endless struct {
	head, body string
	read       int
}

func (e *endless) Read(into []byte) (int, error) {
	n := 0
	for n < len(into) {
		var text string
		if e.read < len(e.head) {
			text = e.head[e.read:]
		} else {
			text = e.body[(e.read-len(e.head))%len(e.body):]
		}
		k := copy(into[n:], text)
		n, e.read = n+k, e.read+k
	}
	return n, nil
}

func TestWhatAPodAnswersIsBounded(t *testing.T) {
	id := string(idOf("x"))
	published := map[string]bool{"mta-sts.d.example": true}
	for _, tt := range []struct{ name, head, body string }{
		{"hosts that nobody publishes", `{"hosts":{`, `"mta-sts.x.example":"` + id + `",`},
		{"a published host again and again", `{"hosts":{`, `"mta-sts.d.example":"` + id + `",`},
		{"one host without an end", `{"hosts":{"`, "x"},
		{"one id without an end", `{"hosts":{"mta-sts.d.example":"`, "2"},
		{"blanks", ``, " "},
		{"a number without an end", `{"hosts":{"mta-sts.d.example":`, "1"},
		{"deep nesting", `{"other":`, "["},
		{"a long list", `{"other":[0`, ",0"},
		{"backslashes", `{"hosts":{"`, `\\`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			from := &endless{head: tt.head, body: tt.body}
			if hosts, err := readInstances(from, published); err == nil || len(hosts) > 0 {
				t.Errorf("believed: %v", hosts)
			}
			if most := slackAnswerBytes + hostAnswerBytes; from.read > most {
				t.Errorf("%d bytes were read, more than %d", from.read, most)
			}
		})
	}
}

func TestAnAnswerIsReadForWhatIsPublished(t *testing.T) {
	id, other := idOf("x"), idOf("y")
	published := map[string]bool{"mta-sts.d.example": true, "mta-sts.e.example": true}
	want := map[string]mtasts.ID{"mta-sts.d.example": id}
	for _, tt := range []struct {
		name, answer string
		want         map[string]mtasts.ID
	}{
		{"a host", `{"hosts":{"mta-sts.d.example":"` + string(id) + `"}}`, want},
		{"one beside another that nobody publishes", `{"hosts":{"mta-sts.x.example":"` + string(other) + `","mta-sts.d.example":"` + string(id) + `"}}`, want},
		{"fields of a later version", "{\n \"version\": {\"a\": [1, {\"b\": null}]},\n \"hosts\": {\"mta-sts.d.example\": \"" + string(id) + "\"},\n \"more\": true}\n", want},
		{"an id that is none", `{"hosts":{"mta-sts.d.example":"` + strings.Repeat("1", 40) + `"}}`, map[string]mtasts.ID{}},
		{"nothing", `{"hosts":{}}`, map[string]mtasts.ID{}},
		{"no hosts", `{}`, map[string]mtasts.ID{}},
		{"a list", `[]`, nil},
		{"hosts in a list", `{"hosts":["mta-sts.d.example"]}`, nil},
		{"half of it", `{"hosts":{"mta-sts.d.example":"` + string(id) + `"`, nil},
		{"an empty body", ``, nil},
	} {
		got, err := readInstances(strings.NewReader(tt.answer), published)
		if (err != nil) != (tt.want == nil) || !maps.Equal(got, tt.want) {
			t.Errorf("%s: %v, %v", tt.name, got, err)
		}
	}
}

// crowd are pods that answer when they are let go.
type crowd struct {
	mu            sync.Mutex
	busy, most, n int
	gate          chan struct{}
	answer        func(req *http.Request) *http.Response
}

func (c *crowd) RoundTrip(req *http.Request) (*http.Response, error) {
	c.mu.Lock()
	c.busy++
	c.n++
	c.most = max(c.most, c.busy)
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		c.busy--
		c.mu.Unlock()
	}()
	select {
	case <-c.gate:
		return c.answer(req), nil
	case <-req.Context().Done():
		return nil, req.Context().Err()
	}
}

// answered is an answer to a request for /instances.
func answered(status int, etag, body string) *http.Response {
	return &http.Response{StatusCode: status, Header: http.Header{"Etag": {etag}}, Body: io.NopCloser(strings.NewReader(body))}
}

// serverPod is a pod that looks like one of the server's.
func serverPod(k int) corev1.Pod {
	return corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "mail", Name: fmt.Sprintf("mta-sts-server-5d9c-%05d", k), UID: types.UID(fmt.Sprintf("uid-%d", k)),
			CreationTimestamp: metav1.NewTime(testNow.Add(time.Duration(k) * time.Second)),
			Labels:            map[string]string{appsv1.DefaultDeploymentUniqueLabelKey: "5d9c"},
			OwnerReferences:   []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "mta-sts-server-5d9c", UID: "rs", Controller: new(true)}},
		},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: resources.ServerContainer, Ports: []corev1.ContainerPort{
			{Name: resources.MetricsPortName, ContainerPort: 8081}, {Name: resources.HTTPPortName, ContainerPort: 8080},
		}}}},
		Status: corev1.PodStatus{
			PodIP: "192.0.2.1", Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}},
			ContainerStatuses: []corev1.ContainerStatus{{Name: resources.ServerContainer, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}},
		},
	}
}

func TestAsManyPodsAsLikeToLookLikeOursAreAskedInBounds(t *testing.T) {
	var pods serverPods
	var all []corev1.Pod
	for k := range 5000 {
		all = append(all, serverPod(4999-k))
	}
	pods.add(all)
	if len(pods.pods) != mostPods || pods.more != 5000-mostPods || pods.pods[0].Name != serverPod(0).Name {
		t.Fatalf("%d pods count from %s on, and %d are beyond", len(pods.pods), pods.pods[0].Name, pods.more)
	}
	gate := make(chan struct{})
	c := &crowd{gate: gate, answer: func(*http.Request) *http.Response { return answered(http.StatusOK, "x", `{"hosts":{}}`) }}
	ask := newAsker(clocktesting.NewFakeClock(testNow), c)
	go func() {
		for range mostPods {
			gate <- struct{}{}
		}
	}()
	reports := ask.all(t.Context(), "mail", pods, nil)
	if c.most > podsAtOnce || c.n != mostPods {
		t.Errorf("%d were asked at once, of %d", c.most, c.n)
	}
	last := reports[len(reports)-1]
	if len(reports) != mostPods+1 || !last.failed {
		t.Errorf("%d reports, the last is %+v", len(reports), last)
	}
	// Whoever is beyond holds the ids of the namespace: senders may meet him.
	servers := servedBy(reports, testDomain, "x", false)
	if servers.All() {
		t.Error("everybody is said to serve it")
	}
	ask.keep("mail", nil)
	if len(ask.last)+len(ask.lines) > 0 {
		t.Errorf("remembered: %v", ask.last)
	}
}

func TestWhoIsListedLiveIsBounded(t *testing.T) {
	build := fake.NewClientBuilder().WithScheme(NewScheme())
	for k := range mostPods + 20 {
		pod := serverPod(k)
		maps.Copy(pod.Labels, resources.ServerLabels())
		pod.Annotations = map[string]string{"example.com/a": strings.Repeat("a", 100<<10)}
		build.WithObjects(&pod)
	}
	ask := newAsker(clocktesting.NewFakeClock(testNow), nil)
	pods, err := ask.listLive(t.Context(), build.Build(), "mail")
	if err != nil || len(pods.pods) != mostPods || pods.more == 0 {
		t.Fatalf("%d pods and %d beyond: %v", len(pods.pods), pods.more, err)
	}
	for i := range pods.pods {
		if n := metaBytes(pods.pods[i].Annotations); n > 0 {
			t.Fatalf("%d bytes of annotations are held", n)
		}
	}
}

func TestOwnersThatOnlyLookLikeOurReplicaSetDoNotCount(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*corev1.Pod)
		counts bool
	}{
		{"a pod of the server", func(*corev1.Pod) {}, true},
		{"an owner that begins like ours", func(p *corev1.Pod) { p.OwnerReferences[0].Name = "mta-sts-server-evil" }, false},
		{"no hash", func(p *corev1.Pod) { p.Labels = nil }, false},
		{"an owner that is no ReplicaSet", func(p *corev1.Pod) { p.OwnerReferences[0].Kind = "Job" }, false},
		{"an owner that is no controller", func(p *corev1.Pod) { p.OwnerReferences[0].Controller = nil }, false},
		{"no owner", func(p *corev1.Pod) { p.OwnerReferences = nil }, false},
	} {
		pod := serverPod(1)
		tt.change(&pod)
		if got := counts(&pod); got != tt.counts {
			t.Errorf("%s: counts %t", tt.name, got)
		}
	}
}

// TestUnchangedIsBelievedForWhatWasAsked: what a pod answered is kept for the hosts that had a publication then.
func TestUnchangedIsBelievedForWhatWasAsked(t *testing.T) {
	id := idOf("x")
	gate := make(chan struct{})
	close(gate)
	c := &crowd{gate: gate, answer: func(req *http.Request) *http.Response {
		if req.Header.Get("If-None-Match") == "tag" {
			return answered(http.StatusNotModified, "tag", "")
		}
		return answered(http.StatusOK, "tag", fmt.Sprintf(`{"hosts":{"mta-sts.d.example":%q,"mta-sts.e.example":%q}}`, id, id))
	}}
	ask := newAsker(clocktesting.NewFakeClock(testNow), c)
	pods := serverPods{pods: []corev1.Pod{serverPod(1)}}
	for _, hosts := range []map[string]bool{
		{"mta-sts.d.example": true},
		{"mta-sts.d.example": true, "mta-sts.e.example": true},
		{"mta-sts.e.example": true},
	} {
		got := ask.all(t.Context(), "mail", pods, hosts)[0].hosts
		for host := range hosts {
			if got[host] != id {
				t.Errorf("asked about %v, the pod is said to serve %v", hosts, got)
			}
		}
	}
	c.answer = func(*http.Request) *http.Response { return answered(http.StatusNotModified, "", "") }
	ask.keep("mail", nil)
	if rep := ask.all(t.Context(), "mail", pods, nil)[0]; !rep.failed {
		t.Error("a pod that was never asked says that nothing has changed, and is believed")
	}
}

func TestAPodCannotMakeTheOperatorHoldMoreThanThePolicy(t *testing.T) {
	want := &v1alpha1.Instance{ID: string(idOf("x")), Body: "x"}
	gate := make(chan struct{})
	close(gate)
	body := &endless{body: "x"}
	c := &crowd{gate: gate, answer: func(*http.Request) *http.Response {
		return &http.Response{
			StatusCode: http.StatusOK, Body: io.NopCloser(body),
			Header: http.Header{http.CanonicalHeaderKey(policyserver.HeaderID): {strings.Repeat("9", 8000)}},
		}
	}}
	ask := newAsker(clocktesting.NewFakeClock(testNow), c)
	pod := serverPod(1)
	got := ask.fetch(context.Background(), &pod, testDomain, want)
	if len(got.body) > len(want.Body)+1 || len(got.id) > 32 {
		t.Errorf("%d bytes and an id of %d are held", len(got.body), len(got.id))
	}
	if got.problem(want, true) == "" {
		t.Error("it is taken for the policy")
	}
}

// idOf is the id of a body, minted at testNow.
func idOf(body string) mtasts.ID {
	id, _ := mtasts.MintID(testNow, "", body)
	return id
}
