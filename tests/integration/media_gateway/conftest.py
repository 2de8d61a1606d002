"""A media gateway in its own process, on a real LiveKit server, with fake services behind it."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import psutil
import pytest
import pytest_asyncio

from hocket.chassis.auth import TokenMinter
from hocket.chassis.channel import MeshChannel
from hocket.client.media_gateway import RoomClient
from tests.fakes import mesh_peers
from tests.fakes.waiting import DEADLINE_S, START_S

ROOT = Path(__file__).parents[3]


@dataclass
class Gateway:
    peers: mesh_peers.Peers
    grpc_port: int
    ops_port: int
    http_port: int
    process: asyncio.subprocess.Process
    log: Path

    @asynccontextmanager
    async def rooms(self, tenant_id: str = "acme") -> AsyncIterator[RoomClient]:
        token = TokenMinter(mesh_peers.SECRET).mint(tenant_id, caller="test")
        async with MeshChannel(f"127.0.0.1:{self.grpc_port}", lambda: token) as channel:
            yield RoomClient(channel)

    def newest_room_pid(self) -> int:
        """The child that talks over UDP, as rooms do and idle processes do not; the others are leaving theirs."""
        children = psutil.Process(self.process.pid).children(recursive=True)
        rooms = [child for child in children if child.is_running() and child.net_connections("udp")]
        return max(rooms, key=lambda child: child.create_time()).pid

    async def metrics(self) -> str:
        async with (
            aiohttp.ClientSession() as http,
            http.get(f"http://127.0.0.1:{self.ops_port}/metrics") as response,
        ):
            return await response.text()

    async def until_metric(self, line: str, timeout_s: float = DEADLINE_S) -> None:
        async with asyncio.timeout(timeout_s):
            while line not in (await self.metrics()).splitlines():  # noqa: ASYNC110 - metrics are pulled
                await asyncio.sleep(0.2)


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


@asynccontextmanager
async def gateway_running(livekit, folder: Path, peers: mesh_peers.Peers, **settings: str) -> AsyncIterator[Gateway]:
    grpc_port, ops_port, http_port = free_ports(3)
    environment = {
        "LIVEKIT_URL": livekit.url,
        "LIVEKIT_API_KEY": livekit.api_key,
        "LIVEKIT_API_SECRET": livekit.api_secret,
        "SPEECH_TARGET": peers.target,
        "LLM_ROUTER_TARGET": peers.target,
        "RAG_TARGET": peers.target,
        "RATELIMIT_TARGET": peers.target,
        "JWT_SECRET": mesh_peers.SECRET,
        "GRPC_PORT": str(grpc_port),
        "OPS_PORT": str(ops_port),
        "HTTP_PORT": str(http_port),
        "SWEEP_INTERVAL_S": "1",
        "DISPATCH_GRACE_S": "3",
        "WORKER_DRAIN_S": "2",
        "DRAIN_GRACE_S": "1",
        "LLM_NEXT_EVENT_S": "1.5",
        "TTS_NEXT_AUDIO_S": "1.5",
        **settings,
    }
    log = folder / "gateway.log"
    with log.open("w") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "services.media_gateway",
            env={**os.environ, **{f"HOCKET_MEDIA_GATEWAY_{name}": value for name, value in environment.items()}},
            cwd=ROOT,
            stdout=output,
            stderr=asyncio.subprocess.STDOUT,
        )
    gateway = Gateway(peers, grpc_port, ops_port, http_port, process, log)
    try:
        await _ready(gateway)
        yield gateway
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), DEADLINE_S)
        except TimeoutError:
            process.kill()
            await process.wait()


async def _ready(gateway: Gateway) -> None:
    async with asyncio.timeout(START_S), aiohttp.ClientSession() as http:
        while True:
            if gateway.process.returncode is not None:
                raise RuntimeError(f"the gateway ended:\n{gateway.log.read_text()}")
            try:
                async with http.get(f"http://127.0.0.1:{gateway.ops_port}/readyz") as response:
                    if response.status == 200:
                        return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.2)


@pytest.fixture(scope="session")
def run_gateway():
    """Runs a gateway with settings of one's own; use as `async with`."""
    return gateway_running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(livekit_server, tmp_path_factory) -> AsyncIterator[Gateway]:
    async with mesh_peers.serving() as peers:
        async with gateway_running(livekit_server, tmp_path_factory.mktemp("gateway"), peers) as running:
            yield running
