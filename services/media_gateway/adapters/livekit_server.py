"""The LiveKit server's API: rooms, people, dispatches, and the tokens its clients connect with."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from datetime import timedelta

import aiohttp
from livekit import api
from livekit.protocol import models

from hocket.chassis.errors import Unavailable
from services.media_gateway.rooms.records import Dispatch, LiveRoom, Participant

_NANOSECONDS_FROM = 10**14  # dispatches carry nanoseconds since the epoch, rooms seconds


class LiveKitServer:
    """ports.RoomServer over livekit-api."""

    def __init__(self, client: api.LiveKitAPI, *, agent_name: str) -> None:
        """Dispatch agents called `agent_name`."""
        self._client = client
        self._agent_name = agent_name

    async def check(self) -> None:
        """Raise unless LiveKit answers; a readiness check."""
        with _driver_errors():
            await self._client.room.list_rooms(api.ListRoomsRequest(names=["-"]))

    async def create_room(
        self, livekit_room: str, *, metadata: str, empty_timeout_s: float, participants_max: int
    ) -> LiveRoom:
        """Make the room, or get the one of that name."""
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
        """The room, or None when there is none."""
        with _driver_errors():
            listed = await self._client.room.list_rooms(api.ListRoomsRequest(names=[livekit_room]))
        return next((_room(room) for room in listed.rooms), None)

    async def list_rooms(self) -> Sequence[LiveRoom]:
        """Every room of the server."""
        with _driver_errors():
            listed = await self._client.room.list_rooms(api.ListRoomsRequest())
        return [_room(room) for room in listed.rooms]

    async def delete_room(self, livekit_room: str) -> None:
        """End the room; no error when there is none."""
        with _driver_errors(), _missing_is_fine():
            await self._client.room.delete_room(api.DeleteRoomRequest(room=livekit_room))

    async def list_participants(self, livekit_room: str) -> Sequence[Participant]:
        """Who is in the room; nobody when there is none."""
        people: list[Participant] = []
        with _driver_errors(), _missing_is_fine():
            request = api.ListParticipantsRequest(room=livekit_room)
            listed = await self._client.room.list_participants(request)
            agent = models.ParticipantInfo.Kind.AGENT
            gone = models.ParticipantInfo.State.DISCONNECTED
            people += [Participant(p.identity, p.kind == agent) for p in listed.participants if p.state != gone]
        return people

    async def list_dispatches(self, livekit_room: str) -> Sequence[Dispatch]:
        """Dispatches of our agent; rooms made over the API carry one without a name besides, which is not ours."""
        dispatches: list[Dispatch] = []
        with _driver_errors(), _missing_is_fine():
            listed = await self._client.agent_dispatch.list_dispatch(livekit_room)
            dispatches += [_dispatch(d) for d in listed if d.agent_name == self._agent_name]
        return dispatches

    async def create_dispatch(self, livekit_room: str, metadata: str) -> Dispatch:
        """Ask for our agent."""
        request = api.CreateAgentDispatchRequest(agent_name=self._agent_name, room=livekit_room, metadata=metadata)
        with _driver_errors():
            return _dispatch(await self._client.agent_dispatch.create_dispatch(request))

    async def delete_dispatch(self, livekit_room: str, dispatch_id: str) -> None:
        """Withdraw a dispatch; no error when there is none."""
        with _driver_errors(), _missing_is_fine():
            await self._client.agent_dispatch.delete_dispatch(dispatch_id, livekit_room)


class LiveKitTokens:
    """ports.AccessTokens with the server's key."""

    def __init__(self, api_key: str, api_secret: str) -> None:
        """Sign with the key of the LiveKit server."""
        self._api_key = api_key
        self._api_secret = api_secret

    def mint(self, livekit_room: str, identity: str, display_name: str, *, ttl_s: float) -> str:
        """A token that joins one room under one identity: no admin, no room creation."""
        grants = api.VideoGrants(
            room_join=True, room=livekit_room, can_publish=True, can_subscribe=True, can_publish_data=True
        )
        token = api.AccessToken(self._api_key, self._api_secret).with_identity(identity).with_name(display_name)
        return token.with_grants(grants).with_ttl(timedelta(seconds=ttl_s)).to_jwt()


def _room(room: models.Room) -> LiveRoom:
    return LiveRoom(room.name, float(room.creation_time), room.metadata)


def _dispatch(dispatch: api.AgentDispatch) -> Dispatch:
    created = dispatch.state.created_at
    return Dispatch(dispatch.id, created / 1e9 if created > _NANOSECONDS_FROM else float(created), dispatch.metadata)


@contextmanager
def _driver_errors() -> Generator[None, None, None]:
    try:
        yield
    except api.ServerError as error:
        raise Unavailable(f"LiveKit refused the call: {error.code}", retry_after_s=1) from error
    except (TimeoutError, aiohttp.ClientError, OSError) as error:
        raise Unavailable("LiveKit does not answer", retry_after_s=1) from error


@contextmanager
def _missing_is_fine() -> Generator[None, None, None]:
    try:
        yield
    except api.ServerError as error:
        if error.code != api.ServerErrorCode.NOT_FOUND:
            raise
