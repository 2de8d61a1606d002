"""The gateway's own errors and their reasons."""

from __future__ import annotations

from hocket.chassis.errors import NotFound, Unavailable


class RoomNotFound(NotFound):
    """The caller's tenant has no room of this name."""

    default_reason = "ROOM_NOT_FOUND"


class AgentNotDispatched(Unavailable):
    """LiveKit did not accept the dispatch of an agent to an existing room."""

    default_reason = "AGENT_NOT_DISPATCHED"


def room_not_found(room: str) -> RoomNotFound:
    """Return the error for a room that was never created or has ended.

    Args:
        room: Name within the tenant.
    """
    return RoomNotFound(f"there is no room {room!r}; create it with CreateRoom first", metadata={"room": room})
