package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
	"github.com/mta-sts-operator/mta-sts-operator/internal/policyserver"
	"github.com/mta-sts-operator/mta-sts-operator/internal/tlsrpt"
	"github.com/mta-sts-operator/mta-sts-operator/test/harness"
)

// order is the witness of the promise "body before id": no id is in DNS before every pod serves it.
type order struct {
	stage  *stage
	out    *printer
	domain string

	mu        sync.Mutex
	served    map[string]map[string]time.Time // by id and pod: when a pod was first seen with it
	announced map[string]time.Time            // by id: when DNS changed to it
	broken    []error
}

// watch looks at every change of DNS until the returned function is called.
func (o *order) watch() (stop func()) {
	return o.stage.world.DNS.OnChange(func(c harness.Change) {
		switch c.Name {
		case mtasts.RecordName(o.domain):
			o.check(c)
		case o.domain, mtasts.PolicyHost(o.domain), tlsrpt.RecordName(o.domain):
		default:
			return // external-dns' own records of ownership
		}
		value := "removed"
		if len(c.After) > 0 {
			value = strings.Join(c.After, ", ")
		}
		if c.Type == "TXT" && len(c.After) > 0 {
			value = `"` + strings.Join(c.After, `" "`) + `"`
		}
		o.out.tell(yellow, "DNS", fmt.Sprintf("%s %s %s", c.Name, c.Type, value))
	})
}

// check runs right after DNS has changed and before anything else happens in this world: a pod that
// is behind now was behind when the first sender could read the new id.
func (o *order) check(c harness.Change) {
	record, err := mtasts.FindRecord(c.After)
	if err != nil {
		return // the record was removed
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	pods, err := o.stage.world.Pods(ctx, namespace)
	if err == nil && len(pods) == 0 {
		err = errors.New("there is no pod")
	}
	if err != nil {
		o.violated(fmt.Errorf("DNS announces id %s: %w", record.ID, err))
	}
	for i := range pods {
		have := o.ask(ctx, &pods[i])
		if mtasts.ID(have).Compare(mtasts.ID(record.ID)) < 0 {
			o.violated(fmt.Errorf("DNS announces id %s, but pod %s serves %q", record.ID, pods[i].Name, have))
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.announced[record.ID] = c.Time
}

func (o *order) violated(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.broken = append(o.broken, err)
}

// ask returns the id that a pod serves, "" if none, and remembers when that was first so.
func (o *order) ask(ctx context.Context, pod *corev1.Pod) string {
	answer, err := o.stage.world.AskPod(ctx, pod, mtasts.PolicyHost(o.domain))
	if err != nil {
		return ""
	}
	id := answer.Header.Get(policyserver.HeaderID)
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.served[id] == nil {
		o.served[id] = map[string]time.Time{}
	}
	if o.served[id][pod.Name].IsZero() {
		o.served[id][pod.Name] = time.Now()
	}
	return id
}

// verdict says how one id came to the world, or returns an error if that was in the wrong order.
func (o *order) verdict(id string) (string, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := errors.Join(o.broken...); err != nil {
		return "", withHint(fmt.Errorf("the order was violated: %w", err), "This must not happen: please report it, with everything above.")
	}
	announced, ok := o.announced[id]
	if !ok {
		return "", fmt.Errorf("id %s is in force, but DNS was never seen to change to it", id)
	}
	var steps []string
	pods := slices.Sorted(maps.Keys(o.served[id]))
	slices.SortStableFunc(pods, func(a, b string) int { return o.served[id][a].Compare(o.served[id][b]) })
	for _, pod := range pods {
		at := o.served[id][pod]
		if at.After(announced) {
			continue // a pod that came later
		}
		steps = append(steps, shortPod(pod)+" at "+o.out.at(at))
	}
	if len(steps) == 0 {
		return "", fmt.Errorf("id %s is in force, but no pod was seen to serve it before DNS changed", id)
	}
	return strings.Join(steps, ", then ") + ", then DNS at " + o.out.at(announced), nil
}
