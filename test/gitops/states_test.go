package gitops

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
	"sigs.k8s.io/yaml"
)

var update = flag.Bool("update", false, "write what follows from the scripts and recordings anew")

const (
	policyKind      = "MTASTSPolicy"
	publicationKind = "MTASTSPublication"
)

var (
	argocd         = filepath.Join("..", "..", "config", "argocd")
	customizations = filepath.Join(argocd, "resource_customizations", "mtasts.dev")
)

// state is one row of the table in docs/gitops.md: an object that was recorded, and what everybody makes
// of it.
type state struct {
	kind, file string
	// means is for people.
	means string
	// argo is the health that Argo CD shows.
	argo string
	// kstatus is what Flux, Helm 4 and others that know nothing of the kind make of it.
	kstatus status.Status
	// flux is what Flux makes of it with the expressions in config/flux; empty if they do not apply.
	flux status.Status
	// waits says whether kubectl wait --for=condition=Ready goes on waiting.
	waits bool
}

// states are the rows for a kind.
func states(kind string) []state {
	rows := []state{
		{policyKind, "new", "the operator has not seen it", "Progressing", status.InProgressStatus, status.InProgressStatus, true},
		{policyKind, "serving", "the policy is being brought to every server", "Progressing", status.InProgressStatus, status.InProgressStatus, true},
		{policyKind, "announcing", "its id was handed to DNS, which does not answer it yet", "Progressing", status.InProgressStatus, status.InProgressStatus, true},
		{policyKind, "in-force", "in force", "Healthy", status.CurrentStatus, status.CurrentStatus, false},
		{policyKind, "edited", "in force, and the operator has not seen the last edit", "Progressing", status.InProgressStatus, status.InProgressStatus, true},
		{policyKind, "changing", "in force, and an edit is on its way", "Progressing", status.InProgressStatus, status.InProgressStatus, true},
		{policyKind, "mx-lookup-pending", "an edit waits for the MX records to be looked up", "Progressing", status.InProgressStatus, status.InProgressStatus, true},
		{policyKind, "held", "an edit is held: senders would refuse a live MX host", "Degraded", status.FailedStatus, status.FailedStatus, true},
		{policyKind, "conflict", "another policy publishes the domain", "Degraded", status.FailedStatus, status.FailedStatus, true},
		{policyKind, "not-allowed", "the namespace may not publish the domain", "Degraded", status.FailedStatus, status.FailedStatus, true},
		{policyKind, "not-reachable", "the policy URL is not reachable from the cluster", "Degraded", status.FailedStatus, status.FailedStatus, true},
		{policyKind, "mx-refused", "in force, and senders refuse a live MX host", "Degraded", status.CurrentStatus, status.FailedStatus, false},
		{policyKind, "broken", "in force, and what is published was proven to be broken", "Degraded", status.InProgressStatus, status.FailedStatus, true},
		{publicationKind, "in-force", "follows a policy", "Healthy", status.CurrentStatus, "", true},
		{publicationKind, "grace", "the policy is gone for less than ten minutes", "Progressing", status.InProgressStatus, "", true},
		{publicationKind, "retiring", "`mode: none` is published until senders have forgotten", "Progressing", status.InProgressStatus, "", true},
		{publicationKind, "retiring-stalled", "it cannot retire without you", "Degraded", status.FailedStatus, "", true},
		{publicationKind, "removing", "everything is being removed", "Progressing", status.InProgressStatus, "", true},
		{publicationKind, "removing-stalled", "the id's record is not removed", "Degraded", status.FailedStatus, "", true},
		{publicationKind, "orphaned", "left as it is, by `deletionPolicy: Orphan`", "Healthy", status.CurrentStatus, "", false},
		{publicationKind, "conflict", "another namespace publishes the domain", "Degraded", status.FailedStatus, "", true},
	}
	return slices.DeleteFunc(rows, func(s state) bool { return s.kind != kind })
}

// recorded is the object of a state.
func recorded(t *testing.T, s state) *unstructured.Unstructured {
	t.Helper()
	return parse(t, read(t, filepath.Join(customizations, s.kind, "testdata", s.file+".yaml")))
}

// parse reads YAML as clients of the API server read objects: whole numbers are int64.
func parse(t *testing.T, text []byte) *unstructured.Unstructured {
	t.Helper()
	object := map[string]any{}
	if err := yaml.Unmarshal(text, &object); err != nil {
		t.Fatal(err)
	}
	json, err := yaml.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	if json, err = yaml.YAMLToJSON(json); err != nil {
		t.Fatal(err)
	}
	u := &unstructured.Unstructured{}
	if object["kind"] == nil {
		json = bytes.Replace(json, []byte("{"), []byte(`{"apiVersion":"mtasts.dev/v1alpha1","kind":"Any",`), 1)
		json = bytes.Replace(json, []byte(",}"), []byte("}"), 1)
	}
	if err := u.UnmarshalJSON(json); err != nil {
		t.Fatal(err)
	}
	return u
}

// golden writes a file that follows from others, when asked to.
func golden(t *testing.T, path string, content func() []byte) {
	t.Helper()
	if !*update {
		return
	}
	if err := os.WriteFile(path, content(), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestEveryStateIsJudgedAsTheTableSays(t *testing.T) {
	for _, kind := range []string{policyKind, publicationKind} {
		script := healthScript(t, kind)
		for _, want := range states(kind) {
			t.Run(kind+" "+want.file, func(t *testing.T) {
				object, is := recorded(t, want), want
				is.argo = assess(t, script, object).Status
				result, err := status.Compute(object)
				if err != nil {
					t.Fatal(err)
				}
				is.kstatus = result.Status
				if want.flux != "" {
					is.flux = fluxStatus(t, object)
				}
				is.waits = !readyForKubectl(t, object)
				if diff := cmp.Diff(want, is, cmp.AllowUnexported(state{})); diff != "" {
					t.Errorf("(-want +is):\n%s", diff)
				}
			})
		}
	}
}

func TestEveryRecordingIsJudged(t *testing.T) {
	for _, kind := range []string{policyKind, publicationKind} {
		files, err := filepath.Glob(filepath.Join(customizations, kind, "testdata", "*.yaml"))
		if err != nil || len(files) == 0 {
			t.Fatalf("no recordings of %s: %v", kind, err)
		}
		for _, file := range files {
			name := strings.TrimSuffix(filepath.Base(file), ".yaml")
			if !slices.ContainsFunc(states(kind), func(s state) bool { return s.file == name }) {
				t.Errorf("%s is in no row of the table", file)
			}
		}
	}
}

// readyForKubectl is the rule of kubectl wait --for=condition=Ready: True, and for the object as it is.
func readyForKubectl(t *testing.T, object *unstructured.Unstructured) bool {
	t.Helper()
	conditions, _, err := unstructured.NestedSlice(object.Object, "status", "conditions")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range conditions {
		c := c.(map[string]any)
		if c["type"] == "Ready" {
			return c["status"] == "True" && c["observedGeneration"].(int64) >= object.GetGeneration()
		}
	}
	return false
}

// TestTheTableInTheDocumentation keeps docs/gitops.md true.
func TestTheTableInTheDocumentation(t *testing.T) {
	path := filepath.Join("..", "..", "docs", "gitops.md")
	page := string(read(t, path))
	for _, kind := range []string{policyKind, publicationKind} {
		begin, end := "<!-- "+kind+" -->\n", "<!-- /"+kind+" -->"
		head, rest, ok := strings.Cut(page, begin)
		_, tail, ok2 := strings.Cut(rest, end)
		if !ok || !ok2 {
			t.Fatalf("%s has no table of %s", path, kind)
		}
		want := head + begin + table(t, kind) + end + tail
		golden(t, path, func() []byte { return []byte(want) })
		if *update {
			page = want
		}
		if diff := cmp.Diff(want, page); diff != "" {
			t.Errorf("%s (-want +is): go test ./test/gitops -update\n%s", path, diff)
		}
	}
}

// table is the states of a kind for people.
func table(t *testing.T, kind string) string {
	t.Helper()
	var b strings.Builder
	if kind == publicationKind {
		b.WriteString("| The publication | Argo CD | kstatus | says, for example |\n|---|---|---|---|\n")
	} else {
		b.WriteString("| The policy | Argo CD | kstatus | Flux with our expressions | `kubectl wait` | Argo CD says, for example |\n|---|---|---|---|---|---|\n")
	}
	for _, s := range states(kind) {
		message := beginning(assess(t, healthScript(t, kind), recorded(t, s)).Message)
		if kind == publicationKind {
			fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", s.means, s.argo, s.kstatus, message)
			continue
		}
		wait := "waits"
		if !s.waits {
			wait = "returns"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n", s.means, s.argo, s.kstatus, s.flux, wait, message)
	}
	return b.String()
}

// beginning is as much of a message as a table has room for.
func beginning(message string) string {
	const most = 100
	message, _, _ = strings.Cut(message, "; see https://") // the table is about what comes before
	if len(message) <= most {
		return message
	}
	return message[:strings.LastIndex(message[:most], " ")] + " …"
}
