package resources

import (
	"fmt"
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	acappsv1 "k8s.io/client-go/applyconfigurations/apps/v1"
	accorev1 "k8s.io/client-go/applyconfigurations/core/v1"
)

// ServerContainer is the name of the policy server's container; injected sidecars have others.
const ServerContainer = "server"

const (
	volumeName  = "policies"
	policiesDir = "/policies"
	// nonRoot is the user of the image; by number, so that the kubelet can prove that it is not root.
	nonRoot int64 = 65532
	// gracePeriodSeconds is more than the server needs: 5 s to be taken out of the endpoints, 20 s for
	// requests in flight.
	gracePeriodSeconds int64 = 35
)

// ReplicasAnnotation on the Deployment is the number of pods that was configured when it was applied
// last: what stands in its spec since then is an autoscaler's, or somebody's hand.
const ReplicasAnnotation = "mtasts.dev/replicas"

// Deployment runs the policy server. A rollout first adds a pod and then takes one away, so that the
// policies never have fewer servers than configured.
func (s Server) Deployment() *acappsv1.DeploymentApplyConfiguration {
	replicas := s.Config.Replicas
	if s.Replicas != nil {
		replicas = *s.Replicas
	}
	return acappsv1.Deployment(ServerName, s.Namespace).
		WithLabels(serverObjectLabels()).
		WithAnnotations(map[string]string{ReplicasAnnotation: strconv.Itoa(int(s.Config.Replicas))}).
		WithOwnerReferences(ownerApply(s.owner())).
		WithSpec(acappsv1.DeploymentSpec().
			WithReplicas(replicas).
			WithRevisionHistoryLimit(2).
			WithSelector(selector()).
			WithStrategy(acappsv1.DeploymentStrategy().
				WithType(appsv1.RollingUpdateDeploymentStrategyType).
				WithRollingUpdate(acappsv1.RollingUpdateDeployment().
					WithMaxUnavailable(intstr.FromInt32(0)).
					WithMaxSurge(intstr.FromInt32(1)))).
			WithTemplate(accorev1.PodTemplateSpec().
				WithLabels(over(s.Config.PodLabels, ServerLabels())).
				WithAnnotations(s.Config.PodAnnotations).
				WithSpec(s.pod())))
}

func (s Server) pod() *accorev1.PodSpecApplyConfiguration {
	pod := accorev1.PodSpec().
		WithServiceAccountName(ServerName).
		WithAutomountServiceAccountToken(false).
		WithEnableServiceLinks(false).
		WithTerminationGracePeriodSeconds(gracePeriodSeconds).
		WithSecurityContext(accorev1.PodSecurityContext().
			WithRunAsNonRoot(true).
			WithRunAsUser(nonRoot).
			WithRunAsGroup(nonRoot).
			WithSeccompProfile(accorev1.SeccompProfile().WithType(corev1.SeccompProfileTypeRuntimeDefault))).
		WithTopologySpreadConstraints(spread(corev1.LabelHostname), spread(corev1.LabelTopologyZone)).
		WithContainers(s.container()).
		WithVolumes(accorev1.Volume().WithName(volumeName).WithProjected(s.projection())).
		WithNodeSelector(s.Config.NodeSelector)
	for _, t := range s.Config.Tolerations {
		pod.WithTolerations(toleration(t))
	}
	for _, secret := range s.Config.ImagePullSecrets {
		pod.WithImagePullSecrets(accorev1.LocalObjectReference().WithName(secret.Name))
	}
	if s.Config.PriorityClassName != "" {
		pod.WithPriorityClassName(s.Config.PriorityClassName)
	}
	return pod
}

func (s Server) container() *accorev1.ContainerApplyConfiguration {
	container := accorev1.Container().
		WithName(ServerContainer).
		WithImage(s.Config.Image).
		WithArgs(
			"serve",
			"--shards="+policiesDir,
			fmt.Sprintf("--listen=:%d", HTTPPort),
			fmt.Sprintf("--metrics-listen=:%d", MetricsPort),
		).
		WithPorts(port(HTTPPortName, HTTPPort), port(MetricsPortName, MetricsPort)).
		// The operator announces an id only to ready pods: what is seen late delays every change.
		WithReadinessProbe(probe("/readyz").WithPeriodSeconds(2)).
		WithLivenessProbe(probe("/healthz").WithPeriodSeconds(10)).
		WithSecurityContext(accorev1.SecurityContext().
			WithAllowPrivilegeEscalation(false).
			WithReadOnlyRootFilesystem(true).
			WithCapabilities(accorev1.Capabilities().WithDrop("ALL"))).
		WithVolumeMounts(accorev1.VolumeMount().
			WithName(volumeName).
			WithMountPath(policiesDir).
			WithReadOnly(true))
	if s.Config.ImagePullPolicy != "" {
		container.WithImagePullPolicy(s.Config.ImagePullPolicy)
	}
	if r := s.Config.Resources; r != nil {
		container.WithResources(requirements(*r))
	}
	return container
}

// projection puts all shards into one flat directory. It is mounted as a whole, because the kubelet
// never refreshes a subPath.
func (s Server) projection() *accorev1.ProjectedVolumeSourceApplyConfiguration {
	projected := accorev1.ProjectedVolumeSource().WithDefaultMode(0o444)
	for n := range DeclaredShards(s.Shards) {
		projected.WithSources(accorev1.VolumeProjection().WithConfigMap(accorev1.ConfigMapProjection().
			WithName(ShardName(n)).
			WithOptional(true)))
	}
	return projected
}

// MountedShards is how many shards a Deployment's pods mount, by what stands in it: at most [MostShards].
func MountedShards(d *appsv1.Deployment) int {
	if d == nil {
		return 0
	}
	for _, volume := range d.Spec.Template.Spec.Volumes {
		if volume.Name == volumeName && volume.Projected != nil {
			return min(len(volume.Projected.Sources), MostShards)
		}
	}
	return 0
}

func port(name string, number int32) *accorev1.ContainerPortApplyConfiguration {
	return accorev1.ContainerPort().
		WithName(name).
		WithContainerPort(number).
		WithProtocol(corev1.ProtocolTCP)
}

func probe(path string) *accorev1.ProbeApplyConfiguration {
	return accorev1.Probe().WithHTTPGet(accorev1.HTTPGetAction().
		WithPath(path).
		WithPort(intstr.FromString(MetricsPortName)))
}

func spread(topologyKey string) *accorev1.TopologySpreadConstraintApplyConfiguration {
	return accorev1.TopologySpreadConstraint().
		WithTopologyKey(topologyKey).
		WithMaxSkew(1).
		WithWhenUnsatisfiable(corev1.ScheduleAnyway).
		WithLabelSelector(selector())
}

func requirements(r corev1.ResourceRequirements) *accorev1.ResourceRequirementsApplyConfiguration {
	ac := accorev1.ResourceRequirements()
	if len(r.Requests) > 0 {
		ac.WithRequests(r.Requests)
	}
	if len(r.Limits) > 0 {
		ac.WithLimits(r.Limits)
	}
	return ac
}

// toleration sets only what is set: an empty field would be claimed, and compared, for nothing.
func toleration(t corev1.Toleration) *accorev1.TolerationApplyConfiguration {
	ac := accorev1.Toleration()
	if t.Key != "" {
		ac.WithKey(t.Key)
	}
	if t.Operator != "" {
		ac.WithOperator(t.Operator)
	}
	if t.Value != "" {
		ac.WithValue(t.Value)
	}
	if t.Effect != "" {
		ac.WithEffect(t.Effect)
	}
	ac.TolerationSeconds = t.TolerationSeconds
	return ac
}
