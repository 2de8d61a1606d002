"""The gateway's own errors with their reasons."""

from __future__ import annotations

from hocket.chassis.errors import NotFound, Unavailable


class RoomNotFound(NotFound):
    """No such room in the caller's tenant."""

    default_reason = "ROOM_NOT_FOUND"


class AgentNotDispatched(Unavailable):
    """No agent joined the room in time."""

    default_reason = "AGENT_NOT_DISPATCHED"


def room_not_found(room: str) -> RoomNotFound:
    """For a room that was never made, or has ended."""
    return RoomNotFound(f"there is no room {room!r}; create it first", metadata={"room": room})
