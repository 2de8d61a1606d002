{{/*
Job that brings the schema up to date before the pods of a new version start. Its Secret, ServiceAccount and
NetworkPolicy are hooks of lower weight: objects of the release do not exist yet when a pre-install hook runs.
*/}}
{{- define "chassis.migration" -}}
{{- $migration := .Values.migration -}}
{{- $setting := "postgres_migration_url" -}}
{{- $source := include "chassis.secretSource" (dict "root" . "setting" $setting) | fromYaml -}}
{{- if and $migration.enabled $source -}}
{{- $service := include "chassis.service" . | fromYaml -}}
{{- $component := printf "%s-migrate" .Chart.Name -}}
{{- if $source.file -}}
{{- fail (printf "%s: the migration Job reads postgres_migration_url from a Secret, not from the CSI driver" .Chart.Name) -}}
{{- end -}}
{{- $before := dict -}}
{{- $during := dict -}}
{{- $suffix := "-migrate" -}}
{{- if $migration.hook -}}
{{- $before = include "chassis.hook" (list $migration.hook "-10" "before-hook-creation,hook-succeeded,hook-failed") | fromYaml -}}
{{- $during = include "chassis.hook" (list $migration.hook "-5" "before-hook-creation,hook-succeeded") | fromYaml -}}
{{- else -}}
{{- /* The template of a Job is immutable: each revision has its own. */ -}}
{{- $suffix = printf "-migrate-%d" .Release.Revision -}}
{{- end -}}
{{- $metadata := dict "root" . "suffix" "-migrate" "component" $component "annotations" $before -}}
{{- $key := $setting | replace "_" "-" -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  {{- include "chassis.metadata" $metadata | nindent 2 }}
automountServiceAccountToken: false
{{- with include "chassis.secretValues" (list . (list $setting)) }}
---
apiVersion: v1
kind: Secret
metadata:
  {{- include "chassis.metadata" $metadata | nindent 2 }}
type: Opaque
stringData:
  {{- . | trim | nindent 2 }}
{{- $_ := set $source "secret" (printf "%s-migrate" (include "chassis.fullname" $)) }}
{{- end }}
{{- with include "chassis.externalSecretOf" (merge (dict "settings" (list $setting)) $metadata) }}
---
{{ . }}
{{- $_ := set $source "secret" (printf "%s-migrate" (include "chassis.fullname" $)) }}
{{- end }}
{{- if and .Values.networkPolicy.enabled (ne (toString ((.Values.global).networkPolicy).enabled) "false") }}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  {{- include "chassis.metadata" $metadata | nindent 2 }}
spec:
  podSelector:
    matchLabels:
      {{- include "chassis.selectorLabels" (list . $component) | nindent 6 }}
  policyTypes: [Ingress, Egress]
  egress:
    - ports:
        - {protocol: UDP, port: 53}
        - {protocol: TCP, port: 53}
    {{- include "chassis.egressRule" .Values.networkPolicy.postgres | nindent 4 }}
{{- end }}
---
apiVersion: batch/v1
kind: Job
metadata:
  {{- include "chassis.metadata" (merge (dict "suffix" $suffix "annotations" $during) $metadata) | nindent 2 }}
spec:
  backoffLimit: {{ $migration.backoffLimit }}
  activeDeadlineSeconds: {{ $migration.activeDeadlineSeconds }}
  {{- if not $migration.hook }}
  ttlSecondsAfterFinished: 86400
  {{- end }}
  # Exit codes of `migrate`: 1, 2 and 4 need a person; any other is worth another attempt.
  podFailurePolicy:
    rules:
      - action: Ignore
        onPodConditions: [{type: DisruptionTarget, status: "True"}]
      - action: FailJob
        onExitCodes: {containerName: migrate, operator: In, values: [1, 2, 4]}
  template:
    metadata:
      labels:
        {{- include "chassis.podLabels" (list . $component) | nindent 8 }}
      annotations:
        sidecar.istio.io/inject: "false"
        linkerd.io/inject: disabled
    spec:
      restartPolicy: Never
      terminationGracePeriodSeconds: 30
      serviceAccountName: {{ include "chassis.fullname" . }}-migrate
      {{- include "chassis.placement" . | trim | nindent 6 }}
      containers:
        - name: migrate
          image: {{ include "chassis.image" . | quote }}
          imagePullPolicy: {{ .Values.image.pullPolicy }}
          securityContext:
            {{- toYaml .Values.securityContext | nindent 12 }}
          args: [migrate]
          env:
            - name: HOCKET_{{ upper $service.noun }}_POSTGRES_MIGRATION_URL
              valueFrom:
                secretKeyRef: {name: {{ $source.secret }}, key: {{ $source.key | default $key | quote }}}
          volumeMounts:
            - {name: tmp, mountPath: /tmp}
            {{- with .Values.extraVolumeMounts }}
            {{- tpl (toYaml .) $ | nindent 12 }}
            {{- end }}
          resources:
            {{- toYaml $migration.resources | nindent 12 }}
      volumes:
        - name: tmp
          emptyDir: {sizeLimit: {{ .Values.tmpSizeLimit }}}
        {{- with .Values.extraVolumes }}
        {{- tpl (toYaml .) $ | nindent 8 }}
        {{- end }}
{{- end }}
{{- end }}
