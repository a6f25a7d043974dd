package controllers

import (
	"context"
	"errors"
	"fmt"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	externaldnsv1alpha1 "sigs.k8s.io/external-dns/apis/v1alpha1"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/controllers/internal/publication"
	"github.com/mta-sts-operator/mta-sts-operator/controllers/internal/resources"
	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
)

// apply carries the decision out: the publication first, so that a crash at any point is resumed
// from it (I4); then the children. What cannot be written of those is told, and tried again.
func (r *domainReconciler) apply(ctx context.Context, s *scope) error {
	d := &s.decision
	if d.Spec == nil || (s.publication != nil && !s.publication.DeletionTimestamp.IsZero()) {
		return nil
	}
	if d.Remove {
		return r.end(ctx, s)
	}
	if s.publication == nil {
		return r.create(ctx, s)
	}
	if err := r.record(ctx, s); err != nil {
		return err
	}
	s.failed = r.ensureChildren(ctx, s)
	if taken, ok := errors.AsType[*nameTakenError](s.failed); ok {
		s.taken, s.failed = taken.Error(), nil
	}
	return nil
}

// record writes the publication down, patched with the resourceVersion it was read at.
func (r *domainReconciler) record(ctx context.Context, s *scope) error {
	spec := *s.decision.Spec
	updated := s.publication.DeepCopy()
	updated.Spec = spec
	if s.winner != nil || s.decision.WordSpent { // the word was about another disappearance than the next one
		delete(updated.Annotations, v1alpha1.ReleaseAnnotation)
	}
	for _, word := range s.decision.Spent {
		delete(updated.Annotations, word)
	}
	if apiequality.Semantic.DeepEqual(s.publication, updated) {
		return nil
	}
	patch := client.MergeFromWithOptions(s.publication, client.MergeFromWithOptimisticLock{})
	if err := r.client.Patch(ctx, updated, patch); err != nil {
		return fmt.Errorf("recording publication %s: %w", s.domain, err)
	}
	if s.decision.Minted {
		s.memory.mints.Note(r.Clock.Now(), s.decision.Overtook, r.Timings)
	}
	if before, now := s.publication.Spec.Current, spec.Current; before == nil || now == nil || before.ID != now.ID {
		s.observation.Servers = publication.Servers{} // what pods said was about another instance
	}
	s.publication, s.stands = updated, true
	s.memory.keep(updated)
	s.memory.world = nil
	return nil
}

// create makes the publication, and nothing else: the next pass begins when the cache shows it, and by then
// it shows every older one of the domain as well, which would be the incumbent. So nobody has to ask for those.
func (r *domainReconciler) create(ctx context.Context, s *scope) error {
	if err := r.trustClaims(ctx, s); err != nil {
		return err
	}
	created := &v1alpha1.MTASTSPublication{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: s.winner.Namespace, Name: s.domain,
			Labels: map[string]string{v1alpha1.ManagedByLabel: v1alpha1.ManagedBy},
		},
		Spec: *s.decision.Spec,
	}
	if err := r.client.Create(ctx, created); err != nil {
		if apierrors.IsAlreadyExists(err) {
			return errStaleCache
		}
		return fmt.Errorf("creating publication %s: %w", s.domain, err)
	}
	s.publication = created
	if s.decision.Minted {
		s.memory.mints.Note(r.Clock.Now(), s.decision.Overtook, r.Timings)
	}
	s.memory.begun = created.UID
	s.memory.world = nil // it was what a beginning needs to know; the next one looks again
	return nil
}

// ensureChildren makes the domain's children what the publication says. One that cannot be written
// holds no other back: an Ingress that a webhook refuses must not keep the id of mode none from DNS.
func (r *domainReconciler) ensureChildren(ctx context.Context, s *scope) error {
	d := resources.NewDomain(s.publication, s.settings)
	var errs []error
	if r.kinds.installed(dnsEndpoints) {
		errs = append(errs, r.ensureEndpoints(ctx, s, d))
	}
	errs = append(errs, r.ensureIngress(ctx, s, d))
	if r.kinds.installed(certificates) {
		errs = append(errs, r.ensureCertificate(ctx, s, d))
	}
	return errors.Join(errs...)
}

// ensureEndpoints writes the DNS records, the id first: every pod has just been asked about it.
func (r *domainReconciler) ensureEndpoints(ctx context.Context, s *scope, d resources.Domain) error {
	if s.settings.Provider != v1alpha1.DNSExternalDNS {
		return r.keepEndpoints(ctx, s, d)
	}
	errs := []error{r.ensureTXT(ctx, s, d)}
	// Without a target an existing record stays: a load balancer that loses its address for a moment
	// must not take the host out of DNS.
	if host := d.HostEndpoint(s.targets()); host != nil {
		errs = append(errs, r.writeEndpoint(ctx, s, host, s.hostEndpoint))
	}
	return errors.Join(append(errs, r.ensureReporting(ctx, s, d))...)
}

func (r *domainReconciler) ensureCertificate(ctx context.Context, s *scope, d resources.Domain) error {
	switch {
	case s.settings.CertificateSource != v1alpha1.CertificateIssuer:
		return r.children.remove(ctx, present(s.certificate))
	case !s.orders(), s.orderWaits != "":
		return nil
	}
	return r.applyChild(ctx, s, d.Certificate(), present(s.certificate))
}

func (r *domainReconciler) applyChild(ctx context.Context, s *scope, desired any, cached client.Object) error {
	if cached == nil {
		if err := r.mayCreate(ctx, s); err != nil {
			return err
		}
	}
	return r.children.apply(ctx, desired, cached)
}

// mayCreate makes sure, once in a pass, that the API server has the publication as it was read. Nothing in
// the cache fences a creation; and a child of a publication that is gone would be collected, and made
// again for as long as the cache shows its owner.
func (r *domainReconciler) mayCreate(ctx context.Context, s *scope) error {
	if s.stands {
		return nil
	}
	err := r.trustTime(ctx, s)
	s.stands = err == nil
	return err
}

func (r *domainReconciler) ensureReporting(ctx context.Context, s *scope, d resources.Domain) error {
	if reporting := d.TLSRPTEndpoint(); reporting != nil {
		return r.writeEndpoint(ctx, s, reporting, s.rptEndpoint)
	}
	return r.removeEndpoint(ctx, s, s.rptEndpoint)
}

// ensureTXT announces, keeps or takes away the id.
func (r *domainReconciler) ensureTXT(ctx context.Context, s *scope, d resources.Domain) error {
	switch s.decision.TXT {
	case publication.TXTPublish:
		txt := d.TXTEndpoint(s.publication.Spec.AnnouncedID)
		if had, greater := greaterID(s.txtEndpoint, txt); greater && had.PlausibleAfter(mtasts.ID(s.publication.Spec.LastID), s.observation.Clock) {
			return nil // Decide mints above it once a live read confirms that nobody knows it
		}
		return r.writeEndpoint(ctx, s, txt, s.txtEndpoint)
	case publication.TXTRemove:
		return r.removeEndpoint(ctx, s, s.txtEndpoint)
	case publication.TXTLeave:
	}
	return nil
}

// greaterID says whether a live endpoint, nil if there is none, carries an id of ours that is greater than the
// desired one's.
func greaterID(live, desired *externaldnsv1alpha1.DNSEndpoint) (have mtasts.ID, greater bool) {
	if live == nil {
		return "", false
	}
	liveID, ok := resources.TXTEndpointID(live)
	if !ok {
		return "", false
	}
	have, ours := mtasts.ParseID(liveID)
	wantID, ok := resources.TXTEndpointID(desired)
	return have, ours && ok && have.Compare(mtasts.ID(wantID)) > 0
}

func (r *domainReconciler) removeEndpoints(ctx context.Context, s *scope) error {
	for _, e := range []*externaldnsv1alpha1.DNSEndpoint{s.txtEndpoint, s.rptEndpoint, s.hostEndpoint} {
		if err := r.removeEndpoint(ctx, s, e); err != nil {
			return err
		}
	}
	return nil
}

// end takes everything away, and remembers whose it was.
func (r *domainReconciler) end(ctx context.Context, s *scope) error {
	if err := r.removeAll(ctx, s); err != nil {
		return err
	}
	if last := tenureOf(s.publication, r.Timings); last != nil {
		r.formers.note(s.domain, last.ended(r.Clock.Now()))
	}
	return nil
}

// removeAll takes everything away, the publication last: until then every step can be repeated. The
// server drops the host when the publication is gone.
func (r *domainReconciler) removeAll(ctx context.Context, s *scope) error {
	if err := r.trustTime(ctx, s); err != nil {
		return err
	}
	if err := r.removeEndpoints(ctx, s); err != nil {
		return err
	}
	if err := r.removeIngresses(ctx, s.every()); err != nil {
		return err
	}
	if err := r.children.remove(ctx, present(s.certificate)); err != nil {
		return err
	}
	version := s.publication.ResourceVersion
	err := r.client.Delete(ctx, s.publication, client.Preconditions{ResourceVersion: &version})
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("deleting publication %s: %w", s.domain, err)
	}
	r.forget(s.domain)
	if len(s.refused) > 0 { // else nobody has the domain, and nothing is remembered of it (I11)
		r.memories.of(s.domain).host = s.memory.host
	}
	return nil
}
