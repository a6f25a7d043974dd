package integration

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/test/controlplane"
)

// onABarePlane lets the story play on a control plane that knows the operator's own kinds and no others.
// The shared one cannot lose kinds: its garbage collector looks for them only every 30 seconds.
func onABarePlane(t *testing.T) {
	t.Helper()
	bare, err := controlplane.Start(controlplane.Options{CRDs: controlplane.OurCRDs()})
	if err != nil {
		t.Fatal(err)
	}
	shared, operator := plane, asOperator
	plane = bare
	t.Cleanup(func() {
		plane, asOperator = shared, operator
		if err := bare.Stop(); err != nil {
			t.Error(err)
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := bindOperator(ctx); err != nil {
		t.Fatal(err)
	}
}

func TestKindsThatAreInstalledLaterAreUsedWithoutARestart(t *testing.T) {
	onABarePlane(t)
	crds, err := controlplane.ThirdPartyCRDs()
	if err != nil {
		t.Fatal(err)
	}
	s := setScene(t)
	s.allowAll()
	s.startOperator()
	install := func(name string) {
		for _, path := range crds {
			if strings.Contains(path, name) {
				s.Expect(controlplane.InstallCRDs(plane.Config, path)).To(Succeed())
			}
		}
	}
	p := s.policy()
	s.create(p)

	s.chapter("what is missing is named, and the rest goes on", func() {
		s.Eventually(s.condition(p, v1alpha1.ConditionCertificateReady)).Should(And(
			HavePrefix("False/"+v1alpha1.ReasonCRDNotInstalled), ContainSubstring("cert-manager")))
		s.Eventually(s.condition(p, v1alpha1.ConditionDNSPublished)).Should(And(
			HavePrefix("False/"+v1alpha1.ReasonCRDNotInstalled), ContainSubstring("external-dns")))
		s.Eventually(s.condition(p, v1alpha1.ConditionPolicyServed)).Should(HavePrefix("True/"))
		s.Eventually(s.condition(p, v1alpha1.ConditionExposed)).Should(HavePrefix("True/"))
		s.Expect(p.Status.State).To(Equal(v1alpha1.StateServing))
	})
	s.chapter("cert-manager comes", func() {
		install("cert-manager")
		s.Eventually(s.condition(p, v1alpha1.ConditionCertificateReady)).Should(HavePrefix("True/" + v1alpha1.ReasonIssued))
		s.Expect(s.condition(p, v1alpha1.ConditionDNSPublished)()).To(HavePrefix("False/" + v1alpha1.ReasonCRDNotInstalled))
	})
	s.chapter("external-dns comes", func() {
		install("external-dns")
		id := s.inForce(p)
		s.Expect(s.txt()).To(Equal(announces(id)))
	})
}

func TestAnAPIServerThatRestartsAmidAnEditDoesNoHarm(t *testing.T) {
	s := tell(t)
	p := s.policy()
	s.create(p)
	first := s.inForce(p)
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	var asked, failed atomic.Int32
	sender := make(chan struct{})
	go func() {
		defer close(sender)
		for ctx.Err() == nil {
			if resp, err := s.Fetch(s.ctx, "mta-sts."+s.domain); err != nil || !strings.HasPrefix(resp.Body, "version: STSv1\n") {
				failed.Add(1)
			}
			asked.Add(1)
			select {
			case <-ctx.Done():
			case <-time.After(20 * time.Millisecond):
			}
		}
	}()

	s.edit(p, withMaxAge(86400))
	before := asked.Load()
	s.Expect(plane.RestartAPIServer()).To(Succeed())
	during := asked.Load() - before
	second := s.inForce(p)
	cancel()
	<-sender

	s.Expect(second > first).To(BeTrue())
	s.Expect(s.txt()).To(Equal(announces(second)))
	s.Eventually(s.body).Should(ContainSubstring("max_age: 86400"))
	s.neverBack()
	s.Expect(during).To(BeNumerically(">", 5), "nobody asked meanwhile")
	s.Expect(failed.Load()).To(BeZero(), "of %d questions", asked.Load())
}
