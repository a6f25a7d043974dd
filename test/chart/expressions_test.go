package chart_test

import (
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/version"
	plugincel "k8s.io/apiserver/pkg/admission/plugin/cel"
	"k8s.io/apiserver/pkg/admission/plugin/policy/validating"
	"k8s.io/apiserver/pkg/admission/plugin/webhook/matchconditions"
	"k8s.io/apiserver/pkg/cel/environment"
)

// TestTheOldestAPIServerUnderstandsTheAdmissionPolicies compiles them as an API server of the oldest version that the
// chart is for does: of a new policy it takes what the version before it knew as well.
func TestTheOldestAPIServerUnderstandsTheAdmissionPolicies(t *testing.T) {
	environments := environment.MustBaseEnvSet(version.MajorMinor(1, 30))
	policies, _ := admission(t, parse(t, helm4.template(t)))
	seen := 0
	for key, object := range policies {
		var policy admissionv1.ValidatingAdmissionPolicy
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &policy); err != nil {
			t.Fatal(err)
		}
		compiler, err := plugincel.NewCompositedCompiler(environments)
		if err != nil {
			t.Fatal(err)
		}
		may := plugincel.OptionalVariableDeclarations{HasAuthorizer: true}
		for _, v := range policy.Spec.Variables {
			if v.Expression == "" { // of an installation's own: a text, and a list of texts
				v.Expression = map[string]string{"home": "''", "repositories": "[]"}[v.Name]
			}
			result := compiler.CompileAndStoreVariable(&validating.Variable{Name: v.Name, Expression: v.Expression}, may, environment.NewExpressions)
			if result.Error != nil {
				t.Errorf("%s: variable %s: %v", key, v.Name, result.Error)
			}
		}
		compiles := func(e plugincel.ExpressionAccessor) {
			seen++
			if result := compiler.CompileCELExpression(e, may, environment.NewExpressions); result.Error != nil {
				t.Errorf("%s: %s: %v", key, e.GetExpression(), result.Error)
			}
		}
		for _, c := range policy.Spec.MatchConditions {
			compiles((*matchconditions.MatchCondition)(&c))
		}
		for _, v := range policy.Spec.Validations {
			compiles(&validating.ValidationCondition{Expression: v.Expression})
			if v.MessageExpression != "" {
				compiles(&validating.MessageExpressionCondition{MessageExpression: v.MessageExpression})
			}
		}
	}
	if seen < 20 {
		t.Errorf("there are only %d expressions", seen)
	}
}
