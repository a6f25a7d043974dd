package crd_test

import (
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/test/controlplane"
)

func TestDefaults(t *testing.T) {
	policy := readExample(t, "testdata/accepted/domain.yaml").steps[0]
	policy.SetNamespace(newNamespace(t))
	if err := api.Create(t.Context(), policy); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"spec": map[string]any{
			"domain": "example.com", "mx": []any{"mx1.example.com"},
			"mode": "testing", "maxAgeSeconds": int64(604800), "preflight": "Require",
		},
		// Tools that know no condition yet must not take the object for finished.
		"status": map[string]any{"observedGeneration": int64(-1)},
	}
	got := map[string]any{"spec": policy.Object["spec"], "status": policy.Object["status"]}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestSpecIsNotWrittenThroughStatus(t *testing.T) {
	policy := &v1alpha1.MTASTSPolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: newNamespace(t), Name: "example"},
		Spec:       v1alpha1.MTASTSPolicySpec{Domain: "example.com", MX: []string{"mx1.example.com"}},
	}
	if err := api.Create(t.Context(), policy); err != nil {
		t.Fatal(err)
	}
	policy.Spec.Mode = v1alpha1.ModeEnforce
	policy.Status.State = v1alpha1.StateInForce
	if err := api.Status().Update(t.Context(), policy); err != nil {
		t.Fatal(err)
	}
	if policy.Spec.Mode != v1alpha1.ModeTesting || policy.Status.State != v1alpha1.StateInForce || policy.Generation != 1 {
		t.Errorf("got mode %s, state %s, generation %d", policy.Spec.Mode, policy.Status.State, policy.Generation)
	}
}

func TestPoliciesAndPublicationsAreFoundByDomain(t *testing.T) {
	namespace := newNamespace(t)
	for _, domain := range []string{"example.com", "example.org"} {
		metadata := metav1.ObjectMeta{Namespace: namespace, Name: domain}
		policy := &v1alpha1.MTASTSPolicy{ObjectMeta: metadata, Spec: v1alpha1.MTASTSPolicySpec{Domain: domain, MX: []string{"mx1.example.com"}}}
		publication := &v1alpha1.MTASTSPublication{ObjectMeta: metadata, Spec: v1alpha1.MTASTSPublicationSpec{Domain: domain}}
		for _, object := range []client.Object{policy, publication} {
			if err := api.Create(t.Context(), object); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, kind := range []string{"MTASTSPolicy", "MTASTSPublication"} {
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(kind + "List"))
		if err := api.List(t.Context(), list, client.InNamespace(namespace), client.MatchingFields{"spec.domain": "example.org"}); err != nil {
			t.Fatal(err)
		}
		if len(list.Items) != 1 || list.Items[0].GetName() != "example.org" {
			t.Errorf("%s: got %d objects", kind, len(list.Items))
		}
	}
	out, err := plane.Kubectl(t.Context(), "get", "mtasts", "-n", namespace, "--field-selector", "spec.domain=example.com", "-o", "name")
	if want := "mtastspolicy.mtasts.dev/example.com\n"; err != nil || out != want {
		t.Errorf("kubectl: got %q, %v", out, err)
	}
}

func TestKubectlShowsTheColumns(t *testing.T) {
	namespace := newNamespace(t)
	policy := &v1alpha1.MTASTSPolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "mail"},
		Spec:       v1alpha1.MTASTSPolicySpec{Domain: "example.com", MX: []string{"mx1.example.com"}},
	}
	if err := api.Create(t.Context(), policy); err != nil {
		t.Fatal(err)
	}
	policy.Status = v1alpha1.MTASTSPolicyStatus{
		Conditions:         []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonInForce, LastTransitionTime: metav1.Now()}},
		ObservedGeneration: 1,
		State:              v1alpha1.StateInForce,
		Policy:             &v1alpha1.ServedPolicy{ID: "20260102150405deadbeef", Mode: v1alpha1.ModeTesting, MaxAgeSeconds: 604800},
		PolicyURL:          "https://mta-sts.example.com/.well-known/mta-sts.txt",
	}
	if err := api.Status().Update(t.Context(), policy); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ name, output, want string }{
		{"normally", "", "NAME DOMAIN MODE ID READY STATE AGE mail example.com testing 20260102150405deadbeef True InForce"},
		{"wide", "wide", "NAME DOMAIN MODE ID READY STATE AGE EXPIRES URL mail example.com testing 20260102150405deadbeef True InForce"},
	} {
		t.Run(test.name, func(t *testing.T) {
			out, err := plane.Kubectl(t.Context(), "get", "mtasts", "-n", namespace, "-o", test.output)
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(strings.Fields(out), " "); !strings.HasPrefix(got, test.want) {
				t.Errorf("got %q, want it to begin with %q", got, test.want)
			}
		})
	}
}

// Whoever asks kubectl what to write gets every field, each with a description.
func TestKubectlExplainsEveryField(t *testing.T) {
	var out string
	// The API server publishes what it knows of a kind a moment after it serves the kind.
	gomega.NewWithT(t).Eventually(func() (err error) {
		out, err = plane.Kubectl(t.Context(), "explain", "mtastspolicy.spec")
		return err
	}, "30s", "100ms").Should(gomega.Succeed())
	for _, field := range []string{"domain", "mode", "mx", "maxAgeSeconds", "preflight", "deletionPolicy", "tlsReporting", "dns", "exposure", "certificate"} {
		if !strings.Contains(out, "\n  "+field+"\t<") {
			t.Errorf("kubectl explain does not list %s:\n%s", field, out)
		}
	}
	if strings.Contains(out, "<no description>") {
		t.Errorf("a description is missing:\n%s", out)
	}
}

// kubectl explain wraps at 80 columns, 4 of them indentation, and keeps the line breaks: a longer
// line of several comes out ragged.
func TestDescriptionsFitIntoKubectlExplain(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(controlplane.OurCRDs()[0], "*.yaml"))
	if err != nil || len(files) != 2 {
		t.Fatalf("found %d CRDs: %v", len(files), err)
	}
	for _, file := range files {
		kind, root := readSchema(t, file)
		delete(root.Properties["status"].Properties, "conditions") // not our text
		delete(root.Properties, "apiVersion")
		delete(root.Properties, "kind")
		root.walk(func(path string, s schema) {
			for line := range strings.Lines(s.Description) {
				if strings.Contains(s.Description, "\n") && utf8.RuneCountInString(strings.TrimSpace(line)) > 76 {
					t.Errorf("%s%s: break this line: %s", kind, path, line)
				}
			}
		})
	}
}
