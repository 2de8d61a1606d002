"""Redis is killed, frozen and restarted under a running service: every call is answered in time and marked degraded."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import time
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from hocket.ratelimit.v1.ratelimit_pb2 import Spend
from prometheus_client import REGISTRY

from hocket.chassis.auth import TokenMinter
from hocket.chassis.channel import MeshChannel
from hocket.chassis.server import MeshServer
from hocket.client.ratelimit import RateLimitClient
from local.embedded.redis import server_binary
from services.ratelimit.__main__ import build
from services.ratelimit.settings import Settings
from tests.fakes.waiting import DEADLINE_S

SECRET = "a-secret-of-32-bytes-for-tests-only!"
TOKEN = TokenMinter(SECRET).mint("acme", tenant_tier="premium", caller="test")


class OwnRedis:
    """A Redis of this test, which it may kill."""

    def __init__(self, folder: Path, *more: str) -> None:
        self._folder = folder
        self._more = more
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.start()

    def start(self) -> None:
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", str(self._folder)]
        self.process = subprocess.Popen([server_binary(), *options, *self._more], stdout=subprocess.DEVNULL)
        ends = time.monotonic() + DEADLINE_S
        while time.monotonic() < ends:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)
        raise TimeoutError("redis did not start")

    def signal(self, number: int) -> None:
        os.kill(self.process.pid, number)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def redis_process(tmp_path):
    own = OwnRedis(tmp_path)
    yield own
    own.kill()


@asynccontextmanager
async def service(port: int, **changes):
    settings = Settings(
        **{
            "jwt_secret": SECRET,
            "redis_url": f"redis://127.0.0.1:{port}/0",
            "postgres_url": "postgresql://hocket_app@127.0.0.1:1/hocket",
            "breaker_open_s": 0.2,
            "drain_grace_s": 0.2,
            **changes,
        }
    )
    async with AsyncExitStack() as resources:
        server = MeshServer("ratelimit_outage_test", settings, await build(settings, resources))
        await server.start()
        try:
            async with MeshChannel(f"127.0.0.1:{server.grpc_port}", lambda: TOKEN) as channel:
                yield server, RateLimitClient(channel)
        finally:
            await server.stop()


async def check(client: RateLimitClient) -> bool:
    """Return whether the decision was degraded; fail without a decision."""
    response = await client.check([Spend(limit="rag_queries")], timeout_s=DEADLINE_S)
    assert response.admitted
    return response.degraded


async def until_healthy(client: RateLimitClient) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while await check(client):  # noqa: ASYNC110 - an answer is waited for, not an event
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("how", ["killed", "frozen"])
async def test_decisions_continue_during_an_outage_and_return_to_redis(redis_process, how):
    async with service(redis_process.port) as (_, client):
        await until_healthy(client)
        callers = asyncio.gather(*(calls(client) for _ in range(4)))
        await asyncio.sleep(0.2)
        if how == "killed":
            redis_process.kill()
        else:
            redis_process.signal(signal.SIGSTOP)
        answers = [marked for one in await callers for marked in one]
        assert answers.count(True) > 0
        assert await check(client)
        slot = await client.acquire("rooms", "r", timeout_s=DEADLINE_S)
        assert (slot.acquired, slot.degraded) == (True, True)
        if how == "killed":
            redis_process.start()
        else:
            redis_process.signal(signal.SIGCONT)
        await until_healthy(client)


def timeouts() -> float | None:
    labels = {"command": "script", "outcome": "failed"}
    return REGISTRY.get_sample_value("hocket_ratelimit_redis_duration_seconds_count", labels)


async def calls(client: RateLimitClient) -> list[bool]:
    answers = []
    for _ in range(60):
        answers.append(await check(client))
        await asyncio.sleep(0.01)
    return answers


async def test_open_breaker_does_not_wait_for_a_frozen_redis(redis_process):
    async with service(redis_process.port, redis_timeout_s=0.03, breaker_open_s=60) as (_, client):
        await until_healthy(client)
        redis_process.signal(signal.SIGSTOP)
        for _ in range(4):
            assert await check(client)
        timeouts_before = timeouts()
        for _ in range(300):
            assert await check(client)
        assert timeouts() == timeouts_before
        redis_process.signal(signal.SIGCONT)


async def test_service_stays_ready_during_an_outage(redis_process):
    async with service(redis_process.port) as (server, _):
        assert set(server.readiness.problems()) == {"postgres"}
        redis_process.kill()
        await server.readiness.refresh()
        assert set(server.readiness.problems()) == {"postgres"}


async def test_readiness_names_the_setting_that_lacks_the_password_of_redis(tmp_path):
    own = OwnRedis(tmp_path, "--requirepass", "a-password")
    try:
        async with service(own.port, redis_timeout_s=5) as (server, _):
            assert "redis_url: NOAUTH" in server.readiness.problems()["redis"]
        async with service(own.port, redis_url=f"redis://:wrong@127.0.0.1:{own.port}/0") as (server, _):
            assert "redis_url: WRONGPASS" in server.readiness.problems()["redis"]
    finally:
        own.kill()
