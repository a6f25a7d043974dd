package chart_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// rights are what an object says about rights: everything but the labels that say whose it is.
func rights(all objects) map[string]map[string]any {
	found := map[string]map[string]any{}
	for key, object := range all {
		if object.GroupVersionKind().Group != "rbac.authorization.k8s.io" {
			continue
		}
		said := map[string]any{}
		for _, field := range []string{"rules", "roleRef", "subjects"} {
			if value, ok := object.Object[field]; ok {
				said[field] = value
			}
		}
		for label, value := range object.GetLabels() {
			if strings.HasPrefix(label, "rbac.authorization.k8s.io/") {
				said[label] = value
			}
		}
		found[key] = said
	}
	return found
}

func TestTheRightsAreThoseOfConfig(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(root, "config", "rbac", "*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var manifests strings.Builder
	for _, file := range files {
		if filepath.Base(file) != "kustomization.yaml" {
			manifests.WriteString("\n---\n" + strings.TrimPrefix(readFile(t, file), "---\n"))
		}
	}
	want := rights(parse(t, manifests.String()))
	if len(want) < 10 {
		t.Fatalf("config/rbac has only %d", len(want))
	}
	if diff := gocmp.Diff(want, rights(parse(t, helm4.template(t)))); diff != "" {
		t.Errorf("-config/rbac +chart:\n%s", diff)
	}
}

func TestWithNamespacesThereIsNoRightOutsideOfThem(t *testing.T) {
	whole := rights(parse(t, helm4.template(t)))["ClusterRole "+release]["rules"]
	all := parse(t, helm4.template(t, "--set", "watchNamespaces={mail,sales},crds.enabled=false"))
	for _, namespace := range []string{"mail", "sales"} {
		role := all["Role "+namespace+"/"+release]
		if role == nil {
			t.Errorf("there is no Role in %s", namespace)
			continue
		}
		if diff := gocmp.Diff(whole, role.Object["rules"]); diff != "" {
			t.Errorf("in %s: -cluster +namespace:\n%s", namespace, diff)
		}
	}
	monitor := parse(t, helm4.template(t, "--set", "watchNamespaces={mail,sales},metrics.servers.podMonitor.enabled=true"))["PodMonitor "+release+"-servers"]
	if names, _, _ := unstructured.NestedStringSlice(monitor.Object, "spec", "namespaceSelector", "matchNames"); !slices.Equal(names, []string{"mail", "sales"}) {
		t.Errorf("policy servers are looked for in %q", names)
	}
	for key, object := range all {
		if object.GroupVersionKind().Group == "admissionregistration.k8s.io" {
			continue // it takes rights away
		}
		if namespace := object.GetNamespace(); !slices.Contains([]string{system, "mail", "sales"}, namespace) {
			t.Errorf("%s is in %q", key, namespace)
		}
	}
	args := deployment(t, all).Spec.Template.Spec.Containers[0].Args
	for _, want := range []string{"--watch-namespaces=mail,sales", "--metrics-insecure"} {
		if !slices.Contains(args, want) {
			t.Errorf("the operator is started with %q", args)
		}
	}
}

func TestRightsThatNobodyNeedsAreLeftOut(t *testing.T) {
	for name, test := range map[string]struct {
		set    string
		absent []string
	}{
		"all of them":                      {"rbac.create=false", []string{"ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"}},
		"those of tenants":                 {"rbac.aggregateToDefaultRoles=false", []string{"ClusterRole " + release + "-view", "ClusterRole " + release + "-edit", "ClusterRole " + release + "-admin"}},
		"those for metrics in clear text":  {"metrics.secure=false", []string{"ClusterRole " + release + "-metrics"}},
		"those for no metrics":             {"metrics.enabled=false", []string{"ClusterRole " + release + "-metrics"}},
		"those of an election with no one": {"leaderElection.enabled=false,replicaCount=1", []string{"Role " + system + "/" + release + "-leader-election"}},
	} {
		for key := range parse(t, helm4.template(t, "--set", test.set)) {
			for _, absent := range test.absent {
				if strings.HasPrefix(key, absent) {
					t.Errorf("%s: %s is there", name, key)
				}
			}
		}
	}
}
