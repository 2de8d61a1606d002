"""Rooms, participants and dispatches as the LiveKit server reports them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Participant:
    """A participant of a room.

    Attributes:
        identity: Identity, unique in the room.
        is_agent: Whether LiveKit reports the participant's kind as agent.
    """

    identity: str
    is_agent: bool


@dataclass(frozen=True, slots=True)
class Dispatch:
    """A request to LiveKit to send an agent to a room.

    Attributes:
        dispatch_id: LiveKit's id of the dispatch.
        created_at_s: Creation time, seconds since the epoch.
        metadata: Dispatch metadata, which only the agent can read.
    """

    dispatch_id: str
    created_at_s: float
    metadata: str


@dataclass(frozen=True, slots=True)
class LiveRoom:
    """A room on the LiveKit server.

    Attributes:
        livekit_room: Name on the LiveKit server, which contains the tenant id.
        created_at_s: Creation time, seconds since the epoch.
        metadata: Room metadata, which every participant can read.
    """

    livekit_room: str
    created_at_s: float
    metadata: str
