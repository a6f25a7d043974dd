package simulation

import (
	"time"

	"github.com/mta-sts-operator/mta-sts-operator/controllers/internal/publication"
	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
)

// habit is how a sender keeps what it has fetched.
type habit string

// The habits, with senders that have them.
const (
	// renews: the same id prolongs the policy without a fetch (mox).
	renews habit = "renews"
	// revives: so does it with one that has expired already (postfix-mta-sts-resolver).
	revives habit = "revives"
	// keeps: the policy lives from its fetch; another id makes it fetch (go-mtasts in maddy).
	keeps habit = "keeps"
	// refetches: fetches every ten minutes whatever the id; reads 10 KiB (chasquid).
	refetches habit = "refetches"
	// daily: looks at the id once a day.
	daily habit = "daily"
)

// bodyLimit is how much of a body the most modest sender reads; others read more.
const (
	bodyLimit = 64 << 10
	leastBody = 10 << 10
	retryGet  = 5 * time.Minute
	refresh   = 10 * time.Minute
)

// sender is a mail server somewhere that sends mail to the domain.
type sender struct {
	name  string
	habit habit
	every time.Duration
	// late is by how much its clock is slow: it keeps policies for longer than it should.
	late time.Duration
	// resolvers are several, each with a cache of its own.
	resolvers [2]cache

	held    bool
	refuses []string
	id      string
	body    string
	policy  mtasts.Policy
	until   time.Time
	from    *episode
	// lost is set if a restore has lost what it holds.
	lost    bool
	checked time.Time
	failed  time.Time
	busy    bool
}

// enforces says whether the sender refuses MX hosts now.
func (c *sender) enforces(now time.Time) bool {
	return c.held && now.Before(c.until) && c.policy.Mode == mtasts.ModeEnforce
}

func (s *sim) addSender(c *sender) {
	s.senders = append(s.senders, c)
	s.after(s.within(c.every), func() { s.mail(c) })
	if c.habit == refetches {
		s.after(s.within(refresh), func() { s.refetch(c) })
	}
}

// mail is one message on its way to the domain.
func (s *sim) mail(c *sender) {
	s.after(time.Second+s.about(c.every), func() { s.mail(c) })
	if c.busy {
		return
	}
	live := c.held && s.now.Before(c.until)
	if live && (c.habit == refetches || (c.habit == daily && s.now.Sub(c.checked) < day)) {
		s.deliver(c)
		return
	}
	id, from := s.resolve(&c.resolvers[s.rnd.IntN(2)])
	c.checked = s.now
	switch {
	case id == "":
		s.deliver(c) // no record changes nothing about what is cached (RFC 8461 §3.1)
	case c.held && c.id == id && (c.habit == revives || (live && c.habit == renews)):
		switch forgiven := c.from != nil && !c.from.seen; {
		case s.lost[id]:
			c.lost = true
		case s.anothers(id):
			c.from = &episode{}
		case from == nil || forgiven:
		case live:
			c.from = from
		default:
			c.from = &episode{} // nobody remembers what everybody had dropped
		}
		c.until = s.now.Add(maxAge(c.policy) + c.late)
		s.deliver(c)
	case live && c.id == id:
		s.deliver(c)
	default:
		s.fetch(c, id, from)
	}
}

// refetch is the periodic refresh of who does not look at ids, only whether there is a record at all.
func (s *sim) refetch(c *sender) {
	s.after(refresh, func() { s.refetch(c) })
	if !c.held || c.busy {
		return
	}
	if id, from := s.resolve(&c.resolvers[s.rnd.IntN(2)]); id != "" {
		s.fetch(c, id, from)
	}
}

// fetch gets the policy some time after the id was read: the two are no unit.
func (s *sim) fetch(c *sender, id string, back *episode) {
	if id == c.id && s.now.Sub(c.failed) < retryGet {
		s.deliver(c)
		return
	}
	c.busy = true
	s.after(s.within(pick(s, time.Second, time.Minute)), func() {
		c.busy = false
		limit := bodyLimit
		if c.habit == refetches {
			limit = leastBody
		}
		body, from, ok := s.get()
		policy, valid := s.parse(body, limit)
		if !ok || !valid {
			c.failed = s.now
			s.deliver(c)
			return
		}
		if c.body != body {
			c.refuses = publication.Refused(policy, hosts)
		}
		if c.body != body || (c.id != id && c.habit != refetches) {
			s.tell("%s caches id %s: %s %v for %s", c.name, id, policy.Mode, policy.MX, maxAge(policy))
		}
		switch {
		case s.anothers(id), s.unheardOf(id), from == nil && s.spec != nil && s.spec.Current == nil:
			from = &episode{}
		case from == nil:
			from = back
		}
		c.held, c.id, c.body, c.policy, c.from, c.lost = true, id, body, policy, from, s.forgotten(body)
		c.until = s.now.Add(maxAge(policy) + c.late)
		s.deliver(c)
	})
}

// deliver hands the message to every MX host that the sender's policy allows.
func (s *sim) deliver(c *sender) {
	s.Deliveries++
	s.checkRefusals(c)
	s.checkVouched(c)
	s.checkFresh(c)
}

func maxAge(p mtasts.Policy) time.Duration { return time.Duration(p.MaxAgeSeconds) * time.Second }
