"""Logs, traces with W3C context, metrics for Prometheus and OpenTelemetry; set up by the entry point."""

from __future__ import annotations

import multiprocessing
import threading
import time
import uuid
from collections.abc import Callable
from importlib.metadata import version
from multiprocessing.util import Finalize

from opentelemetry import metrics, trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from prometheus_client import Counter, Gauge, Histogram

from hocket.chassis.logs import set_up_logs

# Ended spans of a process that is killed are lost for at most this long; OpenTelemetry's default is 5 s.
EXPORT_INTERVAL_S = 1.0
FLUSH_TIMEOUT_S = 3.0
_TRACE_CONTEXT = TraceContextTextMapPropagator()
_shutdowns: list[Callable[[], object]] = []
_RPC_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


def set_up(service: str, *, level: str, log_content: bool, otlp_endpoint: str | None) -> None:
    """Configure logs, traces and metrics of this process.

    Args:
        service: Service name in logs and spans, for instance "hocket-rag".
        level: Lowest level logged.
        log_content: Keep values under `pii` keys, the content that users said.
        otlp_endpoint: OTLP/gRPC endpoint of a collector; None exports nothing. Call `end_export` before the process
            ends; a child process of multiprocessing calls it by itself, at every end but SIGKILL.
    """
    set_up_logs(service, level=level, log_content=log_content)
    resource = Resource.create(
        {
            "service.name": service,
            "service.version": version("hocket"),
            "service.instance.id": str(uuid.uuid4()),
        }
    )
    # `end_export` shuts the providers down: at exit theirs would wait up to 30 s for a collector that is gone.
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    if otlp_endpoint:
        _export(provider, resource, otlp_endpoint, insecure=not otlp_endpoint.startswith("https"))
    trace.set_tracer_provider(provider)


def _export(provider: TracerProvider, resource: Resource, endpoint: str, *, insecure: bool) -> None:
    """Export spans and the OpenTelemetry metrics to a collector; the service's own metrics stay with Prometheus."""
    # Imported on use: the exporters cost 20 MB of memory, and most local processes export nothing.
    from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader

    exporter = OTLPSpanExporter(endpoint=endpoint, insecure=insecure)
    provider.add_span_processor(_open_spans)
    provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=EXPORT_INTERVAL_S * 1000))
    reader = PeriodicExportingMetricReader(OTLPMetricExporter(endpoint=endpoint, insecure=insecure))
    meters = MeterProvider([reader], resource=resource, shutdown_on_exit=False)
    metrics.set_meter_provider(meters)
    _shutdowns.extend([provider.shutdown, meters.shutdown])
    if multiprocessing.parent_process() is not None:
        # atexit handlers do not run in the children of a forkserver.
        Finalize(None, end_export, exitpriority=0)


class _OpenSpans(SpanProcessor):
    """Spans that were started and not ended."""

    def __init__(self) -> None:
        self._spans: dict[int, Span] = {}

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:  # noqa: ARG002 - the SDK passes it
        self._spans[span.get_span_context().span_id] = span

    def on_end(self, span: ReadableSpan) -> None:
        # Another object than the one that was started.
        if context := span.get_span_context():
            self._spans.pop(context.span_id, None)

    def end_all(self) -> None:
        for span in reversed(list(self._spans.values())):
            span.set_attributes({"hocket.unfinished": True})
            span.end()


_open_spans = _OpenSpans()


def end_export(timeout_s: float = FLUSH_TIMEOUT_S) -> None:
    """End the open spans, export what is still held and stop exporting; without a collector it does nothing.

    A task that is cancelled leaves spans open; their children, exported before, would have no parent.

    Args:
        timeout_s: Longest wait in seconds; what a collector has not taken by then is lost.
    """
    threads = [threading.Thread(target=shutdown, name="telemetry flush", daemon=True) for shutdown in _shutdowns]
    _shutdowns.clear()
    _open_spans.end_all()
    until_s = time.monotonic() + timeout_s
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, until_s - time.monotonic()))


def trace_headers() -> dict[str, str]:
    """Return the W3C trace context of the current span as HTTP headers for a vendor; empty outside of a span.

    Never the baggage: callers may put anything into it.
    """
    headers: dict[str, str] = {}
    _TRACE_CONTEXT.inject(headers)
    return headers


def trace_exemplar(span: trace.Span | None = None) -> dict[str, str] | None:
    """Return the exemplar of an observation: the trace id of `span`, or of the current one; None if not sampled."""
    context = (span or trace.get_current_span()).get_span_context()
    return {"trace_id": format(context.trace_id, "032x")} if context.trace_flags.sampled else None


class LatencyHistogram(Histogram):
    """Histogram of durations; an observation in a sampled span carries its trace id as an exemplar in OpenMetrics."""

    def observe(self, amount: float, exemplar: dict[str, str] | None = None) -> None:
        """Observe `amount` seconds; without an exemplar, with that of the current span."""
        super().observe(amount, exemplar or trace_exemplar())


class RpcMetrics:
    """Metrics of a server's RPCs: duration, outcome, calls in flight; labels method, code, tenant tier."""

    def __init__(self, service: str) -> None:
        """Register `hocket_<service>_rpc_*`; once per process and service."""
        prefix = f"hocket_{service}_rpc"
        self.seconds = LatencyHistogram(
            f"{prefix}_duration_seconds", "Duration of RPCs.", ["method", "code"], buckets=_RPC_SECONDS
        )
        self.in_flight = Gauge(f"{prefix}_in_flight", "RPCs being served.", ["method"])
        self.by_tier = Counter(f"{prefix}_calls", "RPCs by the caller's tenant tier.", ["tenant_tier", "code"])
