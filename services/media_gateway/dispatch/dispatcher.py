"""Dispatches an agent to a room that has none, and counts the dispatches after which no agent joined."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from weakref import WeakValueDictionary

import structlog

from hocket.chassis.clock import Clock
from hocket.chassis.errors import Unavailable
from services.media_gateway import telemetry
from services.media_gateway.config import RoomConfig
from services.media_gateway.errors import AgentNotDispatched
from services.media_gateway.ports import RoomServer
from services.media_gateway.rooms.dispatch_rule import needs_dispatch
from services.media_gateway.rooms.job_context import JobContext

_ARRIVAL_POLL_S = 0.25
_UNANSWERED_ROOMS_MAX = 10_000
_log = structlog.get_logger()


class AgentDispatcher:
    """Dispatches agents and watches for their arrival."""

    def __init__(self, server: RoomServer, clock: Clock, config: RoomConfig) -> None:
        """Dispatch agents.

        Args:
            server: LiveKit server to dispatch on.
            clock: Source of the current time.
            config: Dispatch rule and the time an agent has to join.
        """
        self._server = server
        self._clock = clock
        self._config = config
        self._unanswered: OrderedDict[str, int] = OrderedDict()
        self._arrivals: dict[str, asyncio.Task[None]] = {}
        # A lock lives as long as a call holds or awaits it.
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def ensure_agent(self, livekit_room: str, context: JobContext, *, cause: str) -> bool:
        """Dispatch an agent unless one is in the room or on its way.

        Args:
            livekit_room: Name of the room on the LiveKit server.
            context: Job context for the agent.
            cause: What led to the call (`join`, `webhook`, `sweep`); label of the metric.

        Returns:
            Whether an agent was dispatched.

        Raises:
            AgentNotDispatched: LiveKit did not accept the dispatch.
            Unavailable: LiveKit did not answer an earlier call.
        """
        # Serializes joins of one room on this replica, so that two people who join at once get one agent. Agents
        # dispatched by two replicas share AGENT_IDENTITY, and LiveKit keeps one of them.
        async with self._locks.setdefault(livekit_room, asyncio.Lock()):
            return await self._ensure_agent(livekit_room, context, cause)

    async def _ensure_agent(self, livekit_room: str, context: JobContext, cause: str) -> bool:
        participants = await self._server.list_participants(livekit_room)
        dispatches = await self._server.list_dispatches(livekit_room)
        unanswered = self._unanswered.get(livekit_room, 0)
        now_s = self._clock.time()
        if not needs_dispatch(self._config.dispatch, now_s, participants, dispatches, unanswered=unanswered):
            return False
        await self._create_dispatch(livekit_room, context)
        telemetry.dispatches.labels(cause).inc()
        _log.info("agent dispatched", livekit_room=livekit_room, cause=cause, unanswered=unanswered)
        self._watch_arrival(livekit_room)
        # Only now: without a dispatch that carries the job context, a replacement does not know the tenant's tier.
        for dispatch in dispatches:
            await self._server.delete_dispatch(livekit_room, dispatch.dispatch_id)
        return True

    async def _create_dispatch(self, livekit_room: str, context: JobContext) -> None:
        try:
            await self._server.create_dispatch(livekit_room, context.to_json())
        except Unavailable as error:
            raise AgentNotDispatched(
                f"no agent could be dispatched to room {context.room!r}: {error.message}; retry JoinRoom",
                metadata={"room": context.room},
                retry_after_s=error.retry_after_s,
            ) from error

    def forget_room(self, livekit_room: str) -> None:
        """Drop the count of unanswered dispatches of a room that has ended."""
        self._unanswered.pop(livekit_room, None)

    async def close(self) -> None:
        """Stop watching for arrivals."""
        arrivals = list(self._arrivals.values())
        for task in arrivals:
            task.cancel()
        await asyncio.gather(*arrivals, return_exceptions=True)

    def _watch_arrival(self, livekit_room: str) -> None:
        if livekit_room not in self._arrivals:
            task = asyncio.create_task(self._await_agent(livekit_room))
            self._arrivals[livekit_room] = task
            task.add_done_callback(lambda _: self._arrivals.pop(livekit_room, None))

    async def _await_agent(self, livekit_room: str) -> None:
        started_s = self._clock.monotonic()
        try:
            async with asyncio.timeout(self._config.agent_join_timeout_s):
                # LiveKit's server API offers no way to wait for a participant.
                while not await self._agent_present(livekit_room):  # noqa: ASYNC110 - see above
                    await asyncio.sleep(_ARRIVAL_POLL_S)
        except TimeoutError:
            self._count_unanswered(livekit_room)
            telemetry.agents_missing.inc()
            _log.warning("no agent joined", livekit_room=livekit_room, waited_s=self._config.agent_join_timeout_s)
        except Unavailable as error:
            _log.warning("cannot observe the agent's arrival", livekit_room=livekit_room, error=error.message)
        else:
            self._unanswered.pop(livekit_room, None)
            telemetry.agent_join_seconds.observe(self._clock.monotonic() - started_s)

    async def _agent_present(self, livekit_room: str) -> bool:
        return any(p.is_agent for p in await self._server.list_participants(livekit_room))

    def _count_unanswered(self, livekit_room: str) -> None:
        self._unanswered[livekit_room] = self._unanswered.pop(livekit_room, 0) + 1
        while len(self._unanswered) > _UNANSWERED_ROOMS_MAX:
            self._unanswered.popitem(last=False)
