"""The annotation follows the number of rooms, is written only when it changes, and never stops the gateway."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest
from aiohttp import web

from services.media_gateway.adapters.pod_deletion_cost import PodDeletionCost
from tests.fakes.waiting import until

# The name that Kubernetes' ReplicaSet controller reads.
ANNOTATION = "controller.kubernetes.io/pod-deletion-cost"


class Api:
    """The part of the Kubernetes API that patches a pod."""

    def __init__(self) -> None:
        self.url = ""
        self.written: list[str] = []
        self.status = 200
        self.refused = 0

    async def patch(self, request: web.Request) -> web.Response:
        assert request.headers["authorization"] == "Bearer secret"
        assert request.content_type == "application/merge-patch+json"
        assert request.path == "/api/v1/namespaces/voice/pods/gateway-1"
        if self.status != 200:
            self.refused += 1
            return web.Response(status=self.status)
        self.written.append((await request.json())["metadata"]["annotations"][ANNOTATION])
        return web.json_response({})


@pytest.fixture
async def api():
    fake = Api()
    app = web.Application()
    app.router.add_patch("/{path:.*}", fake.patch)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    fake.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield fake
    await runner.cleanup()


@pytest.fixture
def account(tmp_path):
    (tmp_path / "token").write_text("secret\n")
    (tmp_path / "namespace").write_text("voice")
    return tmp_path


@pytest.fixture
async def rooms(api, account):
    held = [0]
    cost = PodDeletionCost("gateway-1", lambda: held[0], interval_s=0.01, api_url=api.url, service_account=account)
    task = asyncio.create_task(cost.run())
    yield held
    assert not task.done()
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_each_change_is_written_once(api, rooms):
    await until(lambda: api.written == ["0"])
    rooms[0] = 3
    await until(lambda: api.written == ["0", "3"])
    rooms[0] = 0
    await until(lambda: api.written == ["0", "3", "0"])


async def test_a_refused_write_is_tried_again(api, rooms):
    await until(lambda: api.written == ["0"])
    api.status = 403
    rooms[0] = 2
    await until(lambda: api.refused >= 2)
    api.status = 200
    await until(lambda: api.written == ["0", "2"])
