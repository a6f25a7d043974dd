package resources_test

import (
	"encoding/json"
	"os"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/controllers/internal/resources"
)

func TestCovers(t *testing.T) {
	for _, test := range []struct {
		name, live, desired string
		want                bool
	}{
		{"equal", "{a: 1, b: [x]}", "{a: 1, b: [x]}", true},
		{"defaulted fields", "{spec: {replicas: 2, progressDeadlineSeconds: 600}, status: {x: 1}}", "{spec: {replicas: 2}}", true},
		{"a changed field", "{spec: {replicas: 3}}", "{spec: {replicas: 2}}", false},
		{"a missing field", "{spec: {}}", "{spec: {replicas: 2}}", false},
		{"a missing map", "{}", "{spec: {replicas: 2}}", false},
		{"a missing false", "{}", "{a: false}", false},
		{"a missing zero", "{}", "{a: 0}", false},
		{"an empty map that was dropped", "{}", "{a: {}, b: []}", true},
		{"a map where a string is", "{a: x}", "{a: {}}", false},
		{"a map where a list is", "{a: []}", "{a: {}}", false},
		{"a list where a map is", "{a: {}}", "{a: []}", false},
		{"a string that looks like a number", `{a: "1"}`, "{a: 1}", false},
		{"a number where a string is wanted", "{a: 1}", `{a: "1"}`, false},
		{"kind and version are somebody else's question", "{a: 1}", "{apiVersion: v1, kind: A, a: 1}", true},
		{"kind further down is not", "{ref: {name: x}}", "{ref: {kind: A, name: x}}", false},
		{"a foreign label", "{metadata: {labels: {ours: x, theirs: y}}}", "{metadata: {labels: {ours: x}}}", true},
		{"a restart", "{template: {metadata: {annotations: {kubectl.kubernetes.io/restartedAt: now, a: b}}}}", "{template: {metadata: {annotations: {a: b}}}}", true},
		{"an autoscaler, for as long as replicas are ours", "{spec: {replicas: 9}}", "{spec: {replicas: 2}}", false},
		{"an autoscaler, once they are not", "{spec: {replicas: 9}}", "{spec: {}}", true},
		{"a sidecar in front", "{containers: [{name: proxy}, {name: server, image: a, terminationMessagePath: b}]}", "{containers: [{name: server, image: a}]}", true},
		{"a changed container behind a sidecar", "{containers: [{name: proxy}, {name: server, image: b}]}", "{containers: [{name: server, image: a}]}", false},
		{"only a sidecar", "{containers: [{name: proxy, image: a}]}", "{containers: [{name: server, image: a}]}", false},
		{"named items in another order", "{ports: [{name: b, port: 2}, {name: a, port: 1}]}", "{ports: [{name: a, port: 1}, {name: b, port: 2}]}", true},
		{"another owner of the same name", "{owners: [{name: a, kind: X}, {name: a, kind: Y}]}", "{owners: [{name: a, kind: Y}]}", true},
		{"a longer list without names", "{rules: [{host: a}, {host: b}]}", "{rules: [{host: a}]}", false},
		{"a shorter list without names", "{rules: [{host: a}]}", "{rules: [{host: a}, {host: b}]}", false},
		{"defaults in a list without names", "{rules: [{host: a, x: y}]}", "{rules: [{host: a}]}", true},
		{"another order without names", "{args: [b, a]}", "{args: [a, b]}", false},
		{"a named list of which nothing is live", "{}", "{a: [{name: x}]}", false},
		{"nothing wanted in a list that has something", "{a: [x]}", "{a: []}", false},
		{"something where null is", "{a: null}", "{a: x}", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := resources.Covers(object(t, test.live), object(t, test.desired)); got != test.want {
				t.Errorf("got %v", got)
			}
		})
	}
}

func TestCoversComparesNumbersOfAnyType(t *testing.T) {
	for _, live := range []any{int(2), int32(2), int64(2), uint8(2), float64(2)} {
		for _, desired := range []any{int(2), int32(2), int64(2), float32(2), float64(2)} {
			if !resources.Covers(map[string]any{"a": live}, map[string]any{"a": desired}) {
				t.Errorf("%T is not %T", live, desired)
			}
			if resources.Covers(map[string]any{"a": int64(3)}, map[string]any{"a": desired}) {
				t.Errorf("3 is %T(2)", desired)
			}
		}
	}
}

func TestCoversLeavesItsArgumentsAsTheyAre(t *testing.T) {
	desired := object(t, "{apiVersion: v1, kind: A}")
	resources.Covers(object(t, "{}"), desired)
	if diff := cmp.Diff(object(t, "{apiVersion: v1, kind: A}"), desired); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// What lies in testdata/stored is what an API server made of the golden objects, its defaults
// included.
func TestCoversWhatAnAPIServerStored(t *testing.T) {
	built := scenes()["defaults"].objects()
	for _, kind := range []string{"deployment", "service", "ingress", "networkpolicy", "poddisruptionbudget"} {
		t.Run(kind, func(t *testing.T) {
			data, err := os.ReadFile("testdata/stored/" + kind + ".yaml")
			if err != nil {
				t.Fatal(err)
			}
			live := object(t, string(data))
			desired, err := resources.Unstructured(built[kind])
			if err != nil {
				t.Fatal(err)
			}
			if !resources.Covers(live, desired.Object) {
				t.Error("would be applied again and again")
			}
			delete(desired.Object, "apiVersion")
			delete(desired.Object, "kind")
			if n := changeEachField(desired.Object, func(path string) {
				if resources.Covers(live, desired.Object) {
					t.Errorf("a change of %s would not be applied", path)
				}
			}); n < 10 {
				t.Errorf("only %d fields were tried", n)
			}
		})
	}
}

// changeEachField calls try with each scalar in turn replaced by another value, and returns how many.
func changeEachField(value any, try func(path string)) int {
	tried := 0
	field := func(path string, value any, set func(any)) {
		switch value.(type) {
		case map[string]any, []any:
			tried += changeEachField(value, func(below string) { try(path + "." + below) })
		default:
			set("changed")
			try(path)
			set(value)
			tried++
		}
	}
	switch value := value.(type) {
	case map[string]any:
		for key, v := range value {
			field(key, v, func(v any) { value[key] = v })
		}
	case []any:
		for i, v := range value {
			field(strconv.Itoa(i), v, func(v any) { value[i] = v })
		}
	}
	return tried
}

func TestUnstructuredKeepsIntegers(t *testing.T) {
	u, err := resources.Unstructured(scenes()["defaults"].server().Deployment())
	if err != nil {
		t.Fatal(err)
	}
	if u.GetKind() != "Deployment" || u.GetAPIVersion() != "apps/v1" || u.GetName() != resources.ServerName {
		t.Errorf("got %s %s %s", u.GetAPIVersion(), u.GetKind(), u.GetName())
	}
	spec, _ := u.Object["spec"].(map[string]any)
	if diff := cmp.Diff(any(int64(2)), spec["replicas"]); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if _, ok := u.Object["status"]; ok {
		t.Error("claims the status")
	}
	if _, err := resources.Unstructured(make(chan int)); err == nil {
		t.Error("no error for what has no JSON")
	}
}

func TestStamp(t *testing.T) {
	stamp := func(s scene) string {
		u, err := resources.Unstructured(s.server().Deployment())
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // stamping again must not change it
			if err := resources.Stamp(u); err != nil {
				t.Fatal(err)
			}
		}
		once, err := resources.Unstructured(s.server().Deployment())
		if err != nil {
			t.Fatal(err)
		}
		if err := resources.Stamp(once); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(once, u); diff != "" {
			t.Errorf("-once +twice:\n%s", diff)
		}
		return u.GetAnnotations()[v1alpha1.AppliedAnnotation]
	}
	s := scenes()["defaults"]
	first := stamp(s)
	if first == "" {
		t.Fatal("no stamp")
	}
	if again := stamp(scenes()["defaults"]); again != first {
		t.Errorf("got %s, then %s for the same object", first, again)
	}
	s.cfg.Server.PriorityClassName = "high"
	if other := stamp(s); other == first {
		t.Error("a field more has the same stamp")
	}
}

func TestStampKeepsOtherAnnotations(t *testing.T) {
	u, err := resources.Unstructured(scenes()["everything"].domain().Ingress("mta-sts.example.com"))
	if err != nil {
		t.Fatal(err)
	}
	want := u.GetAnnotations()
	if err := resources.Stamp(u); err != nil {
		t.Fatal(err)
	}
	got := u.GetAnnotations()
	if got[v1alpha1.AppliedAnnotation] == "" {
		t.Error("no stamp")
	}
	delete(got, v1alpha1.AppliedAnnotation)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// object reads YAML as an API client would: numbers are int64.
func object(t *testing.T, data string) map[string]any {
	t.Helper()
	js, err := yaml.YAMLToJSON([]byte(data))
	if err != nil {
		t.Fatal(err)
	}
	u, err := resources.Unstructured(json.RawMessage(js))
	if err != nil {
		t.Fatal(err)
	}
	return u.Object
}
