"""The interceptor over a real gRPC socket: identity, errors, deadlines, cancellation, health."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from hocket.rag.v1 import rag_pb2, rag_pb2_grpc
from hocket.vision.v1 import vision_pb2, vision_pb2_grpc

from hocket.chassis import deadline, errors, identity
from hocket.chassis.auth import TokenMinter
from hocket.chassis.channel import MeshChannel, forwarded_token
from hocket.chassis.server import Assembly, MeshServer, Servicer
from hocket.chassis.settings import ServerSettings
from hocket.chassis.status import mesh_errors
from tests.fakes.waiting import DEADLINE_S

SECRET = "a-secret-of-32-bytes-for-tests-only!"
MINTER = TokenMinter(SECRET)


class Probe(rag_pb2_grpc.RagServiceServicer):
    """Does what the query says."""

    async def Search(self, request, context):
        match request.query:
            case "who":
                caller = identity.current()
                return rag_pb2.SearchResponse(degraded=[caller.tenant_id, caller.tenant_tier, forwarded_token()])
            case "left":
                return rag_pb2.SearchResponse(degraded=[str(deadline.remaining())])
            case "sleep":
                await asyncio.sleep(3600)
            case "bug":
                raise ZeroDivisionError("secret detail")
            case "limited":
                raise errors.ResourceExhausted("spent", retry_after_s=1.5, metadata={"limitPerMinute": "10"})
        raise errors.invalid_field("query", "must be known")


class Streamer(vision_pb2_grpc.VisionServiceServicer):
    """Streams until the caller leaves, and remembers that it was closed."""

    def __init__(self, *, message_bytes: int = 0, pause_s: float = 0.01) -> None:
        self.closed = asyncio.Event()
        self.given = 0
        self._padding = "x" * message_bytes
        self._pause_s = pause_s

    async def Watch(self, request_iterator, context):
        message = identity.current().tenant_id + self._padding
        try:
            while True:
                self.given += 1
                yield vision_pb2.WatchResponse(rejection=vision_pb2.Rejection(message=message))
                await asyncio.sleep(self._pause_s)
        finally:
            self.closed.set()


@asynccontextmanager
async def serving(settings: ServerSettings, streamer: Streamer | None = None) -> AsyncIterator[MeshServer]:
    servicers = [
        Servicer("hocket.rag.v1.RagService", lambda s: rag_pb2_grpc.add_RagServiceServicer_to_server(Probe(), s))
    ]
    if streamer:
        servicers.append(
            Servicer(
                "hocket.vision.v1.VisionService",
                lambda s: vision_pb2_grpc.add_VisionServiceServicer_to_server(streamer, s),
            )
        )
    server = MeshServer("chassis_test", settings, Assembly(servicers))
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


def settings(**values: object) -> ServerSettings:
    return ServerSettings(**{"jwt_secret": SECRET, "drain_grace_s": 0.2, **values})


async def search(server: MeshServer, query: str, token: str, timeout_s: float = DEADLINE_S) -> rag_pb2.SearchResponse:
    async with MeshChannel(f"127.0.0.1:{server.grpc_port}", lambda: token) as channel:
        with mesh_errors():
            stub = rag_pb2_grpc.RagServiceStub(channel.channel)
            return await stub.Search(rag_pb2.SearchRequest(query=query), **channel.options(timeout_s))


async def test_identity_comes_from_the_verified_claims():
    token = MINTER.mint("acme", tenant_tier="premium", caller="test")
    async with serving(settings()) as server:
        assert ["acme", "premium", token] == list((await search(server, "who", token)).degraded)


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        ("", "TOKEN_MISSING"),
        ("nonsense", "TOKEN_INVALID"),
        (MINTER.mint("acme", caller="test", ttl_s=-60), "TOKEN_EXPIRED"),
        (TokenMinter("another-secret-of-at-least-32-bytes").mint("acme", caller="test"), "TOKEN_INVALID"),
        (MINTER.mint("../acme", caller="test"), "TOKEN_INVALID"),
        (MINTER.mint("acme", tenant_tier="gold", caller="test"), "TOKEN_INVALID"),
    ],
)
async def test_a_call_without_a_valid_token_is_unauthenticated(token, reason):
    async with serving(settings()) as server:
        with pytest.raises(errors.Unauthenticated) as caught:
            await search(server, "who", token)
    assert reason == caught.value.reason


async def test_without_a_key_on_loopback_each_caller_is_the_local_tenant():
    async with serving(settings(jwt_secret=None)) as server:
        forged = TokenMinter(SECRET).mint("acme", caller="test")
        assert (await search(server, "who", forged)).degraded[0] == "local"


async def test_an_error_has_the_same_class_and_fields_in_the_client():
    token = MINTER.mint("acme", caller="test")
    async with serving(settings()) as server:
        with pytest.raises(errors.ResourceExhausted) as limited:
            await search(server, "limited", token)
        with pytest.raises(errors.InvalidArgument) as invalid:
            await search(server, "other", token)
        with pytest.raises(errors.Internal) as bug:
            await search(server, "bug", token)
    assert (
        limited.value.reason,
        limited.value.retry_after_s,
        limited.value.metadata,
    ) == ("RATE_LIMITED", 1.5, {"limitPerMinute": "10"})
    assert invalid.value.fields == {"query": "must be known"}
    assert "secret detail" not in bug.value.message


async def test_the_server_times_out_before_its_caller(monkeypatch):
    # On a busy machine an answer is longer on its way than the 20 ms that it usually has.
    monkeypatch.setattr(deadline, "SHAVE_S", 2.0)
    token = MINTER.mint("acme", caller="test")
    async with serving(settings()) as server:
        with pytest.raises(errors.DeadlineExceeded) as caught:
            await search(server, "sleep", token, timeout_s=3)
        # Only a server's own answer carries a reason and this sentence.
        assert caught.value.message.startswith("not done within 0.")
        left_s = float((await search(server, "left", token, timeout_s=20)).degraded[0])
    assert 0 < left_s < 20


async def test_a_call_without_a_deadline_gets_the_servers_limit():
    token = MINTER.mint("acme", caller="test")
    async with serving(settings(unary_deadline_s=0.2)) as server:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
            stub = rag_pb2_grpc.RagServiceStub(channel)
            with pytest.raises(errors.DeadlineExceeded), mesh_errors():
                await stub.Search(
                    rag_pb2.SearchRequest(query="sleep"), metadata=(("authorization", f"Bearer {token}"),)
                )


async def test_a_servicers_generator_is_closed_when_the_caller_cancels():
    token = MINTER.mint("acme", caller="test")
    streamer = Streamer()
    async with serving(settings(), streamer) as server:
        async with MeshChannel(f"127.0.0.1:{server.grpc_port}", lambda: token) as channel:
            call = vision_pb2_grpc.VisionServiceStub(channel.channel).Watch(**channel.options(DEADLINE_S))
            assert (await call.read()).rejection.message == "acme"  # type: ignore[attr-defined]
            call.cancel()
            await asyncio.wait_for(streamer.closed.wait(), DEADLINE_S)


async def test_a_servicers_generator_is_closed_when_a_caller_that_does_not_read_cancels():
    """Then the servicer waits for room, not for anything of its own that could be cancelled."""
    streamer = Streamer(message_bytes=1_000_000, pause_s=0)
    async with serving(settings(), streamer) as server:
        token = MINTER.mint("acme", caller="test")
        async with MeshChannel(f"127.0.0.1:{server.grpc_port}", lambda: token) as channel:
            call = vision_pb2_grpc.VisionServiceStub(channel.channel).Watch(**channel.options(600))
            await call.read()
            given = -1
            while given != streamer.given:
                given = streamer.given
                await asyncio.sleep(0.1)
            call.cancel()
            await asyncio.wait_for(streamer.closed.wait(), DEADLINE_S)


async def test_health_needs_no_token_and_follows_readiness():
    answering = True

    async def check() -> None:
        if not answering:
            raise ConnectionError("gone")

    server = MeshServer("chassis_test", settings(), Assembly([], {"redis": check}))
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            serving_now = await stub.Check(health_pb2.HealthCheckRequest(), timeout=DEADLINE_S)  # type: ignore[attr-defined]
            answering = False
            await server.readiness.refresh()
            async with asyncio.timeout(DEADLINE_S):
                async for update in stub.Watch(health_pb2.HealthCheckRequest(), timeout=DEADLINE_S):  # type: ignore[attr-defined]
                    if update.status == health_pb2.HealthCheckResponse.NOT_SERVING:
                        break
    finally:
        await server.stop()
    assert serving_now.status == health_pb2.HealthCheckResponse.SERVING
    assert server.readiness.problems()["redis"] == "ConnectionError: gone"


async def test_a_taken_port_is_named_in_the_error():
    async with serving(settings()) as first:
        second = MeshServer("chassis_test", settings(grpc_port=first.grpc_port), Assembly([]))
        with pytest.raises(OSError, match=f"127.0.0.1:{first.grpc_port}"):
            await second.start()
