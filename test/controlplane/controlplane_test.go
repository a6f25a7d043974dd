package controlplane_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/mta-sts-operator/mta-sts-operator/test/controlplane"
)

// One control plane tells the whole story: each start costs several seconds.
func TestControlPlane(t *testing.T) {
	thirdParty, err := controlplane.ThirdPartyCRDs()
	if err != nil {
		t.Fatal(err)
	}
	audit := filepath.Join(t.TempDir(), "audit.log")
	cp, err := controlplane.Start(controlplane.Options{CRDs: controlplane.OurCRDs(), AuditLog: audit})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cp.Stop(); err != nil {
			t.Error(err)
		}
	})
	if err := controlplane.InstallCRDs(cp.Config, thirdParty...); err != nil {
		t.Fatal(err)
	}
	api, err := client.New(cp.Config, client.Options{})
	if err != nil {
		t.Fatal(err)
	}

	t.Run("it knows our kinds and those of others", func(t *testing.T) {
		for _, apiVersion := range []string{"mtasts.dev/v1alpha1", "externaldns.k8s.io/v1alpha1", "cert-manager.io/v1"} {
			kind := map[string]string{"mtasts.dev/v1alpha1": "MTASTSPolicyList", "externaldns.k8s.io/v1alpha1": "DNSEndpointList", "cert-manager.io/v1": "CertificateList"}[apiVersion]
			list := &unstructured.UnstructuredList{Object: map[string]any{"apiVersion": apiVersion, "kind": kind}}
			if err := api.List(t.Context(), list); err != nil {
				t.Errorf("listing %s: %v", kind, err)
			}
		}
	})

	t.Run("a user without a role may not write, and the attempt is in the audit log", func(t *testing.T) {
		config, err := cp.UserConfig("nobody-in-particular")
		if err != nil {
			t.Fatal(err)
		}
		user, err := client.New(config, client.Options{Mapper: api.RESTMapper()})
		if err != nil {
			t.Fatal(err)
		}
		if err := user.Create(t.Context(), configMap("forbidden")); !apierrors.IsForbidden(err) {
			t.Errorf("got %v", err)
		}
		gomega.NewWithT(t).Eventually(func() ([]controlplane.AuditEvent, error) {
			return attempts(audit, "nobody-in-particular")
		}, "10s").Should(gomega.HaveLen(1))
		events, _ := attempts(audit, "nobody-in-particular")
		if e := events[0]; e.Verb != "create" || e.ObjectRef.Resource != "configmaps" || e.ResponseStatus.Code != 403 || e.RequestReceivedTimestamp.IsZero() {
			t.Errorf("got %+v", e)
		}
	})

	t.Run("kubectl talks to it", func(t *testing.T) {
		out, err := cp.Kubectl(t.Context(), "get", "mtasts,mtastspub", "-A", "-o", "name")
		if err != nil || out != "" {
			t.Errorf("got %q, %v", out, err)
		}
		if _, err := cp.Kubectl(t.Context(), "get", "nonsense"); err == nil || !strings.Contains(err.Error(), `doesn't have a resource type "nonsense"`) {
			t.Errorf("got %v", err)
		}
	})

	t.Run("objects survive a restart of the API server", func(t *testing.T) {
		kept := configMap("kept")
		if err := api.Create(t.Context(), kept); err != nil {
			t.Fatal(err)
		}
		before := kept.UID
		if err := cp.RestartAPIServer(); err != nil {
			t.Fatal(err)
		}
		if err := api.Get(t.Context(), client.ObjectKeyFromObject(kept), kept); err != nil || kept.UID != before {
			t.Errorf("got %v, UID %s, want %s", err, kept.UID, before)
		}
	})

	t.Run("with the controller manager, owned objects go with their owner, also after a restart", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		if err := cp.StartControllerManager(ctx); err != nil {
			t.Fatal(err)
		}
		if err := cp.StartControllerManager(ctx); err == nil {
			t.Error("it started twice")
		}
		if err := cp.RestartAPIServer(); err != nil {
			t.Fatal(err)
		}
		owner := configMap("owner")
		if err := api.Create(ctx, owner); err != nil {
			t.Fatal(err)
		}
		child := configMap("child")
		child.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "ConfigMap", Name: owner.Name, UID: owner.UID}}
		if err := api.Create(ctx, child); err != nil {
			t.Fatal(err)
		}
		if err := api.Delete(ctx, owner); err != nil {
			t.Fatal(err)
		}
		gomega.NewWithT(t).Eventually(func() bool {
			return apierrors.IsNotFound(api.Get(ctx, client.ObjectKeyFromObject(child), child))
		}, "60s").Should(gomega.BeTrue())
	})
}

func TestStartSaysHowToGetThePrograms(t *testing.T) {
	empty := t.TempDir()
	for name, assets := range map[string]string{"nowhere": "", "in an empty folder": empty} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("KUBEBUILDER_ASSETS", assets)
			_, err := controlplane.Start(controlplane.Options{})
			if err == nil || !strings.Contains(err.Error(), "make test") || !strings.Contains(err.Error(), "hack/controlplane/build.sh") {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestStartFailsWithoutItsCRDs(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	_, err := controlplane.Start(controlplane.Options{CRDs: []string{filepath.Join(t.TempDir(), "missing")}})
	if err == nil || !strings.Contains(err.Error(), "missing") {
		t.Errorf("got %v", err)
	}
	if got := leftovers(t); got != 0 {
		t.Errorf("%d folders left behind", got)
	}
}

func leftovers(t *testing.T) int {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(os.TempDir(), "controlplane-*"))
	if err != nil {
		t.Fatal(err)
	}
	return len(found)
}

func configMap(name string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}}
}

// attempts are the writes of one user.
func attempts(audit, user string) ([]controlplane.AuditEvent, error) {
	events, err := controlplane.ReadAudit(audit)
	var found []controlplane.AuditEvent
	for _, event := range events {
		if event.User.Username == user && event.Writes() {
			found = append(found, event)
		}
	}
	return found, err
}
