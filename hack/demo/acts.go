package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
	"github.com/mta-sts-operator/mta-sts-operator/internal/tlsrpt"
)

// How long kubelets take to put a changed ConfigMap into a pod: one is fast, the others are not.
const (
	fastest = 500 * time.Millisecond
	slowest = 2 * time.Second
)

// drama is the story of one policy.
type drama struct {
	*watcher
}

func newDrama(s *stage, out *printer) *drama {
	o := &order{stage: s, out: out, served: map[string]map[string]time.Time{}, announced: map[string]time.Time{}}
	return &drama{&watcher{stage: s, out: out, order: o, told: map[string]string{}}}
}

func (d *drama) acts(ctx context.Context) error {
	for _, act := range []func(context.Context) error{d.publish, d.enforce, d.show} {
		if err := act(ctx); err != nil {
			return err
		}
	}
	return nil
}

// publish applies the sample and waits until it is in force.
func (d *drama) publish(ctx context.Context) error {
	text, err := os.ReadFile(sample)
	if err != nil {
		return err
	}
	policy := &v1alpha1.MTASTSPolicy{}
	if err := yaml.UnmarshalStrict(text, policy); err != nil {
		return fmt.Errorf("reading %s: %w", sample, err)
	}
	policy.Namespace = namespace
	d.name, d.order.domain = client.ObjectKeyFromObject(policy), policy.Spec.Domain
	d.world.DNS.SetMX(policy.Spec.Domain, "mx1.example.com", "in.mail.example.net")

	d.out.begin("1. A first policy: kubectl apply -n " + namespace + " -f " + sample)
	d.out.block(dim, string(text))
	d.out.say("")
	// The API server compiles the rules of a kind when it is first used; that is not the operator's time.
	if err := d.api.Create(ctx, policy.DeepCopy(), client.DryRunAll); err != nil {
		return fmt.Errorf("trying the policy: %w", err)
	}
	d.out.restart()
	if err := d.api.Create(ctx, policy); err != nil {
		return fmt.Errorf("applying the policy: %w", err)
	}
	if err := d.comesIntoForce(ctx); err != nil {
		return err
	}
	return d.asSender(ctx)
}

// enforce edits the policy while kubelets take their time, each its own.
func (d *drama) enforce(ctx context.Context) error {
	if err := d.pace(ctx); err != nil {
		return err
	}
	d.out.begin("2. From testing to enforce, with one more MX host: kubectl edit -n " + namespace + " mtasts " + d.name.Name)
	d.out.block(green, "+ mode: enforce\n+ mx: mx2.example.com")
	d.out.say("\n  One kubelet takes half a second to refresh its pod, the other two seconds.\n")
	d.out.restart()
	policy := d.policy.DeepCopy()
	policy.Spec.Mode = v1alpha1.ModeEnforce
	policy.Spec.MX = append(policy.Spec.MX, "mx2.example.com")
	if err := d.api.Patch(ctx, policy, client.MergeFrom(&d.policy)); err != nil {
		return fmt.Errorf("editing the policy: %w", err)
	}
	if err := d.comesIntoForce(ctx); err != nil {
		return err
	}
	return d.asSender(ctx)
}

// pace gives every pod's kubelet a pace of its own.
func (d *drama) pace(ctx context.Context) error {
	pods, err := d.world.Pods(ctx, namespace)
	if err != nil {
		return err
	}
	lag := fastest
	for i := range pods {
		if err := d.world.Kubelet.SetApplyLag(client.ObjectKeyFromObject(&pods[i]), lag); err != nil {
			return err
		}
		lag = slowest
	}
	return nil
}

// comesIntoForce waits for the policy, and for the verdict on the order in which it came.
func (d *drama) comesIntoForce(ctx context.Context) error {
	if err := d.until(ctx, patience, d.inForce); err != nil {
		return err
	}
	verdict, err := d.order.verdict(d.policy.Status.Policy.ID)
	if err != nil {
		return err
	}
	d.out.say("\n  " + d.out.paint(green, "✓ body before id: ") + verdict)
	return nil
}

// asSender shows what a mail server reads that wants to send to the domain (RFC 8461 §3).
func (d *drama) asSender(ctx context.Context) error {
	domain := d.order.domain
	d.out.say("\n  What a strict sender sees:\n")
	for _, name := range []string{mtasts.RecordName(domain), tlsrpt.RecordName(domain)} {
		txt := d.sender.LookupTXT(ctx, name)
		d.out.block(plain, fmt.Sprintf("%-23s TXT  %s", name, strings.Join(txt.Records, " | ")+txt.Message))
	}
	look := d.sender.LookPolicy(ctx, domain, nil)
	if look.Seen == nil {
		return fmt.Errorf("a sender gets no policy from %s: %s", mtasts.PolicyURL(domain), look.Message)
	}
	d.out.block(plain, "GET "+mtasts.PolicyURL(domain))
	d.out.block(plain, fmt.Sprintf("200, text/plain, trusted certificate until %s", look.NotAfter.UTC().Format("2 January 2006, 15:04 MST")))
	d.out.block(green, "  "+strings.ReplaceAll(strings.TrimSpace(look.Seen.Body), "\n", "\n  "))
	return nil
}

// show prints what kubectl has to say in the end.
func (d *drama) show(ctx context.Context) error {
	d.out.begin("3. What is there now")
	for i, args := range [][]string{
		{"get", "mtasts"},
		{"get", "mtastspub", "-o", "wide"},
		{"get", "deployment,ingress,certificate,dnsendpoint,configmap", "-l", v1alpha1.ManagedByLabel + "=" + v1alpha1.ManagedBy, "-o", "name"},
	} {
		answer, err := d.plane.Kubectl(ctx, append([]string{"-n", namespace}, args...)...)
		if err != nil {
			return err
		}
		if i > 0 {
			d.out.say("")
		}
		command := "$ kubectl -n " + namespace + " " + strings.Join(args, " ")
		d.out.block(cyan, strings.Replace(command, " -l ", " \\\n    -l ", 1))
		d.out.block(plain, answer)
	}
	return nil
}
