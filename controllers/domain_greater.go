package controllers

import (
	"context"
	"fmt"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/controllers/internal/publication"
	"github.com/mta-sts-operator/mta-sts-operator/controllers/internal/resources"
	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
)

// observeGreater looks for ids of ours, in live objects, that the publication never minted: somebody
// restored it, or this operator is the one that is out of date. A live read tells which.
func (r *domainReconciler) observeGreater(ctx context.Context, s *scope) error {
	spec := &s.publication.Spec
	o := &s.observation
	o.TXTObject, o.ByHand = spec.AnnouncedID, s.settings.Provider != v1alpha1.DNSExternalDNS && s.txtEndpoint == nil
	if !o.ByHand {
		o.TXTObject = ""
		if s.txtEndpoint != nil {
			o.TXTObject = "?" // somebody made something else of it
			if id, ok := resources.TXTEndpointID(s.txtEndpoint); ok {
				o.TXTObject = id
			}
		}
	}
	greatest, written := r.greatestSeen(s), mtasts.ID(o.TXTObject)
	if greatest == nil && written.Compare(mtasts.ID(spec.LastID)) <= 0 {
		return nil
	}
	var fresh v1alpha1.MTASTSPublication
	if err := r.live.Get(ctx, client.ObjectKeyFromObject(s.publication), &fresh); err != nil {
		return fmt.Errorf("reading publication %s: %w", s.domain, err)
	}
	// Also of an id in the TXT object that is not believed: it may be of an operator whose clock runs ahead.
	known := func(id mtasts.ID) bool { return id.Compare(mtasts.ID(fresh.Spec.LastID)) <= 0 }
	if greatest != nil && known(greatest.ID) || greatest == nil && known(written) {
		return errStaleCache
	}
	o.Greater = greatest
	return nil
}

// greatestSeen is the greatest id of ours in a shard, at a pod, in the TXT object or in DNS that the publication
// does not know; nil if there is none.
func (r *domainReconciler) greatestSeen(s *scope) *publication.Greater {
	last := mtasts.ID(s.publication.Spec.LastID)
	believed := func(id mtasts.ID) bool {
		return id.PlausibleAfter(last, s.observation.Clock) && id.Compare(last) > 0
	}
	greatest := r.instances.greater(s.publication.Namespace, s.domain)
	if greatest != nil && !believed(greatest.ID) {
		greatest = nil
	}
	greatest = above(greatest, s.observation.TXTObject, believed, false)
	if dns := s.observation.DNS; dns != nil {
		for _, id := range dns.IDs {
			greatest = above(greatest, id, believed, greatest == nil || greatest.OnlyDNS)
		}
	}
	return greatest
}

// above is the greater of the two. Senders may have read its id, and fetched the policy of the other.
func above(greatest *publication.Greater, text string, believed func(mtasts.ID) bool, onlyDNS bool) *publication.Greater {
	id := mtasts.ID(text)
	switch {
	case !believed(id):
		return greatest
	case greatest == nil:
		return &publication.Greater{ID: id, OnlyDNS: onlyDNS}
	case id.Compare(greatest.ID) <= 0:
		return greatest
	}
	return &publication.Greater{ID: id, Policy: greatest.Policy, OnlyDNS: onlyDNS}
}
