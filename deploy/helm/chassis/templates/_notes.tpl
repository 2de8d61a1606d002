{{- define "chassis.notes" -}}
{{- $service := include "chassis.service" . | fromYaml -}}
{{- $name := include "chassis.fullname" . -}}
{{ .Chart.Name }} {{ .Chart.AppVersion }} is release {{ .Release.Name }} in namespace {{ .Release.Namespace }}.

  gRPC     dns:///{{ $name }}-headless.{{ .Release.Namespace }}.svc:{{ .Values.ports.grpc }}  (round_robin)
  ready    kubectl --namespace {{ .Release.Namespace }} rollout status deployment/{{ $name }}
  check    helm test {{ .Release.Name }} --namespace {{ .Release.Namespace }}
  metrics  port {{ .Values.ports.metrics }}, /metrics

Drain budget: {{ include "chassis.drainBudget" . }} s. A pod gets {{ include "chassis.gracePeriod" . }} s from its deletion to SIGKILL; pods that still serve stay Terminating meanwhile.
{{- if .Values.keda.enabled }}
Scaling: KEDA, {{ .Values.autoscaling.minReplicas }} to {{ .Values.autoscaling.maxReplicas }} pods.
{{- else if .Values.autoscaling.enabled }}
Scaling: {{ .Values.autoscaling.minReplicas }} to {{ .Values.autoscaling.maxReplicas }} pods on {{ ternary .Values.autoscaling.metric.name "CPU" .Values.autoscaling.metric.enabled }}. The HPA raises a first install from 1 pod to the minimum within its sync period (15 s), which `helm --wait` does not await.
{{- else }}
Scaling: fixed at {{ .Values.replicaCount }} pods by an HPA with min = max.
{{- end }}
{{- $settings := include "chassis.settings" . | fromYaml }}
{{- $jwt := include "chassis.secretSource" (dict "root" . "setting" "jwt_secret") }}
{{- if not (or $jwt (include "chassis.jwksVolume" .) $settings.jwks_url) }}

WARNING: no key verifies tokens, so the pods refuse to listen. Set secrets.existingSecret, secrets.values.jwt_secret, jwks or settings.jwks_url.
{{- end }}
{{- range $setting := $service.needed }}
{{- $embedded := hasSuffix "-embedded" (include "chassis.image" $) }}
{{- if not (or $embedded (include "chassis.secretSource" (dict "root" $ "setting" $setting))) }}

WARNING: secret setting {{ $setting }} comes from nowhere; the pods do not become ready. Set secrets.existingSecret, or secrets.values.{{ $setting }} for a trial.
{{- end }}
{{- end }}
{{- if hasKey .Values "migration" }}
{{- if not (and .Values.migration.enabled (include "chassis.secretSource" (dict "root" . "setting" "postgres_migration_url"))) }}

WARNING: no migration Job, because postgres_migration_url comes from nowhere. Before each upgrade run `hocket-{{ .Chart.Name }} migrate` with HOCKET_{{ upper $service.noun }}_POSTGRES_MIGRATION_URL.
{{- end }}
{{- end }}
{{- end }}
