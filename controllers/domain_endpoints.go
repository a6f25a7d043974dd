package controllers

import (
	"context"
	"errors"

	"sigs.k8s.io/controller-runtime/pkg/client"
	externaldnsv1alpha1 "sigs.k8s.io/external-dns/apis/v1alpha1"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/controllers/internal/resources"
)

// newestEndpoint is a DNSEndpoint as the cache has it, or as the API server had it at the operator's own
// last write, if the cache is not that far yet; nil if there is none. By an older one, an id that has
// just been replaced would look as if it had come back, and every write would end in a conflict.
func (r *domainReconciler) newestEndpoint(ctx context.Context, s *scope, key client.ObjectKey) (*externaldnsv1alpha1.DNSEndpoint, error) {
	cached, err := get(ctx, r.client, key.Namespace, key.Name, &externaldnsv1alpha1.DNSEndpoint{})
	known := s.memory.endpoints[key]
	if err != nil || known == nil {
		return cached, err
	}
	if cached == nil { // either the cache does not show it yet, or somebody deleted it
		known, err = get(ctx, r.live, key.Namespace, key.Name, &externaldnsv1alpha1.DNSEndpoint{})
		if err == nil && known == nil {
			s.memory.dropEndpoint(key)
		}
		return known, err
	}
	if newer(known, cached) {
		return known, nil
	}
	s.memory.dropEndpoint(key)
	return cached, nil
}

// writeEndpoint creates or updates a DNSEndpoint, and remembers what became of it.
func (r *domainReconciler) writeEndpoint(ctx context.Context, s *scope, desired, known *externaldnsv1alpha1.DNSEndpoint) error {
	if known == nil {
		if err := r.mayCreate(ctx, s); err != nil {
			return err
		}
	}
	seen, err := r.children.endpoint(ctx, desired, known)
	if seen != nil && seen != known { // else the cache has it, or what is remembered
		s.memory.keepEndpoint(seen)
	}
	return err
}

// removeEndpoint deletes a DNSEndpoint; nil is nothing to do.
func (r *domainReconciler) removeEndpoint(ctx context.Context, s *scope, known *externaldnsv1alpha1.DNSEndpoint) error {
	if known == nil {
		return nil
	}
	s.memory.dropEndpoint(client.ObjectKeyFromObject(known))
	return r.children.remove(ctx, known)
}

// keepEndpoints keeps what was handed to external-dns before the records became a person's business, and in step
// with what is published: taken away, it would take the records out of DNS (I2). A person deletes it.
func (r *domainReconciler) keepEndpoints(ctx context.Context, s *scope, d resources.Domain) error {
	if !s.lookedUp() {
		return r.removeEndpoints(ctx, s)
	}
	var errs []error
	if s.txtEndpoint != nil {
		errs = append(errs, r.ensureTXT(ctx, s, d))
	}
	if host := d.HostEndpoint(s.targets()); host != nil && s.hostEndpoint != nil {
		errs = append(errs, r.writeEndpoint(ctx, s, host, s.hostEndpoint))
	}
	if s.rptEndpoint != nil {
		errs = append(errs, r.ensureReporting(ctx, s, d))
	}
	return errors.Join(errs...)
}

// keptEndpoints are the names of those that are kept although the records are a person's business.
func (s *scope) keptEndpoints() []string {
	if s.settings.Provider == v1alpha1.DNSExternalDNS {
		return nil
	}
	var out []string
	for _, e := range []*externaldnsv1alpha1.DNSEndpoint{s.hostEndpoint, s.txtEndpoint, s.rptEndpoint} {
		if e != nil {
			out = append(out, e.Name)
		}
	}
	return out
}
