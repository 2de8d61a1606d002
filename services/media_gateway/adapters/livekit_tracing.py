"""Sends the spans of livekit-agents where ours go; what people said goes along only where a setting allows it."""

from __future__ import annotations

from livekit.agents import telemetry
from opentelemetry import trace


def trace_turns(provider: trace.TracerProvider, *, log_content: bool) -> None:
    """Trace this process's turns with `provider`.

    Left to itself livekit-agents exports transcripts, prompts and tool payloads to any collector it finds.
    """
    telemetry.set_tracer_provider(provider, allow_pii=log_content)
