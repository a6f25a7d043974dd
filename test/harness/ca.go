package harness

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	cmv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	cmmeta "github.com/cert-manager/cert-manager/pkg/apis/meta/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// defaultLifetime is how long certificates are valid without spec.duration.
const defaultLifetime = 90 * 24 * time.Hour

// CA plays cert-manager with an issuer that signs everything: it keeps a Secret
// with a valid certificate for every Certificate, renewed after two thirds of its
// lifetime. As with the real one, the Secret outlives the Certificate.
type CA struct {
	*Authority

	client client.Client
	clock  clock.PassiveClock

	mu       sync.Mutex
	delay    time.Duration
	lifetime time.Duration
	failures map[string]failure   // by DNS name
	renewals map[string]bool      // by DNS name: forced
	issuing  map[types.UID]issued // what is under way
	leaves   map[types.NamespacedName]parsed
}

type failure struct{ reason, message string }

// issued is an issuance: when it began, for which generation, and whether it has
// ended with a Secret that the client may not show yet.
type issued struct {
	since      time.Time
	generation int64
	written    bool
}

// parsed is the certificate in one version of a Secret; nil if it holds none of
// this CA's.
type parsed struct {
	version string
	leaf    *x509.Certificate
}

// NewCA returns a CA with a root of its own that issues delay after it was asked.
func NewCA(c client.Client, clk clock.PassiveClock, delay time.Duration) (*CA, error) {
	authority, err := NewAuthority(clk)
	if err != nil {
		return nil, err
	}
	return &CA{
		Authority: authority, client: c, clock: clk, delay: delay, lifetime: defaultLifetime,
		failures: map[string]failure{}, renewals: map[string]bool{}, issuing: map[types.UID]issued{},
		leaves: map[types.NamespacedName]parsed{},
	}, nil
}

// SetDelay changes the time from asking to the certificate.
func (c *CA) SetDelay(delay time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.delay = delay
}

// SetLifetime changes how long certificates without spec.duration are valid from
// now on; it does not touch those that exist.
func (c *CA) SetLifetime(lifetime time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lifetime = lifetime
}

// Fail makes every issuance for a DNS name fail; the reason and message appear in
// the Ready condition. An empty reason ends it.
func (c *CA) Fail(dnsName, reason, message string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.failures, dnsName)
	if reason != "" {
		c.failures[dnsName] = failure{reason, message}
	}
}

// Renew makes the certificate for a DNS name be renewed in the next steps.
func (c *CA) Renew(dnsName string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.renewals[dnsName] = true
}

// Step issues what is due and writes the status of every Certificate.
func (c *CA) Step(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var list cmv1.CertificateList
	if err := c.client.List(ctx, &list); err != nil {
		return fmt.Errorf("listing Certificates: %w", err)
	}
	slices.SortFunc(list.Items, byKey)
	var errs []error
	for i := range list.Items {
		certificate := &list.Items[i]
		if certificate.DeletionTimestamp != nil {
			continue
		}
		if err := c.stepCertificate(ctx, certificate); err != nil {
			errs = append(errs, fmt.Errorf("certificate %s/%s: %w", certificate.Namespace, certificate.Name, err))
		}
	}
	return errors.Join(errs...)
}

func (c *CA) stepCertificate(ctx context.Context, certificate *cmv1.Certificate) error {
	next := certificate.DeepCopy()
	var secret corev1.Secret
	key := types.NamespacedName{Namespace: certificate.Namespace, Name: certificate.Spec.SecretName}
	if err := c.client.Get(ctx, key, &secret); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("reading Secret %s: %w", key.Name, err)
	}
	leaf := c.leafOf(&secret, certificate)
	if reason := c.needsIssuing(leaf, certificate); reason != "" {
		if err := c.issueWhenDue(ctx, next, reason); err != nil {
			return err
		}
	} else {
		delete(c.issuing, certificate.UID)
		next.Status.FailedIssuanceAttempts, next.Status.LastFailureTime = nil, nil
		removeCondition(next, cmv1.CertificateConditionIssuing)
		if next.Status.Revision == nil {
			next.Status.Revision = new(1)
		}
	}
	c.describe(next, leaf)
	if equality.Semantic.DeepEqual(certificate.Status, next.Status) {
		return nil
	}
	if err := c.client.Status().Patch(ctx, next, client.MergeFrom(certificate)); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("writing its status: %w", err)
	}
	return nil
}

// leafOf returns the certificate in a Secret if this CA has issued it for these
// names, else nil. Verifying a signature in every step would be too slow.
func (c *CA) leafOf(secret *corev1.Secret, certificate *cmv1.Certificate) *x509.Certificate {
	key := client.ObjectKeyFromObject(secret)
	known := c.leaves[key]
	if known.version == "" || known.version != secret.ResourceVersion {
		known = parsed{secret.ResourceVersion, parseLeaf(secret.Data[corev1.TLSCertKey])}
		if known.leaf != nil && known.leaf.CheckSignatureFrom(c.root) != nil {
			known.leaf = nil
		}
		c.leaves[key] = known
	}
	if known.leaf == nil || !slices.Equal(known.leaf.DNSNames, certificate.Spec.DNSNames) {
		return nil
	}
	return known.leaf
}

// needsIssuing returns the reason to issue, "" if there is none.
func (c *CA) needsIssuing(leaf *x509.Certificate, certificate *cmv1.Certificate) string {
	switch {
	case leaf == nil:
		return "DoesNotExist"
	case !c.clock.Now().Before(renewalTime(leaf)):
		return "Renewing"
	case c.renewalForced(certificate):
		return "ManuallyTriggered"
	default:
		return ""
	}
}

func (c *CA) renewalForced(certificate *cmv1.Certificate) bool {
	return slices.ContainsFunc(certificate.Spec.DNSNames, func(name string) bool { return c.renewals[name] })
}

func renewalTime(leaf *x509.Certificate) time.Time {
	return leaf.NotBefore.Add(leaf.NotAfter.Sub(leaf.NotBefore) * 2 / 3)
}

// issueWhenDue begins an issuance, or ends it delay later with a Secret or with a
// failure. What was issued shows in the status when the Secret has been read.
func (c *CA) issueWhenDue(ctx context.Context, certificate *cmv1.Certificate, reason string) error {
	now := c.clock.Now()
	current, known := c.issuing[certificate.UID]
	if current.written && now.Sub(current.since) < c.delay+showsWithin {
		return nil
	}
	if !known || current.written || current.generation != certificate.Generation {
		current = issued{since: now, generation: certificate.Generation}
		c.issuing[certificate.UID] = current
	}
	if failed, ok := c.failureOf(certificate); ok {
		if now.Sub(current.since) >= c.delay && certificate.Status.FailedIssuanceAttempts == nil {
			certificate.Status.FailedIssuanceAttempts = new(1)
			certificate.Status.LastFailureTime = new(metav1.NewTime(now).Rfc3339Copy())
			c.setCondition(certificate, cmv1.CertificateConditionIssuing, false, "Failed", failed.message)
		}
		return nil
	}
	c.setCondition(certificate, cmv1.CertificateConditionIssuing, true, reason, "Issuing certificate")
	if now.Sub(current.since) < c.delay {
		return nil
	}
	if err := c.writeSecret(ctx, certificate); err != nil {
		return err
	}
	for _, name := range certificate.Spec.DNSNames {
		delete(c.renewals, name)
	}
	current.written = true
	c.issuing[certificate.UID] = current
	revision := 1
	if certificate.Status.Revision != nil {
		revision = *certificate.Status.Revision + 1
	}
	certificate.Status.Revision = &revision
	return nil
}

func (c *CA) failureOf(certificate *cmv1.Certificate) (failure, bool) {
	for _, name := range certificate.Spec.DNSNames {
		if failed, ok := c.failures[name]; ok {
			return failed, true
		}
	}
	return failure{}, false
}

// describe writes what is known about the certificate in the Secret.
func (c *CA) describe(certificate *cmv1.Certificate, leaf *x509.Certificate) {
	failed, isFailing := c.failureOf(certificate)
	switch {
	case leaf == nil && isFailing && certificate.Status.FailedIssuanceAttempts != nil:
		c.setCondition(certificate, cmv1.CertificateConditionReady, false, failed.reason, failed.message)
	case leaf == nil:
		c.setCondition(certificate, cmv1.CertificateConditionReady, false, "DoesNotExist", "Issuing certificate as Secret does not exist")
	case c.clock.Now().After(leaf.NotAfter):
		c.setCondition(certificate, cmv1.CertificateConditionReady, false, "Expired",
			"Certificate expired on "+leaf.NotAfter.Format(time.RFC1123))
	default:
		c.setCondition(certificate, cmv1.CertificateConditionReady, true, "Ready", "Certificate is up to date and has not expired")
	}
	certificate.Status.NotBefore, certificate.Status.NotAfter, certificate.Status.RenewalTime = nil, nil, nil
	if leaf != nil {
		certificate.Status.NotBefore = new(metav1.NewTime(leaf.NotBefore))
		certificate.Status.NotAfter = new(metav1.NewTime(leaf.NotAfter))
		certificate.Status.RenewalTime = new(metav1.NewTime(renewalTime(leaf)).Rfc3339Copy())
	}
}

func (c *CA) setCondition(certificate *cmv1.Certificate, conditionType cmv1.CertificateConditionType, isTrue bool, reason, message string) {
	status := cmmeta.ConditionFalse
	if isTrue {
		status = cmmeta.ConditionTrue
	}
	now := new(metav1.NewTime(c.clock.Now()).Rfc3339Copy())
	next := cmv1.CertificateCondition{
		Type: conditionType, Status: status, Reason: reason, Message: message,
		ObservedGeneration: certificate.Generation, LastTransitionTime: now,
	}
	for i := range certificate.Status.Conditions {
		if old := &certificate.Status.Conditions[i]; old.Type == conditionType {
			if old.Status == status {
				next.LastTransitionTime = old.LastTransitionTime
			}
			*old = next
			return
		}
	}
	certificate.Status.Conditions = append(certificate.Status.Conditions, next)
}

func removeCondition(certificate *cmv1.Certificate, conditionType cmv1.CertificateConditionType) {
	certificate.Status.Conditions = slices.DeleteFunc(certificate.Status.Conditions,
		func(c cmv1.CertificateCondition) bool { return c.Type == conditionType })
}
