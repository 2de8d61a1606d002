"""Routes the spans of livekit-agents to hocket's tracer provider."""

from __future__ import annotations

from livekit.agents import telemetry
from opentelemetry import trace


def trace_turns(provider: trace.TracerProvider, *, log_content: bool) -> None:
    """Trace the turns of this process.

    By default livekit-agents exports transcripts, prompts and tool arguments to any configured collector.

    Args:
        provider: Provider that receives the spans.
        log_content: Whether spans may contain what users said.
    """
    telemetry.set_tracer_provider(provider, allow_pii=log_content)
