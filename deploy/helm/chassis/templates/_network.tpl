{{/* Selector of another service's pods; in an umbrella those of the same release only. Argument: (list $ component). */}}
{{- define "chassis.peer" -}}
{{- $root := index . 0 -}}
podSelector:
  matchLabels:
    app.kubernetes.io/part-of: hocket
    app.kubernetes.io/component: {{ index . 1 }}
    {{- if not $root.Chart.IsRoot }}
    app.kubernetes.io/instance: {{ $root.Release.Name }}
    {{- end }}
{{- end }}

{{- define "chassis.tcpPorts" -}}
{{- range . }}
- {protocol: TCP, port: {{ . }}}
{{- end }}
{{- end }}

{{/* Egress rule to a store or vendor. Argument: dict to, ports, udp. */}}
{{- define "chassis.egressRule" -}}
- ports:
    {{- include "chassis.tcpPorts" .ports | trim | nindent 4 }}
    {{- range .udpPorts }}
    - {protocol: UDP, port: {{ .from }}, endPort: {{ .to }}}
    {{- end }}
  {{- with .to }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}

{{- define "chassis.networkPolicy" -}}
{{- $policy := .Values.networkPolicy -}}
{{- $global := (.Values.global).networkPolicy | default dict -}}
{{- if and $policy.enabled (ne (toString $global.enabled) "false") -}}
{{- $service := include "chassis.service" . | fromYaml -}}
{{- $settings := include "chassis.settings" . | fromYaml -}}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  {{- include "chassis.metadata" (dict "root" .) | nindent 2 }}
spec:
  podSelector:
    matchLabels:
      {{- include "chassis.selectorLabels" (list . .Chart.Name) | nindent 6 }}
  policyTypes: [Ingress, Egress]
  ingress:
    - ports:
        - {protocol: TCP, port: grpc}
      from:
        {{- $tests := ternary (list (printf "%s-test" .Chart.Name)) (list (printf "%s-test" .Chart.Name) "hocket-test") .Chart.IsRoot }}
        {{- range $caller := concat $service.callers $tests }}
        - {{- include "chassis.peer" (list $ $caller) | nindent 10 }}
        {{- end }}
        {{- with $policy.clients }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
    - ports:
        - {protocol: TCP, port: metrics}
      from:
        - {{- include "chassis.peer" (list . (printf "%s-test" .Chart.Name)) | nindent 10 }}
        {{- with $policy.monitoring }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
    {{- if and $service.http $policy.httpClients }}
    - ports:
        - {protocol: TCP, port: http}
      from:
        {{- toYaml $policy.httpClients | nindent 8 }}
    {{- end }}
    {{- with $policy.extraIngress }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  egress:
    - ports:
        - {protocol: UDP, port: 53}
        - {protocol: TCP, port: 53}
      {{- with $policy.dns }}
      to:
        {{- toYaml . | nindent 8 }}
      {{- end }}
    {{- with $service.calls }}
    - ports:
        - {protocol: TCP, port: 50051}
      to:
        {{- range . }}
        - {{- include "chassis.peer" (list $ (replace "_" "-" .)) | nindent 10 }}
        {{- end }}
    {{- end }}
    {{- range $destination := list "redis" "postgres" "livekit" "backend" "vendors" }}
    {{- with index $policy $destination }}
    {{- include "chassis.egressRule" . | nindent 4 }}
    {{- end }}
    {{- end }}
    {{- if (.Values.podDeletionCost).enabled }}
    {{- include "chassis.egressRule" (dict "ports" .Values.podDeletionCost.apiPorts) | nindent 4 }}
    {{- end }}
    {{- if $settings.otlp_endpoint }}
    {{- include "chassis.egressRule" $policy.otlp | nindent 4 }}
    {{- end }}
    {{- with $policy.extraEgress }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end }}
{{- end }}
