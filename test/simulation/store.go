package simulation

import (
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// store is the API server's memory: objects with everything that the operator relies on.
// Objects in it are never changed, only replaced.
type store struct {
	now     func() time.Time
	version int64
	made    int
	objects map[string]map[types.NamespacedName]client.Object
	// logs are all writes of each kind, as watches deliver them.
	logs map[string][]change
	// first is what an object was created with, last what was applied last, by object.
	first, last map[types.UID]fields
	// changed sees every change when it has been made, by whom.
	changed func(c change, by string)
}

// change is one write. after is nil if the object is gone, before if it is new.
type change struct {
	ref
	at            time.Time
	before, after client.Object
}

func newStore(now func() time.Time) *store {
	return &store{
		now: now, objects: map[string]map[types.NamespacedName]client.Object{}, logs: map[string][]change{},
		first: map[types.UID]fields{}, last: map[types.UID]fields{}, changed: func(change, string) {},
	}
}

// get returns the object itself, not a copy; nil if there is none.
func (st *store) get(kind string, key types.NamespacedName) client.Object {
	return st.objects[kind][key]
}

// list returns the objects themselves, by namespace and name.
func (st *store) list(kind string) []client.Object { return sorted(st.objects[kind]) }

func sorted(objects map[types.NamespacedName]client.Object) []client.Object {
	out := make([]client.Object, 0, len(objects))
	for _, o := range objects {
		out = append(out, o)
	}
	slices.SortFunc(out, func(a, b client.Object) int {
		if c := strings.Compare(a.GetNamespace(), b.GetNamespace()); c != 0 {
			return c
		}
		return strings.Compare(a.GetName(), b.GetName())
	})
	return out
}

func (st *store) live(o client.Object) (kind, client.Object, error) {
	k := kindFor(o)
	live := st.get(k.Kind, client.ObjectKeyFromObject(o))
	if live == nil {
		return k, nil, apierrors.NewNotFound(k.resource(), o.GetName())
	}
	return k, live, nil
}

func conflict(k kind, name string) error {
	return apierrors.NewConflict(k.resource(), name, errStale)
}

// stale says whether a request was made for another version.
func stale(version string, live client.Object) bool {
	return version != "" && version != live.GetResourceVersion()
}

// create stores a new object; status and what the server decides itself are dropped.
func (st *store) create(o client.Object, by string) (client.Object, error) {
	k := kindFor(o)
	if st.get(k.Kind, client.ObjectKeyFromObject(o)) != nil {
		return nil, apierrors.NewAlreadyExists(k.resource(), o.GetName())
	}
	f := encode(o)
	if k.hasStatus {
		delete(f, "status")
	}
	out := st.write(k, nil, f, by, metav1.ManagedFieldsOperationUpdate)
	st.first[out.GetUID()] = f
	return out, nil
}

// takeOver turns the fields that an object was created with into applied ones.
func (st *store) takeOver(o client.Object, by string) (client.Object, error) {
	k, live, err := st.live(o)
	if err != nil {
		return nil, err
	}
	if stale(o.GetResourceVersion(), live) {
		return nil, conflict(k, o.GetName())
	}
	st.last[live.GetUID()] = st.first[live.GetUID()]
	next := live.DeepCopyObject().(client.Object)
	next.SetManagedFields([]metav1.ManagedFieldsEntry{entryOf(by, metav1.ManagedFieldsOperationApply)})
	st.put(live, next, by)
	return next, nil
}

func entryOf(by string, operation metav1.ManagedFieldsOperationType) metav1.ManagedFieldsEntry {
	return metav1.ManagedFieldsEntry{Manager: by, Operation: operation, FieldsType: "FieldsV1", FieldsV1: metav1.NewFieldsV1("{}")}
}

// update replaces everything but the status.
func (st *store) update(o client.Object, by string) (client.Object, error) {
	k, live, err := st.live(o)
	if err != nil {
		return nil, err
	}
	if stale(o.GetResourceVersion(), live) {
		return nil, conflict(k, o.GetName())
	}
	f := encode(o)
	if k.hasStatus {
		withStatus(f, encode(live))
	}
	return st.write(k, live, f, by, metav1.ManagedFieldsOperationUpdate), nil
}

// updateStatus replaces the status only; for those who have just read the object.
func (st *store) updateStatus(o client.Object, by string) {
	if k, live, err := st.live(o); err == nil {
		f := encode(live)
		withStatus(f, encode(o))
		st.write(k, live, f, by, metav1.ManagedFieldsOperationUpdate)
	}
}

func withStatus(f, from fields) {
	delete(f, "status")
	if status, ok := from["status"]; ok {
		f["status"] = status
	}
}

// patch applies a merge patch, to the status or to the rest.
func (st *store) patch(o client.Object, patch fields, status bool, by string) (client.Object, error) {
	k, live, err := st.live(o)
	if err != nil {
		return nil, err
	}
	if meta, ok := patch["metadata"].(fields); ok {
		if version, _ := meta["resourceVersion"].(string); stale(version, live) {
			return nil, conflict(k, o.GetName())
		}
	}
	have := encode(live)
	f := mergePatch(have, patch)
	switch {
	case status:
		next := encode(live)
		withStatus(next, f)
		f = next
	case k.hasStatus:
		withStatus(f, have)
	}
	return st.write(k, live, f, by, metav1.ManagedFieldsOperationUpdate), nil
}

// apply is server-side apply with force.
func (st *store) apply(desired fields, by string) {
	k := kindName[desired["kind"].(string)]
	wanted := k.make()
	decode(desired, wanted)
	live := st.get(k.Kind, client.ObjectKeyFromObject(wanted))
	f := desired
	if live != nil {
		f = applied(encode(live), st.last[live.GetUID()], desired)
	}
	out := st.write(k, live, f, by, metav1.ManagedFieldsOperationApply)
	st.last[out.GetUID()] = desired
}

// write stores what an object is from now on, unless nothing differs.
func (st *store) write(k kind, before client.Object, f fields, by string, how metav1.ManagedFieldsOperationType) client.Object {
	o := k.make()
	decode(f, o)
	o.GetObjectKind().SetGroupVersionKind(k.GroupVersionKind)
	if before == nil {
		st.made++
		o.SetUID(types.UID("uid-" + strconv.Itoa(st.made)))
		o.SetCreationTimestamp(metav1.NewTime(st.now().Truncate(time.Second)))
		o.SetGeneration(0)
		o.SetDeletionTimestamp(nil)
		if k.counts {
			o.SetGeneration(1)
		}
		o.SetManagedFields([]metav1.ManagedFieldsEntry{entryOf(by, how)})
	} else {
		o.SetUID(before.GetUID())
		o.SetCreationTimestamp(before.GetCreationTimestamp())
		o.SetDeletionTimestamp(before.GetDeletionTimestamp())
		o.SetGeneration(before.GetGeneration())
		o.SetResourceVersion(before.GetResourceVersion())
		o.SetManagedFields(before.GetManagedFields())
		if apiequality.Semantic.DeepEqual(o, before) {
			return before
		}
		if k.counts && !apiequality.Semantic.DeepEqual(specOf(o), specOf(before)) {
			o.SetGeneration(before.GetGeneration() + 1)
		}
		st.manages(o, by, how)
	}
	st.put(before, o, by)
	return o
}

// manages notes who wrote an object.
func (st *store) manages(o client.Object, by string, how metav1.ManagedFieldsOperationType) {
	entries := o.GetManagedFields()
	if !slices.ContainsFunc(entries, func(e metav1.ManagedFieldsEntry) bool { return e.Manager == by }) {
		o.SetManagedFields(append(slices.Clone(entries), entryOf(by, how)))
	}
}

// put makes o the live object, or removes it if it has been deleted and nothing holds it.
func (st *store) put(before, o client.Object, by string) {
	st.version++
	o.SetResourceVersion(strconv.FormatInt(st.version, 10))
	c := change{ref: refOf(o), at: st.now(), before: before, after: o}
	key := client.ObjectKeyFromObject(o)
	held := len(o.GetFinalizers()) > 0 || o.GetDeletionGracePeriodSeconds() != nil
	if !o.GetDeletionTimestamp().IsZero() && !held {
		c.after = nil
		delete(st.objects[c.kind], key)
		delete(st.first, o.GetUID())
		delete(st.last, o.GetUID())
		c.before = o
	} else {
		if st.objects[c.kind] == nil {
			st.objects[c.kind] = map[types.NamespacedName]client.Object{}
		}
		st.objects[c.kind][key] = o
	}
	st.logs[c.kind] = append(st.logs[c.kind], c)
	st.changed(c, by)
}

func specOf(o client.Object) any {
	return reflect.ValueOf(o).Elem().FieldByName("Spec").Interface()
}
