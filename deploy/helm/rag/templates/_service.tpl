{{/* Written by scripts/gen_charts.py (`make docs`) from deploy/helm/chassis/spec; edits here are lost. */}}
{{- define "rag.service" -}}
noun: rag
calls:
- ratelimit
callers:
- media-gateway
http: false
journal: true
secrets:
- jwt_secret
- postgres_url
- redis_url
- voyage_api_key
needed:
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
- postgres_connections_max
- statement_timeout_s
- voyage_model
- voyage_dimensions
- voyage_timeout_s
- voyage_price_micro_usd_per_million_tokens
- search_budget_s
- passage_bytes_max
drain:
  drain_wait_s: 0
  drain_grace_s: 10
reloadedFile: ''
kedaQuery: {{ "sum(rate(hocket_rag_queries_total{namespace=\"{{ .Release.Namespace }}\", pod=~\"{{ include \"chassis.fullname\" . }}-.*\"}[1m]))" | quote }}
{{- end }}
