"""Servicer of hocket.media_gateway.v1.RoomService: converts requests, calls the flow, converts results."""

# ruff: noqa: ARG002 - gRPC passes request and context to every method
from __future__ import annotations

from google.protobuf.timestamp_pb2 import Timestamp
from hocket.media_gateway.v1 import media_gateway_pb2 as pb
from hocket.media_gateway.v1 import media_gateway_pb2_grpc as pb_grpc

from hocket.chassis import identity
from hocket.chassis.guard import Context
from services.media_gateway.flow import RoomAccess, Rooms, RoomView

SERVICE = "hocket.media_gateway.v1.RoomService"


class RoomServicer(pb_grpc.RoomServiceServicer):
    """Serves RoomService for the tenant of each call's token."""

    def __init__(self, rooms: Rooms) -> None:
        """Serve the operations of `rooms`."""
        self._rooms = rooms

    async def CreateRoom(self, request: pb.CreateRoomRequest, context: Context) -> pb.CreateRoomResponse:
        """Create a room, or return the existing one."""
        timeout = request.empty_timeout if request.HasField("empty_timeout") else None
        room = await self._rooms.create(
            identity.current(),
            request.name,
            empty_timeout_s=timeout.ToNanoseconds() / 1e9 if timeout else None,
            participants_max=request.max_participants,
        )
        return pb.CreateRoomResponse(room=room_to_proto(room))

    async def JoinRoom(self, request: pb.JoinRoomRequest, context: Context) -> pb.JoinRoomResponse:
        """Return access for a person and dispatch an agent."""
        access = await self._rooms.join(identity.current(), request.room, request.identity, request.display_name)
        return pb.JoinRoomResponse(access=access_to_proto(access))

    async def GetRoomToken(self, request: pb.GetRoomTokenRequest, context: Context) -> pb.GetRoomTokenResponse:
        """Return access for a person without dispatching an agent."""
        access = await self._rooms.access(identity.current(), request.room, request.identity)
        return pb.GetRoomTokenResponse(access=access_to_proto(access))

    async def ListRooms(self, request: pb.ListRoomsRequest, context: Context) -> pb.ListRoomsResponse:
        """Return the tenant's rooms."""
        return pb.ListRoomsResponse(rooms=[room_to_proto(room) for room in await self._rooms.list(identity.current())])

    async def DeleteRoom(self, request: pb.DeleteRoomRequest, context: Context) -> pb.DeleteRoomResponse:
        """End a room."""
        await self._rooms.delete(identity.current(), request.name)
        return pb.DeleteRoomResponse()


def room_to_proto(room: RoomView) -> pb.Room:
    """Convert a room."""
    return pb.Room(
        name=room.name,
        created_at=_timestamp(room.created_at_s),
        participants=room.participants,
        agent_present=room.agent_present,
    )


def access_to_proto(access: RoomAccess) -> pb.RoomAccess:
    """Convert the access to a room."""
    return pb.RoomAccess(
        url=access.url,
        token=access.token,
        expires_at=_timestamp(access.expires_at_s),
        livekit_room=access.livekit_room,
    )


def _timestamp(since_epoch_s: float) -> Timestamp:
    stamp = Timestamp()
    stamp.FromNanoseconds(int(since_epoch_s * 1e9))
    return stamp
