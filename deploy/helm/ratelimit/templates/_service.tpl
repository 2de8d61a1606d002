{{/* Written by scripts/gen_charts.py (`make docs`) from deploy/helm/chassis/spec; edits here are lost. */}}
{{- define "ratelimit.service" -}}
noun: ratelimit
calls: []
callers:
- rag
- llm-router
- speech
- media-gateway
http: false
journal: false
secrets:
- jwt_secret
- redis_url
- postgres_url
needed:
- redis_url
- postgres_url
settings:
- jwks_url
- jwt_issuer
- reflection
- message_bytes_max
- concurrent_rpcs_max
- unary_deadline_s
- stream_deadline_s
- connection_age_max_s
- drain_wait_s
- drain_grace_s
- log_level
- log_content
- otlp_endpoint
- redis_cluster
- redis_timeout_s
- redis_connections_max
- breaker_failures_max
- breaker_open_s
- replicas_expected
- postgres_connections_max
drain:
  drain_wait_s: 0
  drain_grace_s: 10
reloadedFile: ''
kedaQuery: {{ "sum(rate(hocket_ratelimit_decisions_total{namespace=\"{{ .Release.Namespace }}\", pod=~\"{{ include \"chassis.fullname\" . }}-.*\"}[1m]))" | quote }}
{{- end }}
