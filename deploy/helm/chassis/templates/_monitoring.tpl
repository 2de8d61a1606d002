{{/* Argument: (list $ kind of the monitor). */}}
{{- define "chassis.monitorEndpoint" -}}
- port: metrics
  path: /metrics
  interval: {{ .interval }}
  scrapeTimeout: {{ .scrapeTimeout }}
{{- end }}

{{- define "chassis.monitors" -}}
{{- $everywhere := ((.Values.global).monitoring).enabled -}}
{{- $pod := .Values.monitoring.podMonitor -}}
{{- $service := .Values.monitoring.serviceMonitor -}}
{{- if $service.enabled -}}
apiVersion: monitoring.coreos.com/v1
kind: ServiceMonitor
metadata:
  {{- include "chassis.metadata" (dict "root" . "labels" $service.labels) | nindent 2 }}
spec:
  selector:
    matchLabels:
      {{- include "chassis.selectorLabels" (list . .Chart.Name) | nindent 6 }}
      hocket/headless: "true"
  endpoints:
    {{- include "chassis.monitorEndpoint" $service | nindent 4 }}
{{- else if or $pod.enabled $everywhere -}}
apiVersion: monitoring.coreos.com/v1
kind: PodMonitor
metadata:
  {{- include "chassis.metadata" (dict "root" . "labels" $pod.labels) | nindent 2 }}
spec:
  selector:
    matchLabels:
      {{- include "chassis.selectorLabels" (list . .Chart.Name) | nindent 6 }}
  podMetricsEndpoints:
    {{- include "chassis.monitorEndpoint" $pod | nindent 4 }}
{{- end }}
{{- end }}

{{/* Groups of alerts in files/rules; nothing where the chart has none. */}}
{{- define "chassis.prometheusRule" -}}
{{- $rule := .Values.monitoring.prometheusRule -}}
{{- $groups := "" -}}
{{- range $path, $_ := .Files.Glob "files/rules/*.yaml" -}}
{{- $groups = printf "%s\n%s" $groups ($.Files.Get $path) -}}
{{- end -}}
{{- if and (trim $groups) (or $rule.enabled ((.Values.global).monitoring).enabled) -}}
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  {{- include "chassis.metadata" (dict "root" . "labels" $rule.labels) | nindent 2 }}
spec:
  groups:
    {{- $groups | trim | replace "RUNBOOKS_URL" $rule.runbooksUrl | nindent 4 }}
{{- end }}
{{- end }}

{{- define "chassis.dashboards" -}}
{{- $dashboards := .Values.monitoring.dashboards -}}
{{- $files := .Files.Glob "files/dashboards/*.json" -}}
{{- if and $files (or $dashboards.enabled ((.Values.global).monitoring).enabled) -}}
apiVersion: v1
kind: ConfigMap
metadata:
  {{- include "chassis.metadata" (dict "root" . "suffix" "-dashboards" "labels" $dashboards.labels "annotations" $dashboards.annotations) | nindent 2 }}
data:
  {{- range $path, $_ := $files }}
  {{ base $path }}: |-
    {{- $.Files.Get $path | trim | nindent 4 }}
  {{- end }}
{{- end }}
{{- end }}
