package controllers

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/controllers/internal/publication"
	"github.com/mta-sts-operator/mta-sts-operator/controllers/internal/resources"
	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
	"github.com/mta-sts-operator/mta-sts-operator/internal/policyserver"
)

// askTimeout bounds one question to one pod.
const askTimeout = 2 * time.Second

// maxInstances bounds the answer of /instances: ten thousand hosts take less than one MiB.
const maxInstances = 64 << 20

// asker asks server pods, directly and never through a Service: every single one counts (I1).
type asker struct {
	http  *http.Client
	clock clock.PassiveClock

	mu   sync.Mutex
	last map[types.UID]podAnswer
}

// podAnswer is the last answer of a pod, for questions that are answered by "unchanged".
type podAnswer struct {
	etag         string
	hosts        map[string]mtasts.ID
	failingSince time.Time
	// refusedSince is since when it does not answer the policy itself as it should.
	refusedSince time.Time
}

func newAsker(c clock.PassiveClock, pods http.RoundTripper) *asker {
	if pods == nil {
		// Pods are asked where they are: no proxy.
		pods = &http.Transport{DialContext: (&net.Dialer{Timeout: askTimeout}).DialContext, MaxIdleConnsPerHost: 1, IdleConnTimeout: 2 * time.Minute}
	}
	return &asker{
		clock: c, last: map[types.UID]podAnswer{},
		http: &http.Client{
			Timeout: askTimeout, Transport: pods,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// listServers lists the server pods of a namespace.
func listServers(ctx context.Context, r client.Reader, namespace string) ([]corev1.Pod, error) {
	var pods corev1.PodList
	if err := r.List(ctx, &pods, client.InNamespace(namespace), client.MatchingLabels(resources.ServerSelector())); err != nil {
		return nil, fmt.Errorf("listing server pods in %s: %w", namespace, err)
	}
	var out []corev1.Pod
	for _, pod := range pods.Items {
		if counts(&pod) {
			out = append(out, pod)
		}
	}
	return out, nil
}

// counts says whether a pod may answer senders, now or when its node comes back: it belongs to the
// server's Deployment, its container was last reported running, and it is not on its way out.
func counts(pod *corev1.Pod) bool {
	owner := metav1.GetControllerOf(pod)
	if owner == nil || owner.Kind != "ReplicaSet" || !strings.HasPrefix(owner.Name, resources.ServerName+"-") {
		return false
	}
	if !pod.DeletionTimestamp.IsZero() && !isReady(pod) {
		return false
	}
	for _, status := range pod.Status.ContainerStatuses {
		if status.Name == resources.ServerContainer {
			return status.State.Running != nil && pod.Status.PodIP != ""
		}
	}
	return false
}

func isReady(pod *corev1.Pod) bool {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// address is where the pod's named port answers.
func address(pod *corev1.Pod, port string) string {
	for _, c := range pod.Spec.Containers {
		if c.Name != resources.ServerContainer {
			continue
		}
		for _, p := range c.Ports {
			if p.Name == port {
				return net.JoinHostPort(pod.Status.PodIP, strconv.Itoa(int(p.ContainerPort)))
			}
		}
	}
	return ""
}

// all asks every pod which instances it serves, all at once.
func (a *asker) all(ctx context.Context, pods []corev1.Pod) []report {
	reports := make([]report, len(pods))
	var wg sync.WaitGroup
	for i := range pods {
		wg.Go(func() { reports[i] = a.one(ctx, &pods[i]) })
	}
	wg.Wait()
	return reports
}

func (a *asker) one(ctx context.Context, pod *corev1.Pod) report {
	a.mu.Lock()
	last := a.last[pod.UID]
	a.mu.Unlock()
	next, err := a.instances(ctx, pod, last)
	rep := report{pod: pod.Name, node: pod.Spec.NodeName, ready: isReady(pod), hosts: next.hosts}
	if err != nil {
		next = last
		if next.failingSince.IsZero() {
			next.failingSince = a.clock.Now()
		}
		rep.failed, rep.failingSince, rep.hosts = true, next.failingSince, last.hosts
	}
	a.mu.Lock()
	next.refusedSince = a.last[pod.UID].refusedSince
	a.last[pod.UID] = next
	a.mu.Unlock()
	return rep
}

// instances asks one pod's metrics port.
func (a *asker) instances(ctx context.Context, pod *corev1.Pod, last podAnswer) (podAnswer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address(pod, resources.MetricsPortName)+"/instances", nil)
	if err != nil {
		return podAnswer{}, fmt.Errorf("asking pod %s: %w", pod.Name, err)
	}
	if last.etag != "" {
		req.Header.Set("If-None-Match", last.etag)
	}
	resp, err := a.http.Do(req)
	if err != nil {
		return podAnswer{}, fmt.Errorf("asking pod %s: %w", pod.Name, err)
	}
	defer func() { _ = resp.Body.Close() }()
	switch resp.StatusCode {
	case http.StatusNotModified:
		return podAnswer{etag: last.etag, hosts: last.hosts}, nil
	case http.StatusOK:
		var body policyserver.Instances
		if err := json.NewDecoder(io.LimitReader(resp.Body, maxInstances)).Decode(&body); err != nil {
			return podAnswer{}, fmt.Errorf("reading the instances of pod %s: %w", pod.Name, err)
		}
		return podAnswer{etag: resp.Header.Get("ETag"), hosts: body.Hosts}, nil
	default:
		return podAnswer{}, fmt.Errorf("asking pod %s: status %d", pod.Name, resp.StatusCode)
	}
}

// forget drops what is remembered of pods that are gone.
func (a *asker) forget(uid types.UID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.last, uid)
}

// confirm gets the policy itself from every live pod, with the policy's Host, and compares every byte.
// Ids are compared as well: the same bytes may be those of an older instance.
func (a *asker) confirm(ctx context.Context, live client.Reader, namespace, domain string, want *v1alpha1.Instance) (publication.Servers, error) {
	pods, err := listServers(ctx, live, namespace)
	if err != nil {
		return publication.Servers{}, err
	}
	answers := make([]confirmation, len(pods))
	var wg sync.WaitGroup
	for i := range pods {
		wg.Go(func() { answers[i] = a.fetch(ctx, &pods[i], domain) })
	}
	wg.Wait()
	out := publication.Servers{Known: true}
	for i, answer := range answers {
		pod := &pods[i]
		if isReady(pod) {
			out.Ready++
		}
		problem := answer.problem(want, isReady(pod))
		since := a.noteRefusal(pod.UID, problem != "")
		if problem != "" {
			out.Behind = append(out.Behind, publication.Behind{
				Pod: pod.Name, Node: pod.Spec.NodeName, Problem: problem, ID: answer.id, Since: since,
			})
		}
	}
	return out, nil
}

// noteRefusal keeps since when a pod does not answer the policy as it should.
func (a *asker) noteRefusal(pod types.UID, refused bool) time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	last := a.last[pod]
	switch {
	case !refused:
		last.refusedSince = time.Time{}
	case last.refusedSince.IsZero():
		last.refusedSince = a.clock.Now()
	}
	a.last[pod] = last
	return last.refusedSince
}

// confirmation is what one pod answered to the policy URL.
type confirmation struct {
	failed   bool
	status   int
	id, body string
}

func (c confirmation) problem(want *v1alpha1.Instance, ready bool) string {
	switch {
	case c.failed && ready:
		return v1alpha1.ReasonProbeBlocked
	case c.failed:
		return v1alpha1.ReasonReplicaUnreachable
	case c.status != http.StatusOK || mtasts.ID(c.id).Compare(mtasts.ID(want.ID)) < 0:
		return v1alpha1.ReasonReplicaLagging
	case c.id != want.ID || c.body != want.Body:
		return v1alpha1.ReasonWrongBytes
	}
	return ""
}

func (a *asker) fetch(ctx context.Context, pod *corev1.Pod, domain string) confirmation {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address(pod, resources.HTTPPortName)+mtasts.PolicyPath, nil)
	if err != nil {
		return confirmation{failed: true}
	}
	req.Host = mtasts.PolicyHost(domain)
	resp, err := a.http.Do(req)
	if err != nil {
		return confirmation{failed: true}
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, policyserver.MaxBodyBytes))
	return confirmation{failed: err != nil, status: resp.StatusCode, id: resp.Header.Get(policyserver.HeaderID), body: string(body)}
}
