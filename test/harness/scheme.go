package harness

import (
	"cmp"

	cmv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	edns "sigs.k8s.io/external-dns/apis/v1alpha1"
)

// newScheme returns a scheme with every kind the models handle.
func newScheme() *runtime.Scheme {
	scheme := runtime.NewScheme()
	utilruntime.Must(clientgoscheme.AddToScheme(scheme))
	utilruntime.Must(cmv1.AddToScheme(scheme))
	utilruntime.Must(edns.AddToScheme(scheme))
	return scheme
}

// byKey orders objects by namespace and name. Informers list in no order, and
// models that follow it would do something else in every step.
func byKey[T any, P interface {
	*T
	client.Object
}](a, b T) int {
	return cmp.Or(
		cmp.Compare(P(&a).GetNamespace(), P(&b).GetNamespace()),
		cmp.Compare(P(&a).GetName(), P(&b).GetName()),
	)
}
