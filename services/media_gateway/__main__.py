"""Entry point: RoomService over gRPC and HTTP, and the LiveKit worker that serves each room in its own process."""

from __future__ import annotations

from hocket.chassis.stop_signals import end_at_once

if __name__ == "__main__":
    # First: a SIGTERM during the imports below must not be lost.
    end_at_once()

import asyncio
import tempfile
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

from aiohttp import web
from hocket.media_gateway.v1 import media_gateway_pb2_grpc
from livekit import api

from hocket.chassis.clock import SystemClock
from hocket.chassis.run import run
from hocket.chassis.server import Assembly, Servicer
from services.media_gateway import server
from services.media_gateway.adapters import turn_reports
from services.media_gateway.adapters.livekit_server import LiveKitServer, LiveKitTokens
from services.media_gateway.adapters.livekit_webhook import WebhookReader
from services.media_gateway.adapters.livekit_worker import Worker
from services.media_gateway.adapters.pod_deletion_cost import PodDeletionCost
from services.media_gateway.adapters.room_slots import JobSlots
from services.media_gateway.dispatch.dispatcher import AgentDispatcher
from services.media_gateway.dispatch.watcher import RoomWatcher
from services.media_gateway.flow import Rooms
from services.media_gateway.http.app import create_app
from services.media_gateway.http.room_routes import RoomRoutes
from services.media_gateway.http.webhook import WebhookReceiver
from services.media_gateway.session.job import prewarm, serve_room
from services.media_gateway.settings import Settings


async def build(settings: Settings, resources: AsyncExitStack) -> Assembly:
    """Wire the worker's process; `session.job` wires the rooms' processes."""
    secret = settings.livekit_api_secret.get_secret_value()
    client = api.LiveKitAPI(settings.livekit_url, settings.livekit_api_key, secret)
    resources.push_async_callback(client.aclose)  # pyright: ignore[reportUnknownMemberType] - livekit-api leaves it untyped
    livekit = LiveKitServer(client, agent_name=settings.agent_name)
    clock, config = SystemClock(), settings.room_config()
    dispatcher = AgentDispatcher(livekit, clock, config)
    resources.push_async_callback(dispatcher.close)
    rooms = Rooms(livekit, LiveKitTokens(settings.livekit_api_key, secret), dispatcher, clock, config)
    watcher = RoomWatcher(livekit, dispatcher, sweep_interval_s=settings.sweep_interval_s)
    await resources.enter_async_context(watcher)

    folder = Path(resources.enter_context(tempfile.TemporaryDirectory(prefix="hocket-")))
    reports = await turn_reports.listen(folder / "turns")
    resources.callback(reports.close)

    job = settings.job_config(str(folder / "turns"))
    worker = Worker(
        settings.worker_config(),
        partial(serve_room, job),
        partial(prewarm, job),
        JobSlots(settings.peers(), ttl_s=settings.slot_ttl_s).acquire,
    )
    worker.start()
    resources.push_async_callback(worker.close)
    if settings.deletion_cost_pod:
        cost = asyncio.create_task(PodDeletionCost(settings.deletion_cost_pod, worker.active_rooms).run())
        resources.callback(cost.cancel)

    app = create_app(
        RoomRoutes(rooms, settings.token_verifier(), local_identity=settings.local_identity()),
        WebhookReceiver(watcher, WebhookReader(settings.livekit_api_key, secret)),
        origins=frozenset(settings.http_origins),
    )
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    resources.push_async_callback(runner.cleanup)
    await web.TCPSite(runner, settings.http_host.strip("[]"), settings.http_port).start()

    add = partial(media_gateway_pb2_grpc.add_RoomServiceServicer_to_server, server.RoomServicer(rooms))
    checks = {"livekit": livekit.check, "worker": worker.check}
    # Running rooms go on while the gateway drains, and both ports stay open for their participants.
    return Assembly([Servicer(server.SERVICE, add)], checks, on_drain=[worker.drain], until_drained=[worker.drained])


def main() -> None:
    """Run `hocket-media-gateway`."""
    run("media_gateway", "Rooms, and the agents in them.", Settings, build)


if __name__ == "__main__":
    main()
