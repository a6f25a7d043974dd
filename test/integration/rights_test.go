package integration

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/mta-sts-operator/mta-sts-operator/controllers"
)

// bindOperator makes a user that may do what config/rbac/role.yaml says and config/admission lets pass, and no more.
func bindOperator(ctx context.Context) (err error) {
	const user = "operator"
	if asOperator, err = plane.UserConfig(user); err != nil {
		return err
	}
	api, err := client.New(plane.Config, client.Options{Scheme: controllers.NewScheme()})
	if err != nil {
		return err
	}
	data, err := os.ReadFile(filepath.Join("..", "..", "config", "rbac", "role.yaml"))
	if err != nil {
		return err
	}
	role := &rbacv1.ClusterRole{}
	if err := yaml.UnmarshalStrict(data, role); err != nil {
		return fmt.Errorf("reading the operator's role: %w", err)
	}
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: role.Name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role.Name},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user}},
	}
	if err := errors.Join(api.Create(ctx, role), api.Create(ctx, binding)); err != nil {
		return err
	}
	return fence(ctx, api, user)
}

// fence applies config/admission for the user. Stories that spoil or restore a publication's memory do it as
// those who may restore backups: members of system:masters.
func fence(ctx context.Context, api client.Client, user string) error {
	files, err := filepath.Glob(filepath.Join("..", "..", "config", "admission", "bases", "*.yaml"))
	if err != nil || len(files) != 2 {
		return errors.Join(fmt.Errorf("config/admission has %d files", len(files)), err)
	}
	adapt := strings.NewReplacer(
		"system:serviceaccount:mta-sts-system:mta-sts-operator", user,
		"system:serviceaccount:velero:velero", "system:masters",
		// Operators of stories are at home in namespaces of their own.
		`"'mta-sts-system'"`, `"request.namespace.startsWith('other-') ? request.namespace : ''"`,
	)
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		for document := range strings.SplitSeq(adapt.Replace(string(data)), "\n---\n") {
			object := &unstructured.Unstructured{}
			if err := yaml.UnmarshalStrict([]byte(document), object); err != nil {
				return fmt.Errorf("reading %s: %w", file, err)
			}
			if err := api.Create(ctx, object); err != nil {
				return err
			}
		}
	}
	return awaitFence(ctx)
}

// awaitFence returns once the API server has taken the policies up.
func awaitFence(ctx context.Context) error {
	operator, err := client.New(asOperator, client.Options{Scheme: controllers.NewScheme()})
	if err != nil {
		return err
	}
	stray := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, GenerateName: "stray-"}}
	return wait.PollUntilContextCancel(ctx, 50*time.Millisecond, true, func(ctx context.Context) (bool, error) {
		err := operator.Create(ctx, stray.DeepCopy(), client.DryRunAll)
		return apierrors.IsForbidden(err), client.IgnoreNotFound(ignoreForbidden(err))
	})
}

func ignoreForbidden(err error) error {
	if apierrors.IsForbidden(err) {
		return nil
	}
	return err
}
