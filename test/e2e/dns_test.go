package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
)

// This external-dns creates records and never updates them: old ones do so for TXT records, and any
// with --policy=create-only.
func TestExternalDNSThatNeverUpdates(t *testing.T) {
	t.Parallel()
	s := begin(t, "frozen") // the domain of the second external-dns
	s.publish("testing", "mx1")
	id := s.inForce()

	s.publish("enforce", "mx1")
	s.diagnosed(v1alpha1.ReasonDiffers, id, "external-dns", "v0.22", "--policy=sync")
	if published, err := s.publishedID(s.ctx, s.domain); err != nil || published != id {
		t.Errorf("DNS has %s, %v", published, err)
	}
}

// This external-dns does not manage TXT records, as none does by default.
func TestExternalDNSThatManagesNoTXT(t *testing.T) {
	t.Parallel()
	s := begin(t, "textless") // the domain of the third external-dns
	s.publish("testing", "mx1")
	s.diagnosed(v1alpha1.ReasonMissing, "_mta-sts.textless.test", "external-dns", "--managed-record-types=TXT")
}

// diagnosed waits until DNSPublished is False for a reason, with a message that mentions all of these.
func (s *story) diagnosed(reason string, hints ...string) {
	s.t.Helper()
	var message string
	s.apart(func() {
		message = s.condition(20*time.Minute, v1alpha1.ConditionDNSPublished, metav1.ConditionFalse, reason)
	})
	s.say("DNSPublished=False: %s", message)
	for _, hint := range hints {
		if !strings.Contains(message, hint) {
			s.t.Errorf("the message does not mention %s: %s", hint, message)
		}
	}
}

// Somebody has published an id by hand before; external-dns leaves such a record alone for ever.
func TestStrangersRecord(t *testing.T) {
	t.Parallel()
	s := begin(t, "stranger")
	s.must(s.setRecords(s.ctx, "_mta-sts."+s.domain, "TXT", `"v=STSv1; id=20200101;"`))
	s.publish("testing", "mx1")

	s.diagnosed(v1alpha1.ReasonForeignPublisher, "20200101")

	s.must(s.setRecords(s.ctx, "_mta-sts."+s.domain, "TXT"))
	s.inForce()
}

// A namespace that allows only restricted pods gets the policy server and a certificate all the same.
func TestRestrictedNamespace(t *testing.T) {
	t.Parallel()
	s := begin(t, "restricted", "pod-security.kubernetes.io/enforce=restricted", "pod-security.kubernetes.io/warn=restricted")
	s.publish("enforce", "mx1")
	s.inForce()
	s.enforced("mx1")
	s.send("restricted").delivered("mx1", verified)
}

// The certificate is renewed under the eyes of a sender: it notices nothing, and the id stays.
func TestCertificateRenewal(t *testing.T) {
	t.Parallel()
	s := begin(t, "renewal")
	s.publish("testing", "mx1")
	id := s.inForce()
	s.poll()
	before := s.serial()
	s.renew()
	s.renewed(before)
	if after := s.inForce(); after != id {
		t.Errorf("id %s became %s", id, after)
	}
	s.consistent()
}

// renew does what cmctl renew does.
func (s *story) renew() {
	s.t.Helper()
	s.run("", "-n", s.namespace, "patch", "certificate", "mta-sts."+s.domain, "--subresource=status", "--type=merge", "-p",
		fmt.Sprintf(`{"status":{"conditions":[{"type":"Issuing","status":"True","reason":"ManuallyTriggered","message":"by the test","lastTransitionTime":%q}]}}`,
			time.Now().UTC().Format(time.RFC3339)))
}

// renewed waits until there is another certificate than before.
func (s *story) renewed(before string) {
	s.t.Helper()
	s.eventually(long, "a new certificate", func(context.Context) error {
		if s.serial() == before {
			return errNotYet
		}
		return nil
	})
	s.condition(long, v1alpha1.ConditionCertificateReady, metav1.ConditionTrue, v1alpha1.ReasonIssued)
}

// serial is the revision of the Secret that the Ingress uses.
func (s *story) serial() string {
	s.t.Helper()
	return s.run("", "-n", s.namespace, "get", "certificate", "mta-sts."+s.domain, "-o", "jsonpath={.status.revision}{.status.notBefore}")
}
