package simulation

import (
	"time"

	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
	"github.com/mta-sts-operator/mta-sts-operator/internal/sender"
)

// habit is how a mail server keeps what it has fetched.
type habit string

// The habits, with mail servers that have them.
const (
	// renews: the same id prolongs the policy without a fetch (mox).
	renews habit = "renews"
	// revives: so does it with one that has expired already (postfix-mta-sts-resolver).
	revives habit = "revives"
	// keeps: the policy lives from its fetch; another id makes it fetch (go-mtasts in maddy).
	keeps habit = "keeps"
	// refetches: fetches now and then whatever the id (chasquid).
	refetches habit = "refetches"
	// daily: looks at the id once a day.
	daily habit = "daily"
)

const (
	retryGet = 5 * time.Minute
	refresh  = 3 * time.Hour
)

// mailer is a mail server somewhere that sends mail to the domain.
type mailer struct {
	name  string
	habit habit
	every time.Duration
	// resolvers are several, each with a cache of its own.
	resolvers [2]resolver

	held    bool
	id      string
	policy  mtasts.Policy
	refuses []string
	until   time.Time
	checked time.Time
	failed  time.Time
	busy    bool
	// excused: it was given this, or kept from losing it, by somebody's hand.
	excused bool
}

// enforces says whether the mailer refuses MX hosts now.
func (m *mailer) enforces(now time.Time) bool {
	return m.held && now.Before(m.until) && m.policy.Mode == mtasts.ModeEnforce
}

func (s *sim) addMailer(d *domain, m *mailer) {
	d.mailers = append(d.mailers, m)
	s.after(s.within(m.every), func() { s.mail(d, m) })
	if m.habit == refetches {
		s.after(s.within(refresh), func() { s.refetch(d, m) })
	}
}

// mail is one message on its way to the domain.
func (s *sim) mail(d *domain, m *mailer) {
	s.after(time.Second+s.about(m.every), func() { s.mail(d, m) })
	if m.busy {
		return
	}
	live := m.held && s.now.Before(m.until)
	if live && (m.habit == refetches || (m.habit == daily && s.now.Sub(m.checked) < day)) {
		s.mailed(d, m)
		return
	}
	id := s.resolve(d, &m.resolvers[s.rnd.IntN(2)])
	m.checked = s.now
	switch {
	case id == "":
		s.mailed(d, m) // no record changes nothing about what is cached (RFC 8461 §3.1)
	case m.held && m.id == id && (m.habit == revives || (live && m.habit == renews)):
		m.until = s.now.Add(maxAge(m.policy))
		s.mailed(d, m)
	case live && m.id == id:
		s.mailed(d, m)
	default:
		s.fetch(d, m, id)
	}
}

// refetch is the periodic refresh of who does not look at ids, only whether there is a record at all.
func (s *sim) refetch(d *domain, m *mailer) {
	s.after(refresh, func() { s.refetch(d, m) })
	if !m.held || m.busy {
		return
	}
	if id := s.resolve(d, &m.resolvers[s.rnd.IntN(2)]); id != "" {
		s.fetch(d, m, id)
	}
}

// fetch gets the policy some time after the id was read: the two are no unit.
func (s *sim) fetch(d *domain, m *mailer, id string) {
	if id == m.id && s.now.Sub(m.failed) < retryGet {
		s.mailed(d, m)
		return
	}
	m.busy = true
	s.after(s.within(pick(s, time.Second, time.Minute)), func() {
		m.busy = false
		s.Fetches++
		got, outcome := s.get(d)
		policy, err := mtasts.ParsePolicy([]byte(got.body))
		if outcome != sender.Pass || err != nil || len(policy.MX) == 0 {
			m.failed = s.now
			s.mailed(d, m)
			return
		}
		if m.id != id {
			s.tell("%s caches %s under id %s: %s %v for %s", m.name, got.id, id, policy.Mode, policy.MX, maxAge(policy))
		}
		m.held, m.id, m.policy, m.refuses = true, id, policy, refused(policy)
		m.until = s.now.Add(maxAge(policy))
		m.excused = s.now.Before(d.excusedUntil)
		s.mailed(d, m)
	})
}

// mailed hands the message to every MX host that the mailer's policy allows.
func (s *sim) mailed(d *domain, m *mailer) {
	s.Deliveries++
	s.checkRefusals(d, m)
}

// refused are the hosts of this world that a policy makes senders refuse.
func refused(p mtasts.Policy) []string {
	if p.Mode != mtasts.ModeEnforce {
		return nil
	}
	var out []string
	for _, host := range hosts {
		if !p.Covers(host) {
			out = append(out, host)
		}
	}
	return out
}

func maxAge(p mtasts.Policy) time.Duration { return time.Duration(p.MaxAgeSeconds) * time.Second }
