"""Errors of bidirectional streams, also where a write meets the end of the call."""

from __future__ import annotations

import pytest
from hocket.rag.v1 import rag_pb2, rag_pb2_grpc

from hocket.chassis import errors
from hocket.chassis.auth import TokenMinter
from hocket.chassis.channel import MeshChannel
from hocket.chassis.duplex import DuplexStream
from hocket.chassis.server import Assembly, MeshServer, Servicer
from hocket.chassis.settings import ServerSettings
from tests.fakes.waiting import DEADLINE_S

SECRET = "a-secret-of-32-bytes-for-tests-only!"
ROUNDS = 30


class Refusing(rag_pb2_grpc.RagServiceServicer):
    """Answers one document and refuses the second."""

    async def Ingest(self, request_iterator, context):
        async for request in request_iterator:
            if request.document.document_id == "second":
                raise errors.ResourceExhausted("spent", retry_after_s=2)
            yield rag_pb2.IngestResponse(document_id=request.document.document_id)


@pytest.fixture
async def server():
    add = Servicer("hocket.rag.v1.RagService", lambda s: rag_pb2_grpc.add_RagServiceServicer_to_server(Refusing(), s))
    serving = MeshServer("chassis_duplex", ServerSettings(jwt_secret=SECRET, drain_grace_s=0.2), Assembly([add]))
    await serving.start()
    yield serving
    await serving.stop()


def request(document_id: str) -> rag_pb2.IngestRequest:
    return rag_pb2.IngestRequest(document=rag_pb2.Document(document_id=document_id))


async def test_a_call_refused_at_once_raises_the_servers_reason(server):
    async with MeshChannel(f"127.0.0.1:{server.grpc_port}", lambda: "nonsense") as channel:
        stub = rag_pb2_grpc.RagServiceStub(channel.channel)
        for _ in range(ROUNDS):
            with pytest.raises(errors.Unauthenticated):
                async with DuplexStream(stub.Ingest(**channel.options(DEADLINE_S))) as stream:
                    await stream.send(request("first"))
                    await stream.receive()


async def test_a_write_after_a_refusal_raises_the_refusal(server):
    token = TokenMinter(SECRET).mint("acme", caller="test")
    async with MeshChannel(f"127.0.0.1:{server.grpc_port}", lambda: token) as channel:
        stub = rag_pb2_grpc.RagServiceStub(channel.channel)
        for _ in range(ROUNDS):
            async with DuplexStream(stub.Ingest(**channel.options(DEADLINE_S)), request("first")) as stream:
                assert (await stream.receive()).document_id == "first"
                with pytest.raises(errors.ResourceExhausted) as caught:
                    for _ in range(1000):
                        await stream.send(request("second"))
                assert caught.value.retry_after_s == 2


async def test_receive_returns_none_after_an_ok_status(server):
    token = TokenMinter(SECRET).mint("acme", caller="test")
    async with MeshChannel(f"127.0.0.1:{server.grpc_port}", lambda: token) as channel:
        stub = rag_pb2_grpc.RagServiceStub(channel.channel)
        async with DuplexStream(stub.Ingest(**channel.options(DEADLINE_S)), request("first")) as stream:
            await stream.end()
            assert [response.document_id async for response in stream] == ["first"]
            assert await stream.receive() is None
