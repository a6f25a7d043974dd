package harness_test

import (
	"context"
	"net/http"
	"slices"
	"testing"
	"time"

	cmv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	cmmeta "github.com/cert-manager/cert-manager/pkg/apis/meta/v1"
	"github.com/google/go-cmp/cmp"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	edns "sigs.k8s.io/external-dns/apis/v1alpha1"

	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
	"github.com/mta-sts-operator/mta-sts-operator/internal/policyserver"
	"github.com/mta-sts-operator/mta-sts-operator/test/harness"
)

func contextWithoutCancel(t *testing.T) context.Context {
	return context.WithoutCancel(t.Context())
}

func TestModelsRestUntilTheirCRDsAppear(t *testing.T) {
	startPlane(t)
	uninstallCRDs(t)
	f := newBareFixture(t, harness.Options{})
	f.Expect(f.api.List(t.Context(), &cmv1.CertificateList{})).NotTo(Succeed())
	f.publish(1, bodyA)
	f.create(f.deployment())
	f.readyPods()
	installCRDs(t)
	f.create(f.certificate(), f.hostEndpoint())
	f.Eventually(func() []string { return f.DNS.Records(host, "A") }).Should(ConsistOf(harness.PodAddress))
	f.Eventually(f.readyCondition).Should(HaveField("Status", cmmeta.ConditionTrue))
}

func TestPolicyIsServedEndToEnd(t *testing.T) {
	f := newFixture(t, harness.Options{})
	id := f.publish(1, bodyA)
	f.create(f.txtEndpoint(id))

	f.Eventually(f.fetched).Should(Equal(bodyA))
	response, err := f.Fetch(t.Context(), host)
	f.Expect(err).NotTo(HaveOccurred())
	f.Expect(response.Header.Get(policyserver.HeaderID)).To(Equal(string(id)))
	f.Eventually(func() []string { return f.DNS.Records(mtasts.RecordName(domain), "TXT") }).
		Should(ConsistOf("v=STSv1; id=" + string(id) + ";"))

	pods := f.readyPods()
	f.Expect(pods[0].Spec.NodeName).NotTo(Equal(pods[1].Spec.NodeName))
	for _, pod := range pods {
		f.Expect(pod.Status.PodIP).To(Equal(harness.PodAddress))
		f.Expect(pod.Status.Phase).To(Equal(corev1.PodRunning))
		f.Expect(pod.Status.ContainerStatuses).To(HaveLen(1))
		f.Expect(pod.Status.ContainerStatuses[0].State.Running).NotTo(BeNil())
		f.Expect(f.served(&pod)()).To(Equal(string(id)))
	}
	f.Eventually(func() appsv1.DeploymentStatus { return f.deploymentStatus() }).Should(And(
		HaveField("ObservedGeneration", int64(1)), HaveField("Replicas", int32(2)),
		HaveField("ReadyReplicas", int32(2)), HaveField("UpdatedReplicas", int32(2)),
	))
	var ingress networkingv1.Ingress
	f.Expect(f.api.Get(t.Context(), client.ObjectKey{Namespace: f.namespace, Name: host}, &ingress)).To(Succeed())
	f.Expect(ingress.Status.LoadBalancer.Ingress).To(ConsistOf(HaveField("IP", harness.PodAddress)))
	var seen edns.DNSEndpoint
	f.Expect(f.api.Get(t.Context(), client.ObjectKey{Namespace: f.namespace, Name: "host"}, &seen)).To(Succeed())
	f.Expect(seen.Status.ObservedGeneration).To(Equal(seen.Generation))

	f.publish(2, bodyB)
	f.Eventually(f.fetched).Should(Equal(bodyB))
}

func (f *fixture) deploymentStatus() appsv1.DeploymentStatus {
	var d appsv1.Deployment
	if err := f.api.Get(f.t.Context(), client.ObjectKey{Namespace: f.namespace, Name: harness.ServerName}, &d); err != nil {
		f.t.Fatal(err)
	}
	return d.Status
}

func TestAWorldAtRestWritesNothing(t *testing.T) {
	startPlane(t)
	user, err := plane.UserConfig("harness", "system:masters")
	if err != nil {
		t.Fatal(err)
	}
	f := newFixture(t, harness.Options{Config: user})
	f.publish(1, bodyA)
	f.Eventually(f.fetched).Should(Equal(bodyA))
	f.readyPods()
	f.Eventually(f.readyCondition).Should(HaveField("Status", cmmeta.ConditionTrue))
	f.Eventually(func() int32 { return f.deploymentStatus().ReadyReplicas }).Should(Equal(int32(2)))

	var quiet int
	f.Eventually(func() bool { // until two looks, a dozen steps apart, agree
		before := quiet
		quiet = writes(t, "harness")
		return before == quiet
	}, patience, 300*time.Millisecond).Should(BeTrue())
	f.Expect(quiet).To(BeNumerically(">", 0), "writes under the name of the harness")
	f.Consistently(func() int { return writes(t, "harness") }, time.Second, 100*time.Millisecond).Should(Equal(quiet))
}

func TestAnEditReachesAPodWhenItsKubeletReads(t *testing.T) {
	f := newFixture(t, harness.Options{})
	first := f.publish(1, bodyA)
	pods := f.readyPods()
	slow, paused := &pods[0], &pods[1]
	f.Eventually(f.served(slow)).Should(Equal(string(first)))
	f.Eventually(f.served(paused)).Should(Equal(string(first)))
	f.Expect(f.Kubelet.SetSyncPeriod(key(slow), time.Hour)).To(Succeed())
	f.Expect(f.Kubelet.PauseMounts(key(paused))).To(Succeed())

	second := f.publish(2, bodyB)
	f.Consistently(f.served(slow), 300*time.Millisecond).Should(Equal(string(first)))
	f.Expect(f.served(paused)()).To(Equal(string(first)))

	for _, pod := range pods {
		edited := pod.DeepCopy()
		edited.Annotations = map[string]string{"nudged": "yes"}
		f.Expect(f.api.Patch(t.Context(), edited, client.MergeFrom(&pod))).To(Succeed())
	}
	f.Eventually(f.served(slow)).Should(Equal(string(second)), "an annotation makes the kubelet look")
	f.Expect(f.served(paused)()).To(Equal(string(first)))
	f.Expect(f.Kubelet.ResumeMounts(key(paused))).To(Succeed())
	f.Eventually(f.served(paused)).Should(Equal(string(second)))
}

// The kubelet reads B, the API goes back to the content of A under a new id, and
// only then B is put in place.
func TestAHeldReadingIsAppliedLate(t *testing.T) {
	f := newFixture(t, harness.Options{})
	a := f.publish(1, bodyA)
	pods := f.readyPods()
	held, other := &pods[0], &pods[1]
	f.Eventually(f.served(held)).Should(Equal(string(a)))

	b := f.publish(2, bodyB)
	release, err := f.Kubelet.HoldApply(t.Context(), key(held))
	f.Expect(err).NotTo(HaveOccurred())
	again := f.publish(3, bodyA)
	f.Eventually(f.served(other)).Should(Equal(string(again)))
	f.Expect(f.served(held)()).To(Equal(string(a)))

	// What follows the release is too quick for the API, but not for the volume.
	f.Expect(f.Kubelet.SetSyncPeriod(key(held), time.Hour)).To(Succeed())
	seen := f.watchVolume(held)
	release()
	f.Eventually(f.served(held)).Should(Equal(string(again)))
	entries := []string{policyserver.EncodeEntry(a, bodyA), policyserver.EncodeEntry(b, bodyB), policyserver.EncodeEntry(again, bodyA)}
	if diff := cmp.Diff(entries, seen()); diff != "" {
		t.Errorf("contents of the volume in their order (-want +got):\n%s", diff)
	}
}

// watchVolume collects the entries of the host that a pod's volume holds, each
// once and in their order, until the result is asked for.
func (f *fixture) watchVolume(pod *corev1.Pod) func() []string {
	ctx, cancel := context.WithCancel(f.t.Context())
	result := make(chan []string)
	started := make(chan struct{})
	look := func(seen []string) []string {
		files, err := f.Kubelet.Mounted(key(pod))
		if err == nil && (len(seen) == 0 || seen[len(seen)-1] != files[host]) {
			seen = append(seen, files[host])
		}
		return seen
	}
	go func() {
		seen := look(nil)
		close(started)
		for ctx.Err() == nil {
			seen = look(seen)
		}
		result <- look(seen)
	}()
	<-started
	return func() []string {
		cancel()
		return <-result
	}
}

func TestALostNodeReturnsWithItsOldMount(t *testing.T) {
	f := newFixture(t, harness.Options{})
	first := f.publish(1, bodyA)
	pods := f.readyPods()
	lost := &pods[0]
	f.Eventually(f.served(lost)).Should(Equal(string(first)))
	f.Expect(f.Kubelet.LoseNode(t.Context(), lost.Spec.NodeName)).To(Succeed())

	f.Eventually(func() corev1.PodCondition {
		f.Expect(f.api.Get(t.Context(), key(lost), lost)).To(Succeed())
		return condition(lost, corev1.PodReady)
	}).Should(And(HaveField("Status", corev1.ConditionFalse), HaveField("Reason", harness.ReasonNodeLost)))
	f.Expect(lost.Status.ContainerStatuses[0].State.Running).NotTo(BeNil())
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_, err := f.AskPod(ctx, lost, host)
	f.Expect(err).To(MatchError(context.DeadlineExceeded), "neither an answer nor a refusal")

	second := f.publish(2, bodyB)
	f.Eventually(f.served(&pods[1])).Should(Equal(string(second)))
	f.Eventually(func() []string { return []string{f.fetched(), f.fetched(), f.fetched()} }).
		Should(HaveEach(bodyB), "always through the pod that is left")
	f.Expect(f.pods()).To(HaveLen(2), "nobody replaces a pod before it is evicted")

	f.Expect(f.Kubelet.PauseMounts(key(lost))).To(Succeed())
	f.Expect(f.Kubelet.ReturnNode(t.Context(), lost.Spec.NodeName)).To(Succeed())
	f.readyPods()
	f.Expect(f.served(lost)()).To(Equal(string(first)), "the old mount")
	f.Expect(f.Kubelet.ResumeMounts(key(lost))).To(Succeed())
	f.Eventually(f.served(lost)).Should(Equal(string(second)))
	f.Expect(f.api.Get(t.Context(), key(lost), lost)).To(Succeed())
	f.Expect(lost.Status.ContainerStatuses[0].RestartCount).To(BeZero(), "the same process")
}

func TestEvictedPodsAreReplacedAndLeaveWhenTheNodeReturns(t *testing.T) {
	f := newFixture(t, harness.Options{})
	f.publish(1, bodyA)
	lost := &f.readyPods()[0]
	node := lost.Spec.NodeName
	f.Expect(f.Kubelet.LoseNode(t.Context(), node)).To(Succeed())
	f.Expect(f.Kubelet.EvictPods(t.Context(), node)).To(Succeed())
	for _, pod := range f.readyPods() {
		f.Expect(pod.Spec.NodeName).NotTo(Equal(node))
	}
	f.Expect(f.api.Get(t.Context(), key(lost), lost)).To(Succeed(), "only its kubelet can remove it")
	f.Expect(lost.DeletionTimestamp).NotTo(BeNil())
	f.Expect(f.Kubelet.ReturnNode(t.Context(), node)).To(Succeed())
	f.Eventually(func() error {
		return client.IgnoreNotFound(f.api.Get(t.Context(), key(lost), &corev1.Pod{}))
	}).Should(Succeed())
	f.Eventually(func() ([]corev1.Pod, error) { return f.Pods(t.Context(), f.namespace) }).Should(HaveLen(2))
}

func TestACrashedServerReadsItsMountAnew(t *testing.T) {
	f := newFixture(t, harness.Options{})
	first := f.publish(1, bodyA)
	pod := &f.readyPods()[0]
	f.Eventually(f.served(pod)).Should(Equal(string(first)))
	f.Expect(f.Kubelet.CrashServer(key(pod))).To(Succeed())
	f.Eventually(func() int32 {
		f.Expect(f.api.Get(t.Context(), key(pod), pod)).To(Succeed())
		return pod.Status.ContainerStatuses[0].RestartCount
	}).Should(Equal(int32(1)))
	f.Expect(pod.Status.ContainerStatuses[0].LastTerminationState.Terminated).NotTo(BeNil())
	f.readyPods()
	f.Expect(f.served(pod)()).To(Equal(string(first)))
}

func TestATemplateChangeRollsWithoutAGap(t *testing.T) {
	f := newFixture(t, harness.Options{})
	f.publish(1, bodyA)
	before := f.readyPods()
	f.Eventually(f.fetched).Should(Equal(bodyA))
	var d appsv1.Deployment
	f.Expect(f.api.Get(t.Context(), client.ObjectKey{Namespace: f.namespace, Name: harness.ServerName}, &d)).To(Succeed())
	seen := d.DeepCopy()
	d.Spec.Template.Annotations = map[string]string{"restarted": "yes"}
	f.Expect(f.api.Patch(t.Context(), &d, client.MergeFrom(seen))).To(Succeed(), "its status changes meanwhile")

	f.Eventually(func(g Gomega) {
		pods := f.pods()
		ready := slices.DeleteFunc(slices.Clone(pods), func(pod corev1.Pod) bool { return !isReady(&pod) })
		if len(ready) < 2 || len(pods) > 3 {
			t.Errorf("%d pods are ready of %d, want two of at most three", len(ready), len(pods))
		}
		if got := f.fetched(); got != bodyA {
			t.Errorf("fetched %q during the rollout", got)
		}
		for _, pod := range pods {
			g.Expect(pod.Annotations).To(HaveKey("restarted"))
		}
		g.Expect(pods).To(HaveLen(2))
	}).Should(Succeed())
	f.Eventually(func() ([]corev1.Pod, error) { return f.Pods(t.Context(), f.namespace) }).Should(HaveLen(2))
	for _, pod := range f.pods() {
		f.Expect(pod.Name).NotTo(BeElementOf(before[0].Name, before[1].Name))
	}
	f.Eventually(func() int32 { return f.deploymentStatus().UpdatedReplicas }).Should(Equal(int32(2)))
}

func TestPodsGoWithTheirDeployment(t *testing.T) {
	f := newFixture(t, harness.Options{})
	f.publish(1, bodyA)
	f.readyPods()
	f.Expect(f.api.Delete(t.Context(), f.deployment())).To(Succeed())
	f.Eventually(func() ([]corev1.Pod, error) { return f.Pods(t.Context(), f.namespace) }).Should(BeEmpty())
	f.Eventually(f.fetched).Should(ContainSubstring("status 503"))
}

func TestIngressFaults(t *testing.T) {
	f := newFixture(t, harness.Options{})
	f.publish(1, bodyA)
	f.Eventually(f.fetched).Should(Equal(bodyA))

	f.Ingress.ServeRaw(host, http.RedirectHandler("https://elsewhere.example.net/", http.StatusFound))
	f.Expect(f.fetched()).To(ContainSubstring("status 302"))
	f.Ingress.ServeRaw(host, nil)

	expired, err := f.CA.IssuePair(-time.Hour, host)
	f.Expect(err).NotTo(HaveOccurred())
	f.Ingress.ServeCertificate(host, expired)
	f.Expect(f.fetched()).To(ContainSubstring("certificate has expired"))
	f.Ingress.ServeCertificate(host, nil)

	f.Ingress.Down(true)
	f.Expect(f.fetched()).To(ContainSubstring("reset by peer"))
	f.Ingress.Down(false)
	f.Expect(f.fetched()).To(Equal(bodyA))

	f.DNS.SetA("mta-sts.unknown.example", harness.PodAddress)
	_, err = f.Fetch(t.Context(), "mta-sts.unknown.example")
	f.Expect(err).To(MatchError(ContainSubstring("remote error: tls")), "a name without certificate")
}

func (f *fixture) readyCondition() cmv1.CertificateCondition {
	var certificate cmv1.Certificate
	if err := f.api.Get(f.t.Context(), client.ObjectKey{Namespace: f.namespace, Name: host}, &certificate); err != nil {
		f.t.Fatal(err)
	}
	for _, c := range certificate.Status.Conditions {
		if c.Type == cmv1.CertificateConditionReady {
			return c
		}
	}
	return cmv1.CertificateCondition{}
}

func TestCertificates(t *testing.T) {
	startPlane(t)
	installCRDs(t)
	f := newBareFixture(t, harness.Options{})
	f.CA.Fail(host, "Denied", "the CA said no")
	f.create(f.certificate())
	f.Eventually(f.readyCondition).Should(And(
		HaveField("Status", cmmeta.ConditionFalse), HaveField("Reason", "Denied"), HaveField("Message", "the CA said no"),
	))
	f.CA.SetLifetime(24 * time.Hour)
	f.CA.Fail(host, "", "")
	f.Eventually(f.readyCondition).Should(HaveField("Status", cmmeta.ConditionTrue))

	certificate := func() cmv1.CertificateStatus {
		var c cmv1.Certificate
		f.Expect(f.api.Get(t.Context(), client.ObjectKey{Namespace: f.namespace, Name: host}, &c)).To(Succeed())
		return c.Status
	}
	f.Expect(certificate().NotAfter.Time).To(BeTemporally("~", time.Now().Add(24*time.Hour), patience))
	var secret corev1.Secret
	f.Expect(f.api.Get(t.Context(), client.ObjectKey{Namespace: f.namespace, Name: "tls"}, &secret)).To(Succeed())
	f.Expect(secret.Type).To(Equal(corev1.SecretTypeTLS))

	f.CA.Renew(host)
	f.Eventually(func() int { return *certificate().Revision }).Should(Equal(2))
	var renewed corev1.Secret
	f.Expect(f.api.Get(t.Context(), client.ObjectKey{Namespace: f.namespace, Name: "tls"}, &renewed)).To(Succeed())
	f.Expect(renewed.Data[corev1.TLSCertKey]).NotTo(Equal(secret.Data[corev1.TLSCertKey]))
	f.Expect(f.readyCondition()).To(HaveField("Status", cmmeta.ConditionTrue), "while and after renewing")

	f.CA.SetLifetime(time.Second)
	f.CA.Renew(host)
	f.Eventually(func() int { return *certificate().Revision }).Should(Equal(3))
	f.CA.SetDelay(time.Hour)
	f.Eventually(f.readyCondition).Should(HaveField("Reason", "Expired"))
}

func TestAHookSeesThePodsAtTheMomentOfTheChange(t *testing.T) {
	f := newFixture(t, harness.Options{})
	id := f.publish(1, bodyA)
	f.readyPods()
	f.Eventually(f.fetched).Should(Equal(bodyA))
	changes := make(chan string, 1)
	defer f.DNS.OnChange(func(c harness.Change) {
		if c.Name != mtasts.RecordName(domain) {
			return
		}
		pods, err := f.Pods(t.Context(), f.namespace)
		if err != nil || len(pods) != replicas {
			t.Errorf("%d pods, error %v", len(pods), err)
		}
		for _, pod := range pods {
			if got := f.served(&pod)(); got != string(id) {
				t.Errorf("pod %s serves %q", pod.Name, got)
			}
		}
		changes <- joined(c.After)
	})()
	f.create(f.txtEndpoint(id))
	f.Eventually(changes).Should(Receive(Equal("v=STSv1; id=" + string(id) + ";")))
}
