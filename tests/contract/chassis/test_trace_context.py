"""Propagation of the trace context through two services, and into the exemplars of latencies."""

from __future__ import annotations

import aiohttp
import pytest
from hocket.rag.v1 import rag_pb2, rag_pb2_grpc
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

from hocket.chassis.auth import TokenMinter
from hocket.chassis.channel import MeshChannel, forwarded_token
from hocket.chassis.server import Assembly, MeshServer, Servicer
from hocket.chassis.settings import ServerSettings

SECRET = "a-secret-of-32-bytes-for-tests-only!"
TOKEN = TokenMinter(SECRET).mint("acme", caller="test")


def trace_id() -> str:
    return format(trace.get_current_span().get_span_context().trace_id, "032x")


class Last(rag_pb2_grpc.RagServiceServicer):
    """Returns its trace id."""

    async def Search(self, request, context):
        return rag_pb2.SearchResponse(degraded=[trace_id()])


class Middle(rag_pb2_grpc.RagServiceServicer):
    """Calls the last one on behalf of the tenant, and adds its own trace id."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def Search(self, request, context):
        async with MeshChannel(f"127.0.0.1:{self._port}", forwarded_token) as channel:
            stub = rag_pb2_grpc.RagServiceStub(channel.channel)
            behind = await stub.Search(request, **channel.options(5))
        return rag_pb2.SearchResponse(degraded=[trace_id(), *behind.degraded])


async def start_server(servicer: rag_pb2_grpc.RagServiceServicer) -> MeshServer:
    add = Servicer("hocket.rag.v1.RagService", lambda s: rag_pb2_grpc.add_RagServiceServicer_to_server(servicer, s))
    server = MeshServer("chassis_trace", ServerSettings(jwt_secret=SECRET, drain_grace_s=0.2), Assembly([add]))
    await server.start()
    return server


@pytest.mark.parametrize("round_", range(2))
async def test_a_call_through_two_services_is_one_trace(round_):
    last = await start_server(Last())
    middle = await start_server(Middle(last.grpc_port))
    tracer = TracerProvider().get_tracer("test")
    async with MeshChannel(f"127.0.0.1:{middle.grpc_port}", lambda: TOKEN) as channel:
        with tracer.start_as_current_span("turn"):
            ours = trace_id()
            answer = await rag_pb2_grpc.RagServiceStub(channel.channel).Search(
                rag_pb2.SearchRequest(query="x"), **channel.options(5)
            )
    await middle.stop()
    await last.stop()
    assert [ours, ours] == list(answer.degraded)


async def test_the_latency_of_a_call_has_its_trace_as_an_exemplar():
    server = await start_server(Last())
    async with MeshChannel(f"127.0.0.1:{server.grpc_port}", lambda: TOKEN) as channel:
        with TracerProvider().get_tracer("test").start_as_current_span("turn"):
            ours = trace_id()
            await rag_pb2_grpc.RagServiceStub(channel.channel).Search(rag_pb2.SearchRequest(), **channel.options(60))
    url = f"http://127.0.0.1:{server.ops_port}/metrics"
    headers = {"Accept": "application/openmetrics-text;version=1.0.0"}
    async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as response:
        text = await response.text()
    await server.stop()
    (line,) = [line for line in text.splitlines() if f'trace_id="{ours}"' in line]
    assert line.startswith("hocket_chassis_trace_rpc_duration_seconds_bucket")
