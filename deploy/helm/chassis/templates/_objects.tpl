{{- define "chassis.configMap" -}}
apiVersion: v1
kind: ConfigMap
metadata:
  {{- include "chassis.metadata" (dict "root" .) | nindent 2 }}
data:
  {{- include "chassis.configuration" . | trim | nindent 2 }}
{{- with include "chassis.files" . }}
---
apiVersion: v1
kind: ConfigMap
metadata:
  {{- include "chassis.metadata" (dict "root" $ "suffix" "-files") | nindent 2 }}
data:
  {{- . | trim | nindent 2 }}
{{- end }}
{{- with .Values.jwks }}
{{- if and .inline (not .existingSecret) (not .existingConfigMap) }}
---
apiVersion: v1
kind: ConfigMap
metadata:
  {{- include "chassis.metadata" (dict "root" $ "suffix" "-jwks") | nindent 2 }}
data:
  {{ .key }}: |
    {{- .inline | nindent 4 }}
{{- end }}
{{- end }}
{{- end }}

{{- define "chassis.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  {{- $metadata := include "chassis.metadata" (dict "root" . "annotations" .Values.serviceAccount.annotations) | fromYaml }}
  {{- merge (dict "name" (include "chassis.serviceAccountName" .)) $metadata | toYaml | nindent 2 }}
automountServiceAccountToken: false
{{- end }}
{{- end }}

{{/* Right of the pods to annotate themselves; RBAC cannot name pods that do not exist yet. */}}
{{- define "chassis.podDeletionCost" -}}
{{- if (.Values.podDeletionCost).enabled -}}
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  {{- include "chassis.metadata" (dict "root" .) | nindent 2 }}
rules:
  - apiGroups: [""]
    resources: [pods]
    verbs: [patch]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  {{- include "chassis.metadata" (dict "root" .) | nindent 2 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: {{ include "chassis.fullname" . }}
subjects:
  - kind: ServiceAccount
    name: {{ include "chassis.serviceAccountName" . }}
    namespace: {{ .Release.Namespace }}
{{- end }}
{{- end }}

{{- define "chassis.servicePorts" -}}
{{- $service := include "chassis.service" . | fromYaml -}}
{{- $mesh := include "chassis.serviceMesh" . -}}
{{- $protocol := "kubernetes.io/h2c" -}}
{{- if include "chassis.tlsSecret" . -}}{{- $protocol = "https" -}}{{- else if $mesh -}}{{- $protocol = "grpc" -}}{{- end -}}
- {name: grpc, port: {{ .Values.ports.grpc }}, targetPort: grpc, protocol: TCP, appProtocol: {{ .Values.service.appProtocol | default $protocol }}}
- {name: metrics, port: {{ .Values.ports.metrics }}, targetPort: metrics, protocol: TCP, appProtocol: http}
{{- if $service.http }}
- {name: http, port: {{ .Values.ports.http }}, targetPort: http, protocol: TCP, appProtocol: http}
{{- end }}
{{- end }}

{{/* ClusterIP Service, and a headless one whose DNS name resolves to the ready pods. */}}
{{- define "chassis.services" -}}
{{- range $suffix := list "" "-headless" }}
---
apiVersion: v1
kind: Service
metadata:
  {{- $labels := ternary (dict "hocket/headless" "true") dict (eq $suffix "-headless") }}
  {{- include "chassis.metadata" (dict "root" $ "suffix" $suffix "labels" $labels "annotations" $.Values.service.annotations) | nindent 2 }}
spec:
  {{- if $suffix }}
  type: ClusterIP
  clusterIP: None
  {{- else }}
  type: {{ $.Values.service.type }}
  {{- with $.Values.service.trafficDistribution }}
  trafficDistribution: {{ . }}
  {{- end }}
  {{- end }}
  {{- with $.Values.service.ipFamilyPolicy }}
  ipFamilyPolicy: {{ . }}
  {{- end }}
  {{- with $.Values.service.ipFamilies }}
  ipFamilies:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  selector:
    {{- include "chassis.selectorLabels" (list $ $.Chart.Name) | nindent 4 }}
  ports:
    {{- include "chassis.servicePorts" $ | nindent 4 }}
{{- end }}
{{- end }}

{{- define "chassis.podDisruptionBudget" -}}
{{- with .Values.podDisruptionBudget -}}
{{- if .enabled -}}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  {{- include "chassis.metadata" (dict "root" $) | nindent 2 }}
spec:
  maxUnavailable: {{ .maxUnavailable }}
  unhealthyPodEvictionPolicy: {{ .unhealthyPodEvictionPolicy }}
  selector:
    matchLabels:
      {{- include "chassis.selectorLabels" (list $ $.Chart.Name) | nindent 6 }}
{{- end }}
{{- end }}
{{- end }}

{{- define "chassis.httpRoutes" -}}
{{- $name := include "chassis.fullname" . -}}
{{- $routes := dict "GRPCRoute" .Values.grpcRoute "HTTPRoute" (.Values.httpRoute | default dict) -}}
{{- range $kind, $route := $routes }}
{{- if $route.enabled }}
{{- if not $route.parentRefs }}{{ fail (printf "%s: a %s needs parentRefs" $.Chart.Name $kind) }}{{ end }}
---
apiVersion: gateway.networking.k8s.io/v1
kind: {{ $kind }}
metadata:
  {{- include "chassis.metadata" (dict "root" $ "annotations" $route.annotations) | nindent 2 }}
spec:
  parentRefs:
    {{- toYaml $route.parentRefs | nindent 4 }}
  {{- with $route.hostnames }}
  hostnames:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  rules:
    - backendRefs:
        - name: {{ $name }}
          port: {{ ternary $.Values.ports.grpc $.Values.ports.http (eq $kind "GRPCRoute") }}
{{- end }}
{{- end }}
{{- with .Values.ingress }}
{{- if .enabled }}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  {{- include "chassis.metadata" (dict "root" $ "annotations" .annotations) | nindent 2 }}
spec:
  {{- with .className }}
  ingressClassName: {{ . }}
  {{- end }}
  {{- with .tls }}
  tls:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  rules:
    {{- range .hosts }}
    - host: {{ . | quote }}
      http:
        paths:
          - path: /
            pathType: Prefix
            backend:
              service:
                name: {{ $name }}
                port: {name: http}
    {{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- define "chassis.extraObjects" -}}
{{- range .Values.extraObjects }}
---
{{ tpl (ternary . (toYaml .) (kindIs "string" .)) $ }}
{{- end }}
{{- end }}

{{/* Pod of `helm test`: gRPC health through the headless name, and /readyz, as a caller sees them. */}}
{{- define "chassis.test" -}}
{{- if .Values.tests.enabled -}}
{{- $name := include "chassis.fullname" . -}}
apiVersion: v1
kind: Pod
metadata:
  {{- $mesh := dict "sidecar.istio.io/inject" "false" "linkerd.io/inject" "disabled" }}
  {{- $hook := include "chassis.hook" (list "test" "0" "before-hook-creation,hook-succeeded,hook-failed") | fromYaml }}
  {{- include "chassis.metadata" (dict "root" . "suffix" "-test" "component" (printf "%s-test" .Chart.Name) "annotations" (merge $hook $mesh)) | nindent 2 }}
spec:
  restartPolicy: Never
  activeDeadlineSeconds: {{ .Values.tests.timeoutSeconds }}
  terminationGracePeriodSeconds: 5
  serviceAccountName: default
  {{- include "chassis.placement" . | trim | nindent 2 }}
  containers:
    - name: test
      image: {{ include "chassis.image" . | quote }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      securityContext:
        {{- toYaml .Values.securityContext | nindent 8 }}
      command: [python, -c]
      args:
        - |
          {{- include "chassis.testProgram" . | nindent 10 }}
      env:
        - {name: GRPC_TARGET, value: "{{ $name }}:{{ .Values.ports.grpc }}"}
        - {name: READY_URL, value: "http://{{ $name }}:{{ .Values.ports.metrics }}/readyz"}
        - {name: TIMEOUT_S, value: {{ .Values.tests.timeoutSeconds | quote }}}
        - {name: TLS_FOLDER, value: {{ ternary "/etc/hocket/tls" "" (ne (include "chassis.tlsSecret" .) "") | quote }}}
      volumeMounts:
        - {name: tmp, mountPath: /tmp}
        {{- if include "chassis.tlsSecret" . }}
        - {name: tls, mountPath: /etc/hocket/tls, readOnly: true}
        {{- end }}
      resources:
        requests: {cpu: 50m, memory: 96Mi, ephemeral-storage: 16Mi}
        limits: {cpu: 500m, memory: 192Mi, ephemeral-storage: 64Mi}
  volumes:
    - name: tmp
      emptyDir: {sizeLimit: 16Mi}
    {{- with include "chassis.tlsSecret" . }}
    - name: tls
      secret: {secretName: {{ . }}, defaultMode: 0440}
    {{- end }}
{{- end }}
{{- end }}

{{- define "chassis.testProgram" -}}
import os, pathlib, urllib.request
import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
print("readiness:", urllib.request.urlopen(os.environ["READY_URL"], timeout=10).read().decode())
target, folder = os.environ["GRPC_TARGET"], os.environ["TLS_FOLDER"]
if folder:
    ca, key, cert = (pathlib.Path(folder, name).read_bytes() for name in ("ca.crt", "tls.key", "tls.crt"))
    channel = grpc.secure_channel(target, grpc.ssl_channel_credentials(ca, key, cert))
else:
    channel = grpc.insecure_channel(target)
request = health_pb2.HealthCheckRequest()
answer = health_pb2_grpc.HealthStub(channel).Check(request, timeout=float(os.environ["TIMEOUT_S"]) / 2, wait_for_ready=True)
print("health:", health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))
raise SystemExit(answer.status != health_pb2.HealthCheckResponse.SERVING)
{{- end }}
