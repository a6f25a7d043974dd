package controllers

import (
	"context"
	"fmt"
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/controllers/internal/resources"
)

// anchor makes sure of the ServiceAccount that owns everything else of the server. Its UID is empty
// in the pass that makes it, and while it is being deleted. What it owns goes with it: where the cache shows no
// Deployment, the account that it shows may be one that is gone.
func (r *serverReconciler) anchor(ctx context.Context, namespace string, state *serverState) (resources.Server, error) {
	server := resources.Server{Namespace: namespace, OperatorNamespace: r.OperatorNamespace, Config: r.Config.Server}
	account, err := get(ctx, r.client, namespace, resources.ServerName, &corev1.ServiceAccount{})
	if err != nil {
		return server, err
	}
	if known := state.anchor; known != nil && account != nil && newer(known, account) {
		account = known
	}
	deployment, err := get(ctx, r.client, namespace, resources.ServerName, &appsv1.Deployment{})
	if err != nil {
		return server, err
	}
	server.Shards = resources.MountedShards(deployment)
	if account == nil || deployment == nil { // or the cache does not show it: for a moment, or for as long as a watch stands still
		if account, err = get(ctx, r.live, namespace, resources.ServerName, &corev1.ServiceAccount{}); err != nil {
			return server, err
		}
		if account != nil && !isOurs(account, "") {
			account = nil // which applying it refuses
		}
		state.anchor = account
	}
	if account != nil && !account.DeletionTimestamp.IsZero() {
		return server, nil
	}
	if err := r.children.apply(ctx, server.ServiceAccount(), present(account)); err != nil {
		return server, err
	}
	if account != nil {
		server.Anchor = account.UID
	}
	return server, nil
}

// ensureServer applies what makes up the server.
func (r *serverReconciler) ensureServer(ctx context.Context, server resources.Server) error {
	deployment, err := get(ctx, r.client, server.Namespace, resources.ServerName, &appsv1.Deployment{})
	if err != nil {
		return err
	}
	if deployment != nil && deployment.Annotations[resources.ReplicasAnnotation] == strconv.Itoa(int(server.Config.Replicas)) {
		server.Replicas = deployment.Spec.Replicas // an autoscaler's, or somebody's hand
	}
	if err := r.children.apply(ctx, server.Deployment(), present(deployment)); err != nil {
		return err
	}
	service, err := get(ctx, r.client, server.Namespace, resources.ServerName, &corev1.Service{})
	if err != nil {
		return err
	}
	if err := r.children.apply(ctx, server.Service(), present(service)); err != nil {
		return err
	}
	budget, err := get(ctx, r.client, server.Namespace, resources.ServerName, &policyv1.PodDisruptionBudget{})
	if err != nil {
		return err
	}
	if err := r.children.apply(ctx, server.PodDisruptionBudget(), present(budget)); err != nil {
		return err
	}
	network, err := get(ctx, r.client, server.Namespace, resources.ServerName, &networkingv1.NetworkPolicy{})
	if err != nil {
		return err
	}
	return r.children.apply(ctx, server.NetworkPolicy(), present(network))
}

// dismantle removes the server of a namespace without publications, once the API server has said so:
// the anchor goes, and the garbage collector takes the rest.
func (r *serverReconciler) dismantle(ctx context.Context, namespace string) error {
	account, err := get(ctx, r.client, namespace, resources.ServerName, &corev1.ServiceAccount{})
	if err != nil {
		return err
	}
	if account == nil {
		r.forget(namespace)
		return nil
	}
	var live v1alpha1.MTASTSPublicationList
	if err := r.live.List(ctx, &live, client.InNamespace(namespace), client.Limit(1)); err != nil {
		return fmt.Errorf("listing publications in %s: %w", namespace, err)
	}
	if len(live.Items) > 0 {
		return errStaleCache
	}
	if err := r.children.remove(ctx, account); err != nil {
		return err
	}
	r.forget(namespace)
	return nil
}
