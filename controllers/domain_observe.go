package controllers

import (
	"context"
	"net/netip"
	"slices"
	"time"

	cmv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	cmmetav1 "github.com/cert-manager/cert-manager/pkg/apis/meta/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	externaldnsv1alpha1 "sigs.k8s.io/external-dns/apis/v1alpha1"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/controllers/internal/publication"
	"github.com/mta-sts-operator/mta-sts-operator/controllers/internal/resources"
)

// scope is one pass: what was seen, what was remembered, what was decided.
type scope struct {
	domain  string
	timings publication.Timings
	claims
	settings resources.Settings
	memory   *memory

	// The domain's children as cached; nil means absent, or its kind is not installed.
	ways
	certificate  *cmv1.Certificate
	hostEndpoint *externaldnsv1alpha1.DNSEndpoint
	txtEndpoint  *externaldnsv1alpha1.DNSEndpoint
	rptEndpoint  *externaldnsv1alpha1.DNSEndpoint

	// mail is what the live MX hosts did when asked for STARTTLS, by host.
	mail map[string]mxSeen

	// taken names a child whose name somebody else's object bears; "" if there is none.
	taken string
	// stands is set once the API server has confirmed the publication as it was read, or written, in this pass.
	stands bool
	// orderWaits says what the order of the policy host's certificate waits for; "" if nothing.
	orderWaits string
	// wakeIn is when another pass is due although nothing that was decided asks for it; 0 if none is.
	wakeIn time.Duration
	// tellIn is how long the news of a change that is on its way have to wait.
	tellIn time.Duration
	// turnIn is how long the word that the data was restored waits for its turn.
	turnIn time.Duration
	// failed is why some of the children could not be written.
	failed error

	observation publication.Observation
	decision    publication.Decision
}

// again asks for another pass after d at the latest.
func (s *scope) again(after time.Duration) {
	if after > 0 && (s.wakeIn == 0 || after < s.wakeIn) {
		s.wakeIn = after
	}
}

// observe collects, from caches and memory, everything that this pass decides by.
func (r *domainReconciler) observe(ctx context.Context, domain string) (*scope, error) {
	c, err := r.claimsOf(ctx, domain)
	if err != nil {
		return nil, err
	}
	if c.none() {
		return &scope{domain: domain, memory: newMemory(domain)}, nil
	}
	s := &scope{domain: domain, timings: r.Timings, claims: c, memory: r.memories.of(domain)}
	s.memory.about(c.publication)
	s.memory.follow(c)
	s.settings = resources.Effective(s.delivery(), r.Config)
	if err := r.observeClaim(ctx, s); err != nil {
		return nil, err
	}
	if s.publication == nil {
		if last := r.formers.of(domain, r.Clock.Now()); last != nil {
			s.again(last.until.Sub(r.Clock.Now())) // then the others' turn has come
		}
		return s, nil
	}
	if err := r.observeChildren(ctx, s); err != nil {
		return nil, err
	}
	if err := r.observeHistory(ctx, s); err != nil {
		return nil, err
	}
	r.observeHost(ctx, s)
	s.orderWaits = r.orderWaits(s)
	s.observation.Prepared, s.observation.PreparedIn = r.prepared(s)
	if err := r.observeGreater(ctx, s); err != nil {
		return nil, err
	}
	if s.publication.DeletionTimestamp.IsZero() {
		r.observeWords(s)
	}
	return s, nil
}

// observeHistory is what tells whether the publication is as new as what was announced.
func (r *domainReconciler) observeHistory(ctx context.Context, s *scope) (err error) {
	p, o := s.publication, &s.observation
	o.Namespace, o.UID, o.Created, o.Begun = p.Namespace, string(p.UID), p.CreationTimestamp.Time, p.UID == s.memory.begun
	if current := p.Spec.Current; current != nil {
		o.Servers = r.instances.view(p.Namespace, s.domain, current.ID)
	}
	o.Pace = s.memory.mints.Pace(r.Clock.Now(), r.Timings)
	_, o.Clock = r.bounds(r.Clock.Now())
	o.Planted = r.instances.plantedIn(p.Namespace, s.domain)
	o.Witness = r.instances.witness(p.Namespace, s.domain)
	o.Outage, err = r.heartbeat.outage(ctx)
	return err
}

// delivery is the winner's wish, or what the publication remembers of it.
func (s *scope) delivery() v1alpha1.Delivery {
	switch {
	case s.winner != nil && s.frozen == nil:
		return deliveryOf(s.winner)
	case s.publication != nil:
		return s.publication.Spec.Delivery
	}
	return v1alpha1.Delivery{}
}

// deliveryOf is a policy's way to deliver.
func deliveryOf(p *v1alpha1.MTASTSPolicy) v1alpha1.Delivery {
	return v1alpha1.Delivery{TLSReporting: p.Spec.TLSReporting, DNS: p.Spec.DNS, Exposure: p.Spec.Exposure, Certificate: p.Spec.Certificate}
}

// observeClaim turns the winner into what Decide follows. A winner that may not be followed as it is
// now keeps the publication as it is.
func (r *domainReconciler) observeClaim(ctx context.Context, s *scope) error {
	o := &s.observation
	o.World, o.DNS, o.Public = s.memory.world, s.memory.dns, s.memory.public
	r.observeMX(s)
	o.TTLSeconds = s.settings.TTLSeconds
	o.Domain = s.domain
	if s.winner == nil {
		return r.observeAbsence(ctx, s)
	}
	o.Namespace = s.winner.Namespace
	if err := r.trustClaim(ctx, s); err != nil {
		return err
	}
	o.Claim = &publication.Claim{
		Name: s.winner.Name, UID: string(s.winner.UID), Generation: s.winner.Generation, Wanted: wantedPolicy(s.winner),
		Preflight: s.winner.Spec.Preflight, DeletionPolicy: s.winner.Spec.DeletionPolicy, Delivery: s.delivery(),
		Title: s.title, Word: word(s.winner.Namespace, s.domain),
	}
	if s.frozen != nil {
		if s.publication == nil || s.publication.Spec.Current == nil {
			o.Claim = nil
			return nil
		}
		o.Claim.Wanted = publication.PolicyOf(*s.publication.Spec.Current)
	}
	return nil
}

func (r *domainReconciler) observeChildren(ctx context.Context, s *scope) error {
	namespace := s.publication.Namespace
	var err error
	if r.kinds.installed(certificates) {
		if s.certificate, err = get(ctx, r.client, namespace, resources.CertificateName(s.domain), &cmv1.Certificate{}); err != nil {
			return err
		}
	}
	if r.kinds.installed(dnsEndpoints) {
		if err := r.observeEndpoints(ctx, s); err != nil {
			return err
		}
	}
	return r.observeWays(ctx, s)
}

func (r *domainReconciler) observeEndpoints(ctx context.Context, s *scope) error {
	for name, into := range map[string]**externaldnsv1alpha1.DNSEndpoint{
		resources.HostEndpointName(s.domain):   &s.hostEndpoint,
		resources.TXTEndpointName(s.domain):    &s.txtEndpoint,
		resources.TLSRPTEndpointName(s.domain): &s.rptEndpoint,
	} {
		var err error
		if *into, err = r.newestEndpoint(ctx, s, client.ObjectKey{Namespace: s.publication.Namespace, Name: name}); err != nil {
			return err
		}
	}
	return nil
}

// prepared says what the first public look still has to wait for; "" if nothing. Looking too early
// would plant "no such name" in resolvers, and a certificate's first hour is not a broken host's.
func (r *domainReconciler) prepared(s *scope) (string, time.Duration) {
	if s.settings.Exposure == v1alpha1.ExposureIngress && len(s.targets()) == 0 {
		return "the policy host has no address yet: the Ingress controller has not written one into the Ingress' status, and dns.targets is not set", 0
	}
	if s.settings.CertificateSource == v1alpha1.CertificateIssuer && s.orderWaits == "" && certificateCondition(s.certificate).Status != cmmetav1.ConditionTrue {
		return "waiting for the policy host's certificate", 0
	}
	if obstacle, wait := r.pointable(s); obstacle != "" {
		return obstacle, wait
	}
	return s.orderWaits, 0
}

// pointable says what has to happen before DNS can answer where the policy host is; "" if nothing.
func (r *domainReconciler) pointable(s *scope) (string, time.Duration) {
	if s.settings.Provider != v1alpha1.DNSExternalDNS {
		return "", 0
	}
	if len(s.targets()) == 0 {
		return "nothing says where the policy host points: set dns.targets", 0
	}
	if s.hostEndpoint == nil || s.hostEndpoint.Status.ObservedGeneration != s.hostEndpoint.Generation {
		return "waiting for external-dns to read the policy host's DNSEndpoint: it needs --source=crd", 0
	}
	since := s.memory.hostRead(s.hostEndpoint, r.Clock.Now())
	if wait := since.Add(r.Timings.HostDelay).Sub(r.Clock.Now()); wait > 0 {
		return "waiting for DNS to answer the policy host's address", wait
	}
	return "", 0
}

// clusterAddress is the address that reachability Cluster dials: that of the Ingress which DNS was told of,
// which is inside what the operator may trust.
func (s *scope) clusterAddress() (netip.Addr, bool) {
	ingresses := append([]*networkingv1.Ingress{s.ingress}, s.former...)
	if s.moves() {
		slices.Reverse(ingresses)
	}
	for _, ingress := range ingresses {
		for _, at := range addressesOf(ingress) {
			if addr, err := netip.ParseAddr(at); err == nil {
				return addr, true
			}
		}
	}
	return netip.Addr{}, false
}

// certificateCondition is the Ready condition of a Certificate; zero if there is none.
func certificateCondition(c *cmv1.Certificate) cmv1.CertificateCondition {
	if c != nil {
		for _, cond := range c.Status.Conditions {
			if cond.Type == cmv1.CertificateConditionReady {
				return cond
			}
		}
	}
	return cmv1.CertificateCondition{}
}

// notAfter is when the policy host's certificate ends, as the last look or cert-manager told.
func (s *scope) notAfter() *metav1.Time {
	if s.certificate != nil {
		return s.certificate.Status.NotAfter
	}
	if !s.memory.notAfter.IsZero() {
		return new(metav1.NewTime(s.memory.notAfter))
	}
	return nil
}
