package simulation

import (
	"strings"
	"time"

	cmv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	cmmetav1 "github.com/cert-manager/cert-manager/pkg/apis/meta/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/mta-sts-operator/mta-sts-operator/controllers"
)

// namespaces of this world.
var namespaces = []string{"alpha", "beta"}

// ingressAddress is where every Ingress answers.
const ingressAddress = "198.51.100.7"

// changed is everybody who watches.
func (s *sim) changed(c change, by string) {
	for _, l := range s.leaders {
		s.deliver(l, c.kind)
	}
	leaving := c.after == nil || !c.after.GetDeletionTimestamp().IsZero()
	if leaving || (len(c.after.GetOwnerReferences()) > 0 && c.before == nil) {
		s.collectGarbage()
	}
	s.dirty = true
	switch c.kind {
	case "ConfigMap":
		lag := pick(s, 3*time.Second, 10*time.Second, 90*time.Second)
		for _, p := range s.pods {
			if p.namespace == c.namespace && p.running {
				s.sync(p, lag)
			}
		}
	case "Pod":
		s.podChanged(c)
	case "Deployment":
		s.workload()
	case "DNSEndpoint":
		s.externalDNS(0)
	case "Ingress":
		if c.before == nil {
			s.address(c.after.(*networkingv1.Ingress))
		}
	case "Certificate":
		if c.before == nil {
			s.issue(c.after.(*cmv1.Certificate))
		}
	}
	if by == controllers.FieldOwner {
		s.checkWrite(c)
	}
	if by == "garbage-collector" && c.after == nil {
		s.checkCollected(c)
	}
}

func (s *sim) podChanged(c change) {
	if c.after == nil {
		s.workload()
		return
	}
	for _, p := range s.pods {
		if p.uid != c.after.GetUID() {
			continue
		}
		if c.before == nil || c.before.GetDeletionTimestamp().IsZero() != c.after.GetDeletionTimestamp().IsZero() {
			s.workload()
			if !c.after.GetDeletionTimestamp().IsZero() {
				s.terminate(p)
			}
		}
		if c.before != nil && len(c.before.GetAnnotations()) != len(c.after.GetAnnotations()) {
			p.pending = false // a nudge brings the next sync forward
			s.sync(p, 2*time.Second)
		}
	}
}

// collectGarbage has the garbage collector make a round soon, and another while there is work.
func (s *sim) collectGarbage() {
	if s.garbageDue {
		return
	}
	s.garbageDue = true
	s.after(200*time.Millisecond+s.within(10*time.Second), func() {
		s.garbageDue = false
		if s.store.collect() {
			s.collectGarbage()
		}
	})
}

// address is the Ingress controller: it writes where an Ingress answers.
func (s *sim) address(o *networkingv1.Ingress) {
	s.after(s.within(pick(s, 5*time.Second, 2*time.Minute)), func() {
		live, _ := s.store.get("Ingress", types.NamespacedName{Namespace: o.Namespace, Name: o.Name}).(*networkingv1.Ingress)
		if live == nil || live.UID != o.UID {
			return
		}
		next := live.DeepCopy()
		next.Status.LoadBalancer.Ingress = []networkingv1.IngressLoadBalancerIngress{{IP: ingressAddress}}
		s.store.updateStatus(next, "ingress-controller")
	})
}

// issue is cert-manager: it issues after a while, and now and then it fails for longer before that.
func (s *sim) issue(o *cmv1.Certificate) {
	wait := s.within(pick(s, 10*time.Second, time.Minute))
	if s.chance(4) && !s.over {
		wait = s.within(6 * time.Hour)
		s.certify(o, time.Second, cmmetav1.ConditionFalse, "the CA does not answer")
	}
	s.certify(o, wait, cmmetav1.ConditionTrue, "")
}

func (s *sim) certify(o *cmv1.Certificate, wait time.Duration, status cmmetav1.ConditionStatus, message string) {
	s.after(wait, func() {
		live := s.certificate(o.Namespace, strings.TrimPrefix(o.Name, "mta-sts."))
		if live == nil || live.UID != o.UID {
			return
		}
		next := live.DeepCopy()
		next.Status.Conditions = []cmv1.CertificateCondition{{Type: cmv1.CertificateConditionReady, Status: status, Message: message}}
		if status == cmmetav1.ConditionTrue {
			next.Status.NotAfter = new(metav1.NewTime(birth.Add(400 * day)))
		}
		s.store.updateStatus(next, "cert-manager")
	})
}

func (s *sim) certificate(namespace, domain string) *cmv1.Certificate {
	o, _ := s.store.get("Certificate", types.NamespacedName{Namespace: namespace, Name: "mta-sts." + domain}).(*cmv1.Certificate)
	return o
}

// route is the namespace whose Ingress gets the requests for a domain's policy host: the oldest one's;
// "" if there is none.
func (s *sim) route(domain string) string {
	var oldest *networkingv1.Ingress
	for _, ns := range namespaces {
		o, _ := s.store.get("Ingress", types.NamespacedName{Namespace: ns, Name: "mta-sts." + domain}).(*networkingv1.Ingress)
		if o != nil && (oldest == nil || o.CreationTimestamp.Time.Before(oldest.CreationTimestamp.Time)) {
			oldest = o
		}
	}
	if oldest == nil {
		return ""
	}
	return oldest.Namespace
}

// certified says whether the Ingress of a namespace has the domain's certificate.
func (s *sim) certified(namespace, domain string) bool {
	c := s.certificate(namespace, domain)
	if c == nil {
		return s.issued[namespace+"/"+domain] // the Secret outlives the Certificate
	}
	for _, cond := range c.Status.Conditions {
		if cond.Type == cmv1.CertificateConditionReady && cond.Status == cmmetav1.ConditionTrue {
			s.issued[namespace+"/"+domain] = true
		}
	}
	return s.issued[namespace+"/"+domain]
}

// serviceExists says whether an Ingress of the namespace reaches the pods.
func (s *sim) serviceExists(namespace string) bool {
	o, _ := s.store.get("Service", types.NamespacedName{Namespace: namespace, Name: serverName}).(*corev1.Service)
	return o != nil
}
