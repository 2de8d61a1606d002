"""Replaces missing agents: looks at a room on LiveKit's webhooks, and at every room in a periodic sweep."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from types import TracebackType
from typing import Self

import structlog

from hocket.chassis.errors import Unavailable
from services.media_gateway import telemetry
from services.media_gateway.dispatch.dispatcher import AgentDispatcher
from services.media_gateway.errors import AgentNotDispatched
from services.media_gateway.ports import RoomServer
from services.media_gateway.rooms.job_context import JobContext, parse_job_context, replacement_context
from services.media_gateway.rooms.names import split_livekit_name
from services.media_gateway.rooms.records import Participant

_EVENT_IDS_MAX = 10_000
_ROOM_CHANGED = frozenset({"participant_joined", "participant_left", "participant_connection_aborted"})
_log = structlog.get_logger()


class RoomWatcher:
    """Dispatches an agent to each room that has people and no agent.

    LiveKit does not replace an agent whose process died (livekit/agents#1472). Use as `async with`, which runs the
    sweep.
    """

    def __init__(self, server: RoomServer, dispatcher: AgentDispatcher, *, sweep_interval_s: float) -> None:
        """Watch rooms.

        Args:
            server: LiveKit server whose rooms are watched.
            dispatcher: Dispatches the agents.
            sweep_interval_s: Seconds between two sweeps.
        """
        self._server = server
        self._dispatcher = dispatcher
        self._sweep_interval_s = sweep_interval_s
        self._handled_event_ids: OrderedDict[str, None] = OrderedDict()
        self._sweep_task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Start the sweep."""
        self._sweep_task = asyncio.create_task(self._sweep_until_cancelled(), name="room-sweep")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the sweep."""
        if self._sweep_task:
            self._sweep_task.cancel()
            await asyncio.gather(self._sweep_task, return_exceptions=True)

    async def on_webhook(self, event_id: str, event: str, livekit_room: str) -> bool:
        """Handle one webhook.

        Args:
            event_id: LiveKit's id of the delivery; a repeated one is ignored.
            event: Kind of the event; kinds that change neither room nor participants are ignored.
            livekit_room: Name of the room on the LiveKit server.

        Returns:
            False when a webhook with this id was handled before.

        Raises:
            Unavailable: LiveKit did not answer; its retry of the webhook is handled again.
        """
        if event_id in self._handled_event_ids:
            return False
        if event == "room_finished":
            self._dispatcher.forget_room(livekit_room)
        elif event in _ROOM_CHANGED:
            await self.check_room(livekit_room, cause="webhook")
        # Only after success, so that LiveKit's retry of a failed delivery is handled.
        self._handled_event_ids[event_id] = None
        while len(self._handled_event_ids) > _EVENT_IDS_MAX:
            self._handled_event_ids.popitem(last=False)
        return True

    async def sweep(self) -> None:
        """Check every room of the LiveKit server once; a rejected dispatch does not keep the others from theirs.

        Raises:
            Unavailable: LiveKit did not answer.
        """
        for room in await self._server.list_rooms():
            try:
                await self.check_room(room.livekit_room, cause="sweep")
            except AgentNotDispatched as error:
                _log.warning("room left without an agent", livekit_room=room.livekit_room, error=error.message)

    async def check_room(self, livekit_room: str, *, cause: str) -> None:
        """Dispatch an agent if the room has people, no agent and no dispatch under way.

        Args:
            livekit_room: Name of the room on the LiveKit server; rooms of other applications are ignored.
            cause: Label of the metric (`webhook`, `sweep`).

        Raises:
            Unavailable: LiveKit did not answer.
        """
        owner = split_livekit_name(livekit_room)
        if owner is None:
            return
        participants = await self._server.list_participants(livekit_room)
        people = [p for p in participants if not p.is_agent]
        if not people or len(people) < len(participants):
            return
        context = await self._replacement_context(livekit_room, owner, people)
        await self._dispatcher.ensure_agent(livekit_room, context, cause=cause)

    async def _replacement_context(
        self, livekit_room: str, owner: tuple[str, str], people: Sequence[Participant]
    ) -> JobContext:
        dispatches = await self._server.list_dispatches(livekit_room)
        earlier = [context for d in dispatches if (context := parse_job_context(d.metadata))]
        if not earlier:
            telemetry.fail_open.labels("dispatch_metadata").inc()
        return replacement_context(owner, earlier, [person.identity for person in people])

    async def _sweep_until_cancelled(self) -> None:
        while True:
            await asyncio.sleep(self._sweep_interval_s)
            try:
                await self.sweep()
            except Unavailable as error:
                _log.warning("sweep failed", error=error.message)
