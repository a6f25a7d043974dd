package main

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	cmv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	cmmeta "github.com/cert-manager/cert-manager/pkg/apis/meta/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
)

// glance is the time between two looks at the cluster.
const glance = 20 * time.Millisecond

// fact is something worth a line when it changes.
type fact struct {
	key     string // what the fact is about, for comparing
	value   string // what is compared; "" is not told
	colour  colour
	subject string
	text    string
}

// watcher tells what changes in the cluster.
type watcher struct {
	*stage

	out   *printer
	order *order
	name  client.ObjectKey // of the policy
	told  map[string]string

	policy      v1alpha1.MTASTSPolicy
	publication v1alpha1.MTASTSPublication
}

// until tells what changes until done says so; an error that is not ctx's says what is waited for.
func (w *watcher) until(ctx context.Context, limit time.Duration, done func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.NewTicker(glance)
	defer tick.Stop()
	for {
		// Not ctx: a request that is cut off half-way makes client-go log an error.
		facts, err := w.look(context.WithoutCancel(ctx))
		if err == nil {
			w.tell(facts)
			if done() {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return w.tooLate(ctx.Err(), err)
		case <-tick.C:
		}
	}
}

// tooLate says what the policy waits for, and what the operator had to say.
func (w *watcher) tooLate(cause, failure error) error {
	if cause == context.Canceled { //nolint:errorlint // an error of ctx.Err is never wrapped
		return cause
	}
	waits := "the API server gives no answer"
	if failure == nil {
		waits = "it is " + string(w.policy.Status.State)
		for _, c := range w.policy.Status.Conditions {
			waits += fmt.Sprintf("\n  %s=%s (%s) %s", c.Type, c.Status, c.Reason, c.Message)
		}
	}
	return withHint(fmt.Errorf("the policy did not come into force in time: %s", waits),
		"The last of what the operator logged:\n"+w.logs.last(10)+
			"\n\nIf this machine was busy, run the demo again. Otherwise please report it, with everything above.")
}

// tell prints the facts that are new.
func (w *watcher) tell(facts []fact) {
	for _, f := range facts {
		if f.value == "" || w.told[f.key] == f.value {
			continue
		}
		w.told[f.key] = f.value
		w.out.tell(f.colour, f.subject, f.text)
	}
}

// look collects all facts, in the order in which things follow each other.
func (w *watcher) look(ctx context.Context) ([]fact, error) {
	w.policy, w.publication = v1alpha1.MTASTSPolicy{}, v1alpha1.MTASTSPublication{}
	var ingress networkingv1.Ingress
	var certificate cmv1.Certificate
	host := mtasts.PolicyHost(w.order.domain)
	err := errors.Join(
		w.get(ctx, w.name.Name, &w.policy), w.get(ctx, w.order.domain, &w.publication),
		w.get(ctx, host, &ingress), w.get(ctx, host, &certificate),
	)
	if err != nil {
		return nil, err
	}
	pods, err := w.pods(ctx)
	if err != nil {
		return nil, err
	}
	return slices.Concat(w.recorded(), pods, exposed(&ingress), issued(&certificate), w.conditions(), w.state()), nil
}

// get reads an object, and leaves it zero if there is none.
func (w *watcher) get(ctx context.Context, name string, into client.Object) error {
	return client.IgnoreNotFound(w.api.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, into))
}

// recorded is the instance that the publication holds.
func (w *watcher) recorded() []fact {
	current := w.publication.Spec.Current
	if current == nil {
		return nil
	}
	return []fact{{
		key: "publication", value: current.ID, colour: cyan, subject: "MTASTSPublication",
		text: fmt.Sprintf("records mode %s under id %s", current.Mode, current.ID),
	}}
}

// pods is what every pod serves, and what DNS says meanwhile.
func (w *watcher) pods(ctx context.Context) ([]fact, error) {
	pods, err := w.world.Pods(ctx, namespace)
	if err != nil {
		return nil, err
	}
	var facts []fact
	for i := range pods {
		id := w.order.ask(ctx, &pods[i])
		facts = append(facts, fact{
			key: pods[i].Name, value: id, colour: green, subject: shortPod(pods[i].Name),
			text: "serves id " + shortID(id) + "; " + w.announced(id),
		})
	}
	return facts, nil
}

// announced is what DNS says while a pod serves id.
func (w *watcher) announced(id string) string {
	record, err := mtasts.FindRecord(w.world.DNS.Records(mtasts.RecordName(w.order.domain), "TXT"))
	switch {
	case err != nil:
		return "DNS announces none yet"
	case record.ID == id:
		return "so does DNS"
	}
	return "DNS still announces id " + shortID(record.ID)
}

// shortPod and shortID are what tells pods, and ids, from each other.
func shortPod(pod string) string { return "pod …" + pod[max(0, len(pod)-6):] }
func shortID(id string) string   { return "…" + id[max(0, len(id)-8):] }

// long matches the ids and pod names in a message.
var long = regexp.MustCompile(`id [0-9]{14}[0-9a-f]{8}|pod mta-sts-server-[-0-9a-z]+`)

// shorten shortens them, so that messages fit into a line.
func shorten(message string) string {
	return long.ReplaceAllStringFunc(message, func(s string) string {
		if id, ok := strings.CutPrefix(s, "id "); ok {
			return "id " + shortID(id)
		}
		return shortPod(s)
	})
}

func exposed(ingress *networkingv1.Ingress) []fact {
	facts := make([]fact, 0, len(ingress.Status.LoadBalancer.Ingress))
	for _, lb := range ingress.Status.LoadBalancer.Ingress {
		facts = append(facts, fact{key: "ingress", value: lb.IP, colour: cyan, subject: "Ingress", text: ingress.Name + " has address " + lb.IP})
	}
	return facts
}

func issued(certificate *cmv1.Certificate) []fact {
	for _, c := range certificate.Status.Conditions {
		if c.Type == cmv1.CertificateConditionReady && c.Status == cmmeta.ConditionTrue {
			return []fact{{key: "certificate", value: "ready", colour: cyan, subject: "Certificate", text: "issued for " + certificate.Name}}
		}
	}
	return nil
}

// conditions are those of the policy that are not told by other facts.
func (w *watcher) conditions() []fact {
	var facts []fact
	for _, kind := range []string{
		v1alpha1.ConditionMXAligned, v1alpha1.ConditionPolicyServed, v1alpha1.ConditionPolicyReachable, v1alpha1.ConditionStalled,
	} {
		c := apimeta.FindStatusCondition(w.policy.Status.Conditions, kind)
		if c == nil || c.Status == metav1.ConditionUnknown {
			continue
		}
		facts = append(facts, fact{
			key: kind, value: string(c.Status) + c.Message, colour: dim, subject: kind,
			text: fmt.Sprintf("%s: %s", c.Status, shorten(c.Message)),
		})
	}
	return facts
}

func (w *watcher) state() []fact {
	state := w.policy.Status.State
	if w.policy.Name == "" {
		state = w.publication.Status.State
	}
	return []fact{{key: "state", value: string(state), colour: bold, subject: "state", text: string(state)}}
}

// inForce says whether the policy is Ready as it is written now.
func (w *watcher) inForce() bool {
	ready := apimeta.FindStatusCondition(w.policy.Status.Conditions, v1alpha1.ConditionReady)
	return ready != nil && ready.Status == metav1.ConditionTrue &&
		ready.ObservedGeneration == w.policy.Generation && w.policy.Status.State == v1alpha1.StateInForce
}
