"""Keeps an agent in every room with people: on LiveKit's webhooks, and by a sweep for those that never came."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from types import TracebackType
from typing import Self

import structlog

from hocket.chassis.errors import Unavailable
from services.media_gateway import rooms, telemetry
from services.media_gateway.flow import AgentDispatcher
from services.media_gateway.ports import RoomServer

_SEEN_MAX = 10_000
_log = structlog.get_logger()


class RoomWatcher:
    """Looks after rooms; LiveKit itself never replaces an agent that died (livekit/agents#1472)."""

    def __init__(self, server: RoomServer, dispatcher: AgentDispatcher, *, sweep_interval_s: float) -> None:
        """Sweep every `sweep_interval_s` seconds."""
        self._server = server
        self._dispatcher = dispatcher
        self._sweep_interval_s = sweep_interval_s
        self._seen: OrderedDict[str, None] = OrderedDict()
        self._sweeping: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Begin to sweep."""
        self._sweeping = asyncio.create_task(self.keep_sweeping(), name="room-sweep")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        if self._sweeping:
            self._sweeping.cancel()
            await asyncio.gather(self._sweeping, return_exceptions=True)

    async def on_event(self, event_id: str, event: str, livekit_room: str) -> bool:
        """Handle one webhook; False when it was delivered before."""
        if event_id in self._seen:
            return False
        if event == "room_finished":
            self._dispatcher.forget(livekit_room)
        elif event in {"participant_joined", "participant_left", "participant_connection_aborted"}:
            await self.look_after(livekit_room, cause="webhook")
        # Only now: a delivery that failed half way is to be retried by LiveKit.
        self._seen[event_id] = None
        while len(self._seen) > _SEEN_MAX:
            self._seen.popitem(last=False)
        return True

    async def sweep(self) -> None:
        """Look after every room once."""
        for room in await self._server.list_rooms():
            await self.look_after(room.livekit_room, cause="sweep")

    async def keep_sweeping(self) -> None:
        """Sweep until cancelled."""
        while True:
            await asyncio.sleep(self._sweep_interval_s)
            try:
                await self.sweep()
            except Unavailable as error:
                _log.warning("sweep failed", error=error.message)

    async def look_after(self, livekit_room: str, *, cause: str) -> None:
        """Dispatch when people are in the room and no agent is there or on its way."""
        owner = rooms.split_name(livekit_room)
        if owner is None:
            return
        people = await self._server.list_people(livekit_room)
        waiting = [p for p in people if not p.is_agent]
        if not waiting or len(waiting) < len(people):
            return
        context = await self._context(livekit_room, owner, waiting)
        await self._dispatcher.ensure(livekit_room, context, cause=cause)

    async def _context(
        self, livekit_room: str, owner: tuple[str, str], waiting: Sequence[rooms.Person]
    ) -> rooms.JobContext:
        orders = [rooms.job_context(d.metadata) for d in await self._server.list_dispatches(livekit_room)]
        if not any(orders):
            telemetry.fail_open.labels("dispatch_metadata").inc()
        return rooms.orders_for(owner, [o for o in orders if o], [person.identity for person in waiting])
