// Package chart_test tests the Helm chart with the Helms that people have, 3 and 4: what it renders,
// what it refuses, and the life of a release on a real API server.
package chart_test

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/yaml"
)

var update = flag.Bool("update", false, "write the golden files anew")

// The repository's root and the chart, as seen from here.
var (
	root  = filepath.Join("..", "..")
	chart = filepath.Join(root, "charts", "mta-sts-operator")
)

// The names that the manifests of config have, so that both can be compared.
const (
	release = "mta-sts-operator"
	system  = "mta-sts-system"
)

// helm is a helm binary. Without a kubeconfig it reaches no cluster.
type helm struct {
	name, path string
	kubeconfig string
}

// helm3 and helm4 are set by TestMain.
var helm3, helm4 helm

func TestMain(m *testing.M) {
	flag.Parse()
	ctrl.SetLogger(logr.Discard())
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	// Its settings, caches and plugins are not the user's.
	home, err := os.MkdirTemp("", "mta-sts-helm-")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(home)) }()
	for _, name := range []string{"HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"} {
		if err := os.Setenv(name, filepath.Join(home, name)); err != nil {
			return 0, err
		}
	}
	if helm4, err = findHelm("Helm 4", "HELM", "helm"); err != nil {
		return 0, err
	}
	if helm3, err = findHelm("Helm 3", "HELM3", "helm3"); err != nil {
		return 0, err
	}
	return m.Run(), nil
}

func findHelm(name, variable, tool string) (helm, error) {
	path, err := findTool(variable, tool)
	return helm{name: name, path: path}, err
}

// findTool takes the binary that a variable names, as `make test` does, or builds the pinned one.
func findTool(variable, tool string) (string, error) {
	if path := os.Getenv(variable); path != "" {
		return path, nil
	}
	build := exec.Command(filepath.Join(root, "hack", "tools", "build.sh"), tool)
	build.Stderr = os.Stderr
	out, err := build.Output()
	if err != nil {
		return "", fmt.Errorf("building %s: %w", tool, err)
	}
	return strings.TrimSpace(string(out)), nil
}

// run returns what helm prints; the error holds what it complains about.
func (h helm) run(ctx context.Context, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, h.path, args...)
	command.Env = append(os.Environ(), "KUBECONFIG="+cmp.Or(h.kubeconfig, os.DevNull))
	var complaint strings.Builder
	command.Stderr = &complaint
	out, err := command.Output()
	if err != nil {
		err = fmt.Errorf("%s %s: %w: %s", h.name, args[0], err, complaint.String())
	}
	return string(out), err
}

// template is what the chart becomes with the arguments, as text.
func (h helm) template(t *testing.T, args ...string) string {
	t.Helper()
	out, err := h.tryTemplate(t, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// tryTemplate renders for the oldest Kubernetes that the chart is for: what Helm assumes differs.
func (h helm) tryTemplate(t *testing.T, args ...string) (string, error) {
	t.Helper()
	return h.run(t.Context(), append([]string{"template", release, chart, "--namespace", system, "--kube-version", "1.31.0"}, args...)...)
}

// objects are those of a rendering, by kind and name.
type objects map[string]*unstructured.Unstructured

// parse reads a rendering strictly: a key that occurs twice is an error, as Helm 4 has it.
func parse(t *testing.T, rendered string) objects {
	t.Helper()
	found := objects{}
	for document := range strings.SplitSeq("\n"+rendered, "\n---\n") {
		var object map[string]any
		if err := yaml.UnmarshalStrict([]byte(document), &object); err != nil {
			t.Fatalf("%v\n%s", err, document)
		}
		if len(object) == 0 {
			continue
		}
		u := &unstructured.Unstructured{Object: object}
		key := u.GetKind() + " " + u.GetName()
		if u.GetNamespace() != "" && u.GetNamespace() != system {
			key = u.GetKind() + " " + u.GetNamespace() + "/" + u.GetName()
		}
		if found[key] != nil {
			t.Fatalf("%s is there twice", key)
		}
		found[key] = u
	}
	return found
}

// valueFiles are the examples that every check goes through.
func valueFiles(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(chart, "ci", "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatal("no value files", err)
	}
	return files
}

func readFile(t *testing.T, path ...string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
