"""Body of a child process that ends a span and then itself; imports little, because a child imports it again."""

from __future__ import annotations

import sys

from opentelemetry import trace

from hocket.chassis import telemetry


def work(endpoint: str, end: str) -> None:
    """Set up telemetry, end a span, and end as told."""
    telemetry.set_up("hocket-test", level="INFO", log_content=False, otlp_endpoint=endpoint)
    trace.get_tracer("test").start_span("work").end()
    match end:
        case "raises":
            raise ValueError("a defect")
        case "exits":
            sys.exit(1)
