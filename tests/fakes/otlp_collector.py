"""An OTLP/gRPC collector in this process that keeps what it is sent; it works while a test blocks its event loop."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2, metrics_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.proto.common.v1.common_pb2 import KeyValue


@dataclass(frozen=True)
class Span:
    """One exported span; ids are hexadecimal, `parent_id` is empty for a root."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    kind: int
    attributes: dict[str, Any]
    resource: dict[str, Any]

    @property
    def service(self) -> str:
        return self.resource["service.name"]


class Collector(metrics_service_pb2_grpc.MetricsServiceServicer, trace_service_pb2_grpc.TraceServiceServicer):
    """Keeps spans and metrics; while `frozen` it takes requests and never answers."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.metrics: dict[str, Any] = {}
        self.endpoint = ""
        self._answering = threading.Event()
        self._answering.set()

    def freeze(self) -> None:
        self._answering.clear()

    def thaw(self) -> None:
        self._answering.set()

    def Export(self, request, context):
        self._answering.wait()
        if isinstance(request, metrics_service_pb2.ExportMetricsServiceRequest):
            for measured in request.resource_metrics:
                self.metrics |= {m.name: m for scope in measured.scope_metrics for m in scope.metrics}
            return metrics_service_pb2.ExportMetricsServiceResponse()
        for spans in request.resource_spans:
            resource = _values(spans.resource.attributes)
            self.spans += [_span(s, resource) for scope in spans.scope_spans for s in scope.spans]
        return trace_service_pb2.ExportTraceServiceResponse()

    def named(self, name: str) -> list[Span]:
        return [span for span in self.spans if span.name == name]

    def orphans(self) -> list[str]:
        """Spans whose parent was not exported."""
        known = {span.span_id for span in self.spans}
        return [f"{s.service} {s.name}" for s in self.spans if s.parent_id and s.parent_id not in known]

    def root(self, span: Span) -> Span:
        """The span without a parent above `span`."""
        by_id = {s.span_id: s for s in self.spans}
        while span.parent_id:
            span = by_id[span.parent_id]
        return span


def _span(span: Any, resource: dict[str, Any]) -> Span:
    ids = (span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex())
    return Span(span.name, *ids, span.kind, _values(span.attributes), resource)


def _values(attributes: list[KeyValue]) -> dict[str, Any]:
    return {a.key: getattr(a.value, a.value.WhichOneof("value") or "string_value") for a in attributes}


@contextmanager
def collecting() -> Iterator[Collector]:
    """Run a collector at `endpoint`."""
    collector, server = Collector(), grpc.server(ThreadPoolExecutor(max_workers=8))
    metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server(collector, server)
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(collector, server)
    collector.endpoint = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield collector
    finally:
        collector.thaw()
        server.stop(None).wait()
