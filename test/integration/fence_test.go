package integration

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	externaldnsv1alpha1 "sigs.k8s.io/external-dns/apis/v1alpha1"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
	"github.com/mta-sts-operator/mta-sts-operator/internal/policyserver"
	"github.com/mta-sts-operator/mta-sts-operator/test/harness"
	"github.com/mta-sts-operator/mta-sts-operator/test/operator"
)

// value is what the shard holds for the story's host; "" if nothing.
func (s *story) value() string {
	var shard corev1.ConfigMap
	if err := s.api.Get(s.ctx, client.ObjectKey{Namespace: s.namespace, Name: "mta-sts-policies"}, &shard); err != nil {
		return ""
	}
	return shard.Data[s.host()]
}

// editShard changes the shard by hand.
func (s *story) editShard(edit func(data map[string]string)) {
	s.t.Helper()
	s.Eventually(func() error {
		var shard corev1.ConfigMap
		if err := s.api.Get(s.ctx, client.ObjectKey{Namespace: s.namespace, Name: "mta-sts-policies"}, &shard); err != nil {
			return err
		}
		edit(shard.Data)
		return s.api.Update(s.ctx, &shard)
	}).Should(Succeed())
}

// editTXT changes the targets of the id's DNSEndpoint by hand.
func (s *story) editTXT(records ...string) {
	s.t.Helper()
	s.Eventually(func() error {
		e := s.endpoint("mta-sts-id." + s.domain)
		e.Spec.Endpoints[0].Targets = nil
		for _, record := range records {
			e.Spec.Endpoints[0].Targets = append(e.Spec.Endpoints[0].Targets, `"`+record+`"`)
		}
		return s.api.Update(s.ctx, e)
	}).Should(Succeed())
}

// target is what the id's DNSEndpoint says.
func (s *story) target() []string {
	var e externaldnsv1alpha1.DNSEndpoint
	if err := s.api.Get(s.ctx, client.ObjectKey{Namespace: s.namespace, Name: "mta-sts-id." + s.domain}, &e); err != nil {
		return []string{err.Error()}
	}
	return e.Spec.Endpoints[0].Targets
}

// isInForce waits until an id is served, announced and in force, and everything says so.
func (s *story) isInForce(p *v1alpha1.MTASTSPolicy, want func(id string) bool) (id string) {
	s.t.Helper()
	s.Eventually(func(g Gomega) {
		g.Expect(s.readiness(p)).To(Equal("InForce"))
		id = p.Status.Policy.ID
		g.Expect(want(id)).To(BeTrue(), id)
		g.Expect(s.target()).To(Equal([]string{`"` + mtasts.Record{ID: id}.String() + `"`}))
		g.Expect(s.txt()).To(Equal(announces(id)))
		g.Expect(s.value()).To(Equal(policyserver.EncodeEntry(mtasts.ID(id), p.Status.Policy.Body)))
		for _, a := range s.askEach(s.ctx, s.namespace, s.domain) {
			g.Expect(a).To(Equal(answer{pod: a.pod, id: id, body: p.Status.Policy.Body}))
		}
	}).Should(Succeed())
	return id
}

// mint is an id of ours for the body, from then.
func mint(then time.Time, body string) mtasts.ID {
	id, _ := mtasts.MintID(then, "", body)
	return id
}

func above(floor string) func(string) bool {
	return func(id string) bool { return mtasts.ID(id).Compare(mtasts.ID(floor)) > 0 }
}

func exactly(want string) func(string) bool { return func(id string) bool { return id == want } }

// keepFetching fetches the policy as a sender, again and again, until the result is asked for: how
// often it got which body, or which error.
func (s *story) keepFetching() (stop func() map[string]int) {
	ctx, cancel := context.WithCancel(s.ctx)
	seen := map[string]int{}
	var fetching sync.WaitGroup
	fetching.Go(func() {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for ctx.Err() == nil {
			response, err := s.Fetch(context.WithoutCancel(ctx), s.host())
			if err != nil {
				seen[err.Error()]++
			} else {
				seen[response.Body]++
			}
			<-tick.C
		}
	})
	return func() map[string]int {
		cancel()
		fetching.Wait()
		return seen
	}
}

// fenced is a policy in force under its second id, and everything a story about hand edits needs.
type fenced struct {
	*story

	order         *order
	policy        *v1alpha1.MTASTSPolicy
	first, second string
	firstBody     string
}

func inForceTwice(t *testing.T) *fenced {
	t.Helper()
	s := tell(t)
	f := &fenced{story: s, order: watchOrder(s), policy: s.policy()}
	s.create(f.policy)
	f.first = s.inForce(f.policy)
	f.firstBody = s.body()
	s.edit(f.policy, withMaxAge(86400))
	f.second = s.inForce(f.policy)
	return f
}

func TestAShardEditedByHandIsHealedWhileThePolicyIsServed(t *testing.T) {
	f := inForceTwice(t)
	body := f.body()
	host := f.host()
	forged := func(id string, body string) func(map[string]string) {
		return func(data map[string]string) {
			data[host] = policyserver.EncodeEntry(mtasts.ID(id), body)
			f.order.forgive(data[host])
		}
	}
	later := string(mint(time.Now().Add(time.Hour), "other than the body"))
	for _, tt := range []struct {
		name string
		edit func(data map[string]string)
	}{
		{"an older id", forged(f.first, f.firstBody)},
		{"the same id with another body", forged(f.second, f.firstBody)},
		{"a later id with a body that it was not minted for", forged(later, f.firstBody)},
		{"garbage", func(data map[string]string) { data[host] = "garbage"; f.order.forgive("garbage") }},
		{"nothing after the id", func(data map[string]string) { data[host] = f.second; f.order.forgive(f.second) }},
		{"no marker", func(data map[string]string) { delete(data, policyserver.MarkerKey(0)) }},
		{"a host that nobody publishes", func(data map[string]string) { data["mta-sts.other.example"] = data[host] }},
	} {
		fetched := f.keepFetching()
		f.editShard(tt.edit)
		f.Eventually(f.value).Should(Equal(policyserver.EncodeEntry(mtasts.ID(f.second), body)), tt.name)
		f.isInForce(f.policy, exactly(f.second))
		if seen := fetched(); len(seen) != 1 || seen[body] == 0 {
			t.Errorf("%s: senders got %v", tt.name, seen)
		}
	}
	f.Eventually(func(g Gomega) {
		var shard corev1.ConfigMap
		g.Expect(f.api.Get(f.ctx, client.ObjectKey{Namespace: f.namespace, Name: "mta-sts-policies"}, &shard)).To(Succeed())
		g.Expect(shard.Data).To(HaveLen(2))
		g.Expect(shard.Data).To(HaveKeyWithValue(policyserver.MarkerKey(0), policyserver.MarkerValue))
	}).Should(Succeed())
}

// TestAKeyOrShardRemovedByHandComesBack: kubelets look once a minute, and find it healed.
func TestAKeyOrShardRemovedByHandComesBack(t *testing.T) {
	f := inForceTwice(t)
	body := f.body()
	for _, pod := range f.readyPods() {
		f.Expect(f.Kubelet.SetSyncPeriod(client.ObjectKeyFromObject(pod), time.Hour)).To(Succeed())
	}
	for name, remove := range map[string]func(){
		"the key": func() { f.editShard(func(data map[string]string) { delete(data, f.host()) }) },
		"the shard": func() {
			shard := &corev1.ConfigMap{}
			shard.Namespace, shard.Name = f.namespace, "mta-sts-policies"
			f.Expect(f.api.Delete(f.ctx, shard)).To(Succeed())
		},
	} {
		fetched := f.keepFetching()
		remove()
		f.Eventually(f.value).Should(Equal(policyserver.EncodeEntry(mtasts.ID(f.second), body)), name)
		f.isInForce(f.policy, exactly(f.second))
		if seen := fetched(); len(seen) != 1 || seen[body] == 0 {
			t.Errorf("%s: senders got %v", name, seen)
		}
	}
}

// TestAGreaterIDInAShardIsOvertaken: somebody restored a shard from another life of the domain. Servers
// follow ids, so the only way on is above it; what they served meanwhile goes into the ledger.
func TestAGreaterIDInAShardIsOvertaken(t *testing.T) {
	f := inForceTwice(t)
	other := mtasts.Policy{Mode: mtasts.ModeEnforce, MX: []string{"mx1." + f.domain, "mx9." + f.domain}, MaxAgeSeconds: 1209600}
	greater := mint(time.Now().Add(time.Hour), other.String())
	value := policyserver.EncodeEntry(greater, other.String())
	f.order.forgive(value)
	body := f.body()
	fetched := f.keepFetching()
	f.editShard(func(data map[string]string) { data[f.host()] = value })

	f.isInForce(f.policy, above(string(greater)))
	for got := range fetched() {
		f.Expect(got).To(BeElementOf(body, other.String()), "senders got something else")
	}
	f.Expect(f.ledgerIDs()).To(ContainElement(string(greater)))
}

func (s *story) ledgerIDs() []string {
	var out []string
	for _, e := range s.publication().Spec.Ledger {
		out = append(out, e.ID)
	}
	return out
}

func TestATXTRecordEditedByHandIsHealed(t *testing.T) {
	f := inForceTwice(t)
	body := f.body()
	older, current := announces(f.first)[0], announces(f.second)[0]
	f.order.forgive(older, "v=spf1 -all", "")
	for name, edit := range map[string]func(){
		"an older id": func() { f.editTXT(older) },
		"two targets": func() { f.editTXT(older, current) },
		"no id":       func() { f.editTXT("v=spf1 -all") },
		"deleted":     func() { f.Expect(f.api.Delete(f.ctx, f.endpoint("mta-sts-id."+f.domain))).To(Succeed()) },
	} {
		fetched := f.keepFetching()
		edit()
		f.Eventually(f.target).Should(Equal([]string{`"` + current + `"`}), name)
		f.isInForce(f.policy, exactly(f.second))
		if seen := fetched(); len(seen) != 1 || seen[body] == 0 {
			t.Errorf("%s: senders got %v", name, seen)
		}
	}
}

func TestAGreaterIDInATXTRecordIsOvertaken(t *testing.T) {
	f := inForceTwice(t)
	greater := string(mint(time.Now().Add(time.Hour), "whatever"))
	record := announces(greater)[0]
	f.order.forgive(record)
	fetched := f.keepFetching()
	f.editTXT(record)

	id := f.isInForce(f.policy, above(greater))
	f.Expect(fetched()).To(HaveLen(1))
	f.Expect(f.publication().Spec.LastID).To(Equal(id))
}

// TestAnIDFromTheFarFutureInDNSDragsNothingAlong: nobody can mint above the end of time, so whoever
// plants such an id in DNS is a foreign publisher, and no more.
func TestAnIDFromTheFarFutureInDNSDragsNothingAlong(t *testing.T) {
	s := setScene(t)
	s.timings.LookInterval = 100 * time.Millisecond
	o := watchOrder(s)
	s.startOperator()
	p := s.policy()
	s.create(p)
	id := s.inForce(p)
	planted := announces("29991231235959aaaaaaaa")
	o.forgive(planted...)
	s.ExternalDNS.SetMode(harness.Off)
	s.DNS.SetTXT(mtasts.RecordName(s.domain), planted...)

	s.Eventually(s.condition(p, v1alpha1.ConditionDNSPublished)).Should(HavePrefix("False/ForeignPublisher: "))
	s.Expect(s.publication().Spec.LastID).To(Equal(id))
	o.end()
	s.DNS.SetTXT(mtasts.RecordName(s.domain), announces(id)...)
	s.isInForce(p, exactly(id))
}

// TestAStaleOperatorPutsNothingBack: the caches of one operator stopped at A when another one has
// brought B into force. Whatever the first one tries, B stays.
func TestAStaleOperatorPutsNothingBack(t *testing.T) {
	for _, tt := range []struct {
		name   string
		frozen []string
	}{
		{"every cache is behind", nil},
		{"only policies and publications are behind", []string{"mtasts.dev"}},
		{"only the publications are behind", []string{"mtastspublications"}},
		{"the publications and DNSEndpoints are behind", []string{"mtastspublications", "dnsendpoints"}},
		{"only the shards are behind", []string{"configmaps"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := setScene(t)
			s.timings.LookInterval = 200 * time.Millisecond // so that it has a reason to try
			watchOrder(s)
			s.startOperator()
			p := s.policy()
			s.create(p)
			a := s.inForce(p)
			s.link.Freeze(tt.frozen...)
			asked := s.link.Requests()
			second := s.anotherOperator(nil)
			defer func() { s.Expect(second.Stop()).To(Succeed()) }()
			s.edit(p, withMaxAge(86400))
			b := s.isInForce(p, above(a))

			s.Eventually(s.link.Requests).Should(BeNumerically(">", asked+5), "the stale operator does nothing: this proves nothing")
			s.Consistently(s.txt, 700*time.Millisecond).Should(Equal(announces(b)))
			s.link.Thaw()
			s.isInForce(p, func(id string) bool { return !above(id)(b) })
		})
	}
}

// is matches writes by method and path.
func is(method, path string) func(operator.Write) bool {
	return func(w operator.Write) bool { return w.Method == method && strings.Contains(w.Path, path) }
}

// TestADeposedOperatorResumesInTheMiddleOfAPass: it was paused with a write in its hand, which goes off
// when another operator is two policies further on.
func TestADeposedOperatorResumesInTheMiddleOfAPass(t *testing.T) {
	for _, tt := range []struct{ name, method, path string }{
		{"recording the new instance, or that it is announced", http.MethodPatch, "/mtastspublications/"},
		{"writing the shard", http.MethodPut, "/configmaps/"},
		{"writing the TXT record", http.MethodPut, "/dnsendpoints/"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := tell(t)
			watchOrder(s)
			p := s.policy()
			s.create(p)
			a := s.inForce(p)
			held, release := s.link.Hold(is(tt.method, tt.path))
			s.edit(p, withMaxAge(86400))
			s.Eventually(held).Should(BeClosed())
			s.link.Freeze()
			second := s.anotherOperator(nil)
			defer func() { s.Expect(second.Stop()).To(Succeed()) }()
			b := s.isInForce(p, above(a))
			s.edit(p, withMaxAge(86401))
			c := s.isInForce(p, above(b))

			release()
			s.Consistently(func(g Gomega) {
				g.Expect(s.txt()).To(Equal(announces(c)))
				g.Expect(s.value()).To(HavePrefix(c + "\n"))
			}, 700*time.Millisecond).Should(Succeed())
			s.link.Thaw()
			s.isInForce(p, exactly(c))
		})
	}
}

// TestADeposedOperatorResumesWithTheFirstTXTInItsHand: there is nothing yet that its write could
// collide with but the object itself.
func TestADeposedOperatorResumesWithTheFirstTXTInItsHand(t *testing.T) {
	s := tell(t)
	watchOrder(s)
	held, release := s.link.Hold(func(w operator.Write) bool {
		if !is(http.MethodPost, "/dnsendpoints")(w) {
			return false
		}
		pub := s.publication()
		return pub != nil && pub.Spec.AnnouncedID != ""
	})
	p := s.policy()
	s.create(p)
	s.Eventually(held).Should(BeClosed())
	s.link.Freeze()
	second := s.anotherOperator(nil)
	defer func() { s.Expect(second.Stop()).To(Succeed()) }()
	a := s.isInForce(p, above(""))
	s.edit(p, withMaxAge(86400))
	b := s.isInForce(p, above(a))

	release()
	s.unchanged(b)
	s.link.Thaw()
	s.isInForce(p, exactly(b))
}

// eventReasons are the reasons of all events of the story's namespace.
func (s *story) eventReasons() []string { return s.eventReasonsIn(s.namespace) }

func (s *story) eventReasonsIn(namespace string) []string {
	var list eventsv1.EventList
	s.Expect(s.api.List(s.ctx, &list, client.InNamespace(namespace))).To(Succeed())
	var out []string
	for _, e := range list.Items {
		out = append(out, e.Reason)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// notesIn are the notes of all events of a namespace.
func (s *story) notesIn(namespace string) []string {
	var list eventsv1.EventList
	s.Expect(s.api.List(s.ctx, &list, client.InNamespace(namespace))).To(Succeed())
	var out []string
	for _, e := range list.Items {
		out = append(out, e.Note)
	}
	return out
}

// troubles are what can be wrong at the Ingress.
type trouble struct {
	name   string
	make   func(*story)
	repair func(*story)
	shows  string
}

func troubles() []trouble {
	serve := func(h http.HandlerFunc) func(*story) {
		return func(s *story) { s.Ingress.ServeRaw(s.host(), h) }
	}
	end := func(s *story) { s.Ingress.ServeRaw(s.host(), nil) }
	return []trouble{
		{"another policy", serve(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			_, _ = fmt.Fprint(w, "version: STSv1\nmode: enforce\nmx: *.elsewhere.example\nmax_age: 604800\n")
		}), end, "/WrongBody: "},
		{"a redirect", serve(func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://elsewhere.example/", http.StatusFound)
		}), end, "/BrokenAnswer: "},
		{"nobody", func(s *story) { s.Ingress.Down(true) }, func(s *story) { s.Ingress.Down(false) }, "/NoAnswer: "},
	}
}

func TestAFirstPolicyIsNotAnnouncedWhileItsURLAnswersSomethingElse(t *testing.T) {
	for _, trouble := range troubles() {
		t.Run(trouble.name, func(t *testing.T) {
			s := tell(t)
			watchOrder(s)
			trouble.make(s)
			p := s.policy()
			s.create(p)
			s.Eventually(s.condition(p, v1alpha1.ConditionPolicyReachable)).Should(ContainSubstring(trouble.shows))
			s.Consistently(s.txt, s.timings.UnverifiedDelay+500*time.Millisecond).Should(BeEmpty())
			trouble.repair(s)
			s.isInForce(p, above(""))
		})
	}
}

func TestALaterIDDoesNotWaitForeverForABrokenURL(t *testing.T) {
	for _, trouble := range troubles()[1:] {
		t.Run(trouble.name, func(t *testing.T) {
			s := tell(t)
			watchOrder(s)
			p := s.policy()
			s.create(p)
			a := s.inForce(p)
			trouble.make(s)
			began := time.Now()
			s.edit(p, withMaxAge(86400))
			s.Eventually(s.condition(p, v1alpha1.ConditionPolicyReachable)).Should(ContainSubstring(trouble.shows))
			s.Eventually(s.txt).ShouldNot(Equal(announces(a)))
			changes := s.DNS.History(mtasts.RecordName(s.domain))
			s.Expect(changes[len(changes)-1].Time).To(BeTemporally(">=", began.Add(s.timings.UnverifiedDelay)))
			s.Eventually(s.eventReasons).Should(ContainElement(v1alpha1.ReasonAnnouncedUnverified))
			trouble.repair(s)
			s.isInForce(p, above(a))
		})
	}
}

func TestALaterIDWaitsWhileItsURLAnswersAnotherPolicy(t *testing.T) {
	s := tell(t)
	watchOrder(s)
	p := s.policy()
	s.create(p)
	a := s.inForce(p)
	other := troubles()[0]
	other.make(s)
	s.edit(p, withMaxAge(86400))
	s.Eventually(s.condition(p, v1alpha1.ConditionPolicyReachable)).Should(ContainSubstring(other.shows))
	s.Consistently(s.txt, s.timings.UnverifiedDelay+time.Second).Should(Equal(announces(a)))
	other.repair(s)
	s.isInForce(p, above(a))
	s.Expect(s.eventReasons()).NotTo(ContainElement(v1alpha1.ReasonAnnouncedUnverified))
	s.Expect(s.ledgerMX()).To(ContainElement("*.elsewhere.example"), "senders may have paired it with the id that was visible")
}

func (s *story) ledgerMX() []string {
	var out []string
	for _, e := range s.ledger() {
		out = append(out, e.MX)
	}
	return out
}

func TestIDsRiseWhateverTheClockDoes(t *testing.T) {
	for name, step := range map[string]time.Duration{"two days back": -48 * time.Hour, "two days forward": 48 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			s := tell(t)
			watchOrder(s)
			p := s.policy()
			s.create(p)
			a := s.inForce(p)
			s.clock.Step(step)
			s.edit(p, withMaxAge(86400))
			b := s.isInForce(p, above(a))
			s.clock.Step(-step)
			s.edit(p, withMaxAge(86401))
			s.isInForce(p, above(b))
		})
	}
}
