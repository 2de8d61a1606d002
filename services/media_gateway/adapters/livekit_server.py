"""LiveKit's server API (rooms, participants, dispatches) and access tokens."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from datetime import timedelta

import aiohttp
from livekit import api
from livekit.protocol import models

from hocket.chassis.errors import Unavailable
from services.media_gateway.rooms.records import Dispatch, LiveRoom, Participant

# Dispatches are stamped in nanoseconds since the epoch, rooms in seconds; a smaller stamp is in seconds.
_NANOSECONDS_MIN = 10**14


class LiveKitServer:
    """`ports.RoomServer` over livekit-api."""

    def __init__(self, client: api.LiveKitAPI, *, agent_name: str) -> None:
        """Call one LiveKit server.

        Args:
            client: Client of the server.
            agent_name: Name under which this gateway's workers register.
        """
        self._client = client
        self._agent_name = agent_name

    async def check(self) -> None:
        """Readiness check.

        Raises:
            Unavailable: LiveKit does not answer or rejects the API key.
        """
        with _driver_errors():
            # No room has the name "-", so the answer is empty and cheap.
            await self._client.room.list_rooms(api.ListRoomsRequest(names=["-"]))

    async def create_room(
        self, livekit_room: str, *, metadata: str, empty_timeout_s: float, participants_max: int
    ) -> LiveRoom:
        """Create a room, or return the existing room of that name."""
        request = api.CreateRoomRequest(
            name=livekit_room,
            metadata=metadata,
            empty_timeout=round(empty_timeout_s),
            # The agent counts as a participant.
            max_participants=participants_max + 1,
        )
        with _driver_errors():
            return _room(await self._client.room.create_room(request))

    async def find_room(self, livekit_room: str) -> LiveRoom | None:
        """Return the room, or None if it does not exist."""
        with _driver_errors():
            listed = await self._client.room.list_rooms(api.ListRoomsRequest(names=[livekit_room]))
        return next((_room(room) for room in listed.rooms), None)

    async def list_rooms(self) -> Sequence[LiveRoom]:
        """Return every room of the server."""
        with _driver_errors():
            listed = await self._client.room.list_rooms(api.ListRoomsRequest())
        return [_room(room) for room in listed.rooms]

    async def delete_room(self, livekit_room: str) -> None:
        """End a room; a missing room is not an error."""
        with _driver_errors(), _not_found_ignored():
            await self._client.room.delete_room(api.DeleteRoomRequest(room=livekit_room))

    async def list_participants(self, livekit_room: str) -> Sequence[Participant]:
        """Return the connected participants; empty for a missing room."""
        participants: list[Participant] = []
        with _driver_errors(), _not_found_ignored():
            request = api.ListParticipantsRequest(room=livekit_room)
            listed = await self._client.room.list_participants(request)
            agent = models.ParticipantInfo.Kind.AGENT
            disconnected = models.ParticipantInfo.State.DISCONNECTED
            participants += [
                Participant(p.identity, p.kind == agent) for p in listed.participants if p.state != disconnected
            ]
        return participants

    async def list_dispatches(self, livekit_room: str) -> Sequence[Dispatch]:
        """Return the dispatches of this gateway's agent.

        LiveKit adds a dispatch without a name to each room that is created over the API; it is left out.
        """
        dispatches: list[Dispatch] = []
        with _driver_errors(), _not_found_ignored():
            listed = await self._client.agent_dispatch.list_dispatch(livekit_room)
            dispatches += [_dispatch(d) for d in listed if d.agent_name == self._agent_name]
        return dispatches

    async def create_dispatch(self, livekit_room: str, metadata: str) -> Dispatch:
        """Request this gateway's agent for a room."""
        request = api.CreateAgentDispatchRequest(agent_name=self._agent_name, room=livekit_room, metadata=metadata)
        with _driver_errors():
            return _dispatch(await self._client.agent_dispatch.create_dispatch(request))

    async def delete_dispatch(self, livekit_room: str, dispatch_id: str) -> None:
        """Withdraw a dispatch; a missing dispatch is not an error."""
        with _driver_errors(), _not_found_ignored():
            await self._client.agent_dispatch.delete_dispatch(dispatch_id, livekit_room)


class LiveKitTokens:
    """`ports.AccessTokens` with the LiveKit server's API key."""

    def __init__(self, api_key: str, api_secret: str) -> None:
        """Sign with the API key of the LiveKit server and its secret."""
        self._api_key = api_key
        self._api_secret = api_secret

    def mint(self, livekit_room: str, identity: str, display_name: str, *, ttl_s: float) -> str:
        """Return a token that joins one room under one identity, without admin rights or room creation."""
        grants = api.VideoGrants(
            room_join=True, room=livekit_room, can_publish=True, can_subscribe=True, can_publish_data=True
        )
        token = api.AccessToken(self._api_key, self._api_secret).with_identity(identity).with_name(display_name)
        return token.with_grants(grants).with_ttl(timedelta(seconds=ttl_s)).to_jwt()


def _room(room: models.Room) -> LiveRoom:
    return LiveRoom(room.name, float(room.creation_time), room.metadata)


def _dispatch(dispatch: api.AgentDispatch) -> Dispatch:
    created = dispatch.state.created_at
    return Dispatch(dispatch.id, created / 1e9 if created > _NANOSECONDS_MIN else float(created), dispatch.metadata)


@contextmanager
def _driver_errors() -> Generator[None, None, None]:
    try:
        yield
    except api.ServerError as error:
        raise Unavailable(f"LiveKit rejected the call: {error.code}", retry_after_s=1) from error
    except (TimeoutError, aiohttp.ClientError, OSError) as error:
        raise Unavailable(f"LiveKit does not answer: {type(error).__name__}", retry_after_s=1) from error


@contextmanager
def _not_found_ignored() -> Generator[None, None, None]:
    try:
        yield
    except api.ServerError as error:
        if error.code != api.ServerErrorCode.NOT_FOUND:
            raise
