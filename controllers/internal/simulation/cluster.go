package simulation

import (
	"slices"
	"time"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/controllers/internal/publication"
	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
)

// cluster is what the API server holds, and the pods.
type cluster struct {
	claim *publication.Claim
	spec  *v1alpha1.MTASTSPublicationSpec
	uid   string
	// txt is the id in the DNSEndpoint, shard the instance in the ConfigMap.
	txt            string
	shard          *v1alpha1.Instance
	pods           []*pod
	retirementHeld bool
	// forgeries are ids that somebody planted.
	forgeries map[string]bool
	// era is another one when no kubelet can have anything of before.
	era int
}

// episode is a time in which something wrong is served; seen once the operator has had its look.
type episode struct{ seen bool }

// pod is a server pod, and the kubelet of its node.
type pod struct {
	name        string
	ready       bool
	terminating bool
	// silent pods do not answer the operator; lost ones have lost their kubelet too.
	silent, lost bool
	silentSince  time.Time
	holds        *v1alpha1.Instance
	// forged pods are somebody else's: no kubelet brings them anything. One that vies always answers a greater
	// id than the operator knows.
	forged, vies bool
	// syncing is set while the kubelet has read a shard that the pod does not serve yet.
	syncing bool
	stale   *episode
	// began is when its container began.
	began time.Time
}

// counted says whether the pod may answer senders, now or later (I1).
func (p *pod) counted() bool { return p.ready || !p.terminating }

func (p *pod) id() string {
	if p.holds == nil {
		return ""
	}
	return p.holds.ID
}

// sync lets the kubelet bring the pod what the shard holds, in two steps: what is read is served a
// while later, whatever was written meanwhile.
func (s *sim) sync(p *pod, lag time.Duration) {
	if p.syncing || p.lost || p.forged {
		return
	}
	p.syncing = true
	s.after(s.within(lag), func() {
		read, era := s.shard, s.era
		s.after(s.within(lag), func() {
			p.syncing = false
			if p.lost || p.forged || read == nil || s.shard == nil {
				return
			}
			have := mtasts.ID(p.id())
			if era == s.era && (have.Compare(mtasts.ID(read.ID)) < 0 || have.GivesWay(mtasts.ID(read.ID), s.now)) { // a server never goes back
				s.checkRecorded(p, read)
				p.holds, p.stale = read, nil
				s.heard()
			}
			if p.id() != s.shard.ID {
				s.sync(p, lag)
			}
		})
	})
}

// syncAll follows a write of the shard.
func (s *sim) syncAll() {
	lag := pick(s, 3*time.Second, 10*time.Second, 90*time.Second)
	for _, p := range s.pods {
		s.sync(p, lag)
	}
}

// restartPod replaces a pod. Its mount may be older than the shard, if the kubelet's cache is.
func (s *sim) restartPod(p *pod, holds *v1alpha1.Instance) {
	*p = pod{name: p.name, ready: true, syncing: p.syncing, holds: holds, began: s.now}
	if holds != s.shard {
		p.stale = &episode{}
		s.tell("%s starts with %s from long ago", p.name, p.id())
	}
	s.after(time.Minute+s.within(10*time.Minute), func() { s.sync(p, time.Minute) })
	s.heard()
}

// serving are the pods that may get a sender's request.
func (s *sim) serving() []*pod {
	var out []*pod
	for _, p := range s.pods {
		if p.ready {
			out = append(out, p)
		}
	}
	return out
}

// report is what a pod said when it was last asked.
type report struct {
	id          string
	silent      bool
	silentSince time.Time
}

// heard lets the operator ask the pods as soon as it would: it polls them.
func (s *sim) heard() {
	interval := s.tm.AskRest
	if s.last.State == v1alpha1.StateServing || s.last.State == v1alpha1.StateAnnouncing {
		interval = s.tm.AskPending
	}
	s.after(s.within(interval), func() {
		s.ask()
		if s.last.State == v1alpha1.StateServing && s.chance(30) {
			s.unluckyStart()
		}
		s.wakeIn(s.within(2 * time.Second)) // by then the answers are old already
	})
}

// ask takes down what every pod answers now.
func (s *sim) ask() {
	if s.now.Before(s.returns) {
		return
	}
	s.reports = map[string]report{}
	for _, p := range s.pods {
		if p.vies && s.spec != nil && p.id() <= s.spec.LastID {
			p.holds = s.under(p.holds, mtasts.ID(s.spec.LastID).Time().Add(time.Second))
		}
		s.reports[p.name] = report{id: p.id(), silent: p.silent, silentSince: p.silentSince}
	}
}

// heeded is when a pass has acted upon the answers. Nothing more is entered once the record is being
// taken away.
func (s *sim) heeded() {
	if s.spec == nil || s.spec.Current == nil || s.last.State == v1alpha1.StateRemoving {
		return
	}
	for _, p := range s.pods {
		if r, asked := s.reports[p.name]; asked && p.stale != nil && !r.silent && r.id == p.id() && p.counted() {
			p.stale.seen = true
		}
	}
}

// servers is what the reports say about the current instance.
func (s *sim) servers(current *v1alpha1.Instance, announced bool) publication.Servers {
	out := publication.Servers{Known: s.reports != nil}
	for _, p := range s.pods {
		if !p.counted() {
			continue
		}
		if p.ready {
			out.Ready++
		}
		r := s.reports[p.name]
		b := publication.Behind{Pod: p.name, Node: p.name, ID: r.id, Since: r.silentSince}
		switch {
		case r.silent && p.ready:
			b.Problem = v1alpha1.ReasonProbeBlocked
		case r.silent:
			b.Problem = v1alpha1.ReasonReplicaUnreachable
		case r.id == current.ID:
			continue
		case mtasts.ID(r.id).Compare(mtasts.ID(current.ID)) < 0:
			b.Problem = v1alpha1.ReasonReplicaLagging
		default:
			b.Problem = v1alpha1.ReasonWrongBytes
		}
		if !r.silent && announced && p.ready && r.id != "" {
			out.Older = append(out.Older, r.id)
		}
		out.Behind = append(out.Behind, b)
	}
	slices.Sort(out.Older)
	out.Older = slices.Compact(out.Older)
	return out
}
