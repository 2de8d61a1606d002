"""All that the gateway needs from outside, on one page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from services.media_gateway.rooms import Dispatch, LiveRoom, Person


class RoomServer(Protocol):
    """The LiveKit server. Fail-closed: without it there are no rooms; every method raises Unavailable then."""

    async def create_room(
        self, livekit_room: str, *, metadata: str, empty_timeout_s: float, participants_max: int
    ) -> LiveRoom:
        """Make the room, or get the one of that name."""
        ...

    async def find_room(self, livekit_room: str) -> LiveRoom | None:
        """The room, or None when there is none."""
        ...

    async def list_rooms(self) -> Sequence[LiveRoom]:
        """Every room of the server, whoever made it."""
        ...

    async def delete_room(self, livekit_room: str) -> None:
        """End the room; no error when there is none."""
        ...

    async def list_people(self, livekit_room: str) -> Sequence[Person]:
        """Who is in the room; nobody when there is none."""
        ...

    async def list_dispatches(self, livekit_room: str) -> Sequence[Dispatch]:
        """Dispatches of our agent to the room."""
        ...

    async def create_dispatch(self, livekit_room: str, metadata: str) -> Dispatch:
        """Ask for our agent. Success does not mean that one is free: none may ever come."""
        ...

    async def delete_dispatch(self, livekit_room: str, dispatch_id: str) -> None:
        """Withdraw a dispatch; no error when there is none."""
        ...


class AccessTokens(Protocol):
    """Mints what a LiveKit client connects with; needs nothing but the key."""

    def mint(self, livekit_room: str, identity: str, display_name: str, *, ttl_s: float) -> str:
        """A token for one room and one identity."""
        ...
