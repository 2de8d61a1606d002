"""Rooms of a tenant: the order in which LiveKit is asked, and the agent that must follow people into a room."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from hocket.chassis.clock import Clock
from hocket.chassis.errors import Unavailable
from hocket.chassis.identity import Identity
from services.media_gateway import rooms, telemetry
from services.media_gateway.errors import room_not_found
from services.media_gateway.plan import RoomRules
from services.media_gateway.ports import AccessTokens, RoomServer

_POLL_S = 0.25
_LISTINGS_AT_ONCE = 8
_VAIN_ROOMS_MAX = 10_000
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class RoomView:
    """A room as its tenant sees it; `created_at_s` since the epoch."""

    name: str
    created_at_s: float
    participants: int
    agent_present: bool


@dataclass(frozen=True, slots=True)
class Access:
    """How to connect; `expires_at_s` since the epoch."""

    url: str
    token: str
    expires_at_s: float
    livekit_room: str


class AgentDispatcher:
    """Sees to it that a room with people has an agent on its way, and says when none came."""

    def __init__(self, server: RoomServer, clock: Clock, rules: RoomRules) -> None:
        """Dispatch over `server`."""
        self._server = server
        self._clock = clock
        self._rules = rules
        self._vain: OrderedDict[str, int] = OrderedDict()
        self._waiting: dict[str, asyncio.Task[None]] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    async def ensure(self, livekit_room: str, context: rooms.JobContext, *, cause: str) -> bool:
        """Dispatch unless an agent is there or on its way; whether one was asked for. `cause` labels the metric."""
        # Two people joining at once must not bring two agents; across replicas the agent's identity settles it.
        async with self._locks.setdefault(livekit_room, asyncio.Lock()):
            try:
                return await self._ensure(livekit_room, context, cause)
            finally:
                self._locks.pop(livekit_room, None)

    async def _ensure(self, livekit_room: str, context: rooms.JobContext, cause: str) -> bool:
        people = await self._server.list_people(livekit_room)
        dispatches = await self._server.list_dispatches(livekit_room)
        vain = self._vain.get(livekit_room, 0)
        if not rooms.needs_dispatch(self._rules.dispatch, self._clock.time(), people, dispatches, vain=vain):
            return False
        for dispatch in dispatches:
            await self._server.delete_dispatch(livekit_room, dispatch.dispatch_id)
        await self._server.create_dispatch(livekit_room, context.to_json())
        telemetry.dispatches.labels(cause).inc()
        _log.info("agent dispatched", livekit_room=livekit_room, cause=cause, vain=vain)
        self._watch_arrival(livekit_room)
        return True

    def _watch_arrival(self, livekit_room: str) -> None:
        if livekit_room not in self._waiting:
            task = asyncio.create_task(self._await_agent(livekit_room))
            self._waiting[livekit_room] = task
            task.add_done_callback(lambda _: self._waiting.pop(livekit_room, None))

    async def _await_agent(self, livekit_room: str) -> None:
        started_s = self._clock.monotonic()
        try:
            async with asyncio.timeout(self._rules.agent_join_timeout_s):
                # LiveKit's API has no way to wait for a participant.
                while not any(p.is_agent for p in await self._server.list_people(livekit_room)):  # noqa: ASYNC110 - see above
                    await asyncio.sleep(_POLL_S)
        except TimeoutError:
            self._count_vain(livekit_room)
            telemetry.agents_missing.inc()
            _log.warning("no agent joined", livekit_room=livekit_room, waited_s=self._rules.agent_join_timeout_s)
        except Unavailable as error:
            _log.warning("agent's arrival not seen", livekit_room=livekit_room, error=str(error))
        else:
            self._vain.pop(livekit_room, None)
            telemetry.agent_join_seconds.observe(self._clock.monotonic() - started_s)

    def _count_vain(self, livekit_room: str) -> None:
        self._vain[livekit_room] = self._vain.pop(livekit_room, 0) + 1
        while len(self._vain) > _VAIN_ROOMS_MAX:
            self._vain.popitem(last=False)

    def forget(self, livekit_room: str) -> None:
        """The room has ended."""
        self._vain.pop(livekit_room, None)

    async def close(self) -> None:
        """Stop watching for arrivals."""
        waiting = list(self._waiting.values())
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


class Rooms:
    """What RoomService and its HTTP twin do, for one caller at a time."""

    def __init__(
        self, server: RoomServer, tokens: AccessTokens, dispatcher: AgentDispatcher, clock: Clock, rules: RoomRules
    ) -> None:
        """Rooms on `server`."""
        self._server = server
        self._tokens = tokens
        self._dispatcher = dispatcher
        self._clock = clock
        self._rules = rules

    async def create(
        self, caller: Identity, name: str, *, empty_timeout_s: float | None, participants_max: int
    ) -> RoomView:
        """Make a room, or get the one of that name."""
        rooms.check_room_name("name", name)
        room = await self._server.create_room(
            rooms.livekit_name(caller.tenant_id, name),
            metadata=rooms.room_metadata(caller.tenant_id),
            empty_timeout_s=rooms.empty_timeout_s(empty_timeout_s),
            participants_max=rooms.participants_max(participants_max),
        )
        return await self._view(name, room)

    async def join(self, caller: Identity, name: str, person: str, display_name: str) -> Access:
        """Access for a person, with an agent on its way. Raises RoomNotFound."""
        rooms.check_display_name("display_name", display_name)
        access = await self.access(caller, name, person, display_name)
        context = rooms.JobContext(caller.tenant_id, caller.tenant_tier, name, person)
        await self._dispatcher.ensure(access.livekit_room, context, cause="join")
        return access

    async def access(self, caller: Identity, name: str, person: str, display_name: str = "") -> Access:
        """A token for a person; nothing is dispatched. Raises RoomNotFound."""
        rooms.check_room_name("room", name)
        rooms.check_identity("identity", person)
        livekit_room = rooms.livekit_name(caller.tenant_id, name)
        if await self._server.find_room(livekit_room) is None:
            raise room_not_found(name)
        ttl_s = self._rules.token_ttl_s
        token = self._tokens.mint(livekit_room, person, display_name or person, ttl_s=ttl_s)
        return Access(self._rules.livekit_url, token, self._clock.time() + ttl_s, livekit_room)

    async def list(self, caller: Identity) -> Sequence[RoomView]:
        """The tenant's rooms by name."""
        own: list[tuple[str, rooms.LiveRoom]] = []
        for room in await self._server.list_rooms():
            owner = rooms.split_name(room.livekit_room)
            if owner and owner[0] == caller.tenant_id:
                own.append((owner[1], room))
        at_once = asyncio.Semaphore(_LISTINGS_AT_ONCE)

        async def view(name: str, room: rooms.LiveRoom) -> RoomView:
            async with at_once:
                return await self._view(name, room)

        views = await asyncio.gather(*(view(name, room) for name, room in own))
        return sorted(views, key=lambda v: v.name)

    async def delete(self, caller: Identity, name: str) -> None:
        """End a room; no error when there is none."""
        rooms.check_room_name("name", name)
        livekit_room = rooms.livekit_name(caller.tenant_id, name)
        await self._server.delete_room(livekit_room)
        self._dispatcher.forget(livekit_room)

    async def _view(self, name: str, room: rooms.LiveRoom) -> RoomView:
        people = await self._server.list_people(room.livekit_room)
        agents = sum(p.is_agent for p in people)
        return RoomView(name, room.created_at_s, len(people) - agents, agents > 0)
