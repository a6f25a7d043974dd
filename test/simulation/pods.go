package simulation

import (
	"context"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
	"github.com/mta-sts-operator/mta-sts-operator/internal/policyserver"
)

const (
	serverName  = "mta-sts-server"
	shardPrefix = "mta-sts-policies"
	// notReadyAfter is when a node that is lost is given up for traffic, evictedAfter when its pods are.
	notReadyAfter = 40 * time.Second
	evictedAfter  = 6 * time.Minute
)

// cluster is the API server, the pods with their kubelets, and the usual controllers.
type cluster struct {
	store *store
	pods  []*pod
	ips   int
	// workloadDue and garbageDue are set while a round of a controller is on its way.
	workloadDue, garbageDue bool
}

// pod is a server pod with the product's own server in it, and the kubelet of its node.
type pod struct {
	namespace, name, ip string
	uid                 types.UID
	running             bool
	// silent pods do not answer the operator; lost ones do not answer anybody, and have no kubelet.
	silent, lost bool
	gone         bool

	server        *policyserver.Store
	public, admin http.Handler
	// volume is what is mounted, read when the API server had made that many writes.
	volume  map[string]string
	version int64
	pending bool
	// serves is what the server answers, by domain.
	serves map[string]served
}

type served struct{ id, body string }

// start is a container that begins with what is mounted, and no memory.
func (p *pod) start(now func() time.Time) {
	p.server = policyserver.NewStore(nil, nil, now)
	p.public = policyserver.NewHandler(p.server)
	p.admin = policyserver.NewAdminHandler(p.server, prometheus.NewRegistry(), p.server.Ready)
	p.running = true
}

// load lets the server read its volume.
func (s *sim) load(p *pod, volume map[string]string) {
	p.volume = volume
	p.server.Load(volume)
	p.serves = map[string]served{}
	for _, d := range s.domains {
		req := httptest.NewRequestWithContext(context.Background(), http.MethodGet, mtasts.PolicyURL(d.name), http.NoBody)
		answer := httptest.NewRecorder()
		p.public.ServeHTTP(answer, req)
		if answer.Code == http.StatusOK {
			p.serves[d.name] = served{answer.Header().Get(policyserver.HeaderID), answer.Body.String()}
			s.checkServed(d, p)
		}
	}
	s.dirty = true
}

// askPod answers the operator.
func (s *sim) askPod(req *http.Request) (*http.Response, error) {
	for _, p := range s.pods {
		if p.ip != req.URL.Hostname() || !p.running || p.gone || p.lost || p.silent {
			continue
		}
		handler := p.public
		if req.URL.Port() == "8081" {
			handler = p.admin
		}
		answer := httptest.NewRecorder()
		handler.ServeHTTP(answer, req)
		return answer.Result(), nil
	}
	return nil, errNet
}

// shards are what a kubelet reads for a pod of the namespace now.
func (s *sim) shards(namespace string) map[string]string {
	out := map[string]string{}
	for _, o := range s.store.list("ConfigMap") {
		if o.GetNamespace() == namespace && strings.HasPrefix(o.GetName(), shardPrefix) {
			maps.Copy(out, o.(*corev1.ConfigMap).Data)
		}
	}
	return out
}

// sync lets the kubelet bring the pod what the shards hold, in two steps: what is read is served a
// while later, whatever was written meanwhile.
func (s *sim) sync(p *pod, lag time.Duration) {
	if p.pending {
		return
	}
	p.pending = true
	s.after(s.within(lag), func() {
		read, version := s.shards(p.namespace), s.store.version
		s.after(s.within(lag), func() {
			p.pending = false
			if p.gone || p.lost || !p.running || version < p.version {
				return
			}
			p.version = version
			if !maps.Equal(read, p.volume) {
				s.load(p, read)
			}
			s.refreshStatus(p)
			if !maps.Equal(read, s.shards(p.namespace)) {
				s.sync(p, time.Minute)
			}
		})
	})
}

// object is the live pod object; nil if it is gone.
func (s *sim) object(p *pod) *corev1.Pod {
	o, _ := s.store.get("Pod", types.NamespacedName{Namespace: p.namespace, Name: p.name}).(*corev1.Pod)
	if o == nil || o.UID != p.uid {
		return nil
	}
	return o
}

// ready says what the API server knows.
func ready(o *corev1.Pod) bool {
	return o != nil && slices.ContainsFunc(o.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

// mayGetTraffic says whether a sender's request may end at the pod.
func (s *sim) mayGetTraffic(p *pod) bool {
	return p.running && !p.gone && !p.lost && ready(s.object(p))
}

// terminate ends a pod that is being deleted: it leaves the traffic, and then the node.
func (s *sim) terminate(p *pod) {
	s.after(s.within(5*time.Second), func() {
		if !p.lost {
			s.report(p, false)
		}
	})
	s.after(5*time.Second+s.within(25*time.Second), func() { s.gone(p) })
}

func (s *sim) gone(p *pod) {
	o := s.object(p)
	if p.gone || p.lost || o == nil {
		return // a lost node tells when it is back
	}
	p.gone = true
	s.pods = slices.DeleteFunc(s.pods, func(other *pod) bool { return other == p })
	s.store.remove(o, "kubelet")
	s.dirty = true
}

// lose cuts the node of a pod off for d.
func (s *sim) lose(p *pod, d time.Duration) {
	s.tell("the node of %s/%s is lost for %s", p.namespace, p.name, d)
	p.lost = true
	s.dirty = true
	s.after(notReadyAfter, func() {
		if p.lost {
			s.report(p, false)
		}
	})
	s.after(evictedAfter, func() {
		if o := s.object(p); p.lost && o != nil {
			_ = s.store.delete(o, client.DeleteOptions{}, "node-controller") // it exists
		}
	})
	s.after(d, func() {
		p.lost = false
		o := s.object(p)
		if o == nil || !o.DeletionTimestamp.IsZero() {
			s.tell("%s/%s comes back and is ended", p.namespace, p.name)
			s.gone(p)
			return
		}
		s.tell("%s/%s comes back with %v", p.namespace, p.name, p.ids())
		s.refreshStatus(p)
		s.sync(p, 90*time.Second)
	})
}

// ids is what a pod serves, for the story.
func (p *pod) ids() map[string]string {
	out := map[string]string{}
	for domain, s := range p.serves {
		out[domain] = s.id
	}
	return out
}
