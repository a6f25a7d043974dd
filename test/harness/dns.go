package harness

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
	"k8s.io/utils/clock"
)

const (
	// defaultTTL is the TTL of records that were set without one, in seconds.
	defaultTTL = 300
	// maxQueries bounds the query log; the oldest go first.
	maxQueries = 1 << 16
	// maxString is the length of a character-string (RFC 1035 §3.3).
	maxString = 255
)

// DNS is all of DNS: authoritative for every name, and the resolver that is
// asked for it. Names are taken in any case, with or without trailing dot. It
// is safe for concurrent use and has no Step, because nothing in it takes time.
type DNS struct {
	clock clock.PassiveClock

	mu      sync.Mutex
	records map[recordKey][]dns.RR
	// names counts the record sets at and below each name.
	names   map[string]int
	version uint64
	faults  map[string]Fault
	queries []Query
	changes []Change
	hooks   map[int]func(Change)
	lastID  int
}

type recordKey struct {
	name  string // fully qualified, lower case
	rtype uint16
}

// Fault is how DNS fails to answer.
type Fault int

// The faults of DNS.
const (
	NoFault  Fault = iota
	ServFail       // answers SERVFAIL
	Drop           // does not answer
)

// AllNames stands for every name in SetFault.
const AllNames = "*"

// Query is one question that DNS was asked.
type Query struct {
	Time time.Time
	Name string // lower case, without trailing dot
	Type string // "TXT"
}

// Change is one change of a record set. Values are in presentation form, for
// TXT the strings of each record joined, sorted; nil if the set did not or does
// not exist.
type Change struct {
	Time          time.Time
	Name          string // lower case, without trailing dot
	Type          string // "TXT"
	Before, After []string
}

// NewDNS returns DNS with no records but those of its own name server.
func NewDNS(c clock.PassiveClock) *DNS {
	return &DNS{
		clock:   c,
		records: map[recordKey][]dns.RR{},
		names:   map[string]int{},
		faults:  map[string]Fault{},
		hooks:   map[int]func(Change){},
	}
}

// SetTXT makes the TXT records of a name exactly these values, one record each;
// none removes them. Somebody other than external-dns does that: it leaves
// records that it did not create alone.
func (d *DNS) SetTXT(name string, values ...string) {
	rrs := make([]dns.RR, 0, len(values))
	for _, value := range values {
		rrs = append(rrs, newTXT(name, defaultTTL, chunks(value)...))
	}
	d.replace(name, dns.TypeTXT, rrs)
}

// SetA makes the A and AAAA records of a name exactly these addresses. It panics
// if one is not an IP address.
func (d *DNS) SetA(name string, addresses ...string) {
	var v4, v6 []dns.RR
	for _, text := range addresses {
		address := netip.MustParseAddr(text)
		if address.Is4() {
			v4 = append(v4, &dns.A{Hdr: header(name, dns.TypeA, defaultTTL), A: address.AsSlice()})
		} else {
			v6 = append(v6, &dns.AAAA{Hdr: header(name, dns.TypeAAAA, defaultTTL), AAAA: address.AsSlice()})
		}
	}
	d.replace(name, dns.TypeA, v4)
	d.replace(name, dns.TypeAAAA, v6)
}

// SetCNAME makes a name an alias of target; "" removes the alias.
func (d *DNS) SetCNAME(name, target string) {
	var rrs []dns.RR
	if target != "" {
		rrs = []dns.RR{&dns.CNAME{Hdr: header(name, dns.TypeCNAME, defaultTTL), Target: dns.CanonicalName(target)}}
	}
	d.replace(name, dns.TypeCNAME, rrs)
}

// SetMX makes the MX records of a domain exactly these hosts, with preferences
// 10, 20, …; the host "." alone makes a null MX (RFC 7505), none removes them.
func (d *DNS) SetMX(domain string, hosts ...string) {
	rrs := make([]dns.RR, 0, len(hosts))
	for i, host := range hosts {
		preference := uint16(10 * (i + 1))
		if host == "." {
			preference = 0
		}
		rrs = append(rrs, &dns.MX{Hdr: header(domain, dns.TypeMX, defaultTTL), Preference: preference, Mx: dns.CanonicalName(host)})
	}
	d.replace(domain, dns.TypeMX, rrs)
}

// Remove removes all records of a name.
func (d *DNS) Remove(name string) {
	d.mu.Lock()
	var types []uint16
	for key := range d.records {
		if key.name == dns.CanonicalName(name) {
			types = append(types, key.rtype)
		}
	}
	d.mu.Unlock()
	slices.Sort(types)
	for _, rtype := range types {
		d.replace(name, rtype, nil)
	}
}

// SetFault makes questions about one name, or AllNames, fail from now on.
func (d *DNS) SetFault(name string, fault Fault) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if name != AllNames {
		name = dns.CanonicalName(name)
	}
	d.faults[name] = fault
}

// Records returns the record set of a name as Change has it, nil without one.
func (d *DNS) Records(name, rtype string) []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return presentation(d.records[recordKey{dns.CanonicalName(name), dns.StringToType[rtype]}])
}

// Queries returns the questions about a name so far, oldest first.
func (d *DNS) Queries(name string) []Query {
	d.mu.Lock()
	defer d.mu.Unlock()
	name = plainName(name)
	return slices.DeleteFunc(slices.Clone(d.queries), func(q Query) bool { return q.Name != name })
}

// History returns the changes of all record sets of a name, oldest first.
func (d *DNS) History(name string) []Change {
	d.mu.Lock()
	defer d.mu.Unlock()
	name = plainName(name)
	return slices.DeleteFunc(slices.Clone(d.changes), func(c Change) bool { return c.Name != name })
}

// OnChange calls hook for every change from now on until remove is called, right
// after the change is visible and before the model that made it goes on. No
// model makes progress meanwhile, so a hook must not wait for one.
func (d *DNS) OnChange(hook func(Change)) (remove func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lastID++
	id := d.lastID
	d.hooks[id] = hook
	return func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		delete(d.hooks, id)
	}
}

// replace puts rrs in the place of a record set. Without a difference nothing
// happens.
func (d *DNS) replace(name string, rtype uint16, rrs []dns.RR) {
	d.mu.Lock()
	key := recordKey{dns.CanonicalName(name), rtype}
	before := d.records[key]
	if slices.EqualFunc(before, rrs, func(a, b dns.RR) bool { return a.String() == b.String() }) {
		d.mu.Unlock()
		return
	}
	if len(before) > 0 {
		d.count(key.name, -1)
	}
	delete(d.records, key)
	if len(rrs) > 0 {
		d.records[key] = rrs
		d.count(key.name, 1)
	}
	d.version++
	change := Change{
		Time: d.clock.Now(), Name: plainName(name), Type: dns.TypeToString[rtype],
		Before: presentation(before), After: presentation(rrs),
	}
	d.changes = append(d.changes, change)
	hooks := make([]func(Change), 0, len(d.hooks))
	for id := range d.lastID {
		if hook := d.hooks[id+1]; hook != nil {
			hooks = append(hooks, hook)
		}
	}
	d.mu.Unlock()
	for _, hook := range hooks {
		hook(change)
	}
}

// keys returns the keys of all record sets, by name and type.
func (d *DNS) keys() []recordKey {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.SortedFunc(maps.Keys(d.records), func(a, b recordKey) int {
		return cmp.Or(cmp.Compare(a.name, b.name), cmp.Compare(a.rtype, b.rtype))
	})
}

func (d *DNS) set(name string, rtype uint16) []dns.RR {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.records[recordKey{dns.CanonicalName(name), rtype}]
}

func (d *DNS) currentVersion() uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.version
}

func header(name string, rtype uint16, ttl uint32) dns.RR_Header {
	return dns.RR_Header{Name: dns.CanonicalName(name), Rrtype: rtype, Class: dns.ClassINET, Ttl: ttl}
}

func newTXT(name string, ttl uint32, strs ...string) *dns.TXT {
	return &dns.TXT{Hdr: header(name, dns.TypeTXT, ttl), Txt: strs}
}

// chunks splits a value into character-strings.
func chunks(value string) []string {
	var parts []string
	for len(value) > maxString {
		parts, value = append(parts, value[:maxString]), value[maxString:]
	}
	return append(parts, value)
}

func presentation(rrs []dns.RR) []string {
	var values []string
	for _, rr := range rrs {
		if txt, ok := rr.(*dns.TXT); ok {
			values = append(values, strings.Join(txt.Txt, ""))
			continue
		}
		values = append(values, strings.TrimPrefix(rr.String(), rr.Header().String()))
	}
	slices.Sort(values)
	return values
}

func plainName(name string) string {
	return strings.TrimSuffix(dns.CanonicalName(name), ".")
}
