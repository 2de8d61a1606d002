"""Calls to the tenant's backend over a real HTTP socket."""

from __future__ import annotations

from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from hocket.chassis.errors import MeshError, NotFound, PermissionDenied, Unavailable
from services.media_gateway.adapters.backend import BackendClient
from tests.fakes.livekit_rooms import Clock


class Backend:
    """Answers with the next of `statuses`, then with 200, and records the requests."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)
        self.calls: list[tuple[str, str, dict, object]] = []
        self.body: object = {"ok": True}

    async def handle(self, request: web.Request) -> web.Response:
        sent = await request.json() if request.can_read_body else None
        self.calls.append((request.method, request.raw_path, dict(request.headers), sent))
        status = self.statuses.pop(0) if self.statuses else 200
        return web.json_response(self.body, status=status)


@asynccontextmanager
async def reaching(backend: Backend, clock: Clock | None = None):
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", backend.handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        async with BackendClient(url, lambda: "token", timeout_s=2, clock=clock or Clock()) as client:
            yield client
    finally:
        await runner.cleanup()


async def test_a_call_carries_the_tenants_token():
    backend = Backend()
    async with reaching(backend) as client:
        assert await client.get_settings() == {"ok": True}
    method, path, headers, _ = backend.calls[0]
    assert (method, path, headers["Authorization"]) == ("GET", "/v1/settings", "Bearer token")


async def test_a_user_id_is_quoted_in_the_path():
    backend = Backend()
    async with reaching(backend) as client:
        await client.get_user("../tasks?x=ann@example.org")
    assert backend.calls[0][1] == "/v1/users/..%2Ftasks%3Fx%3Dann%40example.org"


async def test_a_retry_repeats_the_idempotency_key():
    backend = Backend(503, 502)
    async with reaching(backend) as client:
        await client.create_task("call Bob", "", room="demo", user_id="ann", idempotency_key="k1")
    assert [call[2]["Idempotency-Key"] for call in backend.calls] == ["k1"] * 3
    assert backend.calls[0][3] == {"title": "call Bob", "room": "demo", "user_id": "ann"}


async def test_an_insight_and_a_due_date_are_sent():
    backend = Backend()
    async with reaching(backend) as client:
        await client.log_insight("likes tea", room="demo", user_id="ann", idempotency_key="k2")
        await client.create_task("call Bob", "tomorrow", room="demo", user_id="ann", idempotency_key="k3")
    assert backend.calls[0][3] == {"text": "likes tea", "room": "demo", "user_id": "ann"}
    assert backend.calls[1][3]["due"] == "tomorrow"


@pytest.mark.parametrize(
    ("status", "error"), [(404, NotFound), (401, PermissionDenied), (403, PermissionDenied), (422, MeshError)]
)
async def test_an_http_4xx_is_not_retried(status, error):
    backend = Backend(status)
    async with reaching(backend) as client:
        with pytest.raises(error):
            await client.get_settings()
    assert len(backend.calls) == 1


async def test_the_circuit_breaker_opens_after_three_failed_calls_and_closes_again():
    backend, clock = Backend(*[500] * 9), Clock()
    async with reaching(backend, clock) as client:
        for _ in range(3):
            with pytest.raises(Unavailable):
                await client.get_settings()
        with pytest.raises(Unavailable):
            await client.get_settings()
        assert len(backend.calls) == 9
        clock.now_s += 11
        assert await client.get_settings() == {"ok": True}


async def test_a_refused_connection_is_unavailable():
    async with BackendClient("http://127.0.0.1:1", lambda: "", timeout_s=1) as client:
        with pytest.raises(Unavailable):
            await client.get_settings()


async def test_a_json_array_counts_as_an_empty_object():
    backend = Backend()
    backend.body = ["text"]
    async with reaching(backend) as client:
        assert await client.get_settings() == {}
