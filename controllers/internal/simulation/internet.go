package simulation

import (
	"slices"
	"time"

	"github.com/mta-sts-operator/mta-sts-operator/controllers/internal/publication"
	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
)

// internet is what the world sees of the domain.
type internet struct {
	// zone is what external-dns has written; the name servers follow it, each in its own time.
	zone        []string
	nameservers [2][]string
	stuck       [2]bool
	endpointDue bool
	txtStuck    bool
	ttl         time.Duration
	// secondhand is set while the name servers answer resolvers, and not the operator.
	secondhand bool
	// unresolvable keeps the operator, and only it, from seeing DNS.
	unresolvable bool
	// fault is what is wrong with the policy URL, foreign what somebody else serves there.
	fault        publication.Outcome
	foreign      *publication.Seen
	foreignStory *episode
	foreignSince time.Time
	// blind keeps the operator, and only it, from seeing the policy URL; certificate is set while the
	// fault is that there is none yet.
	blind, certificate bool
	// upsertOnly is an external-dns that never removes a record.
	upsertOnly bool
	// back is set while the zone shows an older id of ours.
	back   *episode
	backTo string

	senders []*sender
	parsed  map[string]mtasts.Policy
}

// publishTXT lets external-dns, and then the name servers, follow the DNSEndpoint.
func (s *sim) publishTXT() {
	if s.endpointDue {
		return
	}
	s.endpointDue = true
	s.after(s.within(s.dnsLag()), func() {
		s.endpointDue = false
		theirs := s.txt == "" && slices.Contains(s.zone, foreignID)
		if s.txtStuck || theirs || (s.txt == "" && s.upsertOnly) { // external-dns leaves alone what it did not write
			return
		}
		s.zone = nil
		if s.txt != "" {
			s.zone = []string{s.txt}
		}
		s.transfer()
	})
}

func (s *sim) dnsLag() time.Duration { return pick(s, 5*time.Second, time.Minute, 10*time.Minute) }

// transfer lets every name server fetch the zone.
func (s *sim) transfer() {
	zone := s.zone
	for i := range s.nameservers {
		s.after(s.within(s.dnsLag()), func() {
			if !s.dropped && !s.stuck[i] && slices.Equal(zone, s.zone) {
				s.nameservers[i] = zone
			}
		})
	}
}

// askDNS is the operator's look: every name server must say the same.
func (s *sim) askDNS() publication.DNS {
	if s.unresolvable {
		return publication.DNS{Answer: publication.Unknown, Message: "timeout"}
	}
	if !slices.Equal(s.nameservers[0], s.nameservers[1]) {
		all := slices.Concat(s.nameservers[0], s.nameservers[1])
		return publication.DNS{Answer: publication.Unknown, IDs: all, Message: "the name servers disagree"}
	}
	d := publication.DNS{Answer: publication.Absent, Secondhand: s.secondhand}
	for _, id := range s.nameservers[0] {
		d.Answer, d.TTL = publication.Found, s.ttl
		d.Records = append(d.Records, "v=STSv1; id="+id+";")
		d.IDs = append(d.IDs, id)
	}
	return d
}

// exactly says whether every name server answers id and nothing else.
func (s *sim) exactly(id string) bool {
	for _, ids := range s.nameservers {
		if len(ids) != 1 || ids[0] != id {
			return false
		}
	}
	return true
}

// cache is a resolver's memory of the id's record.
type cache struct {
	// old is until when the servers of before a move are asked, and oldAnswer what they answer.
	old       time.Time
	oldAnswer []string
	id        string
	until     time.Time
	from      *episode
}

// resolve answers the id from the cache while that lives, else from one of the name servers.
func (s *sim) resolve(c *cache) (string, *episode) {
	if s.now.Before(c.until) {
		return c.id, c.from
	}
	c.id, c.from, c.until = "", nil, s.now.Add(min(s.ttl, 5*time.Minute))
	ids := s.nameservers[s.rnd.IntN(2)]
	if s.now.Before(c.old) {
		ids = c.oldAnswer
	}
	if len(ids) == 1 {
		c.id, c.until = ids[0], s.now.Add(s.ttl)
		switch {
		case s.back != nil && c.id == s.backTo:
			c.from = s.back
		case s.dropped && !s.now.Before(c.old):
			c.from = &episode{} // what senders get by another's id is not ours to retire
		}
	}
	return c.id, c.from
}

// get is one GET of the policy URL: it ends at any pod that may get traffic.
func (s *sim) get() (body string, from *episode, ok bool) {
	s.Fetches++
	if s.foreign != nil {
		return s.foreign.Policy.String(), s.foreignStory, true
	}
	pods := s.serving()
	if s.fault != "" || len(pods) == 0 {
		return "", nil, false
	}
	p := pods[s.rnd.IntN(len(pods))]
	if p.holds == nil {
		return "", nil, false
	}
	return p.holds.Body, p.stale, true
}

// parse reads a body as a sender does that reads at most limit bytes and wants an mx in every mode.
func (s *sim) parse(body string, limit int) (mtasts.Policy, bool) {
	body = body[:min(len(body), limit)]
	policy, known := s.parsed[body]
	if !known {
		policy, _ = mtasts.ParsePolicy([]byte(body)) // what is no policy has no mx
		s.parsed[body] = policy
	}
	return policy, len(policy.MX) > 0
}
