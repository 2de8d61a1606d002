"""A collector gets the spans and the metrics of the GenAI conventions from a real process."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2, metrics_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

from hocket.chassis.channel import MeshChannel
from hocket.client.llm_router import RouterClient
from tests.emulators.router_harness import MINTER, SECRET, asking
from tests.fakes.waiting import DEADLINE_S, START_S
from tests.integration.llm_router.test_crash import free_port


class Collector(metrics_service_pb2_grpc.MetricsServiceServicer, trace_service_pb2_grpc.TraceServiceServicer):
    def __init__(self) -> None:
        self.metrics: dict[str, metrics_service_pb2.ExportMetricsServiceRequest] = {}
        self.spans: list[str] = []

    async def Export(self, request, context):
        if isinstance(request, trace_service_pb2.ExportTraceServiceRequest):
            self.spans += [s.name for r in request.resource_spans for c in r.scope_spans for s in c.spans]
            return trace_service_pb2.ExportTraceServiceResponse()
        for resource in request.resource_metrics:
            self.metrics |= {m.name: m for scope in resource.scope_metrics for m in scope.metrics}
        return metrics_service_pb2.ExportMetricsServiceResponse()


@asynccontextmanager
async def collecting() -> AsyncIterator[tuple[Collector, int]]:
    collector, server = Collector(), grpc.aio.server()
    metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server(collector, server)
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(collector, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield collector, port
    finally:
        await server.stop(None)


async def test_a_collector_gets_spans_and_semantic_convention_metrics():
    async with collecting() as (collector, collector_port):
        port = free_port()
        env = {
            **os.environ,
            "HOCKET_LLM_ROUTER_GRPC_PORT": str(port),
            "HOCKET_LLM_ROUTER_JWT_SECRET": SECRET,
            "HOCKET_LLM_ROUTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector_port}",
        }
        process = await asyncio.create_subprocess_exec(sys.executable, "-m", "services.llm_router", env=env)
        try:
            token = MINTER.mint("acme", caller="test")
            async with MeshChannel(f"127.0.0.1:{port}", lambda: token) as channel:
                await asyncio.wait_for(channel.channel.channel_ready(), START_S)
                answered = [event async for event in RouterClient(channel).generate(asking("Hello?"))]
        finally:
            process.send_signal(signal.SIGTERM)
            await asyncio.wait_for(process.wait(), DEADLINE_S)
    assert answered[-1].HasField("finish")
    assert {"route", "chat embedded-extractive-1"} <= set(collector.spans)
    assert {
        "gen_ai.client.token.usage",
        "gen_ai.client.operation.duration",
        "gen_ai.client.operation.time_to_first_chunk",
        "gen_ai.client.operation.time_per_output_chunk",
    } <= set(collector.metrics)
    usage = collector.metrics["gen_ai.client.token.usage"].histogram.data_points  # type: ignore[attr-defined]
    told = [{a.key: a.value.string_value for a in point.attributes} for point in usage]
    assert {t["gen_ai.token.type"] for t in told} == {"input", "output"}
    assert {t["gen_ai.request.model"] for t in told} == {"embedded-extractive-1"}
    assert list(usage[0].explicit_bounds)[:4] == [1, 4, 16, 64]
