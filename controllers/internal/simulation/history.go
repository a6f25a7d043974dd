package simulation

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/controllers/internal/publication"
	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
)

// hosts are all MX hosts that anybody asks about; no policy covers the last one.
var hosts = []string{"mx1.example.com", "mx2.example.com", "mx3.example.com", "mx.example.net", "nobody.example.org"}

// foreignID is what somebody else announced before the operator came.
const foreignID = "20160831085700Z"

// populate makes the world as it is before the first edit.
func (s *sim) populate() {
	s.tm = publication.DefaultTimings()
	// What waits for a person is looked at less often, so that months pass quickly.
	s.tm.PollMost, s.tm.MXFresh = 10*time.Minute, 30*time.Minute
	s.minted, s.parsed = map[string]v1alpha1.Instance{}, map[string]mtasts.Policy{}
	s.reports = map[string]report{}
	s.forgeries = map[string]bool{}
	s.everMinted = map[string]v1alpha1.Instance{}
	s.former, s.lost, s.vouched = map[string]bool{}, map[string]bool{}, map[string]bool{}
	s.upsertOnly = s.chance(8)
	s.ttl = pick(s, time.Minute, 5*time.Minute, time.Hour, 4*time.Hour)
	s.mx = hosts[:2]
	for i := range 2 + s.rnd.IntN(2) {
		s.pods = append(s.pods, &pod{name: fmt.Sprintf("pod-%c", 'a'+i), ready: true, began: s.now})
	}
	if s.chance(4) {
		p := s.randomPolicy()
		s.foreign, s.foreignStory, s.foreignSince = &publication.Seen{Policy: p}, &episode{seen: true}, s.now
		s.zone = []string{foreignID}
		s.nameservers[0], s.nameservers[1] = s.zone, s.zone
		s.tell("somebody else publishes %s %v", p.Mode, p.MX)
		s.after(day+s.within(5*day), s.hostMoves)
		if s.chance(2) { // what it is cannot be told: anything
			s.blind = true
			s.after(s.within(day), func() { s.blind = false })
		}
	}
	for i, h := range []habit{renews, renews, revives, keeps, keeps, daily, daily, refetches} {
		every := pick(s, 30*time.Minute, 4*time.Hour, 30*time.Hour)
		s.addSender(&sender{name: fmt.Sprintf("sender-%d (%s)", i, h), habit: h, every: every, late: pick(s, 0, 0, 0, 45*time.Minute)})
	}
}

// hostMoves ends what somebody else serves at the policy URL.
func (s *sim) hostMoves() {
	s.foreign = nil
	s.tell("the policy URL is ours again")
}

// edit changes the policy now, and every few days, now and then several times within minutes.
func (s *sim) edit() {
	next := s.about(3 * day)
	if s.chance(4) {
		next = s.within(3 * time.Minute)
	}
	s.after(next, func() {
		if s.now.Before(birth.Add(length)) {
			s.edit()
		}
	})
	switch what := s.rnd.IntN(7); {
	case s.claim != nil && what == 0:
		s.tell("the policy is deleted (%s)", s.claim.DeletionPolicy)
		s.claim = nil
		if s.chance(4) {
			s.after(s.within(s.tm.RetireGrace), s.clockFault)
		}
	case s.claim != nil && what == 1:
		s.rename()
	default:
		s.want(s.nextPolicy())
	}
	s.wakeIn(0)
}

// pipeline is somebody's script that goes astray: a narrow policy, and then wide ones until the ledger
// overflows.
func (s *sim) pipeline(edits int) {
	if s.claim == nil {
		return
	}
	p := mtasts.Policy{Mode: mtasts.ModeEnforce, MX: hosts[:4], MaxAgeSeconds: int64(86400 * (1 + edits%3))}
	pause := 5*time.Minute + s.within(40*time.Minute)
	if edits == 20 {
		p.MX, p.MaxAgeSeconds, pause = s.mx[:1], 86400*20, day
	}
	s.want(p)
	s.claim.Preflight = v1alpha1.PreflightAdvise
	if edits > 0 {
		s.after(pause, func() { s.pipeline(edits - 1) })
	}
}

// rename puts an object of another name in the policy's place: at once, or within the grace.
func (s *sim) rename() {
	renamed := new(*s.claim)
	renamed.UID = s.newUID("policy-")
	renamed.Name = "example-" + renamed.UID
	s.tell("the policy is renamed %s", renamed.Name)
	if s.chance(2) {
		s.claim = renamed
		return
	}
	s.claim = nil
	s.after(s.within(s.tm.RetireGrace-time.Minute), func() {
		if s.claim == nil {
			s.claim = renamed
			s.wakeIn(0)
		}
	})
}

// nextPolicy is often what was wanted before the last edit: A, B, A.
func (s *sim) nextPolicy() mtasts.Policy {
	if len(s.minted) > 1 && s.chance(3) {
		ids := slices.Sorted(maps.Keys(s.minted))
		return publication.PolicyOf(s.minted[ids[len(ids)-2]])
	}
	return s.randomPolicy()
}

func (s *sim) want(p mtasts.Policy) {
	s.claim = &publication.Claim{
		Name: "example-com", UID: "policy-1", Wanted: p, Title: pick(s, publication.Untitled, publication.ByRule, publication.ByHistory),
		Preflight:      pick(s, v1alpha1.PreflightRequire, v1alpha1.PreflightRequire, v1alpha1.PreflightAdvise),
		DeletionPolicy: pick(s, v1alpha1.DeletionDrain, v1alpha1.DeletionDrain, v1alpha1.DeletionDrain, v1alpha1.DeletionOrphan, v1alpha1.DeletionImmediate),
	}
	s.tell("want %s %v %d, preflight %s", p.Mode, p.MX, p.MaxAgeSeconds, s.claim.Preflight)
	s.wakeIn(0)
}

func (s *sim) randomPolicy() mtasts.Policy {
	p := mtasts.Policy{Mode: mtasts.ModeEnforce, MaxAgeSeconds: int64(86400 * pick(s, 1, 2, 4, 7, 20))}
	switch s.rnd.IntN(6) {
	case 0:
		p.Mode = mtasts.ModeTesting
	case 1:
		p.Mode = mtasts.ModeNone
	}
	for _, host := range hosts[:4] {
		if s.chance(2) {
			p.MX = append(p.MX, host)
		}
	}
	if len(p.MX) == 0 {
		p.MX = []string{"*.example.com"}
	}
	if s.chance(50) { // as large as a policy may be
		for i := range 90 {
			p.MX = append(p.MX, fmt.Sprintf("a-rather-long-name-of-an-inbound-mail-server-%02d.mail.example.com", i))
		}
	}
	return p
}
