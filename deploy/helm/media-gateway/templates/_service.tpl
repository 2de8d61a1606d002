{{/* Written by scripts/gen_charts.py (`make docs`) from deploy/helm/chassis/spec; edits here are lost. */}}
{{- define "media-gateway.service" -}}
noun: media_gateway
calls:
- ratelimit
- vision
- rag
- llm_router
- speech
callers: []
http: true
journal: false
secrets:
- jwt_secret
- livekit_api_key
- livekit_api_secret
- redis_url
needed:
- livekit_api_key
- livekit_api_secret
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
- http_origins
- livekit_url
- livekit_public_url
- agent_name
- backend_url
- mesh_key_id
- mesh_key_algorithm
- rooms_max
- idle_processes
- process_start_timeout_s
- worker_drain_s
- token_ttl_s
- agent_join_timeout_s
- dispatch_grace_s
- dispatch_grace_s_max
- sweep_interval_s
- llm_next_event_s
- llm_total_s
- tts_next_audio_s
- knowledge_wait_s
- knowledge_debounce_s
- passages_max
- frame_age_s_max
- frames_held_max
- attach_newest_frame
- history_items_max
- slot_ttl_s
- session_ttl_s
- backend_timeout_s
- turn_topic
- agent_sample_rate_hz
drain:
  drain_wait_s: 0
  worker_drain_s: 1800
  drain_grace_s: 10
  room_process_end_s: 10
reloadedFile: ''
kedaQuery: {{ "sum(livekit_active_rooms{namespace=\"{{ .Release.Namespace }}\", pod=~\"{{ include \"chassis.fullname\" . }}-.*\"})" | quote }}
{{- end }}
