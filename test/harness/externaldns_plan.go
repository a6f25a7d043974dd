package harness

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"
	edns "sigs.k8s.io/external-dns/apis/v1alpha1"
	"sigs.k8s.io/external-dns/endpoint"
)

// heritage is the content of ownership records.
const heritage = "heritage=external-dns,external-dns/owner=harness"

// managedTypes are the record types that the model handles, in the order in
// which it does: the address of a host before anything else.
var managedTypes = []uint16{dns.TypeA, dns.TypeAAAA, dns.TypeCNAME, dns.TypeTXT}

// desiredSet is the record set that all DNSEndpoints together ask for.
type desiredSet struct {
	recordKey
	ttl     uint32 // 0 leaves it to the provider
	targets []string
}

// mergeEndpoints puts the endpoints of all objects together. Endpoints of one
// name, type and TTL become one set with the targets of all; of several TTLs
// the one with the smallest target wins. Other types are dropped in silence,
// and so are those written in lower case.
func mergeEndpoints(objects []edns.DNSEndpoint) []desiredSet {
	type variant struct {
		recordKey
		ttl uint32
	}
	merged := map[variant][]string{}
	for _, object := range objects {
		for _, ep := range object.Spec.Endpoints {
			rtype := dns.StringToType[ep.RecordType]
			if len(ep.Targets) == 0 || !slices.Contains(managedTypes, rtype) {
				continue
			}
			v := variant{recordKey{dns.CanonicalName(ep.DNSName), rtype}, ttlOf(ep)}
			merged[v] = append(merged[v], ep.Targets...)
		}
	}
	best := map[recordKey]desiredSet{}
	for v, targets := range merged {
		slices.Sort(targets)
		set := desiredSet{v.recordKey, v.ttl, slices.Compact(targets)}
		if other, taken := best[v.recordKey]; !taken || slices.Compare(set.targets, other.targets) < 0 {
			best[v.recordKey] = set
		}
	}
	return slices.SortedFunc(maps.Values(best), func(a, b desiredSet) int {
		return cmp.Or(cmp.Compare(a.name, b.name), cmp.Compare(a.rtype, b.rtype))
	})
}

func ttlOf(ep *endpoint.Endpoint) uint32 {
	return uint32(max(ep.RecordTTL, 0)) //nolint:gosec // a TTL has 31 bits
}

// plan is one synchronisation.
type plan struct {
	dns      *DNS
	mode     ExternalDNSMode
	provider TXTProvider
}

func (p plan) run(desired []desiredSet) error {
	wanted := map[recordKey]bool{}
	for _, set := range desired {
		wanted[set.recordKey] = !p.shadowed(set, desired)
	}
	// Deletions come first: they make room for a set of another type.
	p.deleteUnwanted(wanted)
	var errs []error
	for _, set := range desired {
		if !wanted[set.recordKey] || !p.manages(set.rtype) {
			continue
		}
		if err := p.ensure(set); err != nil {
			errs = append(errs, fmt.Errorf("publishing %s %s: %w", set.name, dns.TypeToString[set.rtype], err))
		}
	}
	return errors.Join(errs...)
}

// shadowed tells whether a CNAME has to give way to a set of another type.
func (p plan) shadowed(set desiredSet, all []desiredSet) bool {
	return set.rtype == dns.TypeCNAME && slices.ContainsFunc(all, func(other desiredSet) bool {
		return other.name == set.name && other.rtype != dns.TypeCNAME && p.manages(other.rtype)
	})
}

func (p plan) manages(rtype uint16) bool {
	return p.mode != NoTXT || rtype != dns.TypeTXT
}

func (p plan) deleteUnwanted(wanted map[recordKey]bool) {
	if p.mode == UpsertOnly {
		return
	}
	for _, key := range p.dns.keys() {
		if !wanted[key] && p.manages(key.rtype) && p.owns(key) {
			p.dns.replace(key.name, key.rtype, nil)
			p.dns.replace(ownershipName(key), dns.TypeTXT, nil)
		}
	}
}

// ensure creates or updates one set. A name that holds anything of somebody
// else gets nothing, and nobody is told.
func (p plan) ensure(set desiredSet) error {
	rrs, err := p.render(set)
	if err != nil {
		return err
	}
	current := p.dns.set(set.name, set.rtype)
	switch {
	case len(current) > 0:
		if !p.owns(set.recordKey) || sameRecords(current, rrs, set.ttl != 0) {
			return nil
		}
	case p.taken(set.recordKey):
		return nil
	}
	p.dns.replace(set.name, set.rtype, rrs)
	p.dns.replace(ownershipName(set.recordKey), dns.TypeTXT, []dns.RR{
		newTXT(ownershipName(set.recordKey), defaultTTL, heritage),
	})
	return nil
}

// taken tells whether a name holds a set of another type that forbids this one:
// one that is not ours, or anything where either of the two is a CNAME.
func (p plan) taken(wanted recordKey) bool {
	return slices.ContainsFunc(managedTypes, func(rtype uint16) bool {
		other := recordKey{wanted.name, rtype}
		if rtype == wanted.rtype || !p.manages(rtype) || len(p.dns.set(other.name, rtype)) == 0 {
			return false
		}
		return rtype == dns.TypeCNAME || wanted.rtype == dns.TypeCNAME || !p.owns(other)
	})
}

func (p plan) owns(key recordKey) bool {
	if p.mode == CreateOnlyTXT && key.rtype == dns.TypeTXT {
		return false
	}
	return slices.Equal(presentation(p.dns.set(ownershipName(key), dns.TypeTXT)), []string{heritage})
}

func ownershipName(key recordKey) string {
	return strings.ToLower(dns.TypeToString[key.rtype]) + "-" + key.name
}

// sameRecords compares as external-dns does: regardless of order and of case.
func sameRecords(current, desired []dns.RR, compareTTL bool) bool {
	if compareTTL && current[0].Header().Ttl != desired[0].Header().Ttl {
		return false
	}
	content := func(rrs []dns.RR) []string {
		contents := make([]string, len(rrs))
		for i, rr := range rrs {
			contents[i] = strings.ToLower(strings.TrimPrefix(rr.String(), rr.Header().String()))
		}
		slices.Sort(contents)
		return contents
	}
	return slices.Equal(content(current), content(desired))
}

// render makes the records of a set as the provider would.
func (p plan) render(set desiredSet) ([]dns.RR, error) {
	ttl := cmp.Or(set.ttl, defaultTTL)
	targets := set.targets
	if set.rtype == dns.TypeCNAME || (set.rtype == dns.TypeTXT && p.provider == Verbatim) {
		targets = targets[:1]
	}
	rrs := make([]dns.RR, 0, len(targets))
	for _, target := range targets {
		rr, err := p.renderTarget(header(set.name, set.rtype, ttl), target)
		if err != nil {
			return nil, fmt.Errorf("target %q: %w", target, err)
		}
		rrs = append(rrs, rr)
	}
	return rrs, nil
}

func (p plan) renderTarget(hdr dns.RR_Header, target string) (dns.RR, error) {
	switch hdr.Rrtype {
	case dns.TypeTXT:
		strs, err := p.provider.characterStrings(target)
		return newTXT(hdr.Name, hdr.Ttl, strs...), err
	case dns.TypeCNAME:
		return &dns.CNAME{Hdr: hdr, Target: dns.CanonicalName(target)}, nil
	}
	address, err := netip.ParseAddr(target)
	switch {
	case err != nil || address.Is4() != (hdr.Rrtype == dns.TypeA):
		return nil, errors.New("not an address of this type")
	case address.Is4():
		return &dns.A{Hdr: hdr, A: address.AsSlice()}, nil
	default:
		return &dns.AAAA{Hdr: hdr, AAAA: address.AsSlice()}, nil
	}
}

// characterStrings returns the strings of the record that a target becomes.
func (t TXTProvider) characterStrings(target string) ([]string, error) {
	if t == Verbatim {
		return chunks(target), nil
	}
	var strs []string
	for rest := strings.TrimSpace(target); rest != ""; rest = strings.TrimSpace(rest) {
		var s string
		var err error
		switch {
		case rest[0] == '"':
			s, rest, err = cutQuoted(rest)
		case t == Quoted:
			err = errors.New("value should be enclosed in quotation marks")
		default:
			s, rest, _ = strings.Cut(rest, " ")
		}
		if err != nil {
			return nil, err
		}
		if len(s) > maxString {
			return nil, fmt.Errorf("a character-string of %d bytes, more than %d", len(s), maxString)
		}
		strs = append(strs, s)
	}
	return strs, nil
}

// cutQuoted cuts a quoted character-string off the front (RFC 1035 §5.1).
func cutQuoted(text string) (s, rest string, err error) {
	content := new(strings.Builder)
	for i := 1; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"':
			return content.String(), text[i+1:], nil
		case c == '\\' && i+1 < len(text):
			i++
			content.WriteByte(text[i])
		default:
			content.WriteByte(c)
		}
	}
	return "", "", errors.New("a quotation mark is not closed")
}
