package main

import (
	"context"
	"fmt"
	"maps"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
)

const (
	// edits is how many single edits one run makes, one after the other.
	edits = 7
	// massEdit is how many policies get the same edit at once, if there are twice as many.
	massEdit = 1000
)

// edit measures single edits of policies at rest.
func (r *result) edit(ctx context.Context, f *fleet) error {
	before, err := f.op.figures(ctx)
	if err != nil {
		return err
	}
	var announced, inForce []float64
	for i := range edits {
		a, b, err := f.editOne(ctx, i*f.Policies/edits, 86400)
		if err != nil {
			return err
		}
		announced, inForce = append(announced, a.Seconds()), append(inForce, b.Seconds())
	}
	if _, err := r.quiet(ctx, f, "edits", before); err != nil {
		return err
	}
	r.Values[editSeconds], r.Values[editInForce] = median(announced), median(inForce)
	r.Values[editWrites], r.Values[editReads] = per(r.Requests["edits"], edits)
	return nil
}

// editOne changes max_age of one policy, and says how long it took from the accepted edit until DNS had the
// new id, and until the status said so.
func (f *fleet) editOne(ctx context.Context, n int, maxAge int32) (announced, inForce time.Duration, err error) {
	policy := f.policy(n)
	if err := f.api.Get(ctx, client.ObjectKeyFromObject(policy), policy); err != nil {
		return 0, 0, err
	}
	edited := policy.DeepCopy()
	edited.Spec.MaxAgeSeconds = maxAge
	if err := f.api.Patch(ctx, edited, client.MergeFrom(policy)); err != nil {
		return 0, 0, err
	}
	accepted := time.Now()
	err = f.inForce(ctx, 2*time.Minute, func(ready map[string]int64) bool { return ready[policy.Name] >= edited.Generation })
	return f.txtChanged(policy.Spec.Domain).Sub(accepted), time.Since(accepted), err
}

// massEdit adds an MX host to many policies at once, and makes a single edit meanwhile.
func (r *result) massEdit(ctx context.Context, f *fleet) error {
	many := min(massEdit, f.Policies/2)
	before, err := f.op.figures(ctx)
	if err != nil {
		return err
	}
	shards, err := f.shards(ctx)
	if err != nil {
		return err
	}
	profiled := f.profile(ctx, "mass-edit", 20)
	started := time.Now()
	err = each(ctx, many, func(ctx context.Context, n int) error {
		body := []byte(`{"spec":{"mx":["` + mailHost + `","mx2.provider.example"]}}`)
		return f.api.Patch(ctx, f.policy(n), client.RawPatch("application/merge-patch+json", body))
	})
	if err != nil {
		return err
	}
	single, _, err := f.editOne(ctx, f.Policies-1, 1209600)
	if err != nil {
		return err
	}
	err = f.inForce(ctx, time.Minute+time.Duration(many)*perPolicy, func(ready map[string]int64) bool {
		for n := range many {
			if ready[f.policy(n).Name] < 2 {
				return false
			}
		}
		return true
	})
	if err != nil {
		return err
	}
	r.Values[massSeconds], r.Values[massSingle] = time.Since(started).Seconds(), single.Seconds()
	if err := profiled(); err != nil {
		return err
	}
	if _, err := r.quiet(ctx, f, "mass edit", before); err != nil {
		return err
	}
	changed, err := f.shards(ctx)
	if err != nil {
		return err
	}
	maps.DeleteFunc(changed, func(shard types.NamespacedName, version string) bool { return shards[shard] == version })
	r.Values[massShards] = float64(len(changed))
	requests := r.Requests["mass edit"]
	r.Values[massConfigMaps] = float64(requests["PATCH configmaps"] + requests["PUT configmaps"] + requests["POST configmaps"])
	r.Values[massWrites], _ = per(requests, many+1)
	return nil
}

// shards are the versions of the operator's ConfigMaps.
func (f *fleet) shards(ctx context.Context) (map[types.NamespacedName]string, error) {
	var list corev1.ConfigMapList
	if err := f.api.List(ctx, &list, client.MatchingLabels{v1alpha1.ManagedByLabel: v1alpha1.ManagedBy}); err != nil {
		return nil, fmt.Errorf("listing shards: %w", err)
	}
	versions := map[types.NamespacedName]string{}
	for i := range list.Items {
		versions[client.ObjectKeyFromObject(&list.Items[i])] = list.Items[i].ResourceVersion
	}
	return versions, nil
}
