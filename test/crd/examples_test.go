package crd_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

// An example is a file in testdata: one object to create, or the same object twice, to create and
// then update. In refused it is the last step that is refused, and each line "# want: …" must be
// part of the message; "# faults: n" says how many faults are reported (1 if not said).
type example struct {
	steps  []*unstructured.Unstructured
	want   []string
	faults int
}

func readExample(t *testing.T, path string) example {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	found := example{faults: 1}
	for line := range strings.Lines(string(content)) {
		line = strings.TrimSpace(line)
		if want, ok := strings.CutPrefix(line, "# want: "); ok {
			found.want = append(found.want, want)
		}
		if faults, ok := strings.CutPrefix(line, "# faults: "); ok {
			if found.faults, err = strconv.Atoi(faults); err != nil {
				t.Fatalf("%s: %v", path, err)
			}
		}
	}
	for document := range strings.SplitSeq(string(content), "\n---\n") {
		var object map[string]any
		if err := yaml.UnmarshalStrict([]byte(document), &object); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		found.steps = append(found.steps, &unstructured.Unstructured{Object: object})
	}
	return found
}

// apply goes through the steps in a namespace and returns the last step's error. A single step is
// a dry run.
func (e example) apply(t *testing.T, namespace string) error {
	t.Helper()
	if len(e.steps) == 1 {
		object := e.steps[0].DeepCopy()
		object.SetNamespace(namespace)
		return api.Create(t.Context(), object, client.DryRunAll)
	}
	for i, step := range e.steps {
		object := step.DeepCopy()
		object.SetNamespace(namespace)
		err := createOrUpdate(t.Context(), object)
		if i == len(e.steps)-1 {
			return err
		}
		if err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
	}
	return errors.New("an example without steps")
}

func createOrUpdate(ctx context.Context, object *unstructured.Unstructured) error {
	current := object.DeepCopy()
	err := api.Get(ctx, client.ObjectKeyFromObject(object), current)
	if apierrors.IsNotFound(err) {
		return api.Create(ctx, object)
	}
	if err != nil {
		return err
	}
	object.SetResourceVersion(current.GetResourceVersion())
	return api.Update(ctx, object)
}

func TestAcceptedExamples(t *testing.T) {
	for _, path := range examples(t, "accepted") {
		t.Run(exampleName(path), func(t *testing.T) {
			if err := readExample(t, path).apply(t, newNamespace(t)); err != nil {
				t.Errorf("refused: %v", err)
			}
		})
	}
}

func TestRefusedExamples(t *testing.T) {
	var seen refusals
	for _, path := range examples(t, "refused") {
		t.Run(exampleName(path), func(t *testing.T) {
			example := readExample(t, path)
			err := example.apply(t, newNamespace(t))
			if err == nil {
				t.Fatal("accepted")
			}
			if len(example.want) == 0 {
				t.Error("the file has no line # want:")
			}
			for _, want := range example.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the message lacks %q: %v", want, err)
				}
			}
			faults := causes(err)
			if len(faults) != example.faults {
				t.Errorf("%d faults are reported, not %d: %v", len(faults), example.faults, err)
			}
			seen.add(example.steps[0].GetKind(), faults)
		})
	}
	t.Run("every rule has one", seen.coverAllRules)
}

func examples(t *testing.T, folder string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join("testdata", folder, "*.yaml"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("found no examples: %v", err)
	}
	return paths
}

func exampleName(path string) string {
	return strings.ReplaceAll(strings.TrimSuffix(filepath.Base(path), ".yaml"), "-", " ")
}

// causes returns the single faults of a refusal, without the API server's remark that it has not
// looked for more.
func causes(err error) []metav1.StatusCause {
	status, ok := errors.AsType[*apierrors.StatusError](err)
	if !ok || status.ErrStatus.Details == nil {
		return nil
	}
	return slices.DeleteFunc(status.ErrStatus.Details.Causes, func(cause metav1.StatusCause) bool {
		return strings.Contains(cause.Message, "some validation rules were not checked")
	})
}
