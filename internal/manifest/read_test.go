package manifest_test

import (
	"errors"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/mta-sts-operator/mta-sts-operator/internal/manifest"
)

const stream = `# only a comment
---
apiVersion: v1
kind: Namespace
metadata: {name: mail}
---
apiVersion: mtasts.dev/v1alpha1
kind: MTASTSPolicy
metadata: {name: example-com, namespace: mail}
spec:
  domain: example.com
  mx: [mx1.example.com, "*.mail.example.net"]
  tlsReporting: {rua: ["mailto:tls-reports@example.com", "https://reports.example.net/tls"]}
---
apiVersion: mtasts.dev/v1alpha1
kind: MTASTSPolicy
metadata: {name: example-org}
spec:
  domain: example.org
  mode: enforce
  mx: [mx.example.org]
  maxAgeSeconds: 1209600
  tlsReporting: {rua: ["mailto:a@example.org"], ttlSeconds: 7200}
  dns: {provider: Manual, ttlSeconds: 600, targets: ["2001:db8::1", 192.0.2.1]}
---
apiVersion: mtasts.dev/v1alpha1
kind: MTASTSPolicy
metadata: {name: example-net}
spec:
  domain: example.net
  mode: none
  mx: [mx.example.net]
  dns: {targets: [lb.example.net]}
---
apiVersion: mtasts.dev/v1alpha1
kind: MTASTSPolicy
metadata: {name: example-edu}
spec:
  domain: example.edu
  mx: [mx.example.edu]
  exposure: {type: None}
`

func TestReadAndPrint(t *testing.T) {
	documents, err := manifest.Read(strings.NewReader(stream), schema(t))
	if err != nil {
		t.Fatal(err)
	}
	var kinds []string
	var b strings.Builder
	for _, d := range documents {
		kinds = append(kinds, d.Kind)
		if d.Policy == nil {
			continue
		}
		if err := manifest.Print(&b, d.Policy); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{"Namespace", "MTASTSPolicy", "MTASTSPolicy", "MTASTSPolicy", "MTASTSPolicy"}
	if diff := cmp.Diff(want, kinds); diff != "" {
		t.Errorf("kinds (-want +got):\n%s", diff)
	}
	golden(t, "render.txt", b.String())
}

func TestReadNamesEveryFaultOfEveryDocument(t *testing.T) {
	_, err := manifest.Read(strings.NewReader(`apiVersion: mtasts.dev/v1alpha1
kind: MTASTSPolicy
metadata: {name: one}
spec: {domain: Example.com, mx: ["mx1.example.com."], maxAgeSeconds: 5}
---
- a list
---
apiVersion: mtasts.dev/v1
kind: MTASTSPolicy
metadata: {name: three}
---
kind: MTASTSPolicy
---
apiVersion: mtasts.dev/v1alpha1
kind: MTASTSPolicy
metadata: {name: five, nick: x}
spec: {domain: example.com, mx: [a.example], modus: enforce}
---
a: 1
a: 2
---
apiVersion: mtasts.dev/v1alpha1
kind: MTASTSPolicy
spec: {domain: example.com, mx: [a.example]}
`), schema(t))
	if err == nil {
		t.Fatal("accepted")
	}
	golden(t, "faults.txt", err.Error()+"\n")
}

func TestReadTellsOfAStreamThatBreaks(t *testing.T) {
	broken := errors.New("gone")
	if _, err := manifest.Read(iotest.ErrReader(broken), schema(t)); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}

func TestASchemaMustBeOne(t *testing.T) {
	for _, crd := range []string{"a: 1", "spec: {versions: [{name: v1}]}", "apiVersion: v1"} {
		if _, err := manifest.NewSchema([]byte(crd)); err == nil {
			t.Errorf("accepted %q", crd)
		}
	}
}
