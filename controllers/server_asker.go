package controllers

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/controllers/internal/publication"
	"github.com/mta-sts-operator/mta-sts-operator/controllers/internal/resources"
	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
	"github.com/mta-sts-operator/mta-sts-operator/internal/policyserver"
)

// Bounds of questions to pods (I11): a namespace's own pods answer them, or let them wait.
const (
	// askTimeout bounds one question to one pod, roundTimeout those to all pods of a namespace.
	askTimeout   = 2 * time.Second
	roundTimeout = 2 * askTimeout
	// podsAtOnce is how many pods of a namespace are asked at once, askedAtOnce how many of all.
	podsAtOnce  = 32
	askedAtOnce = 512
	// mostHeaderBytes bounds the headers of an answer, mostETagBytes what is kept of them.
	mostHeaderBytes = 16 << 10
	mostETagBytes   = 128
)

// asker asks server pods, directly and never through a Service: every single one counts (I1).
type asker struct {
	http  *http.Client
	clock clock.PassiveClock
	// slots has one place for each question under way, pages one for each page of pods that is read.
	slots, pages chan struct{}

	mu sync.Mutex
	// last are the answers by namespace and pod, those of pods that are gone for no longer than a round; lines have
	// one place for each question under way in a namespace.
	last  map[string]map[types.UID]podAnswer
	lines map[string]chan struct{}
}

// podAnswer is the last answer of a pod, for questions that are answered by "unchanged".
type podAnswer struct {
	etag  string
	hosts map[string]mtasts.ID
	// about are the hosts that had a publication when it was asked: nothing is known of others.
	about        map[string]bool
	failingSince time.Time
	// refusedSince is since when it does not answer the policy itself as it should.
	refusedSince time.Time
}

func newAsker(c clock.PassiveClock, pods http.RoundTripper) *asker {
	if pods == nil {
		// Pods are asked where they are: no proxy.
		pods = &http.Transport{
			DialContext:         (&net.Dialer{Timeout: askTimeout}).DialContext,
			MaxIdleConnsPerHost: 1, IdleConnTimeout: 2 * time.Minute,
			MaxResponseHeaderBytes: mostHeaderBytes, DisableCompression: true,
		}
	}
	return &asker{
		clock: c, last: map[string]map[types.UID]podAnswer{}, lines: map[string]chan struct{}{},
		slots: make(chan struct{}, askedAtOnce), pages: make(chan struct{}, 4),
		http: &http.Client{
			Timeout: askTimeout, Transport: pods,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// each asks pods of a namespace, many at once. Whoever had no turn when the round is over has not answered.
func (a *asker) each(ctx context.Context, namespace string, pods []corev1.Pod, ask func(ctx context.Context, i int)) {
	ctx, cancel := context.WithTimeout(ctx, roundTimeout)
	defer cancel()
	line := a.line(namespace)
	var wg sync.WaitGroup
	for i := range pods {
		wg.Go(func() {
			for _, places := range []chan struct{}{line, a.slots} {
				select {
				case places <- struct{}{}:
					defer func() { <-places }()
				case <-ctx.Done():
				}
			}
			ask(ctx, i)
		})
	}
	wg.Wait()
}

func (a *asker) line(namespace string) chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.lines[namespace] == nil {
		a.lines[namespace] = make(chan struct{}, podsAtOnce)
	}
	return a.lines[namespace]
}

// all asks every pod which instances it serves of the hosts that have a publication.
func (a *asker) all(ctx context.Context, namespace string, asked serverPods, hosts map[string]bool) []report {
	reports := make([]report, len(asked.pods), len(asked.pods)+1)
	a.each(ctx, namespace, asked.pods, func(ctx context.Context, i int) {
		reports[i] = a.one(ctx, namespace, &asked.pods[i], hosts)
	})
	if asked.more > 0 {
		reports = append(reports, report{pod: asked.beyond(), failed: true})
	}
	return reports
}

func (a *asker) one(ctx context.Context, namespace string, pod *corev1.Pod, hosts map[string]bool) report {
	a.mu.Lock()
	last := a.last[namespace][pod.UID]
	a.mu.Unlock()
	next, err := a.instances(ctx, pod, last, hosts)
	rep := report{pod: pod.Name, node: pod.Spec.NodeName, ready: isReady(pod), hosts: next.hosts, began: began(pod)}
	if err != nil {
		next = last
		if next.failingSince.IsZero() {
			next.failingSince = a.clock.Now()
		}
		rep.failed, rep.failingSince, rep.hosts = true, next.failingSince, last.hosts
	}
	a.note(namespace, pod.UID, func(answer *podAnswer) {
		next.refusedSince = answer.refusedSince
		*answer = next
	})
	return rep
}

// note changes what is remembered of a pod.
func (a *asker) note(namespace string, pod types.UID, change func(*podAnswer)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.last[namespace] == nil {
		a.last[namespace] = map[types.UID]podAnswer{}
	}
	answer := a.last[namespace][pod]
	change(&answer)
	a.last[namespace][pod] = answer
}

// instances asks one pod's metrics port.
func (a *asker) instances(
	ctx context.Context, pod *corev1.Pod, last podAnswer, hosts map[string]bool,
) (podAnswer, error) {
	url := "http://" + address(pod, resources.MetricsPortName) + "/instances"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return podAnswer{}, fmt.Errorf("asking pod %s: %w", pod.Name, err)
	}
	if last.etag != "" && within(hosts, last.about) {
		req.Header.Set("If-None-Match", last.etag)
	}
	resp, err := a.http.Do(req)
	if err != nil {
		return podAnswer{}, fmt.Errorf("asking pod %s: %w", pod.Name, err)
	}
	defer func() { _ = resp.Body.Close() }()
	switch {
	case resp.StatusCode == http.StatusNotModified && req.Header.Get("If-None-Match") != "":
		return podAnswer{etag: last.etag, hosts: last.hosts, about: last.about}, nil
	case resp.StatusCode == http.StatusOK:
		served, err := readInstances(resp.Body, hosts)
		if err != nil {
			return podAnswer{}, fmt.Errorf("reading the instances of pod %s: %w", pod.Name, err)
		}
		answer := podAnswer{hosts: served, about: hosts}
		if etag := resp.Header.Get("ETag"); len(etag) <= mostETagBytes {
			answer.etag = etag
		}
		return answer, nil
	default:
		return podAnswer{}, fmt.Errorf("asking pod %s: status %d", pod.Name, resp.StatusCode)
	}
}

// within says whether everything in a set is in the other.
func within(set, other map[string]bool) bool {
	for key := range set {
		if !other[key] {
			return false
		}
	}
	return true
}

// keep drops what is remembered of pods of the namespace beside these.
func (a *asker) keep(namespace string, pods []corev1.Pod) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(pods) == 0 {
		delete(a.last, namespace)
		delete(a.lines, namespace)
		return
	}
	now := map[types.UID]bool{}
	for i := range pods {
		now[pods[i].UID] = true
	}
	maps.DeleteFunc(a.last[namespace], func(uid types.UID, _ podAnswer) bool { return !now[uid] })
}

// confirm gets the policy itself from every live pod, with the policy's Host, and compares every byte.
// Ids are compared as well: the same bytes may be those of an older instance.
func (a *asker) confirm(
	ctx context.Context, live client.Reader, namespace, domain string, want *v1alpha1.Instance,
) (publication.Servers, error) {
	asked, err := a.listLive(ctx, live, namespace)
	if err != nil {
		return publication.Servers{}, err
	}
	pods := asked.pods
	answers := make([]confirmation, len(pods))
	a.each(ctx, namespace, pods, func(ctx context.Context, i int) { answers[i] = a.fetch(ctx, &pods[i], domain, want) })
	out := publication.Servers{Known: true}
	for i, answer := range answers {
		pod := &pods[i]
		if isReady(pod) {
			out.Ready++
		}
		problem := answer.problem(want, isReady(pod))
		since := a.noteRefusal(namespace, pod.UID, problem != "")
		if problem != "" {
			out.Behind = append(out.Behind, publication.Behind{
				Pod: pod.Name, Node: pod.Spec.NodeName, Problem: problem, ID: answer.id, Since: since,
			})
		}
	}
	if asked.more > 0 {
		out.Behind = append(out.Behind, publication.Behind{Pod: asked.beyond(), Problem: v1alpha1.ReasonReplicaUnreachable})
	}
	return out, nil
}

// noteRefusal keeps since when a pod does not answer the policy as it should.
func (a *asker) noteRefusal(namespace string, pod types.UID, refused bool) (since time.Time) {
	a.note(namespace, pod, func(answer *podAnswer) {
		switch {
		case !refused:
			answer.refusedSince = time.Time{}
		case answer.refusedSince.IsZero():
			answer.refusedSince = a.clock.Now()
		}
		since = answer.refusedSince
	})
	return since
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

func (a *asker) fetch(ctx context.Context, pod *corev1.Pod, domain string, want *v1alpha1.Instance) confirmation {
	url := "http://" + address(pod, resources.HTTPPortName) + mtasts.PolicyPath
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return confirmation{failed: true}
	}
	req.Host = mtasts.PolicyHost(domain)
	resp, err := a.http.Do(req)
	if err != nil {
		return confirmation{failed: true}
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, int64(len(want.Body))+1)) // one more is another policy
	id, _ := mtasts.ParseID(resp.Header.Get(policyserver.HeaderID))
	return confirmation{failed: err != nil, status: resp.StatusCode, id: string(id), body: string(body)}
}
