package simulation

import (
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// refreshStatus is the kubelet's report.
func (s *sim) refreshStatus(p *pod) {
	s.report(p, p.running && p.server.Ready())
}

func (s *sim) report(p *pod, isReady bool) {
	live := s.object(p)
	if live == nil {
		return
	}
	o := live.DeepCopy()
	status := corev1.ConditionFalse
	if isReady && o.DeletionTimestamp.IsZero() {
		status = corev1.ConditionTrue
	}
	o.Status = corev1.PodStatus{
		Phase: corev1.PodPending, Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: status}},
		ContainerStatuses: []corev1.ContainerStatus{{Name: "server"}},
	}
	if p.running {
		o.Status.Phase, o.Status.PodIP = corev1.PodRunning, p.ip
		o.Status.ContainerStatuses[0].State.Running = &corev1.ContainerStateRunning{}
	}
	s.store.updateStatus(o, "kubelet")
	s.dirty = true
}

// workload has deployments looked at soon.
func (s *sim) workload() {
	if s.workloadDue {
		return
	}
	s.workloadDue = true
	s.after(100*time.Millisecond+s.within(2*time.Second), func() {
		s.workloadDue = false
		for _, ns := range namespaces {
			s.scale(ns)
		}
	})
}

// scale makes and deletes pods as a Deployment says.
func (s *sim) scale(namespace string) {
	d, _ := s.store.get("Deployment", types.NamespacedName{Namespace: namespace, Name: serverName}).(*appsv1.Deployment)
	want := 0
	if d != nil && d.DeletionTimestamp.IsZero() {
		want = int(*d.Spec.Replicas)
	}
	var have []*corev1.Pod
	for _, o := range s.store.list("Pod") {
		if o.GetNamespace() == namespace && o.GetDeletionTimestamp().IsZero() {
			have = append(have, o.(*corev1.Pod))
		}
	}
	for len(have) > want {
		_ = s.store.delete(have[0], client.DeleteOptions{}, "replicaset") // listed a moment ago
		have = have[1:]
	}
	for range want - len(have) {
		s.newPod(d)
	}
}

func (s *sim) newPod(d *appsv1.Deployment) {
	s.ips++
	p := &pod{namespace: d.Namespace, name: fmt.Sprintf("%s-%d", serverName, s.ips), ip: fmt.Sprintf("10.0.%d.%d", s.ips/250, 1+s.ips%250)}
	template := d.Spec.Template.DeepCopy()
	o := &corev1.Pod{ObjectMeta: template.ObjectMeta, Spec: template.Spec}
	o.Namespace, o.Name = p.namespace, p.name
	o.Labels[appsv1.DefaultDeploymentUniqueLabelKey] = "5d9c"
	o.Spec.NodeName = "node-of-" + p.name
	o.OwnerReferences = []metav1.OwnerReference{{
		APIVersion: "apps/v1", Kind: "ReplicaSet", Name: serverName + "-5d9c", UID: d.UID, Controller: new(true),
	}}
	created, err := s.store.create(o, "replicaset")
	if err != nil {
		panic(err)
	}
	p.uid = created.GetUID()
	s.pods = append(s.pods, p)
	s.after(time.Second+s.within(10*time.Second), func() {
		if p.gone {
			return
		}
		p.start(s.clock.Now)
		p.version = s.store.version
		s.load(p, s.shards(p.namespace))
		s.report(p, false)
		s.after(s.within(3*time.Second), func() {
			if !p.gone && !p.lost {
				s.refreshStatus(p)
			}
		})
	})
}
