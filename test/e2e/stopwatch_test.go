package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
	dnsv1 "sigs.k8s.io/external-dns/apis/v1alpha1"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
)

// errNotYet says that a stage is still to come.
var errNotYet = errors.New("not yet")

// stopwatch measures the stages of one edit, each by a look of its own at where it becomes visible.
type stopwatch struct {
	s       *story
	before  string // the id before the edit
	started time.Time
	wait    sync.WaitGroup

	mu     sync.Mutex
	stages []stage
}

type stage struct {
	name string
	at   time.Duration
	err  error
}

// watch starts the measurement; the edit must come next. Without an id in force, before is "".
func (s *story) watch(before string) *stopwatch {
	s.t.Helper()
	w := &stopwatch{s: s, before: before, started: time.Now()}
	pods := s.servers()
	w.measure("recorded in the publication", func(ctx context.Context) error {
		p, err := s.publication(ctx)
		if err == nil && p.Spec.Current != nil && p.Spec.Current.ID > before {
			return nil
		}
		return errors.Join(err, errNotYet)
	})
	w.measure("shard written", func(ctx context.Context) error {
		var shard corev1.ConfigMap
		err := s.Get(ctx, client.ObjectKey{Namespace: s.namespace, Name: "mta-sts-policies"}, &shard)
		id, _, _ := strings.Cut(shard.Data["mta-sts."+s.domain], "\n")
		return w.after(id, err)
	})
	for i, pod := range pods {
		w.measure(fmt.Sprintf("served by pod %d", i+1), func(ctx context.Context) error {
			id, err := s.servedBy(ctx, pod)
			if apierrors.IsNotFound(err) {
				return nil // replaced meanwhile: nobody waits for it
			}
			return w.after(id, err)
		})
	}
	w.measure("confirmed by all pods and the public look", func(ctx context.Context) error {
		p, err := s.publication(ctx)
		return w.after(p.Spec.AnnouncedID, err)
	})
	w.measure("TXT object written", func(ctx context.Context) error {
		var endpoint dnsv1.DNSEndpoint
		err := s.Get(ctx, client.ObjectKey{Namespace: s.namespace, Name: "mta-sts-id." + s.domain}, &endpoint)
		if err != nil || len(endpoint.Spec.Endpoints) != 1 {
			return errors.Join(err, errNotYet)
		}
		_, rest, _ := strings.Cut(endpoint.Spec.Endpoints[0].Targets[0], "id=")
		return w.after(strings.TrimRight(rest, `;" `), nil)
	})
	w.measure("in DNS, by external-dns", func(ctx context.Context) error {
		id, err := s.publishedID(ctx, s.domain)
		return w.after(id, err)
	})
	w.measure("in force", func(ctx context.Context) error {
		p, err := s.publication(ctx)
		return w.after(p.Spec.InForceID, err)
	})
	return w
}

// after returns nil if id is newer than the one before the edit.
func (w *stopwatch) after(id string, err error) error {
	if err == nil && id > w.before {
		return nil
	}
	return errors.Join(err, errNotYet)
}

func (w *stopwatch) measure(name string, reached func(context.Context) error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	i := len(w.stages)
	w.stages = append(w.stages, stage{name: name})
	w.wait.Go(func() {
		err := until(w.s.ctx, long, reached)
		w.mu.Lock()
		defer w.mu.Unlock()
		w.stages[i].at, w.stages[i].err = time.Since(w.started), err
	})
}

// print waits for the last stage and prints when each was reached.
func (w *stopwatch) print(title string) {
	w.s.t.Helper()
	w.wait.Wait()
	slices.SortStableFunc(w.stages, func(a, b stage) int { return int(a.at - b.at) })
	var table strings.Builder
	previous := time.Duration(0)
	for _, stage := range w.stages {
		if stage.err != nil {
			w.s.t.Errorf("%s: %v", stage.name, stage.err)
		}
		fmt.Fprintf(&table, "\n  %-42s %7.1f s  +%.1f s", stage.name, stage.at.Seconds(), (stage.at - previous).Seconds())
		previous = stage.at
	}
	w.s.say("stages of %s, measured from kubectl apply, each within 0.2 s:%s", title, table.String())
}

// servers are the names of the namespace's policy server pods.
func (s *story) servers() []string {
	s.t.Helper()
	var pods corev1.PodList
	s.must(s.List(s.ctx, &pods, client.InNamespace(s.namespace), client.MatchingLabels{"app.kubernetes.io/component": "server"}))
	var names []string
	for _, pod := range pods.Items {
		names = append(names, pod.Name)
	}
	return names
}

// servedBy is the id that a pod serves for the story's domain.
func (s *story) servedBy(ctx context.Context, pod string) (string, error) {
	content, err := s.get(ctx, s.namespace, "pods", pod+":8081", "instances")
	if err != nil {
		return "", err
	}
	var served struct{ Hosts map[string]string }
	err = json.Unmarshal(content, &served)
	return served.Hosts["mta-sts."+s.domain], err
}

// mxStatus is what the status says of a live MX host.
func (s *story) mxStatus(ctx context.Context, name string) (v1alpha1.MXHost, error) {
	policy, err := s.policy(ctx)
	if err != nil {
		return v1alpha1.MXHost{}, err
	}
	for _, mx := range policy.Status.MX {
		if mx.Host == name+"."+s.domain {
			return mx, nil
		}
	}
	return v1alpha1.MXHost{}, fmt.Errorf("status.mx has no %s, but %+v", name, policy.Status.MX)
}
