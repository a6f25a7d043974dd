package gitops

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	lua "github.com/yuin/gopher-lua"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// health is what a health check of Argo CD answers.
type health struct {
	Status  string `json:"status"`
	Message string `json:"message"`
}

// healthTests is the file that Argo CD's own tests read beside a health.lua.
type healthTests struct {
	Tests []healthTest `json:"tests"`
}

type healthTest struct {
	HealthStatus health `json:"healthStatus"`
	InputPath    string `json:"inputPath"`
}

// assess runs a health check as Argo CD runs those of its ConfigMap: with the base, package and table
// libraries alone, for at most a second, the object in a global of the name obj.
func assess(t *testing.T, script string, object *unstructured.Unstructured) health {
	t.Helper()
	vm := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer vm.Close()
	for name, open := range map[string]lua.LGFunction{
		lua.LoadLibName: lua.OpenPackage, lua.BaseLibName: lua.OpenBase, lua.TabLibName: lua.OpenTable,
	} {
		if err := vm.CallByParam(lua.P{Fn: vm.NewFunction(open), Protect: true}, lua.LString(name)); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	vm.SetContext(ctx)
	vm.SetGlobal("obj", toLua(vm, object.Object))
	if err := vm.DoString(script); err != nil {
		t.Fatal(err)
	}
	answer, ok := vm.Get(-1).(*lua.LTable)
	if !ok {
		t.Fatalf("the health check returned a %s, not a table", vm.Get(-1).Type())
	}
	return health{Status: lua.LVAsString(answer.RawGetString("status")), Message: lua.LVAsString(answer.RawGetString("message"))}
}

// toLua turns what JSON can hold into what Lua can.
func toLua(vm *lua.LState, value any) lua.LValue {
	switch v := value.(type) {
	case nil:
		return lua.LNil
	case bool:
		return lua.LBool(v)
	case int64:
		return lua.LNumber(v)
	case float64:
		return lua.LNumber(v)
	case string:
		return lua.LString(v)
	case []any:
		table := vm.CreateTable(len(v), 0)
		for _, item := range v {
			table.Append(toLua(vm, item))
		}
		return table
	case map[string]any:
		table := vm.CreateTable(0, len(v))
		for key, item := range v {
			table.RawSetString(key, toLua(vm, item))
		}
		return table
	}
	panic(fmt.Sprintf("JSON does not hold a %T", value))
}

// TestHealthTestsOfArgoCD compares statuses and messages, in the form in which Argo CD's repository
// holds such tests.
func TestHealthTestsOfArgoCD(t *testing.T) {
	for _, kind := range []string{policyKind, publicationKind} {
		script, path := healthScript(t, kind), filepath.Join(customizations, kind, "health_test.yaml")
		var is, want healthTests
		for _, s := range states(kind) {
			is.Tests = append(is.Tests, healthTest{InputPath: "testdata/" + s.file + ".yaml", HealthStatus: assess(t, script, recorded(t, s))})
		}
		golden(t, path, func() []byte {
			text, err := yaml.Marshal(is)
			if err != nil {
				t.Fatal(err)
			}
			return text
		})
		if err := yaml.UnmarshalStrict(read(t, path), &want); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, is); diff != "" {
			t.Errorf("%s (-want +is):\n%s", path, diff)
		}
	}
}

// TestHealthChecksBearWhatTheOperatorMayLeaveOut tries objects that no state has: an error in a script
// makes a whole Application Unknown.
func TestHealthChecksBearWhatTheOperatorMayLeaveOut(t *testing.T) {
	for name, tt := range map[string]struct{ kind, object, want string }{
		"a policy without status":                    {policyKind, `{}`, "Progressing"},
		"a policy with an empty status":              {policyKind, `{status: {}}`, "Progressing"},
		"a policy without conditions":                {policyKind, `{status: {observedGeneration: 1}}`, "Progressing"},
		"a policy that was never Ready":              {policyKind, `{status: {observedGeneration: 1, conditions: [{type: Ready, status: Unknown}]}}`, "Progressing"},
		"an alarm that is older than mode testing":   {policyKind, alarmed("testing"), "Healthy"},
		"an alarm that is older than any policy":     {policyKind, alarmed(""), "Healthy"},
		"an alarm under enforce":                     {policyKind, alarmed("enforce"), "Degraded"},
		"a publication without status":               {publicationKind, `{spec: {domain: example.com}}`, "Progressing"},
		"a publication that follows nobody yet":      {publicationKind, `{spec: {}, status: {observedGeneration: 1}}`, "Progressing"},
		"a publication with a condition of tomorrow": {publicationKind, `{spec: {}, status: {observedGeneration: 1, conditions: [{type: New}]}}`, "Progressing"},
	} {
		t.Run(name, func(t *testing.T) {
			object := parse(t, []byte(tt.object))
			object.SetGeneration(1)
			if got := assess(t, healthScript(t, tt.kind), object); got.Status != tt.want {
				t.Errorf("health is %+v, want %s", got, tt.want)
			}
		})
	}
}

// alarmed is a policy in force whose last look found an MX host that it does not cover.
func alarmed(mode string) string {
	served := ""
	if mode != "" {
		served = ", policy: {mode: " + mode + "}"
	}
	return `{status: {observedGeneration: 1, conditions: [{type: Ready, status: "True"}, {type: MXAligned, status: "False"}]` + served + `}}`
}

// TestTheConfigMapHoldsTheHealthChecks keeps the patch of argocd-cm the same as the scripts.
func TestTheConfigMapHoldsTheHealthChecks(t *testing.T) {
	path := filepath.Join(argocd, "health", "argocd-cm.yaml")
	var want strings.Builder
	want.WriteString("# Written by go test ./test/gitops -update from the scripts in ../resource_customizations.\n" +
		"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: argocd-cm\ndata:\n")
	for _, kind := range []string{policyKind, publicationKind} {
		fmt.Fprintf(&want, "  resource.customizations.health.mtasts.dev_%s: |\n", kind)
		for line := range strings.Lines(healthScript(t, kind)) {
			if line != "\n" {
				line = "    " + line
			}
			want.WriteString(line)
		}
	}
	golden(t, path, func() []byte { return []byte(want.String()) })
	if diff := cmp.Diff(want.String(), string(read(t, path))); diff != "" {
		t.Errorf("%s is out of date (-want +is): go test ./test/gitops -update\n%s", path, diff)
	}
	var cm struct{ Data map[string]string }
	if err := yaml.Unmarshal(read(t, path), &cm); err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{policyKind, publicationKind} {
		if cm.Data["resource.customizations.health.mtasts.dev_"+kind] != healthScript(t, kind) {
			t.Errorf("the ConfigMap's check of %s is not health.lua", kind)
		}
	}
}

func healthScript(t *testing.T, kind string) string {
	t.Helper()
	return string(read(t, filepath.Join(customizations, kind, "health.lua")))
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
