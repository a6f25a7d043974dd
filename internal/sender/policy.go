package sender

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
)

// Instance is a policy as its publisher means it.
type Instance struct {
	ID   string
	Body string // the exact bytes
}

// SeenPolicy is a valid policy that was served.
type SeenPolicy struct {
	// ID is the value of the X-MTA-STS-ID header, "" if it is absent or no id.
	ID     string
	Body   string // the exact bytes
	Policy mtasts.Policy
}

// Answer is what a server answered in HTTP, policy or not.
type Answer struct {
	Status int
	// ContentType and Location are header fields, made fit to be shown; "" if absent.
	ContentType, Location string
	// Body is the exact bytes, at most 64 KiB and as many as came; only with status 200.
	Body string
}

// AddressLook is what one address of a policy host does.
type AddressLook struct {
	Address netip.Addr
	Outcome Outcome
	Reason  Reason // empty for Pass
	// Message says what the address does, such as "refuses connections on port
	// 443"; empty for Pass.
	Message  string
	Answer   *Answer     // nil if there was none
	Seen     *SeenPolicy // the policy of Pass and WrongBody, else nil
	NotAfter time.Time   // end of the leaf certificate, if one was presented
}

// Look is what a policy host does at all its addresses together.
type Look struct {
	Outcome Outcome
	Reason  Reason // of the first address that decides; empty for Pass
	// Message names the host and the addresses that decide. With Pass it is
	// empty, or names the addresses without a route.
	Message   string
	Seen      *SeenPolicy   // of the first address that decides, if it has one
	NotAfter  time.Time     // the earliest of all addresses
	Addresses []AddressLook // sorted; empty if the name could not be resolved
}

// LookPolicy resolves the policy host of a domain and fetches the policy from
// each address as a sender would (RFC 8461 §3.3). With want it passes if every
// address serves exactly that instance: the same bytes and, where the server
// names its id in X-MTA-STS-ID, the same id. Without want any valid policy passes.
//
// One address that serves something else makes it WrongBody, else one that is
// broken makes it Broken, else one without an answer makes it NoAnswer; except
// that a whole address family without a route from here does not count if the
// other one passes.
func (s *Sender) LookPolicy(ctx context.Context, domain string, want *Instance) Look {
	return s.LookWay(ctx, domain, Way{Path: mtasts.PolicyPath}, want)
}

// Way is where to ask for a policy, if not where senders do.
type Way struct {
	// Target is an IP address, or a name whose addresses are asked; "" is where DNS says that the policy host is.
	Target string
	// Vouched is set if the caller vouches for Target: it may be private.
	Vouched bool
	// Path of the policy.
	Path string
}

// LookWay is [Sender.LookPolicy] by another way to the policy host.
func (s *Sender) LookWay(ctx context.Context, domain string, way Way, want *Instance) Look {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	domain = normalDomain(domain)
	var addresses []netip.Addr
	if address, err := netip.ParseAddr(way.Target); err == nil {
		addresses = []netip.Addr{address.Unmap()}
	} else {
		host := s.lookupHost(ctx, cmp.Or(way.Target, mtasts.PolicyHost(domain)), true)
		if host.Status != Found {
			return Look{Outcome: NoAnswer, Reason: host.Reason, Message: host.Message}
		}
		addresses = host.Addresses[:min(len(host.Addresses), maxAddresses)]
	}
	looks := make([]AddressLook, len(addresses))
	var wg sync.WaitGroup
	for i, address := range addresses {
		wg.Go(func() { looks[i] = s.lookAddress(ctx, domain, address, !way.Vouched, way.Path, want) })
	}
	wg.Wait()
	return combine(mtasts.PolicyHost(domain), looks)
}

// LookPolicyAt is [Sender.LookPolicy] at an address the caller vouches for: DNS
// is not asked and the address may be private, though not denied. The name, the certificate and the
// answer are held to the same rules.
func (s *Sender) LookPolicyAt(ctx context.Context, domain string, address netip.Addr, want *Instance) Look {
	return s.LookWay(ctx, domain, Way{Target: address.String(), Vouched: true, Path: mtasts.PolicyPath}, want)
}

func normalDomain(domain string) string {
	return strings.ToLower(plain(domain))
}

// combine derives the look from those at each address, which are sorted.
func combine(host string, looks []AddressLook) Look {
	whole := Look{Outcome: Pass, Addresses: looks}
	for _, outcome := range []Outcome{WrongBody, Broken, NoAnswer} {
		if slices.ContainsFunc(looks, func(l AddressLook) bool {
			return l.Outcome == outcome && !excused(l, looks)
		}) {
			whole.Outcome = outcome
			break
		}
	}
	var deciding []AddressLook
	for _, l := range looks {
		if !l.NotAfter.IsZero() && (whole.NotAfter.IsZero() || l.NotAfter.Before(whole.NotAfter)) {
			whole.NotAfter = l.NotAfter
		}
		if l.Outcome == whole.Outcome && !excused(l, looks) {
			deciding = append(deciding, l)
		}
	}
	if len(deciding) > 0 {
		whole.Reason, whole.Seen = deciding[0].Reason, deciding[0].Seen
	}
	if whole.Outcome == Pass {
		// All that is left to say is who was excused.
		deciding = looks
	}
	whole.Message = summarize(host, deciding)
	return whole
}

// excused reports whether l lacks a route only because its whole family does,
// while the other family passes: that says something about the network here and
// nothing about the policy host.
func excused(l AddressLook, looks []AddressLook) bool {
	if l.Reason != NoRoute {
		return false
	}
	otherPasses := false
	for _, other := range looks {
		if other.Address.Is4() == l.Address.Is4() {
			if other.Reason != NoRoute {
				return false
			}
		} else if other.Outcome == Pass {
			otherPasses = true
		}
	}
	return otherPasses
}

// summarize puts the messages in one sentence each, addresses that share one
// together.
func summarize(host string, looks []AddressLook) string {
	var messages []string
	addresses := map[string][]string{}
	for _, l := range looks {
		if l.Message == "" {
			continue
		}
		if addresses[l.Message] == nil {
			messages = append(messages, l.Message)
		}
		addresses[l.Message] = append(addresses[l.Message], l.Address.String())
	}
	for i, message := range messages {
		messages[i] = sanitize(host) + " at " + strings.Join(addresses[message], ", ") + ": " + message
	}
	return strings.Join(messages, "; ")
}
