package e2e

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// pair and report are what the poller of test/e2e/world answers.
type pair struct {
	ID, Body, Sum string
	First, Last   time.Time
	Count         int
}

type report struct {
	Looks    int
	Pairs    []pair
	Failures []failure
}

type failure struct {
	Message     string
	First, Last time.Time
	Count       int
}

// poll starts a sender without a cache, which reads the id and fetches the policy ten times a second
// from now on.
func (s *story) poll() {
	s.t.Helper()
	s.place("poller.yaml", map[string]string{
		"Namespace": s.namespace, "Domain": s.domain, "Authority": s.Authority, "Resolver": s.Resolver, "Roots": indent(s.Roots),
	})
	s.run("", "-n", s.namespace, "wait", "--for=condition=Ready", "pod/poller", "--timeout=120s")
}

func (s *story) polled() report {
	s.t.Helper()
	var r report
	content, err := s.get(s.ctx, s.namespace, "pods", "poller:8080", "report")
	s.must(err)
	s.must(json.Unmarshal(content, &r))
	return r
}

// consistent fails the story if a look ever failed, other than in a reboot, or paired an id with the body of
// an older one.
func (s *story) consistent() report {
	s.t.Helper()
	r := s.polled()
	for _, p := range wrong(r.Pairs) {
		s.t.Errorf("%d times from %s to %s senders paired id %s with a body that belongs to no newer id:\n%s",
			p.Count, p.First.Format(time.TimeOnly), p.Last.Format(time.TimeOnly), p.ID, p.Body)
	}
	for _, f := range r.Failures {
		if !s.away(f.First, f.Last) {
			s.t.Errorf("%d of %d looks failed, %s to %s: %s", f.Count, r.Looks, f.First.Format(time.TimeOnly), f.Last.Format(time.TimeOnly), f.Message)
		}
	}
	s.say("a sender looked %d times%s", r.Looks, timeline(r.Pairs))
	return r
}

// wrong are the pairs that a sender must never form. By the form of our ids a body tells which one is
// its own: they end in its SHA-256. A newer body under an old id is as it should be, because the next
// look brings the newer id.
func wrong(pairs []pair) []pair {
	var bad []pair
	for i, p := range pairs {
		if p.ID != "" && !p.matches(p.ID) && !newer(pairs[i+1:], p) {
			bad = append(bad, p)
		}
	}
	return bad
}

func (p pair) matches(id string) bool {
	return len(id) == 22 && strings.HasPrefix(p.Sum, id[14:])
}

// newer says whether the body of p belongs to an id that came later.
func newer(later []pair, p pair) bool {
	return slices.ContainsFunc(later, func(l pair) bool { return l.ID > p.ID && p.matches(l.ID) })
}

// timeline says for each id how long a sender saw it, and with which bodies.
func timeline(pairs []pair) string {
	var text strings.Builder
	for len(pairs) > 0 {
		end := slices.IndexFunc(pairs, func(p pair) bool { return p.ID != pairs[0].ID })
		if end < 0 {
			end = len(pairs)
		}
		own, other := 0, 0
		for _, p := range pairs[:end] {
			if p.matches(p.ID) {
				own += p.Count
			} else {
				other += p.Count
			}
		}
		fmt.Fprintf(&text, "\n  %s – %s  id %-22s %5d times with its own body, %4d with another", pairs[0].First.Format(time.TimeOnly),
			pairs[end-1].Last.Format(time.TimeOnly), pairs[0].ID, own, other)
		pairs = pairs[end:]
	}
	return text.String()
}

func TestOnlyAnOldBodyUnderANewIDIsWrong(t *testing.T) {
	const first, second = "20260101000000aaaaaaaa", "20260102000000bbbbbbbb"
	for name, tt := range map[string]struct {
		pairs []pair
		want  int
	}{
		"before the first id":             {[]pair{{}, {ID: first, Sum: "aaaaaaaa00"}}, 0},
		"each id with its own body":       {[]pair{{ID: first, Sum: "aaaaaaaa00"}, {ID: second, Sum: "bbbbbbbb00"}}, 0},
		"the body goes ahead of the id":   {[]pair{{ID: first, Sum: "bbbbbbbb00"}, {ID: second, Sum: "bbbbbbbb00"}}, 0},
		"the id goes ahead of the body":   {[]pair{{ID: first, Sum: "aaaaaaaa00"}, {ID: second, Sum: "aaaaaaaa00"}}, 1},
		"one server comes late":           {[]pair{{ID: second, Sum: "bbbbbbbb00"}, {ID: second, Sum: "aaaaaaaa00"}, {ID: second, Sum: "bbbbbbbb00"}}, 1},
		"a body whose id is never seen":   {[]pair{{ID: first, Sum: "cccccccc00"}, {ID: second, Sum: "bbbbbbbb00"}}, 1},
		"an id that is not of our making": {[]pair{{ID: "1", Sum: "aaaaaaaa00"}}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			if got := wrong(tt.pairs); len(got) != tt.want {
				t.Errorf("wrong() = %+v, want %d of them", got, tt.want)
			}
		})
	}
}
