{{/* Facts of the service: noun, calls, callers, stores … Each chart defines them in its generated _service.tpl. */}}
{{- define "chassis.service" -}}
{{- include (printf "%s.service" .Chart.Name) . -}}
{{- end }}

{{/* Chart's name in labels and object names. */}}
{{- define "chassis.name" -}}
{{- .Values.nameOverride | default .Chart.Name -}}
{{- end }}

{{/* Release name without this chart's name: a release `speech` or `prod-speech` of chart speech has base "" or "prod". */}}
{{- define "chassis.base" -}}
{{- if ne .Release.Name .Chart.Name -}}
{{- .Release.Name | trimSuffix (printf "-%s" .Chart.Name) -}}
{{- end -}}
{{- end }}

{{/*
Name of the objects of chart `chart` under `base`: at most 50 characters, so that suffixes fit in 63. A long base is
shortened and told apart by a hash; the chart's name stays whole, or charts of one release would collide.
*/}}
{{- define "chassis.nameOf" -}}
{{- $full := .chart -}}
{{- if .base -}}{{- $full = printf "%s-%s" .base .chart -}}{{- end -}}
{{- if gt (len $full) 50 -}}
{{- $room := max 1 (sub 42 (len .chart)) | int -}}
{{- $full = printf "%s-%s-%s" (.base | trunc $room | trimSuffix "-") (.base | sha256sum | trunc 6) .chart -}}
{{- end -}}
{{- $full | replace "." "-" -}}
{{- end }}

{{- define "chassis.fullname" -}}
{{- .Values.fullnameOverride | default (include "chassis.nameOf" (dict "base" (include "chassis.base" .) "chart" (include "chassis.name" .))) -}}
{{- end }}

{{- define "chassis.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "chassis.fullname" .) -}}
{{- else -}}
{{- .Values.serviceAccount.name | default "default" -}}
{{- end -}}
{{- end }}

{{/* Labels that select the pods of a component; immutable. Argument: (list $ component). */}}
{{- define "chassis.selectorLabels" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ include "chassis.name" $root }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{- define "chassis.labels" -}}
{{- $root := index . 0 -}}
{{ include "chassis.selectorLabels" . }}
app.kubernetes.io/part-of: hocket
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- with $root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Labels of a pod: those of its component, and `podLabels`; not the chart's version, which would restart pods. */}}
{{- define "chassis.podLabels" -}}
{{- $root := index . 0 -}}
{{- $labels := omit (include "chassis.labels" . | fromYaml) "helm.sh/chart" "app.kubernetes.io/managed-by" -}}
{{- $mesh := include "chassis.serviceMesh" $root -}}
{{- if and (eq $mesh "istio") (eq (index . 1) $root.Chart.Name) -}}
{{- $_ := set $labels "sidecar.istio.io/inject" "true" -}}
{{- end -}}
{{- merge $labels $root.Values.podLabels | toYaml -}}
{{- end }}

{{/* Metadata of an object. Argument: dict root, suffix, component, labels, annotations; all but root optional. */}}
{{- define "chassis.metadata" -}}
name: {{ include "chassis.fullname" .root }}{{ .suffix | default "" }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- merge (include "chassis.labels" (list .root (.component | default .root.Chart.Name)) | fromYaml) (.labels | default dict) | toYaml | nindent 2 }}
{{- with merge dict (.annotations | default dict) .root.Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Annotations of a hook. Argument: (list events weight delete-policy). */}}
{{- define "chassis.hook" -}}
helm.sh/hook: {{ index . 0 | quote }}
helm.sh/hook-weight: {{ index . 1 | quote }}
helm.sh/hook-delete-policy: {{ index . 2 | quote }}
{{- end }}

{{- define "chassis.serviceMesh" -}}
{{- .Values.serviceMesh | default ((.Values.global).serviceMesh) | default "" -}}
{{- end }}

{{/* A number or text as an environment variable has it: 86400000, not 8.64e+07. Lists become JSON. */}}
{{- define "chassis.scalar" -}}
{{- if kindIs "float64" . -}}
{{- if eq (floor .) . -}}{{- int64 . -}}{{- else -}}{{- . -}}{{- end -}}
{{- else if or (kindIs "slice" .) (kindIs "map" .) -}}
{{- toJson . -}}
{{- else -}}
{{- . -}}
{{- end -}}
{{- end }}

{{/* Image reference; a digest takes precedence over the tag. */}}
{{- define "chassis.image" -}}
{{- $registry := .Values.image.registry | default ((.Values.global).imageRegistry) -}}
{{- $name := .Values.image.repository -}}
{{- if $registry -}}{{- $name = printf "%s/%s" (trimSuffix "/" $registry) $name -}}{{- end -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" $name .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" $name (.Values.image.tag | default ((.Values.global).imageTag) | default .Chart.AppVersion) -}}
{{- end -}}
{{- end }}

{{- define "chassis.imagePullSecrets" -}}
{{- $names := list -}}
{{- range concat (((.Values.global).imagePullSecrets) | default list) .Values.image.pullSecrets -}}
{{- if kindIs "string" . -}}{{- $names = append $names (dict "name" .) -}}{{- else -}}{{- $names = append $names . -}}{{- end -}}
{{- end -}}
{{- with uniq $names }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
