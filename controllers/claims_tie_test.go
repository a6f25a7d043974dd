package controllers

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/controllers/internal/publication"
	"github.com/mta-sts-operator/mta-sts-operator/controllers/internal/resources"
	"github.com/mta-sts-operator/mta-sts-operator/internal/config"
	"github.com/mta-sts-operator/mta-sts-operator/internal/sender"
)

// atAddress is where DNS points the policy host in tests.
var atAddress = &pointed{addresses: []netip.Addr{netip.MustParseAddr("192.0.2.1")}, off: "evil"}

func TestATieOfTargetsIsUndecidedAndSaysWhoDecides(t *testing.T) {
	const dns, tie = "192.0.2.1", "it is undecided whose"
	const handing = "kubectl -n evil annotate --overwrite mtastspublication example.com mtasts.dev/transfer-to=mail"
	rivalNamed := &pointed{addresses: atAddress.addresses, names: []string{"lb.example.net"}}
	for name, tt := range map[string]struct {
		holder, owner string
		host          *pointed
		cfg           config.Operator
		heir          string
		contest       []string
	}{
		"a squatter that copies the targets":               {dns, dns, atAddress, config.Default(), "", []string{"mail"}},
		"a squatter with a name that leads there":          {"x.evil.example", dns, &pointed{addresses: atAddress.addresses}, config.Default(), "", []string{"mail"}},
		"an honest holder whose Ingress has the address":   {"", dns, &pointed{addresses: atAddress.addresses}, config.Default(), "", []string{"mail"}},
		"a claim by the host's alias":                      {"", "lb.example.net", rivalNamed, config.Default(), "", []string{"mail"}},
		"a rival that is pointed elsewhere":                {dns, "192.0.2.9", atAddress, config.Default(), "", nil},
		"a rival that says nothing":                        {dns, "", atAddress, config.Default(), "", nil},
		"as long as DNS is not proven":                     {dns, dns, nil, config.Default(), "", nil},
		"a squatter that says something else":              {"192.0.2.9", dns, atAddress, config.Default(), "mail/p", nil},
		"looks that were about another holder":             {"192.0.2.9", dns, &pointed{addresses: atAddress.addresses, off: "c"}, config.Default(), "", []string{"mail"}},
		"a rule for the owner alone decides":               {dns, dns, atAddress, allowing(rule("*", "mail")), "mail/p", nil},
		"a rule that lets the owner not claim decides":     {dns, dns, atAddress, allowing(rule("*", "evil")), "", nil},
		"a rule that allows it to both does not decide it": {dns, dns, atAddress, allowing(rule("*", "evil", "mail")), "", []string{"mail"}},
	} {
		t.Run(name, func(t *testing.T) {
			squatter, owner, pub := testPolicy("evil", "p", 90), testPolicy("mail", "p", 1), testPublication("evil", "p")
			if tt.owner != "" {
				owner.Spec.DNS.Targets = []string{tt.owner}
			}
			if tt.holder != "" {
				squatter.Spec.DNS.Targets, pub.Spec.Delivery.DNS.Targets = []string{tt.holder}, []string{tt.holder}
			}
			policies := []v1alpha1.MTASTSPolicy{squatter, owner}
			c := judge(policies, []v1alpha1.MTASTSPublication{pub}, grounds{cfg: tt.cfg, host: tt.host})
			if got := verdictOf(c); got.Heir != tt.heir || got.Winner != "evil/p" || !slices.Equal(c.contest, tt.contest) {
				t.Errorf("%+v, contested by %v; want heir %q, contested by %v", got, c.contest, tt.heir, tt.contest)
			}
			for _, why := range c.refused {
				for _, want := range []string{"nothing is announced from there yet", "(domains)", "rights in the whole cluster", handing} {
					if !strings.Contains(why.message, want) {
						t.Errorf("message %q does not contain %q", why.message, want)
					}
				}
			}
			s := &scope{domain: testDomain, claims: c, memory: newMemory(testDomain)}
			if tt.host != nil {
				s.memory.host = looked(3, func(h *hostSeen) { h.pointed = *tt.host })
			}
			ready := apimeta.FindStatusCondition(s.status(&optionalKinds{}, metav1.NewTime(testNow), publication.DefaultTimings()).Conditions, v1alpha1.ConditionReady)
			told := ready != nil && strings.Contains(ready.Message, tie) && strings.Contains(ready.Message, "(domains)") && strings.Contains(ready.Message, handing)
			if want := len(tt.contest) > 0; told != want {
				t.Errorf("the holder is told %v", ready)
			}
		})
	}
}

func TestTheHandingOverThatATieNamesDecidesIt(t *testing.T) {
	squatter, owner, pub := testPolicy("evil", "p", 90), testPolicy("mail", "p", 1), testPublication("evil", "p")
	owner.Spec.DNS.Targets, pub.Spec.Delivery.DNS.Targets = []string{"192.0.2.1"}, []string{"192.0.2.1"}
	pub.Annotations = map[string]string{v1alpha1.TransferToAnnotation: "mail"}
	policies := []v1alpha1.MTASTSPolicy{squatter, owner}
	if c := judge(policies, []v1alpha1.MTASTSPublication{pub}, grounds{cfg: config.Default(), host: atAddress}); c.heir == nil {
		t.Error("the word decides nothing")
	}
}

// looked is a row of so many looks over ten minutes, each as edit says.
func looked(looks int, edit func(*hostSeen)) *hostSeen {
	return lookedHit(looks, func(h *hostSeen) bool { edit(h); return false })
}

// lookedHit is such a row where edit says whether DNS answered what the holder says.
func lookedHit(looks int, edit func(*hostSeen) bool) *hostSeen {
	var last *hostSeen
	for i := range looks {
		next := &hostSeen{looked: testNow.Add(time.Duration(i) * 10 * time.Minute / time.Duration(max(looks-1, 1)))}
		hit := edit(next)
		next.after(last, hit)
		last = next
	}
	return last
}

func TestTheLooksAtAPolicyHostOutliveItsPublication(t *testing.T) {
	m, pub := newMemory(testDomain), testPublication("evil", "p")
	m.about(&pub)
	m.host = looked(3, func(h *hostSeen) { h.addresses = atAddress.addresses })
	next := pub.DeepCopy()
	next.UID = "next"
	m.about(nil)
	m.about(next)
	tm := publication.DefaultTimings()
	if m.host.proven(tm) == nil {
		t.Error("whoever makes a publication anew begins the looks anew")
	}
	if old := m.host.lately(m.host.looked.Add(2*tm.LookInterval+time.Second), tm); old != nil {
		t.Errorf("what was seen hours ago still counts: %v", old)
	}
	if m.host.lately(m.host.looked.Add(2*tm.LookInterval), tm) == nil {
		t.Error("it is forgotten between two looks")
	}
}

func TestAHoldersNameThatFlipsProvesNothingForOrAgainstIt(t *testing.T) {
	tm, look := publication.DefaultTimings(), 0
	flips := func(h *hostSeen) bool {
		look++
		h.addresses, h.holder = atAddress.addresses, "evil"
		if look%2 == 0 {
			h.names = []string{"x.evil.example"}
		}
		return look%2 == 0
	}
	got := lookedHit(7, flips).proven(tm)
	if got == nil || got.off != "" || len(got.names) != 0 {
		t.Errorf("a name that flips: got %+v", got)
	}
	look = 0
	failed := func(h *hostSeen) bool {
		look++
		h.addresses, h.holder = atAddress.addresses, "mail"
		return look != 7
	}
	if got := lookedHit(7, failed).proven(tm); got == nil || got.off != "" {
		t.Errorf("one look at an honest holder's name failed: got %+v", got)
	}
	away := func(h *hostSeen) { h.addresses, h.holder = atAddress.addresses, "evil" }
	if got := looked(3, away).proven(tm); got == nil || got.off != "evil" {
		t.Errorf("DNS is proven to point elsewhere: got %+v", got)
	}
	look = 0
	handed := func(h *hostSeen) {
		if look++; look < 7 {
			h.holder = "evil"
		} else {
			h.holder = "mail"
		}
		h.addresses = atAddress.addresses
	}
	if got := looked(7, handed).proven(tm); got == nil || got.off != "" {
		t.Errorf("what was seen of the holder before is held against the next one: got %+v", got)
	}
	moves := func(h *hostSeen) {
		look++
		h.addresses = []netip.Addr{netip.AddrFrom4([4]byte{192, 0, 2, byte(look)})}
	}
	if got := looked(7, moves).proven(tm); got != nil {
		t.Errorf("addresses that change prove %+v", got)
	}
}

func TestAnAliasCountsOnceLooksInARowHaveAgreedOnIt(t *testing.T) {
	look := 0
	last := looked(7, func(h *hostSeen) {
		look++
		h.addresses, h.alias = atAddress.addresses, "LB.example.net"
		if look == 6 {
			h.alias = "x.evil.example"
		}
	})
	if got := last.proven(publication.DefaultTimings()); got == nil || len(got.names) != 0 {
		t.Errorf("got %+v", got)
	}
	steady := looked(3, func(h *hostSeen) { h.addresses, h.alias = atAddress.addresses, "lb.example.net" })
	if got := steady.proven(publication.DefaultTimings()); got == nil || !got.at([]string{"LB.example.net"}) {
		t.Errorf("got %+v", got)
	}
}

// pointingWorld answers one address for every name.
type pointingWorld struct{ World }

func (pointingWorld) LookupHost(context.Context, string) sender.Host {
	return sender.Host{Status: sender.Found, Addresses: atAddress.addresses}
}

func TestTheAddressOfASharedIngressTakesNoDomainAway(t *testing.T) {
	for address, lost := range map[string]bool{"192.0.2.1": false, "192.0.2.9": true} {
		rival, pub := testPolicy("evil", "p", 1), testPublication("mail", "p")
		own := testPolicy("mail", "p", 9)
		rival.Spec.DNS.Targets = []string{"192.0.2.1"}
		clock := clocktesting.NewFakeClock(testNow)
		r := &domainReconciler{}
		r.Clock, r.Timings, r.World, r.Config = clock, publication.DefaultTimings(), pointingWorld{}, config.Default()
		s := &scope{domain: testDomain, memory: newMemory(testDomain)}
		s.ingress = anIngress(resources.IngressNames(testDomain)[0], "nginx", address, testNow)
		s.settings = resources.Settings{Exposure: v1alpha1.ExposureIngress, Provider: v1alpha1.DNSManual}
		for range 12 {
			s.claims = judge([]v1alpha1.MTASTSPolicy{own, rival}, []v1alpha1.MTASTSPublication{pub},
				grounds{cfg: r.Config, host: s.memory.host.proven(r.Timings)})
			r.observeHost(t.Context(), s)
			clock.Step(2 * time.Minute)
		}
		if (s.heir != nil) != lost || (len(s.contest) > 0) == lost {
			t.Errorf("with the holder's Ingress at %s the heir is %v, contested by %v", address, s.heir, s.contest)
		}
	}
}

func TestTheLooksAtAPolicyHostOutliveTheEndOfAPublicationThatOthersClaim(t *testing.T) {
	rival, pub := testPolicy("mail", "p", 1), testPublication("evil", "p")
	for claimed, refused := range map[bool]map[*v1alpha1.MTASTSPolicy]refusal{true: {&rival: {}}, false: nil} {
		api := fake.NewClientBuilder().WithScheme(NewScheme()).WithObjects(&pub).Build()
		var cached v1alpha1.MTASTSPublication
		if err := api.Get(t.Context(), client.ObjectKeyFromObject(&pub), &cached); err != nil {
			t.Fatal(err)
		}
		r := &domainReconciler{
			client: api, live: api, children: children{client: api, live: api}, memories: newMemories(),
			mxHosts: newMXHosts(publication.DefaultTimings()), bounds: func(now time.Time) (time.Time, time.Time) { return now, now },
		}
		r.formers, r.Clock, r.Timings = &formersStore{formers: newFormers()}, clocktesting.NewFakeClock(testNow), publication.DefaultTimings()
		s := &scope{domain: testDomain, memory: r.memories.of(testDomain)}
		s.publication, s.refused = &cached, refused
		s.memory.host = looked(3, func(h *hostSeen) { h.addresses = atAddress.addresses })
		if err := r.end(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		kept := r.memories.byDomain[testDomain]
		if (kept != nil && kept.host == s.memory.host) != claimed || (kept != nil) != claimed {
			t.Errorf("claimed %v: %+v is remembered", claimed, kept)
		}
		if last := r.formers.of(testDomain, testNow); last != nil {
			t.Errorf("%s is remembered, which announced nothing", last.namespace)
		}
	}
}

func TestATieThatWasToldStaysToldUntilDNSHasDecided(t *testing.T) {
	squatter, owner, pub := testPolicy("evil", "p", 90), testPolicy("mail", "p", 1), testPublication("evil", "p")
	owner.Spec.DNS.Targets, pub.Spec.Delivery.DNS.Targets = []string{"192.0.2.1"}, []string{"192.0.2.1"}
	row := looked(3, func(h *hostSeen) { h.addresses = atAddress.addresses })
	for _, step := range []struct {
		name string
		host *hostSeen
		told bool
	}{
		{"nothing was looked at", nil, false},
		{"DNS answers what both say", row, true},
		{"the operator has begun anew", nil, true},
		{"DNS answers what neither says", looked(3, func(h *hostSeen) { h.addresses = []netip.Addr{netip.MustParseAddr("192.0.2.7")} }), false},
	} {
		tm := publication.DefaultTimings()
		c := judge([]v1alpha1.MTASTSPolicy{squatter, owner}, []v1alpha1.MTASTSPublication{pub}, grounds{cfg: config.Default(), host: step.host.proven(tm)})
		s := &scope{domain: testDomain, claims: c, memory: newMemory(testDomain)}
		s.memory.host = step.host
		squatter.Status = s.status(&optionalKinds{}, metav1.NewTime(testNow), tm)
		ready := apimeta.FindStatusCondition(squatter.Status.Conditions, v1alpha1.ConditionReady)
		if told := strings.Contains(ready.Message, "undecided"); told != step.told {
			t.Errorf("%s: the status says %q", step.name, ready.Message)
		}
	}
}
