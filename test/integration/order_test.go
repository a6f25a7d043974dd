package integration

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"
	externaldnsv1alpha1 "sigs.k8s.io/external-dns/apis/v1alpha1"

	"github.com/mta-sts-operator/mta-sts-operator/controllers"
	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
	"github.com/mta-sts-operator/mta-sts-operator/internal/policyserver"
	"github.com/mta-sts-operator/mta-sts-operator/test/harness"
)

// order judges, at the very moment something changes, whether the order was kept that everything
// else depends on: every server serves an instance before DNS names its id, an id stands for one body
// for ever, and ids only rise, in DNS as well as in the objects that lead there.
type order struct {
	mu sync.Mutex
	// bodies is what every id that DNS ever answered stood for.
	bodies map[mtasts.ID]string
	// greatest is the greatest id seen so far, by place.
	greatest map[string]mtasts.ID
	// byHand are values that a story has put somewhere itself; "" forgives removal.
	byHand map[string]bool

	stopOnce sync.Once
	stop     func()
}

// answer is what one pod answered while DNS changed.
type answer struct{ pod, id, body, fault string }

func newOrder() *order {
	return &order{bodies: map[mtasts.ID]string{}, greatest: map[string]mtasts.ID{}, byHand: map[string]bool{}}
}

// forgive tells that these values are about to be written by hand.
func (o *order) forgive(values ...string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, value := range values {
		o.byHand[value] = true
	}
}

// answered judges what DNS answers from now on, given what the pods serve at this moment.
func (o *order) answered(records []string, pods []answer) (faults []string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(records) == 0 {
		if !o.byHand[""] {
			faults = append(faults, "the TXT record went away")
		}
		return faults
	}
	for _, record := range records {
		if o.byHand[record] {
			o.rise("DNS", idIn(record))
			return nil
		}
	}
	if len(records) > 1 {
		return []string{fmt.Sprintf("DNS answers several records: %q", records)}
	}
	id := idIn(records[0])
	if fault := o.rise("DNS", id); fault != "" {
		faults = append(faults, fault)
	}
	if len(pods) == 0 {
		faults = append(faults, fmt.Sprintf("id %s was announced while no pod was running", id))
	}
	for _, pod := range pods {
		known, reused := o.bodies[id]
		switch {
		case pod.fault != "":
			faults = append(faults, fmt.Sprintf("id %s was announced while pod %s did not answer: %s", id, pod.pod, pod.fault))
		case pod.id != string(id):
			faults = append(faults, fmt.Sprintf("id %s was announced while pod %s served id %q", id, pod.pod, pod.id))
		case reused && known != pod.body:
			faults = append(faults, fmt.Sprintf("id %s stood for %q and now stands for %q", id, known, pod.body))
		default:
			o.bodies[id] = pod.body
		}
	}
	return faults
}

// written judges a value that carries an id, seen in a place.
func (o *order) written(place, value string, id mtasts.ID) (fault string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if fault := o.rise(place, id); !o.byHand[value] {
		return fault
	}
	return ""
}

// rise notes an id, and says if it is smaller than one before it. Callers hold the lock.
func (o *order) rise(place string, id mtasts.ID) (fault string) {
	greatest := o.greatest[place]
	if id.Compare(greatest) >= 0 {
		o.greatest[place] = id
		return ""
	}
	return fmt.Sprintf("%s went back from id %s to %q", place, greatest, id)
}

// idIn is the id in a TXT record, or what is there instead of one.
func idIn(record string) mtasts.ID {
	parsed, err := mtasts.ParseRecord(record)
	if err != nil {
		return mtasts.ID(record)
	}
	return mtasts.ID(parsed.ID)
}

// watchOrder has the order judged from now on, for the story's domain, until the story ends.
func watchOrder(s *story) *order {
	s.t.Helper()
	o, namespace, domain := newOrder(), s.namespace, s.domain
	ctx, cancel := context.WithCancel(context.WithoutCancel(s.ctx))
	unhook := s.DNS.OnChange(func(c harness.Change) {
		if c.Type != "TXT" || c.Name != mtasts.RecordName(domain) {
			return
		}
		pods := s.askEach(ctx, namespace, domain)
		if ctx.Err() != nil {
			return // the story ended meanwhile
		}
		for _, fault := range o.answered(c.After, pods) {
			s.t.Error(fault)
		}
	})
	var watches sync.WaitGroup
	for _, list := range []client.ObjectList{&corev1.ConfigMapList{}, &externaldnsv1alpha1.DNSEndpointList{}} {
		w := s.watch(ctx, list, namespace)
		watches.Go(func() {
			for e := range w.ResultChan() {
				if object, ok := e.Object.(client.Object); ok && e.Type != watch.Deleted {
					s.judge(o, object, domain)
				}
			}
		})
	}
	o.stop = func() {
		unhook()
		cancel()
		watches.Wait()
	}
	s.t.Cleanup(o.end)
	return o
}

// end stops judging.
func (o *order) end() { o.stopOnce.Do(o.stop) }

func (s *story) watch(ctx context.Context, list client.ObjectList, namespace string) watch.Interface {
	s.t.Helper()
	c, err := client.NewWithWatch(plane.Config, client.Options{Scheme: controllers.NewScheme()})
	s.Expect(err).NotTo(HaveOccurred())
	w, err := c.Watch(ctx, list, client.InNamespace(namespace))
	s.Expect(err).NotTo(HaveOccurred())
	return w
}

// judge has the ids in a shard or in a DNSEndpoint judged.
func (s *story) judge(o *order, object client.Object, domain string) {
	switch object := object.(type) {
	case *corev1.ConfigMap:
		value, ok := object.Data[mtasts.PolicyHost(domain)]
		if !ok {
			return
		}
		// What is no entry is never served, so its id does not count.
		id, _, _ := policyserver.DecodeEntry(value)
		s.complain(o.written("the shard", value, id))
	case *externaldnsv1alpha1.DNSEndpoint:
		for _, e := range object.Spec.Endpoints {
			if e.DNSName == mtasts.RecordName(domain) && len(e.Targets) == 1 {
				record := strings.Trim(e.Targets[0], `"`)
				s.complain(o.written("the DNSEndpoint", record, idIn(record)))
			}
		}
	}
}

func (s *story) complain(fault string) {
	if fault != "" {
		s.t.Error(fault)
	}
}

// askEach asks every pod that may answer a sender, now or later, for its policy of a domain.
func (s *story) askEach(ctx context.Context, namespace, domain string) []answer {
	pods, err := s.Pods(ctx, namespace)
	if err != nil {
		return []answer{{pod: "?", fault: err.Error()}}
	}
	var out []answer
	for i := range pods {
		pod := &pods[i]
		leaving := pod.DeletionTimestamp != nil && !isReady(pod)
		if leaving || len(pod.Status.ContainerStatuses) == 0 || pod.Status.ContainerStatuses[0].State.Running == nil {
			continue
		}
		out = append(out, s.askOne(ctx, pod, domain))
	}
	return out
}

func (s *story) askOne(ctx context.Context, pod *corev1.Pod, domain string) answer {
	response, err := s.AskPod(ctx, pod, mtasts.PolicyHost(domain))
	if err != nil {
		return answer{pod: pod.Name, fault: err.Error()}
	}
	if response.Status != http.StatusOK {
		return answer{pod: pod.Name, fault: fmt.Sprintf("status %d", response.Status)}
	}
	return answer{pod: pod.Name, id: response.Header.Get(policyserver.HeaderID), body: response.Body}
}

func isReady(pod *corev1.Pod) bool {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

func TestTheOrderCheckerFindsEveryBreachOfTheOrder(t *testing.T) {
	const first, second, third = "20260101000000aaaaaaaa", "20260101000001bbbbbbbb", "20260101000002aaaaaaaa"
	record := func(id string) []string { return []string{mtasts.Record{ID: id}.String()} }
	both := func(id, body string) []answer { return []answer{{"p1", id, body, ""}, {"p2", id, body, ""}} }
	tests := map[string]struct {
		records []string
		pods    []answer
		want    string // "" if nothing is wrong
	}{
		"all pods serve the new id":                             {record(third), both(third, "C"), ""},
		"the same id again":                                     {record(second), both(second, "B"), ""},
		"one pod lags":                                          {record(third), []answer{{"p1", third, "C", ""}, {"p2", second, "B", ""}}, "pod p2 served id"},
		"one pod lags with equal bytes":                         {record(third), []answer{{"p1", second, "C", ""}, {"p2", third, "C", ""}}, "pod p1 served id"},
		"one pod is ahead":                                      {record(second), []answer{{"p1", second, "B", ""}, {"p2", third, "C", ""}}, "pod p2 served id"},
		"one pod does not answer":                               {record(third), []answer{{"p1", third, "C", ""}, {"p2", "", "", "timeout"}}, "pod p2 did not answer"},
		"no pod is running":                                     {record(third), nil, "no pod was running"},
		"the id goes back":                                      {record(first), both(first, "A"), "DNS went back"},
		"the id stands for another body":                        {record(second), both(second, "X"), "now stands for"},
		"two pods serve different bodies for one id":            {record(third), []answer{{"p1", third, "C", ""}, {"p2", third, "X", ""}}, "now stands for"},
		"the record goes away":                                  {nil, both(second, "B"), "went away"},
		"there are two records":                                 {append(record(second), record(third)...), both(third, "C"), "several records"},
		"the record is garbage":                                 {[]string{"v=STSv1"}, both(second, "B"), "went back"},
		"an older id was put there by hand":                     {record("20250101000000dddddddd"), both(second, "B"), ""},
		"after a greater id by hand the old one is a step back": {record(second), both(second, "B"), "DNS went back"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			o := newOrder()
			o.forgive(record("20250101000000dddddddd")[0], record("20270101000000dddddddd")[0])
			faults := append(o.answered(record(first), both(first, "A")), o.answered(record(second), both(second, "B"))...)
			if strings.HasPrefix(name, "after a greater id") {
				faults = append(faults, o.answered(record("20270101000000dddddddd"), both(second, "B"))...)
			}
			if len(faults) > 0 {
				t.Fatalf("complains too early: %q", faults)
			}
			got := strings.Join(o.answered(tt.records, tt.pods), "\n")
			if (tt.want == "") != (got == "") || !strings.Contains(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
	o := newOrder()
	if fault := o.written("the shard", "x", second); fault != "" {
		t.Error(fault)
	}
	if o.written("the shard", "y", first) == "" {
		t.Error("a shard that goes back is not noticed")
	}
}
