package simulation

import (
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// gracePod is how long a pod may take to end. Only the kubelet's word removes it.
const gracePod = 35

// delete begins a deletion: pods are left to their kubelet, objects deleted in the foreground to the
// garbage collector; the rest is gone.
func (st *store) delete(o client.Object, options client.DeleteOptions, by string) error {
	k, live, err := st.live(o)
	if err != nil {
		return err
	}
	if p := options.Preconditions; p != nil {
		wrong := p.UID != nil && *p.UID != live.GetUID()
		if wrong || (p.ResourceVersion != nil && stale(*p.ResourceVersion, live)) {
			return conflict(k, o.GetName())
		}
	}
	if !live.GetDeletionTimestamp().IsZero() {
		return nil
	}
	next := live.DeepCopyObject().(client.Object)
	next.SetDeletionTimestamp(new(metav1.NewTime(st.now())))
	if k.Kind == "Pod" {
		next.SetDeletionGracePeriodSeconds(new(int64(gracePod)))
	}
	if p := options.PropagationPolicy; p != nil && *p == metav1.DeletePropagationForeground {
		next.SetFinalizers(append(next.GetFinalizers(), metav1.FinalizerDeleteDependents))
	}
	st.put(live, next, by)
	return nil
}

// remove is the last word about an object that is being deleted.
func (st *store) remove(o client.Object, by string) {
	live := st.get(kindFor(o).Kind, client.ObjectKeyFromObject(o))
	if live == nil || live.GetUID() != o.GetUID() {
		return
	}
	next := live.DeepCopyObject().(client.Object)
	if next.GetDeletionTimestamp().IsZero() {
		next.SetDeletionTimestamp(new(metav1.NewTime(st.now())))
	}
	next.SetFinalizers(nil)
	next.SetDeletionGracePeriodSeconds(nil)
	st.put(live, next, by)
}

// owners are all objects by UID, as the garbage collector sees them.
type owners map[types.UID]client.Object

// stands says whether an object has an owner that is there to stay, or needs none.
func (o owners) stands(child client.Object) bool {
	refs := child.GetOwnerReferences()
	return len(refs) == 0 || slices.ContainsFunc(refs, func(r metav1.OwnerReference) bool {
		return o[r.UID] != nil && !foreground(o[r.UID])
	})
}

// foreground says whether an object waits for its children to go first.
func foreground(o client.Object) bool {
	return o != nil && slices.Contains(o.GetFinalizers(), metav1.FinalizerDeleteDependents)
}

// collect is one round of the garbage collector; it says whether there was anything to do.
func (st *store) collect() (busy bool) {
	const by = "garbage-collector"
	all, blocked := owners{}, map[types.UID]bool{}
	for _, o := range st.everything() {
		all[o.GetUID()] = o
		for _, r := range o.GetOwnerReferences() {
			blocked[r.UID] = blocked[r.UID] || (r.BlockOwnerDeletion != nil && *r.BlockOwnerDeletion)
		}
	}
	for _, o := range st.everything() {
		if !all.stands(o) && o.GetDeletionTimestamp().IsZero() {
			busy = true
			_ = st.delete(o, client.DeleteOptions{}, by) // it exists: it was listed a moment ago
		}
	}
	for _, o := range st.everything() {
		if foreground(o) {
			busy = true
			if !blocked[o.GetUID()] {
				st.remove(o, by)
			}
		}
	}
	return busy
}

// everything there is, kind by kind.
func (st *store) everything() []client.Object {
	lists := make([][]client.Object, 0, len(kinds))
	for _, k := range kinds {
		lists = append(lists, st.list(k.Kind))
	}
	return slices.Concat(lists...)
}
