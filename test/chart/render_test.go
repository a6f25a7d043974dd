package chart_test

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"github.com/mta-sts-operator/mta-sts-operator/internal/config"
)

// TestRenderings compares whole renderings, of both Helms. The CRDs, the admission policies and the dashboard are
// left out: they are compared with their source.
func TestRenderings(t *testing.T) {
	for _, values := range valueFiles(t) {
		name := strings.TrimSuffix(filepath.Base(values), "-values.yaml")
		t.Run(name, func(t *testing.T) {
			sources := regexp.MustCompile(`(?m)^# Source: .*\n|^\n`)
			args := []string{"-f", values, "--set", "crds.enabled=false,admissionPolicies.enabled=false,metrics.dashboard.enabled=false"}
			got := sources.ReplaceAllString(helm4.template(t, args...), "")
			if diff := gocmp.Diff(parse(t, helm3.template(t, args...)), parse(t, got)); diff != "" {
				t.Errorf("-Helm 3 +Helm 4:\n%s", diff)
			}
			golden := filepath.Join("testdata", name+".golden.yaml")
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if diff := gocmp.Diff(readFile(t, golden), got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestTheCRDsAreThoseOfConfig(t *testing.T) {
	rendered := parse(t, helm4.template(t, "--set", "crds.annotations.a=b"))
	files, err := filepath.Glob(filepath.Join(root, "config", "crd", "bases", "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatal("no CRDs", err)
	}
	for _, file := range files {
		want := onlyObject(t, readFile(t, file))
		got := rendered["CustomResourceDefinition "+want.GetName()]
		if got == nil {
			t.Errorf("%s is missing", want.GetName())
			continue
		}
		annotations := maps.Clone(want.GetAnnotations())
		maps.Copy(annotations, map[string]string{"a": "b", "helm.sh/resource-policy": "keep"})
		if diff := gocmp.Diff(annotations, got.GetAnnotations()); diff != "" {
			t.Errorf("annotations of %s: -want +got:\n%s", want.GetName(), diff)
		}
		got.SetAnnotations(want.GetAnnotations())
		got.SetLabels(nil)
		if diff := gocmp.Diff(want, got); diff != "" {
			t.Errorf("%s: -want +got:\n%s", want.GetName(), diff)
		}
	}
	for key, crd := range parse(t, helm4.template(t, "--set", "crds.keep=false")) {
		if _, kept := crd.GetAnnotations()["helm.sh/resource-policy"]; kept {
			t.Errorf("%s would be kept all the same", key)
		}
	}
	for key := range parse(t, helm4.template(t, "--set", "crds.enabled=false")) {
		if strings.HasPrefix(key, "CustomResourceDefinition ") {
			t.Errorf("%s is there all the same", key)
		}
	}
}

func TestTheDefaultConfigurationIsTheOperatorsOwn(t *testing.T) {
	want := config.Default()
	want.Server.Image = "ghcr.io/mta-sts-operator/mta-sts-operator:v0.1.0"
	got := configuration(t, parse(t, helm4.template(t)))
	if diff := gocmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestTheOperatorReadsEveryConfiguration(t *testing.T) {
	for _, file := range valueFiles(t) {
		var values struct{ Config map[string]any }
		if err := yaml.Unmarshal([]byte(readFile(t, file)), &values); err != nil {
			t.Fatal(err)
		}
		for key, object := range parse(t, helm4.template(t, "-f", file)) {
			text, _, _ := unstructured.NestedString(object.Object, "data", "config.yaml")
			if object.GetKind() != "ConfigMap" || text == "" {
				continue
			}
			got, err := config.Parse([]byte(text))
			if err != nil {
				t.Errorf("%s: %s: %v", file, key, err)
			}
			if strings.Contains(file, "everything") {
				values.Config["apiVersion"], values.Config["kind"] = config.APIVersion, config.Kind
				want, err := config.Parse([]byte(asYAML(t, values.Config)))
				if err != nil {
					t.Fatal(err)
				}
				if diff := gocmp.Diff(want, got); diff != "" {
					t.Errorf("%s: -want +got:\n%s", file, diff)
				}
			}
		}
	}
}

// TestEverySettingIsAValue compares the values with the fields that the documentation of the
// configuration file has, which a test of its own holds to be those of the program.
func TestEverySettingIsAValue(t *testing.T) {
	var documented []string
	for _, row := range regexp.MustCompile("(?m)^\\| `([^`\\[]+)` \\|").FindAllStringSubmatch(readFile(t, root, "docs", "configuration.md"), -1) {
		if row[1] != "apiVersion" && row[1] != "kind" { // there is nothing to choose
			documented = append(documented, row[1])
		}
	}
	defaults := chartValues(t, "values.yaml")["config"]
	everything := chartValues(t, "ci", "everything-values.yaml")["config"]
	for name, values := range map[string]any{"values.yaml": defaults, "everything-values.yaml": everything} {
		got := leaves(values, "", documented)
		if diff := gocmp.Diff(slices.Sorted(slices.Values(documented)), slices.Sorted(slices.Values(got))); diff != "" {
			t.Errorf("%s: -documentation +values:\n%s", name, diff)
		}
	}
}

func TestEveryValueHasAnExample(t *testing.T) {
	want := leaves(chartValues(t, "values.yaml"), "", nil)
	got := leaves(chartValues(t, "ci", "everything-values.yaml"), "", want)
	for _, path := range want {
		under := func(p string) bool {
			return p == path || strings.HasPrefix(p, path+".") || strings.HasPrefix(path, p+".")
		}
		// Deep defaults such as resources.limits.memory count with what they are a part of.
		if path != "watchNamespaces" && !slices.ContainsFunc(got, under) && !strings.Contains(path, "ecurityContext.") && !strings.Contains(path, "nodeSelector.") {
			t.Errorf("ci/everything-values.yaml does not set %s", path)
		}
	}
}

func TestValuesThatCannotWorkAreRefused(t *testing.T) {
	for name, test := range map[string]struct {
		set  string
		want []string
	}{
		"a typo":                       {"replicas=3", []string{"replicas"}},
		"a typo further down":          {"config.dns.ttl=60", []string{"/config/dns", "ttl"}},
		"a typo in resources":          {"resources.request.cpu=1", []string{"/resources", "request"}},
		"a typo in a probe":            {"livenessProbe.period=1", []string{"/livenessProbe", "period"}},
		"a typo in a rule":             {"config.domains[0].namespace={a}", []string{"/config/domains/0", "namespace"}},
		"a number for a text":          {"image.tag=1", []string{"/image/tag", "string"}},
		"a text for a number":          {"replicaCount=two", []string{"/replicaCount", "integer"}},
		"a value out of range":         {"config.dns.ttlSeconds=5", []string{"/config/dns/ttlSeconds", "60"}},
		"a word that is none":          {"config.looks.reachability=Maybe", []string{"/config/looks/reachability", "'Public', 'Cluster'"}},
		"no digest":                    {"image.digest=latest", []string{"/image/digest"}},
		"no namespace":                 {"watchNamespaces={team-*}", []string{"/watchNamespaces/0"}},
		"an annotation that is none":   {"podAnnotations.a=true", []string{"/podAnnotations/a", "string"}},
		"several pods, no leader":      {"leaderElection.enabled=false", []string{"set that to true, or replicaCount to 1"}},
		"one port for two":             {"metrics.port=8081", []string{"write different ones"}},
		"secure metrics without right": {"watchNamespaces={mail},metrics.secure=true", []string{"set it to false, or metrics.enabled to false"}},
		"readers without right":        {"watchNamespaces={mail},metrics.readers[0].name=a,metrics.readers[0].namespace=b", []string{"metrics.readers"}},
		"a monitor of nothing":         {"metrics.enabled=false,metrics.serviceMonitor.enabled=true", []string{"nothing to monitor"}},
		"alerts about nothing":         {"metrics.prometheusRule.enabled=true", []string{"no metrics to look at"}},
		"a monitor without a token":    {"metrics.podMonitor.enabled=true", []string{"metrics.podMonitor.authorization is missing"}},
	} {
		for _, h := range []helm{helm3, helm4} {
			_, err := h.tryTemplate(t, "--set", test.set)
			for _, want := range test.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("%s, %s: got %v, want %q", name, h.name, err, want)
				}
			}
		}
	}
}

// TestWhatAParentChartAdds renders what Helm passes to a chart that another depends on.
func TestWhatAParentChartAdds(t *testing.T) {
	helm4.template(t, "--set", "global.imageRegistry=x,enabled=true")
}

func TestNothingAtAllIsNeeded(t *testing.T) {
	// Values that somebody removes with null are those the operator has by itself.
	got := parse(t, helm4.template(t, "--set", "config=null,resources=null,nodeSelector=null,topologySpreadConstraints=null"))
	if c := configuration(t, got); c.DNS.TTLSeconds != 300 || c.Server.Replicas != 2 {
		t.Errorf("got %+v", c)
	}
}

func TestAChangeOfTheConfigurationRestartsTheOperator(t *testing.T) {
	const checksum = "checksum/config"
	before := deployment(t, parse(t, helm4.template(t))).Spec.Template.Annotations[checksum]
	other := deployment(t, parse(t, helm4.template(t, "--set", "logLevel=debug"))).Spec.Template.Annotations[checksum]
	after := deployment(t, parse(t, helm4.template(t, "--set", "config.dns.ttlSeconds=60"))).Spec.Template.Annotations[checksum]
	if before == "" || before != other || before == after {
		t.Errorf("got %q, %q and %q", before, other, after)
	}
}

func TestWithoutLeaderElectionTwoNeverWorkAtOnce(t *testing.T) {
	got := deployment(t, parse(t, helm4.template(t, "--set", "leaderElection.enabled=false,replicaCount=1")))
	if got.Spec.Strategy.Type != appsv1.RecreateDeploymentStrategyType {
		t.Errorf("a rollout is %q", got.Spec.Strategy.Type)
	}
}

func TestLongNamesAreCut(t *testing.T) {
	name := strings.Repeat("long-", 10) + "e"
	for key, object := range parse(t, helm4.template(t, "--set", "fullnameOverride="+name)) {
		if len(object.GetName()) > 63 {
			t.Errorf("%s is too long", key)
		}
	}
}

func TestTheKustomizationAndTheChartRunTheSamePod(t *testing.T) {
	var want appsv1.Deployment
	if err := yaml.Unmarshal([]byte(readFile(t, root, "config", "manager", "manager.yaml")), &want); err != nil {
		t.Fatal(err)
	}
	got := deployment(t, parse(t, helm4.template(t)))
	a, b := want.Spec.Template.Spec, got.Spec.Template.Spec
	// What differs on purpose: names of things, and defaults that the chart spells out.
	a.Containers[0].Image, b.Containers[0].Image = "", ""
	a.Containers[0].Args, b.Containers[0].Args = nil, nil
	b.NodeSelector, b.AutomountServiceAccountToken = nil, nil
	a.TopologySpreadConstraints[0].LabelSelector, b.TopologySpreadConstraints[0].LabelSelector = nil, nil
	if diff := gocmp.Diff(a, b); diff != "" {
		t.Errorf("-config/manager +chart:\n%s", diff)
	}
	if *want.Spec.Replicas != *got.Spec.Replicas {
		t.Errorf("%d and %d replicas", *want.Spec.Replicas, *got.Spec.Replicas)
	}
}

func TestArtifactHubIsToldTheTruth(t *testing.T) {
	var meta struct {
		AppVersion  string
		Annotations map[string]string
	}
	if err := yaml.Unmarshal([]byte(readFile(t, chart, "Chart.yaml")), &meta); err != nil {
		t.Fatal(err)
	}
	image := deployment(t, parse(t, helm4.template(t))).Spec.Template.Spec.Containers[0].Image
	if got := meta.Annotations["artifacthub.io/images"]; !strings.Contains(got, "image: "+image+"\n") {
		t.Errorf("images is %q, but %s is installed", got, image)
	}
	rendered := parse(t, helm4.template(t))
	var crds []struct{ Kind, Version, Name string }
	if err := yaml.Unmarshal([]byte(meta.Annotations["artifacthub.io/crds"]), &crds); err != nil {
		t.Fatal(err)
	}
	for _, crd := range crds {
		got := rendered["CustomResourceDefinition "+crd.Name]
		if got == nil || !strings.Contains(asYAML(t, got.Object), "kind: "+crd.Kind+"\n") || !strings.Contains(asYAML(t, got.Object), "name: "+crd.Version+"\n") {
			t.Errorf("there is no %+v", crd)
		}
		delete(rendered, "CustomResourceDefinition "+crd.Name)
	}
	for key := range rendered {
		if strings.HasPrefix(key, "CustomResourceDefinition ") {
			t.Errorf("%s is not named", key)
		}
	}
}

func TestTheDashboardIsLoadedBySidecars(t *testing.T) {
	if all := parse(t, helm4.template(t)); all["ConfigMap "+release+"-dashboard"] != nil {
		t.Error("it is there without being asked for")
	}
	got := parse(t, helm4.template(t, "-f", filepath.Join(chart, "ci", "everything-values.yaml")))["ConfigMap monitoring/publisher-dashboard"]
	if got == nil {
		t.Fatal("it is not there")
	}
	if got.GetLabels()["grafana_dashboard"] != "mail" || got.GetAnnotations()["grafana_folder"] != "Mail" {
		t.Errorf("labels %q, annotations %q", got.GetLabels(), got.GetAnnotations())
	}
	want := strings.TrimSuffix(readFile(t, chart, "files", "dashboards", release+".json"), "\n")
	text, _, err := unstructured.NestedString(got.Object, "data", release+".json")
	if err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff(want, strings.TrimSuffix(text, "\n")); diff != "" {
		t.Errorf("-file +ConfigMap:\n%s", diff)
	}
}

func configuration(t *testing.T, all objects) config.Operator {
	t.Helper()
	text, _, err := unstructured.NestedString(all["ConfigMap "+release].Object, "data", "config.yaml")
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := config.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

func deployment(t *testing.T, all objects) *appsv1.Deployment {
	t.Helper()
	typed := &appsv1.Deployment{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(all["Deployment "+release].Object, typed, true); err != nil {
		t.Fatal(err)
	}
	return typed
}

func onlyObject(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	for _, object := range parse(t, text) {
		return object
	}
	t.Fatal("no object")
	return nil
}

func chartValues(t *testing.T, path ...string) map[string]any {
	t.Helper()
	var values map[string]any
	if err := yaml.UnmarshalStrict([]byte(readFile(t, append([]string{chart}, path...)...)), &values); err != nil {
		t.Fatal(err)
	}
	return values
}

// leaves are the paths of values; what whole names is not descended into.
func leaves(values any, prefix string, whole []string) []string {
	branch, ok := values.(map[string]any)
	if !ok || len(branch) == 0 || slices.Contains(whole, prefix) {
		return []string{prefix}
	}
	var found []string
	for key, value := range branch {
		found = append(found, leaves(value, strings.TrimPrefix(prefix+"."+key, "."), whole)...)
	}
	return found
}

func asYAML(t *testing.T, v any) string {
	t.Helper()
	data, err := yaml.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
