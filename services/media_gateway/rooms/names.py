"""Names of rooms: the tenant and the room's own name, joined into one name on the LiveKit server."""

from __future__ import annotations

import json
import re

# LiveKit treats two connections with one identity as one participant and disconnects the earlier one. All agents share
# this identity, so one agent remains in a room however many dispatches race.
AGENT_IDENTITY = "hocket-agent"
SEPARATOR = "__"
_ROOM = re.compile(r"[a-zA-Z0-9-][a-zA-Z0-9_-]{0,63}")


def is_room_name(name: str) -> bool:
    """Return whether `name` is valid for a room: 1 to 64 of [a-zA-Z0-9_-], no leading and no double underscore."""
    return _ROOM.fullmatch(name) is not None and SEPARATOR not in name


def livekit_name(tenant_id: str, room: str) -> str:
    """Return the room's name on the LiveKit server, unique over all tenants and rooms (see `split_livekit_name`)."""
    return f"{tenant_id}{SEPARATOR}{room}"


def split_livekit_name(livekit_room: str) -> tuple[str, str] | None:
    """Split a name on the LiveKit server into tenant id and room name.

    The last "__" is the separator for any tenant id, because room names neither start with an underscore nor contain
    two in a row.

    Returns:
        Tenant id and room name, or None for a room that this gateway did not create.
    """
    tenant_id, separator, room = livekit_room.rpartition(SEPARATOR)
    return (tenant_id, room) if separator and tenant_id and is_room_name(room) else None


def room_metadata(tenant_id: str) -> str:
    """Return the room metadata, which every participant can read: the tenant id only."""
    return json.dumps({"tenant_id": tenant_id})
