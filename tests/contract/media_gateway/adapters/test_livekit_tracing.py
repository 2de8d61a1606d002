"""Spans of livekit-agents contain what was said only if a setting allows it."""

from __future__ import annotations

import pytest
from livekit.agents.telemetry import tracer
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from services.media_gateway.adapters.livekit_tracing import trace_turns


@pytest.mark.parametrize("log_content", [False, True])
def test_spans_contain_transcripts_only_if_allowed(log_content):
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace_turns(provider, log_content=log_content)
    # As livekit-agents does: attributes with content have `pii` in their key.
    with tracer.start_as_current_span("agent_turn") as span:
        span.set_attribute("lk.pii.user_transcript", "my secret plan")
        span.set_attribute("lk.turn", 7)
    (exported,) = exporter.get_finished_spans()
    assert exported.attributes["lk.turn"] == 7
    assert log_content == ("secret plan" in str(dict(exported.attributes)))


@pytest.fixture(autouse=True)
def _restored():
    yield
    tracer.set_provider(trace.get_tracer_provider())
