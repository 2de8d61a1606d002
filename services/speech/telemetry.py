"""Metrics of the speech service. Labels are bounded: RPCs and engines, never a tenant or a room."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

from hocket.chassis.telemetry import LatencyHistogram

_SECONDS = (0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10)

_STREAMS_OPEN = Gauge("hocket_speech_streams_open", "Open streams by rpc: transcribe or synthesize.", ["rpc"])
# Created here, so that an autoscaler finds a 0 before the first call.
TRANSCRIPTIONS_OPEN = _STREAMS_OPEN.labels("transcribe")
SYNTHESES_OPEN = _STREAMS_OPEN.labels("synthesize")
ENGINE_ERRORS = Counter(
    "hocket_speech_engine_errors", "Errors of an engine or its vendor, by gRPC code.", ["engine", "code"]
)
FIRST_AUDIO_SECONDS = LatencyHistogram(
    "hocket_speech_first_audio_seconds",
    "Time from a segment of text until its first audio.",
    ["engine"],
    buckets=_SECONDS,
)
FIRST_TRANSCRIPT_SECONDS = LatencyHistogram(
    "hocket_speech_first_transcript_seconds",
    "Time from the arrival of an utterance's first speech until its first transcript.",
    ["engine"],
    buckets=_SECONDS,
)
FINAL_TRANSCRIPT_SECONDS = LatencyHistogram(
    "hocket_speech_final_transcript_seconds",
    "Time from the arrival of an utterance's last speech until its final transcript.",
    ["engine"],
    buckets=_SECONDS,
)
