package controllers

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	externaldnsv1alpha1 "sigs.k8s.io/external-dns/apis/v1alpha1"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/controllers/internal/publication"
	"github.com/mta-sts-operator/mta-sts-operator/internal/sender"
)

// memory is what was seen of the world for one domain since the operator started. Losing it costs
// another look, nothing else. Only the domain's worker touches it.
type memory struct {
	domain string
	// publication is the UID of the publication that the rest is about.
	publication types.UID
	// begun is the UID of the publication that this operator has made.
	begun types.UID

	// mints is the pace of the domain's ids.
	mints publication.Mints

	world  *publication.World
	dns    *publication.DNS
	mx     *publication.MX
	public *publication.Public
	rpt    *sender.TXT

	// mxSeen is until when senders may still use an MX host.
	mxSeen map[string]time.Time
	// notAfter is when the certificate that the policy host presented ends.
	notAfter time.Time
	// hostRecord is the UID and generation of the host's DNSEndpoint that external-dns had read at hostReadAt.
	hostRecord string
	hostReadAt time.Time
	// wrote are the versions that came of the operator's own writes, until the cache has them.
	wrote map[types.UID]client.Object
	// endpoints are the DNSEndpoints as they were seen at the API server when they were written last.
	endpoints map[client.ObjectKey]*externaldnsv1alpha1.DNSEndpoint
	// lookAt is when the domain at rest is looked at next, lookFor the id that was in force then; turn is
	// its place among all the domains that are due, zero while it has none.
	lookAt  time.Time
	lookFor string
	turn    time.Time
	// way is what was seen of a change of ways.
	way wayMemory
	// followed is the UID and generation of the policy that was followed last, objected since when the MX hosts
	// have spoken against what it wants; zero while they do not.
	followed string
	objected time.Time
	// progress is what was told of the change that is on its way.
	progress progress
	// refusedFailed is how many at the head of those who are refused could not be told so: others come before them.
	refusedFailed int
	// planted is what was told last of an id that somebody planted.
	planted string
	// transferTo is the namespace of which was told that the transfer to it waits.
	transferTo string
	// word is the one by which the domain is to be handed over.
	word transferWord
	// tenure is what the publication that was seen last leaves behind; nil if there was none.
	tenure *tenure
	// host is where DNS pointed the policy host when that mattered last, whoever held the domain then.
	host *hostSeen
}

// memories are the memories of all domains.
type memories struct {
	mu       sync.Mutex
	byDomain map[string]*memory
	// standings are for the queue, which must not wait for a domain's worker.
	standings map[string]standing
}

func newMemories() *memories {
	return &memories{byDomain: map[string]*memory{}, standings: map[string]standing{}}
}

// standing is where a domain stood after the last pass over it.
func (m *memories) standing(domain string) standing {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.standings[domain]
}

// stands notes where a domain stands; a domain that nobody has or may have is not remembered.
func (m *memories) stands(domain string, s standing) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s.namespace == "" {
		delete(m.standings, domain)
	} else {
		m.standings[domain] = s
	}
}

func newMemory(domain string) *memory { return &memory{domain: domain, mxSeen: map[string]time.Time{}} }

// of is the memory of a domain, made if there is none: for those with a policy or a publication only (I11).
func (m *memories) of(domain string) *memory {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.byDomain[domain] == nil {
		m.byDomain[domain] = newMemory(domain)
	}
	return m.byDomain[domain]
}

func (m *memories) forget(domain string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.byDomain, domain)
	delete(m.standings, domain)
}

// about makes sure that what is remembered is about this publication, nil for none: what was seen
// before another one began says nothing about what it must know.
func (m *memory) about(p *v1alpha1.MTASTSPublication) {
	var uid types.UID
	if p != nil {
		uid = p.UID
	}
	if m.publication != uid {
		m.publication, m.world, m.dns, m.public, m.rpt = uid, nil, nil, nil, nil
		m.way = wayMemory{}
	}
}

// follow notes which policy is followed. An edit may have mended what a domain waits for that senders were
// never given an id of: it need not wait longer and longer any more.
func (m *memory) follow(c claims) {
	if c.winner == nil {
		return
	}
	version := fmt.Sprintf("%s/%d", c.winner.UID, c.winner.Generation)
	if m.followed == version {
		return
	}
	m.followed, m.objected = version, time.Time{}
	if c.publication != nil && c.publication.Spec.AnnouncedID != "" {
		return
	}
	if m.world != nil {
		m.world.DNS.Tried = publication.Tried{}
	}
	if m.public != nil {
		m.public.Tried = publication.Tried{}
	}
}

// heed notes since when the MX hosts have spoken against what is wanted.
func (m *memory) heed(d publication.Decision, now time.Time) {
	switch {
	case d.State != v1alpha1.StateHeld || !d.Stalled || d.Reason == v1alpha1.ReasonMXCheckDelayed:
		m.objected = time.Time{}
	case m.objected.IsZero():
		m.objected = now
	}
}

// doubt forgets the operator's own writes: after a conflict the cache may be the newer one, as when
// the cluster's data was restored.
func (m *memories) doubt(domain string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if known := m.byDomain[domain]; known != nil {
		known.wrote = nil
	}
}

// hostRead is since when external-dns is known to have read the host's record: a restart counts from
// the start, because looking too early costs an hour and looking late a minute.
func (m *memory) hostRead(e *externaldnsv1alpha1.DNSEndpoint, now time.Time) time.Time {
	if record := fmt.Sprintf("%s/%d", e.UID, e.Generation); m.hostRecord != record {
		m.hostRecord, m.hostReadAt = record, now
	}
	return m.hostReadAt
}

// newest is the newest known version of an object: the cached one, or what the operator itself wrote
// and its cache does not show yet. Deciding by less would only end in a conflict.
func newest[T client.Object](m *memory, cached T) T {
	wrote, ok := m.wrote[cached.GetUID()].(T)
	if ok && newer(wrote, cached) {
		return wrote
	}
	m.drop(cached)
	return cached
}

// drop forgets what the operator wrote of an object.
func (m *memory) drop(o client.Object) {
	if delete(m.wrote, o.GetUID()); len(m.wrote) == 0 {
		m.wrote = nil // an emptied map keeps its room, for each of thousands of domains
	}
}

// keep remembers the version that came of a write.
func (m *memory) keep(wrote client.Object) {
	if m.wrote == nil {
		m.wrote = map[types.UID]client.Object{}
	}
	m.wrote[wrote.GetUID()] = wrote
}

// keepEndpoint remembers a DNSEndpoint as the API server had it.
func (m *memory) keepEndpoint(seen *externaldnsv1alpha1.DNSEndpoint) {
	if m.endpoints == nil {
		m.endpoints = map[client.ObjectKey]*externaldnsv1alpha1.DNSEndpoint{}
	}
	m.endpoints[client.ObjectKeyFromObject(seen)] = seen
}

// dropEndpoint forgets it.
func (m *memory) dropEndpoint(key client.ObjectKey) {
	if delete(m.endpoints, key); len(m.endpoints) == 0 {
		m.endpoints = nil
	}
}

// mostMXSeen is how many MX hosts of a domain are remembered beside those of the last answer: a zone may answer others
// each time, and say that resolvers may keep them for years.
const mostMXSeen = 256

func (m *memory) sawMX(host string, until time.Time) {
	if until.After(m.mxSeen[host]) {
		m.mxSeen[host] = until
	}
	if len(m.mxSeen) <= mostMXSeen {
		return
	}
	first := host
	for other, end := range m.mxSeen {
		if end.Before(m.mxSeen[first]) {
			first = other
		}
	}
	delete(m.mxSeen, first)
}

// liveMX are the hosts of the answer and those whose earlier answer resolvers may still give.
func (m *memory) liveMX(answer []sender.MXHost, now time.Time) []string {
	var out []string
	for _, host := range answer {
		out = append(out, host.Name)
	}
	for host, until := range m.mxSeen {
		if until.After(now) {
			out = append(out, host)
		} else {
			delete(m.mxSeen, host)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// restDue is when the domain is to be looked at next. What has just come into force is looked at
// soon; what was in force and well when the operator started, some time within the interval, so that
// a restart does not make thousands of looks at once. A status that says otherwise may be the one that
// the last operator did not live to correct: it does not wait for an hour.
func (m *memory) restDue(inForce string, well bool, now time.Time, t publication.Timings) time.Time {
	if m.lookAt.IsZero() || m.lookFor != inForce {
		wait := t.PollMost
		if m.dns == nil && well {
			wait = time.Duration(spreadOf(m.domain) * float64(t.LookInterval))
		}
		m.lookAt, m.lookFor = now.Add(wait), inForce
	}
	return m.lookAt
}

// rested sets the next look: sooner while something is wrong, so that proof takes minutes.
func (m *memory) rested(now time.Time, t publication.Timings) {
	if (m.dns != nil && m.dns.Tries > 0) || (m.public != nil && m.public.Tries > 0) {
		m.lookAt = now.Add(t.ProofPeriod / time.Duration(t.ProofLooks))
		return
	}
	m.lookAt = now.Add(time.Duration((0.8 + 0.4*spreadOf(m.domain)) * float64(t.LookInterval)))
}
