package controllers

import (
	"context"
	"net/netip"
	"time"

	cmv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	"github.com/prometheus/client_golang/prometheus"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	externaldnsv1alpha1 "sigs.k8s.io/external-dns/apis/v1alpha1"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/controllers/internal/publication"
	"github.com/mta-sts-operator/mta-sts-operator/controllers/internal/resources"
	"github.com/mta-sts-operator/mta-sts-operator/internal/config"
	"github.com/mta-sts-operator/mta-sts-operator/internal/sender"
)

// FieldOwner is the field manager of everything the operator applies.
const FieldOwner = "mta-sts-operator"

// Timings are all the waiting times of the operator; see DefaultTimings for each one's reason.
type Timings = publication.Timings

// DefaultTimings are the times used in production. Tests and the demo shorten them; users may not.
func DefaultTimings() Timings { return publication.DefaultTimings() }

// World is the Internet as a sender sees it. *sender.Sender is the real one.
type World interface {
	LookupTXT(ctx context.Context, name string) sender.TXT
	LookupHost(ctx context.Context, name string) sender.Host
	LookupMX(ctx context.Context, domain string) sender.MX
	LookPolicy(ctx context.Context, domain string, want *sender.Instance) sender.Look
	LookPolicyAt(ctx context.Context, domain string, address netip.Addr, want *sender.Instance) sender.Look
	LookWay(ctx context.Context, domain string, way sender.Way, want *sender.Instance) sender.Look
	ResolveMX(ctx context.Context, host string) sender.MXAddresses
	ProbeMXAddress(ctx context.Context, host string, address netip.Addr) sender.MXAddress
}

// Options are what the controllers need beside the manager.
type Options struct {
	// Config is the operator's configuration.
	Config config.Operator
	// Version of the operator: messages lead to the documentation of that release, and of none to the newest.
	Version string
	// Timings; the zero value means DefaultTimings.
	Timings Timings
	// World to look at.
	World World
	// Clock; nil means the real one.
	Clock clock.Clock
	// OperatorNamespace is where the operator keeps what has to outlive it, its heartbeat among that; empty means
	// nowhere. It may ask the pods' metrics port; empty admits everybody.
	OperatorNamespace string
	// Namespaces are those the manager was made for; empty means all. A domain is then one publisher's
	// only among them: what other namespaces publish is not seen.
	Namespaces []string
	// Metrics is where the operator's own metrics are registered; nil means nowhere.
	Metrics prometheus.Registerer
	// Workers is how many domains are worked on at once; 0 means 64. Most of them wait for the network, and one
	// namespace may keep a quarter of them busy.
	Workers int
}

func (o Options) withDefaults() Options {
	if o.Timings == (Timings{}) {
		o.Timings = DefaultTimings()
	}
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	if o.Workers == 0 {
		o.Workers = 64
	}
	return o
}

// NewScheme knows every kind the controllers read or write.
func NewScheme() *runtime.Scheme {
	scheme := runtime.NewScheme()
	utilruntime.Must(clientgoscheme.AddToScheme(scheme))
	utilruntime.Must(v1alpha1.AddToScheme(scheme))
	utilruntime.Must(cmv1.AddToScheme(scheme))
	utilruntime.Must(externaldnsv1alpha1.AddToScheme(scheme))
	metav1.AddToGroupVersion(scheme, externaldnsv1alpha1.GroupVersion)
	return scheme
}

// ManagerOptions configures the manager's scheme, client and cache: beside the two kinds of its own
// the operator holds only objects that bear its label, without their managed fields, and never starts
// a watch by accident. With namespaces it reads nothing outside of them, and needs no right there.
// What has the server's name is asked for by name, so that the right to read it can be cut by name as well.
func ManagerOptions(namespaces ...string) ctrl.Options {
	ours := labels.SelectorFromSet(labels.Set{v1alpha1.ManagedByLabel: v1alpha1.ManagedBy})
	// Whatever bears the label: of the server's parts there is one of each in a namespace (I11).
	server := cache.ByObject{Field: fields.OneTermEqualSelector("metadata.name", resources.ServerName)}
	var only map[string]cache.Config
	if len(namespaces) > 0 {
		only = map[string]cache.Config{}
	}
	for _, namespace := range namespaces {
		only[namespace] = cache.Config{}
	}
	return ctrl.Options{
		Scheme: NewScheme(),
		Client: client.Options{FieldOwner: FieldOwner, FieldValidation: metav1.FieldValidationStrict},
		Cache: cache.Options{
			DefaultNamespaces:           only,
			DefaultLabelSelector:        ours,
			DefaultTransform:            newSlimmer().slim,
			ReaderFailOnMissingInformer: true,
			ByObject: map[client.Object]cache.ByObject{
				&v1alpha1.MTASTSPolicy{}:        {Label: labels.Everything()},
				&v1alpha1.MTASTSPublication{}:   {Label: labels.Everything()},
				&corev1.ServiceAccount{}:        server,
				&corev1.Service{}:               server,
				&appsv1.Deployment{}:            server,
				&policyv1.PodDisruptionBudget{}: server,
				&networkingv1.NetworkPolicy{}:   server,
			},
		},
	}
}

// reconcileTimeout bounds one pass; every look has a shorter limit of its own.
const reconcileTimeout = time.Minute
