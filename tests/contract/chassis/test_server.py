"""Draining, operations port, reflection, limits, TLS."""

from __future__ import annotations

import asyncio
import socket

import aiohttp
import grpc
import pytest
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from hocket.rag.v1 import rag_pb2, rag_pb2_grpc

from hocket.chassis import errors
from hocket.chassis.auth import TokenMinter
from hocket.chassis.channel import ClientTls, MeshChannel
from hocket.chassis.server import Assembly, MeshServer, Servicer
from hocket.chassis.settings import ServerSettings, host_port
from hocket.chassis.status import mesh_errors
from tests.fakes.authority import Authority
from tests.fakes.waiting import DEADLINE_S

SECRET = "a-secret-of-32-bytes-for-tests-only!"
TOKEN = TokenMinter(SECRET).mint("acme", caller="test")
NAME = "hocket.rag.v1.RagService"


class Slow(rag_pb2_grpc.RagServiceServicer):
    """Responds once `answer` is set."""

    def __init__(self) -> None:
        self.arrived = asyncio.Event()
        self.answer = asyncio.Event()

    async def Search(self, request, context):
        self.arrived.set()
        await self.answer.wait()
        return rag_pb2.SearchResponse(degraded=[request.query[:3]])


def server_of(servicer: Slow, **values: object) -> MeshServer:
    settings = ServerSettings(**{"jwt_secret": SECRET, "drain_grace_s": DEADLINE_S, **values})
    add = Servicer(NAME, lambda s: rag_pb2_grpc.add_RagServiceServicer_to_server(servicer, s))
    return MeshServer("chassis_life", settings, Assembly([add]))


def channel_to(server: MeshServer, tls: ClientTls | None = None) -> MeshChannel:
    return MeshChannel(f"127.0.0.1:{server.grpc_port}", lambda: TOKEN, tls=tls)


async def search(channel: MeshChannel, query: str = "abc", timeout_s: float = DEADLINE_S) -> rag_pb2.SearchResponse:
    with mesh_errors():
        stub = rag_pb2_grpc.RagServiceStub(channel.channel)
        return await stub.Search(rag_pb2.SearchRequest(query=query), **channel.options(timeout_s))


async def get(url: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return response.status, await response.text()


async def test_a_running_call_completes_while_the_server_drains():
    slow = Slow()
    server = server_of(slow)
    await server.start()
    async with channel_to(server) as channel:
        running = asyncio.create_task(search(channel))
        await slow.arrived.wait()
        stopping = asyncio.create_task(server.stop())
        await asyncio.sleep(0)
        assert server.readiness.draining
        slow.answer.set()
        assert list((await running).degraded) == ["abc"]
        await stopping
        with pytest.raises(errors.Unavailable):
            await search(channel, timeout_s=1)


async def test_the_operations_port_serves_liveness_readiness_and_metrics():
    slow = Slow()
    slow.answer.set()
    server = server_of(slow)
    await server.start()
    ops = f"http://127.0.0.1:{server.ops_port}"
    async with channel_to(server) as channel:
        await search(channel)
    assert (await get(f"{ops}/livez"))[0] == 200
    assert (await get(f"{ops}/readyz"))[0] == 200
    assert "hocket_chassis_life_rpc_duration_seconds_count" in (await get(f"{ops}/metrics"))[1]
    server.readiness.draining = True
    assert "hocket_ready 0.0" in (await get(f"{ops}/metrics"))[1]
    status, text = await get(f"{ops}/readyz")
    assert status == 503
    assert "draining" in text
    await server.stop()


async def test_reflection_is_served_only_if_enabled():
    for on in (True, False):
        server = server_of(Slow(), reflection=on)
        await server.start()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
            stub = reflection_pb2_grpc.ServerReflectionStub(channel)
            call = stub.ServerReflectionInfo(
                iter([reflection_pb2.ServerReflectionRequest(list_services="")]), timeout=DEADLINE_S
            )
            if on:
                names = [s.name async for r in call for s in r.list_services_response.service]
                assert {NAME, "grpc.health.v1.Health"} <= set(names)
            else:
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await call.read()
                assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED
        await server.stop()


async def test_a_message_above_the_limit_is_refused():
    server = server_of(Slow(), message_bytes_max=1024)
    await server.start()
    async with channel_to(server) as channel:
        with pytest.raises(errors.InvalidArgument, match="larger than max") as caught:
            await search(channel, query="x" * 2000)
    await server.stop()
    assert caught.value.reason == "TOO_LARGE"


async def test_calls_above_the_limit_are_refused_at_once():
    slow = Slow()
    server = server_of(slow, concurrent_rpcs_max=1)
    await server.start()
    async with channel_to(server) as channel:
        running = asyncio.create_task(search(channel))
        await slow.arrived.wait()
        with pytest.raises(errors.ResourceExhausted):
            await search(channel)
        slow.answer.set()
        await running
    await server.stop()


async def test_mutual_tls_refuses_clients_without_a_certificate(tmp_path):
    authority = Authority(tmp_path)
    (server_cert, server_key), (client_cert, client_key) = authority.issue("server"), authority.issue("client")
    slow = Slow()
    slow.answer.set()
    server = server_of(slow, tls_cert_file=server_cert, tls_key_file=server_key, tls_client_ca_file=authority.ca_file)
    await server.start()
    async with channel_to(server, ClientTls(authority.ca_file, client_cert, client_key)) as channel:
        assert list((await search(channel)).degraded) == ["abc"]
    async with channel_to(server, ClientTls(authority.ca_file)) as channel:
        with pytest.raises(errors.MeshError):
            await search(channel, timeout_s=1)
    await server.stop()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "[::1]", "::", "[::]"])
async def test_the_ports_listen_on_ipv4_and_ipv6_addresses(host):
    if ":" in host and not _has_ipv6():
        pytest.skip("this machine has no IPv6 loopback")
    slow = Slow()
    slow.answer.set()
    server = server_of(slow, grpc_host=host, ops_host=host)
    await server.start()
    near = "127.0.0.1" if host == "127.0.0.1" else "::1"
    async with MeshChannel(host_port(near, server.grpc_port), lambda: TOKEN) as channel:
        assert list((await search(channel)).degraded) == ["abc"]
    assert (await get(f"http://{host_port(near, server.ops_port)}/livez"))[0] == 200
    await server.stop()


@pytest.mark.parametrize("name", ["grpc_host", "ops_host"])
async def test_an_address_of_another_machine_is_refused_with_the_cause(name):
    # 192.0.2.0/24 is reserved for documentation.
    with pytest.raises(OSError, match=rf"192\.0\.2\.1:0 .*annot assign requested address; set {name}"):
        await server_of(Slow(), **{name: "192.0.2.1"}).start()


async def test_a_taken_port_is_refused_with_the_cause():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        for name in ("grpc_port", "ops_port"):
            with pytest.raises(OSError, match=rf"127\.0\.0\.1:{port} .*ddress already in use"):
                await server_of(Slow(), **{name: port}).start()


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True
