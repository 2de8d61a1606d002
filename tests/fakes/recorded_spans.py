"""Spans that a test can read: the tracers of some modules record into memory instead of nowhere."""

from __future__ import annotations

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter


def record_spans(monkeypatch: pytest.MonkeyPatch, *modules: str) -> InMemorySpanExporter:
    """Record the spans that the tracers `_tracer` of `modules` make, until the test ends."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    for module in modules:
        monkeypatch.setattr(f"{module}._tracer", provider.get_tracer("test"))
    return exporter


def traceparent(span) -> str:
    """The W3C trace context of a recorded span."""
    context = span.context
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
