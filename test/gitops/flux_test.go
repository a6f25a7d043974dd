package gitops

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apiserver/pkg/cel/environment"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
	"sigs.k8s.io/yaml"
)

var flux = filepath.Join("..", "..", "config", "flux")

// expressions are an entry of healthCheckExprs in a Flux Kustomization.
type expressions struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	InProgress string `json:"inProgress"`
	Failed     string `json:"failed"`
	Current    string `json:"current"`
}

// fluxStatus judges an object by the expressions in config/flux/policies.yaml in the order in which Flux
// does: the generation first, then what is in progress, failed, current; else it is in progress.
func fluxStatus(t *testing.T, object *unstructured.Unstructured) status.Status {
	t.Helper()
	e := policyExpressions(t)
	observed, found, err := unstructured.NestedInt64(object.Object, "status", "observedGeneration")
	if err != nil {
		t.Fatal(err)
	}
	switch {
	case found && observed != object.GetGeneration():
		return status.InProgressStatus
	case holds(t, e.InProgress, object):
		return status.InProgressStatus
	case holds(t, e.Failed, object):
		return status.FailedStatus
	case holds(t, e.Current, object):
		return status.CurrentStatus
	}
	return status.InProgressStatus
}

// holds evaluates an expression on the fields of an object, parsed but not type-checked, as Flux does.
func holds(t *testing.T, expression string, object *unstructured.Unstructured) bool {
	t.Helper()
	env := environment.MustBaseEnvSet(environment.DefaultCompatibilityVersion()).NewExpressionsEnv()
	ast, issues := env.Parse(expression)
	if issues.Err() != nil {
		t.Fatal(issues.Err())
	}
	program, err := env.Program(ast)
	if err != nil {
		t.Fatal(err)
	}
	result, _, err := program.ContextEval(t.Context(), object.Object)
	if err != nil {
		t.Fatalf("%s: %v", expression, err)
	}
	is, ok := result.Value().(bool)
	if !ok {
		t.Fatalf("%s is %v, not true or false", expression, result)
	}
	return is
}

func policyExpressions(t *testing.T) expressions {
	t.Helper()
	for document := range strings.SplitSeq(string(read(t, filepath.Join(flux, "policies.yaml"))), "\n---\n") {
		var k struct {
			Spec struct {
				HealthCheckExprs []expressions `json:"healthCheckExprs"`
			} `json:"spec"`
		}
		if err := yaml.Unmarshal([]byte(document), &k); err != nil {
			t.Fatal(err)
		}
		for _, e := range k.Spec.HealthCheckExprs {
			if e.APIVersion == "mtasts.dev/v1alpha1" && e.Kind == policyKind {
				return e
			}
		}
	}
	t.Fatal("config/flux/policies.yaml has no expressions for MTASTSPolicy")
	return expressions{}
}

// TestExpressionsBearWhatTheOperatorMayLeaveOut tries objects that no state has: with an expression that
// ends in an error Flux waits until it gives up. Without any status no object exists: it has a default.
func TestExpressionsBearWhatTheOperatorMayLeaveOut(t *testing.T) {
	for name, tt := range map[string]struct {
		object string
		want   status.Status
	}{
		"an empty status":                        {`{status: {}}`, status.InProgressStatus},
		"no conditions":                          {`{status: {observedGeneration: 1}}`, status.InProgressStatus},
		"an alarm that is older than the mode":   {alarmed("testing"), status.CurrentStatus},
		"an alarm that is older than any policy": {alarmed(""), status.CurrentStatus},
		"an alarm under enforce":                 {alarmed("enforce"), status.FailedStatus},
	} {
		t.Run(name, func(t *testing.T) {
			object := parse(t, []byte(tt.object))
			object.SetGeneration(1)
			if got := fluxStatus(t, object); got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
		})
	}
}

// TestSamplesAreObjects reads every manifest in config/argocd and config/flux strictly: a key that is
// written twice, or a document that is no object, is found.
func TestSamplesAreObjects(t *testing.T) {
	seen := 0
	for _, dir := range []string{argocd, filepath.Join(argocd, "health"), flux} {
		files, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for document := range strings.SplitSeq(string(text), "\n---\n") {
				u := map[string]any{}
				if err := yaml.UnmarshalStrict([]byte(document), &u); err != nil {
					t.Errorf("%s: %v", file, err)
				}
				if u["apiVersion"] == nil || u["kind"] == nil {
					t.Errorf("%s: %q is no object", file, document)
				}
				seen++
			}
		}
	}
	if seen < 8 {
		t.Errorf("only %d objects", seen)
	}
}
