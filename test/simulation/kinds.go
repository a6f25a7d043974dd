package simulation

import (
	"fmt"
	"reflect"
	"strings"

	cmv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	externaldnsv1alpha1 "sigs.k8s.io/external-dns/apis/v1alpha1"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
)

// kind is what the API server knows about a kind of objects.
type kind struct {
	schema.GroupVersionKind
	of reflect.Type
	// hasStatus: the status is a subresource of its own.
	hasStatus bool
	// counts: the generation is raised when the spec changes.
	counts bool
}

func (k kind) make() client.Object { return reflect.New(k.of).Interface().(client.Object) }

func (k kind) resource() schema.GroupResource {
	return schema.GroupResource{Group: k.Group, Resource: k.Kind}
}

func knows(gv schema.GroupVersion, o client.Object, hasStatus, counts bool) kind {
	of := reflect.TypeOf(o).Elem()
	return kind{GroupVersionKind: gv.WithKind(of.Name()), of: of, hasStatus: hasStatus, counts: counts}
}

// kinds are all that the operator reads or writes, in the order in which everything is walked through.
var kinds = []kind{
	knows(v1alpha1.GroupVersion, &v1alpha1.MTASTSPolicy{}, true, true),
	knows(v1alpha1.GroupVersion, &v1alpha1.MTASTSPublication{}, true, true),
	knows(corev1.SchemeGroupVersion, &corev1.ConfigMap{}, false, false),
	knows(corev1.SchemeGroupVersion, &corev1.ServiceAccount{}, false, false),
	knows(corev1.SchemeGroupVersion, &corev1.Service{}, true, false),
	knows(corev1.SchemeGroupVersion, &corev1.Pod{}, true, false),
	knows(appsv1.SchemeGroupVersion, &appsv1.Deployment{}, true, true),
	knows(policyv1.SchemeGroupVersion, &policyv1.PodDisruptionBudget{}, true, true),
	knows(networkingv1.SchemeGroupVersion, &networkingv1.NetworkPolicy{}, false, true),
	knows(networkingv1.SchemeGroupVersion, &networkingv1.Ingress{}, true, true),
	knows(cmv1.SchemeGroupVersion, &cmv1.Certificate{}, true, true),
	knows(externaldnsv1alpha1.GroupVersion, &externaldnsv1alpha1.DNSEndpoint{}, true, true),
}

var (
	kindOf   = map[reflect.Type]kind{}
	kindName = map[string]kind{}
)

func init() {
	for _, k := range kinds {
		kindOf[k.of], kindName[k.Kind] = k, k
	}
}

// kindFor is the kind of an object, typed or not.
func kindFor(o runtime.Object) kind {
	if u, ok := o.(*unstructured.Unstructured); ok {
		return kindName[u.GetKind()]
	}
	return kindOf[reflect.TypeOf(o).Elem()]
}

// kindForList is the kind of a list's items.
func kindForList(list client.ObjectList) kind {
	if metadata, ok := list.(*metav1.PartialObjectMetadataList); ok {
		return kindName[strings.TrimSuffix(metadata.Kind, "List")]
	}
	items, ok := reflect.TypeOf(list).Elem().FieldByName("Items")
	if !ok {
		panic(fmt.Sprintf("%T is no typed list", list))
	}
	return kindOf[items.Type.Elem()]
}

// ref names an object.
type ref struct{ kind, namespace, name string }

func refOf(o client.Object) ref { return ref{kindFor(o).Kind, o.GetNamespace(), o.GetName()} }

func (r ref) String() string { return r.kind + " " + r.namespace + "/" + r.name }
