package harness_test

import (
	"net"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/miekg/dns"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"

	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
	"github.com/mta-sts-operator/mta-sts-operator/internal/sender"
	"github.com/mta-sts-operator/mta-sts-operator/test/harness"
)

func TestTheOperatorsOwnSenderSeesTheWorld(t *testing.T) {
	f := newFixture(t, harness.Options{})
	id := f.publish(1, bodyA)
	f.Eventually(f.fetched).Should(Equal(bodyA))
	f.create(f.txtEndpoint(id))
	eyes, err := sender.New(sender.Config{
		Resolvers: []string{f.Resolver()}, DNSPort: f.DNSPort(), HTTPSPort: f.HTTPSPort(),
		Roots: f.Roots(), AllowPrivate: true,
	})
	f.Expect(err).NotTo(HaveOccurred())
	f.Eventually(func() sender.TXT { return eyes.LookupTXT(t.Context(), mtasts.RecordName(domain)) }).Should(And(
		HaveField("Source", sender.SourceAuthoritative), HaveField("Records", ConsistOf("v=STSv1; id="+string(id)+";")),
	))
	f.Expect(eyes.LookupHost(t.Context(), host).Addresses).To(HaveLen(1))
	f.DNS.SetFault(mtasts.RecordName(domain), harness.ServFail)
	f.Expect(eyes.LookupTXT(t.Context(), mtasts.RecordName(domain)).Status).To(Equal(sender.Unknown))
	f.Expect(f.DNS.Queries(mtasts.RecordName(domain))).To(ContainElement(HaveField("Type", "TXT")))
}

func TestLongAnswersNeedTCP(t *testing.T) {
	startPlane(t)
	f := newBareFixture(t, harness.Options{})
	values := make([]string, 20)
	for i := range values {
		values[i] = strings.Repeat(strconv.Itoa(i%10), 200) + strconv.Itoa(i)
	}
	f.DNS.SetTXT("long.example.com", values...)
	question := new(dns.Msg).SetQuestion("long.example.com.", dns.TypeTXT)
	short, _, err := new(dns.Client).ExchangeContext(t.Context(), question, f.Resolver())
	f.Expect(err).NotTo(HaveOccurred())
	f.Expect(short.Truncated).To(BeTrue())
	long, _, err := (&dns.Client{Net: "tcp"}).ExchangeContext(t.Context(), question, f.Resolver())
	f.Expect(err).NotTo(HaveOccurred())
	f.Expect(long.Answer).To(HaveLen(len(values)))
}

func TestAPodWaitsForASourceThatIsNotOptional(t *testing.T) {
	startPlane(t)
	f := newBareFixture(t, harness.Options{})
	deployment := f.deployment()
	deployment.Spec.Template.Spec.Volumes[0].Projected.Sources[0].ConfigMap.Optional = nil
	f.create(deployment)
	f.Eventually(f.pods).Should(HaveLen(replicas))
	pod := f.pods()[0]
	f.Consistently(func() corev1.PodPhase {
		f.Expect(f.api.Get(t.Context(), key(&pod), &pod)).To(Succeed())
		return pod.Status.Phase
	}).Should(Equal(corev1.PodPending))
	f.publish(1, bodyA)
	f.readyPods()
}

func TestStopClosesEveryPort(t *testing.T) {
	f := newFixture(t, harness.Options{})
	f.publish(1, bodyA)
	pods := f.readyPods()
	addresses := []string{f.Resolver(), net.JoinHostPort(harness.PodAddress, strconv.Itoa(int(f.HTTPSPort())))}
	for _, pod := range pods {
		for _, port := range pod.Spec.Containers[0].Ports {
			addresses = append(addresses, net.JoinHostPort(pod.Status.PodIP, strconv.Itoa(int(port.ContainerPort))))
		}
	}
	for _, address := range addresses {
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", address)
		f.Expect(err).NotTo(HaveOccurred())
		f.Expect(conn.Close()).To(Succeed())
	}
	f.Expect(f.Stop()).To(Succeed())
	for _, address := range addresses {
		_, err := new(net.Dialer).DialContext(t.Context(), "tcp", address)
		f.Expect(err).To(MatchError(syscall.ECONNREFUSED))
	}
}
