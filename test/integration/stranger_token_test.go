package integration

import (
	"strings"
	"testing"

	cmv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	externaldnsv1alpha1 "sigs.k8s.io/external-dns/apis/v1alpha1"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/controllers"
)

// thief is a client with the operator's own token.
func (s *story) thief() client.Client {
	s.t.Helper()
	api, err := client.New(asOperator, client.Options{Scheme: controllers.NewScheme()})
	s.Expect(err).NotTo(HaveOccurred())
	return api
}

// abuse is a change that the operator's token must not be good for: a merge patch, or a JSON patch in brackets.
type abuse struct{ name, patch, says string }

// at is an object of the namespace by its name.
func at[T client.Object](namespace, name string, o T) T {
	o.SetNamespace(namespace)
	o.SetName(name)
	return o
}

// pod is a merge patch of a Deployment's pod.
func pod(spec string) string { return `{"spec":{"template":{"spec":` + spec + `}}}` }

// server is a merge patch of the policy server's container; what it says stands beside what the server needs.
func server(more string) string {
	const needs = `"name":"server","image":"mta-sts-operator:test","securityContext":{"allowPrivilegeEscalation":false}`
	return pod(`{"containers":[{` + needs + `,` + more + `}]}`)
}

// volume is a merge patch of what the policy server mounts.
func volume(source string) string { return pod(`{"volumes":[{"name":"policies",` + source + `}]}`) }

// projected is a merge patch of what is projected into that volume.
func projected(source string) string { return volume(`"projected":{"sources":[` + source + `]}`) }

// published begins a story with a policy in force.
func published(t *testing.T) (s *story, inForce func()) {
	t.Helper()
	s = tell(t)
	p := s.policy()
	s.create(p)
	s.inForce(p)
	s.rest()
	return s, func() { s.inForce(p) }
}

// TestStrangerWithTheOperatorsTokenCannotMakeItsServersRunAnythingElse tries what the role alone would let pass.
func TestStrangerWithTheOperatorsTokenCannotMakeItsServersRunAnythingElse(t *testing.T) {
	s, stillInForce := published(t)
	const (
		token, volumes, one  = "without a token", "mounts no volume but", "has one container"
		confined, nothingNew = "is confined", "gets nothing from Secrets"
	)
	deployment := at(s.namespace, "mta-sts-server", &appsv1.Deployment{})
	s.cannotChange(deployment,
		abuse{"another ServiceAccount", pod(`{"serviceAccountName":"admin","serviceAccount":"admin"}`), token},
		abuse{"a token", pod(`{"automountServiceAccountToken":true}`), token},
		abuse{"a Secret mounted", volume(`"secret":{"secretName":"s"}`), volumes},
		abuse{"a folder of the node", volume(`"hostPath":{"path":"/"}`), volumes},
		abuse{"a projected Secret", projected(`{"secret":{"name":"s"}}`), volumes},
		abuse{"a projected token", projected(`{"serviceAccountToken":{"path":"t"}}`), volumes},
		abuse{"another ConfigMap", projected(`{"configMap":{"name":"mta-sts-policies-of-mine"}}`), volumes},
		abuse{"a Secret beside ours", projected(
			`{"configMap":{"name":"mta-sts-policies"}},{"secret":{"name":"s"}}`), volumes},
		abuse{"the node's network", pod(`{"hostNetwork":true}`), confined},
		abuse{"the node's processes", pod(`{"hostPID":true}`), confined},
		abuse{"the node's memory", pod(`{"hostIPC":true}`), confined},
		abuse{"root", pod(`{"securityContext":{"runAsNonRoot":false}}`), confined},
		abuse{"root in the container", server(
			`"securityContext":{"allowPrivilegeEscalation":false,"runAsNonRoot":false}`), confined},
		abuse{"privileges", server(`"securityContext":{"privileged":true}`), confined},
		abuse{"a capability", server(
			`"securityContext":{"allowPrivilegeEscalation":false,"capabilities":{"add":["NET_ADMIN"]}}`), confined},
		abuse{"a port of the node", server(`"ports":[{"containerPort":80,"hostPort":80}]`), confined},
		abuse{"a Secret in the environment", server(
			`"env":[{"name":"A","valueFrom":{"secretKeyRef":{"name":"s","key":"k"}}}]`), nothingNew},
		abuse{"a ConfigMap in the environment", server(
			`"env":[{"name":"A","valueFrom":{"configMapKeyRef":{"name":"s","key":"k"}}}]`), nothingNew},
		abuse{"all of a Secret in the environment", server(`"envFrom":[{"secretRef":{"name":"s"}}]`), nothingNew},
		abuse{"a question to the node's metadata", server(
			`"livenessProbe":{"httpGet":{"host":"169.254.169.254","port":80}}`), nothingNew},
		abuse{"a connection to another host", server(
			`"startupProbe":{"tcpSocket":{"host":"10.0.0.1","port":80}}`), nothingNew},
		abuse{"a hook", server(`"lifecycle":{"postStart":{"httpGet":{"port":80}}}`), nothingNew},
		abuse{"a second container", pod(`{"containers":[{"name":"server","image":"a"},{"name":"mine","image":"a"}]}`), one},
		abuse{"an init container", pod(`{"initContainers":[{"name":"mine","image":"a"}]}`), one},
	)
	s.cannotCreate(at(s.namespace, "mine", &appsv1.Deployment{}), "writes no deployments but mta-sts-server")

	s.cannotChange(at(s.namespace, "mta-sts-server", &corev1.ServiceAccount{}),
		abuse{"an identity in a cloud", `{"metadata":{"annotations":{"eks.amazonaws.com/role-arn":"a"}}}`, "an identity"},
		abuse{"a token of the account", `{"automountServiceAccountToken":true}`, "has no token"},
		abuse{"a Secret of the account", `{"secrets":[{"name":"s"}]}`, "no Secret"},
		abuse{"a Secret to pull with", `{"imagePullSecrets":[{"name":"s"}]}`, "no Secret"},
	)
	s.cannotCreate(at(s.namespace, "mine", &corev1.ServiceAccount{}), "writes no serviceaccounts but")
	const inside = "inside the cluster"
	s.cannotChange(at(s.namespace, "mta-sts-server", &corev1.Service{}),
		abuse{"a Service for others' pods", `{"spec":{"selector":{"app.kubernetes.io/component":null}}}`, inside},
		abuse{"a Service that takes an address", `{"spec":{"externalIPs":["192.0.2.1"]}}`, inside},
		abuse{"a Service at a load balancer", `{"spec":{"type":"LoadBalancer"}}`, inside},
	)
	s.cannotChange(at(s.namespace, "mta-sts-server", &networkingv1.NetworkPolicy{}),
		abuse{"others' pods opened", `{"spec":{"podSelector":{"matchLabels":null}}}`, "no other pod"})
	s.cannotCreate(at(s.namespace, "mine", &policyv1.PodDisruptionBudget{}), "writes no poddisruptionbudgets but")
	s.cannotChange(at(s.namespace, "mta-sts-server", &policyv1.PodDisruptionBudget{}),
		abuse{"a budget for others' pods", `{"spec":{"selector":{"matchLabels":null}}}`, "no other pod"})
	s.cannotCreate(at(s.namespace, "mine", &networkingv1.NetworkPolicy{}), "writes no networkpolicies but")
	s.cannotCreate(at(s.namespace, "mine", &corev1.Service{}), "writes no services but")
	stillInForce()
}

// TestStrangerWithTheOperatorsTokenCannotTouchWhatIsNotTheOperators is about everything beside its servers.
func TestStrangerWithTheOperatorsTokenCannotTouchWhatIsNotTheOperators(t *testing.T) {
	s, stillInForce := published(t)
	const noConfigMap = "no ConfigMap but mta-sts-policies"
	foreign := at(s.namespace, "somebodys", &corev1.ConfigMap{})
	s.Expect(s.api.Create(s.ctx, foreign)).To(Succeed())
	s.cannotChange(foreign, abuse{"somebody's ConfigMap", `{"data":{"a":"b"}}`, noConfigMap})
	s.cannotCreate(at(s.namespace, "mta-sts-policies-x", &corev1.ConfigMap{}), noConfigMap)
	s.cannotCreate(at(s.namespace, "mta-sts-policies-01", &corev1.ConfigMap{}), noConfigMap)
	home := s.newNamespace("other-") // an operator's own
	for _, name := range []string{"mta-sts-operator-heartbeat", "mta-sts-operator-removed"} {
		s.cannotCreate(at(s.namespace, name, &corev1.ConfigMap{}), noConfigMap)
		s.Expect(s.thief().Create(s.ctx, at(home, name, &corev1.ConfigMap{}), client.DryRunAll)).To(Succeed(), name)
	}

	pods, err := s.Pods(s.ctx, s.namespace)
	s.Expect(err).NotTo(HaveOccurred())
	const annotation = "writes one annotation"
	s.cannotChange(at(s.namespace, pods[0].Name, &corev1.Pod{}),
		abuse{"a pod's image", `[{"op":"replace","path":"/spec/containers/0/image","value":"mine"}]`, annotation},
		abuse{"a pod's labels", `{"metadata":{"labels":{"app":"database"}}}`, annotation},
		abuse{"a pod's other annotations", `{"metadata":{"annotations":{"iam.amazonaws.com/role":"admin"}}}`, annotation},
		abuse{"a pod's end", `{"metadata":{"finalizers":["example.com/never"]}}`, annotation},
		abuse{"a pod's owner", `{"metadata":{"ownerReferences":null}}`, annotation},
	)
	others := at(s.namespace, "somebodys", &corev1.Pod{})
	others.Spec.Containers = []corev1.Container{{Name: "web", Image: "web"}}
	s.Expect(s.api.Create(s.ctx, others)).To(Succeed())
	const nudge = `{"metadata":{"annotations":{"mtasts.dev/shards-written":"1"}}}`
	s.cannotChange(others, abuse{"somebody's pod", nudge, annotation})
	s.cannotTouchDomains()
	stillInForce()
}

// cannotTouchDomains is about what makes a domain known.
func (s *story) cannotTouchDomains() {
	host := "mta-sts." + s.domain
	const one, alone, dns = "no other host", "for its policy host alone", "the address of the policy host"
	s.cannotChange(at(s.namespace, host, &networkingv1.Ingress{}),
		abuse{"a second host", `[{"op":"add","path":"/spec/rules/-","value":{"host":"www.bank.example"}}]`, one},
		abuse{"another host", `[{"op":"replace","path":"/spec/rules/0/host","value":"www.bank.example"}]`, one},
		abuse{
			"another host with TLS",
			`[{"op":"replace","path":"/spec/tls/0/hosts/0","value":"www.bank.example"}]`, one,
		},
		abuse{"every host", `{"spec":{"defaultBackend":{"service":{"name":"mta-sts-server","port":{"number":80}}}}}`, one},
		abuse{
			"another Service behind it",
			`[{"op":"replace","path":"/spec/rules/0/http/paths/0/backend/service/name","value":"web"}]`, one,
		},
	)
	s.cannotCreate(at(s.namespace, host+"-3", &networkingv1.Ingress{}), "after the domain")
	route := at(s.namespace, "somebodys", &networkingv1.Ingress{})
	route.Spec.Rules = []networkingv1.IngressRule{{Host: "www.bank.example"}}
	s.Expect(s.api.Create(s.ctx, route)).To(Succeed())
	s.cannotChange(route, abuse{"somebody's Ingress", `{"metadata":{"labels":{"a":"b"}}}`, "without its label"})
	err := s.thief().Delete(s.ctx, route, client.DryRunAll)
	s.Expect(err).To(MatchError(ContainSubstring("without its label")))

	s.cannotChange(at(s.namespace, host, &cmv1.Certificate{}),
		abuse{"a certificate for another name", `{"spec":{"dnsNames":["www.bank.example"]}}`, alone},
		abuse{"a certificate for a second name", `{"spec":{"dnsNames":["` + host + `","www.bank.example"]}}`, alone},
		abuse{"a certificate with a common name", `{"spec":{"commonName":"www.bank.example"}}`, alone},
		abuse{"a certificate for an address", `{"spec":{"ipAddresses":["192.0.2.1"]}}`, alone},
		abuse{"a certificate in somebody's Secret", `{"spec":{"secretName":"web-tls"}}`, alone},
		abuse{"a Secret with others' labels", `{"spec":{"secretTemplate":{"labels":{"a":"b"}}}}`, alone},
		abuse{"a certificate authority", `{"spec":{"isCA":true}}`, alone},
	)
	s.cannotChange(at(s.namespace, host, &externaldnsv1alpha1.DNSEndpoint{}),
		abuse{"another record", `[{"op":"replace","path":"/spec/endpoints/0/dnsName","value":"www.bank.example"}]`, dns},
		abuse{"another type of record", `[{"op":"replace","path":"/spec/endpoints/0/recordType","value":"NS"}]`, dns},
		abuse{
			"another domain's record",
			`{"metadata":{"annotations":{"mtasts.dev/domain":"bank.example"}}}`, "after the domain",
		},
	)
}

// cannotChange tries each change with the operator's token and wants it refused by the admission policy, in words.
func (s *story) cannotChange(o client.Object, attempts ...abuse) {
	s.t.Helper()
	thief := s.thief()
	for _, a := range attempts {
		kind := types.MergePatchType
		if strings.HasPrefix(a.patch, "[") {
			kind = types.JSONPatchType
		}
		err := s.change(thief, o.DeepCopyObject().(client.Object), client.RawPatch(kind, []byte(a.patch)))
		s.fenced(a.name, err, a.says)
	}
}

// change writes as the thief can: DNSEndpoints and ConfigMaps by update, all else by patch.
func (s *story) change(thief client.Client, o client.Object, patch client.Patch) error {
	switch o.(type) {
	case *externaldnsv1alpha1.DNSEndpoint, *corev1.ConfigMap:
		// What the patch makes of it is known from somebody who may patch.
		changed := o.DeepCopyObject().(client.Object)
		s.Expect(s.api.Patch(s.ctx, changed, patch, client.DryRunAll)).To(Succeed())
		s.Expect(s.api.Get(s.ctx, client.ObjectKeyFromObject(o), o)).To(Succeed())
		changed.SetResourceVersion(o.GetResourceVersion())
		return thief.Update(s.ctx, changed, client.DryRunAll)
	}
	return thief.Patch(s.ctx, o, patch, client.DryRunAll)
}

// cannotCreate tries to make the object, with what the API server demands before it asks any policy.
func (s *story) cannotCreate(o client.Object, says string) {
	s.t.Helper()
	labels := map[string]string{"a": "b"}
	switch o := o.(type) {
	case *networkingv1.Ingress:
		host, _ := strings.CutSuffix(o.Name, "-3")
		o.Labels = map[string]string{v1alpha1.ManagedByLabel: v1alpha1.ManagedBy}
		o.Annotations = map[string]string{v1alpha1.DomainAnnotation: strings.TrimPrefix(host, "mta-sts.")}
		o.Spec.Rules = []networkingv1.IngressRule{{Host: host}}
	case *corev1.Service:
		o.Spec.Ports = []corev1.ServicePort{{Port: 80}}
	case *appsv1.Deployment:
		o.Spec.Selector = &metav1.LabelSelector{MatchLabels: labels}
		o.Spec.Template.Labels = labels
		o.Spec.Template.Spec.Containers = []corev1.Container{{Name: "server", Image: "a"}}
	}
	err := s.thief().Create(s.ctx, o, client.DryRunAll)
	s.fenced("making "+o.GetName(), err, says)
}

// fenced wants a write refused by the admission policy, not by the role.
func (s *story) fenced(what string, err error, says string) {
	s.t.Helper()
	if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "ValidatingAdmissionPolicy") ||
		!strings.Contains(err.Error(), says) {
		s.t.Errorf("%s: %v; want it refused with %q", what, err, says)
	}
}

// TestStrangerWithTheOperatorsTokenReadsAndDeletesNoServerOfAnotherName is the role's own part.
func TestStrangerWithTheOperatorsTokenReadsAndDeletesNoServerOfAnotherName(t *testing.T) {
	s := setScene(t)
	thief := s.thief()
	account := at(s.namespace, "somebodys", &corev1.ServiceAccount{})
	s.Expect(s.api.Create(s.ctx, account)).To(Succeed())
	for _, list := range []client.ObjectList{
		&appsv1.DeploymentList{}, &corev1.ServiceAccountList{}, &corev1.ServiceList{}, &corev1.SecretList{},
		&networkingv1.NetworkPolicyList{}, &policyv1.PodDisruptionBudgetList{}, &rbacv1.RoleList{},
	} {
		s.Expect(thief.List(s.ctx, list)).To(MatchError(apierrors.IsForbidden, "forbidden"), "%T", list)
	}
	named := client.MatchingFields{"metadata.name": "mta-sts-server"}
	s.Expect(thief.List(s.ctx, &appsv1.DeploymentList{}, named)).To(Succeed())
	key := client.ObjectKeyFromObject(account)
	s.Expect(thief.Get(s.ctx, key, account)).To(MatchError(apierrors.IsForbidden, "forbidden"))
	s.Expect(thief.Delete(s.ctx, account)).To(MatchError(apierrors.IsForbidden, "forbidden"))
}

// TestStrangerCannotRewriteTheMemoryOfADomain plays an admin of the namespace, who may patch a publication.
func TestStrangerCannotRewriteTheMemoryOfADomain(t *testing.T) {
	s := tell(t)
	p := s.policy()
	s.create(p)
	s.inForce(p)
	admin := s.admin(s.namespace)
	publication := at(s.namespace, s.domain, &v1alpha1.MTASTSPublication{})

	poison := client.RawPatch(types.MergePatchType, []byte(`{"spec":{"lastID":"29991231235959"}}`))
	err := admin.Patch(s.ctx, publication, poison)
	s.Expect(err).To(MatchError(ContainSubstring("only the operator writes the spec of a publication")))
	word := `{"metadata":{"annotations":{"mtasts.dev/transfer-to":"` + s.namespace + `"}}}`
	s.Expect(admin.Patch(s.ctx, publication, client.RawPatch(types.MergePatchType, []byte(word)))).To(Succeed())

	bare := at(s.namespace, "bank.example", &v1alpha1.MTASTSPublication{})
	bare.Spec.Domain = bare.Name
	err = admin.Create(s.ctx, bare.DeepCopy())
	s.Expect(err).To(MatchError(ContainSubstring("who may create publications in every namespace")))
	anywhere, err := plane.UserConfig("root-of-all", "system:masters")
	s.Expect(err).NotTo(HaveOccurred())
	root, err := client.New(anywhere, client.Options{Scheme: controllers.NewScheme()})
	s.Expect(err).NotTo(HaveOccurred())
	s.Expect(root.Create(s.ctx, bare)).To(Succeed())
	s.Expect(admin.Delete(s.ctx, bare)).To(Succeed())
	s.inForce(p)
}

// admin is somebody who may do everything in the namespace, as owners of namespaces on many platforms.
func (s *story) admin(namespace string) client.Client {
	s.t.Helper()
	user := "admin-of-" + namespace
	everything := []string{"*"}
	s.Expect(s.api.Create(s.ctx, at(namespace, user, &rbacv1.Role{
		Rules: []rbacv1.PolicyRule{{APIGroups: everything, Resources: everything, Verbs: everything}},
	}))).To(Succeed())
	s.Expect(s.api.Create(s.ctx, at(namespace, user, &rbacv1.RoleBinding{
		RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: user},
		Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user}},
	}))).To(Succeed())
	cfg, err := plane.UserConfig(user)
	s.Expect(err).NotTo(HaveOccurred())
	api, err := client.New(cfg, client.Options{Scheme: controllers.NewScheme()})
	s.Expect(err).NotTo(HaveOccurred())
	s.Eventually(func() (bool, error) {
		return allowed(s, api, namespace, "create", "mtasts.dev", "mtastspublications")
	}).Should(BeTrue())
	return api
}
