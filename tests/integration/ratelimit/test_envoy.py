"""A real Envoy calls the service. Skipped without a binary: ENVOY_BINARY, or `envoy` on PATH."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import subprocess
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from hocket.chassis.auth import TokenMinter
from hocket.chassis.circuit_breaker import CircuitBreaker
from hocket.chassis.clock import SystemClock
from hocket.chassis.server import Assembly, MeshServer, Servicer
from hocket.chassis.settings import ServerSettings
from services.ratelimit import envoy_server
from services.ratelimit.adapters.memory_store import MemoryStore
from services.ratelimit.adapters.redis_store import RedisStore
from services.ratelimit.flow import Limiter
from services.ratelimit.limits.limit_file import parse_limit_file
from tests.fakes.waiting import DEADLINE_S

ENVOY = os.environ.get("ENVOY_BINARY") or shutil.which("envoy")
SECRET = "a-secret-of-32-bytes-for-tests-only!"
TABLE = parse_limit_file("[rates.rag_queries]\nwindow_s = 60\nfree = 5\nstandard = 5\npremium = 5\n")

pytestmark = pytest.mark.skipif(ENVOY is None, reason="no Envoy: set ENVOY_BINARY or put envoy on PATH")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def cluster(name: str, port: int, *, http2: bool = False) -> dict:
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    endpoints = [{"lb_endpoints": [{"endpoint": {"address": address}}]}]
    made = {"name": name, "type": "STATIC", "load_assignment": {"cluster_name": name, "endpoints": endpoints}}
    if http2:
        options = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
        made["typed_extension_protocol_options"] = {
            options: {
                "@type": f"type.googleapis.com/{options}",
                "explicit_http_config": {"http2_protocol_options": {}},
            }
        }
    return made


def envoy_config(port: int, limiter_port: int, upstream_port: int, token: str) -> dict:
    filters = "type.googleapis.com/envoy.extensions.filters"
    ratelimit = {
        "@type": f"{filters}.http.ratelimit.v3.RateLimit",
        "domain": "edge",
        "failure_mode_deny": True,
        "timeout": "1s",
        "rate_limit_service": {
            "transport_api_version": "V3",
            "grpc_service": {
                "envoy_grpc": {"cluster_name": "limiter"},
                "initial_metadata": [{"key": "authorization", "value": f"Bearer {token}"}],
            },
        },
    }
    actions = [
        {"generic_key": {"descriptor_key": "limit", "descriptor_value": "rag_queries"}},
        {"request_headers": {"header_name": "x-user", "descriptor_key": "user"}},
    ]
    route = {"match": {"prefix": "/"}, "route": {"cluster": "upstream", "rate_limits": [{"actions": actions}]}}
    manager = {
        "@type": f"{filters}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "edge",
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
        "http_filters": [
            {"name": "envoy.filters.http.ratelimit", "typed_config": ratelimit},
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": f"{filters}.http.router.v3.Router"},
            },
        ],
    }
    chain = {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    clusters = [cluster("upstream", upstream_port), cluster("limiter", limiter_port, http2=True)]
    return {
        "static_resources": {
            "listeners": [{"name": "edge", "address": address, "filter_chains": [chain]}],
            "clusters": clusters,
        }
    }


@asynccontextmanager
async def limiter(redis_url: str):
    store = RedisStore(redis_url, timeout_s=5)
    decides = Limiter(
        table=TABLE,
        shared=store,
        local=MemoryStore(lambda: 0),
        breaker=CircuitBreaker(),
        clock=SystemClock(),
        new_lease_id=lambda: "a" * 32,
    )
    servicer = envoy_server.EnvoyServicer(decides, frozenset(TABLE.rates))
    assembly = Assembly([Servicer(envoy_server.FULL_NAME, lambda s: envoy_server.add_to(servicer, s))])
    server = MeshServer("ratelimit_envoy_test", ServerSettings(jwt_secret=SECRET, drain_grace_s=0.2), assembly)
    await server.start()
    yield server
    await server.stop()
    await store.close()


@asynccontextmanager
async def upstream():
    async def hello(_: web.Request) -> web.Response:
        return web.Response(text="hello")

    app = web.Application()
    app.router.add_get("/", hello)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield runner.addresses[0][1]
    await runner.cleanup()


@asynccontextmanager
async def envoy(config: dict):
    process = await asyncio.create_subprocess_exec(
        ENVOY,
        "--config-yaml",
        json.dumps(config),
        "--use-dynamic-base-id",
        "--concurrency",
        "1",
        "--log-level",
        "error",
        stdout=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        process.terminate()
        await process.wait()


async def test_envoy_passes_five_requests_and_answers_429_to_the_sixth(redis_url):
    port = free_port()
    token = TokenMinter(SECRET).mint("acme", caller="envoy")
    async with limiter(redis_url) as server, upstream() as upstream_port, aiohttp.ClientSession() as http:

        async def get(user: str) -> int:
            async with http.get(f"http://127.0.0.1:{port}/", headers={"x-user": user}) as response:
                return response.status

        async with envoy(envoy_config(port, server.grpc_port, upstream_port, token)):
            await listening(port)
            assert [await get("u1") for _ in range(7)] == [200] * 5 + [429] * 2
            assert await get("u2") == 200
        async with envoy(envoy_config(port, server.grpc_port, upstream_port, "forged")):
            await listening(port)
            assert await get("u3") == 500


async def listening(port: int) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return
