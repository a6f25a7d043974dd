package integration

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"

	. "github.com/onsi/gomega"
	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/mta-sts-operator/mta-sts-operator/controllers"
)

// tenantRole is what the aggregated role edit grants, ours included. The controller that aggregates does not run here.
const tenantRole = "tenant"

// tenantRoleMade makes the role once for all stories.
var tenantRoleMade = sync.OnceValue(makeTenantRole)

func makeTenantRole() error {
	api, err := client.New(plane.Config, client.Options{Scheme: controllers.NewScheme()})
	if err != nil {
		return err
	}
	f, err := os.Open(filepath.Join("..", "..", "config", "rbac", "tenants.yaml"))
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	for decoder := yaml.NewYAMLOrJSONDecoder(f, 4096); ; {
		role := &rbacv1.ClusterRole{}
		if err := decoder.Decode(role); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return err
		}
		if err := api.Create(context.Background(), role); err != nil {
			return err
		}
	}
	all := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: tenantRole}}
	for _, into := range []string{"view", "edit"} { // what is added to view counts for edit, too
		var roles rbacv1.ClusterRoleList
		label := client.MatchingLabels{"rbac.authorization.k8s.io/aggregate-to-" + into: "true"}
		if err := api.List(context.Background(), &roles, label); err != nil {
			return err
		}
		for i := range roles.Items {
			all.Rules = append(all.Rules, roles.Items[i].Rules...)
		}
	}
	return api.Create(context.Background(), all)
}

// tenant is a client with the rights of somebody who has the role edit in the namespace, and no others.
func (s *story) tenant(namespace string) client.Client {
	s.t.Helper()
	s.Expect(tenantRoleMade()).To(Succeed())
	user := "tenant-of-" + namespace
	binding := &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: user},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: tenantRole},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user}},
	}
	s.Expect(client.IgnoreAlreadyExists(s.api.Create(s.ctx, binding))).To(Succeed())
	cfg, err := plane.UserConfig(user)
	s.Expect(err).NotTo(HaveOccurred())
	cfg.QPS, cfg.Burst = -1, 0
	api, err := client.New(cfg, client.Options{Scheme: controllers.NewScheme()})
	s.Expect(err).NotTo(HaveOccurred())
	// The authorizer reads roles from a cache of its own.
	s.Eventually(func(g Gomega) {
		g.Expect(allowed(s, api, namespace, "create", "mtasts.dev", "mtastspolicies")).To(BeTrue())
	}).Should(Succeed())
	return api
}

func allowed(s *story, as client.Client, namespace, verb, group, resource string) (bool, error) {
	review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
		ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: namespace, Verb: verb, Group: group, Resource: resource},
	}}
	err := as.Create(s.ctx, review)
	return review.Status.Allowed, err
}

func TestATenantHasTheRightsOfTheRoleEditAndNoOthers(t *testing.T) {
	s := setScene(t)
	tenant := s.tenant(s.namespace)
	for _, right := range []struct {
		verb, group, resource string
		want                  bool
	}{
		{"create", "", "configmaps", true},
		{"create", "networking.k8s.io", "ingresses", true},
		{"create", "apps", "deployments", true},
		{"create", "", "pods", true},
		{"patch", "mtasts.dev", "mtastspolicies", true},
		{"list", "mtasts.dev", "mtastspublications", true},
		{"create", "mtasts.dev", "mtastspublications", false},
		{"patch", "mtasts.dev", "mtastspublications", false},
		{"patch", "mtasts.dev", "mtastspublications/status", false},
		{"create", "rbac.authorization.k8s.io", "rolebindings", false},
	} {
		got, err := allowed(s, tenant, s.namespace, right.verb, right.group, right.resource)
		s.Expect(err).NotTo(HaveOccurred())
		s.Expect(got).To(Equal(right.want), "%+v", right)
	}
	elsewhere, err := allowed(s, tenant, "default", "get", "", "configmaps")
	s.Expect(err).NotTo(HaveOccurred())
	s.Expect(elsewhere).To(BeFalse())
}
