{{/*
HorizontalPodAutoscaler, except with KEDA. A fixed number of pods is an HPA with min = max: the Deployment never has
`replicas`, whose removal by a later upgrade or rollback would reset it to 1.
*/}}
{{- define "chassis.horizontalPodAutoscaler" -}}
{{- if not .Values.keda.enabled -}}
{{- $scaling := .Values.autoscaling -}}
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  {{- include "chassis.metadata" (dict "root" .) | nindent 2 }}
spec:
  scaleTargetRef:
    apiVersion: apps/v1
    kind: Deployment
    name: {{ include "chassis.fullname" . }}
  {{- if $scaling.enabled }}
  minReplicas: {{ $scaling.minReplicas }}
  maxReplicas: {{ $scaling.maxReplicas }}
  metrics:
    {{- if $scaling.metric.enabled }}
    - type: Pods
      pods:
        metric: {name: {{ $scaling.metric.name }}}
        target: {type: AverageValue, averageValue: {{ include "chassis.scalar" $scaling.metric.averageValue | quote }}}
    {{- end }}
    {{- if or $scaling.cpu.enabled (not (or $scaling.metric.enabled $scaling.extraMetrics)) }}
    - type: Resource
      resource:
        name: cpu
        target: {type: Utilization, averageUtilization: {{ $scaling.cpu.averageUtilization }}}
    {{- end }}
    {{- with $scaling.extraMetrics }}
    {{- tpl (toYaml .) $ | nindent 4 }}
    {{- end }}
  {{- else }}
  minReplicas: {{ .Values.replicaCount }}
  maxReplicas: {{ .Values.replicaCount }}
  metrics:
    - type: Resource
      resource:
        name: cpu
        target: {type: Utilization, averageUtilization: {{ $scaling.cpu.averageUtilization }}}
  {{- end }}
  {{- with $scaling.behavior }}
  behavior:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}
{{- end }}

{{- define "chassis.scaledObject" -}}
{{- if .Values.keda.enabled -}}
{{- $scaling := .Values.autoscaling -}}
{{- $service := include "chassis.service" . | fromYaml -}}
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata:
  {{- include "chassis.metadata" (dict "root" .) | nindent 2 }}
spec:
  scaleTargetRef:
    name: {{ include "chassis.fullname" . }}
  minReplicaCount: {{ $scaling.minReplicas }}
  maxReplicaCount: {{ $scaling.maxReplicas }}
  pollingInterval: {{ .Values.keda.pollingInterval }}
  cooldownPeriod: {{ .Values.keda.cooldownPeriod }}
  fallback:
    failureThreshold: {{ .Values.keda.failureThreshold }}
    replicas: {{ $scaling.minReplicas }}
    behavior: currentReplicasIfHigher
  {{- with $scaling.behavior }}
  advanced:
    horizontalPodAutoscalerConfig:
      behavior:
        {{- toYaml . | nindent 8 }}
  {{- end }}
  triggers:
    - type: prometheus
      metricType: AverageValue
      metadata:
        serverAddress: {{ .Values.keda.serverAddress | quote }}
        query: {{ tpl (.Values.keda.query | default $service.kedaQuery) . | quote }}
        threshold: {{ include "chassis.scalar" $scaling.metric.averageValue | quote }}
      {{- with .Values.keda.authenticationRef }}
      authenticationRef: {name: {{ . }}}
      {{- end }}
    {{- if $scaling.cpu.enabled }}
    - type: cpu
      metricType: Utilization
      metadata: {value: {{ $scaling.cpu.averageUtilization | toString | quote }}}
    {{- end }}
    {{- with .Values.keda.extraTriggers }}
    {{- tpl (toYaml .) $ | nindent 4 }}
    {{- end }}
{{- end }}
{{- end }}
