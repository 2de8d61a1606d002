"""RoomService over gRPC and over HTTP, on a LiveKit server in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

import pytest
from aiohttp import web
from hocket.media_gateway.v1 import media_gateway_pb2_grpc

from hocket.chassis.auth import TokenMinter, TokenVerifier
from hocket.chassis.channel import MeshChannel
from hocket.chassis.server import Assembly, MeshServer, Servicer
from hocket.chassis.settings import ServerSettings
from hocket.client.media_gateway import RoomClient
from services.media_gateway import server
from services.media_gateway.adapters.livekit_server import LiveKitTokens
from services.media_gateway.adapters.livekit_webhook import WebhookReader
from services.media_gateway.config import RoomConfig
from services.media_gateway.dispatch.dispatcher import AgentDispatcher
from services.media_gateway.dispatch.watcher import RoomWatcher
from services.media_gateway.flow import Rooms
from services.media_gateway.http.app import create_app
from services.media_gateway.http.room_routes import RoomRoutes
from services.media_gateway.http.webhook import WebhookReceiver
from services.media_gateway.rooms.dispatch_rule import DispatchRule
from tests.fakes.livekit_rooms import MemoryRooms

SECRET = "a-secret-of-32-bytes-for-tests-only!"
LIVEKIT_KEY, LIVEKIT_SECRET = "key", "a-livekit-secret-of-32-bytes-or-more"
ORIGIN = "https://app.example.org"


@dataclass
class Served:
    livekit: MemoryRooms
    dispatcher: AgentDispatcher
    watcher: RoomWatcher
    grpc_port: int
    url: str

    def token(self, tenant_id: str = "acme", **claims: object) -> str:
        return TokenMinter(SECRET).mint(tenant_id, caller="test", **claims)

    @asynccontextmanager
    async def client(self, tenant_id: str = "acme", token: str | None = None) -> AsyncIterator[RoomClient]:
        bearer = self.token(tenant_id) if token is None else token
        async with MeshChannel(f"127.0.0.1:{self.grpc_port}", lambda: bearer) as channel:
            yield RoomClient(channel)


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    livekit = MemoryRooms()
    config = RoomConfig("ws://livekit.test", 600, agent_join_timeout_s=0.3, dispatch=DispatchRule(10, 60))
    dispatcher = AgentDispatcher(livekit, livekit.clock, config)
    rooms = Rooms(livekit, LiveKitTokens(LIVEKIT_KEY, LIVEKIT_SECRET), dispatcher, livekit.clock, config)
    watcher = RoomWatcher(livekit, dispatcher, sweep_interval_s=3600)
    add = partial(media_gateway_pb2_grpc.add_RoomServiceServicer_to_server, server.RoomServicer(rooms))
    settings = ServerSettings(jwt_secret=SECRET, drain_grace_s=0.2)
    mesh = MeshServer("media_gateway", settings, Assembly([Servicer(server.SERVICE, add)]))
    await mesh.start()
    app = create_app(
        RoomRoutes(rooms, TokenVerifier(secret=SECRET), local_identity=None),
        WebhookReceiver(watcher, WebhookReader(LIVEKIT_KEY, LIVEKIT_SECRET)),
        origins=frozenset({ORIGIN}),
    )
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield Served(livekit, dispatcher, watcher, mesh.grpc_port, url)
    finally:
        await runner.cleanup()
        await mesh.stop()
        await dispatcher.close()
