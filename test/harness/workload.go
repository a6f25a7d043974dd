package harness

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/rand"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Workload plays Deployment controller, ReplicaSet controller, scheduler and, for
// what these create, garbage collector. It handles the Deployments named
// ServerName of all namespaces and rolls them with maxSurge 1 and maxUnavailable
// 0, whatever their strategy says.
type Workload struct {
	client  client.Client
	live    client.Reader
	clock   clock.PassiveClock
	nodes   *Nodes
	runtime Runtime

	// serial makes pod names unique.
	serial int
	// created and deleted are what the client may not show yet: pods by name,
	// pods by UID.
	created map[types.NamespacedName]createdPod
	deleted map[types.UID]bool
}

// createdPod is a pod that was created and is not shown yet.
type createdPod struct {
	corev1.Pod

	at time.Time
}

// showsWithin is how long the client may take to show a pod. One that is not
// shown by then was deleted before it could be.
const showsWithin = 10 * time.Second

// NewWorkload returns a Workload. The client may lag behind; live must not.
func NewWorkload(c client.Client, live client.Reader, clk clock.PassiveClock, nodes *Nodes, runtime Runtime) *Workload {
	return &Workload{
		client: c, live: live, clock: clk, nodes: nodes, runtime: runtime,
		created: map[types.NamespacedName]createdPod{}, deleted: map[types.UID]bool{},
	}
}

// Step brings ReplicaSets, pods and statuses one step nearer to what the
// Deployments ask for.
func (w *Workload) Step(ctx context.Context) error {
	var deployments appsv1.DeploymentList
	if err := w.client.List(ctx, &deployments); err != nil {
		return fmt.Errorf("listing Deployments: %w", err)
	}
	var sets appsv1.ReplicaSetList
	if err := w.client.List(ctx, &sets); err != nil {
		return fmt.Errorf("listing ReplicaSets: %w", err)
	}
	var pods corev1.PodList
	if err := w.client.List(ctx, &pods); err != nil {
		return fmt.Errorf("listing pods: %w", err)
	}
	all := w.withCreated(pods.Items)
	errs := []error{w.collectSets(ctx, deployments.Items, sets.Items), w.collectPods(ctx, sets.Items, all)}
	for i := range deployments.Items {
		d := &deployments.Items[i]
		if d.Name != ServerName || d.DeletionTimestamp != nil {
			continue
		}
		if err := w.stepDeployment(ctx, d, sets.Items, all); err != nil {
			errs = append(errs, fmt.Errorf("deployment %s/%s: %w", d.Namespace, d.Name, err))
		}
	}
	return errors.Join(errs...)
}

// withCreated adds the pods that were created and are not shown yet, and forgets
// what is not needed any more.
func (w *Workload) withCreated(pods []corev1.Pod) []corev1.Pod {
	shown := map[types.UID]bool{}
	for i := range pods {
		delete(w.created, client.ObjectKeyFromObject(&pods[i]))
		shown[pods[i].UID] = true
	}
	maps.DeleteFunc(w.deleted, func(uid types.UID, _ bool) bool { return !shown[uid] })
	all := slices.Clone(pods)
	for key, pod := range w.created {
		if w.clock.Since(pod.at) > showsWithin {
			delete(w.created, key)
			continue
		}
		all = append(all, pod.Pod)
	}
	return all
}

func (w *Workload) stepDeployment(ctx context.Context, d *appsv1.Deployment, sets []appsv1.ReplicaSet, pods []corev1.Pod) error {
	hash := templateHash(&d.Spec.Template)
	current, err := w.ensureSet(ctx, d, sets, hash)
	if err != nil {
		return err
	}
	mine := w.podsOf(d, sets, current, pods)
	r := rollout{desired: int(replicas(d))}
	for _, pod := range mine {
		r.add(pod, metav1.IsControlledBy(pod, current))
	}
	errs := []error{w.writeStatus(ctx, d, &r), w.writeSets(ctx, d, sets, current, mine)}
	for range r.toCreate() {
		errs = append(errs, w.createPod(ctx, current, &d.Spec.Template, mine))
	}
	for _, pod := range r.toDelete() {
		errs = append(errs, w.deletePod(ctx, pod))
	}
	return errors.Join(errs...)
}

// templateHash is the pod-template-hash of a template.
func templateHash(template *corev1.PodTemplateSpec) string {
	encoded, err := json.Marshal(template)
	if err != nil {
		panic(fmt.Sprintf("encoding a pod template: %v", err))
	}
	hash := fnv.New32a()
	_, _ = hash.Write(encoded) // never fails
	return rand.SafeEncodeString(fmt.Sprint(hash.Sum32()))
}

// ensureSet returns the ReplicaSet of the template, which it creates if needed.
func (w *Workload) ensureSet(ctx context.Context, d *appsv1.Deployment, sets []appsv1.ReplicaSet, hash string) (*appsv1.ReplicaSet, error) {
	name := d.Name + "-" + hash
	for i := range sets {
		if sets[i].Name == name && metav1.IsControlledBy(&sets[i], d) {
			return &sets[i], nil
		}
	}
	template := *d.Spec.Template.DeepCopy()
	template.Labels = withHash(template.Labels, hash)
	set := &appsv1.ReplicaSet{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: d.Namespace, Name: name, Labels: template.Labels,
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(d, appsv1.SchemeGroupVersion.WithKind("Deployment"))},
		},
		Spec: appsv1.ReplicaSetSpec{
			Replicas: d.Spec.Replicas,
			Selector: &metav1.LabelSelector{MatchLabels: withHash(d.Spec.Selector.MatchLabels, hash)},
			Template: template,
		},
	}
	err := w.client.Create(ctx, set)
	if apierrors.IsAlreadyExists(err) {
		err = w.live.Get(ctx, client.ObjectKeyFromObject(set), set)
		if err == nil && !metav1.IsControlledBy(set, d) {
			err = errors.New("it belongs to another Deployment")
		}
	}
	if err != nil {
		return nil, fmt.Errorf("creating ReplicaSet %s: %w", name, err)
	}
	return set, nil
}

func withHash(labels map[string]string, hash string) map[string]string {
	labels = maps.Clone(labels)
	if labels == nil {
		labels = map[string]string{}
	}
	labels[appsv1.DefaultDeploymentUniqueLabelKey] = hash
	return labels
}

// podsOf returns the pods of all ReplicaSets of a Deployment that are not being
// deleted.
func (w *Workload) podsOf(d *appsv1.Deployment, sets []appsv1.ReplicaSet, current *appsv1.ReplicaSet, pods []corev1.Pod) []*corev1.Pod {
	owners := map[types.UID]bool{current.UID: true}
	for i := range sets {
		if metav1.IsControlledBy(&sets[i], d) {
			owners[sets[i].UID] = true
		}
	}
	var mine []*corev1.Pod
	for i := range pods {
		pod := &pods[i]
		owner := metav1.GetControllerOf(pod)
		if owner == nil || !owners[owner.UID] || pod.DeletionTimestamp != nil || w.deleted[pod.UID] {
			continue
		}
		mine = append(mine, pod)
	}
	slices.SortFunc(mine, func(a, b *corev1.Pod) int { return strings.Compare(a.Name, b.Name) })
	return mine
}

// createPod creates one pod on the emptiest node.
func (w *Workload) createPod(ctx context.Context, set *appsv1.ReplicaSet, template *corev1.PodTemplateSpec, mine []*corev1.Pod) error {
	node := w.schedule(mine)
	if node == "" {
		return errors.New("no node is left to schedule a pod to")
	}
	w.serial++
	key := types.NamespacedName{Namespace: set.Namespace, Name: fmt.Sprintf("%s-%s", set.Name, podSuffix(set, w.serial))}
	ports, err := w.runtime.Reserve(key)
	if err != nil {
		return fmt.Errorf("reserving ports for pod %s: %w", key.Name, err)
	}
	pod := &corev1.Pod{ObjectMeta: *template.ObjectMeta.DeepCopy(), Spec: *template.Spec.DeepCopy()}
	pod.Namespace, pod.Name, pod.GenerateName = key.Namespace, key.Name, set.Name+"-"
	pod.Labels = withHash(pod.Labels, set.Labels[appsv1.DefaultDeploymentUniqueLabelKey])
	pod.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(set, appsv1.SchemeGroupVersion.WithKind("ReplicaSet"))}
	pod.Spec.NodeName = node
	usePorts(&pod.Spec, ports)
	if err := w.client.Create(ctx, pod); err != nil {
		w.runtime.Release(key)
		return fmt.Errorf("creating pod %s: %w", key.Name, err)
	}
	w.created[key] = createdPod{Pod: *pod, at: w.clock.Now()}
	return nil
}

func podSuffix(set *appsv1.ReplicaSet, serial int) string {
	hash := fnv.New32a()
	_, _ = fmt.Fprint(hash, set.UID, serial) // never fails
	return rand.SafeEncodeString(fmt.Sprintf("%05d", hash.Sum32()%1e5))
}

// schedule returns the node that is in contact and has fewest of these pods.
func (w *Workload) schedule(mine []*corev1.Pod) string {
	best, fewest := "", 0
	for _, node := range w.nodes.Names() {
		count := 0
		for _, pod := range mine {
			if pod.Spec.NodeName == node {
				count++
			}
		}
		for _, pod := range w.created {
			if pod.Spec.NodeName == node && !slices.ContainsFunc(mine, func(p *corev1.Pod) bool { return p.UID == pod.UID }) {
				count++
			}
		}
		if !w.nodes.isLost(node) && (best == "" || count < fewest) {
			best, fewest = node, count
		}
	}
	return best
}

// usePorts puts the real ports in the place of the template's. Nobody but the
// pod spec tells them: probes, Services and the operator go by name.
func usePorts(spec *corev1.PodSpec, ports Ports) {
	for i := range spec.Containers {
		for j := range spec.Containers[i].Ports {
			port := &spec.Containers[i].Ports[j]
			if number, ok := ports[port.Name]; ok && spec.Containers[i].Name == ContainerName {
				port.ContainerPort = number
			}
		}
	}
}

func (w *Workload) deletePod(ctx context.Context, pod *corev1.Pod) error {
	err := w.client.Delete(ctx, pod.DeepCopy(), client.Preconditions{UID: &pod.UID})
	if err = client.IgnoreNotFound(err); err != nil {
		return fmt.Errorf("deleting pod %s: %w", pod.Name, err)
	}
	w.deleted[pod.UID] = true
	return nil
}
