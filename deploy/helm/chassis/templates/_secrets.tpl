{{/*
Where a secret setting comes from; empty if from nowhere. Argument: dict root, setting.
Result: secret and key, optional; or file, in the folder of the CSI driver.
*/}}
{{- define "chassis.secretSource" -}}
{{- $root := .root -}}
{{- $setting := .setting -}}
{{- $dashed := $setting | replace "_" "-" -}}
{{- $own := $root.Values.secrets -}}
{{- $global := (($root.Values.global).secrets) | default dict -}}
{{- $release := include "chassis.fullname" $root -}}
{{- $optional := eq $own.as "env" -}}
{{- if hasKey $own.from $setting -}}
{{- index $own.from $setting | toYaml | replace "name:" "secret:" -}}
{{- else if index $own.values $setting -}}
{{- dict "secret" $release "key" $dashed "rendered" true | toYaml -}}
{{- else if and $own.csi.enabled (hasKey $own.csi.files $setting) -}}
{{- dict "file" (index $own.csi.files $setting) | toYaml -}}
{{- else if and $own.externalSecret.enabled (hasKey $own.externalSecret.data $setting) -}}
{{- dict "secret" (printf "%s-external" $release) "key" $dashed | toYaml -}}
{{- else if and $own.existingSecret (or $optional (hasKey $own.keys $setting)) -}}
{{- $key := index $own.keys $setting -}}
{{- dict "secret" $own.existingSecret "key" ($key | default $dashed) "optional" (not $key) | toYaml -}}
{{- else if hasKey ($global.from | default dict) $setting -}}
{{- $ref := index $global.from $setting -}}
{{- dict "secret" $ref.name "key" $ref.key | toYaml -}}
{{- else if index ($global.values | default dict) $setting -}}
{{- dict "secret" $release "key" $dashed "rendered" true | toYaml -}}
{{- else if and $global.existingSecret (or $optional (hasKey ($global.keys | default dict) $setting)) -}}
{{- $key := index ($global.keys | default dict) $setting -}}
{{- dict "secret" $global.existingSecret "key" ($key | default $dashed) "optional" (not $key) | toYaml -}}
{{- end -}}
{{- end }}

{{/* Plain values of secret settings that the release stores, by key. Argument: (list $ settings). */}}
{{- define "chassis.secretValues" -}}
{{- $root := index . 0 -}}
{{- range $setting := index . 1 -}}
{{- $source := include "chassis.secretSource" (dict "root" $root "setting" $setting) | fromYaml -}}
{{- if $source.rendered }}
{{ $source.key }}: {{ index $root.Values.secrets.values $setting | default (index ((($root.Values.global).secrets).values | default dict) $setting) | toString | quote }}
{{- end -}}
{{- end -}}
{{- end }}

{{/* Secret of the release with the plain values; nothing without any. */}}
{{- define "chassis.secret" -}}
{{- $service := include "chassis.service" . | fromYaml -}}
{{- with include "chassis.secretValues" (list . $service.secrets) -}}
apiVersion: v1
kind: Secret
metadata:
  {{- include "chassis.metadata" (dict "root" $) | nindent 2 }}
type: Opaque
stringData:
  {{- . | trim | nindent 2 }}
{{- end }}
{{- end }}

{{/* ExternalSecret object. Argument: dict root, suffix, settings, annotations. */}}
{{- define "chassis.externalSecretOf" -}}
{{- $external := .root.Values.secrets.externalSecret -}}
{{- $data := list -}}
{{- range $setting := .settings -}}
{{- with index $external.data $setting -}}
{{- $data = append $data (dict "secretKey" ($setting | replace "_" "-") "remoteRef" .) -}}
{{- end -}}
{{- end -}}
{{- if and $external.enabled $data -}}
apiVersion: external-secrets.io/v1
kind: ExternalSecret
metadata:
  {{- include "chassis.metadata" (dict "root" .root "suffix" .suffix "annotations" .annotations "component" .component) | nindent 2 }}
spec:
  refreshInterval: {{ $external.refreshInterval }}
  secretStoreRef:
    {{- toYaml $external.secretStoreRef | nindent 4 }}
  target:
    name: {{ include "chassis.fullname" .root }}{{ .suffix }}
    creationPolicy: Owner
  data:
    {{- toYaml $data | nindent 4 }}
{{- end }}
{{- end }}

{{- define "chassis.externalSecret" -}}
{{- $service := include "chassis.service" . | fromYaml -}}
{{- include "chassis.externalSecretOf" (dict "root" . "suffix" "-external" "settings" $service.secrets) -}}
{{- end }}

{{- define "chassis.secretProviderClass" -}}
{{- $csi := .Values.secrets.csi -}}
{{- if and $csi.enabled (not $csi.secretProviderClass) -}}
apiVersion: secrets-store.csi.x-k8s.io/v1
kind: SecretProviderClass
metadata:
  {{- include "chassis.metadata" (dict "root" .) | nindent 2 }}
spec:
  provider: {{ required (printf "%s: secrets.csi.enabled needs secrets.csi.secretProviderClass or secrets.csi.provider" .Chart.Name) $csi.provider }}
  parameters:
    {{- toYaml $csi.parameters | nindent 4 }}
{{- end }}
{{- end }}

{{- define "chassis.certificate" -}}
{{- if and (include "chassis.tlsSecret" .) (include "chassis.usesCertManager" .) (not .Values.tls.existingSecret) -}}
{{- $manager := .Values.tls.certManager -}}
{{- $global := (((.Values.global).tls).certManager).issuerRef | default dict -}}
{{- $name := include "chassis.fullname" . -}}
apiVersion: cert-manager.io/v1
kind: Certificate
metadata:
  {{- include "chassis.metadata" (dict "root" .) | nindent 2 }}
spec:
  secretName: {{ $name }}-tls
  commonName: {{ $name }}
  duration: {{ $manager.duration }}
  renewBefore: {{ $manager.renewBefore }}
  usages: [digital signature, server auth, client auth]
  privateKey:
    algorithm: ECDSA
    size: 256
    rotationPolicy: Always
  dnsNames:
    {{- range $host := list $name (printf "%s-headless" $name) }}
    - {{ $host }}
    - {{ $host }}.{{ $.Release.Namespace }}
    - {{ $host }}.{{ $.Release.Namespace }}.svc
    - {{ $host }}.{{ $.Release.Namespace }}.svc.cluster.local
    {{- end }}
    {{- range $manager.dnsNames }}
    - {{ . | quote }}
    {{- end }}
  issuerRef:
    name: {{ required (printf "%s: tls.certManager needs issuerRef.name, or global.tls.certManager.issuerRef.name" .Chart.Name) ($manager.issuerRef.name | default $global.name) }}
    kind: {{ $manager.issuerRef.kind | default $global.kind | default "Issuer" }}
    group: {{ $manager.issuerRef.group | default $global.group | default "cert-manager.io" }}
{{- end }}
{{- end }}

{{/* Environment variables by name: secrets, and what the pod knows of itself. Argument: dict root, settings, extra. */}}
{{- define "chassis.env" -}}
{{- $root := .root -}}
{{- $service := include "chassis.service" $root | fromYaml -}}
{{- $env := dict -}}
{{- range $setting := .settings -}}
{{- $variable := printf "HOCKET_%s_%s" (upper $service.noun) (upper $setting) -}}
{{- with include "chassis.secretSource" (dict "root" $root "setting" $setting) | fromYaml -}}
{{- if .file -}}
{{- $_ := set $env (printf "%s_FILE" $variable) (dict "value" (printf "/etc/hocket/csi/%s" .file)) -}}
{{- else if eq $root.Values.secrets.as "files" -}}
{{- $_ := set $env (printf "%s_FILE" $variable) (dict "value" (printf "/etc/hocket/secrets/%s" ($setting | replace "_" "-"))) -}}
{{- else -}}
{{- $ref := dict "name" .secret "key" .key -}}
{{- if .optional -}}{{- $_ := set $ref "optional" true -}}{{- end -}}
{{- $_ := set $env $variable (dict "valueFrom" (dict "secretKeyRef" $ref)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range .extra -}}
{{- $_ := set $env .name (omit . "name") -}}
{{- end -}}
{{- range $name, $source := $env }}
- name: {{ $name }}
  {{- toYaml $source | nindent 2 }}
{{- end }}
{{- end }}

{{/* Projected sources of secrets as files. Argument: (list $ settings). */}}
{{- define "chassis.secretFiles" -}}
{{- $root := index . 0 -}}
{{- if eq $root.Values.secrets.as "files" -}}
{{- range $setting := index . 1 -}}
{{- with include "chassis.secretSource" (dict "root" $root "setting" $setting) | fromYaml -}}
{{- if .secret }}
- secret:
    name: {{ .secret }}
    items: [{key: {{ .key | quote }}, path: {{ $setting | replace "_" "-" }}}]
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end }}
