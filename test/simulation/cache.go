package simulation

import (
	"time"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
)

func labelsOf(o client.Object) labels.Set { return o.GetLabels() }

// cache is what one operator knows of the API server: each kind as it was some writes ago, never
// going back.
type cache struct {
	objects map[string]map[types.NamespacedName]client.Object
	// at is how much of each kind's log has been seen.
	at map[string]int
	// frozen is until when nothing of a kind arrives.
	frozen map[string]time.Time
}

// newCache is a cache that has just been filled, from an API server that is behind itself.
func newCache(st *store, behind time.Duration) *cache {
	c := &cache{objects: map[string]map[types.NamespacedName]client.Object{}, at: map[string]int{}, frozen: map[string]time.Time{}}
	for _, k := range kinds {
		c.objects[k.Kind] = map[types.NamespacedName]client.Object{}
		log, to := st.logs[k.Kind], len(st.logs[k.Kind])
		for to > 0 && log[to-1].at.After(st.now().Add(-behind)) {
			to--
		}
		c.advance(st, k.Kind, to, nil)
	}
	return c
}

func (c *cache) get(kind string, key types.NamespacedName) client.Object {
	if o := c.objects[kind][key]; o != nil {
		return o
	}
	return nil
}

func (c *cache) list(kind string) []client.Object { return sorted(c.objects[kind]) }

// cached says whether the operator's cache holds an object: its own two kinds, and what bears its label.
func cached(o client.Object) bool {
	switch o.(type) {
	case nil:
		return false
	case *v1alpha1.MTASTSPolicy, *v1alpha1.MTASTSPublication:
		return true
	}
	return o.GetLabels()[v1alpha1.ManagedByLabel] == v1alpha1.ManagedBy
}

// advance applies a kind's log up to, but without, to; told sees every change of the cache.
func (c *cache) advance(st *store, kind string, to int, told func(before, after client.Object)) {
	for ; c.at[kind] < to; c.at[kind]++ {
		ch := st.logs[kind][c.at[kind]]
		key := types.NamespacedName{Namespace: ch.namespace, Name: ch.name}
		before := c.get(kind, key)
		var after client.Object
		if cached(ch.after) {
			after = ch.after.DeepCopyObject().(client.Object)
			after.SetManagedFields(nil)
			c.objects[kind][key] = after
		} else {
			delete(c.objects[kind], key)
		}
		if told != nil && (before != nil || after != nil) {
			told(before, after)
		}
	}
}
