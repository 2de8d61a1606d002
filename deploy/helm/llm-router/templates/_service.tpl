{{/* Written by scripts/gen_charts.py (`make docs`) from deploy/helm/chassis/spec; edits here are lost. */}}
{{- define "llm-router.service" -}}
noun: llm_router
calls:
- ratelimit
callers:
- media-gateway
http: false
journal: true
secrets:
- jwt_secret
- anthropic_api_key
- gemini_api_key
- openai_api_key
- redis_url
needed: []
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
- tiers_refresh_s
- mix_mode
- embedded
- anthropic_base_url
- gemini_base_url
- openai_base_url
- openai_model
- budget_micro_usd_per_day
- answers_per_tenant_max
- outcomes_file
- first_token_timeout_s
- fallback_first_token_timeout_s
- between_tokens_timeout_s
- attempt_timeout_s
drain:
  drain_wait_s: 0
  drain_grace_s: 10
reloadedFile: tiers_file
kedaQuery: {{ "sum(hocket_llm_router_answers_in_flight{namespace=\"{{ .Release.Namespace }}\", pod=~\"{{ include \"chassis.fullname\" . }}-.*\"})" | quote }}
{{- end }}
