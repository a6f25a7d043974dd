package controllers

import (
	"context"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/controllers/internal/publication"
	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
)

// instances is what the server pods of every namespace reported last, seen from each domain: written
// by the server controller, read by the domain controller.
type instances struct {
	ask  *asker
	wake chan event.TypedGenericEvent[domainKey]

	mu sync.Mutex
	// views and ahead are by namespace and domain, of domains with a publication there.
	views map[string]map[string]view
	ahead map[string]map[string]publication.Greater
	// planted are instances in shards whose ids cannot be ours, by namespace and domain.
	planted map[string]map[string]publication.Greater
	// obstacles says, by namespace, why there can be no policy server.
	obstacles map[string]string
}

// view is what the pods of a namespace say about one domain's instance.
type view struct {
	id      string
	servers publication.Servers
	witness publication.Witness
}

func newInstances(ask *asker) *instances {
	return &instances{
		ask: ask, wake: make(chan event.TypedGenericEvent[domainKey], 1024),
		views: map[string]map[string]view{}, ahead: map[string]map[string]publication.Greater{},
		planted:   map[string]map[string]publication.Greater{},
		obstacles: map[string]string{},
	}
}

// view is what is known about the instance with this id; unknown if the pods were asked about another.
func (i *instances) view(namespace, domain, id string) publication.Servers {
	i.mu.Lock()
	defer i.mu.Unlock()
	if v := i.views[namespace][domain]; v.id == id {
		return v.servers
	}
	return publication.Servers{Obstacle: i.obstacles[namespace]}
}

// witness is the pod of the namespace that serves the domain's last id for longest.
func (i *instances) witness(namespace, domain string) publication.Witness {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.views[namespace][domain].witness
}

// obstructed notes what is in the way of a namespace's server, "" for nothing, and wakes its domains.
func (i *instances) obstructed(ctx context.Context, namespace, obstacle string, publications []v1alpha1.MTASTSPublication) {
	i.mu.Lock()
	changed := i.obstacles[namespace] != obstacle
	if obstacle == "" {
		delete(i.obstacles, namespace)
	} else {
		i.obstacles[namespace] = obstacle
	}
	i.mu.Unlock()
	if !changed {
		return
	}
	for k := range publications {
		i.wakeUp(ctx, publications[k].Spec.Domain)
	}
}

// greater is an instance of ours, found in a shard, that the domain's publication does not know.
func (i *instances) greater(namespace, domain string) *publication.Greater {
	i.mu.Lock()
	defer i.mu.Unlock()
	if g, ok := i.ahead[namespace][domain]; ok {
		return &g
	}
	return nil
}

// foundAhead notes such an instance and wakes the domain.
func (i *instances) foundAhead(ctx context.Context, namespace, domain string, g publication.Greater) {
	i.mu.Lock()
	known := i.ahead[namespace][domain].ID == g.ID
	if i.ahead[namespace] == nil {
		i.ahead[namespace] = map[string]publication.Greater{}
	}
	i.ahead[namespace][domain] = g
	i.mu.Unlock()
	if !known {
		i.wakeUp(ctx, domain)
	}
}

// foundPlanted notes what the shards of a namespace hold that cannot be ours, by domain, and wakes those of which
// that is news.
func (i *instances) foundPlanted(ctx context.Context, namespace string, planted map[string]publication.Greater) {
	var news []string
	i.mu.Lock()
	before := i.planted[namespace]
	for domain, g := range planted {
		if before[domain].ID != g.ID {
			news = append(news, domain)
		}
	}
	if i.planted[namespace] = planted; len(planted) == 0 {
		delete(i.planted, namespace)
	}
	i.mu.Unlock()
	for _, domain := range news {
		i.wakeUp(ctx, domain)
	}
}

// plantedIn is what stands in the domain's shard and cannot be ours; nil if there is no such thing.
func (i *instances) plantedIn(namespace, domain string) *publication.Greater {
	i.mu.Lock()
	defer i.mu.Unlock()
	if g, ok := i.planted[namespace][domain]; ok {
		return &g
	}
	return nil
}

// update replaces the views of a namespace by these, which are its own from now on, and wakes the domains for which something changed.
func (i *instances) update(ctx context.Context, namespace string, views map[string]view) (anyChanged bool) {
	now := i.ask.clock.Now()
	var changed []string
	i.mu.Lock()
	before := i.views[namespace]
	for domain, v := range views {
		old, known := before[domain]
		var same *publication.Servers
		if old.id == v.id {
			same = &old.servers
		}
		v.servers.Follow(same, now)
		views[domain] = v
		// The witness wakes nobody: pods come and go.
		if !known || old.id != v.id || !reflect.DeepEqual(old.servers, v.servers) {
			changed = append(changed, domain)
		}
	}
	i.views[namespace] = views
	maps.DeleteFunc(i.ahead[namespace], func(domain string, _ publication.Greater) bool {
		_, published := views[domain]
		return !published
	})
	i.mu.Unlock()
	for _, domain := range changed {
		i.wakeUp(ctx, domain)
	}
	return len(changed) > 0
}

// forget drops everything about a namespace that has no server any more.
func (i *instances) forget(namespace string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	delete(i.views, namespace)
	delete(i.ahead, namespace)
	delete(i.planted, namespace)
	delete(i.obstacles, namespace)
}

// wakeUp makes the domain controller look at a domain.
func (i *instances) wakeUp(ctx context.Context, domain string) {
	select {
	case i.wake <- event.TypedGenericEvent[domainKey]{Object: domainKey{domain}}:
	case <-ctx.Done():
	}
}

// servedBy says, from one round of questions, whether every pod serves the instance with this id.
func servedBy(reports []report, domain, id string, announced bool) publication.Servers {
	host := mtasts.PolicyHost(domain)
	out := publication.Servers{Known: true}
	for _, rep := range reports {
		if rep.ready {
			out.Ready++
		}
		have := rep.hosts[host]
		behind := publication.Behind{Pod: rep.pod, Node: rep.node, ID: string(have), Since: rep.failingSince}
		switch {
		case rep.failed && rep.ready:
			behind.Problem = v1alpha1.ReasonProbeBlocked
		case rep.failed:
			behind.Problem = v1alpha1.ReasonReplicaUnreachable
		case have == mtasts.ID(id):
			continue
		case have.Compare(mtasts.ID(id)) < 0:
			behind.Problem = v1alpha1.ReasonReplicaLagging
		default: // nobody here has published that: it proves nothing of ours
			behind.Problem = v1alpha1.ReasonWrongBytes
		}
		if !rep.failed && announced && rep.ready && have != "" {
			out.Older = append(out.Older, string(have))
		}
		out.Behind = append(out.Behind, behind)
	}
	slices.SortFunc(out.Behind, func(a, b publication.Behind) int { return strings.Compare(a.Pod, b.Pod) })
	slices.Sort(out.Older)
	out.Older = slices.Compact(out.Older)
	return out
}

// report is one pod's answer.
type report struct {
	pod, node string
	ready     bool
	// failed is set if the pod did not answer; failingSince is since when.
	failed       bool
	failingSince time.Time
	hosts        map[string]mtasts.ID
	// began is when the pod's container began, as its kubelet says.
	began time.Time
}

// witnessOf is the pod that runs longest of those that answered that they serve the id.
func witnessOf(reports []report, domain, id string) (out publication.Witness) {
	for _, rep := range reports {
		serves := !rep.failed && !rep.began.IsZero() && id != "" && string(rep.hosts[mtasts.PolicyHost(domain)]) == id
		if serves && (out.ID == "" || rep.began.Before(out.Since)) {
			out = publication.Witness{ID: id, Since: rep.began}
		}
	}
	return out
}
