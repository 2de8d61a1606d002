"""Ports of the room operations: the LiveKit server and its access tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from services.media_gateway.rooms.records import Dispatch, LiveRoom, Participant


class RoomServer(Protocol):
    """The LiveKit server. Fail-closed: no room operation works without it.

    Every method raises `Unavailable` when the server does not answer or refuses the call.
    """

    async def create_room(
        self, livekit_room: str, *, metadata: str, empty_timeout_s: float, participants_max: int
    ) -> LiveRoom:
        """Create a room, or return the existing room of that name.

        Args:
            livekit_room: Name on the LiveKit server.
            metadata: Room metadata, readable by every participant.
            empty_timeout_s: Seconds after which LiveKit ends an empty room.
            participants_max: People allowed at once, agents not counted.
        """
        ...

    async def find_room(self, livekit_room: str) -> LiveRoom | None:
        """Return the room, or None if it does not exist."""
        ...

    async def list_rooms(self) -> Sequence[LiveRoom]:
        """Return every room of the server, including those of other applications."""
        ...

    async def delete_room(self, livekit_room: str) -> None:
        """End a room; a missing room is not an error."""
        ...

    async def list_participants(self, livekit_room: str) -> Sequence[Participant]:
        """Return the connected participants, agents included; empty for a missing room."""
        ...

    async def list_dispatches(self, livekit_room: str) -> Sequence[Dispatch]:
        """Return the dispatches of this gateway's agent; empty for a missing room."""
        ...

    async def create_dispatch(self, livekit_room: str, metadata: str) -> Dispatch:
        """Request this gateway's agent for a room.

        LiveKit accepts the request even if no worker is free; the caller must watch for the agent's arrival.

        Args:
            livekit_room: Name on the LiveKit server.
            metadata: Job context as JSON, readable by the agent only.
        """
        ...

    async def delete_dispatch(self, livekit_room: str, dispatch_id: str) -> None:
        """Withdraw a dispatch; a missing dispatch is not an error."""
        ...


class AccessTokens(Protocol):
    """Mints LiveKit access tokens; needs the API key only and no server."""

    def mint(self, livekit_room: str, identity: str, display_name: str, *, ttl_s: float) -> str:
        """Return a token that joins one room under one identity.

        Args:
            livekit_room: Name on the LiveKit server.
            identity: Identity of the participant.
            display_name: Name shown to other participants.
            ttl_s: Lifetime of the token in seconds.
        """
        ...
