package controllers

import (
	"context"
	"fmt"
	"slices"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/controllers/internal/fair"
	"github.com/mta-sts-operator/mta-sts-operator/controllers/internal/publication"
	"github.com/mta-sts-operator/mta-sts-operator/internal/config"
	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
	"github.com/mta-sts-operator/mta-sts-operator/internal/sender"
	"github.com/mta-sts-operator/mta-sts-operator/internal/tlsrpt"
)

// satisfy finds out what Decide needs to know.
func (r *domainReconciler) satisfy(ctx context.Context, s *scope, need publication.Need) error {
	switch need {
	case publication.NeedWorld:
		r.lookWorld(ctx, s)
	case publication.NeedMX:
		r.lookMX(ctx, s)
	case publication.NeedPublic:
		r.lookPublic(ctx, s)
	case publication.NeedDNS:
		r.lookDNS(ctx, s)
	case publication.NeedConfirmation:
		return r.confirm(ctx, s)
	case publication.NeedTrustedTime:
		return r.trustTime(ctx, s)
	case publication.NeedNothing:
	}
	return context.Cause(ctx)
}

// lookWorld looks at what is published for the domain before the operator publishes anything.
func (r *domainReconciler) lookWorld(ctx context.Context, s *scope) {
	var before publication.Tried
	if s.memory.world != nil {
		before = s.memory.world.DNS.Tried
	}
	began := r.Clock.Now()
	txt := r.World.LookupTXT(ctx, mtasts.RecordName(s.domain))
	w := &publication.World{DNS: observedTXT(txt)}
	var look sender.Look
	if txt.Status != sender.Unknown {
		look = r.World.LookPolicy(ctx, s.domain, nil)
	}
	if look.Seen != nil {
		w.Policy = &publication.Seen{ID: look.Seen.ID, Policy: look.Seen.Policy}
	}
	w.Follow(s.memory.world, r.Clock.Now())
	announced := slices.ContainsFunc(w.DNS.IDs, func(id string) bool { return id != "" })
	if txt.Status != sender.Unknown && announced && w.Policy == nil && before.Tries+1 < r.Timings.WorldTries {
		// What cannot be fetched is taken for the worst: that is worth another try.
		w.DNS.Answer, w.DNS.Message = publication.Unknown, "DNS announces a policy, but "+look.Message
	}
	w.DNS.Tried = before.Next(r.Clock.Now(), w.DNS.Answer != publication.Unknown)
	if w.DNS.Began = began; ctx.Err() == nil {
		s.memory.world, s.observation.World = w, w
	}
}

func observedTXT(txt sender.TXT) publication.DNS {
	return publication.DNS{
		Answer: publication.Answer(txt.Status), Records: txt.Records, IDs: txt.IDs(), TTL: txt.TTL, Message: txt.Message,
		Secondhand: txt.Source == sender.SourceResolver,
	}
}

// lookDNS asks for the id's record, and at the same time for the report record.
func (r *domainReconciler) lookDNS(ctx context.Context, s *scope) {
	began := r.Clock.Now()
	dns := observedTXT(r.World.LookupTXT(ctx, mtasts.RecordName(s.domain)))
	var promised *v1alpha1.MTASTSPublicationSpec
	if s.publication != nil {
		promised = &s.publication.Spec
	}
	dns.Follow(s.memory.dns, promised, r.Clock.Now())
	dns.Began = began
	if ctx.Err() != nil {
		return // cut short: it proves nothing
	}
	s.memory.dns, s.observation.DNS = &dns, &dns
	if len(s.settings.RUA) > 0 {
		if txt := r.World.LookupTXT(ctx, tlsrpt.RecordName(s.domain)); ctx.Err() == nil {
			s.memory.rpt = &txt
		}
	}
}

// lookMX asks for the live MX hosts. Hosts seen within their TTL still count: senders may use them.
func (r *domainReconciler) lookMX(ctx context.Context, s *scope) {
	now := r.Clock.Now()
	mx := r.World.LookupMX(ctx, s.domain)
	if ctx.Err() != nil {
		return
	}
	var before publication.Tried
	if s.memory.mx != nil {
		before = s.memory.mx.Tried
	}
	out := &publication.MX{Answer: publication.Answer(mx.Status), Null: mx.Null, Message: mx.Message}
	out.Tried = before.Next(now, mx.Status != sender.Unknown)
	for _, host := range mx.Hosts {
		s.memory.sawMX(host.Name, now.Add(mx.TTL))
	}
	if mx.Status == sender.Found {
		out.Hosts = s.memory.liveMX(mx.Hosts, now)
	} else if s.memory.mx != nil {
		out.Hosts = s.memory.mx.Hosts
	}
	s.memory.mx = out
	r.wantMX(s)
	r.observeMX(s)
}

// wantMX says which MX hosts are to be asked for the domain, and how urgently.
func (r *domainReconciler) wantMX(s *scope) {
	if s.winner == nil {
		r.mxHosts.want(s.domain, "", nil, nil, fair.Rest, r.Clock.Now())
		return
	}
	level := fair.Rest
	switch {
	case !s.mayBeHeld():
	case s.everAnnounced():
		level = fair.Edit
	default:
		level = fair.First
	}
	r.mxHosts.want(s.domain, s.winner.Namespace, s.memory.mx.Hosts, working(s.winner.Status.MX), level, r.Clock.Now())
}

// everAnnounced says whether senders were ever given an id of the domain.
func (s *scope) everAnnounced() bool {
	return s.publication != nil && s.publication.Spec.AnnouncedID != ""
}

// observeMX puts together what DNS said about the MX hosts and what they did.
func (r *domainReconciler) observeMX(s *scope) {
	s.observation.MX = nil
	if s.memory.mx != nil {
		if s.winner != nil && s.mayBeHeld() {
			r.wantMX(s) // it may have come about after they were looked up
		}
		mx := *s.memory.mx
		s.mail = r.mxHosts.seen(s.domain, mx.Hosts)
		mx.MXVerdict, mx.Objected = judgeMX(mx.Hosts, s.mail, r.Clock.Now(), r.Timings), s.memory.objected
		s.observation.MX = &mx
	}
}

// mayBeHeld says whether a change is wanted that the MX hosts may hold.
func (s *scope) mayBeHeld() bool {
	if s.winner.Spec.Mode != v1alpha1.ModeEnforce || s.winner.Spec.Preflight == v1alpha1.PreflightAdvise {
		return false
	}
	return s.publication == nil || s.publication.Spec.Current == nil ||
		!wantedPolicy(s.winner).Equal(publication.PolicyOf(*s.publication.Spec.Current))
}

// lookPublic asks the policy URL for the current instance, as a strict sender would.
func (r *domainReconciler) lookPublic(ctx context.Context, s *scope) {
	current := s.publication.Spec.Current
	if current == nil {
		return
	}
	want := &sender.Instance{ID: current.ID, Body: current.Body}
	began := r.Clock.Now()
	look, reason := r.lookFrom(ctx, s, want)
	if ctx.Err() != nil {
		return
	}
	out := &publication.Public{
		For: current.ID, Outcome: publication.Outcome(look.Outcome), Reason: reason, Message: look.Message,
	}
	if look.Seen != nil {
		out.Seen = &publication.Seen{ID: look.Seen.ID, Policy: look.Seen.Policy}
	}
	out.Follow(s.memory.public, r.Clock.Now())
	out.Began = began
	if look.Outcome == sender.Pass {
		s.memory.notAfter = look.NotAfter
	}
	s.memory.public, s.observation.Public = out, out
}

// lookFrom looks from where the configuration says. A host that answers at its Ingress but not at its
// public address is reachable for the world more often than not: hairpin NAT and split DNS hide it
// from the cluster itself. After a while that is said, and how to decide it.
func (r *domainReconciler) lookFrom(ctx context.Context, s *scope, want *sender.Instance) (look sender.Look, reason string) {
	address, known := s.clusterAddress()
	inside := r.Config.Looks.Reachability == config.ReachabilityCluster
	if inside && known {
		look = r.World.LookPolicyAt(ctx, s.domain, address, want)
		return look, string(look.Reason)
	}
	look = r.World.LookPolicy(ctx, s.domain, want)
	if inside && look.Outcome != sender.Pass {
		look.Message += "; the public address was asked, although looks.reachability is Cluster: the status of the Ingress has no IP address, only a host name or nothing"
	}
	p := s.memory.public
	patient := p == nil || p.For != want.ID || p.Tries == 0 || r.Clock.Now().Sub(p.Since) < r.Timings.BlockedPatience
	if look.Outcome != sender.NoAnswer || !known || patient {
		return look, string(look.Reason)
	}
	if r.World.LookPolicyAt(ctx, s.domain, address, want).Outcome != sender.Pass {
		return look, string(look.Reason)
	}
	look.Message = fmt.Sprintf("%s; yet it answers at the Ingress address %s from inside the cluster: hairpin NAT, split DNS or the PROXY protocol may be in the way. If it answers from the Internet, set looks.reachability: Cluster in the operator's configuration", look.Message, address)
	return look, v1alpha1.ReasonNotReachableFromCluster
}

// confirm makes sure, right before an id goes to DNS, that the live publication still has it as its
// current instance and that every live pod answers exactly its bytes (I1, I4).
func (r *domainReconciler) confirm(ctx context.Context, s *scope) error {
	s.observation.ConfirmTried = true
	if err := r.trustTime(ctx, s); err != nil {
		return err
	}
	current := s.publication.Spec.Current
	servers, err := r.instances.ask.confirm(ctx, r.live, s.publication.Namespace, s.domain, current)
	if err != nil {
		return err
	}
	s.observation.Servers = servers
	if servers.All() {
		s.observation.Confirmed = current.ID
	}
	return nil
}

// trustTime reads the publication live. A cache that is behind ends the pass; the answer's Date bounds
// the local clock from both sides: one that runs ahead drops nothing too early, and one that is behind
// dates nothing too early.
func (r *domainReconciler) trustTime(ctx context.Context, s *scope) error {
	var fresh v1alpha1.MTASTSPublication
	if err := r.live.Get(ctx, client.ObjectKeyFromObject(s.publication), &fresh); err != nil {
		return fmt.Errorf("reading publication %s: %w", s.domain, err)
	}
	if fresh.ResourceVersion != s.publication.ResourceVersion {
		return errStaleCache
	}
	s.observation.Trusted, s.observation.Latest = r.bounds(r.Clock.Now())
	return nil
}
