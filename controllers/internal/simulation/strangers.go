package simulation

import (
	"time"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/controllers/internal/publication"
	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
)

// forge is somebody with rights in the namespace who plants an id that nobody minted: of the far future, or a
// plausible one. It stands for the policy of the moment, so that only the id lies at first.
func (s *sim) forge() {
	if s.spec == nil || s.spec.Current == nil || s.shard == nil || s.last.State == v1alpha1.StateRemoving {
		return
	}
	ahead := pick(s, time.Hour, 30*day, 366*day, 200*366*day)
	forged := s.under(s.spec.Current, s.now.Add(ahead))
	if s.chance(2) {
		s.tell("somebody plants id %s in the shard", forged.ID)
		s.shard = forged
		s.syncAll()
		s.wakeIn(s.within(time.Minute))
		return
	}
	p := s.pods[s.rnd.IntN(len(s.pods))]
	if p.lost || p.silent || p.terminating || !p.ready {
		return
	}
	d := s.lasting()
	s.tell("%s is replaced by somebody's, which answers id %s for %s", p.name, forged.ID, d)
	*p = pod{name: p.name, ready: true, syncing: p.syncing, holds: forged, forged: true, vies: ahead < day, stale: &episode{}}
	s.heard()
	s.after(d, func() {
		s.tell("%s is deleted and replaced", p.name)
		s.restartPod(p, s.shard)
	})
}

// under is an instance under an id that somebody made up.
func (s *sim) under(i *v1alpha1.Instance, at time.Time) *v1alpha1.Instance {
	out := i.DeepCopy()
	id, _ := mtasts.MintID(at, "", publication.PolicyOf(*i).String())
	out.ID = string(id)
	s.forgeries[out.ID] = true
	return out
}

// war is between two tools, each of which wants a policy of its own.
func (s *sim) war(one, other mtasts.Policy, end time.Time) {
	if s.claim == nil || !s.now.Before(end) {
		return
	}
	s.want(one)
	s.after(500*time.Millisecond, func() { s.war(other, one, end) })
}
