package integration

import (
	"maps"
	"strings"
	"testing"

	cmv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	externaldnsv1alpha1 "sigs.k8s.io/external-dns/apis/v1alpha1"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
)

// child is one object that the operator makes, and what a hand may do to it.
type child struct {
	kind   string
	object client.Object
	spoil  func(client.Object)
}

// domainChildren are the children of the story's publication.
func (s *story) domainChildren() []child {
	named := func(o client.Object, name string) client.Object {
		o.SetNamespace(s.namespace)
		o.SetName(name)
		return o
	}
	wrongTarget := func(o client.Object) {
		o.(*externaldnsv1alpha1.DNSEndpoint).Spec.Endpoints[0].Targets[0] = `"somebody was here"`
	}
	host := "mta-sts." + s.domain
	return []child{
		{"Ingress", named(&networkingv1.Ingress{}, host), func(o client.Object) {
			o.(*networkingv1.Ingress).Spec.Rules[0].HTTP.Paths[0].Path = "/elsewhere"
		}},
		{"Certificate", named(&cmv1.Certificate{}, host), func(o client.Object) {
			o.(*cmv1.Certificate).Spec.DNSNames = []string{"other." + s.domain}
		}},
		{"DNSEndpoint of the host", named(&externaldnsv1alpha1.DNSEndpoint{}, host), wrongTarget},
		{"DNSEndpoint of the id", named(&externaldnsv1alpha1.DNSEndpoint{}, "mta-sts-id."+s.domain), wrongTarget},
		{"DNSEndpoint of the reports", named(&externaldnsv1alpha1.DNSEndpoint{}, "smtp-tls."+s.domain), wrongTarget},
	}
}

// serverChildren are what the server of the story's namespace is made of, the anchor last.
func (s *story) serverChildren() []child {
	named := func(o client.Object, name string) client.Object {
		o.SetNamespace(s.namespace)
		o.SetName(name)
		return o
	}
	const server = "mta-sts-server"
	return []child{
		{"ConfigMap", named(&corev1.ConfigMap{}, "mta-sts-policies"), func(o client.Object) {
			o.(*corev1.ConfigMap).Data = map[string]string{}
		}},
		{"Deployment", named(&appsv1.Deployment{}, server), func(o client.Object) {
			o.(*appsv1.Deployment).Spec.Template.Spec.Containers[0].Image = "example.com/other:1"
		}},
		{"Service", named(&corev1.Service{}, server), func(o client.Object) {
			o.(*corev1.Service).Spec.Ports[0].TargetPort = intstr.FromInt32(1)
		}},
		{"PodDisruptionBudget", named(&policyv1.PodDisruptionBudget{}, server), func(o client.Object) {
			o.(*policyv1.PodDisruptionBudget).Spec.MaxUnavailable = new(intstr.FromInt32(0))
		}},
		{"NetworkPolicy", named(&networkingv1.NetworkPolicy{}, server), func(o client.Object) {
			o.(*networkingv1.NetworkPolicy).Spec.Ingress = nil
		}},
		{"ServiceAccount", named(&corev1.ServiceAccount{}, server), func(o client.Object) {
			o.(*corev1.ServiceAccount).AutomountServiceAccountToken = new(true)
		}},
	}
}

// wanted is what the operator wants of an object: everything but what only the API server, the
// controllers of others and time decide.
func (s *story) wanted(o client.Object) (map[string]any, error) {
	gvk, err := apiutil.GVKForObject(o, s.api.Scheme())
	if err != nil {
		return nil, err
	}
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(gvk)
	if err := s.api.Get(s.ctx, client.ObjectKeyFromObject(o), u); err != nil {
		return nil, err
	}
	out := map[string]any{
		"labels": u.GetLabels(), "annotations": u.GetAnnotations()[v1alpha1.DomainAnnotation],
		"owners": u.Object["metadata"].(map[string]any)["ownerReferences"], "spec": u.Object["spec"], "data": u.Object["data"],
		"token": u.Object["automountServiceAccountToken"],
	}
	if u.GetKind() == "Service" {
		spec := maps.Clone(u.Object["spec"].(map[string]any))
		delete(spec, "clusterIP")
		delete(spec, "clusterIPs")
		out["spec"] = spec
	}
	return out, nil
}

// spoil lets somebody change an object.
func (s *story) spoil(o client.Object, change func(client.Object)) {
	s.t.Helper()
	s.Eventually(func() error {
		if err := s.api.Get(s.ctx, client.ObjectKeyFromObject(o), o); err != nil {
			return err
		}
		change(o)
		return s.api.Update(s.ctx, o)
	}).Should(Succeed())
}

func TestAChildThatSomebodyChangedOrDeletedIsRestored(t *testing.T) {
	s := tell(t)
	p := s.policy()
	s.create(p)
	id := s.inForce(p)
	s.rest()
	hands := map[string]func(child){
		"changed": func(c child) { s.spoil(c.object, c.spoil) },
		"without labels": func(c child) {
			s.spoil(c.object, func(o client.Object) { o.SetLabels(nil) })
		},
		"deleted": func(c child) {
			if c.kind != "ServiceAccount" { // it takes the rest along: a story of its own
				s.Expect(s.api.Delete(s.ctx, c.object)).To(Succeed())
			}
		},
	}
	for how, hand := range hands {
		for _, c := range append(s.domainChildren(), s.serverChildren()...) {
			before, err := s.wanted(c.object)
			s.Expect(err).NotTo(HaveOccurred())
			hand(c)
			s.Eventually(func() (map[string]any, error) { return s.wanted(c.object) }).
				Should(Equal(before), "%s %s", c.kind, how)
		}
	}

	s.Expect(s.inForce(p)).To(Equal(id))
	s.Eventually(s.txt).Should(Equal(announces(id)))
	s.Eventually(s.body).Should(HavePrefix("version: STSv1\n"))
}

func TestTheServerComesBackAfterItsServiceAccountWasDeleted(t *testing.T) {
	s := tell(t)
	p := s.policy()
	s.create(p)
	id := s.inForce(p)
	account := &corev1.ServiceAccount{}
	key := client.ObjectKey{Namespace: s.namespace, Name: "mta-sts-server"}
	s.Expect(s.api.Get(s.ctx, key, account)).To(Succeed())
	before := account.UID

	s.Expect(s.api.Delete(s.ctx, account)).To(Succeed())

	s.Eventually(func() types.UID {
		_ = s.api.Get(s.ctx, key, account)
		return account.UID
	}).ShouldNot(Equal(before))
	s.Eventually(func(g Gomega) {
		for _, c := range s.serverChildren() {
			g.Expect(s.api.Get(s.ctx, client.ObjectKeyFromObject(c.object), c.object)).To(Succeed())
			if c.kind != "ServiceAccount" {
				g.Expect(c.object.GetOwnerReferences()).To(HaveLen(1), c.kind)
				g.Expect(c.object.GetOwnerReferences()[0].UID).To(Equal(account.UID), c.kind)
			}
		}
		pods, err := s.Pods(s.ctx, s.namespace)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(pods).To(HaveLen(2))
	}).Should(Succeed())
	s.rest()
	s.Eventually(s.body).Should(HavePrefix("version: STSv1\n"))
	s.Expect(s.inForce(p)).To(Equal(id))
	s.Expect(s.txt()).To(Equal(announces(id)))
}

func TestWhatOthersSetOnAChildStays(t *testing.T) {
	s := tell(t)
	p := s.policy()
	s.create(p)
	s.inForce(p)
	deployment := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "mta-sts-server"}}
	const restarted = "kubectl.kubernetes.io/restartedAt"

	s.spoil(s.ingress(), func(o client.Object) {
		o.SetAnnotations(merge(o.GetAnnotations(), map[string]string{"example.com/mine": "yes"}))
		o.SetLabels(merge(o.GetLabels(), map[string]string{"example.com/mine": "yes"}))
	})
	s.spoil(deployment, func(client.Object) {
		template := &deployment.Spec.Template
		template.Annotations = merge(template.Annotations, map[string]string{restarted: "now"})
		deployment.Spec.Replicas = new(int32(3)) // as an autoscaler does
		template.Spec.Containers = append(template.Spec.Containers, corev1.Container{Name: "sidecar", Image: "example.com/sidecar:1"})
	})
	s.rest()
	// The operator restores what is its own, and leaves the rest even then.
	s.spoil(s.ingress(), func(o client.Object) { o.(*networkingv1.Ingress).Spec.Rules[0].Host = "other." + s.domain })
	s.spoil(deployment, func(client.Object) { deployment.Spec.Strategy.RollingUpdate.MaxSurge = new(intstr.FromInt32(2)) })

	s.Eventually(func(g Gomega) {
		ingress := s.ingress()
		g.Expect(s.api.Get(s.ctx, client.ObjectKeyFromObject(ingress), ingress)).To(Succeed())
		g.Expect(ingress.Spec.Rules[0].Host).To(Equal("mta-sts." + s.domain))
		g.Expect(ingress.Annotations).To(HaveKeyWithValue("example.com/mine", "yes"))
		g.Expect(ingress.Labels).To(HaveKeyWithValue("example.com/mine", "yes"))
		g.Expect(s.api.Get(s.ctx, client.ObjectKeyFromObject(deployment), deployment)).To(Succeed())
		g.Expect(deployment.Spec.Strategy.RollingUpdate.MaxSurge).To(HaveValue(Equal(intstr.FromInt32(1))))
		g.Expect(deployment.Spec.Replicas).To(HaveValue(BeEquivalentTo(3)))
		g.Expect(deployment.Spec.Template.Annotations).To(HaveKeyWithValue(restarted, "now"))
		g.Expect(deployment.Spec.Template.Spec.Containers).To(HaveLen(2))
	}).Should(Succeed())
	s.inForce(p)
}

func merge(base, over map[string]string) map[string]string {
	out := maps.Clone(base)
	if out == nil {
		out = map[string]string{}
	}
	maps.Copy(out, over)
	return out
}

func TestAPolicyIsReadAndNeverWritten(t *testing.T) {
	s := tell(t)
	p := s.policy(func(p *v1alpha1.MTASTSPolicy) {
		p.Labels = map[string]string{
			"app.kubernetes.io/instance": "argo", "example.com/label": "policy",
			"kustomize.toolkit.fluxcd.io/name": "flux", "kustomize.toolkit.fluxcd.io/namespace": "flux-system",
		}
		p.Annotations = map[string]string{"argocd.argoproj.io/tracking-id": "mail:policy", "example.com/annotation": "policy"}
	})
	s.create(p)
	s.inForce(p)
	s.edit(p, withMaxAge(86400))
	s.inForce(p)

	s.chapter("only its status bears the operator's mark", func() {
		for _, f := range p.ManagedFields {
			if f.Manager == "mta-sts-operator" {
				s.Expect(f.Subresource).To(Equal("status"))
			}
		}
		s.Expect(p.Finalizers).To(BeEmpty())
		s.Expect(p.OwnerReferences).To(BeEmpty())
		s.Expect(p.Generation).To(BeEquivalentTo(2), "as many as its owner wrote")
	})
	pub := s.publication()
	s.chapter("no child bears its labels or annotations, or belongs to it", func() {
		objects := []client.Object{pub}
		for _, c := range append(s.domainChildren(), s.serverChildren()...) {
			s.Expect(s.api.Get(s.ctx, client.ObjectKeyFromObject(c.object), c.object)).To(Succeed())
			objects = append(objects, c.object)
		}
		for _, o := range objects {
			for k := range merge(o.GetLabels(), o.GetAnnotations()) {
				s.Expect(p.Labels).NotTo(HaveKey(k), o.GetName())
				s.Expect(p.Annotations).NotTo(HaveKey(k), o.GetName())
			}
			for _, owner := range o.GetOwnerReferences() {
				s.Expect(owner.UID).NotTo(Equal(p.UID), o.GetName())
			}
		}
	})
	s.chapter("the publication owns the domain's children", func() {
		for _, c := range s.domainChildren() {
			s.Expect(s.owner(c.object)).To(Equal("MTASTSPublication/"+string(pub.UID)), c.kind)
		}
	})
	s.chapter("the ServiceAccount owns the server", func() {
		account := &corev1.ServiceAccount{}
		s.Expect(s.api.Get(s.ctx, client.ObjectKey{Namespace: s.namespace, Name: "mta-sts-server"}, account)).To(Succeed())
		s.Expect(account.OwnerReferences).To(BeEmpty())
		for _, c := range s.serverChildren() {
			if c.kind != "ServiceAccount" {
				s.Expect(s.owner(c.object)).To(Equal("ServiceAccount/"+string(account.UID)), c.kind)
			}
		}
	})
}

// owner is the kind and UID of all owners of an object.
func (s *story) owner(o client.Object) string {
	s.Expect(s.api.Get(s.ctx, client.ObjectKeyFromObject(o), o)).To(Succeed())
	var owners []string
	for _, ref := range o.GetOwnerReferences() {
		owners = append(owners, ref.Kind+"/"+string(ref.UID))
	}
	return strings.Join(owners, ", ")
}
