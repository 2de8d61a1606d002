{{/* Written by scripts/gen_charts.py (`make docs`) from deploy/helm/chassis/spec; edits here are lost. */}}
{{- define "vision.service" -}}
noun: vision
calls: []
callers:
- media-gateway
http: false
journal: false
secrets:
- jwt_secret
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
- redis_timeout_s
- keyframes_per_track
- keyframe_ttl_s
- stats_share_interval_s
- stats_ttl_s
- track_rows_ended_max
- track_row_ttl_s
- tracks_per_stream_max
- tracks_max
- tracks_per_tenant_max
- track_idle_s
- unread_timeout_s
- image_pixels_max
- image_threads
- hash_threshold_bits
- cell_threshold_levels
- changed_cells_min
- noise_floor_levels
- cut_share
- busy_interval_s
- upload_budget_mbit_s
- settle_interval_s
- refresh_interval_s
- minor_cells_max
- minor_interval_s
- sharpen_interval_s
- timer_interval_s
- economy_budget_share_s
- economy_interval_s
- active_interval_s
- sustained_interval_s
- idle_interval_s
- active_hold_s
drain:
  drain_wait_s: 0
  drain_grace_s: 10
reloadedFile: ''
kedaQuery: {{ "sum(rate(hocket_vision_offers_total{namespace=\"{{ .Release.Namespace }}\", pod=~\"{{ include \"chassis.fullname\" . }}-.*\"}[1m]))" | quote }}
{{- end }}
