package controllers

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	cmv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	externaldnsv1alpha1 "sigs.k8s.io/external-dns/apis/v1alpha1"
	"sigs.k8s.io/external-dns/endpoint"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/controllers/internal/fair"
	"github.com/mta-sts-operator/mta-sts-operator/controllers/internal/publication"
	"github.com/mta-sts-operator/mta-sts-operator/controllers/internal/resources"
)

// byDomainIndexed is a client that finds policies and publications by their domain.
func byDomainIndexed(objects ...client.Object) client.WithWatch {
	byDomain := func(o client.Object) []string {
		keys := domainOf(context.Background(), o)
		return []string{keys[0].Domain}
	}
	return fake.NewClientBuilder().WithScheme(NewScheme()).WithObjects(objects...).
		WithIndex(&v1alpha1.MTASTSPolicy{}, domainIndex, byDomain).
		WithIndex(&v1alpha1.MTASTSPublication{}, domainIndex, byDomain).Build()
}

func passesOf(api client.Client) *Passes {
	return NewPasses(Parts{
		Client: api, Live: api, Recorder: events.NewFakeRecorder(10),
		Bounds: func(now time.Time) (earlier, later time.Time) { return now, now },
	}, Options{Clock: clocktesting.NewFakeClock(testNow)})
}

// remembered counts what the controllers know by domain.
func (p *Passes) remembered() map[string]int {
	i := p.domains.instances
	out := map[string]int{
		"memories": len(p.domains.memories.byDomain), "standings": len(p.domains.memories.standings), "tries": len(p.domains.patience.tries),
		"MX hosts": len(p.domains.mxHosts.byName), "domains of MX hosts": len(p.domains.mxHosts.byDomain),
	}
	for _, views := range i.views {
		out["views"] += len(views)
	}
	for _, ahead := range i.ahead {
		out["ahead"] += len(ahead)
	}
	maps.DeleteFunc(out, func(_ string, n int) bool { return n == 0 })
	return out
}

func TestNothingIsRememberedOfADomainThatNobodyPublishes(t *testing.T) {
	p := passesOf(byDomainIndexed())
	for k := range 10000 {
		if _, err := p.Domain(t.Context(), fmt.Sprintf("d%d.example", k)); err != nil {
			t.Fatal(err)
		}
	}
	p.domains.memories.doubt("other.example")
	if got := p.remembered(); len(got) > 0 {
		t.Errorf("remembered: %v", got)
	}
}

func TestWhatIsRememberedEndsWithTheDomain(t *testing.T) {
	p := passesOf(byDomainIndexed())
	ctx := t.Context()
	for k := range 10000 {
		domain := fmt.Sprintf("d%d.example", k)
		m := p.domains.memories.of(domain)
		m.sawMX("mx1."+domain, testNow.Add(time.Hour))
		p.domains.mxHosts.want(domain, "mail", []string{"mx1." + domain}, nil, fair.Rest, testNow)
		p.domains.memories.stands(domain, standing{namespace: "mail", level: fair.Edit})
		p.domains.patience.tryAgain(domainKey{domain}, errStaleCache)
		p.domains.instances.foundAhead(ctx, "mail", domain, publication.Greater{ID: "20260101000000x"})
		p.domains.instances.update(ctx, "mail", map[string]view{domain: {id: "x", servers: publication.Servers{Known: true, Ready: 1}}})
		for range len(p.domains.instances.wake) {
			<-p.domains.instances.wake
		}
		// The domain retired: it has neither policy nor publication any more.
		if _, err := p.Domain(ctx, domain); err != nil {
			t.Fatal(err)
		}
	}
	if got := p.remembered(); got["views"] > 1 || got["ahead"] > 1 || len(got) > 2 { // of the namespace's last
		t.Errorf("remembered: %v", got)
	}
	p.domains.instances.forget("mail")
	if got := p.remembered(); len(got) > 0 {
		t.Errorf("remembered: %v", got)
	}
}

func TestAZoneThatAnswersOtherMXHostsEachTimeIsBounded(t *testing.T) {
	m := newMemory(testDomain)
	for k := range 10000 {
		m.sawMX(fmt.Sprintf("mx%d.example.com", k), testNow.Add(time.Duration(k)*time.Hour))
	}
	if len(m.mxSeen) > mostMXSeen {
		t.Errorf("%d hosts are remembered", len(m.mxSeen))
	}
	if _, ok := m.mxSeen["mx9999.example.com"]; !ok {
		t.Error("the one that lives longest was forgotten")
	}
}

func TestOnlyAChildBesideItsPublicationWakesADomain(t *testing.T) {
	publication := &v1alpha1.MTASTSPublication{ObjectMeta: metav1.ObjectMeta{Namespace: "mail", Name: "d.example"}}
	r := passesOf(byDomainIndexed(publication)).domains
	for _, tt := range []struct {
		name, namespace, object, domain string
		wakes                           bool
	}{
		{"the Ingress of a domain", "mail", "mta-sts.d.example", "d.example", true},
		{"the record with its id", "mail", "mta-sts-id.d.example", "d.example", true},
		{"an Ingress of another name", "mail", "x", "d.example", false},
		{"one in another namespace", "other", "mta-sts.d.example", "d.example", false},
		{"one of a domain that nobody publishes", "mail", "mta-sts.e.example", "e.example", false},
		{"one without a domain", "mail", "mta-sts.", "", false},
		{"200 kB for a domain", "mail", "mta-sts.d.example", strings.Repeat("d", 200<<10), false},
		{"a domain with a slash", "mail", "mta-sts.d/../example", "d/../example", false},
	} {
		ingress := &networkingv1.Ingress{ObjectMeta: metav1.ObjectMeta{
			Namespace: tt.namespace, Name: tt.object, Annotations: map[string]string{v1alpha1.DomainAnnotation: tt.domain},
		}}
		if got := r.domainOfChild(t.Context(), ingress); (len(got) > 0) != tt.wakes {
			t.Errorf("%s: wakes %v", tt.name, got)
		}
	}
}

// huge is an object's worth of annotations and labels of somebody else.
func huge(seed int) (labels, annotations map[string]string) {
	labels, annotations = map[string]string{}, map[string]string{}
	for k := range 1000 {
		labels[fmt.Sprintf("example.com/l%d-%d", seed, k)] = strings.Repeat("l", 60)
		annotations[fmt.Sprintf("example.com/a%d-%d", seed, k)] = strings.Repeat("a", 200)
	}
	annotations[v1alpha1.DomainAnnotation] = strings.Repeat("d", 100<<10)
	maps.Copy(labels, resources.DomainLabels("d.example"))
	return labels, annotations
}

func TestTheCacheHoldsLittleOfWhatOthersWrite(t *testing.T) {
	containers := []corev1.Container{{Name: resources.ServerContainer, Args: []string{strings.Repeat("x", 500<<10)}}}
	for k := range 5000 {
		containers[0].Ports = append(containers[0].Ports, corev1.ContainerPort{Name: fmt.Sprintf("p%d", k), ContainerPort: 1})
	}
	ingress := &networkingv1.Ingress{}
	for k := range 5000 {
		ingress.Spec.Rules = append(ingress.Spec.Rules, networkingv1.IngressRule{Host: fmt.Sprintf("h%d.example", k)})
		ingress.Status.LoadBalancer.Ingress = append(ingress.Status.LoadBalancer.Ingress, networkingv1.IngressLoadBalancerIngress{IP: "192.0.2.1"})
	}
	for _, o := range []client.Object{
		&corev1.Pod{Spec: corev1.PodSpec{Containers: containers}, Status: corev1.PodStatus{Message: strings.Repeat("m", 100<<10)}},
		ingress,
		&cmv1.Certificate{Spec: cmv1.CertificateSpec{DNSNames: strings.Split(strings.Repeat("x.example,", 20000), ",")}},
		&externaldnsv1alpha1.DNSEndpoint{Spec: externaldnsv1alpha1.DNSEndpointSpec{Endpoints: make([]*endpoint.Endpoint, 9000)}},
		&corev1.ServiceAccount{Secrets: make([]corev1.ObjectReference, 5000)},
		&metav1.PartialObjectMetadata{},
		&v1alpha1.MTASTSPolicy{},
		&v1alpha1.MTASTSPublication{},
	} {
		labels, annotations := huge(0)
		o.SetLabels(labels)
		o.SetAnnotations(annotations)
		slim, err := newSlimmer().slim(o)
		if err != nil {
			t.Fatal(err)
		}
		if bytes := encodedBytes(slim); bytes > 16<<10 {
			t.Errorf("%T: %d bytes are held", o, bytes)
		}
	}
}

func TestTheSetsThatObjectsShareAreBoundedInBytes(t *testing.T) {
	s := newSlimmer()
	for k := range 200000 {
		s.known(map[string]string{"example.com/a": fmt.Sprintf("%d-%s", k, strings.Repeat("v", 900))})
	}
	bytes := 0
	for _, generation := range []map[uint64]map[string]string{s.recent, s.older} {
		for _, set := range generation {
			bytes += metaBytes(set)
		}
	}
	if bytes > 2*mostSetBytes {
		t.Errorf("%d bytes of other people's values are held", bytes)
	}
}

func TestAnnotationsOfAPolicyAreSeenAmongManyOfOthers(t *testing.T) {
	wanted := map[string]string{v1alpha1.AppliedAnnotation: "1", "example.com/class": strings.Repeat("c", 1000), "example.com/timeout": "30s"}
	live := maps.Clone(wanted)
	live["example.org/other"] = strings.Repeat("o", 50<<10)
	covers := func(live map[string]string) bool {
		have, want := map[string]any{}, map[string]any{}
		cached := boundedAnnotations(live)
		for key, value := range cached {
			have[key] = value
		}
		for key, value := range asCached(wanted, cached) {
			want[key] = value
		}
		return resources.Covers(have, want)
	}
	if !covers(maps.Clone(live)) {
		t.Error("what is there is not seen")
	}
	live["example.com/timeout"] = "31s"
	if covers(live) {
		t.Error("a value that somebody changed is not seen")
	}
	if got := withoutHashes(boundedAnnotations(live)); len(got) != 1 {
		t.Errorf("%v can be written", got)
	}
}
