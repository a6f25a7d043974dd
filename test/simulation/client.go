package simulation

import (
	"context"
	"errors"
	"fmt"
	"reflect"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/controllers"
)

var (
	errStale = errors.New("the object has been modified")
	errDead  = errors.New("the operator is dead")
	errNet   = errors.New("connection reset by peer")
)

// source is where a reader finds objects: the API server, or a cache.
type source interface {
	get(kind string, key types.NamespacedName) client.Object
	list(kind string) []client.Object
}

// reader reads copies from a source; ask may refuse.
type reader struct {
	source
	ask func(ctx context.Context, what string) error
}

// Get reads one object, typed or not.
func (r reader) Get(ctx context.Context, key client.ObjectKey, into client.Object, _ ...client.GetOption) error {
	k := kindFor(into)
	if err := r.ask(ctx, "get "+k.Kind+" "+key.String()); err != nil {
		return err
	}
	o := r.get(k.Kind, key)
	if o == nil {
		return apierrors.NewNotFound(k.resource(), key.Name)
	}
	set(into, o)
	return nil
}

// set makes an object a copy of another.
func set(into, from client.Object) {
	if u, ok := into.(*unstructured.Unstructured); ok {
		u.Object = encode(from)
		return
	}
	reflect.ValueOf(into).Elem().Set(reflect.ValueOf(from.DeepCopyObject()).Elem())
}

// List reads the objects that the options select.
func (r reader) List(ctx context.Context, list client.ObjectList, opts ...client.ListOption) error {
	k := kindForList(list)
	if err := r.ask(ctx, "list "+k.Kind); err != nil {
		return err
	}
	var o client.ListOptions
	o.ApplyOptions(opts)
	var out []runtime.Object
	for _, item := range r.list(k.Kind) {
		if selects(o, item) && (o.Limit == 0 || int64(len(out)) < o.Limit) {
			out = append(out, item.DeepCopyObject())
		}
	}
	if metadata, ok := list.(*metav1.PartialObjectMetadataList); ok {
		for _, item := range out {
			metadata.Items = append(metadata.Items, *apimeta.AsPartialObjectMetadata(item.(client.Object)))
		}
		return nil
	}
	return apimeta.SetList(list, out) //nolint:wrapcheck // the items are of the list's kind
}

func selects(o client.ListOptions, item client.Object) bool {
	if o.Namespace != "" && o.Namespace != item.GetNamespace() {
		return false
	}
	if o.LabelSelector != nil && !o.LabelSelector.Matches(labelsOf(item)) {
		return false
	}
	if o.FieldSelector == nil {
		return true
	}
	domain, ok := o.FieldSelector.RequiresExactMatch("spec.domain")
	return !ok || domain == domainOf(item)
}

// domainOf is the domain of one of the operator's kinds, or of a child; "" if it has none.
func domainOf(o client.Object) string {
	switch o := o.(type) {
	case *v1alpha1.MTASTSPolicy:
		return o.Spec.Domain
	case *v1alpha1.MTASTSPublication:
		return o.Spec.Domain
	}
	return o.GetAnnotations()[v1alpha1.DomainAnnotation]
}

// writer is what the operator holds for the API server: reads come from its cache, writes may fail.
type writer struct {
	client.Client // what the operator does not use is not there

	reader
	leader *leader
}

// Get and List are the cache's.

// Get reads from the cache.
func (w writer) Get(ctx context.Context, key client.ObjectKey, into client.Object, opts ...client.GetOption) error {
	return w.reader.Get(ctx, key, into, opts...)
}

// List reads from the cache.
func (w writer) List(ctx context.Context, list client.ObjectList, opts ...client.ListOption) error {
	return w.reader.List(ctx, list, opts...)
}

// do makes one write of a typed object, and gives the caller what the server made of it.
func (w writer) do(ctx context.Context, verb string, o client.Object, write func(st *store) (client.Object, error)) error {
	return w.leader.write(ctx, verb, refOf(o), func(st *store) error {
		out, err := write(st)
		if err == nil && out != nil {
			set(o, out)
		}
		return err
	})
}

// Create stores a new object.
func (w writer) Create(ctx context.Context, o client.Object, _ ...client.CreateOption) error {
	sent := o.DeepCopyObject().(client.Object)
	if u, ok := o.(*unstructured.Unstructured); ok {
		sent = kindFor(u).make()
		decode(u.Object, sent)
	}
	return w.do(ctx, "create", o, func(st *store) (client.Object, error) { return st.create(sent, controllers.FieldOwner) })
}

// Update replaces an object.
func (w writer) Update(ctx context.Context, o client.Object, _ ...client.UpdateOption) error {
	sent := o.DeepCopyObject().(client.Object)
	return w.do(ctx, "update", o, func(st *store) (client.Object, error) { return st.update(sent, controllers.FieldOwner) })
}

// Patch applies a merge patch, or the JSON patch of managed fields with which an apply begins.
func (w writer) Patch(ctx context.Context, o client.Object, patch client.Patch, _ ...client.PatchOption) error {
	if patch.Type() == types.JSONPatchType {
		return w.do(ctx, "own", o, func(st *store) (client.Object, error) { return st.takeOver(o, controllers.FieldOwner) })
	}
	return w.patch(ctx, o, patch, false)
}

func (w writer) patch(ctx context.Context, o client.Object, patch client.Patch, status bool) error {
	if patch.Type() != types.MergePatchType {
		return fmt.Errorf("patch type %s is not part of this world", patch.Type())
	}
	data, err := patch.Data(o)
	if err != nil {
		return err //nolint:wrapcheck // as the real client
	}
	sent := encode(runtime.RawExtension{Raw: data})
	verb := "patch"
	if status {
		verb = "patch status of"
	}
	return w.do(ctx, verb, o, func(st *store) (client.Object, error) {
		return st.patch(o, sent, status, controllers.FieldOwner)
	})
}

// Apply is server-side apply.
func (w writer) Apply(ctx context.Context, desired runtime.ApplyConfiguration, _ ...client.ApplyOption) error {
	sent := encode(desired)
	u := unstructured.Unstructured{Object: sent}
	return w.leader.write(ctx, "apply", ref{u.GetKind(), u.GetNamespace(), u.GetName()}, func(st *store) error {
		st.apply(sent, controllers.FieldOwner)
		return nil
	})
}

// Delete begins a deletion.
func (w writer) Delete(ctx context.Context, o client.Object, opts ...client.DeleteOption) error {
	var options client.DeleteOptions
	options.ApplyOptions(opts)
	return w.do(ctx, "delete", o, func(st *store) (client.Object, error) {
		return nil, st.delete(o, options, controllers.FieldOwner)
	})
}

// Status writes the status only.
func (w writer) Status() client.SubResourceWriter { return statusWriter{writer: w} }

type statusWriter struct {
	client.SubResourceWriter

	writer writer
}

// Patch applies a merge patch to the status.
func (w statusWriter) Patch(ctx context.Context, o client.Object, patch client.Patch, _ ...client.SubResourcePatchOption) error {
	return w.writer.patch(ctx, o, patch, true)
}
