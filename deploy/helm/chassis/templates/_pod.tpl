{{/* Volumes of the service's files and of extraVolumes. Argument: (list $ secretSettings). */}}
{{- define "chassis.volumes" -}}
{{- $root := index . 0 -}}
- name: tmp
  emptyDir: {sizeLimit: {{ $root.Values.tmpSizeLimit }}}
{{- with $root.Values.journal }}
- name: journal
  {{- if .existingClaim }}
  persistentVolumeClaim: {claimName: {{ .existingClaim }}}
  {{- else }}
  emptyDir: {sizeLimit: {{ .sizeLimit }}}
  {{- end }}
{{- end }}
{{- with include "chassis.secretFiles" . }}
- name: secrets
  projected:
    defaultMode: 0440
    sources:
      {{- . | trim | nindent 6 }}
{{- end }}
{{- if $root.Values.secrets.csi.enabled }}
- name: csi
  csi:
    driver: secrets-store.csi.k8s.io
    readOnly: true
    volumeAttributes:
      secretProviderClass: {{ $root.Values.secrets.csi.secretProviderClass | default (include "chassis.fullname" $root) }}
{{- end }}
{{- with include "chassis.jwksVolume" $root }}
- name: jwks
  {{- . | trim | nindent 2 }}
{{- end }}
{{- with include "chassis.tlsSecret" $root }}
- name: tls
  secret: {secretName: {{ . }}, defaultMode: 0440}
{{- end }}
{{- with ($root.Values.meshKey).existingSecret }}
- name: mesh-key
  secret: {secretName: {{ . }}, defaultMode: 0440}
{{- end }}
{{- if ($root.Values.podDeletionCost).enabled }}
- name: api-token
  projected:
    defaultMode: 0440
    sources:
      - serviceAccountToken: {path: token, expirationSeconds: 3600}
      - configMap: {name: kube-root-ca.crt, items: [{key: ca.crt, path: ca.crt}]}
      - downwardAPI: {items: [{path: namespace, fieldRef: {fieldPath: metadata.namespace}}]}
{{- end }}
{{- if include "chassis.files" $root }}
- name: files
  configMap: {name: {{ include "chassis.fullname" $root }}-files}
{{- end }}
{{- with $root.Values.extraVolumes }}
{{ tpl (toYaml .) $root }}
{{- end }}
{{- end }}

{{- define "chassis.volumeMounts" -}}
{{- $root := index . 0 -}}
- {name: tmp, mountPath: /tmp}
{{- with $root.Values.journal }}
{{- if .existingClaim }}
- {name: journal, mountPath: /var/lib/hocket, subPathExpr: $(POD_NAME)}
{{- else }}
- {name: journal, mountPath: /var/lib/hocket}
{{- end }}
{{- end }}
{{- if include "chassis.secretFiles" . }}
- {name: secrets, mountPath: /etc/hocket/secrets, readOnly: true}
{{- end }}
{{- if $root.Values.secrets.csi.enabled }}
- {name: csi, mountPath: /etc/hocket/csi, readOnly: true}
{{- end }}
{{- if include "chassis.jwksVolume" $root }}
- {name: jwks, mountPath: /etc/hocket/jwks, readOnly: true}
{{- end }}
{{- if include "chassis.tlsSecret" $root }}
- {name: tls, mountPath: /etc/hocket/tls, readOnly: true}
{{- end }}
{{- if ($root.Values.meshKey).existingSecret }}
- {name: mesh-key, mountPath: /etc/hocket/mesh-key, readOnly: true}
{{- end }}
{{- if ($root.Values.podDeletionCost).enabled }}
- {name: api-token, mountPath: /var/run/secrets/kubernetes.io/serviceaccount, readOnly: true}
{{- end }}
{{- if include "chassis.files" $root }}
- {name: files, mountPath: /etc/hocket/files, readOnly: true}
{{- end }}
{{- with $root.Values.extraVolumeMounts }}
{{ tpl (toYaml .) $root }}
{{- end }}
{{- end }}

{{/* Files of the `files` values that are set, by name. */}}
{{- define "chassis.files" -}}
{{- range $name, $text := .Values.files | default dict -}}
{{- if $text }}
{{ $name }}: |
  {{- $text | nindent 2 }}
{{- end -}}
{{- end -}}
{{- end }}

{{/* Image, environment, mounts and security of a container of the service. */}}
{{- define "chassis.containerBody" -}}
{{- $service := include "chassis.service" . | fromYaml -}}
image: {{ include "chassis.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  {{- toYaml .Values.securityContext | nindent 2 }}
envFrom:
  - configMapRef: {name: {{ include "chassis.fullname" . }}}
  {{- with .Values.extraEnvFrom }}
  {{- tpl (toYaml .) $ | nindent 2 }}
  {{- end }}
env:
  {{- $pod := dict "name" "POD_NAME" "valueFrom" (dict "fieldRef" (dict "fieldPath" "metadata.name")) }}
  {{- $own := list $pod }}
  {{- if (.Values.podDeletionCost).enabled }}
  {{- $own = append $own (merge (dict "name" (printf "HOCKET_%s_DELETION_COST_POD" (upper $service.noun))) $pod) }}
  {{- end }}
  {{- include "chassis.env" (dict "root" . "settings" $service.secrets "extra" (concat $own (tpl (toYaml .Values.extraEnv) . | fromYamlArray))) | trim | nindent 2 }}
volumeMounts:
  {{- include "chassis.volumeMounts" (list . $service.secrets) | nindent 2 }}
resources:
  {{- toYaml .Values.resources | nindent 2 }}
{{- end }}

{{/* Where and how a pod runs, apart from its containers. */}}
{{- define "chassis.placement" -}}
{{- include "chassis.imagePullSecrets" . }}
{{- range $field := list "nodeSelector" "affinity" "tolerations" "hostAliases" "dnsConfig" }}
{{- with index $.Values $field }}
{{ $field }}:
  {{- tpl (toYaml .) $ | nindent 2 }}
{{- end }}
{{- end }}
{{- range $field := list "priorityClassName" "runtimeClassName" "schedulerName" "dnsPolicy" }}
{{- with index $.Values $field }}
{{ $field }}: {{ . }}
{{- end }}
{{- end }}
enableServiceLinks: false
automountServiceAccountToken: false
securityContext:
  {{- toYaml .Values.podSecurityContext | nindent 2 }}
{{- end }}

{{- define "chassis.topologySpread" -}}
{{- if .Values.topologySpreadConstraints -}}
topologySpreadConstraints:
  {{- tpl (toYaml .Values.topologySpreadConstraints) . | nindent 2 }}
{{- else if .Values.topologySpread.enabled -}}
topologySpreadConstraints:
  {{- range $key := list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
  - topologyKey: {{ $key }}
    maxSkew: {{ $.Values.topologySpread.maxSkew }}
    whenUnsatisfiable: {{ $.Values.topologySpread.whenUnsatisfiable }}
    labelSelector:
      matchLabels:
        {{- include "chassis.selectorLabels" (list $ $.Chart.Name) | nindent 8 }}
    matchLabelKeys: [pod-template-hash]
  {{- end }}
{{- end -}}
{{- end }}

{{/* Common fields of a probe. */}}
{{- define "chassis.probeTimes" -}}
periodSeconds: {{ .periodSeconds }}
timeoutSeconds: {{ .timeoutSeconds }}
failureThreshold: {{ .failureThreshold }}
{{- end }}

{{- define "chassis.probes" -}}
{{- with .Values.probes.startup }}
{{- if .enabled }}
startupProbe:
  httpGet: {path: /livez, port: metrics}
  {{- include "chassis.probeTimes" . | nindent 2 }}
{{- end }}
{{- end }}
{{- with .Values.probes.liveness }}
{{- if .enabled }}
livenessProbe:
  httpGet: {path: /livez, port: metrics}
  {{- include "chassis.probeTimes" . | nindent 2 }}
{{- end }}
{{- end }}
{{- with .Values.probes.readiness }}
{{- if .enabled }}
readinessProbe:
  {{- if include "chassis.tlsSecret" $ }}
  httpGet: {path: /readyz, port: metrics}
  {{- else }}
  grpc: {port: {{ $.Values.ports.grpc }}}
  {{- end }}
  {{- include "chassis.probeTimes" . | nindent 2 }}
{{- end }}
{{- end }}
{{- end }}

{{- define "chassis.lifecycle" -}}
{{- if .Values.lifecycle -}}
lifecycle:
  {{- tpl (toYaml .Values.lifecycle) . | nindent 2 }}
{{- else if .Values.preStopSleepSeconds -}}
lifecycle:
  preStop:
    {{- /* The native sleep is on by default from Kubernetes 1.30 on. */}}
    {{- if semverCompare ">=1.30.0-0" .Capabilities.KubeVersion.Version }}
    sleep: {seconds: {{ .Values.preStopSleepSeconds }}}
    {{- else }}
    exec: {command: [sleep, {{ .Values.preStopSleepSeconds | toString | quote }}]}
    {{- end }}
{{- end -}}
{{- end }}

{{- define "chassis.podAnnotations" -}}
{{- $mesh := include "chassis.serviceMesh" . -}}
{{- $annotations := dict "kubectl.kubernetes.io/default-container" .Chart.Name -}}
{{- $_ := set $annotations "checksum/config" (include "chassis.configuration" . | sha256sum) -}}
{{- $service := include "chassis.service" . | fromYaml -}}
{{- with include "chassis.secretValues" (list . $service.secrets) -}}
{{- $_ := set $annotations "checksum/secret" (sha256sum .) -}}
{{- end -}}
{{- with omit (.Values.files | default dict) $service.reloadedFile -}}
{{- if compact (values .) -}}{{- $_ := set $annotations "checksum/files" (toJson . | sha256sum) -}}{{- end -}}
{{- end -}}
{{- if eq $mesh "istio" -}}
{{- /* A proxy that is a native sidecar starts before the service and ends after its drain. */ -}}
{{- $_ := set $annotations "sidecar.istio.io/nativeSidecar" "true" -}}
{{- $_ := set $annotations "proxy.istio.io/config" "{\"holdApplicationUntilProxyStarts\": true}" -}}
{{- else if eq $mesh "linkerd" -}}
{{- $_ := set $annotations "linkerd.io/inject" "enabled" -}}
{{- $_ := set $annotations "config.beta.linkerd.io/proxy-enable-native-sidecar" "true" -}}
{{- $_ := set $annotations "config.linkerd.io/proxy-await" "enabled" -}}
{{- end -}}
{{- toYaml (merge dict .Values.podAnnotations $annotations) -}}
{{- end }}

{{- define "chassis.deployment" -}}
{{- include "chassis.checks" . -}}
{{- $service := include "chassis.service" . | fromYaml -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  {{- $annotations := merge dict .Values.annotations (ternary (dict "reloader.stakater.com/auto" "true") dict .Values.reloader) }}
  {{- include "chassis.metadata" (dict "root" . "annotations" $annotations) | nindent 2 }}
spec:
  {{- /* No `replicas`: the HPA alone decides, so that no upgrade, rollback or change of its mode lowers their number. */}}
  revisionHistoryLimit: {{ .Values.revisionHistoryLimit }}
  progressDeadlineSeconds: {{ .Values.progressDeadlineSeconds }}
  minReadySeconds: {{ .Values.minReadySeconds }}
  strategy:
    type: RollingUpdate
    rollingUpdate:
      {{- toYaml .Values.strategy | nindent 6 }}
  selector:
    matchLabels:
      {{- include "chassis.selectorLabels" (list . .Chart.Name) | nindent 6 }}
  template:
    metadata:
      labels:
        {{- include "chassis.podLabels" (list . .Chart.Name) | nindent 8 }}
      annotations:
        {{- include "chassis.podAnnotations" . | nindent 8 }}
    spec:
      serviceAccountName: {{ include "chassis.serviceAccountName" . }}
      terminationGracePeriodSeconds: {{ include "chassis.gracePeriod" . }}
      {{- include "chassis.placement" . | trim | nindent 6 }}
      {{- include "chassis.topologySpread" . | nindent 6 }}
      {{- if or .Values.checkConfig .Values.initContainers }}
      initContainers:
        {{- if .Values.checkConfig }}
        - name: check-config
          args: [--check-config]
          {{- include "chassis.containerBody" . | nindent 10 }}
        {{- end }}
        {{- with .Values.initContainers }}
        {{- tpl (toYaml .) $ | nindent 8 }}
        {{- end }}
      {{- end }}
      containers:
        - name: {{ .Chart.Name }}
          {{- include "chassis.containerBody" . | nindent 10 }}
          ports:
            - {name: grpc, containerPort: {{ .Values.ports.grpc }}, protocol: TCP}
            - {name: metrics, containerPort: {{ .Values.ports.metrics }}, protocol: TCP}
            {{- if $service.http }}
            - {name: http, containerPort: {{ .Values.ports.http }}, protocol: TCP}
            {{- end }}
          {{- include "chassis.probes" . | trim | nindent 10 }}
          {{- include "chassis.lifecycle" . | nindent 10 }}
        {{- with .Values.sidecars }}
        {{- tpl (toYaml .) $ | nindent 8 }}
        {{- end }}
      volumes:
        {{- include "chassis.volumes" (list . $service.secrets) | nindent 8 }}
{{- end }}

{{/* Combinations that no schema can refuse. */}}
{{- define "chassis.checks" -}}
{{- $scaling := .Values.autoscaling -}}
{{- if gt (int64 $scaling.minReplicas) (int64 $scaling.maxReplicas) -}}
{{- fail (printf "%s: autoscaling.maxReplicas is %d, below autoscaling.minReplicas (%d)" .Chart.Name (int64 $scaling.maxReplicas) (int64 $scaling.minReplicas)) -}}
{{- end -}}
{{- if and $scaling.enabled .Values.keda.enabled -}}
{{- fail (printf "%s: autoscaling.enabled and keda.enabled exclude each other; set autoscaling.enabled=false for KEDA" .Chart.Name) -}}
{{- end -}}
{{- $strategy := .Values.strategy -}}
{{- if and (has (toString $strategy.maxSurge) (list "0" "0%")) (has (toString $strategy.maxUnavailable) (list "0" "0%")) -}}
{{- fail (printf "%s: strategy.maxSurge and strategy.maxUnavailable must not both be 0" .Chart.Name) -}}
{{- end -}}
{{- $monitors := .Values.monitoring -}}
{{- if and $monitors.podMonitor.enabled $monitors.serviceMonitor.enabled -}}
{{- fail (printf "%s: monitoring.podMonitor and monitoring.serviceMonitor would scrape each pod twice; enable one" .Chart.Name) -}}
{{- end -}}
{{- end }}
