package controllers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/client-go/util/csaupgrade"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	externaldnsv1alpha1 "sigs.k8s.io/external-dns/apis/v1alpha1"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/controllers/internal/resources"
)

// nameTakenError says that an object of a child's name exists and is not the operator's.
type nameTakenError struct{ kind, name string }

func (e *nameTakenError) Error() string {
	return fmt.Sprintf("%s %s exists and was not made by this operator: delete or rename it", e.kind, e.name)
}

// children writes child objects: those that anybody may help to shape by server-side apply, those
// that carry an id with the resourceVersion they were read at.
type children struct {
	// client reads from the cache.
	client client.Client
	// live reads from the API server.
	live client.Reader
}

// get reads a child from the cache; nil if it is not there, or its kind is not installed or watched yet.
func get[T client.Object](ctx context.Context, r client.Reader, namespace, name string, into T) (T, error) {
	var none T
	err := r.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, into)
	var unwatched *cache.ErrResourceNotCached
	switch {
	case err == nil:
		return into, nil
	case apierrors.IsNotFound(err), apimeta.IsNoMatchError(err), errors.As(err, &unwatched):
		return none, nil
	default:
		return none, fmt.Errorf("reading %T %s/%s: %w", into, namespace, name, err)
	}
}

// apply makes the live object have every field of the desired one (an apply configuration). cached
// is what the cache holds, a nil interface if nothing. Nothing is written if nothing differs.
func (c children) apply(ctx context.Context, desired any, cached client.Object) error {
	u, err := resources.Unstructured(desired)
	if err != nil {
		return err
	}
	if err := resources.Stamp(u); err != nil {
		return err
	}
	if cached == nil {
		if done, err := c.create(ctx, u); done || err != nil {
			return err
		}
	} else {
		have, err := runtime.DefaultUnstructuredConverter.ToUnstructured(cached)
		if err != nil {
			return fmt.Errorf("converting %s %s: %w", u.GetKind(), u.GetName(), err)
		}
		wanted := u.DeepCopy()
		wanted.SetAnnotations(asCached(wanted.GetAnnotations(), cached.GetAnnotations()))
		if resources.Covers(have, wanted.Object) {
			return nil
		}
	}
	if err := c.takeOwnership(ctx, u.DeepCopy(), cached != nil); err != nil {
		return err
	}
	err = c.client.Apply(ctx, client.ApplyConfigurationFromUnstructured(u), client.ForceOwnership)
	if err != nil {
		return fmt.Errorf("applying %s %s/%s: %w", u.GetKind(), u.GetNamespace(), u.GetName(), err)
	}
	return nil
}

// create makes an object that the cache does not hold; false if there is one, as when it lost the label of
// ours. It takes one request: an apply would silently take over what is there, and has to be preceded by a look.
func (c children) create(ctx context.Context, u *unstructured.Unstructured) (done bool, err error) {
	err = c.client.Create(ctx, u.DeepCopy())
	if apierrors.IsAlreadyExists(err) {
		return false, nil
	}
	return true, wrap(err, "creating %s %s/%s", u.GetKind(), u.GetNamespace(), u.GetName())
}

// takeOwnership prepares a live object for being applied. Of those that the cache does not know, one with our
// label and our domain is adopted, any other refused. The fields it was created with are turned into applied
// ones: those that are not desired any more would stay otherwise.
func (c children) takeOwnership(ctx context.Context, live *unstructured.Unstructured, known bool) error {
	want := live.GetAnnotations()[v1alpha1.DomainAnnotation]
	kind, name := live.GetKind(), live.GetName()
	err := c.live.Get(ctx, client.ObjectKeyFromObject(live), live)
	switch {
	case apierrors.IsNotFound(err):
		return nil
	case err != nil:
		return fmt.Errorf("reading %s %s/%s: %w", kind, live.GetNamespace(), name, err)
	case !known && !isOurs(live, want):
		return &nameTakenError{kind: kind, name: name}
	}
	created := func(f metav1.ManagedFieldsEntry) bool {
		return f.Manager == FieldOwner && f.Operation == metav1.ManagedFieldsOperationUpdate && f.Subresource == ""
	}
	if !slices.ContainsFunc(live.GetManagedFields(), created) {
		return nil
	}
	patch, err := csaupgrade.UpgradeManagedFieldsPatch(live, sets.New(FieldOwner), FieldOwner)
	if err != nil {
		return fmt.Errorf("reading the managed fields of %s %s/%s: %w", kind, live.GetNamespace(), name, err)
	}
	err = c.client.Patch(ctx, live, client.RawPatch(types.JSONPatchType, patch))
	return wrap(err, "taking the ownership of %s %s/%s", kind, live.GetNamespace(), name)
}

// isOurs decides by label and domain, never by ownership: restored and orphaned objects have no owner.
// An object that lost its label by hand is known by the field manager that wrote it.
func isOurs(o client.Object, domain string) bool {
	written := func(f metav1.ManagedFieldsEntry) bool { return f.Manager == FieldOwner }
	return o.GetAnnotations()[v1alpha1.DomainAnnotation] == domain &&
		(o.GetLabels()[v1alpha1.ManagedByLabel] == v1alpha1.ManagedBy || slices.ContainsFunc(o.GetManagedFields(), written))
}

// endpoint creates a DNSEndpoint or updates the known one. It returns the newest version it has seen,
// nil if none; when that is newer than the known one by somebody else's write, with errStaleCache.
func (c children) endpoint(ctx context.Context, desired, known *externaldnsv1alpha1.DNSEndpoint) (*externaldnsv1alpha1.DNSEndpoint, error) {
	if known == nil {
		created := desired.DeepCopy()
		err := c.client.Create(ctx, created)
		if err == nil {
			return created, nil
		}
		if !apierrors.IsAlreadyExists(err) {
			return nil, fmt.Errorf("creating DNSEndpoint %s/%s: %w", desired.Namespace, desired.Name, err)
		}
		if known, err = c.liveEndpoint(ctx, desired); err != nil {
			return nil, err
		}
		if !isOurs(known, desired.Annotations[v1alpha1.DomainAnnotation]) {
			return nil, &nameTakenError{kind: "DNSEndpoint", name: desired.Name}
		}
		if _, greater := greaterID(known, desired); greater {
			return known, nil // the next pass sees it, and mints above it
		}
	}
	known.Annotations = withoutHashes(known.Annotations)
	updated := known.DeepCopy()
	updated.Labels = merged(updated.Labels, desired.Labels)
	updated.Annotations = merged(updated.Annotations, desired.Annotations)
	updated.OwnerReferences = desired.OwnerReferences
	updated.Spec = desired.Spec
	if apiequality.Semantic.DeepEqual(updated, known) {
		return known, nil
	}
	err := c.client.Update(ctx, updated)
	switch {
	case apierrors.IsConflict(err):
		fresh, err := c.liveEndpoint(ctx, desired)
		return fresh, cmp.Or(err, errStaleCache)
	case err != nil:
		return nil, fmt.Errorf("updating DNSEndpoint %s/%s: %w", desired.Namespace, desired.Name, err)
	}
	return updated, nil
}

func (c children) liveEndpoint(ctx context.Context, desired *externaldnsv1alpha1.DNSEndpoint) (*externaldnsv1alpha1.DNSEndpoint, error) {
	live := &externaldnsv1alpha1.DNSEndpoint{}
	if err := c.live.Get(ctx, client.ObjectKeyFromObject(desired), live); err != nil {
		return nil, fmt.Errorf("reading DNSEndpoint %s/%s: %w", desired.Namespace, desired.Name, err)
	}
	return live, nil
}

// remove deletes an object of ours that the cache holds; a nil interface is nothing to do.
func (c children) remove(ctx context.Context, cached client.Object) error {
	if cached == nil || !cached.GetDeletionTimestamp().IsZero() {
		return nil
	}
	uid := cached.GetUID()
	err := c.client.Delete(ctx, cached, client.Preconditions{UID: &uid})
	return wrap(client.IgnoreNotFound(err), "deleting %T %s/%s", cached, cached.GetNamespace(), cached.GetName())
}

func merged(base, over map[string]string) map[string]string {
	if len(over) == 0 {
		return base
	}
	out := maps.Clone(base)
	if out == nil {
		out = map[string]string{}
	}
	maps.Copy(out, over)
	return out
}

// wrap says what was being done when err came; nil stays nil.
func wrap(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf(format+": %w", append(args, err)...)
}

// present is the object as an interface that is nil if the pointer is.
func present[T any, P interface {
	*T
	client.Object
}](o P) client.Object {
	if o == nil {
		return nil
	}
	return o
}
