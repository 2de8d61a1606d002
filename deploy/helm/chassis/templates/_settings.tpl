{{/* Settings of the service: those of `global.settings` that it has, `settings`, and what the chart decides. */}}
{{- define "chassis.settings" -}}
{{- $service := include "chassis.service" . | fromYaml -}}
{{- $settings := dict -}}
{{- range $name, $value := ((.Values.global).settings) | default dict -}}
{{- if has $name $service.settings -}}{{- $_ := set $settings $name $value -}}{{- end -}}
{{- end -}}
{{- range $name, $value := .Values.settings -}}
{{- if not (kindIs "invalid" $value) -}}{{- $_ := set $settings $name $value -}}{{- end -}}
{{- end -}}
{{- toYaml $settings -}}
{{- end }}

{{/* The address on which every port listens: all addresses of both families in a dual-stack or IPv6 Service. */}}
{{- define "chassis.listenHost" -}}
{{- $v6 := or (has "IPv6" .Values.service.ipFamilies) (hasSuffix "DualStack" .Values.service.ipFamilyPolicy) -}}
{{- ternary "::" "0.0.0.0" $v6 -}}
{{- end }}

{{/* gRPC target of a called service; "" where `none`. Argument: (list $ noun). */}}
{{- define "chassis.target" -}}
{{- $root := index . 0 -}}
{{- $given := index $root.Values.targets (index . 1) -}}
{{- if $given -}}
{{- if ne $given "none" -}}{{- tpl $given $root -}}{{- end -}}
{{- else -}}
{{- $name := include "chassis.nameOf" (dict "base" (include "chassis.base" $root) "chart" (index . 1 | replace "_" "-")) -}}
{{- /* A service mesh balances calls itself, behind the ClusterIP. */ -}}
{{- $suffix := ternary "" "-headless" (ne (include "chassis.serviceMesh" $root) "") -}}
{{- printf "dns:///%s%s.%s.svc:%d" $name $suffix $root.Release.Namespace 50051 -}}
{{- end -}}
{{- end }}

{{/* Variables that are no secrets, by name: the content of the ConfigMap. */}}
{{- define "chassis.configuration" -}}
{{- $root := . -}}
{{- $service := include "chassis.service" . | fromYaml -}}
{{- $host := include "chassis.listenHost" . -}}
{{- $settings := include "chassis.settings" . | fromYaml -}}
{{- $_ := mergeOverwrite $settings (dict "grpc_host" $host "ops_host" $host "grpc_port" .Values.ports.grpc "ops_port" .Values.ports.metrics) -}}
{{- if $service.http -}}
{{- $_ := mergeOverwrite $settings (dict "http_host" $host "http_port" .Values.ports.http) -}}
{{- end -}}
{{- /* Without Redis each pod admits its share of every limit: that of the least number of pods. */ -}}
{{- if and (has "replicas_expected" $service.settings) (not (hasKey $settings "replicas_expected")) -}}
{{- $fixed := not (or .Values.autoscaling.enabled .Values.keda.enabled) -}}
{{- $_ := set $settings "replicas_expected" (ternary .Values.replicaCount .Values.autoscaling.minReplicas $fixed) -}}
{{- end -}}
{{- range $noun := $service.calls -}}
{{- with include "chassis.target" (list $root $noun) -}}{{- $_ := set $settings (printf "%s_target" $noun) . -}}{{- end -}}
{{- end -}}
{{- if $service.journal -}}
{{- $_ := set $settings "cost_journal_file" (printf "/var/lib/hocket/%s.jsonl" $service.noun) -}}
{{- end -}}
{{- range $name, $text := .Values.files | default dict -}}
{{- if $text -}}{{- $_ := set $settings $name (printf "/etc/hocket/files/%s" $name) -}}{{- end -}}
{{- end -}}
{{- if include "chassis.jwksVolume" . -}}
{{- $_ := set $settings "jwks_file" (printf "/etc/hocket/jwks/%s" .Values.jwks.key) -}}
{{- end -}}
{{- if include "chassis.tlsSecret" . -}}
{{- $folder := "/etc/hocket/tls" -}}
{{- $tls := dict "tls_cert_file" "tls.crt" "tls_key_file" "tls.key" -}}
{{- if .Values.tls.verifyClients -}}{{- $_ := set $tls "tls_client_ca_file" "ca.crt" -}}{{- end -}}
{{- if $service.calls -}}
{{- $_ := mergeOverwrite $tls (dict "peer_ca_file" "ca.crt" "peer_cert_file" "tls.crt" "peer_key_file" "tls.key") -}}
{{- end -}}
{{- range $name, $file := $tls -}}{{- $_ := set $settings $name (printf "%s/%s" $folder $file) -}}{{- end -}}
{{- end -}}
{{- if (.Values.meshKey).existingSecret -}}
{{- $_ := set $settings "mesh_key_file" (printf "/etc/hocket/mesh-key/%s" .Values.meshKey.key) -}}
{{- end -}}
{{- range $name, $value := $settings }}
{{ printf "HOCKET_%s_%s" (upper $service.noun) (upper $name) }}: {{ include "chassis.scalar" $value | quote }}
{{- end }}
{{- end }}

{{/* Volume source of the JWKS; empty where the keys are a secret or a URL. */}}
{{- define "chassis.jwksVolume" -}}
{{- with .Values.jwks -}}
{{- if .existingSecret -}}
secret: {secretName: {{ .existingSecret }}}
{{- else if .existingConfigMap -}}
configMap: {name: {{ .existingConfigMap }}}
{{- else if .inline -}}
configMap: {name: {{ include "chassis.fullname" $ }}-jwks}
{{- end -}}
{{- end -}}
{{- end }}

{{/* Secret with tls.crt, tls.key and ca.crt; empty without TLS. */}}
{{- define "chassis.tlsSecret" -}}
{{- $global := (.Values.global).tls | default dict -}}
{{- if or .Values.tls.enabled $global.enabled -}}
{{- if .Values.tls.existingSecret -}}
{{- .Values.tls.existingSecret -}}
{{- else if include "chassis.usesCertManager" . -}}
{{- include "chassis.fullname" . }}-tls
{{- else if $global.existingSecret -}}
{{- $global.existingSecret -}}
{{- else -}}
{{- fail (printf "%s: tls.enabled needs tls.existingSecret or tls.certManager.enabled" .Chart.Name) -}}
{{- end -}}
{{- end -}}
{{- end }}

{{- define "chassis.usesCertManager" -}}
{{- if or .Values.tls.certManager.enabled ((((.Values.global).tls).certManager).enabled) -}}yes{{- end -}}
{{- end }}

{{/* Seconds that a pod may need from its deletion to its end. */}}
{{- define "chassis.drainBudget" -}}
{{- $service := include "chassis.service" . | fromYaml -}}
{{- $settings := include "chassis.settings" . | fromYaml -}}
{{- $seconds := add .Values.preStopSleepSeconds .Values.drainMarginSeconds -}}
{{- range $name, $default := $service.drain -}}
{{- $seconds = add $seconds (ternary (index $settings $name) $default (hasKey $settings $name) | float64 | ceil | int64) -}}
{{- end -}}
{{- $seconds -}}
{{- end }}

{{- define "chassis.gracePeriod" -}}
{{- $budget := include "chassis.drainBudget" . | int64 -}}
{{- $given := .Values.terminationGracePeriodSeconds -}}
{{- if kindIs "invalid" $given -}}
{{- $budget -}}
{{- else if lt (int64 $given) $budget -}}
{{- fail (printf "%s: terminationGracePeriodSeconds is %d, but draining takes up to %d s (preStopSleepSeconds, drain settings, drainMarginSeconds): raise it or lower those" .Chart.Name (int64 $given) $budget) -}}
{{- else -}}
{{- int64 $given -}}
{{- end -}}
{{- end }}
