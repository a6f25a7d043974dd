package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	cmv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/client-go/discovery"
	"sigs.k8s.io/controller-runtime/pkg/client"
	edns "sigs.k8s.io/external-dns/apis/v1alpha1"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
)

// written are all objects that exist because of the policies, the policies included, in the order in
// which a client may write them.
func (f *fleet) written(ctx context.Context) ([]client.Object, error) {
	var out []client.Object
	for _, list := range []client.ObjectList{
		&v1alpha1.MTASTSPolicyList{}, &v1alpha1.MTASTSPublicationList{}, &corev1.ConfigMapList{}, &corev1.ServiceAccountList{},
		&appsv1.DeploymentList{}, &corev1.ServiceList{}, &policyv1.PodDisruptionBudgetList{}, &networkingv1.NetworkPolicyList{},
		&networkingv1.IngressList{}, &cmv1.CertificateList{}, &edns.DNSEndpointList{},
	} {
		var options []client.ListOption
		if _, ok := list.(*v1alpha1.MTASTSPolicyList); !ok {
			options = append(options, client.MatchingLabels{v1alpha1.ManagedByLabel: v1alpha1.ManagedBy})
		}
		if err := f.api.List(ctx, list, options...); err != nil {
			return nil, fmt.Errorf("listing what was written: %w", err)
		}
		objects, err := objectsOf(list)
		if err != nil {
			return nil, err
		}
		out = append(out, objects...)
	}
	return out, nil
}

// encodedKiB is the size of objects as etcd holds most of them, managed fields included, for each of n.
func encodedKiB(objects []client.Object, n int) (float64, error) {
	total := 0
	for _, object := range objects {
		encoded, err := json.Marshal(object)
		if err != nil {
			return 0, fmt.Errorf("encoding %s: %w", object.GetName(), err)
		}
		total += len(encoded)
	}
	return float64(total) / 1024 / float64(n), nil
}

// bare is what the client took that only writes.
type bare struct{ took, busy time.Duration }

// serverCPU is the API server's CPU time since its start.
func (f *fleet) serverCPU(ctx context.Context) (time.Duration, error) {
	api, err := discovery.NewDiscoveryClientForConfig(f.plane.Config)
	if err != nil {
		return 0, fmt.Errorf("asking the API server about itself: %w", err)
	}
	metrics, err := api.RESTClient().Get().AbsPath("/metrics").DoRaw(ctx)
	if err != nil {
		return 0, fmt.Errorf("asking the API server about itself: %w", err)
	}
	for line := range strings.Lines(string(metrics)) {
		if text, ok := strings.CutPrefix(line, "process_cpu_seconds_total "); ok {
			seconds, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
			return time.Duration(seconds * float64(time.Second)), err
		}
	}
	return 0, errors.New("the API server does not tell its CPU time")
}

// serverAtRest is the API server's CPU time once the world has written all that it makes of new objects.
func (f *fleet) serverAtRest(ctx context.Context) (time.Duration, error) {
	last, err := f.serverCPU(ctx)
	for err == nil {
		if err := pause(ctx, settling); err != nil {
			return last, err
		}
		before := last
		if last, err = f.serverCPU(ctx); last-before < settling/5 {
			break
		}
	}
	return last, err
}

// measureBare measures a client that only writes: the policies, what exists because of them, and the
// policies' final status, with as many requests at once as the operator has workers, and in the same world.
func measureBare(ctx context.Context, s setup, objects []client.Object) (b bare, err error) {
	f, err := newFleet(ctx, s)
	if err != nil {
		return b, err
	}
	defer func() { err = errors.Join(err, f.close()) }()
	before, err := f.serverCPU(ctx)
	if err != nil {
		return b, err
	}
	started := time.Now()
	err = each(ctx, len(objects), func(ctx context.Context, n int) error {
		object := objects[n]
		object.SetResourceVersion("")
		object.SetUID("")
		object.SetOwnerReferences(nil)
		object.SetManagedFields(nil)
		policy, isPolicy := object.(*v1alpha1.MTASTSPolicy)
		if !isPolicy {
			return f.api.Create(ctx, object)
		}
		status := policy.Status.DeepCopy()
		if err := f.api.Create(ctx, policy); err != nil {
			return err
		}
		before := policy.DeepCopy()
		policy.Status = *status
		return f.api.Status().Patch(ctx, policy, client.MergeFrom(before))
	})
	b.took = time.Since(started)
	if err != nil {
		return b, err
	}
	after, err := f.serverAtRest(ctx)
	b.busy = after - before
	return b, err
}
