{{/* Written by scripts/gen_charts.py (`make docs`) from deploy/helm/chassis/spec; edits here are lost. */}}
{{- define "speech.service" -}}
noun: speech
calls:
- ratelimit
callers:
- media-gateway
http: false
journal: true
secrets:
- jwt_secret
- deepgram_api_key
- elevenlabs_api_key
needed:
- deepgram_api_key
- elevenlabs_api_key
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
- deepgram_model
- deepgram_url
- deepgram_eager_threshold
- elevenlabs_model
- elevenlabs_voice
- elevenlabs_url
- vendor_timeout_s
- stt_price_micro_usd_per_minute
- tts_price_micro_usd_per_1000_characters
- embedded_voice
- embedded_streams_max
- utterance_silence_ms
- turn_silence_ms
- preflight_silence_ms
- preflight_other_silence_ms
drain:
  drain_wait_s: 0
  drain_grace_s: 10
reloadedFile: ''
kedaQuery: {{ "sum(hocket_speech_streams_open{namespace=\"{{ .Release.Namespace }}\", pod=~\"{{ include \"chassis.fullname\" . }}-.*\"})" | quote }}
{{- end }}
