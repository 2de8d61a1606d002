"""Room operations of one tenant: the order of calls to the LiveKit server and the agent dispatcher."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from hocket.chassis.clock import Clock
from hocket.chassis.identity import Identity
from services.media_gateway.config import RoomConfig
from services.media_gateway.dispatch.dispatcher import AgentDispatcher
from services.media_gateway.errors import room_not_found
from services.media_gateway.ports import AccessTokens, RoomServer
from services.media_gateway.rooms import names, requests
from services.media_gateway.rooms.job_context import JobContext
from services.media_gateway.rooms.records import LiveRoom

_CONCURRENT_LISTINGS = 8


@dataclass(frozen=True, slots=True)
class RoomView:
    """A room as its tenant sees it.

    Attributes:
        name: Name within the tenant.
        created_at_s: Creation time, seconds since the epoch.
        participants: People in the room, agents not counted.
        agent_present: Whether an agent is in the room.
    """

    name: str
    created_at_s: float
    participants: int
    agent_present: bool


@dataclass(frozen=True, slots=True)
class RoomAccess:
    """The values a LiveKit client needs to connect.

    Attributes:
        url: Address of the LiveKit server, ws:// or wss://.
        token: LiveKit access token for one room and one identity.
        expires_at_s: Expiry of the token, seconds since the epoch.
        livekit_room: Name of the room on the LiveKit server.
    """

    url: str
    token: str
    expires_at_s: float
    livekit_room: str


class Rooms:
    """The operations of RoomService, shared by the gRPC servicer and the HTTP API."""

    def __init__(
        self, server: RoomServer, tokens: AccessTokens, dispatcher: AgentDispatcher, clock: Clock, config: RoomConfig
    ) -> None:
        """Operate on rooms.

        Args:
            server: LiveKit server that holds the rooms.
            tokens: Mints LiveKit access tokens.
            dispatcher: Dispatches agents to joined rooms.
            clock: Source of the current time.
            config: Public LiveKit address and lifetime of tokens.
        """
        self._server = server
        self._tokens = tokens
        self._dispatcher = dispatcher
        self._clock = clock
        self._config = config

    async def create(
        self, caller: Identity, name: str, *, empty_timeout_s: float | None, participants_max: int
    ) -> RoomView:
        """Create a room, or return the existing room of that name.

        Args:
            caller: Verified caller; the room belongs to its tenant.
            name: Name within the tenant.
            empty_timeout_s: Seconds an empty room is kept, 10 to 86,400; None means 300.
            participants_max: People allowed at once, 1 to 100; 0 means 10.

        Raises:
            InvalidArgument: A value is out of range.
            Unavailable: LiveKit did not answer.
        """
        requests.check_room_name("name", name)
        room = await self._server.create_room(
            names.livekit_name(caller.tenant_id, name),
            metadata=names.room_metadata(caller.tenant_id),
            empty_timeout_s=requests.empty_timeout_s(empty_timeout_s),
            participants_max=requests.participants_max(participants_max),
        )
        return await self._view(name, room)

    async def join(self, caller: Identity, name: str, identity: str, display_name: str) -> RoomAccess:
        """Return access for a person and dispatch an agent if the room has none.

        Returns without waiting for the agent to join.

        Args:
            caller: Verified caller; the room is looked up in its tenant.
            name: Name of the room within the tenant.
            identity: Identity of the person in the room.
            display_name: Name shown to other participants; empty means `identity`.

        Raises:
            InvalidArgument: A value is malformed.
            RoomNotFound: The tenant has no room of that name.
            AgentNotDispatched: LiveKit did not accept the dispatch of an agent.
            Unavailable: LiveKit did not answer.
        """
        requests.check_display_name("display_name", display_name)
        access = await self.access(caller, name, identity, display_name)
        context = JobContext(caller.tenant_id, caller.tenant_tier, name, identity)
        await self._dispatcher.ensure_agent(access.livekit_room, context, cause="join")
        return access

    async def access(self, caller: Identity, name: str, identity: str, display_name: str = "") -> RoomAccess:
        """Return access for a person without dispatching an agent.

        Args:
            caller: Verified caller; the room is looked up in its tenant.
            name: Name of the room within the tenant.
            identity: Identity of the person in the room.
            display_name: Name shown to other participants; empty means `identity`.

        Raises:
            InvalidArgument: `name` or `identity` is malformed.
            RoomNotFound: The tenant has no room of that name.
            Unavailable: LiveKit did not answer.
        """
        requests.check_room_name("room", name)
        requests.check_identity("identity", identity)
        livekit_room = names.livekit_name(caller.tenant_id, name)
        if await self._server.find_room(livekit_room) is None:
            raise room_not_found(name)
        ttl_s = self._config.token_ttl_s
        token = self._tokens.mint(livekit_room, identity, display_name or identity, ttl_s=ttl_s)
        return RoomAccess(self._config.livekit_url, token, self._clock.time() + ttl_s, livekit_room)

    async def list(self, caller: Identity) -> Sequence[RoomView]:
        """Return the rooms of the caller's tenant, sorted by name.

        Raises:
            Unavailable: LiveKit did not answer.
        """
        own: list[tuple[str, LiveRoom]] = []
        for room in await self._server.list_rooms():
            owner = names.split_livekit_name(room.livekit_room)
            if owner and owner[0] == caller.tenant_id:
                own.append((owner[1], room))
        concurrent = asyncio.Semaphore(_CONCURRENT_LISTINGS)

        async def view(name: str, room: LiveRoom) -> RoomView:
            async with concurrent:
                return await self._view(name, room)

        views = await asyncio.gather(*(view(name, room) for name, room in own))
        return sorted(views, key=lambda v: v.name)

    async def delete(self, caller: Identity, name: str) -> None:
        """End a room and disconnect its participants; a missing room is not an error.

        Raises:
            InvalidArgument: `name` is malformed.
            Unavailable: LiveKit did not answer.
        """
        requests.check_room_name("name", name)
        livekit_room = names.livekit_name(caller.tenant_id, name)
        await self._server.delete_room(livekit_room)
        self._dispatcher.forget_room(livekit_room)

    async def _view(self, name: str, room: LiveRoom) -> RoomView:
        participants = await self._server.list_participants(room.livekit_room)
        agents = sum(p.is_agent for p in participants)
        return RoomView(name, room.created_at_s, len(participants) - agents, agents > 0)
