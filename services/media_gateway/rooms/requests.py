"""Limits and defaults of the fields in RoomService requests."""

from __future__ import annotations

import re

from hocket.chassis.errors import invalid_field
from services.media_gateway.rooms.names import AGENT_IDENTITY, is_room_name

EMPTY_TIMEOUT_S_DEFAULT = 300.0
EMPTY_TIMEOUT_S_MIN = 10.0
EMPTY_TIMEOUT_S_MAX = 86_400.0
PARTICIPANTS_DEFAULT = 10
PARTICIPANTS_MAX = 100
DISPLAY_NAME_BYTES_MAX = 128
_IDENTITY = re.compile(r"[a-zA-Z0-9_.@-]{1,64}")


def check_room_name(field: str, name: str) -> None:
    """Check the name of a room.

    Args:
        field: Field of the request to name in the error.
        name: Name within the tenant.

    Raises:
        InvalidArgument: `name` is not a valid room name (see `names.is_room_name`).
    """
    if not is_room_name(name):
        raise invalid_field(field, "must be 1 to 64 characters of [a-zA-Z0-9_-], not start with '_' and not hold '__'")


def check_identity(field: str, identity: str) -> None:
    """Check the identity of a participant.

    Args:
        field: Field of the request to name in the error.
        identity: Identity to join under.

    Raises:
        InvalidArgument: `identity` is not 1 to 64 characters of [a-zA-Z0-9_.@-], or is the agent's.
    """
    if not _IDENTITY.fullmatch(identity):
        raise invalid_field(field, "must be 1 to 64 characters of [a-zA-Z0-9_.@-]")
    if identity == AGENT_IDENTITY:
        raise invalid_field(field, f"{AGENT_IDENTITY!r} is reserved for the agent; choose another identity")


def check_display_name(field: str, display_name: str) -> None:
    """Check the length of a display name.

    Args:
        field: Field of the request to name in the error.
        display_name: Name shown to other participants; may be empty.

    Raises:
        InvalidArgument: `display_name` is longer than 128 bytes of UTF-8.
    """
    size_bytes = len(display_name.encode())
    if size_bytes > DISPLAY_NAME_BYTES_MAX:
        raise invalid_field(field, f"has {size_bytes} bytes of UTF-8; at most {DISPLAY_NAME_BYTES_MAX} are allowed")


def empty_timeout_s(requested_s: float | None) -> float:
    """Return the time after which LiveKit ends an empty room, in seconds.

    Args:
        requested_s: 10 s to 86,400 s, or None for 300 s.

    Raises:
        InvalidArgument: `requested_s` is out of range.
    """
    if requested_s is None:
        return EMPTY_TIMEOUT_S_DEFAULT
    if not EMPTY_TIMEOUT_S_MIN <= requested_s <= EMPTY_TIMEOUT_S_MAX:
        raise invalid_field("empty_timeout", f"is {requested_s:g} s; must be 10 s to 24 h")
    return requested_s


def participants_max(requested: int) -> int:
    """Return how many people may be in the room at once, agents not counted.

    Args:
        requested: 1 to 100, or 0 for 10.

    Raises:
        InvalidArgument: `requested` is out of range.
    """
    if not 0 <= requested <= PARTICIPANTS_MAX:
        raise invalid_field(
            "max_participants", f"is {requested}; must be 1 to {PARTICIPANTS_MAX}, or 0 for {PARTICIPANTS_DEFAULT}"
        )
    return requested or PARTICIPANTS_DEFAULT
