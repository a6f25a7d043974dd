package e2e

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"
	dnsv1 "sigs.k8s.io/external-dns/apis/v1alpha1"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
)

// published is a text that senders read: a TXT record or a policy. The other one is "".
type published struct {
	TXT  *string `json:"txt,omitempty"`
	Body *string `json:"body,omitempty"`
}

func (p published) text() string {
	if p.TXT != nil {
		return *p.TXT
	}
	return *p.Body
}

// count says how many of each there are.
func count(all []published) (bodies, records int) {
	for _, p := range all {
		if p.TXT != nil {
			records++
		}
	}
	return len(all) - records, records
}

// collector keeps every policy that was ever given to a server, and every id record that was ever given to
// external-dns, by domain.
type collector struct {
	mu       sync.Mutex
	policies map[string]map[string]bool
	records  map[string]map[string]bool
}

func newCollector() *collector {
	return &collector{policies: map[string]map[string]bool{}, records: map[string]map[string]bool{}}
}

// collect watches until ctx ends. After an outage it begins with what is there.
func (c *collector) collect(ctx context.Context, from client.WithWatch) {
	ours := client.MatchingLabels{v1alpha1.ManagedByLabel: v1alpha1.ManagedBy}
	for _, list := range []client.ObjectList{&corev1.ConfigMapList{}, &dnsv1.DNSEndpointList{}} {
		go func() {
			said := ""
			for ctx.Err() == nil {
				if err := c.follow(ctx, from, list, ours); err != nil && ctx.Err() == nil && err.Error() != said {
					said = err.Error()
					fmt.Fprintf(os.Stderr, "e2e: collecting what is published: %v\n", err)
				}
				select {
				case <-ctx.Done():
				case <-time.After(time.Second):
				}
			}
		}()
	}
}

// follow notes each version until the API server ends the watch. A watch from nowhere begins with all that
// is there.
func (c *collector) follow(ctx context.Context, from client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
	w, err := from.Watch(ctx, list, opts...)
	if err != nil {
		return err
	}
	defer w.Stop()
	for event := range w.ResultChan() {
		if event.Type == watch.Error {
			return fmt.Errorf("%+v", event.Object.(*metav1.Status).Message)
		}
		switch o := event.Object.(type) {
		case *corev1.ConfigMap:
			for key, value := range o.Data {
				if domain, found := strings.CutPrefix(key, "mta-sts."); found {
					_, body, _ := strings.Cut(value, "\n")
					c.note(c.policies, domain, body)
				}
			}
		case *dnsv1.DNSEndpoint:
			for _, e := range o.Spec.Endpoints {
				if domain, found := strings.CutPrefix(e.DNSName, "_mta-sts."); found {
					c.note(c.records, domain, strings.Trim(e.Targets[0], `"`))
				}
			}
		}
	}
	return nil
}

func (c *collector) note(texts map[string]map[string]bool, domain, text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if texts[domain] == nil {
		texts[domain] = map[string]bool{}
	}
	texts[domain][text] = true
}

// of is all that was published for a domain.
func (c *collector) of(domain string) []published {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []published
	for _, txt := range slices.Sorted(maps.Keys(c.records[domain])) {
		all = append(all, published{TXT: &txt})
	}
	for _, body := range slices.Sorted(maps.Keys(c.policies[domain])) {
		all = append(all, published{Body: &body})
	}
	return all
}
