package sender

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// maxAliases is how many CNAME records in a row are followed.
const maxAliases = 8

// answer is what DNS says about one name, as far as it can be told.
type answer struct {
	status  LookupStatus
	records []dns.RR      // if Found; if servers disagree, what any of them said
	alias   string        // CNAME target, to be followed; status is Found then
	ttl     time.Duration // largest seen
	source  string
	reason  Reason
	message string
}

// chain is the answer at the end of a chain of aliases.
type chain struct {
	answer
	firstAlias string // target of the first CNAME, "" without
	end        string // the name that the answer is about
}

// follow looks name up and follows its aliases, each in its own zone. With
// authoritative unset it asks the resolvers only.
func (s *Sender) follow(ctx context.Context, name string, authoritative bool, types ...uint16) chain {
	var firstAlias string
	var ttl time.Duration
	for hops := 0; ; hops++ {
		found := s.lookup(ctx, name, authoritative, types...)
		// Where one zone's servers are out of reach, another's most likely are
		// too; trying again would eat the time of the rest.
		authoritative = found.source == SourceAuthoritative
		found.ttl = max(found.ttl, ttl)
		ttl = found.ttl
		if found.alias == "" {
			return chain{answer: found, firstAlias: firstAlias, end: name}
		}
		if hops == 0 {
			firstAlias = found.alias
		}
		if hops == maxAliases {
			return chain{answer: tooManyAliases(found), firstAlias: firstAlias, end: name}
		}
		name = found.alias
	}
}

func tooManyAliases(last answer) answer {
	return answer{
		status: Unknown, ttl: last.ttl, source: last.source, reason: DNSAliasChain,
		message: fmt.Sprintf("CNAME records form a loop or a chain of more than %d", maxAliases),
	}
}

func (s *Sender) lookup(ctx context.Context, name string, authoritative bool, types ...uint16) answer {
	if authoritative {
		if found, ok := s.askAuthority(ctx, name, types...); ok {
			return found
		}
	}
	r := s.askResolvers(ctx, name, types...)
	if r.failure != "" {
		return answer{status: Unknown, source: SourceResolver, reason: DNSFailed, message: r.failure}
	}
	return answerOf(r, SourceResolver)
}

func answerOf(r reply, source string) answer {
	if r.alias == "" && len(r.records) == 0 {
		return answer{status: Absent, source: source, reason: DNSNotFound}
	}
	return answer{status: Found, records: r.records, alias: r.alias, ttl: r.ttl, source: source}
}

// askResolvers returns the first usable reply of a configured resolver. A
// failure names every resolver and what it did.
func (s *Sender) askResolvers(ctx context.Context, name string, types ...uint16) reply {
	failures := make([]string, len(s.resolvers))
	// A dead first resolver would otherwise cost each of a look's questions a
	// timeout.
	start := int(s.lastGood.Load())
	for i := range s.resolvers {
		at := (start + i) % len(s.resolvers)
		r := s.ask(ctx, s.resolvers[at], name, types...)
		if r.failure == "" {
			s.lastGood.Store(int32(at)) //nolint:gosec // an index of a short list
			return r
		}
		failures[at] = s.resolvers[at].label + " " + r.failure
	}
	return reply{failure: strings.Join(failures, ", ")}
}
