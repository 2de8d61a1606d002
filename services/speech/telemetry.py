"""Metrics of the speech service. Labels are bounded: RPCs and engines, never a tenant or a room."""

from __future__ import annotations

from prometheus_client import Gauge

_STREAMS_OPEN = Gauge("hocket_speech_streams_open", "Open streams by rpc: transcribe or synthesize.", ["rpc"])
# Created here, so that an autoscaler finds a 0 before the first call.
TRANSCRIPTIONS_OPEN = _STREAMS_OPEN.labels("transcribe")
SYNTHESES_OPEN = _STREAMS_OPEN.labels("synthesize")
