package integration

import (
	"testing"

	. "github.com/onsi/gomega"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
)

func TestAPolicyIsServedCertifiedAndAnnounced(t *testing.T) {
	s := tell(t)
	p := s.policy()
	s.create(p)

	id := s.inForce(p)

	s.Expect(s.txt()).To(Equal(announces(id)))
	s.Expect(s.body()).To(Equal("version: STSv1\nmode: enforce\nmx: mx1." + s.domain + "\nmax_age: 604800\n"))
	s.Expect(s.DNS.Records("_smtp._tls."+s.domain, "TXT")).To(Equal([]string{"v=TLSRPTv1; rua=mailto:tls-reports@" + s.domain}))
	s.Expect(p.Status.State).To(Equal(v1alpha1.StateInForce))
}
