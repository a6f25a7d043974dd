package integration

import (
	"testing"

	. "github.com/onsi/gomega"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/test/operator"
)

// mostWrites bounds how many writes a flow may take before a story of crashes gives up.
const mostWrites = 80

// crashAfter waits until the operator's link was cut or the policy came into force, replaces the
// operator by a new one with a sound link, and says whether the link was cut. The new one must finish.
func (s *story) crashAfter(cut <-chan struct{}, p *v1alpha1.MTASTSPolicy) (wasCut bool, id string) {
	s.t.Helper()
	isCut := func() bool {
		select {
		case <-cut:
			return true
		default:
			return false
		}
	}
	s.Eventually(func() bool { return isCut() || s.readiness(p) == "InForce" }).Should(BeTrue())
	wasCut = isCut()
	s.stopOperator()
	s.startOperator()
	id = s.inForce(p)
	s.Expect(s.txt()).To(Equal(announces(id)))
	return wasCut, id
}

// TestTheOperatorIsKilledAfterEachWriteOfAFirstPublication: whatever the last write was, the next
// operator finishes what the killed one began.
func TestTheOperatorIsKilledAfterEachWriteOfAFirstPublication(t *testing.T) {
	s := setScene(t)
	for k := 1; ; k++ {
		s.Expect(k).To(BeNumerically("<", mostWrites))
		s.namespace = s.newNamespace("mail-")
		s.domain = s.namespace + ".example"
		s.DNS.SetMX(s.domain, "mx1."+s.domain)
		o := watchOrder(s)
		p := s.policy()
		s.create(p)
		s.link = &operator.Link{}
		cut := s.link.CutAfter(k)
		s.op = s.anotherOperator(s.link)
		wasCut, _ := s.crashAfter(cut, p)
		o.end()
		s.stopOperator()
		s.empty(s.ctx, s.namespace)
		if !wasCut {
			t.Logf("a first publication takes %d writes", k-1)
			return
		}
	}
}

// TestTheOperatorIsKilledAfterEachWriteOfAnEdit: what was recorded before the crash is what goes on.
func TestTheOperatorIsKilledAfterEachWriteOfAnEdit(t *testing.T) {
	s := tell(t)
	watchOrder(s)
	p := s.policy()
	s.create(p)
	id := s.inForce(p)
	for k := 1; ; k++ {
		s.Expect(k).To(BeNumerically("<", mostWrites))
		cut := s.link.CutAfter(k)
		s.edit(p, withMaxAge(int32(86400+k)))
		wasCut, next := s.crashAfter(cut, p)
		s.Expect(next).NotTo(Equal(id))
		id = next
		if !wasCut {
			t.Logf("an edit takes %d writes", k-1)
			return
		}
	}
}
