package chart_test

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
)

// admission are the admission policies and their bindings among objects, without labels and without what an
// installation says of itself.
func admission(t *testing.T, all objects) (objects, map[string]string) {
	t.Helper()
	found, said := objects{}, map[string]string{}
	for key, object := range all {
		if object.GroupVersionKind().Group != "admissionregistration.k8s.io" {
			continue
		}
		object.SetLabels(nil)
		variables, _, err := unstructured.NestedSlice(object.Object, "spec", "variables")
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range variables {
			if v := v.(map[string]any); slices.Contains([]string{"home", "repositories"}, v["name"].(string)) {
				said[v["name"].(string)] = v["expression"].(string)
				v["expression"] = ""
			}
		}
		if variables != nil {
			if err := unstructured.SetNestedSlice(object.Object, variables, "spec", "variables"); err != nil {
				t.Fatal(err)
			}
		}
		found[key] = object
	}
	return found, said
}

func TestTheAdmissionPoliciesAreThoseOfConfig(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(root, "config", "admission", "bases", "*.yaml"))
	if err != nil || len(files) != 2 {
		t.Fatal(files, err)
	}
	var manifests strings.Builder
	for _, file := range files {
		manifests.WriteString("\n---\n" + readFile(t, file))
	}
	want, home := admission(t, parse(t, manifests.String()))
	got, said := admission(t, parse(t, helm4.template(t)))
	if diff := gocmp.Diff(want, got); diff != "" || len(want) != 4 {
		t.Errorf("%d in config; -config/admission +chart:\n%s", len(want), diff)
	}
	if home["home"] != said["home"] || said["repositories"] != `["ghcr.io/mta-sts-operator/mta-sts-operator"]` {
		t.Errorf("the chart says %q, config %q", said, home)
	}
}

func TestAdmissionPoliciesFollowTheRelease(t *testing.T) {
	all := parse(t, helm4.template(t, "-f", filepath.Join(chart, "ci", "everything-values.yaml")))
	whole := asYAML(t, all["ValidatingAdmissionPolicy publisher"].Object) +
		asYAML(t, all["ValidatingAdmissionPolicy publisher-publications"].Object)
	for _, want := range []string{
		"request.userInfo.username == 'system:serviceaccount:" + system + ":publisher'",
		"request.userInfo.username != 'system:serviceaccount:" + system + ":publisher'",
		`["registry.example:5000/policies","mirror.example:5000/policies"]`,
		`["system:serviceaccount:backup:restorer","system:masters"]`,
	} {
		if !strings.Contains(whole, want) {
			t.Errorf("no %q in:\n%s", want, whole)
		}
	}
	for image, want := range map[string]string{
		"registry:5000/policies":         "registry:5000/policies",
		"registry:5000/a/b:v1@sha256:00": "registry:5000/a/b",
		"policies:v1":                    "policies",
	} {
		_, said := admission(t, parse(t, helm4.template(t, "--set", "config.server.image="+image)))
		if got := said["repositories"]; got != `["`+want+`"]` {
			t.Errorf("image %s may come from %s", image, got)
		}
	}
	const limited = release + "-" + system + "-publications"
	all = parse(t, helm4.template(t, "--set", "watchNamespaces={mail,sales}"))
	binding := all["ValidatingAdmissionPolicyBinding "+limited]
	const only = "values:\n        - mail\n        - sales\n  policyName: "
	if binding == nil || !strings.Contains(asYAML(t, binding.Object), only+limited+"\n") {
		t.Errorf("what others publish elsewhere is fenced as well: %v", binding)
	}
}

func TestAdmissionPoliciesAreLeftOutWhereTheyCannotBe(t *testing.T) {
	const known, kind = "apps/v1/Deployment", "admissionregistration.k8s.io/v1/ValidatingAdmissionPolicy"
	for name, test := range map[string]struct {
		args []string
		want int
	}{
		"nobody knows the API server":   {nil, 4},
		"the API server has them":       {[]string{"--api-versions", known + "," + kind}, 4},
		"the API server has them not":   {[]string{"--api-versions", known}, 0},
		"somebody does not want them":   {[]string{"--set", "admissionPolicies.enabled=false"}, 0},
		"an operator of two namespaces": {[]string{"--set", "watchNamespaces={mail,sales}"}, 4},
	} {
		for _, h := range []helm{helm3, helm4} {
			if got, _ := admission(t, parse(t, h.template(t, test.args...))); len(got) != test.want {
				t.Errorf("%s, %s: %q", name, h.name, slices.Sorted(maps.Keys(got)))
			}
		}
	}
}

// takesTheComponent is about config/admission beside config/default.
func (c *cluster) takesTheComponent(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string {
		absolute, err := filepath.Abs(filepath.Join(root, "config", name))
		if err != nil {
			t.Fatal(err)
		}
		relative, err := filepath.Rel(dir, absolute)
		if err != nil {
			t.Fatal(err)
		}
		return relative
	}
	text := fmt.Sprintf("resources: [%s]\ncomponents: [%s]\n", path("default"), path("admission"))
	if err := os.WriteFile(filepath.Join(dir, "kustomization.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := c.Kubectl(t.Context(), "apply", "--server-side", "--dry-run=server", "--validate=strict",
		"--warnings-as-errors", "-k", dir, "-o", "name")
	if err != nil || strings.Count(out, "validatingadmissionpolicy") != 4 || !strings.Contains(out, "deployment.apps/"+release) {
		t.Errorf("%v\n%s", err, out)
	}
}

// fences wants the policies of a release that watches mail and sales to hold: user has the operator's token.
func (c *cluster) fences(t *testing.T, user client.Client) {
	t.Helper()
	g := NewWithT(t)
	g.SetDefaultEventuallyTimeout(controlPlanePatience)
	stray := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "mail", Name: "stray"}}
	g.Eventually(func() error { return user.Create(t.Context(), stray.DeepCopy(), client.DryRunAll) }).
		Should(MatchError(ContainSubstring("no ConfigMap but mta-sts-policies")))
	// The API server heeds what a release changes of its admission policies a moment later.
	g.Eventually(func() error { return user.Create(t.Context(), serverOf(t, "mta-sts-operator:test"), client.DryRunAll) }).
		Should(Succeed())
	for _, image := range []string{"mta-sts-operator-of-mine:test", "evil.example/mta-sts-operator:test"} {
		g.Expect(user.Create(t.Context(), serverOf(t, image), client.DryRunAll)).
			To(MatchError(ContainSubstring("the image of the policy server comes from mta-sts-operator")))
	}
	asAdmin, err := c.UserConfig("admin-of-namespaces", "namespace-admins")
	g.Expect(err).NotTo(HaveOccurred())
	admin, err := client.New(asAdmin, client.Options{Scheme: c.api.Scheme(), Mapper: c.api.RESTMapper()})
	g.Expect(err).NotTo(HaveOccurred())
	for _, namespace := range []string{"mail", "customer-one"} {
		c.letAdministrate(t, namespace, "namespace-admins")
	}
	publish := func(namespace string) error {
		p := &v1alpha1.MTASTSPublication{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "bank.example"}}
		p.Spec.Domain = p.Name
		err := admin.Create(t.Context(), p, client.DryRunAll)
		if apierrors.IsForbidden(err) && !strings.Contains(err.Error(), "ValidatingAdmissionPolicy") {
			return errors.New("the role is not there yet")
		}
		return err
	}
	g.Eventually(func() error { return publish("mail") }).
		Should(MatchError(ContainSubstring("only those who may create publications in every namespace")))
	g.Eventually(func() error { return publish("customer-one") }).Should(Succeed(), "where another operator may work")
}

// serverOf is the Deployment that the operator makes in mail, of some image.
func serverOf(t *testing.T, image string) *unstructured.Unstructured {
	t.Helper()
	golden := readFile(t, root, "controllers", "internal", "resources", "testdata", "defaults", "deployment.golden.yaml")
	return onlyObject(t, strings.ReplaceAll(golden, "example/mta-sts-operator:v1", image))
}

// letAdministrate lets a group do everything in a namespace.
func (c *cluster) letAdministrate(t *testing.T, namespace, group string) {
	t.Helper()
	role := fmt.Sprintf("{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {name: everything, namespace: %s}, "+
		"rules: [{apiGroups: ['*'], resources: ['*'], verbs: ['*']}]}", namespace)
	binding := fmt.Sprintf("{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: everything, namespace: %s}, "+
		"roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: everything}, "+
		"subjects: [{apiGroup: rbac.authorization.k8s.io, kind: Group, name: %s}]}", namespace, group)
	for _, text := range []string{role, binding} {
		c.create(t, onlyObject(t, text))
	}
}
