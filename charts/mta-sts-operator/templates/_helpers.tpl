{{/* The chart's name. */}}
{{- define "mta-sts-operator.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* The name of every object, short enough for a suffix. */}}
{{- define "mta-sts-operator.fullname" -}}
{{- $name := include "mta-sts-operator.name" . }}
{{- if not (contains $name .Release.Name) }}
{{- $name = printf "%s-%s" .Release.Name $name }}
{{- else }}
{{- $name = .Release.Name }}
{{- end }}
{{- .Values.fullnameOverride | default $name | trunc 46 | trimSuffix "-" }}
{{- end }}

{{/* What a Deployment selects its pods by: it can never be changed. */}}
{{- define "mta-sts-operator.selectorLabels" -}}
app.kubernetes.io/name: {{ include "mta-sts-operator.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: manager
{{- end }}

{{/* Labels of every object. */}}
{{- define "mta-sts-operator.labels" -}}
{{- $labels := include "mta-sts-operator.selectorLabels" . | fromYaml }}
{{- $_ := set $labels "app.kubernetes.io/version" (.Chart.AppVersion | replace "+" "_" | trunc 63) }}
{{- $_ := set $labels "app.kubernetes.io/part-of" "mta-sts-operator" }}
{{- $_ := set $labels "app.kubernetes.io/managed-by" .Release.Service }}
{{- $_ := set $labels "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-") }}
{{- toYaml (merge $labels (.Values.commonLabels | default dict)) }}
{{- end }}

{{- define "mta-sts-operator.serviceAccountName" -}}
{{- $fallback := ternary (include "mta-sts-operator.fullname" .) "default" .Values.serviceAccount.create }}
{{- .Values.serviceAccount.name | default $fallback }}
{{- end }}

{{/* Whom the roles are bound to. */}}
{{- define "mta-sts-operator.subjects" -}}
- kind: ServiceAccount
  name: {{ include "mta-sts-operator.serviceAccountName" . }}
  namespace: {{ .Release.Namespace }}
{{- end }}

{{- define "mta-sts-operator.image" -}}
{{- with .Values.image }}
{{- .repository }}:{{ .tag | default $.Chart.AppVersion }}{{ with .digest }}@{{ . }}{{ end }}
{{- end }}
{{- end }}

{{/* The operator's configuration file. */}}
{{- define "mta-sts-operator.config" -}}
{{- $config := deepCopy (.Values.config | default dict) }}
{{- $server := $config.server | default dict }}
{{- if not $server.image }}
{{- $_ := set $server "image" (include "mta-sts-operator.image" .) }}
{{- end }}
{{- $_ := set $config "server" $server }}
{{- toYaml (merge (dict "apiVersion" "config.mtasts.dev/v1alpha1" "kind" "OperatorConfiguration") $config) }}
{{- end }}

{{/* The rules of config/rbac/role.yaml, which is generated from the code. */}}
{{- define "mta-sts-operator.rules" -}}
{{- toYaml (.Files.Get "files/rbac/role.yaml" | fromYaml).rules }}
{{- end }}

{{/* "true" where there are to be admission policies, else empty. Without a cluster nobody knows what it has: what
the chart is for does. */}}
{{- define "mta-sts-operator.admissionPolicies" -}}
{{- $known := .Capabilities.APIVersions.Has "apps/v1/Deployment" }}
{{- $has := .Capabilities.APIVersions.Has "admissionregistration.k8s.io/v1/ValidatingAdmissionPolicy" }}
{{- if and .Values.admissionPolicies.enabled (or $has (not $known)) }}true{{ end }}
{{- end }}

{{/* The name of the admission policies, which are the cluster's: of several operators each has its own. */}}
{{- define "mta-sts-operator.admissionName" -}}
{{- include "mta-sts-operator.fullname" . }}{{ if .Values.watchNamespaces }}-{{ .Release.Namespace }}{{ end }}
{{- end }}

{{/* Where the image of the policy servers may come from, as JSON. */}}
{{- define "mta-sts-operator.repositories" -}}
{{- $config := include "mta-sts-operator.config" . | fromYaml }}
{{- $image := regexReplaceAll ":[^/:]*$" (regexReplaceAll "@.*$" $config.server.image "") "" }}
{{- prepend .Values.admissionPolicies.repositories $image | uniq | toJson }}
{{- end }}

{{/* "true" where metrics are for those who may get them, else empty. */}}
{{- define "mta-sts-operator.secureMetrics" -}}
{{- if kindIs "bool" .Values.metrics.secure }}
{{- if .Values.metrics.secure }}true{{ end }}
{{- else if not .Values.watchNamespaces }}true{{ end }}
{{- end }}

{{/* Refuses values that are fine each by itself and cannot work together. */}}
{{- define "mta-sts-operator.validate" -}}
{{- if and (gt (int .Values.replicaCount) 1) (not .Values.leaderElection.enabled) }}
{{- fail "replicaCount: several pods may work only with leaderElection.enabled: set that to true, or replicaCount to 1" }}
{{- end }}
{{- if eq (int .Values.metrics.port) (int .Values.probes.port) }}
{{- fail "metrics.port and probes.port are the same: write different ones" }}
{{- end }}
{{- with .Values.metrics }}
{{- if and .secure $.Values.watchNamespaces }}
{{- fail "metrics.secure: asking who may read metrics takes a ClusterRole, and with watchNamespaces there is none: set it to false, or metrics.enabled to false" }}
{{- end }}
{{- if and .readers $.Values.watchNamespaces }}
{{- fail "metrics.readers: letting somebody get /metrics takes a ClusterRole, and with watchNamespaces there is none: remove it" }}
{{- end }}
{{- if and (or .serviceMonitor.enabled .podMonitor.enabled) (not .enabled) }}
{{- fail "metrics.enabled is false, so there is nothing to monitor: set it to true, or remove the monitor" }}
{{- end }}
{{- if and .prometheusRule.enabled (not (or .serviceMonitor.enabled .podMonitor.enabled .servers.podMonitor.enabled)) }}
{{- fail "metrics.prometheusRule would have no metrics to look at: set metrics.serviceMonitor.enabled, metrics.podMonitor.enabled or metrics.servers.podMonitor.enabled to true" }}
{{- end }}
{{- if and .podMonitor.enabled (include "mta-sts-operator.secureMetrics" $) (not .podMonitor.authorization) }}
{{- fail "metrics.podMonitor.authorization is missing, and metrics.secure asks for it: name the Secret with a token that may get /metrics, use metrics.serviceMonitor, or set metrics.secure to false" }}
{{- end }}
{{- end }}
{{- end }}
