"""Each RPC has a client and a server span with the attributes of the semantic conventions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import grpc
import pytest
from hocket.rag.v1 import rag_pb2, rag_pb2_grpc
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from hocket.chassis.auth import TokenMinter
from hocket.chassis.channel import MeshChannel
from hocket.chassis.errors import InvalidArgument, Unavailable
from hocket.chassis.server import Assembly, MeshServer, Servicer
from hocket.chassis.settings import ServerSettings
from tests.fakes.recorded_spans import record_spans
from tests.fakes.waiting import DEADLINE_S, until

SECRET = "a-secret-of-32-bytes-for-tests-only!"
TOKEN = TokenMinter(SECRET).mint("acme", caller="test")
SERVICE = "hocket.rag.v1.RagService"


class Rag(rag_pb2_grpc.RagServiceServicer):
    """Fails as its query says; ingests nothing."""

    async def Search(self, request, context):
        match request.query:
            case "invalid":
                raise InvalidArgument("invalid")
            case "unavailable":
                raise Unavailable("unavailable")
            case "defect":
                raise ValueError("a defect")
            case "endless":
                await asyncio.Event().wait()
        return rag_pb2.SearchResponse()

    async def Ingest(self, request_iterator, context):
        async for request in request_iterator:
            yield rag_pb2.IngestResponse(document_id=request.document.document_id)


@pytest.fixture
def exported(monkeypatch) -> InMemorySpanExporter:
    return record_spans(monkeypatch, "hocket.chassis.rpc_spans")


@asynccontextmanager
async def calling() -> AsyncIterator[tuple[rag_pb2_grpc.RagServiceStub, MeshChannel]]:
    add = Servicer(SERVICE, lambda s: rag_pb2_grpc.add_RagServiceServicer_to_server(Rag(), s))
    server = MeshServer("chassis_spans", ServerSettings(jwt_secret=SECRET, drain_grace_s=0.2), Assembly([add]))
    await server.start()
    try:
        async with MeshChannel(f"dns:///127.0.0.1:{server.grpc_port}", lambda: TOKEN) as channel:
            yield rag_pb2_grpc.RagServiceStub(channel.channel), channel
    finally:
        await server.stop()


async def spans(exported: InMemorySpanExporter):
    """Return the client's and the server's span of the one call that was made."""
    await until(lambda: len(exported.get_finished_spans()) == 2)
    by_kind = {span.kind: span for span in exported.get_finished_spans()}
    client, server = by_kind[SpanKind.CLIENT], by_kind[SpanKind.SERVER]
    assert client.name == server.name
    assert (server.parent.span_id, server.context.trace_id) == (client.context.span_id, client.context.trace_id)
    return client, server


async def test_a_call_has_two_connected_spans_with_method_peer_and_status(exported):
    async with calling() as (stub, channel):
        await stub.Search(rag_pb2.SearchRequest(), **channel.options(DEADLINE_S))
        port = int(channel.channel._peer["server.port"])  # type: ignore[attr-defined]
    client, server = await spans(exported)
    rpc = {
        "rpc.system": "grpc",
        "rpc.system.name": "grpc",
        "rpc.service": SERVICE,
        "rpc.method": "Search",
        "rpc.grpc.status_code": 0,
        "rpc.response.status_code": "OK",
    }
    assert client.name == f"{SERVICE}/Search"
    assert client.parent is None
    assert dict(server.attributes) == rpc
    assert dict(client.attributes) == {**rpc, "server.address": "127.0.0.1", "server.port": port}
    assert (client.status.status_code, server.status.status_code) == (StatusCode.UNSET, StatusCode.UNSET)


@pytest.mark.parametrize(
    ("query", "code", "server_failed"),
    [
        ("invalid", grpc.StatusCode.INVALID_ARGUMENT, False),
        ("unavailable", grpc.StatusCode.UNAVAILABLE, True),
        ("defect", grpc.StatusCode.INTERNAL, True),
    ],
)
async def test_an_error_marks_the_client_span_and_the_server_span_where_it_is_at_fault(
    exported, query, code, server_failed
):
    async with calling() as (stub, channel):
        with pytest.raises(grpc.aio.AioRpcError):
            await stub.Search(rag_pb2.SearchRequest(query=query), **channel.options(DEADLINE_S))
    client, server = await spans(exported)
    for span in (client, server):
        assert (span.attributes["rpc.grpc.status_code"], span.attributes["rpc.response.status_code"]) == (
            code.value[0],
            code.name,
        )
    assert (client.status.status_code, client.attributes["error.type"]) == (StatusCode.ERROR, code.name)
    assert server.status.status_code is (StatusCode.ERROR if server_failed else StatusCode.UNSET)
    assert [event.name for event in server.events] == (["exception"] if query == "defect" else [])


async def test_a_cancelled_call_ends_its_spans_without_an_error(exported):
    async with calling() as (stub, channel):
        call = stub.Search(rag_pb2.SearchRequest(query="endless"), **channel.options(DEADLINE_S))
        await asyncio.sleep(0)
        call.cancel()
        with suppress(asyncio.CancelledError):
            await call
        await until(exported.get_finished_spans)
    client = next(s for s in exported.get_finished_spans() if s.kind is SpanKind.CLIENT)
    assert client.attributes["rpc.response.status_code"] == "CANCELLED"
    assert client.status.status_code is StatusCode.UNSET


async def test_a_stream_is_one_span_that_ends_with_the_stream(exported):
    async with calling() as (stub, channel):
        call = stub.Ingest(**channel.options(DEADLINE_S))
        await call.write(rag_pb2.IngestRequest(document=rag_pb2.Document(document_id="a")))
        answer = await call.read()
        assert isinstance(answer, rag_pb2.IngestResponse)
        assert answer.document_id == "a"
        assert exported.get_finished_spans() == ()
        await call.done_writing()
        assert await call.read() is grpc.aio.EOF
    client, _ = await spans(exported)
    assert (client.name, client.attributes["rpc.response.status_code"]) == (f"{SERVICE}/Ingest", "OK")


async def test_a_call_on_a_closed_channel_ends_its_span(exported):
    async with calling() as (stub, channel):
        options = channel.options(DEADLINE_S)
    with pytest.raises(grpc.aio.UsageError):
        await stub.Search(rag_pb2.SearchRequest(), **options)
    (client,) = exported.get_finished_spans()
    assert client.status.status_code is StatusCode.ERROR
