"""Rooms of the caller's tenant, and the way into them, for services that invite people."""

from __future__ import annotations

from collections.abc import Sequence

from google.protobuf.duration_pb2 import Duration
from hocket.media_gateway.v1 import media_gateway_pb2 as pb
from hocket.media_gateway.v1 import media_gateway_pb2_grpc as pb_grpc

from hocket.chassis.channel import MeshChannel
from hocket.chassis.status import mesh_errors

SERVICE = "hocket.media_gateway.v1.RoomService"
# Each gives the same result when it is sent again; pass to MeshChannel(idempotent=...).
IDEMPOTENT = tuple((SERVICE, m) for m in ("CreateRoom", "JoinRoom", "GetRoomToken", "ListRooms", "DeleteRoom"))
TIMEOUT_S = 10.0


class RoomClient:
    """Calls `RoomService`. Methods raise hocket.chassis.errors: NotFound (ROOM_NOT_FOUND), InvalidArgument, ..."""

    def __init__(self, channel: MeshChannel) -> None:
        """Call over `channel`, whose token names the tenant."""
        self._channel = channel
        self._stub = pb_grpc.RoomServiceStub(channel.channel)

    async def create_room(
        self, name: str, *, empty_timeout_s: float = 0, max_participants: int = 0, timeout_s: float = TIMEOUT_S
    ) -> pb.Room:
        """Make a room, or get the one of that name; 0 means the server's default (5 min, 10 people)."""
        request = pb.CreateRoomRequest(name=name, max_participants=max_participants)
        if empty_timeout_s:
            request.empty_timeout.CopyFrom(Duration(seconds=round(empty_timeout_s)))
        with mesh_errors():
            return (await self._stub.CreateRoom(request, **self._channel.options(timeout_s))).room

    async def join_room(
        self, room: str, identity: str, *, display_name: str = "", timeout_s: float = TIMEOUT_S
    ) -> pb.RoomAccess:
        """Access for `identity`; an agent is on its way when this returns."""
        request = pb.JoinRoomRequest(room=room, identity=identity, display_name=display_name)
        with mesh_errors():
            return (await self._stub.JoinRoom(request, **self._channel.options(timeout_s))).access

    async def get_room_token(self, room: str, identity: str, *, timeout_s: float = TIMEOUT_S) -> pb.RoomAccess:
        """A new token for `identity`; nothing is dispatched."""
        request = pb.GetRoomTokenRequest(room=room, identity=identity)
        with mesh_errors():
            return (await self._stub.GetRoomToken(request, **self._channel.options(timeout_s))).access

    async def list_rooms(self, *, timeout_s: float = TIMEOUT_S) -> Sequence[pb.Room]:
        """The tenant's rooms by name."""
        with mesh_errors():
            return (await self._stub.ListRooms(pb.ListRoomsRequest(), **self._channel.options(timeout_s))).rooms

    async def delete_room(self, name: str, *, timeout_s: float = TIMEOUT_S) -> None:
        """End a room; no error when there is none."""
        with mesh_errors():
            await self._stub.DeleteRoom(pb.DeleteRoomRequest(name=name), **self._channel.options(timeout_s))
