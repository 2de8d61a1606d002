"""Client of RoomService: create rooms of the caller's tenant, and get people access to them."""

from __future__ import annotations

from collections.abc import Sequence

from google.protobuf.duration_pb2 import Duration
from hocket.media_gateway.v1 import media_gateway_pb2 as pb
from hocket.media_gateway.v1 import media_gateway_pb2_grpc as pb_grpc

from hocket.chassis.channel import MeshChannel
from hocket.chassis.status import mesh_errors

SERVICE = "hocket.media_gateway.v1.RoomService"
# Idempotent methods, which may be retried; pass to MeshChannel(idempotent=...).
IDEMPOTENT = tuple((SERVICE, m) for m in ("CreateRoom", "JoinRoom", "GetRoomToken", "ListRooms", "DeleteRoom"))
TIMEOUT_S = 10.0


class RoomClient:
    """Client of RoomService.

    Every method takes `timeout_s`, the deadline of the call in seconds, and raises:
        InvalidArgument: A field is out of range or malformed; `fields` names it.
        Unauthenticated: The channel's token is missing, invalid or expired.
        Unavailable: The gateway or its LiveKit server does not answer; retry after `retry_after_s`.
        DeadlineExceeded: The call took longer than `timeout_s`.

    Example:
            token = TokenMinter(secret).source("acme", caller="website")
            async with MeshChannel("dns:///media-gateway:50051", token, idempotent=IDEMPOTENT) as channel:
                rooms = RoomClient(channel)
                await rooms.create_room("support-42")
                access = await rooms.join_room("support-42", "ann", display_name="Ann")
                print(access.url, access.token)  # for the LiveKit client in the browser
    """

    def __init__(self, channel: MeshChannel) -> None:
        """Call over one channel.

        Args:
            channel: Open channel to media_gateway; its token names the tenant.
        """
        self._channel = channel
        self._stub = pb_grpc.RoomServiceStub(channel.channel)

    async def create_room(
        self, name: str, *, empty_timeout_s: float = 0, max_participants: int = 0, timeout_s: float = TIMEOUT_S
    ) -> pb.Room:
        """Create a room, or return the existing room of that name.

        Args:
            name: Name within the tenant: 1 to 64 characters of [a-zA-Z0-9_-], no leading and no double underscore.
            empty_timeout_s: Seconds an empty room is kept, 10 to 86,400, rounded to whole seconds; 0 means 300.
            max_participants: People allowed at once, 1 to 100, agents not counted; 0 means 10.
            timeout_s: Deadline of the call in seconds.
        """
        request = pb.CreateRoomRequest(name=name, max_participants=max_participants)
        if empty_timeout_s:
            request.empty_timeout.CopyFrom(Duration(seconds=round(empty_timeout_s)))
        with mesh_errors():
            return (await self._stub.CreateRoom(request, **self._channel.options(timeout_s))).room

    async def join_room(
        self, room: str, identity: str, *, display_name: str = "", timeout_s: float = TIMEOUT_S
    ) -> pb.RoomAccess:
        """Return access for a person and dispatch an agent if the room has none; the agent joins later.

        Args:
            room: Name of the room within the tenant.
            identity: Identity in the room: 1 to 64 characters of [a-zA-Z0-9_.@-], except `hocket-agent`. A second
                participant with the same identity disconnects the first.
            display_name: Name shown to other participants, at most 128 bytes; empty means `identity`.
            timeout_s: Deadline of the call in seconds.

        Raises:
            NotFound: The tenant has no such room (reason ROOM_NOT_FOUND).
            Unavailable: LiveKit did not accept the dispatch of an agent (reason AGENT_NOT_DISPATCHED).
        """
        request = pb.JoinRoomRequest(room=room, identity=identity, display_name=display_name)
        with mesh_errors():
            return (await self._stub.JoinRoom(request, **self._channel.options(timeout_s))).access

    async def get_room_token(self, room: str, identity: str, *, timeout_s: float = TIMEOUT_S) -> pb.RoomAccess:
        """Return access for a person without dispatching an agent, for instance when a token is about to expire.

        Args:
            room: Name of the room within the tenant.
            identity: Identity in the room, as in `join_room`.
            timeout_s: Deadline of the call in seconds.

        Raises:
            NotFound: The tenant has no such room (reason ROOM_NOT_FOUND).
        """
        request = pb.GetRoomTokenRequest(room=room, identity=identity)
        with mesh_errors():
            return (await self._stub.GetRoomToken(request, **self._channel.options(timeout_s))).access

    async def list_rooms(self, *, timeout_s: float = TIMEOUT_S) -> Sequence[pb.Room]:
        """Return the tenant's rooms, sorted by name.

        Args:
            timeout_s: Deadline of the call in seconds.
        """
        with mesh_errors():
            return (await self._stub.ListRooms(pb.ListRoomsRequest(), **self._channel.options(timeout_s))).rooms

    async def delete_room(self, name: str, *, timeout_s: float = TIMEOUT_S) -> None:
        """End a room and disconnect its participants; a missing room is not an error.

        Args:
            name: Name of the room within the tenant.
            timeout_s: Deadline of the call in seconds.
        """
        with mesh_errors():
            await self._stub.DeleteRoom(pb.DeleteRoomRequest(name=name), **self._channel.options(timeout_s))
